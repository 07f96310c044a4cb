"""The bundle for a bug report: findings, configuration, log and faults, without keys, addresses and names."""

import gzip
import io
import json
import re
import socket
import tarfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from daemon.camera.addresses import cameras_of
from daemon.config import Config, key_file
from daemon.doctor.finding import Finding, Subject
from daemon.doctor.scrub import Scrubber, written_forms
from daemon.doctor.view import MAX_BYTES, View
from daemon.front.access.keys import CREDENTIAL
from daemon.systemd import installed

MAX_FAULTS = 3  # the newest failed connections
LOG_LINES = "5000"
MAX_NAMES = 20_000  # of uploads
MIN_SECRET = 4  # characters; shorter arguments are words like on
HUMAN_UIDS = range(1000, 60_000)

PROGRAMS = {
    "system.txt": (
        ("uname", "-srm"), ("cat", "/etc/os-release"), ("uptime",), ("free", "-m"), ("df", "-h", "/", "/var/lib"),
        ("lsusb",), ("vcgencmd", "get_throttled"), ("timedatectl", "show", "--property=NTP,NTPSynchronized"),
    ),
}  # fmt: skip


def texts(view: View, subject: Subject, findings: Sequence[Finding], responses: Mapping[str, object]) -> dict[str, str]:
    """Return the bundle's texts by file name, not scrubbed yet.

    Args:
        view: the machine.
        subject: the daemon.
        findings: those of the checks.
        responses: the daemon's answers, by name.
    """
    files = {
        "report.txt": "".join(f"{each.grade.value:<4}  {each.text}\n      {each.fix}\n" for each in findings),
        "ports.txt": "".join(f"{each}\n" for each in view.ports()),
        "configuration.toml": configuration(view.read_text(subject.config_path) or "") if subject.config_path else "",
        **{f"{name}.json": json.dumps(answer, indent=1, ensure_ascii=False) for name, answer in responses.items()},
    }
    for name, programs in PROGRAMS.items():
        files[name] = "".join(f"$ {' '.join(words)}\n{view.run(*words) or ''}\n\n" for words in programs)
    if subject.service is not None:
        units = (subject.service.core, subject.service.front)
        log = (
            "journalctl",
            *(f"--unit={unit}" for unit in units),
            "--no-pager",
            "--no-hostname",
            "--utc",
            "--quiet",
            "-n",
            LOG_LINES,
            "-o",
            "short-iso",
        )
        files["log.txt"] = view.run(*log) or "this user cannot read the journal: sudo nozzled doctor"
        files["units.txt"] = view.run("systemctl", "cat", *units, f"{installed.NAME}.socket") or ""
    for path in view.list_folder(subject.state / "faults")[-MAX_FAULTS:]:
        files[f"faults/{path.name.removesuffix('.gz')}"] = _unpack(path)
    return {name: text for name, text in files.items() if text}


def configuration(text: str) -> str:
    """Return the configuration file without the possible secrets of power switches: arguments, bodies, paths, users."""
    try:
        devices = tomllib.loads(text)["power"]["devices"]
        secrets = {secret for device in devices for secret in _secrets_of(device)}
    except (ValueError, KeyError, TypeError, AttributeError):  # without such devices, or not valid
        return _DEVICE_SETTING.sub(r"\1 <key>", text)
    for form in sorted({form for secret in secrets for form in written_forms(secret)}, key=len, reverse=True):
        text = text.replace(form, "<key>")
    return text


def _secrets_of(device: Mapping[str, Any]) -> Iterator[str]:
    """Yield the values of a switch that may be secrets, or have some in them."""
    values = [str(device.get(name, "")) for name in ("user", "on_body", "off_body")]
    for name in ("on_command", "off_command", "state_command"):
        values += map(str, device.get(name, [])[1:])
    for name in ("on_url", "off_url", "state_url"):
        values.append(urlsplit(str(device.get(name, ""))).path)
    yield from (value for value in values if len(value) >= MIN_SECRET)


def _unpack(path: Path) -> str:
    try:
        with gzip.open(path) as file:
            return file.read(MAX_BYTES).decode("utf-8", "replace")
    except (OSError, EOFError) as error:
        return f"cannot be read: {error}"


def scrub(view: View, subject: Subject, files: Mapping[str, str]) -> dict[str, str]:
    """Return the texts, and their file names, without keys, addresses and names."""
    everything = "\n".join([*files, *files.values()]).casefold()
    names = [
        each for each in names_of(view, subject) if any(form.casefold() in everything for form in written_forms(each))
    ]
    scrubber = Scrubber(keys_of(view, subject), names)
    return {scrubber.scrub(name): scrubber.scrub(text) for name, text in files.items()}


