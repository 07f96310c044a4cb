"""JobSnapshot: all that a job has to remember. The host writes it to the logbook, and the next host reattaches by it.

It is written at each change of state and each step of a script, which costs a copy in memory. Its times are those of
the monotonic clock and hold only for this boot; `survival` moves the times of the copy on the disk (`places`) to the
next boot's clock. The snapshot of a job that has ended says how it ended, because the store may not have recorded the
end in time.

A print outlives an upgrade and a downgrade, so snapshots of other versions are read: unknown fields are ignored at
every level, and missing ones have their defaults. A stored name never changes, nor does its meaning. If older versions
must not continue the prints of a version, its snapshots say so (`OLDEST_READER`).
"""

from dataclasses import asdict, field
from typing import Any, Literal, get_args

import msgspec

from daemon.bridge.words import FileMark, JobState, Selection
from daemon.core.job.parking import ParkedPosition, modes_of, plain_modes
from daemon.core.record.store import NewJob
from gcode.frozen import frozen, mutable
from hal.printer import FirmwareIdentity

VERSION = 4
"""Version of the snapshots written here. 0.1.0 wrote none, which counts as 1. A new field raises it by one."""

OLDEST_READER = 1
"""The oldest version that may continue these prints. Raise it if an older version would spoil a print by ignoring a new
field."""

Wish = Literal["pause", "resume", "cancel"]
"""A request to a job that may have to wait until it can be carried out."""

NEEDED_KEYS = ("selection", "started", "boot", "address", "state", "first_line", "step")
"""Stored names without which the place of the print is unknown; to print on at a wrong place is worse than to stop."""

_STORED_AS = {
    "open_step": "begun", "passed_steps": "said", "parked": "rest", "resumed_by_firmware": "gone_on",
    "barrier_offset": "passed", "wish": "wanted", "pause_reason": "why", "awaits_user": "asks",
    "user_wait_s": "asked_s",
}  # fmt: skip
"""Fields whose names in a dumped snapshot differ, because other versions read them too."""

_ENDED = {"reason": None, "lines": 0, "offset": 0, "print_time": 0.0, "hot": True}


@frozen
class Ending:
    """How a job ended.

    Attributes:
        lines: the number of acknowledged lines; `offset` is that of the last one.
        print_time: in s.
        hot: its heaters may still be on.
    """

    reason: str | None
    lines: int
    offset: int
    print_time: float
    hot: bool


@frozen
class ClaimedJob:
    """A job that was recorded before it began: its number in the store, and the key and mark of its request.

    Attributes:
        eject: run the script that clears the bed when the print completes.
    """

    job: int
    key: str
    mark: str
    eject: bool = False


