"""Page: the job as it is written into the logbook, and read from there by the host that goes on with it.

It is written at each change of state and each step of a script, which costs a copy in memory. It counts on the same
boot of the same machine only: times are the monotonic clock's, and another boot has lost the line. The page of a job
that has ended says how: the store may not have been told in time.
"""

from collections import deque
from dataclasses import asdict, dataclass, fields
from typing import Any

from daemon.job.job import FileMark, Job, Selection
from daemon.job.parking import Rest, modes_of, plain_modes
from daemon.job.states import JobState
from daemon.job.steps import Begun
from hal.printer import Identity


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Page:
    """What the next host has to know; see `daemon.job.job.Job` for what the fields mean."""

    boot: str
    address: str
    name: str
    uuid: str | None
    job: int | None
    state: str
    selection: dict[str, Any]
    first_line: int
    file: dict[str, Any]
    started: float
    paused_at: float | None
    paused_for: float
    script: list[str]
    step: int
    begun: tuple[str, int] | None
    said: list[tuple[str, list[str]]]
    rest: dict[str, Any] | None
    standing_by: bool
    printer_paused: bool
    passed: int
    wanted: str | None
    offsets: dict[str, float]
    ending: Ending | None  # None: it goes on

    @property
    def identity(self) -> Identity:
        """Who was printing."""
        return Identity(name=self.name, uuid=self.uuid)


def written(job: Job, boot: str, now: float) -> dict[str, Any]:
    """Return the page of a job; `now` is the loop's time."""
    identity, steps = job.identity, job.steps
    state = job.left_in if job.state is JobState.REATTACHING and job.left_in else job.state
    return asdict(
        Page(
            boot=boot,
            address=job.address,
            name=identity.name,
            uuid=identity.uuid,
            job=job.number,
            state=state.name,
            selection=asdict(job.selection),
            first_line=job.first_line,
            file=asdict(job.file) if job.file else {},
            started=job.started,
            paused_at=job.paused_at,
            paused_for=job.paused_for,
            script=list(job.script),
            step=steps.number,
            begun=(steps.begun.command, steps.begun.place) if steps.begun else None,
            said=steps.said,
            rest=_plain(job.rest) if job.rest else None,
            standing_by=job.standing_by,
            printer_paused=job.printer_paused,
            passed=job.passed,
            wanted=job.wanted,
            offsets=job.offsets,
            ending=_ending(job, now) if job.state.ended else None,
        )
    )


def _ending(job: Job, now: float) -> Ending:
    left_hot = job.state in (JobState.FAILED, JobState.INTERRUPTED)  # the other ends come when the printer is cold
    return Ending(job.reason, job.lines, job.offset, job.print_time(now), left_hot)


def made_cold(page: dict[str, Any]) -> dict[str, Any]:
    """Return the page of a job whose printer is cold; none of one that had not ended and cannot go on."""
    return page | {"ending": page["ending"] | {"hot": False}} if page.get("ending") else {}


def read(page: dict[str, Any]) -> Page | None:
    """Return the page that was written; None where it is of another version."""
    if not (_fits(page, Page) and (page["ending"] is None or _fits(page["ending"], Ending))):
        return None
    return Page(**(page | {"ending": Ending(**page["ending"]) if page["ending"] else None}))


def _fits(page: dict[str, Any], what: type[Page | Ending]) -> bool:
    return page.keys() == {each.name for each in fields(what)}


def fill(job: Job, page: Page) -> None:
    """Bring a job to where the page has it."""
    job.address, job.identity = page.address, page.identity
    job.number, job.first_line = page.job, page.first_line
    job.left_in = JobState[page.state]
    job.started, job.paused_at, job.paused_for = page.started, page.paused_at, page.paused_for
    job.script = deque(page.script)
    job.steps.number = page.step
    job.steps.begun = Begun(*page.begun) if page.begun else None
    job.steps.said = [(command, answer) for command, answer in page.said]
    job.rest = _rest(page.rest) if page.rest else None
    job.standing_by, job.printer_paused = page.standing_by, page.printer_paused
    job.passed, job.wanted = page.passed, page.wanted
    job.offsets.update(page.offsets)
    job.file = FileMark(**page.file) if page.file else None


def selection(page: Page) -> Selection:
    """Return what was being printed."""
    return Selection(**page.selection)


def _plain(rest: Rest) -> dict[str, Any]:
    return asdict(rest) | {"modes": plain_modes(rest.modes)}


def _rest(plain: dict[str, Any]) -> Rest:
    return Rest(**(plain | {"modes": modes_of(plain["modes"])}))
