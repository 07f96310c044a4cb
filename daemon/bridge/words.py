"""The words that core and front share: what is told of a job, of its file and of the ports.

They cross the bridge as they are here, so a field that is added needs a default: a neighbour of another version does
not send it.
"""

from dataclasses import field
from enum import Enum
from typing import Literal

from gcode.frozen import frozen


class JobState(Enum):
    """Where a job is. The last four are ends, with no way out."""

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
        """No way leads out of this state."""
        return self in ENDED


ENDED = frozenset({JobState.COMPLETED, JobState.CANCELLED, JobState.FAILED, JobState.INTERRUPTED})
ACTIVE = tuple(state for state in JobState if state not in ENDED)


@frozen
class Selection:
    """The file to print: its path among the uploads, and what is known of it (size in bytes, date in s).

    Attributes:
        sha1: of the upload, as long as size and `mtime_ns` are what they were; None: it is not known.
    """

    path: str
    name: str
    size: int
    date: int
    user: str | None = None
    mtime_ns: int = field(default=0, compare=False)
    sha1: str | None = field(default=None, compare=False)


TimeLeftOrigin = Literal["linear", "analysis", "mixed-analysis"]
"""What the time left is an estimate by, in OctoPrint's words."""


@frozen
class JobProgress:
    """How far the job is; None where there is nothing to tell. Times in s, completion in percent."""

    completion: float | None = None
    offset: int | None = None
    print_time: float | None = None
    print_time_left: float | None = None
    left_origin: TimeLeftOrigin | None = None
    lines: int = 0


@frozen
class Protection:
    """What becomes of the heaters when the host dies.

    Attributes:
        after_s: seconds until the firmware has turned them off; None: it never does.
        reason: why not, in a sentence.
    """

    after_s: float | None
    reason: str | None = None


@frozen
class PortOptions:
    """What a client may choose from, and what is chosen."""

    ports: list[str]
    baudrates: list[int]
    port: str | None
    baudrate: int | None
    port_preference: str | None
    baudrate_preference: int | None


@frozen
class LastPrint:
    """How the last print of a file ended; `state` is the job's last one, empty from a core of another version."""

    date: float
    success: bool
    print_time: float | None
    state: str = ""


@frozen
class PastPrint:
    """A job of the record: `started` and `ended` are dates in s, `state` is the last one that is recorded."""

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
    """A job of the record, with all that is known there; `print_time` and dates in s, `offset` and `size` in bytes."""

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
    """The job of a print that was asked for with a key.

    Attributes:
        mark: of what was asked for.
        state: the last one that is known.
        began: something may have been sent for it.
        ejected: it has cleared the bed by the script for it.
        again: it had begun before it was asked for this time.
        bed: what `Snapshot.bed` is as long as nothing was put on the bed but this print; None: nobody knows.
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
    """How the prints of a file ended; what did not complete is a failure."""

    success: int = 0
    failure: int = 0
    last: LastPrint | None = None
    average_print_time: float | None = None
