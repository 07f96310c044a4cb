"""Places: what is kept of a print on the disk, so that the print outlives a computer that is switched off.

The printer counts the lines that it accepts, and keeps the number as long as it has power. What is kept here turns that
number into a place in the file: *behind the line of this number goes the file, line by line, and nothing else*. That is
written every few seconds, and stays true however many lines follow; no line costs anything.

A command between two lines of the file takes a number too, which would make this statement false. So a command that has
to go gets a number a little ahead, and that is on the disk before the command goes (`may_go`); meanwhile the file's
lines go on up to there. So the disk never says anything that is not true:

    "behind line 812 goes the file, from byte 30,112 on; but 840 is none of its lines"

When this is not possible (heaters are turned off, numbers start over, the job does something else than print), the
disk says that the place is unknown, and why. Turning heaters off waits for nothing.

In a pause no line of the file goes at all, so the place holds whatever is sent.
"""

import asyncio
import json
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import field, replace
from typing import Any, Protocol

import msgspec
import structlog

from daemon.bridge.words import JobState
from daemon.core.connection.connection import Connection
from daemon.core.job.job import Job
from daemon.core.job.job_snapshot import dump
from daemon.core.job.parking import modes_of, plain_modes
from gcode.frozen import frozen
from gcode.outgoing import JobPosition, Ticket
from hal.logbook import Logbook
from hal.printer import Printer

AHEAD = 0.15
"""Seconds that the disk has to write before the file reaches the number that is left to a command, and waits there. A
disk that needed more than half of that last time gets twice as long as it needed."""

LONGEST_AHEAD = 3.0
"""The same at most, for a slow disk: a client waits so long for its command."""

FURTHEST = 1000
"""Lines that such a number may be ahead at most."""

STANDS = 0.1
"""Seconds without a line of the file after which a command does not wait for the lines before its number any more."""

AGAIN = 5.0  # s until a disk that has failed is tried again
HANGS = 10.0
"""Seconds for which a disk that does not answer keeps a command waiting."""

REACH = 64
"""Lines before the last one sent that the printer may not have accepted yet. A board that was reset wants line 1."""

log = structlog.get_logger()


class Disk(Protocol):
    """Where it is kept."""

    def get(self) -> Awaitable[bytes | None]:
        """Return what was put last."""

    def put(self, text: bytes) -> Awaitable[None]:
        """Replace it; raises OSError."""


@frozen
class StoredPlace:
    """What is on the disk. Numbers are those on the wire.

    Attributes:
        page: of the job, as JSON has it; none: no job goes on.
        why: the place is unknown, because of this; None: it is known.
        number: behind the line of this number the file goes on; if the printer has not accepted that line, behind the
            last one that it has, which is `least` or a later one.
        lines: how many lines of the file have gone out by then, the last of them at `offset`.
        least: the printer has accepted the line of this number.
        gaps: (number, count): so many numbers from there on that are not the file's.
        until: no line of the file has gone out with this number or a later one; None: they go on.
        modes: those that hold behind line `number`, as JSON has them.
        heat: actual temperature and target of each heater that is on.
        clock: when it was written, in s of that boot.
    """

    page: dict[str, Any] = field(default_factory=dict)
    why: str | None = None
    number: int = 0
    lines: int = 0
    offset: int = 0
    least: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)
    until: int | None = None
    modes: dict[str, Any] = field(default_factory=dict)
    heat: dict[str, tuple[float, float]] = field(default_factory=dict)
    clock: float = 0.0

    @property
    def claims(self) -> bool:
        """It says where the print is: nothing may be sent that would make it wrong."""
        return bool(self.page) and self.why is None

    @property
    def fed(self) -> JobPosition:
        """How far the file has gone out."""
        return JobPosition(self.lines, self.offset)

    def lines_before(self, wanted: int) -> int:
        """Return how many lines of the file that are not in `lines` come before this number."""
        end = self.until or wanted
        others = sum(max(0, min(end, at + count) - at) for at, count in self.gaps)
        return max(0, end - 1 - self.number - others)


