"""Moves a file to a path where there is none yet."""

import errno
import os
from contextlib import suppress
from pathlib import Path

_NO_HARD_LINKS = {
    errno.EPERM,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
    errno.EMLINK,
}  # FAT and exFAT say EPERM, network shares the others


def move_new(source: Path, target: Path) -> None:
    """Move a file. Unlike a rename, this never replaces a file that was created in the meantime.

    Both paths are on one file system. If it has no hard links (FAT, exFAT, some network shares), an empty file
    reserves the name first; a power cut at that moment leaves the empty file.

    Raises:
        FileExistsError: something exists at `target`; the source stays.
        OSError: as the system says.
    """
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            source.rename(target)
        except OSError:
            with suppress(OSError):
                target.unlink()
            raise
    else:
        source.unlink()
