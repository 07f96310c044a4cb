"""Places: keeps the place of a print on the disk, so that the print outlives a power cut of the computer.

Theory of operation. The printer counts the lines that it accepts, and keeps their number as long as it has power. A
statement on the disk turns that number into a place in the file: *after the line of this number come the file's lines,
one by one, and nothing else*. The statement is written every few seconds. It stays true however many lines follow, so
it costs nothing for a single line.

A command between two lines of the file takes a number too, which would make the statement false. So such a command gets
a number a little ahead of the present one, and may be sent only when the disk has that number (`may_go`). Meanwhile
lines of the file are sent under the numbers before it. So the statement is true at every moment:

    "after line 812 come the file's lines, from byte 30,112 on; but 840 is not one of them"

Where this is not possible (when heaters are turned off, line numbers start over, or a job does something other than
print), the disk says that the place is unknown, and why. Heaters off never waits for the disk.

In a pause no line of the file is sent, so the place stays true whatever else is sent.
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
from gcode.outgoing import JobPlace, Ticket
from hal.logbook import Logbook
from hal.printer import Printer

LEAD_S = 0.15
"""Seconds from the reservation of a number for a command until the file's lines reach that number. In this time the
disk has to write the reservation. If a recent write took more than half of that time, the lead is twice as long as that
write."""

MAX_LEAD_S = 3.0
"""Maximum lead, for a slow disk: a client's command waits that long."""

MAX_LEAD_LINES = 1000
"""Maximum lead in lines."""

STALL_S = 0.1
"""Seconds without a line of the file after which a command takes the next number instead of the reserved one."""

RETRY_INTERVAL = 5.0  # between two attempts to write to a disk that has failed
DISK_TIMEOUT = 10.0
"""Seconds that a write may take; after that the print continues without the disk."""

MAX_UNCONFIRMED = 64
"""Maximum number of lines that were sent and may not have been accepted yet. A printer that asks for an earlier line
has been reset: it asks for line 1."""

log = structlog.get_logger()


class Disk(Protocol):
    """Where the place is written."""

    def get(self) -> Awaitable[bytes | None]:
        """Return the text that was put last; None: there is none."""

    def put(self, text: bytes) -> Awaitable[None]:
        """Replace the text; raises OSError."""


_STORED_AS = {
    "snapshot": "page", "unknown_reason": "why", "accepted_number": "least", "end_number": "until",
    "written_at": "clock",
}  # fmt: skip
"""Fields of a stored place whose names on the disk differ, because other versions read them too."""


@frozen
class StoredPlace:
    """What the disk holds about a print. Its numbers are the numbers on the wire.

    Attributes:
        snapshot: the job's, as JSON has it; empty: there is no unfinished job.
        unknown_reason: why the place is unknown; None: it is known.
        number: the file's lines follow the line of this number. If the printer has not accepted that line, they follow
            the last line that it has accepted, which is `accepted_number` or a later one.
        lines: how many lines of the file have been sent up to line `number`; the last of them is at `offset`.
        accepted_number: the printer has accepted the line of this number.
        gaps: (number, count): the `count` numbers from `number` on are not the file's.
        end_number: no line of the file has been sent with this number or a later one; None: there is no such limit.
        modes: those after line `number`, as JSON has them.
        heat: actual temperature and target of each heater that is on, in °C.
        written_at: when it was written, in s of that boot's clock.
        hot_printer: the address of the printer whose heaters may be on because of a print that has ended; empty: its
            address is not known; None: no such print has left any on.
    """

    snapshot: dict[str, Any] = field(default_factory=dict)
    unknown_reason: str | None = None
    number: int = 0
    lines: int = 0
    offset: int = 0
    accepted_number: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)
    end_number: int | None = None
    modes: dict[str, Any] = field(default_factory=dict)
    heat: dict[str, tuple[float, float]] = field(default_factory=dict)
    written_at: float = 0.0
    hot_printer: str | None = None

    @property
    def is_empty(self) -> bool:
        """It says nothing that the next host needs."""
        return not self.snapshot and self.hot_printer is None

    @property
    def is_known(self) -> bool:
        """It says where the print is, so nothing may be sent that would make it wrong."""
        return bool(self.snapshot) and self.unknown_reason is None

    @property
    def fed(self) -> JobPlace:
        """How far the file has been sent."""
        return JobPlace(self.lines, self.offset)

    def lines_before(self, number: int) -> int:
        """Return how many lines of the file that `lines` does not count have a number below `number`."""
        end = self.end_number or number
        others = sum(max(0, min(end, at + count) - at) for at, count in self.gaps)
        return max(0, end - 1 - self.number - others)


