"""Rerun: today's driver on a recorded session, as whoever used it then would.

The lines that a person or a job sent are taken from the recording and offered to the link when their turn has come;
line numbers, checksums, repeats, questions and the greeting have to come from the driver again.

What that finds: any byte that differs, a line that does not come, a question that was not asked then. What it cannot
find: a link that would have sent a line earlier, as nobody knows when it was there to be sent. Requests for
temperatures (M105), and for the progress of a print from the SD card (M27), count as a person's lines: the timer
behind them drifts with the recording machine's load.
"""

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from gcode import outgoing
from gcode.command import m_code
from gcode.errors import NozzledError
from gcode.firmware_traits import IMPOSSIBLE
from gcode.flight import ANEW, FILLERS, HARMLESS, RENEWAL
from gcode.framing import unframe
from gcode.frozen import frozen
from gcode.packing import RESET, text_on_wire
from hal.driver import LinePrinter, LinkSettings
from hal.errors import RecordingError
from hal.printer import ConnectionState, Event, StateChanged
from hal.replay import Difference, ReplayTransport
from hal.reports import CARD_REPORTS, KEEPALIVE
from hal.session_file import EVENT, HOST, Record, RecordedSession

NEVER = 1e9
"""Seconds between the driver's own requests where they come from the recording."""

_WORDS = frozenset({"long_commands", "compact", "packing"})
"""Settings that are no numbers."""

_BEFORE: dict[str, str] = {"compact": "off", "packing": "off"}
"""What was done before there were such settings: older recordings do not tell."""

_SYNC = b"M118 nozzled"
# What makes a printer safe goes out beyond the link's window.
_URGENT = m_code(18, 84, 104, 106, 107, 108, 140, 141)


class SentCommand(NamedTuple):
    """A command that a person or a job sent, and the record that holds it."""

    at: int
    command: bytes


def lines(records: Sequence[Record]) -> Iterator[SentCommand]:
    """Recover what was sent from the frames: all but what the driver says, asks and repeats by itself."""
    news = _new_commands(records)
    first = next(news, None)
    second = next(news, None) if first else None  # M115 comes first, then how temperatures are to be told
    if second is not None and not second.command.startswith((b"M155 ", b"M105")):
        yield second
    own = (_SYNC, CARD_REPORTS.encode(), KEEPALIVE.encode())
    yield from (line for line in news if not line.command.startswith(own))


def _new_commands(records: Sequence[Record]) -> Iterator[SentCommand]:
    """Yield each command once: a number that was there before is a repeat."""
    highest = fillers = 0
    for at, record in enumerate(records):
        if record.kind != HOST or _is_stop(record):
            continue
        data = text_on_wire(record.data)
        by_driver = data.startswith(b"\n")  # it ends noise that way before it speaks without a number
        for raw in filter(None, data.split(b"\n")):
            parsed = unframe(raw)
            if parsed.number is None and not by_driver:
                yield SentCommand(at, raw)
            elif parsed.command == RENEWAL:
                highest, fillers = ANEW, ANEW + FILLERS
            elif parsed.number is not None and highest < parsed.number < IMPOSSIBLE:
                highest = parsed.number
                if parsed.command != HARMLESS or parsed.number > fillers:
                    yield SentCommand(at, parsed.command)


def _is_stop(record: Record) -> bool:
    """Tell an emergency stop: M112 first raw, then numbered, in one piece."""
    return record.kind == HOST and text_on_wire(record.data).lstrip(b"\n").startswith(b"M112\n")


def _is_farewell(records: Sequence[Record], at: int) -> bool:
    """Tell the reset of the firmware's decoder with which whoever closes the line leaves it."""
    last = at == len(records) - 1 or (records[at + 1].kind, records[at + 1].data) == (EVENT, b"close")
    return last and (records[at].kind, records[at].data) == (HOST, RESET)


@frozen
class ReplayOutcome:
    """What a replay has shown.

    Attributes:
        played: records that were gone through, of `records`.
        lines: commands that were recovered and sent again.
        difference: the first one, if any.
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
    """Plays the part of whoever used the driver then; a `hal.printer.LineSource`."""

    def __init__(self, session: RecordedSession, *, strict: bool) -> None:
        self._transport = ReplayTransport(session, session.header.address, strict=strict)
        self._transport.on_turn = self._on_turn
        self._transport.on_end = self._on_end
        self._lines = deque(lines(self._transport.records))
        self._printer = LinePrinter(self._transport, _settings(session, self._transport.records))
        self._printer.subscribe(self._on_event)
        self._turn = -1  # index of the record that the host may say
        self._given = 0
        self._ended = asyncio.Event()
        self._urgent: set[asyncio.Task[None]] = set()  # what nothing here waits for

    async def run(self) -> ReplayOutcome:
        """Play to the end, or to the first difference in strict mode."""
        with contextlib.suppress(NozzledError):  # it failed then too, or else the transport has seen a difference
            await self._printer.open()
        await self._ended.wait()
        transport = self._transport
        outcome = ReplayOutcome(len(transport.records), transport.at, self._given, transport.difference)
        await self._printer.close()
        await asyncio.gather(*self._urgent)
        return outcome

    def next_line(self) -> outgoing.Line | None:
        """Return the next line when its turn has come."""
        if not self._due() or _URGENT.match(self._lines[0].command):
            return None
        self._given += 1
        return outgoing.job_line(*self._lines.popleft())

    def _due(self) -> bool:
        return bool(self._lines) and self._lines[0].at <= self._turn

    def _on_turn(self, at: int) -> None:
        self._turn = at
        if _is_stop(self._transport.records[at]):
            self._printer.emergency_stop()  # which makes the reset behind it, too
            return
        if _is_farewell(self._transport.records, at):
            task = asyncio.create_task(self._printer.close())
            self._urgent.add(task)
            task.add_done_callback(self._urgent.discard)
            return
        self._printer.wake()
        if self._due() and _URGENT.match(self._lines[0].command):
            self._given += 1
            task = asyncio.create_task(self._send_urgently(self._lines.popleft().command))
            self._urgent.add(task)
            task.add_done_callback(self._urgent.discard)

    async def _send_urgently(self, command: bytes) -> None:
        with contextlib.suppress(NozzledError):  # the line may end before the answer
            await self._printer.send(command.decode("utf-8", "replace"), urgent=True)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, StateChanged) and event.new is ConnectionState.READY:
            self._printer.feed(self)

    def _on_end(self) -> None:
        self._ended.set()


def _settings(session: RecordedSession, records: Sequence[Record]) -> LinkSettings:
    for name, value in session.header.settings.items():
        if not isinstance(value, str if name in _WORDS else int | float):
            raise RecordingError(f"the recording has settings that are none: {session.header.settings}")
    try:
        settings = LinkSettings(**_BEFORE | session.header.settings)  # type: ignore[arg-type] # JSON keeps int and float apart
    except TypeError as error:
        raise RecordingError(f"the recording has settings that this program does not know: {error}") from error
    settings = replace(settings, card_interval=NEVER, report_patience=NEVER)
    asked = [line.command for line in itertools.islice(_new_commands(records), 2)][1:]
    return replace(settings, poll_interval=NEVER, idle_interval=NEVER) if asked == [b"M105"] else settings
