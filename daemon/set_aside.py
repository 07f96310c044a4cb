"""Sets damaged files of the service aside: renames them, so that the service starts with new ones.

After a power cut, or on a failing card, a file may contain anything. A service that refused to start would leave its
printer unattended and would not restore the file. Under its new name, the file can still be examined.
"""

import errno
import os
from contextlib import suppress
from pathlib import Path

import structlog

SUFFIX = ".damaged"
IN_THE_WAY = (errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST)

log = structlog.get_logger()


def set_aside(path: Path, reason: str, consequence: str, *, suffixes: tuple[str, ...] = ()) -> Path:
    """Rename a damaged file, log that, and return the new path. Replaces a file that was set aside earlier. Blocks.

    Args:
        path: the file.
        reason: what is wrong with it.
        consequence: what that means for the user.
        suffixes: of the files that belong to it and are renamed too.

    Raises:
        OSError: it cannot be renamed.
    """
    target = _rename(path)
    for suffix in suffixes:
        with suppress(FileNotFoundError):
            _rename(path.with_name(path.name + suffix))
    log.warning("file.damaged", path=str(path), reason=reason, consequence=consequence, kept_as=str(target))
    return target


def why_unusable(path: Path, need: int = os.R_OK | os.W_OK) -> str | None:
    """Return why the service cannot use this path for a file; None: it can. Blocks."""
    if path.is_symlink() and not path.exists():
        return "it is a link that leads nowhere"
    if not path.exists():
        return None
    if not path.is_file():
        return "it is not a file"
    return None if os.access(path, need) else "the service has no permission to use it"


def make_way(path: Path, consequence: str, need: int = os.R_OK | os.W_OK) -> None:
    """Set aside whatever is at the path of a file, if the service cannot use it; a failure is only logged. Blocks.

    Args:
        path: the file.
        consequence: what that means for the user.
        need: the access that the service needs, as for `os.access`.
    """
    try:
        if (reason := why_unusable(path, need)) is not None:
            set_aside(path, reason, consequence)
    except OSError as error:
        log.warning(
            "file.in_the_way", path=str(path), reason=str(error), consequence=f"it was not renamed; {consequence}"
        )


def _rename(path: Path) -> Path:
    """Rename a file; number the new name if a folder has it, since a rename cannot replace a folder."""
    for number in ("", "-2", "-3"):
        try:
            return path.replace(path.with_name(path.name + SUFFIX + number))
        except OSError as error:
            if error.errno not in IN_THE_WAY:
                raise
    return path.replace(path.with_name(path.name + SUFFIX + "-4"))
