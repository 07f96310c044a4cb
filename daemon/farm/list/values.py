"""Values that the list takes and returns: jobs, copies, files, events."""

from typing import Literal, get_args

import msgspec

CopyState = Literal["waiting", "offered", "claimed", "printing", "done", "failed", "cancelled"]
JobState = Literal["waiting", "held", "printing", "done", "failed", "cancelled"]

COPY_STATES: tuple[CopyState, ...] = get_args(CopyState)

FINAL_STATES: tuple[CopyState, ...] = ("done", "failed", "cancelled")
"""States that never change again."""

HELD_STATES: tuple[CopyState, ...] = ("offered", "claimed", "printing")
"""States in which a printer holds the copy."""

BEGUN_STATES: tuple[CopyState, ...] = ("claimed", "printing")
"""States that only the printer's report or a user ends."""

MAX_FAULTS = 3
"""A copy fails after this many faults before its start."""

FAULT_PAUSE_S = 600.0
"""Seconds for which a printer gets no copy of a job after it has declined one for a fault."""

SILENT_PAUSE_S = 120.0
"""The same after it has let the lease of an offer run out."""


class ListValue(msgspec.Struct, frozen=True, kw_only=True):
    """A value of the list."""


class FileFacts(ListValue, frozen=True):
    """A file and the results of its analysis; empty, 0 or None: unknown.

    Attributes:
        at: Unix time of its upload, in s.
        extent: width and depth of the print, and its height above the bed, in mm.
        hottest: the highest hotend target, in °C.
        seconds: the estimated print time.
    """

    sha256: str
    size: int
    name: str
    at: float = 0.0
    material: str = ""
    colour: str = ""
    nozzle_mm: float = 0.0
    extent: tuple[float, float, float] | None = None
    hottest: float = 0.0
    seconds: float = 0.0
    filament_mm: float = 0.0
    warnings: tuple[str, ...] = ()


class Submission(ListValue, frozen=True, forbid_unknown_fields=True):
    """A job as a client submits it.

    Attributes:
        sha256: hash of a stored file; empty if the file comes with the submission.
        name: of the job; empty: the file's name.
        material: None: the file's; "": any; "PLA; PVA": both must be loaded.
        colour: of the first material; empty: any.
        nozzle_mm: None: the file's; 0: any.
        printers: ids of the printers that may print it; empty: all of the group.
        due: Unix time of the due date, in s.
    """

    sha256: str = ""
    name: str = ""
    copies: int = 1
    material: str | None = None
    colour: str = ""
    nozzle_mm: float | None = None
    group: str = ""
    printers: tuple[str, ...] = ()
    priority: int = 0
    due: float | None = None
    notes: str = ""
    held: bool = False


class JobRequest(Submission, frozen=True):
    """A submission with its sender.

    Attributes:
        by: name of the sender's API key.
        key: idempotency key: repeating a request never makes a second job; empty: none.
        id: of the job, if it comes from the hub; empty: the list chooses one.
    """

    by: str = ""
    key: str = ""
    id: str = ""


class JobChanges(ListValue, frozen=True, forbid_unknown_fields=True):
    """Changes to a job; fields that are left out stay as they are."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    copies: int | msgspec.UnsetType = msgspec.UNSET
    material: str | msgspec.UnsetType = msgspec.UNSET
    colour: str | msgspec.UnsetType = msgspec.UNSET
    nozzle_mm: float | msgspec.UnsetType = msgspec.UNSET
    group: str | msgspec.UnsetType = msgspec.UNSET
    printers: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    priority: int | msgspec.UnsetType = msgspec.UNSET
    due: float | msgspec.UnsetType | None = msgspec.UNSET
    notes: str | msgspec.UnsetType = msgspec.UNSET


class FarmCopy(ListValue, frozen=True):
    """One print of a job's file.

    Attributes:
        parent: id of the copy that this one replaces; empty: none.
        attempt: number of the offer; messages about earlier offers are refused.
        nonce: of the claim; empty: not claimed.
        wish: "cancel" while a user's cancellation waits for the printer's confirmation; else empty.
        faults: number of attempts that a fault ended before the start.
        since: when it entered its state.
    """

    id: str
    job: str
    number: int
    state: CopyState
    parent: str = ""
    printer: str = ""
    attempt: int = 0
    nonce: str = ""
    lease_until: float = 0.0
    wish: str = ""  # no Literal: a site of another version sends copies, and an unknown wish must not be an error
    faults: int = 0
    reason: str = ""
    since: float = 0.0
    begun: float | None = None
    ended: float | None = None
    seconds: float = 0.0
    filament_mm: float = 0.0


class FarmJob(ListValue, frozen=True):
    """A job, with counts of its copies.

    Attributes:
        size, extent, hottest, seconds, filament_mm: of its file, as in FileFacts.
        rank: orders the jobs of a priority and due date; users change it by moving a job.
        counts: number of copies by state.
        revision: goes up with each change to the job itself, but not to its copies.
        site: the site that it was handed over to, whose list decides about it; empty: this list does.
    """

    id: str
    number: int
    name: str
    sha256: str
    state: JobState
    created: float
    revision: int
    size: int = 0
    by: str = ""
    copies: int = 1
    material: str = ""
    colour: str = ""
    nozzle_mm: float = 0.0
    group: str = ""
    printers: tuple[str, ...] = ()
    priority: int = 0
    rank: float = 0.0
    due: float | None = None
    notes: str = ""
    held: bool = False
    held_by: str = ""
    held_at: float | None = None
    extent: tuple[float, float, float] | None = None
    hottest: float = 0.0
    seconds: float = 0.0
    filament_mm: float = 0.0
    site: str = ""
    counts: dict[str, int] = {}


class ListedEvent(ListValue, frozen=True):
    """An event in the list's log: who did what, and when."""

    number: int
    at: float
    by: str
    what: str
    job: str = ""
    copy: str = ""
    printer: str = ""
    text: str = ""


class FileRef(ListValue, frozen=True):
    """A file that a printer may read."""

    sha256: str
    size: int
    name: str


class Decline(ListValue, frozen=True):
    """A printer's refusal of a job; the printer is offered no copies of that job.

    Attributes:
        until: Unix time in s; None: until the job is edited or released.
    """

    job: str
    printer: str
    reason: str
    until: float | None
