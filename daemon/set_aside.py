"""What to do with a file of the service's own that is damaged: keep it under another name, and begin anew.

A power cut or a failing card may leave anything. None of it is worth a printer that stays unattended: what the file
said is lost with or without us, and a person may still look at it.
"""

import errno
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


def _renamed(path: Path) -> Path:
    """Rename it; where a folder and a file, or two folders, are in each other's way, to another name."""
    for number in ("", "-2", "-3"):
        try:
            return path.replace(path.with_name(path.name + SUFFIX + number))
        except OSError as error:
            if error.errno not in IN_THE_WAY:
                raise
    return path.replace(path.with_name(path.name + SUFFIX + "-4"))
