"""Opens the file of a print, and no other file: the front, which talks to the network, can write to the uploads."""

import errno
import os
import stat
from pathlib import Path

DESCRIPTORS = Path("/proc/self/fd")


def open_upload(path: Path, root: Path | None = None) -> int:
    """Return a descriptor for reading a file. Blocks.

    The file is checked before it is opened, because opening a serial port resets a board, and opening a pipe may block
    for ever. An O_PATH descriptor is checked, so the path cannot be made to lead to another file in between.

    Args:
        path: the path of the file.
        root: the folder in which it has to be, with symbolic links resolved; None: any folder.

    Raises:
        OSError: it cannot be opened, is not a regular file, or is elsewhere.
    """
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "it is not a file", str(path))
        link = DESCRIPTORS / str(handle)
        if not link.is_symlink():
            raise OSError(errno.ENOENT, "/proc is not mounted", str(path))
        if root is not None and not link.readlink().is_relative_to(os.path.realpath(root)):
            raise PermissionError(errno.EACCES, "a symbolic link leads out of the folder of uploads", str(path))
        return os.open(link, os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(handle)
