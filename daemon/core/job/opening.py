"""Opening the file of a print, and no other one: who talks to the network writes to the folder of uploads."""

import errno
import os
import stat
from pathlib import Path


def opened(path: Path, beneath: Path | None = None) -> int:
    """Return a descriptor for reading a file. Blocks.

    It is looked at before it is opened, through a descriptor that cannot be turned to another file in between: opening
    a serial port resets a board, opening a pipe waits for ever.

    Args:
        path: of the file.
        beneath: the folder that it has to be in, also behind symbolic links; None: wherever it likes.

    Raises:
        OSError: it cannot be opened, is no file, or is elsewhere.
    """
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(place).st_mode):
            raise OSError(errno.EINVAL, "it is not a file", str(path))
        link = Path(f"/proc/self/fd/{place}")
        if beneath is not None and not link.readlink().is_relative_to(os.path.realpath(beneath)):
            raise PermissionError(errno.EACCES, "a symbolic link leads out of the folder of uploads", str(path))
        return os.open(link, os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(place)