class Places:
    """Keeps it for one job after the other."""

    def __init__(self, disk: Disk | None, connection: Connection, logbook: Logbook) -> None:
        """Prepare; `disk` None keeps nothing."""
        self.bytes_written = 0
        self._disk = disk
        self._connection = connection
        self._logbook = logbook
        self._job: Job | None = None
        self._found: StoredPlace | None = None  # by the host after a power cut, before it has sent anything
        self._wanted = self._written = StoredPlace()
        self._writing: StoredPlace | None = None
        self._task: asyncio.Task[None] | None = None
        self._hangs: asyncio.TimerHandle | None = None
        self._look: asyncio.TimerHandle | None = None
        self._plan = 0, 0  # (number, count): the numbers left to commands last, as the link counts
        self._base: int | None = None  # what such a number is reduced by on the wire
        self._paces = 0.0, 0  # (time, number): when that number was the next; for the pace
        self._took = self._began = 0.0  # s that the disk took last, and when it began
        self._gave_up = False
        self._retracting: asyncio.Task[None] | None = None
        logbook.ask_before_commands(self.may_go)

    # -- what the previous host left ------------------------------------------------------------------------

    async def snapshot(self) -> StoredPlace | None:
        """Return what is on the disk; None: there is nothing of a job, or it cannot be read."""
        if self._disk is None or not (text := await self._disk.get()):
            return None
        try:
            stored = msgspec.convert(json.loads(text), StoredPlace)
            if stored.claims:
                modes_of(stored.modes)
        except (ValueError, LookupError, AttributeError, TypeError):  # msgspec's own is a ValueError
            return None
        self._wanted = self._written = stored
        return stored if stored.page else None

    def reattach(self, job: Job, stored: StoredPlace | None = None) -> None:
        """Keep it for a job that the previous host began; `stored` is what it goes on from, if from the disk."""
        self._job, self._found = job, stored
        if self._wanted.page.get("job") != job.snapshot.job:
            self._unknown("the disk did not know of it")  # what is there is of another print

    def forget(self) -> None:
        """Say that no job goes on."""
        self._end()

    # -- what is on the disk ---------------------------------------------------------------------------------

    def begin(self, job: Job) -> None:
        """Keep it for a new job."""
        self._job, self._found, self._gave_up = job, None, False
        if not (job.printer.dialect.numbered and job.printer.dialect.enforces_order):
            self._end()  # it cannot be asked for a line
        elif self._written.page or self._wanted.page:
            self._unknown(_BUSY[JobState.STARTING])  # what the disk says of the job before is not true any more

    def on_state(self, job: Job) -> None:
        """Write what follows from a job's new state; `keep` does so in a pause."""
        state = job.state
        if job is not self._job or state is JobState.PRINTING:
            return  # `feed` is told when the file goes on
        if state is JobState.REATTACHING:
            self._drop_plan()  # lines that were lost go out again as they were, but the next ones wait for `feed`
        elif state.ended:
            self._end()
        elif state is not JobState.PAUSED or job.snapshot.printer_paused:
            self._unknown(_BUSY.get(state, "the printer was in a pause of its own"))

    def keep(self, job: Job) -> None:
        """Write the job's snapshot again, where it matters: in a pause the place stays as it is."""
        if job is self._job and job.state is JobState.PAUSED and not job.snapshot.printer_paused:
            number = job.printer.next_on_wire - 1
            fed, modes = self._logbook.fed, plain_modes(job.printer.modes)
            self._want(self._make_place(number=number, until=number + 1, fed=fed, modes=modes))

    async def feed(self, job: Job) -> None:
        """Say that the file goes on with the next number, before it does."""
        if job is not self._job or not self._works:
            return
        self._drop_plan()
        number, modes = job.printer.next_on_wire - 1, plain_modes(job.printer.modes)
        self._base = job.printer.next_number - job.printer.next_on_wire
        self._paces = asyncio.get_running_loop().time(), job.printer.next_number
        self._want(self._make_place(number=number, fed=self._logbook.fed, modes=modes))
        while self._writing is not None and not self._gave_up:
            if self._task is not None:
                await asyncio.wait([self._task], timeout=HANGS)
            await asyncio.sleep(0)

    def checkpoint(self) -> None:
        """Write where the print is now, if that is known; what is on the disk stays true if not."""
        job = self._job
        if job is None or not self._works or job.state is not JobState.PRINTING or not job.feeding:
            return
        printer = job.printer
        self._paces = asyncio.get_running_loop().time(), printer.next_number
        anchor = self._logbook.anchor(printer.answered)
        if anchor is None or job.snapshot.begun is not None or self._planned:
            return
        self._base = printer.next_number - printer.next_on_wire
        number, fed, modes = anchor.number, anchor.fed, plain_modes(anchor.modes)
        self._want(self._make_place(number=number, least=number, fed=fed, modes=modes))

    def may_go(self, ticket: Ticket, waiting: int) -> bool:
        """Tell whether a command may go between the lines; if not, the printer is waked when it may."""
        job, printer = self._job, self._connection.printer
        if job is None or printer is None or not self._works or not self._claims:
            return True
        if self._found is not None:
            self._reattach_from(self._found, printer)
        if self._holds:
            return True
        if ticket.urgent and not ticket.foreign:
            if self._wanted.claims:
                self._unknown("heaters were being turned off")
            return True
        if self._planned:
            at, count = self._plan
            return self._written is self._wanted and at <= printer.next_number < at + count
        if self._wanted.claims and self._wanted.until is None:
            self._make_way(ticket, printer, waiting)
        return False

    @property
    def _works(self) -> bool:
        return self._disk is not None and not self._gave_up

    @property
    def _claims(self) -> bool:
        """What is on the disk, or may be, says where the print is."""
        return any(stored is not None and stored.claims for stored in (self._written, self._writing, self._wanted))

    @property
    def _holds(self) -> bool:
        """What is on the disk stays true whatever is sent between the lines."""
        return self._written is self._wanted and self._writing is None and self._written.until is not None

    @property
    def _planned(self) -> bool:
        """Some number is left to a command that has not gone yet."""
        printer = self._connection.printer
        return printer is not None and sum(self._plan) > printer.next_number

    def _reattach_from(self, found: StoredPlace, printer: Printer) -> None:
        """Have the disk say that no line of the file goes out for now."""
        self._found = None
        if found.until is None:
            self._want(replace(found, until=printer.first_number))

    def _make_way(self, ticket: Ticket, printer: Printer, waiting: int) -> None:
        """Leave some numbers to commands that wait, and have the disk know that."""
        base = printer.next_number - printer.next_on_wire
        if self._base not in (None, base) or ticket.command.startswith(b"M110"):
            self._unknown("the numbers of the lines started over")
            return
        self._base = base
        self._leave_out(printer, self._ahead(printer), max(1, waiting))
        self._look_again(printer.next_number)

    def _leave_out(self, printer: Printer, at: int, count: int) -> None:
        self._plan = at, count
        printer.leave_out(at, count)
        number = at - (self._base or 0)
        self._want(replace(self._wanted, gaps=[*self._gaps_before(number), (number, count)]))

    def _gaps_before(self, number: int) -> list[tuple[int, int]]:
        """Return what of the gaps is before this number; what was planned behind it has not come to be."""
        return [(at, min(count, number - at)) for at, count in self._wanted.gaps if at < number]

    def _drop_plan(self) -> None:
        """Leave no numbers to commands; the disk has to be corrected before the file goes on."""
        self._plan = 0, 0
        if (printer := self._connection.printer) is not None:
            printer.leave_out(0, 0)

    def _ahead(self, printer: Printer) -> int:
        """Return the number that the file's lines will have reached when the disk has written."""
        now, (then, number) = asyncio.get_running_loop().time(), self._paces
        flows = self._job is not None and self._job.state is JobState.PRINTING and now > then
        pace = (printer.next_number - number) / (now - then) if flows else 0.0
        seconds = min(max(AHEAD, 2 * self._took), LONGEST_AHEAD)
        return printer.next_number + min(int(pace * seconds), FURTHEST)

    def _look_again(self, number: int) -> None:
        if self._look is not None:
            self._look.cancel()
        self._look = asyncio.get_running_loop().call_later(STANDS, self._on_look, number)

    def _on_look(self, before: int) -> None:
        """See whether the file's lines still come to the number that was left out; if not, leave out the next one."""
        self._look = None
        printer = self._connection.printer
        if self._job is None or printer is None or not self._planned or not self._wanted.claims:
            return
        (at, count), number = self._plan, printer.next_number
        if number == before < at and self._writing is None:
            self._leave_out(printer, number, count)
        self._look_again(number)

    def _unknown(self, why: str) -> None:
        self._drop_plan()
        self._want(self._make_place(why=why))

    def _end(self) -> None:
        self._job = self._found = None
        self._drop_plan()
        if self._look is not None:
            self._look.cancel()
            self._look = None
        if self._written.page or self._wanted.page:
            self._want(StoredPlace())

    def _make_place(
        self,
        *,
        why: str | None = None,
        number: int = 0,
        least: int | None = None,
        until: int | None = None,
        fed: JobPosition | None = None,
        modes: dict[str, Any] | None = None,
    ) -> StoredPlace:
        job, fed = self._job, fed or JobPosition()
        if job is None:
            return StoredPlace()
        heaters = job.printer.heaters.items()
        return StoredPlace(
            dump(job.snapshot),
            why,
            number,
            fed.lines,
            fed.offset,
            max(1, number - REACH) if least is None else least,
            [],
            until,
            modes or plain_modes(job.printer.modes),
            {name: (reading.actual, reading.target) for name, reading in heaters if reading.target},
            asyncio.get_running_loop().time(),
        )

    # -- writing -------------------------------------------------------------------------------------------

    def _want(self, stored: StoredPlace) -> None:
        """Have this written to the disk; if several wait, only the newest is written."""
        self._wanted = stored
        self._write()

    def _write(self) -> None:
        if not self._works or self._disk is None or self._writing is not None or self._wanted is self._written:
            return
        self._writing = self._wanted
        text = _as_text(self._writing)
        self.bytes_written += len(text)
        self._task = asyncio.ensure_future(self._put(self._disk, text))
        self._task.add_done_callback(self._on_written)
        loop = asyncio.get_running_loop()
        self._began = loop.time()
        self._hangs = loop.call_later(HANGS, self._give_up, "the disk does not answer")

    @staticmethod
    async def _put(disk: Disk, text: bytes) -> None:
        await disk.put(text)

    def _on_written(self, task: asyncio.Task[None]) -> None:
        stored, self._writing = self._writing, None
        if self._hangs is not None:
            self._hangs.cancel()
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            self._give_up(str(error))
        elif stored is not None:
            self._written = stored
            self._took = max(asyncio.get_running_loop().time() - self._began, 0.9 * self._took)
            self._write()
        self._wake()

    def _give_up(self, reason: str) -> None:
        """Keep no command waiting for a disk that does not work; the print goes on."""
        if self._gave_up or self._disk is None:
            return
        self._gave_up = True
        self._drop_plan()
        log.warning("job.place_not_kept", reason=reason, consequence="it does not outlive a power cut")
        self._retracting = asyncio.create_task(self._retract(self._disk))
        self._wake()

    async def _retract(self, disk: Disk) -> None:
        """Replace what is on the disk as soon as it can be written again: it would lead to a wrong place."""
        while self._gave_up:
            stored = StoredPlace() if self._job is None else self._make_place(why="the disk had failed by then")
            try:
                await disk.put(_as_text(stored))
            except OSError:
                await asyncio.sleep(AGAIN)
            else:
                self._written = stored
                return

    def _wake(self) -> None:
        if (printer := self._connection.printer) is not None:
            printer.wake()

    async def close(self) -> None:
        """Wait for what is being written."""
        if self._retracting is not None:
            self._retracting.cancel()
        while self._writing is not None and self._task is not None:
            with suppress(OSError):
                await self._task
            await asyncio.sleep(0)  # lets `_on_written` run: awaiting a task that is done does not


def _as_text(stored: StoredPlace) -> bytes:
    return msgspec.json.encode(stored)


_BUSY = {
    JobState.STARTING: "it had not begun to print",
    JobState.PAUSING: "it was on its way into a pause",
    JobState.RESUMING: "it was on its way back from a pause",
    JobState.FINISHING: "the file was at its end",
    JobState.CANCELLING: "it was being cancelled",
}
