"""By which the file of a print is known again."""

from dataclasses import field

from gcode.frozen import frozen


@frozen
class FileMark:
    """By which a file is known again: nothing was written to it, and it is no other one of the same name.

    Attributes:
        sha1: of the upload; None: it did not come as one. Too slow to compare by, `daemon.core.job.file_check` does so.
    """

    path: str
    size: int
    mtime_ns: int
    inode: int
    sha1: str | None = field(default=None, compare=False)
