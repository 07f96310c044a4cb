"""View: what the checks may ask of the machine. Tests put a machine of their own in its place."""

import grp
import os
import pwd
import shutil
import stat
import subprocess
import time  # noqa: TID251 - the date of this machine is one of the things that are looked at
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from importlib.metadata import packages_distributions
from pathlib import Path

from gcode.frozen import frozen
from hal import holders, ports
from hal.ports import Port

MOST = 4 * 1024 * 1024  # bytes of one file, or of what a program says
GROUP_MAY = 0o060  # read and write
PATIENCE = 10.0  # s that a program may take
WEB_PATIENCE = 0.5  # s that a web server of this machine may take to answer
MOST_OF_WEB = 64 * 1024  # bytes of its answer


@frozen
class Node:
    """What `stat` tells of a file.

    Attributes:
        user: its owner's name.
        group: its group's name.
        mode: permission bits.
    """

    user: str
    group: str
    mode: int

    @property
    def group_may(self) -> bool:
        """The group may read and write."""
        return self.mode & GROUP_MAY == GROUP_MAY


def _run(words: Sequence[str]) -> str | None:
    """Return what a program of this machine says; None where there is none, or it fails."""
    if shutil.which(words[0]) is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - words of our own, and no shell
            words, capture_output=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL, env=_environment()
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout[:MOST].decode("utf-8", "replace").strip() if done.returncode == 0 else None


def _fetch(url: str, *, any_status: bool = False) -> tuple[str, str, bytes] | None:
    """Return content type, server and the beginning of what a web server of this machine answers; None: nothing."""
    import http.client  # noqa: PLC0415 - where there may be a camera alone
    from urllib.parse import urlsplit  # noqa: PLC0415 - as above

    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=WEB_PATIENCE)
    try:
        connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        answer = connection.getresponse()
        if answer.status != http.client.OK and not any_status:
            return None
        kind = answer.getheader("Content-Type", "")
        text = answer.read(MOST_OF_WEB) if kind.startswith(("application/json", "text/")) else b""
        return kind, answer.getheader("Server", ""), text
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
    """Return the groups that a user has after the next login; of our own user those that this process has."""
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
        found = os.stat(path)  # noqa: PTH116 - as os.statvfs below
    except OSError:
        return None
    return Node(_user(found.st_uid), _group(found.st_gid), stat.S_IMODE(found.st_mode))


def _room(path: Path) -> tuple[int, int, bool] | None:
    """Return free and all bytes of the file system, and whether it can only be read."""
    for each in (path, *path.parents):
        try:
            found = os.statvfs(each)
        except OSError:
            continue
        return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize, bool(found.f_flag & os.ST_RDONLY)
    return None


@frozen
class View:
    """This machine. Every function takes no longer than some seconds, and answers "nothing" where it cannot see.

    Attributes:
        root: of the file system.
        user: who asks; root sees all.
        modules_of: which distributions have the modules of this environment, by the names of these.
    """

    root: Path = Path("/")
    user: str = field(default_factory=lambda: _user(os.geteuid()))
    run: Callable[..., str | None] = field(default=lambda *words: _run(words))
    ports: Callable[[], Sequence[Port]] = ports.list_ports
    held_by: Callable[[str], list[str]] = field(default=lambda path: [each.program for each in holders.of_file(path)])
    listens: Callable[[int], list[str]] = field(
        default=lambda port: [each.program for each in holders.of_tcp_port(port)]
    )
    fetch: Callable[..., tuple[str, str, bytes] | None] = _fetch
    groups_of: Callable[[str], set[str]] = _groups
    node: Callable[[str], Node | None] = _node
    room: Callable[[Path], tuple[int, int, bool] | None] = _room
    modules_of: Callable[[], Mapping[str, Sequence[str]]] = packages_distributions
    now: Callable[[], float] = time.time

    def text(self, path: str | Path) -> str | None:
        """Return what is in a file; None where it cannot be read."""
        try:
            with self._at(path).open("rb") as file:
                return file.read(MOST).decode("utf-8", "replace")
        except OSError:
            return None

    def there(self, path: str | Path) -> bool:
        """Tell whether there is such a file or folder."""
        try:
            return self._at(path).exists()
        except OSError:
            return True  # in a folder that may not be looked into

    def names(self, path: str | Path) -> list[Path]:
        """Return what is in a folder, the newest last; nothing where it cannot be seen."""
        try:
            return sorted(self._at(path).iterdir(), key=lambda each: each.stat().st_mtime)
        except OSError:
            return []

    def _at(self, path: str | Path) -> Path:
        inside = Path(path).absolute()
        return inside if inside.is_relative_to(self.root) else self.root / inside.relative_to("/")
