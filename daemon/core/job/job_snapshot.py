"""JobSnapshot: all that a job has to remember. It is written into the logbook, and the next host reattaches by it.

It is written at each change of state and each step of a script, which costs a copy in memory. It is only valid on the
same boot of the same machine: times are the monotonic clock's, and a reboot loses the line. The snapshot of a job that
has ended says how it ended, as the store may not have been told in time.

A print outlives an upgrade and a downgrade, so pages of other versions are read: what this version does not know is
left out at every level, and what is missing has its default. A field is never renamed and never means something else;
a version whose prints an older one must not carry on says so in the snapshot (`READERS`).
"""

from dataclasses import asdict, field
from typing import Any, Literal, get_args

import msgspec

from daemon.bridge.words import JobState, Selection
from daemon.core.job.parking import ParkedPlace, modes_of, plain_modes
from daemon.core.job.selection import FileMark
from daemon.core.record.store import NewJob
from gcode.frozen import frozen, mutable
from hal.printer import FirmwareIdentity

VERSION = 4
"""Of pages as they are written here; 0.1.0 named none, which counts as 1. A new field makes it one more."""

READERS = 1
"""The oldest version that may go on with these prints; to be raised where ignoring a new field could spoil one."""

Wish = Literal["pause", "resume", "cancel"]
"""What somebody asks of a job."""

NEEDED = ("selection", "started", "boot", "address", "state", "first_line", "step")
"""Without these nobody can tell where the print was: going on in a wrong place is worse than to stop."""

_ENDED = {"reason": None, "lines": 0, "offset": 0, "print_time": 0.0, "hot": True}


@frozen
class Ending:
    """How a job ended.

    Attributes:
        lines: acknowledged, as is `offset` in bytes.
        print_time: s.
        hot: its heaters may still be on.
    """

    reason: str | None
    lines: int
    offset: int
    print_time: float
    hot: bool


@frozen
class ClaimedJob:
    """A job that was recorded before it began: its number there, and by what it is known when it is asked for again.

    Attributes:
        eject: a print that completes is to clear the bed by the script for it.
    """

    job: int
    key: str
    mark: str
    eject: bool = False


@mutable
class JobSnapshot:
    """What the next host has to know.

    Attributes:
        boot: of the machine that prints.
        address: of the printer, also where that is gone; `name` and `uuid` are what it is known by.
        job: its number in the store.
        state: the one to be in, also while the printer is got back.
        first_line: the number of the first line that can be of this job.
        script: what is left of the script before the next line of the file.
        step: number of the step begun last; `begun` is it, with its place, as long as it is not answered.
        said: commands sent in this state, and their answers.
        rest: where a pause left it, until it has gone back.
        standing_by: the hotends have been let cool in a pause.
        unpacks: the firmware has said that it unpacks lines, or that it does not; None: nothing of that.
        printer_paused: the firmware has paused by itself: it parks, and it goes back.
        passed: offset of the last line that was the host's and is done with.
        wanted: what was asked for and could not be done at once.
        offsets: °C that are added to the file's targets, by heater.
        ending: None: it goes on.
        why: it pauses, or is paused, as far as that is known.
        gone_on: the firmware has ended a pause that it had begun.
        claim: it was asked for with a key.
        resends: lines that the printer asked for again.
        ejected: the script that clears the bed was run to its end.
        asks: it is paused until somebody says whether it goes on after a reboot; `asked_s` of the seconds for that
            are used up.
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
    begun: tuple[str, int] | None = None
    said: list[tuple[str, list[str]]] = field(default_factory=list)
    rest: ParkedPlace | None = None
    standing_by: bool = False
    printer_paused: bool = False
    passed: int = -1
    wanted: Wish | None = None
    ending: Ending | None = None
    why: str | None = None
    asked_s: float = 0.0
    gone_on: bool = False
    claim: ClaimedJob | None = None
    resends: int = 0
    ejected: bool = False
    asks: bool = False

    @property
    def identity(self) -> FirmwareIdentity:
        """Who was printing."""
        told = {} if self.unpacks is None else {"MEATPACK": self.unpacks}
        return FirmwareIdentity(name=self.name, uuid=self.uuid, capabilities=told)

    def record(self, file: FileMark) -> NewJob:
        """Return what the store gets to know of it; `file` is what it prints."""
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
        """Begin or end to count time as paused."""
        if paused and self.paused_at is None:
            self.paused_at = now
        elif not paused and self.paused_at is not None:
            self.paused_for += now - self.paused_at
            self.paused_at = None

    def print_time(self, end: float) -> float:
        """Return the seconds that the job has been printing until then: without pauses."""
        pausing = end - self.paused_at if self.paused_at is not None else 0.0
        return end - self.started - self.paused_for - pausing


def dump(snapshot: JobSnapshot) -> dict[str, Any]:
    """Return the snapshot as JSON has it."""
    plain: dict[str, Any] = msgspec.to_builtins(snapshot, builtin_types=(bytes,)) | {"version": VERSION, "readers": READERS}
    plain["state"], plain["file"] = snapshot.state.name, plain["file"] or {}
    if snapshot.rest is not None:
        plain["rest"]["modes"] = plain_modes(snapshot.rest.modes)
    return plain


def load(plain: dict[str, Any]) -> JobSnapshot | None:
    """Return the snapshot that was written, by whichever version; None where it cannot be understood."""
    try:
        return _load(plain)
    except (AttributeError, LookupError, TypeError, ValueError):  # msgspec's own is a ValueError
        return None


def _load(plain: dict[str, Any]) -> JobSnapshot | None:
    if plain.get("readers", READERS) > VERSION or not plain.keys() >= set(NEEDED):
        return None
    chosen, ending, rest = plain["selection"], plain.get("ending"), plain.get("rest")
    plain = plain | {
        "state": JobState[plain["state"]].value,
        "selection": {"name": chosen["path"], "size": 0, "date": 0} | chosen,  # these are only told
        "file": plain.get("file") or None,
        "wanted": wanted if (wanted := plain.get("wanted")) in get_args(Wish) else None,
        "ending": _ENDED | ending if ending else None,
        "rest": rest | {"modes": asdict(modes_of(rest["modes"]))} if rest else None,
    }
    return msgspec.convert(plain, JobSnapshot, builtin_types=(bytes,))


def with_heaters_off(plain: dict[str, Any]) -> dict[str, Any]:
    """Return a dumped snapshot once the heaters are off; empty where the job had not ended: it cannot be resumed."""
    ending = plain.get("ending")
    return plain | {"ending": ending | {"hot": False}} if ending and isinstance(ending, dict) else {}
