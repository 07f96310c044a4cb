"""Checks of the names of uploaded files, and the errors when access to them fails.

A path is relative to the folder of uploads, with `/` between its parts, as in OctoPrint's API.
"""

import errno

from daemon.errors import (
    BadFileName,
    FileError,
    FileExists,
    IsAFolder,
    NoSuchFile,
    NotAFolder,
    NotPrintable,
    StorageFull,
)
from daemon.one_line import is_one_line

EXTENSIONS = (".gcode", ".gco", ".g")
MAX_PATH = 1024  # bytes
MAX_NAME = 255  # bytes of one part
MAX_DEPTH = 32  # parts


def check_path(path: str) -> tuple[str, ...]:
    """Return the parts of a path; the folder of uploads itself has none.

    Raises:
        BadFileName: the path is not allowed.
    """
    if not is_one_line(path):
        raise BadFileName(f"a name must not contain control characters: {path[:MAX_NAME]!r}")
    if len(path.encode()) > MAX_PATH:
        raise BadFileName(f"a path may have at most {MAX_PATH} bytes: this one has {len(path.encode())}")
    if "\\" in path:
        raise BadFileName(f"folders are separated by /, not by a backslash: {path}")
    if path.startswith("/"):
        raise BadFileName(f"the path begins with /, but must be relative to the folder of uploads: {path}")
    parts = tuple(path.removesuffix("/").split("/")) if path else ()
    if len(parts) > MAX_DEPTH:
        raise BadFileName(f"a path may have at most {MAX_DEPTH} parts: this one has {len(parts)}")
    for part in parts:
        _check_name(part, path)
    return parts


def _check_name(name: str, path: str) -> None:
    if not name.strip():
        raise BadFileName(f"a part of the path is empty: {path!r}")
    if name == "..":
        raise BadFileName(f"a path must not contain ..: {path}")
    if name.startswith("."):
        raise BadFileName(f"a name must not begin with a dot: {path}")
    if len(name.encode()) > MAX_NAME:
        raise BadFileName(f"a name may have at most {MAX_NAME} bytes: this one has {len(name.encode())}: {name[:40]}…")


def is_printable(name: str) -> bool:
    """Tell by its name whether a file is G-code."""
    return name.lower().endswith(EXTENSIONS)


def check_printable(path: str) -> None:
    """Raise NotPrintable if a file is not G-code by its name."""
    if path.lower().endswith((".bgcode", ".bgc", ".gz", ".3mf")):
        raise NotPrintable(f"{path} names a packed file: uploads are stored unpacked, as cube.gcode for example")
    if not is_printable(path):
        endings = f"{', '.join(EXTENSIONS)} or .bgcode, alone or followed by .gz or .3mf"
        raise NotPrintable(f"{path} is not a G-code file: it does not end in {endings}")


_ERRORS: dict[int | None, tuple[type[FileError], str]] = {
    errno.ENOENT: (NoSuchFile, "there is no such file or folder"),
    errno.EEXIST: (FileExists, "the name is taken"),
    errno.ENOTEMPTY: (FileExists, "the name is taken"),
    errno.EISDIR: (IsAFolder, "it is a folder"),
    errno.ENOTDIR: (NotAFolder, "a part of the path is a file, not a folder"),
    errno.ENAMETOOLONG: (BadFileName, "the name is too long"),
    errno.ENOSPC: (StorageFull, "the disk is full"),
    errno.EDQUOT: (StorageFull, "the disk is full: the user's quota is used up"),
}


def file_error(error: OSError, path: str) -> FileError:
    """Return the FileError for an OSError."""
    kind, text = _ERRORS.get(error.errno, (FileError, error.strerror or str(error)))
    return kind(f"{path or 'the folder of uploads'}: {text}")
