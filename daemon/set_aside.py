"""Sets damaged files of the service aside: they are renamed, and the service starts over without them.

A power cut or a failing card may leave anything. Refusing to start would leave a printer unattended and bring nothing
back; under its new name the file can still be examined.
"""

import errno
import os
from contextlib import suppress
from pathlib import Path

import structlog

SUFFIX = ".damaged"
IN_THE_WAY = (errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST)

log = structlog.get_logger()


def set_aside(path: Path, reason: str, consequence: str, *, also: tuple[str, ...] = ()) -> Path:
    """Rename a damaged file, replacing one set aside before, and log it; return its new name. Blocks.

    Args:
        path: of the file.
        reason: what is wrong with it.
        consequence: what that means for the user.
        also: suffixes of files that belong to it.

    Raises:
        OSError: it cannot be renamed.
    """
    kept = _renamed(path)
    for ending in also:
        with suppress(FileNotFoundError):
            _renamed(path.with_name(path.name + ending))
    log.warning("file.damaged", path=str(path), reason=reason, consequence=consequence, kept_as=str(kept))
    return kept


def unusable(path: Path, need: int = os.R_OK | os.W_OK) -> str | None:
    """Return why the service cannot use this path for a file; None: it can. Blocks."""
    if path.is_symlink() and not path.exists():
        return "it is a link that leads nowhere"
    if not path.exists():
        return None
    if not path.is_file():
        return "it is not a file"
    return None if os.access(path, need) else "it belongs to another user"


def make_way(path: Path, consequence: str, need: int = os.R_OK | os.W_OK) -> None:
    """Set aside what the service cannot use in the place of its file; a failure is only logged. Blocks.

    Args:
        path: of the file.
        consequence: what that means for the user.
        need: the access that the service needs, as for `os.access`.
    """
    try:
        if (reason := unusable(path, need)) is not None:
            set_aside(path, reason, consequence)
    except OSError as error:
        log.warning("file.in_the_way", path=str(path), reason=str(error), consequence=f"it stays; {consequence}")


def _renamed(path: Path) -> Path:
    """Rename it; to a numbered name where a folder is in the way, which a rename cannot replace."""
    for number in ("", "-2", "-3"):
        try:
            return path.replace(path.with_name(path.name + SUFFIX + number))
        except OSError as error:
            if error.errno not in IN_THE_WAY:
                raise
    return path.replace(path.with_name(path.name + SUFFIX + "-4"))