def pack(files: Mapping[str, str], name: str, now: float) -> bytes:
    """Return the texts as a .tar.gz with one folder in it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, text in files.items():
            data = text.encode("utf-8", "surrogateescape")
            member = tarfile.TarInfo(f"{name}/{path}")
            member.size, member.mtime = len(data), int(now)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


# -- what is private here ----------------------------------------------------------------------------------------


def keys_of(view: View, subject: Subject) -> Iterator[str]:
    """Yield this daemon's keys, and the serial numbers of boards and printers."""
    paths = [key_file(subject.config, subject.state)]
    if subject.service is not None:
        paths.append(subject.service.credentials / CREDENTIAL)
    for path in paths:
        yield (view.read_text(path) or "").strip()
    yield from (key.get("sha256", "") for key in _named_keys(view, subject))
    for url in _camera_urls(subject.config):
        yield from filter(_PATH_TOKEN.fullmatch, urlsplit(url).path.split("/"))
    yield from (port.serial_number for port in view.ports() if port.serial_number and len(port.serial_number) > 3)  # noqa: PLR2004 - "0001" identifies no board
    yield from (each.printer for each in installed.services(view.root) if len(each.printer) > 3)  # noqa: PLR2004 - as above


def names_of(view: View, subject: Subject) -> Iterator[str]:
    """Yield the names of this machine, its users, its keys and its files."""
    host = socket.gethostname()
    yield from (host, host.partition(".")[0], (view.read_text("/etc/hostname") or "").strip(), view.user)
    for line in (view.read_text("/etc/passwd") or "").splitlines():
        columns = line.split(":")
        if len(columns) > 5 and columns[2].isdecimal() and int(columns[2]) in HUMAN_UIDS:  # noqa: PLR2004 - of /etc/passwd
            yield columns[0]
            full = columns[4].split(",")[0]
            yield from (full, *full.split())
    for key in _named_keys(view, subject):
        yield str(key.get("name", ""))
    config = subject.config
    yield from (config.appearance.name, config.profile.name, *config.http.hostnames)
    yield from _hosts(config)
    text = (view.read_text(subject.config_path) or "") if subject.config_path else ""
    yield from _names_of_companions(text)
    if subject.mistake:  # a file that cannot be used may have names, too
        yield from _TEXT.findall(text)
    yield from _file_names(subject.state / "uploads")


_DEVICE_SETTING = re.compile(
    r"^(\s*(?:user|(?:on|off|state)_(?:url|body|command))\s*=)(?:\s*\[[^\]]*\]?|.*)", re.MULTILINE
)
_PATH_TOKEN = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[\w+=~-]{8,}")
"""A part of a camera's path that may be its key, as in the addresses of some recorders: rtsp://nvr:7447/xgJuPN3Hf8YN8Tkb."""
_TEXT = re.compile(r"""["']([^"'\n]*[^"'\n\d.:][^"'\n]*)["']""")


def _hosts(config: Config) -> Iterator[str]:
    """Yield the host names in the configuration."""
    for url in (*_camera_urls(config), *config.http.allow_origins):
        with suppress(ValueError):
            yield urlsplit(url).hostname or ""
    scheme, _, target = config.printer.address.partition(":")
    if scheme == "tcp":
        yield target.rpartition(":")[0].strip("[]")


def _camera_urls(config: Config) -> Iterator[str]:
    for each in cameras_of(config.webcam).values():
        yield from (each.stream_url, each.snapshot_url, each.webrtc_url, each.hls_url)


def _names_of_companions(text: str) -> Iterator[str]:
    """Yield user names and hosts in the sections of the companions; a host may be a single word."""
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        mqtt = tomllib.loads(text)["mqtt"]
        yield from (str(mqtt.get("username", "")), str(mqtt.get("host", "")))
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        for device in tomllib.loads(text)["power"]["devices"]:
            address = str(device.get("address", ""))
            yield urlsplit(address if "//" in address else f"//{address}").hostname or ""


def _named_keys(view: View, subject: Subject) -> list[dict[str, str]]:
    try:
        keys = json.loads(view.read_text(subject.state / "keys.json") or "{}")["keys"]
        return [each for each in keys if isinstance(each, dict)]
    except (ValueError, KeyError, TypeError):
        return []


def _file_names(folder: Path) -> Iterable[str]:
    """Yield the names of uploads and their folders, with and without suffix."""
    try:
        for count, path in enumerate(folder.rglob("*")):
            if count >= MAX_NAMES:
                return
            yield from (path.name, path.stem) if path.suffix else (path.name,)
    except OSError:
        return