class Places:
    """Keeps the place on the disk, for one job after the other."""

    def __init__(self, disk: Disk | None, connection: Connection, logbook: Logbook) -> None:
        """Prepare; without a disk nothing is kept."""
        self.bytes_written = 0
        self._disk = disk
        self._connection = connection
        self._logbook = logbook
        self._job: Job | None = None
        self._from_last_boot: StoredPlace | None = None  # the place that the last boot stored, until something is sent
        self._latest = self._on_disk = StoredPlace()
        self._writing: StoredPlace | None = None
        self._task: asyncio.Task[None] | None = None
        self._timeout: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._reservation = 0, 0  # (number, count): the last numbers reserved for commands, as the link counts
        self._base: int | None = None  # the link's number minus the number on the wire
        self._pace_from = 0.0, 0  # (time, number): the time at which that number was the next one; for the pace
        self._write_seconds = 0.0  # that the last write took; after a slow one it falls by at most a tenth per write
        self._write_started = 0.0  # when the present write started, in s of the loop
        self._has_given_up = False
        self._retract_task: asyncio.Task[None] | None = None
        logbook.ask_before_commands(self.may_go)

    # -- what the previous host left ------------------------------------------------------------------------

    async def snapshot(self) -> StoredPlace | None:
        """Return the content of the disk; None: it holds no job, or cannot be read."""
        if self._disk is None or not (text := await self._disk.get()):
            return None
        try:
            content = json.loads(text)
            names = {name: content[stored_name] for name, stored_name in _STORED_AS.items() if stored_name in content}
            stored = msgspec.convert({**content, "snapshot": content["page"]} | names, StoredPlace)
            if stored.is_known:
                modes_of(stored.modes)
        except (ValueError, LookupError, AttributeError, TypeError):  # msgspec's own is a ValueError
            return None
        self._latest = self._on_disk = stored
        return stored if stored.snapshot else None

    def reattach(self, job: Job, stored: StoredPlace | None = None) -> None:
        """Keep the place of the previous host's job; `stored`: the content of the disk if the job continues from it."""
        self._job, self._from_last_boot = job, stored
        if self._latest.snapshot.get("job") != job.snapshot.job:
            self._store_unknown("its note was not on the disk yet")  # the content of the disk is of another print

    async def forget(self, hot_printer: str | None) -> None:
        """Note on the disk that there is no unfinished job; return when heaters that may be on have been noted.

        Args:
            hot_printer: as in `StoredPlace`.
        """
        self._clear(hot_printer)
        if hot_printer is not None:
            await self._wait_until_written()

    def note_heaters_off(self) -> None:
        """Note that the heaters which a print has left on are off."""
        if self._latest.hot_printer is not None:
            self._clear()

    @property
    def latest(self) -> StoredPlace:
        """What the disk holds, or will hold after the write in progress."""
        return self._latest

    # -- what is on the disk ---------------------------------------------------------------------------------

    def begin(self, job: Job) -> None:
        """Keep the place of a new job."""
        self._job, self._from_last_boot = job, None
        self._has_given_up = self._has_given_up and self._writing is not None  # an earlier write still hangs
        if not (job.printer.dialect.counts_lines and job.printer.dialect.enforces_order):
            self._clear()  # this printer cannot be asked which line it wants
        elif not (self._on_disk.is_empty and self._latest.is_empty):
            self._store_unknown(_REASONS[JobState.STARTING])  # the disk's content is of the previous job

    def on_state(self, job: Job) -> None:
        """Write what follows from a job's new state. In a pause `keep` writes."""
        state = job.state
        if state.ended:  # also if its place was not kept, as on a printer that counts no lines
            ending = job.snapshot.ending
            # the logbook says too that heaters may be on, but a reboot loses it
            self._clear(job.snapshot.address if ending is not None and ending.hot else None)
            return
        if job is not self._job or state is JobState.PRINTING:
            return  # `announce_lines` writes before the next lines of the file
        if state is JobState.REATTACHING:
            # lost lines are sent again under their old numbers; the others wait for `announce_lines`
            self._drop_reservation()
        elif state is not JobState.PAUSED or job.snapshot.printer_paused:
            self._store_unknown(_REASONS.get(state, "the printer was in a pause of its own"))

    def keep(self, job: Job) -> None:
        """Write the job's snapshot again, but only in a pause, in which the place stays the same."""
        if job is self._job and job.state is JobState.PAUSED and not job.snapshot.printer_paused:
            number = job.printer.next_on_wire - 1
            fed, modes = self._logbook.sent_place, plain_modes(job.printer.modes)
            self._store(self._make_place(number=number, end_number=number + 1, fed=fed, modes=modes))

    async def announce_lines(self, job: Job) -> None:
        """Note on the disk that the next number is of a line of the file; return when the note is written."""
        if job is not self._job or not self._disk_usable:
            return
        self._drop_reservation()
        number, modes = job.printer.next_on_wire - 1, plain_modes(job.printer.modes)
        self._base = job.printer.next_number - job.printer.next_on_wire
        self._pace_from = asyncio.get_running_loop().time(), job.printer.next_number
        self._store(self._make_place(number=number, fed=self._logbook.sent_place, modes=modes))
        await self._wait_until_written()

    async def _wait_until_written(self) -> None:
        """Wait until the disk has the latest place, or has failed."""
        while self._writing is not None and not self._has_given_up:
            if self._task is not None:
                await asyncio.wait([self._task], timeout=DISK_TIMEOUT)
            await asyncio.sleep(0)

    def checkpoint(self) -> None:
        """Write the present place, if it is known; otherwise the content of the disk stays true."""
        job = self._job
        if job is None or not self._disk_usable or job.state is not JobState.PRINTING or not job.feeds_printer:
            return
        printer = job.printer
        self._pace_from = asyncio.get_running_loop().time(), printer.next_number
        anchor = self._logbook.anchor(printer.answered)
        if anchor is None or job.snapshot.open_step is not None or self._is_reserved:
            return
        self._base = printer.next_number - printer.next_on_wire
        number, fed, modes = anchor.number, anchor.place, plain_modes(anchor.modes)
        self._store(self._make_place(number=number, accepted_number=number, fed=fed, modes=modes))

    def may_go(self, ticket: Ticket, waiting: int) -> bool:
        """Tell whether a command may be sent between the file's lines now; if not, the printer is woken when it may."""
        job, printer = self._job, self._connection.printer
        if job is None or printer is None:
            return True
        if self._from_last_boot is not None:  # even if the disk fails, as reattaching may begin again
            self._note_that_no_line_follows(self._from_last_boot, printer)
        if not self._disk_usable or not self._may_be_known:
            return True
        if self._stays_true:
            return True
        if ticket.urgent and not ticket.from_client:
            if self._latest.is_known:
                self._store_unknown("heaters were being turned off")
            return True
        if self._is_reserved:
            at, count = self._reservation
            return self._on_disk is self._latest and at <= printer.next_number < at + count
        if self._latest.is_known and self._latest.end_number is None:
            self._reserve_ahead(ticket, printer, waiting)
        return False

    @property
    def _disk_usable(self) -> bool:
        return self._disk is not None and not self._has_given_up

    @property
    def _may_be_known(self) -> bool:
        """The disk says where the print is, or may say so once a write has ended."""
        return any(stored is not None and stored.is_known for stored in (self._on_disk, self._writing, self._latest))

    @property
    def _stays_true(self) -> bool:
        """The content of the disk stays true whatever is sent between the file's lines."""
        return self._on_disk is self._latest and self._writing is None and self._on_disk.end_number is not None

    @property
    def _is_reserved(self) -> bool:
        """A number is reserved for a command that has not been sent yet."""
        printer = self._connection.printer
        return printer is not None and sum(self._reservation) > printer.next_number

    def _note_that_no_line_follows(self, stored: StoredPlace, printer: Printer) -> None:
        """Note on the disk that no line of the file is sent for now."""
        self._from_last_boot = None
        if stored.end_number is None:
            self._store(replace(stored, end_number=printer.first_number))

    def _reserve_ahead(self, ticket: Ticket, printer: Printer, waiting: int) -> None:
        """Reserve numbers for the waiting commands, and note them on the disk."""
        base = printer.next_number - printer.next_on_wire
        if self._base not in (None, base) or ticket.command.startswith(b"M110"):
            self._store_unknown("the numbers of the lines started over")
            return
        self._base = base
        self._reserve(printer, self._number_ahead(printer), max(1, waiting))
        self._watch_for_stall(printer.next_number)

    def _reserve(self, printer: Printer, at: int, count: int) -> None:
        self._reservation = at, count
        printer.reserve_numbers(at, count)
        number = at - (self._base or 0)
        self._store(replace(self._latest, gaps=[*self._gaps_before(number), (number, count)]))

    def _gaps_before(self, number: int) -> list[tuple[int, int]]:
        """Return the gaps before this number; later ones have been reserved, but not used."""
        return [(at, min(count, number - at)) for at, count in self._latest.gaps if at < number]

    def _drop_reservation(self) -> None:
        """Give up the reserved numbers; the disk has to be corrected before the next line of the file."""
        self._reservation = 0, 0
        if (printer := self._connection.printer) is not None:
            printer.reserve_numbers(0, 0)

    def _number_ahead(self, printer: Printer) -> int:
        """Return the number that the file's lines will have reached when the disk has written the reservation."""
        now, (then, number) = asyncio.get_running_loop().time(), self._pace_from
        is_printing = self._job is not None and self._job.state is JobState.PRINTING and now > then
        pace = (printer.next_number - number) / (now - then) if is_printing else 0.0
        seconds = min(max(LEAD_S, 2 * self._write_seconds), MAX_LEAD_S)
        return printer.next_number + min(int(pace * seconds), MAX_LEAD_LINES)

    def _watch_for_stall(self, number: int) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
        self._stall_timer = asyncio.get_running_loop().call_later(STALL_S, self._on_stall_timer, number)

    def _on_stall_timer(self, last_number: int) -> None:
        """Check that the file's lines approach the reserved number; if not, reserve the next number instead."""
        self._stall_timer = None
        printer = self._connection.printer
        if self._job is None or printer is None or not self._is_reserved or not self._latest.is_known:
            return
        (at, count), number = self._reservation, printer.next_number
        if number == last_number < at and self._writing is None:
            self._reserve(printer, number, count)
        self._watch_for_stall(number)

    def _store_unknown(self, unknown_reason: str) -> None:
        self._drop_reservation()
        self._store(self._make_place(unknown_reason=unknown_reason))

    def _clear(self, hot_printer: str | None = None) -> None:
        self._job = self._from_last_boot = None
        self._drop_reservation()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
        if hot_printer is not None or not (self._on_disk.is_empty and self._latest.is_empty):
            self._store(StoredPlace(hot_printer=hot_printer))

    def _make_place(
        self,
        *,
        unknown_reason: str | None = None,
        number: int = 0,
        accepted_number: int | None = None,
        end_number: int | None = None,
        fed: JobPlace | None = None,
        modes: dict[str, Any] | None = None,
    ) -> StoredPlace:
        job, fed = self._job, fed or JobPlace()
        if job is None:
            return StoredPlace()
        heaters = job.printer.heaters.items()
        return StoredPlace(
            dump(job.snapshot),
            unknown_reason,
            number,
            fed.lines,
            fed.offset,
            max(1, number - MAX_UNCONFIRMED) if accepted_number is None else accepted_number,
            [],
            end_number,
            modes or plain_modes(job.printer.modes),
            {name: (reading.actual, reading.target) for name, reading in heaters if reading.target},
            asyncio.get_running_loop().time(),
        )

    # -- writing -------------------------------------------------------------------------------------------

    def _store(self, stored: StoredPlace) -> None:
        """Have `stored` written to the disk; if several wait, only the newest is written."""
        self._latest = stored
        self._put_latest()

    def _put_latest(self) -> None:
        if not self._disk_usable or self._disk is None or self._writing is not None or self._latest is self._on_disk:
            return
        self._writing = self._latest
        text = _as_text(self._writing)
        self.bytes_written += len(text)
        self._task = asyncio.ensure_future(self._put(self._disk, text))
        self._task.add_done_callback(self._on_put)
        loop = asyncio.get_running_loop()
        self._write_started = loop.time()
        self._timeout = loop.call_later(DISK_TIMEOUT, self._give_up, "the disk does not answer")

    @staticmethod
    async def _put(disk: Disk, text: bytes) -> None:
        await disk.put(text)

    def _on_put(self, task: asyncio.Task[None]) -> None:
        stored, self._writing = self._writing, None
        if self._timeout is not None:
            self._timeout.cancel()
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            self._give_up(str(error))
        elif stored is not None:
            self._on_disk = stored
            self._write_seconds = max(
                asyncio.get_running_loop().time() - self._write_started, 0.9 * self._write_seconds
            )
            self._put_latest()
        self._wake()

    def _give_up(self, reason: str) -> None:
        """Stop waiting for a disk that fails; the print continues without it."""
        if self._has_given_up or self._disk is None:
            return
        self._has_given_up = True
        self._drop_reservation()
        log.warning("job.place_not_kept", reason=reason, consequence="the print will not survive a power cut")
        self._retract_task = asyncio.create_task(self._retract(self._disk))
        self._wake()

    async def _retract(self, disk: Disk) -> None:
        """Replace the content of the disk, which would lead to a wrong place, as soon as the disk works again."""
        while self._has_given_up:
            stored = (
                StoredPlace(hot_printer=self._latest.hot_printer)
                if self._job is None
                else self._make_place(unknown_reason="the disk had failed by then")
            )
            try:
                await disk.put(_as_text(stored))
            except OSError:
                await asyncio.sleep(RETRY_INTERVAL)
            else:
                self._on_disk = stored
                return

    def _wake(self) -> None:
        if (printer := self._connection.printer) is not None:
            printer.wake()

    async def close(self) -> None:
        """Wait for the write in progress."""
        if self._retract_task is not None:
            self._retract_task.cancel()
        while self._writing is not None and self._task is not None:
            with suppress(OSError):
                await self._task
            await asyncio.sleep(0)  # lets `_on_put` run: awaiting a task that is done does not


def _as_text(stored: StoredPlace) -> bytes:
    content: dict[str, Any] = msgspec.to_builtins(stored)
    return msgspec.json.encode({_STORED_AS.get(name, name): value for name, value in content.items()})


_REASONS = {
    JobState.STARTING: "the print was only starting",
    JobState.PAUSING: "the print was on its way into a pause",
    JobState.RESUMING: "the print was on its way back from a pause",
    JobState.FINISHING: "the file was at its end",
    JobState.CANCELLING: "the print was being cancelled",
}
