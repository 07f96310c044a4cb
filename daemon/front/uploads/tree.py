"""TreeEntry: the files and folders of the uploads. One walk reads them, with one system call per file."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

from daemon.errors import BadFileName
from daemon.front.uploads.filenames import MAX_DEPTH, MAX_NAME, MAX_PATH, check_path, is_printable
from daemon.front.uploads.hashes import NO_HASHES, Hashes
from gcode.frozen import frozen


@frozen
class TreeEntry:
    """A file or folder.

    Attributes:
        size: in bytes; of a folder: the sum of all files below it.
        date: Unix time of the last change, in whole s.
        sha1: None: it is a folder, it was not uploaded, or hashes were not requested.
        children: of a folder, as deep as requested.
    """

    name: str
    path: str
    type: Literal["machinecode", "folder"]
    size: int
    date: int
    mtime_ns: int
    sha1: str | None = None
    children: tuple["TreeEntry", ...] = ()


def file_entry(status: os.stat_result, path: str, hashes: Hashes = NO_HASHES) -> TreeEntry:
    """Return the entry of a file."""
    changed = status.st_mtime_ns
    sha1 = hashes.get((path, status.st_size, changed))
    return TreeEntry(path.rpartition("/")[2], path, "machinecode", status.st_size, changed // 10**9, changed, sha1)


def folder_entry(root: Path, path: str, hashes: Hashes, levels: int) -> TreeEntry:
    """Return the entry of a folder.

    Args:
        root: the folder of uploads.
        path: the folder below it; it must be checked, and not be a symbolic link.
        hashes: the stored hashes.
        levels: how many levels of children to include.
    """
    folder = root / path
    children = _children(os.fspath(folder), path, os.path.realpath(root), hashes, levels - 1)
    changed = folder.stat().st_mtime_ns
    return _folder(folder.name if path else "", path, changed, children, include=levels > 0)


def signature(entry: TreeEntry) -> str:
    """Return a hash of all names, sizes and dates in a tree."""
    hashed = hashlib.sha1(usedforsecurity=False)
    for each in _all(entry):
        hashed.update(f"{each.path}\0{each.type}\0{each.size}\0{each.mtime_ns}\n".encode())
    return hashed.hexdigest()


def _all(entry: TreeEntry) -> Iterator[TreeEntry]:
    yield entry
    for child in entry.children:
        yield from _all(child)


def _folder(name: str, path: str, changed: int, entries: Iterator[TreeEntry], *, include: bool) -> TreeEntry:
    children = tuple(entries) if include else ()
    size = sum(child.size for child in (children if include else entries))
    return TreeEntry(name, path, "folder", size, changed // 10**9, changed, None, children)


def _children(folder: str, path: str, root: str, hashes: Hashes, levels: int) -> Iterator[TreeEntry]:
    with os.scandir(folder) as unsorted:
        entries = sorted(unsorted, key=lambda each: each.name)
    depth = path.count("/") + 1 if path else 0
    for each in entries:
        child = f"{path}/{each.name}" if path else each.name
        # a file that was put here by hand may have any name, or be gone by now
        with suppress(BadFileName, OSError):
            _check(each.name, child, depth + 1)
            if each.is_symlink():
                yield from _linked(each, child, root, hashes)
            elif each.is_dir(follow_symlinks=False):
                inside = _children(each.path, child, root, hashes, levels - 1)
                changed = each.stat(follow_symlinks=False).st_mtime_ns
                yield _folder(each.name, child, changed, inside, include=levels > 0)
            elif each.is_file(follow_symlinks=False) and is_printable(each.name):
                yield file_entry(each.stat(follow_symlinks=False), child, hashes)


def _check(name: str, path: str, depth: int) -> None:
    """Refuse what `check_path` refuses; most names pass a quicker test."""
    is_plain = name.isascii() and name.isprintable() and name[0] not in ". " and "\\" not in name
    if not (is_plain and len(name) <= MAX_NAME and len(path) * 4 <= MAX_PATH and depth <= MAX_DEPTH):
        check_path(path)


def _linked(entry: "os.DirEntry[str]", path: str, root: str, hashes: Hashes) -> Iterator[TreeEntry]:
    """Yield the file behind a symbolic link; links to folders are ignored, as they may form a cycle."""
    if Path(os.path.realpath(entry.path)).is_relative_to(root) and entry.is_file() and is_printable(entry.name):
        yield file_entry(entry.stat(), path, hashes)
