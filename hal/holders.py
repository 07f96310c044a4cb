"""Finds the processes that hold a file or a TCP port, from /proc alone, to name them in messages.

Other users' processes show their descriptors to root only; a lock shows its owner to every user. So an empty list means
that no process is visible, not that there is none.
"""

import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gcode.frozen import frozen

_PROC = Path("/proc")
_LISTEN = "0A"  # column `st` of /proc/net/tcp
_NO_FILE = "<none>:0"  # of a lock whose file is gone (fs/locks.c, `lock_get_status`)
_MAX_NAME = 60
_PTYS = range(136, 144)  # majors; each container has its own ptys from 0, in a file system of its own


@dataclass(frozen=True, slots=True, order=True)
class Holder:
    """A process, and the name of its program for the user."""

    pid: int
    program: str


@frozen
class Lock:
    """One line of /proc/locks: a lock, its owner and its file."""

    kind: str  # "FLOCK", "POSIX" or "OFDLCK"
    pid: int
    device: int
    inode: int


def of_file(path: str | os.PathLike[str]) -> list[Holder]:
    """Return the visible processes that have this file or device open or locked."""
    try:
        node = Path(path).stat()
    except OSError:
        return []
    pids = set(_pids_with(lambda descriptor: _is_same(descriptor, node)))
    pids.update(lock.pid for lock in locks_on(path) or ())
    return _holders(pids)


def of_tcp_port(port: int) -> list[Holder]:
    """Return the visible processes that listen on this TCP port."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not sockets:
        return []
    return _holders(set(_pids_with(lambda descriptor: str(descriptor.readlink()) in sockets)))


def describe(holders: list[Holder]) -> str:
    """Return processes as part of a sentence: "octoprint (pid 812)"."""
    if holders:
        return ", ".join(f"{holder.program} (pid {holder.pid})" for holder in holders)
    if os.geteuid() == 0:
        return "another program (not visible from here)"
    return "another program (run as root to see which)"


def locks_on(path: str | os.PathLike[str]) -> list[Lock] | None:
    """Return the locks on this file; None: the table is hidden (systemd's ProcSubset=pid)."""
    try:
        table = (_PROC / "locks").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    try:
        node = Path(path).stat()
    except OSError:
        return []
    return [lock for lock in parse_locks(table) if (lock.device, lock.inode) == (node.st_dev, node.st_ino)]


def parse_locks(table: str) -> Iterator[Lock]:
    """Yield the locks in a text like /proc/locks, without those that a process still waits for (`->`)."""
    for line in table.splitlines():
        match line.split():
            case [_, ("FLOCK" | "POSIX" | "OFDLCK") as kind, _, _, pid, node, *_] if node != _NO_FILE:
                major, minor, inode = node.split(":")
                yield Lock(kind, int(pid), os.makedev(int(major, 16), int(minor, 16)), int(inode))


def _holders(pids: set[int]) -> list[Holder]:
    # a lock's pid is 0 or -1 if its owner is in another pid namespace or is no single process
    return sorted(Holder(pid, name) for pid in pids if pid > 0 and (name := _program(pid)) is not None)


def _pids_with(matches: Callable[[Path], bool]) -> Iterator[int]:
    """Yield the processes with a matching descriptor, as far as their descriptors can be read."""
    for process in _PROC.iterdir():
        if not process.name.isdecimal():
            continue
        try:
            if any(_quietly(matches, descriptor) for descriptor in (process / "fd").iterdir()):
                yield int(process.name)
        except OSError:
            continue


def _quietly(matches: Callable[[Path], bool], descriptor: Path) -> bool:
    try:
        return matches(descriptor)
    except OSError:  # closed meanwhile
        return False


def _is_same(descriptor: Path, node: os.stat_result) -> bool:
    """Tell whether both are one file; devices are compared by number, as one may have several nodes."""
    other = descriptor.stat()
    if stat.S_ISCHR(node.st_mode) and os.major(node.st_rdev) not in _PTYS:
        return stat.S_ISCHR(other.st_mode) and other.st_rdev == node.st_rdev
    return (other.st_dev, other.st_ino) == (node.st_dev, node.st_ino)


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("net/tcp", "net/tcp6"):
        try:
            lines = (_PROC / table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:  # no IPv6 here
            continue
        for columns in map(str.split, lines):
            local, state, inode = columns[1], columns[3], columns[9]
            if state == _LISTEN and int(local.rpartition(":")[2], 16) == port:
                yield inode


def _program(pid: int) -> str | None:
    """Return the name of the program, or of the script of an interpreter; None: the process is gone."""
    try:
        name = (_PROC / str(pid) / "comm").read_text(errors="replace").rstrip("\n")
        words = (_PROC / str(pid) / "cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return None
    if re.match(r"python|node|perl|ruby", name):
        # the first word that is no option: a script, or the module after -m
        name = next((Path(word).name for word in words[1:] if word and not word.startswith("-")), name)
    return "".join(c for c in name if c.isprintable())[:_MAX_NAME] or "unnamed"
