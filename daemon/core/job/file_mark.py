"""FileMark: what identifies the file of a print."""

from dataclasses import field

from gcode.frozen import frozen


@frozen
class FileMark:
    """What identifies a file: equal marks mean that it is the same file and nothing has been written to it.

    Attributes:
        sha1: the SHA-1 of the upload; None: not known. Marks are compared without it; `daemon.core.job.file_check`
            checks it.
    """

    path: str
    size: int
    mtime_ns: int
    inode: int
    sha1: str | None = field(default=None, compare=False)
