"""Rerun: runs today's driver against a recorded session.

The commands of users and jobs are taken from the recording and given to the link in turn; line numbers, checksums,
repeats, probes and the greeting have to come from the driver again. Queries for temperatures (M105) and for a print
from the SD card (M27) count as a user's commands: their timer drifts with the load of the recording machine.

A rerun finds any byte that differs, a missing line, and one that is not in the recording. It cannot find a link that
would have sent a line earlier, because the recording does not show when the line was available.

After the probe of a Repetier, a rerun may report a difference that is none: if the rerun gives a waiting line to the
link later than the recorded host did, the link sends an M105 to end the resend requests.
"""

import asyncio
import contextlib
import itertools
import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, get_type_hints

from gcode import outgoing
from gcode.command import m_code
from gcode.dialect import DIALECTS
from gcode.errors import NozzledError
from gcode.firmware_traits import IMPOSSIBLE_NUMBER
from gcode.flight import FILLERS, HARMLESS, RENUMBER, START_NUMBER
from gcode.framing import unframe
from gcode.frozen import frozen
from gcode.packing import RESET, text_on_wire
from hal.driver import LinePrinter, LinkSettings
from hal.errors import RecordingError
from hal.printer import ConnectionState, Event, StateChanged
from hal.replay import Difference, ReplayTransport
from hal.reports import CARD_REPORTS, KEEPALIVE
from hal.session_file import EVENT, HOST, Record, RecordedSession

NEVER_S = 1e9
"""Seconds between the driver's own queries, which come from the recording instead."""

_OLD_DEFAULTS: dict[str, str] = {"compact": "off", "packing": "off"}
"""Values of the settings that older recordings lack: what the program did at the time."""

_SYNC = b"M118 nozzled"
_HALT_TESTS = frozenset(each.errors.halt_test for each in DIALECTS)
# Commands that make a printer safe go out beyond the link's window.
_URGENT = m_code(18, 84, 104, 106, 107, 108, 140, 141)


class SentCommand(NamedTuple):
    """A command of a user or a job, and the index of its record."""

    record_index: int
    command: bytes


def recover_commands(records: Sequence[Record]) -> Iterator[SentCommand]:
    """Recover the commands of users and jobs from the frames, without those that the driver sends by itself."""
    commands = _after_identity(records)
    first = next(commands, None)  # most often the command for temperature reports
    if first is not None and not first.command.startswith((b"M155 ", b"M105")):
        yield first
    own = (CARD_REPORTS.encode(), KEEPALIVE.encode())
    yield from (command for command in commands if not command.command.startswith(own))


def _after_identity(records: Sequence[Record]) -> Iterator[SentCommand]:
    """Yield each command after M115, except the link's own texts and the halt test."""
    after = itertools.islice(_new_commands(records), 1, None)
    commands = (each for each in after if not each.command.startswith(_SYNC))
    first = next(commands, None)
    if first is not None and first.command not in _HALT_TESTS:
        yield first
    yield from commands


def _new_commands(records: Sequence[Record]) -> Iterator[SentCommand]:
    """Yield each command once: a line with a number that came before is a repeat."""
    highest = fillers = 0
    for at, record in enumerate(records):
        if record.kind != HOST or _is_stop(record):
            continue
        data = text_on_wire(record.data)
        by_driver = data.startswith(b"\n")  # the driver's lines without a number begin with a line feed, to end noise
        for raw in filter(None, data.split(b"\n")):
            parsed = unframe(raw)
            if by_driver and parsed.command == HARMLESS and parsed.number not in (None, highest + 1):
                # a probe; if the firmware counts modulo 65536, its number is far ahead, but below IMPOSSIBLE_NUMBER
                continue
            if parsed.number is None and not by_driver:
                yield SentCommand(at, raw)
            elif parsed.command == RENUMBER:
                highest, fillers = START_NUMBER, START_NUMBER + FILLERS
            elif parsed.number is not None and highest < parsed.number < IMPOSSIBLE_NUMBER:
                highest = parsed.number
                if parsed.command != HARMLESS or parsed.number > fillers:
                    yield SentCommand(at, parsed.command)


def _is_stop(record: Record) -> bool:
    """Tell whether a record is an emergency stop: M112 without and with a line number, in one piece."""
    return record.kind == HOST and text_on_wire(record.data).lstrip(b"\n").startswith(b"M112\n")


def _is_farewell(records: Sequence[Record], at: int) -> bool:
    """Tell whether a record is the reset of the firmware's decoder with which a host closes the connection."""
    last = at == len(records) - 1 or (records[at + 1].kind, records[at + 1].data) == (EVENT, b"close")
    return last and (records[at].kind, records[at].data) == (HOST, RESET)


