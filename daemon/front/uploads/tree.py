"""What is in the folder of uploads, read in one walk: a listing of 10,000 files costs a call of the system for each."""

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
    """A file or a folder. `date` is that of its last change, in whole seconds since the epoch.

    Attributes:
        size: bytes; of a folder: of all files in it, however deep.
        sha1: None for a folder, for a file that did not come as an upload, and where nobody asked for it.
        children: of a folder, as far as they were asked for.
    """

    name: str
    path: str
    type: Literal["machinecode", "folder"]
    size: int
    date: int
    mtime_ns: int
    sha1: str | None = None
    children: tuple["TreeEntry", ...] = ()


def file_entry(found: os.stat_result, path: str, known: Hashes = NO_HASHES) -> TreeEntry:
    """Return what there is to tell of a file."""
    changed = found.st_mtime_ns
    sha1 = known.get((path, found.st_size, changed))
    return TreeEntry(path.rpartition("/")[2], path, "machinecode", found.st_size, changed // 10**9, changed, sha1)


def folder_entry(root: Path, path: str, known: Hashes, levels: int) -> TreeEntry:
    """Return what there is to tell of a folder.

    Args:
        root: of the uploads.
        path: of the folder below it, checked already, and no symbolic link.
        known: hashes.
        levels: how deep its children are told.
    """
    found = root / path
    inside = _children(os.fspath(found), path, os.path.realpath(root), known, levels - 1)
    changed = found.stat().st_mtime_ns
    return _folder(found.name if path else "", path, changed, inside, told=levels > 0)


def signature(entry: TreeEntry) -> str:
    """Return another text for a tree in which any name, size or date is another."""
    told = hashlib.sha1(usedforsecurity=False)
    for each in _all(entry):
        told.update(f"{each.path}\0{each.type}\0{each.size}\0{each.mtime_ns}\n".encode())
    return told.hexdigest()


def _all(entry: TreeEntry) -> Iterator[TreeEntry]:
    yield entry
    for child in entry.children:
        yield from _all(child)


def _folder(name: str, path: str, changed: int, inside: Iterator[TreeEntry], *, told: bool) -> TreeEntry:
    children = tuple(inside) if told else ()
    size = sum(child.size for child in (children if told else inside))
    return TreeEntry(name, path, "folder", size, changed // 10**9, changed, None, children)


def _children(folder: str, path: str, root: str, known: Hashes, levels: int) -> Iterator[TreeEntry]:
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda each: each.name)
    depth = path.count("/") + 1 if path else 0
    for each in entries:
        child = f"{path}/{each.name}" if path else each.name
        # what was put here by hand may have any name, or be gone by now
        with suppress(BadFileName, OSError):
            _check(each.name, child, depth + 1)
            if each.is_symlink():
                yield from _linked(each, child, root, known)
            elif each.is_dir(follow_symlinks=False):
                inside = _children(each.path, child, root, known, levels - 1)
                changed = each.stat(follow_symlinks=False).st_mtime_ns
                yield _folder(each.name, child, changed, inside, told=levels > 0)
            elif each.is_file(follow_symlinks=False) and is_printable(each.name):
                yield file_entry(each.stat(follow_symlinks=False), child, known)


def _check(name: str, path: str, depth: int) -> None:
    """Refuse what `check_path` refuses; it looks at each character, which most names can do without."""
    plain = name.isascii() and name.isprintable() and name[0] not in ". " and "\\" not in name
    if not (plain and len(name) <= MAX_NAME and len(path) * 4 <= MAX_PATH and depth <= MAX_DEPTH):
        check_path(path)


def _linked(entry: "os.DirEntry[str]", path: str, root: str, known: Hashes) -> Iterator[TreeEntry]:
    """Yield the file that a symbolic link leads to; a folder might lead back up."""
    if Path(os.path.realpath(entry.path)).is_relative_to(root) and entry.is_file() and is_printable(entry.name):
        yield file_entry(entry.stat(), path, known)
