"""Values that the list takes and gives."""

from typing import Literal, get_args

import msgspec

CopyState = Literal["waiting", "offered", "claimed", "printing", "done", "failed", "cancelled"]
JobState = Literal["waiting", "held", "printing", "done", "failed", "cancelled"]

COPY_STATES: tuple[CopyState, ...] = get_args(CopyState)

FINAL: tuple[CopyState, ...] = ("done", "failed", "cancelled")
"""What never changes again."""

HOLDING: tuple[CopyState, ...] = ("offered", "claimed", "printing")
"""What has a printer."""

BEGUN: tuple[CopyState, ...] = ("claimed", "printing")
"""What only its printer's word, or a person's, ends."""

TRIES = 3
"""Faults before its start after which a copy has failed."""

FAULT_PAUSE = 600.0
"""Seconds that a printer gets no copy of a job that it has declined for a fault."""

SILENT_PAUSE = 120.0
"""The same for a printer that let the lease of an offer run out."""


class ListValue(msgspec.Struct, frozen=True, kw_only=True):
    """A value of the list."""


class FileFacts(ListValue, frozen=True):
    """A file, by its hash, and what the analysis found in it; empty, 0 or None: it does not say.

    Attributes:
        extent: of what is extruded: width, depth, and the height above the bed, mm.
        hottest: the highest target of a hotend.
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


class JobWish(ListValue, frozen=True, forbid_unknown_fields=True):
    """What a person submits.

    Attributes:
        material: None is the file's, "" is any, "PLA; PVA" is both; so with the nozzle (0).
        colour: of the first material, "" is any.
        printers: the only ones that may print it; empty: all of the group.
        key: the same key never makes a second job.
        id: for a job that comes from the hub.
    """

    sha256: str
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
    by: str = ""
    key: str = ""
    id: str = ""


class JobChanges(ListValue, frozen=True, forbid_unknown_fields=True):
    """What is to be different; what is not there stays."""

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
        wish: "cancel" where a person wants an end that its printer has not confirmed.
        faults: attempts that ended before the start, by a fault.
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
    wish: str = ""
    faults: int = 0
    reason: str = ""
    since: float = 0.0
    begun: float | None = None
    ended: float | None = None
    seconds: float = 0.0
    filament_mm: float = 0.0


class FarmJob(ListValue, frozen=True):
    """A job, and how many of its copies are where.

    Attributes:
        size, extent, hottest, seconds, filament_mm: of its file.
        counts: copies by state.
        revision: goes up with each change of its wishes.
        site: where it was handed to; that site's list is the truth then.
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
    """Who did what, and when."""

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
    """A printer that is not offered a job.

    Attributes:
        until: None is for good, until the job is edited or released.
    """

    job: str
    printer: str
    reason: str
    until: float | None
