"""FileMark: what identifies the file of a print."""

from dataclasses import field

from gcode.frozen import frozen


@frozen
class FileMark:
    """What identifies a file: equal marks mean the same file, with nothing written to it since.

    Attributes:
        sha1: of the upload; None: the file was not uploaded. `daemon.core.job.file_check` compares it, slowly.
    """

    path: str
    size: int
    mtime_ns: int
    inode: int
    sha1: str | None = field(default=None, compare=False)