@frozen
class ReplayOutcome:
    """The outcome of a replay.

    Attributes:
        records: number of records in the session.
        played: number of records that were played.
        lines: number of commands that were recovered and sent again.
        difference: the first difference; None: host and recording agree.
    """

    records: int
    played: int
    lines: int
    difference: Difference | None


async def rerun(session: RecordedSession, *, strict: bool = True) -> ReplayOutcome:
    """Run the recording against today's driver, on the loop's clock.

    Raises:
        RecordingError: it begins in the middle of a conversation, or has settings that the driver does not know.
    """
    return await _Player(session, strict=strict).run()


class _Player:
    """Plays the users and jobs of the recording; a `hal.printer.LineSource`."""

    def __init__(self, session: RecordedSession, *, strict: bool) -> None:
        self._transport = ReplayTransport(session, session.header.address, strict=strict)
        self._transport.on_turn = self._on_turn
        self._transport.on_end = self._on_end
        self._lines = deque(recover_commands(self._transport.records))
        self._printer = LinePrinter(self._transport, _settings(session, self._transport.records))
        self._printer.subscribe(self._on_event)
        self._turn = -1  # index of the record that the host may send
        self._count = 0
        self._ended = asyncio.Event()
        self._urgent: set[asyncio.Task[None]] = set()

    async def run(self) -> ReplayOutcome:
        """Play to the end, or to the first difference in strict mode."""
        with contextlib.suppress(NozzledError):  # it failed in the recording too, or the transport notes a difference
            await self._printer.open()
        await self._ended.wait()
        transport = self._transport
        outcome = ReplayOutcome(len(transport.records), transport.index, self._count, transport.difference)
        await self._printer.close()
        await asyncio.gather(*self._urgent)
        return outcome

    def next_line(self) -> outgoing.Line | None:
        """Return the next line if its turn has come."""
        if not self._is_due() or _URGENT.match(self._lines[0].command):
            return None
        self._count += 1
        return outgoing.job_line(*self._lines.popleft())

    def _is_due(self) -> bool:
        """Tell whether the host had the next line at this moment; a host that answered at once had the line already."""
        lines, transport = self._lines, self._transport
        while lines and transport.difference is None and lines[0].record_index < transport.index:
            lines.popleft()  # the link has sent it by itself, as the M105 after a probe
        if not lines:
            return False
        at = lines[0].record_index
        return at <= self._turn or (at == transport.index and transport.answers_at_once)

    def _on_turn(self, at: int) -> None:
        self._turn = at
        if _is_stop(self._transport.records[at]):
            self._printer.emergency_stop()  # which also does the reset after it
            return
        if _is_farewell(self._transport.records, at):
            task = asyncio.create_task(self._printer.close())
            self._urgent.add(task)
            task.add_done_callback(self._urgent.discard)
            return
        self._printer.wake()
        if self._is_due() and _URGENT.match(self._lines[0].command):
            self._count += 1
            task = asyncio.create_task(self._send_urgently(self._lines.popleft().command))
            self._urgent.add(task)
            task.add_done_callback(self._urgent.discard)

    async def _send_urgently(self, command: bytes) -> None:
        with contextlib.suppress(NozzledError):  # the connection may end before the answer
            await self._printer.send(command.decode("utf-8", "replace"), urgent=True)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, StateChanged) and event.new is ConnectionState.READY:
            self._printer.feed(self)

    def _on_end(self) -> None:
        self._ended.set()


def _settings(session: RecordedSession, records: Sequence[Record]) -> LinkSettings:
    kinds = get_type_hints(LinkSettings)
    for name, value in session.header.settings.items():
        if name not in kinds:
            raise RecordingError(f"the recording has a setting that this program does not know: {name!r}")
        if not isinstance(value, int | float if kinds[name] is float else kinds[name]) or _is_not_finite(value):
            raise RecordingError(f"the recording has settings of the wrong type: {name!r} is {value!r}")
    settings = LinkSettings(**_OLD_DEFAULTS | session.header.settings)  # type: ignore[arg-type] # checked above
    settings = replace(settings, card_interval=NEVER_S, report_patience=NEVER_S)
    # where temperatures are queried, and not reported unasked, the queries come from the recording too
    first = next(_after_identity(records), None)
    is_queried = first is not None and first.command == b"M105"
    return replace(settings, poll_interval=NEVER_S, idle_interval=NEVER_S) if is_queried else settings


def _is_not_finite(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