@mutable
class JobSnapshot:
    """What the next host has to know.

    Attributes:
        started: when the print began; `paused_at`: when the pause began; both in s of the loop's clock.
        boot: the id of the boot.
        address: the printer's; `name` and `uuid` are its firmware's.
        job: its number in the store.
        state: the job's state; while it reattaches, the state to which it returns.
        first_line: the number of the first line that can belong to this job.
        script: the commands still to be sent before the next line of the file.
        step: the number of the last step that was begun.
        open_step: that step's command and its index in the state, until it is answered (`daemon.core.job.steps`).
        passed_steps: the steps that the effect has done in this state: commands that were sent (older versions kept
            their answers too), and values that were observed.
        parked: the position at which the print paused, until the head has returned to it.
        standing_by: the hotends are in standby.
        unpacks: whether the firmware unpacks MeatPack; None: not known.
        printer_paused: the firmware paused by itself, so it parks the head and returns it too.
        barrier_offset: the offset of the last line for the host that has been dealt with.
        wish: a request that waits until it can be carried out.
        offsets: °C that are added to the file's targets, by heater.
        ending: how the job ended; None: it has not ended.
        pause_reason: the reason of a pause; None: not known.
        resumed_by_firmware: the firmware has ended a pause that it had begun.
        claim: the record of a print with a key.
        resends: the number of resend requests.
        ejected: the script that clears the bed has run to its end.
        awaits_user: after a reboot the job is paused until the user says whether it continues.
        user_wait_s: how long it has waited for that, in s.
    """

    selection: Selection
    started: float
    boot: str = field(kw_only=True)
    address: str = field(kw_only=True)
    name: str = field(kw_only=True, default="")
    uuid: str | None = field(kw_only=True, default=None)
    unpacks: bool | None = field(kw_only=True, default=None)
    offsets: dict[str, float] = field(kw_only=True, default_factory=dict)
    state: JobState = JobState.STARTING
    job: int | None = None
    first_line: int = 1
    file: FileMark | None = None
    paused_at: float | None = None
    paused_for: float = 0.0
    script: list[str] = field(default_factory=list)
    step: int = 0
    open_step: tuple[str, int] | None = None
    passed_steps: list[tuple[str, list[str]]] = field(default_factory=list)
    parked: ParkedPosition | None = None
    standing_by: bool = False
    printer_paused: bool = False
    barrier_offset: int = -1
    wish: Wish | None = None
    ending: Ending | None = None
    pause_reason: str | None = None
    user_wait_s: float = 0.0
    resumed_by_firmware: bool = False
    claim: ClaimedJob | None = None
    resends: int = 0
    ejected: bool = False
    awaits_user: bool = False

    @property
    def identity(self) -> FirmwareIdentity:
        """The firmware of the printer, as far as reattaching compares it."""
        capabilities = {} if self.unpacks is None else {"MEATPACK": self.unpacks}
        return FirmwareIdentity(name=self.name, uuid=self.uuid, capabilities=capabilities)

    def record(self, file: FileMark) -> NewJob:
        """Return the job as the store records it; `file` is the file that it prints."""
        chosen, claim = self.selection, self.claim
        return NewJob(
            chosen.path,
            chosen.name,
            file.size,
            file.sha1,
            file.mtime_ns,
            "local",
            chosen.user,
            printer=self.address,
            key=claim.key if claim is not None else None,
            mark=claim.mark if claim is not None else None,
        )

    def count_pause(self, now: float, *, paused: bool) -> None:
        """Start or stop counting time as paused."""
        if paused and self.paused_at is None:
            self.paused_at = now
        elif not paused and self.paused_at is not None:
            self.paused_for += now - self.paused_at
            self.paused_at = None

    def print_time(self, end: float) -> float:
        """Return the seconds from the start to `end`, without pauses."""
        pausing = end - self.paused_at if self.paused_at is not None else 0.0
        return end - self.started - self.paused_for - pausing


def dump(snapshot: JobSnapshot) -> dict[str, Any]:
    """Return the snapshot as JSON has it."""
    plain: dict[str, Any] = msgspec.to_builtins(snapshot, builtin_types=(bytes,))
    plain = {_STORED_AS.get(name, name): value for name, value in plain.items()}
    plain |= {"version": VERSION, "readers": OLDEST_READER}
    plain["state"], plain["file"] = snapshot.state.name, plain["file"] or {}
    if snapshot.parked is not None:
        plain["rest"]["modes"] = plain_modes(snapshot.parked.modes)
    return plain


def load(plain: dict[str, Any]) -> JobSnapshot | None:
    """Return the snapshot that any version has dumped; None: it cannot be read."""
    try:
        return _load(plain)
    except (AttributeError, LookupError, TypeError, ValueError):  # msgspec's own is a ValueError
        return None


def _load(plain: dict[str, Any]) -> JobSnapshot | None:
    if plain.get("readers", OLDEST_READER) > VERSION or not plain.keys() >= set(NEEDED_KEYS):
        return None
    plain = plain | {name: plain[stored] for name, stored in _STORED_AS.items() if stored in plain}
    chosen, ending, parked = plain["selection"], plain.get("ending"), plain.get("parked")
    plain |= {
        "state": JobState[plain["state"]].value,
        "selection": {"name": chosen["path"], "size": 0, "date": 0} | chosen,  # for display only
        "file": plain.get("file") or None,
        "wish": wish if (wish := plain.get("wish")) in get_args(Wish) else None,
        "ending": _ENDED | ending if ending else None,
        "parked": parked | {"modes": asdict(modes_of(parked["modes"]))} if parked else None,
    }
    return msgspec.convert(plain, JobSnapshot, builtin_types=(bytes,))


def with_heaters_off(plain: dict[str, Any]) -> dict[str, Any]:
    """Return a dumped snapshot with heaters off; an empty one if the job had not ended: without heat it is over."""
    ending = plain.get("ending")
    return plain | {"ending": ending | {"hot": False}} if ending and isinstance(ending, dict) else {}
