"""The values that core and front share: those of a job, its file and the ports.

They cross the bridge unchanged, so every field that is added needs a default: older versions do not send it.
"""

from dataclasses import field
from enum import Enum
from typing import Literal

from gcode.frozen import frozen


class JobState(Enum):
    """The state of a job. The last four are final."""

    STARTING = "starting"
    PRINTING = "printing"
    PAUSING = "pausing"
    PAUSED = "paused"
    RESUMING = "resuming"
    FINISHING = "finishing"
    CANCELLING = "cancelling"
    REATTACHING = "reattaching"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"
    INTERRUPTED = "interrupted"

    @property
    def ended(self) -> bool:
        """The state is final."""
        return self in ENDED


ENDED = frozenset({JobState.COMPLETED, JobState.CANCELLED, JobState.FAILED, JobState.INTERRUPTED})
ACTIVE = tuple(state for state in JobState if state not in ENDED)


@frozen
class Selection:
    """The file to print: its path among the uploads, its size in bytes and the Unix time of its last change, in s.

    Attributes:
        sha1: of the upload, valid while size and `mtime_ns` stay the same; None: not known.
    """

    path: str
    name: str
    size: int
    date: int
    user: str | None = None
    mtime_ns: int = field(default=0, compare=False)
    sha1: str | None = field(default=None, compare=False)


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


TimeLeftOrigin = Literal["linear", "analysis", "mixed-analysis"]
"""What the time left is estimated from, in OctoPrint's words."""


@frozen
class JobProgress:
    """How far the job is; None: not known. Times in s, completion in percent, `offset` in bytes."""

    completion: float | None = None
    offset: int | None = None
    print_time: float | None = None
    print_time_left: float | None = None
    left_origin: TimeLeftOrigin | None = None
    lines: int = 0


@frozen
class Protection:
    """What happens to the heaters if the host dies.

    Attributes:
        after_s: seconds until the firmware turns them off; None: it never does.
        reason: why the firmware never turns them off, in a sentence.
    """

    after_s: float | None
    reason: str | None = None


@frozen
class PortOptions:
    """What a client may connect to, and the present choice."""

    ports: list[str]
    baudrates: list[int]
    port: str | None
    baudrate: int | None
    port_preference: str | None
    baudrate_preference: int | None


@frozen
class LastPrint:
    """How the last print of a file ended; `state` is that of its job, empty if the core is too old to send it."""

    date: float
    success: bool
    print_time: float | None
    state: str = ""


@frozen
class PastPrint:
    """A recorded job: `started` and `ended` are Unix times in s, `state` is the last one recorded."""

    id: int
    path: str
    name: str
    state: str
    started: float
    ended: float | None = None
    print_time: float | None = None
    reason: str | None = None


@frozen
class PrintRecord:
    """A recorded job in full; `print_time` and Unix times in s, `offset` and `size` in bytes."""

    id: int
    path: str
    name: str
    size: int
    mtime_ns: int
    state: str
    started: float
    printer: str
    ended: float | None = None
    print_time: float | None = None
    reason: str | None = None
    user: str | None = None
    lines: int = 0
    offset: int = 0
    key: str | None = None
    began: bool = True
    resends: int | None = None


@frozen
class KeyedPrint:
    """The job of a print with an idempotency key.

    Attributes:
        mark: identifies what the request asked for.
        state: the last one known.
        began: something may have been sent for it.
        ejected: the script that clears the bed has run.
        again: the request is a repeated one, and the job had begun before.
        bed: the value that `Snapshot.bed` has as long as nothing but this print is on the bed; None: not known.
    """

    job: int
    key: str
    mark: str
    state: str
    reason: str | None = None
    began: bool = True
    ended: bool = False
    ejected: bool = False
    again: bool = False
    bed: int | None = None


@frozen
class FileStatistics:
    """How the prints of a file ended; every print that did not complete is a failure."""

    success: int = 0
    failure: int = 0
    last: LastPrint | None = None
    average_print_time: float | None = None
