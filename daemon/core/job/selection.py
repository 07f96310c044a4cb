"""What is printed, by which its file is known again, and how far it is."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Selection:
    """The file to print: its path among the uploads, and what is known of it (size in bytes, date in s)."""

    path: str
    name: str
    size: int
    date: int
    user: str | None = None


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the job is; None where there is nothing to tell. Times in s, completion in percent."""

    completion: float | None = None
    offset: int | None = None
    print_time: float | None = None
    print_time_left: float | None = None
    left_origin: str | None = None
    lines: int = 0
