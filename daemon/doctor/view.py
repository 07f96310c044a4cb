"""The machine as the checks see it. Tests replace it with a machine of their own."""

import grp
import os
import pwd
import shutil
import stat
import subprocess
import time  # noqa: TID251 - the clock of this machine is one of the things to check
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from importlib.metadata import packages_distributions
from pathlib import Path

from gcode.frozen import frozen
from hal import holders, ports
from hal.ports import Port

MAX_BYTES = 4 * 1024 * 1024  # of a file, or of a program's output
GROUP_RW = 0o060
RUN_TIMEOUT = 10.0  # for a program
WEB_TIMEOUT = 0.5  # for a web server of this machine
MAX_WEB_BYTES = 64 * 1024  # of its answer


@frozen
class Node:
    """Owner and permissions of a file.

    Attributes:
        user: its owner's name.
        group: its group's name.
        mode: permission bits.
    """

    user: str
    group: str
    mode: int

    @property
    def is_group_allowed(self) -> bool:
        """Whether the group may read and write it."""
        return self.mode & GROUP_RW == GROUP_RW


@frozen
class WebAnswer:
    """The answer of a web server. `body` is its beginning if it is text or JSON, otherwise empty."""

    content_type: str = ""
    server: str = ""
    body: bytes = b""


@frozen
class DiskSpace:
    """The free and the total bytes of a file system."""

    free: int
    total: int
    read_only: bool = False


def _run(words: Sequence[str]) -> str | None:
    """Return the output of a program of this machine; None if it is missing or fails."""
    if shutil.which(words[0]) is None:
        return None
    try:
        process = subprocess.run(  # noqa: S603 - words of our own, and no shell
            words, capture_output=True, timeout=RUN_TIMEOUT, check=False, stdin=subprocess.DEVNULL, env=_environment()
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return process.stdout[:MAX_BYTES].decode("utf-8", "replace").strip() if process.returncode == 0 else None


def _fetch(url: str, *, any_status: bool = False) -> WebAnswer | None:
    """Return the answer of a web server of this machine; None: no answer, or an error."""
    import base64  # noqa: PLC0415 - only needed if there may be a camera
    import http.client  # noqa: PLC0415 - as above
    from urllib.parse import unquote, urlsplit  # noqa: PLC0415 - as above

    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # a mistake in the configuration: nothing can answer there
        return None
    headers = {}
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(secret.encode()).decode()}"
    connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = connect(parts.hostname or "", port, timeout=WEB_TIMEOUT)
    try:
        connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), headers=headers)
        answer = connection.getresponse()
        if answer.status != http.client.OK and not any_status:
            return None
        kind = answer.getheader("Content-Type", "")
        text = answer.read(MAX_WEB_BYTES) if kind.startswith(("application/json", "text/")) else b""
        return WebAnswer(kind, answer.getheader("Server", ""), text)
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def _environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C.UTF-8", "SYSTEMD_PAGER": ""}


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _groups(user: str) -> set[str]:
    """Return the groups that a user has after the next login; for our own user, those of this process."""
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        return set()
    gids = [os.getegid(), *os.getgroups()] if entry.pw_uid == os.geteuid() else os.getgrouplist(user, entry.pw_gid)
    return {_group(gid) for gid in gids}


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _node(path: str) -> Node | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - as os.statvfs below
    except OSError:
        return None
    return Node(_user(status.st_uid), _group(status.st_gid), stat.S_IMODE(status.st_mode))


def _disk(path: Path) -> DiskSpace | None:
    """Return the file system of a path, or of its nearest parent that exists."""
    for each in (path, *path.parents):
        try:
            system = os.statvfs(each)
        except OSError:
            continue
        read_only = bool(system.f_flag & os.ST_RDONLY)
        return DiskSpace(system.f_bavail * system.f_frsize, system.f_blocks * system.f_frsize, read_only)
    return None


@frozen
class View:
    """This machine. Every function returns within seconds; without access, it returns None or an empty result.

    Attributes:
        root: root folder of the file system.
        user: name of the current user; root may read everything.
        modules_of: returns the distributions that have a module, by the module's name.
    """

    root: Path = Path("/")
    user: str = field(default_factory=lambda: _user(os.geteuid()))
    run: Callable[..., str | None] = field(default=lambda *words: _run(words))
    ports: Callable[[], Sequence[Port]] = ports.list_ports
    holders_of: Callable[[str], list[str]] = field(
        default=lambda path: [each.program for each in holders.of_file(path)]
    )
    listeners_at: Callable[[int], list[str]] = field(
        default=lambda port: [each.program for each in holders.of_tcp_port(port)]
    )
    fetch: Callable[..., WebAnswer | None] = _fetch
    groups_of: Callable[[str], set[str]] = _groups
    node: Callable[[str], Node | None] = _node
    disk: Callable[[Path], DiskSpace | None] = _disk
    modules_of: Callable[[], Mapping[str, Sequence[str]]] = packages_distributions
    now: Callable[[], float] = time.time

    def read_text(self, path: str | Path) -> str | None:
        """Return the contents of a file; None if it cannot be read."""
        try:
            with self._at(path).open("rb") as file:
                return file.read(MAX_BYTES).decode("utf-8", "replace")
        except OSError:
            return None

    def exists(self, path: str | Path) -> bool:
        """Tell whether a file or folder exists."""
        try:
            return self._at(path).exists()
        except OSError:
            return True  # in a folder that this user cannot read: assume the best

    def list_folder(self, path: str | Path) -> list[Path]:
        """Return the paths in a folder, the newest last; none if it cannot be read."""
        try:
            return sorted(self._at(path).iterdir(), key=lambda each: each.stat().st_mtime)
        except OSError:
            return []

    def _at(self, path: str | Path) -> Path:
        inside = Path(path).absolute()
        return inside if inside.is_relative_to(self.root) else self.root / inside.relative_to("/")
