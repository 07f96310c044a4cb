"""The targets of messages. Their addresses contain secrets, so they are only in a separate file.

A line is `NAME URL`, or `NAME webhook:URL KEY` for our own signed messages; a line that begins with `#` is a comment.
Clients see the name and the kind of a target, never its address.
"""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from daemon.config.home import expand_home
from daemon.errors import ConfigError

MAX_TARGETS = 10
MAX_BYTES = 64 * 1024
CREDENTIAL = "nozzled.notify-targets"
VARIABLE = "NOZZLED_NOTIFY_TARGETS"
FILE = "targets"
WEBHOOK = "webhook:"
MIN_KEY = 16  # characters

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}", re.ASCII)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{0,31})://\S+", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Target:
    """A target of messages.

    Attributes:
        name: for users.
        kind: `webhook`, or apprise's scheme.
        url: its address.
        key: signs messages to a webhook.
    """

    name: str
    kind: str
    url: str = field(repr=False)
    key: str = field(default="", repr=False)


def parse(text: str, source: str) -> list[Target]:
    """Return the targets of a file.

    Raises:
        ConfigError: a line is wrong; its text is not shown, because it may be a secret.
    """
    targets: dict[str, Target] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        target = _target(words, f"{source}, line {number}")
        if target.name in targets:
            raise ConfigError(f"{source}, line {number}: two targets have the name {target.name}")
        targets[target.name] = target
    if len(targets) > MAX_TARGETS:
        raise ConfigError(f"{source}: {len(targets)} targets; at most {MAX_TARGETS} are allowed")
    return [*targets.values()]


def _target(words: list[str], where: str) -> Target:
    name, *parameters = words
    if not _NAME.fullmatch(name):
        raise ConfigError(f'{where}: a line must be NAME URL, such as "phone tgram://TOKEN/CHAT"')
    if parameters and parameters[0].startswith(WEBHOOK):
        return _webhook(name, parameters, where)
    if len(parameters) != 1 or (match := _SCHEME.fullmatch(parameters[0])) is None:
        raise ConfigError(f"{where}: {name} must be followed by one URL without blanks")
    return Target(name, match[1].lower(), parameters[0])


def _webhook(name: str, parameters: list[str], where: str) -> Target:
    url = parameters[0].removeprefix(WEBHOOK)
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"{where}: {WEBHOOK} must be followed by an address with http:// or https://")
    if len(parameters) != 2 or len(parameters[1]) < MIN_KEY:  # noqa: PLR2004 - the address and its key
        raise ConfigError(
            f"{where}: the address of a webhook must be followed by a key of at least {MIN_KEY} characters, which "
            "signs the messages: openssl rand -hex 32"
        )
    return Target(name, "webhook", url, parameters[1])


def file_of(configured: str, folder: Path, environ: Mapping[str, str]) -> Path:
    """Return the targets file: as configured, else the credential, else from the environment, else in the folder."""
    if configured:
        return expand_home(configured)
    credentials = environ.get("CREDENTIALS_DIRECTORY")
    if credentials and (Path(credentials) / CREDENTIAL).exists():
        return Path(credentials) / CREDENTIAL
    return Path(environ[VARIABLE]) if environ.get(VARIABLE) else folder / FILE


def load(path: Path, environ: Mapping[str, str]) -> list[Target]:
    """Return the targets of a file; none if it does not exist. Blocks.

    Raises:
        ConfigError: it cannot be read, other users can read it, or a line is wrong.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    source = _source_of(path, environ)
    if mode & (stat.S_IRWXG | stat.S_IRWXO) and source == path:
        raise ConfigError(f"{path} holds secrets, and other users can read it: chmod 600 {path}")
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{source} is larger than {MAX_BYTES // 1024} KiB")
    try:
        return parse(data.decode(), str(source))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{source}: not UTF-8 text (byte {error.start})") from error


def how_to_add(path: Path, environ: Mapping[str, str]) -> str:
    """Return a sentence on how to add a target."""
    source = _source_of(path, environ)
    text = f'put a line such as "phone tgram://TOKEN/CHAT" into {source} (chmod 600)'
    if source == path:
        return text
    printer = source.name.removesuffix(".notify-targets") if source.parent.name == "nozzled" else ""
    return f"{text} and restart nozzled-notify{f'@{printer}' if printer else ''}"


def _source_of(path: Path, environ: Mapping[str, str]) -> Path:
    """Return the file that a user edits: a credential is systemd's copy of it."""
    if (credentials := environ.get("CREDENTIALS_DIRECTORY")) and path.is_relative_to(credentials):
        return Path(environ.get(VARIABLE) or "/etc/nozzled.notify-targets")
    return path
