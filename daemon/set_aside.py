"""What to do with a file of the service's own that is damaged: keep it under another name, and begin anew.

A power cut or a failing card may leave anything. None of it is worth a printer that stays unattended: what the file
said is lost with or without us, and a person may still look at it.
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
    """Rename a damaged file, in the place of one that was damaged before, and say so; return its new name. Blocks.

    Args:
        path: of the file.
        reason: what is wrong with it.
        consequence: what begins anew.
        also: endings of files that belong to it.

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
    """Return why this can be no file of ours, whatever is in it; None: it can be one, or there is none yet. Blocks."""
    if path.is_symlink() and not path.exists():
        return "it is a link that leads nowhere"
    if not path.exists():
        return None
    if not path.is_file():
        return "it is not a file"
    return None if os.access(path, need) else "it belongs to somebody else"


def make_way(path: Path, consequence: str, need: int = os.R_OK | os.W_OK) -> None:
    """Set aside what stands in the place of a file of ours and can be none; trouble with that is told alone. Blocks.

    Args:
        path: of the file.
        consequence: what begins anew.
        need: what must be allowed with it, as for `os.access`.
    """
    try:
        if (reason := unusable(path, need)) is not None:
            set_aside(path, reason, consequence)
    except OSError as error:
        log.warning("file.in_the_way", path=str(path), reason=str(error), consequence=f"it stays; {consequence}")


def _renamed(path: Path) -> Path:
    """Rename it; where a folder and a file, or two folders, are in each other's way, to another name."""
    for number in ("", "-2", "-3"):
        try:
            return path.replace(path.with_name(path.name + SUFFIX + number))
        except OSError as error:
            if error.errno not in IN_THE_WAY:
                raise
    return path.replace(path.with_name(path.name + SUFFIX + "-4"))
