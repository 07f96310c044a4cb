"""Replay: a recorded session in place of a printer.

It sends the printer's bytes once the host has sent the bytes before them in the recording, and notes the first place
where the host differs. It serves tests, and reruns of a user's problem (`hal.rerun`).
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from gcode.frozen import frozen
from gcode.packing import text_on_wire
from gcode.replies import decode
from hal.errors import AddressError, PortError, PortLost, RecordingError, ReplayDiffers
from hal.registry import Address, yes_or_no
from hal.session_file import EVENT, HOST, PRINTER, Record, RecordedSession, RecordKind, read

MAX_SILENCE_S = 1.0
"""Seconds after which a host that does not send the recorded bytes counts as silent."""

AT_ONCE_S = 0.002
"""Seconds after a piece of the printer within which the host has sent something because of it."""

ARROWS = {HOST: "->", PRINTER: "<-", EVENT: "--"}

_OPEN, _RESET, _CLOSE = b"open", b"reset", b"close"
_ENDS = (_CLOSE, b"lost", b"dropped")  # first words of events after which nothing can be replayed


@frozen
class Difference:
    """The first place where the host differs from the recording.

    Attributes:
        index: of the record in the session.
        time: of that record, in seconds since the opening of the connection.
        expected: the part of it that the host has not sent.
        actual: what the host did instead; None: nothing for MAX_SILENCE_S seconds.
    """

    index: int
    time: float
    expected: Record
    actual: Record | None

    def __str__(self) -> str:
        actual = show(self.actual) if self.actual else f"nothing for {MAX_SILENCE_S:g} s"
        return (
            f"record {self.index}, at {self.time:.3f} s: the recording has {show(self.expected)}, "
            f"the host sent {actual}"
        )


def show(record: Record) -> str:
    """Return a record as one line of text that is safe on a terminal."""
    if record.kind == EVENT:
        return f"-- {decode(record.data)}"
    return f"{ARROWS[record.kind]} {repr(record.data)[1:]}"


def dialogue(records: Iterable[Record]) -> Iterator[str]:
    """Yield the lines of records in the form of the recorded dialogues: time, direction, text.

    Packed lines are shown unpacked, without the orders to the decoder.
    """
    for record in records:
        data = text_on_wire(record.data) if record.kind == HOST else record.data
        for line in data.split(b"\n"):
            if line:
                yield f"{record.time:9.3f} {ARROWS[record.kind]} {decode(line)}"


class ReplayTransport:
    """A recording in place of a printer; a `hal.transport.Transport`.

    The printer's bytes follow the host's with the recorded delay. In strict mode the connection is lost at the
    first difference; otherwise the replay continues as if the host had sent the recorded bytes.
    """

    def __init__(self, session: RecordedSession, address: str = "replay", *, strict: bool = True) -> None:
        """Prepare a session.

        Raises:
            RecordingError: it begins in the middle of a conversation.
        """
        self.difference: Difference | None = None
        self.index = 0  # index of the record that comes next
        self.records = _select_replayed(session)
        self.on_turn: Callable[[int], None] = _ignore  # called, perhaps repeatedly, when record `index` is the host's
        # called when the recording ends, when the host closes, and in strict mode when the host differs
        self.on_end: Callable[[], None] = _ignore_end
        self._baudrate = session.header.baudrate
        self._address = address
        self._strict = strict
        self._differed = False  # in strict mode: nothing more is compared or played
        self._offset = 0  # bytes of the host's current record that it has sent
        self._loop: asyncio.AbstractEventLoop | None = None  # None: not open
        self._origin = 0.0  # time 0 of the recording, on the loop's clock
        self._timer: asyncio.TimerHandle | None = None
        self._on_data: Callable[[bytes], None] = _ignore
        self._on_lost: Callable[[PortError], None] = _ignore

    @property
    def address(self) -> str:
        """The address of the replay."""
        return self._address

    @property
    def baudrate(self) -> int | None:
        """The recorded baudrate."""
        return self._baudrate

    @property
    def answers_at_once(self) -> bool:
        """The next record is the host's, and the host sent it right after the one before, in the same callback."""
        at, records = self.index, self.records
        return (
            0 < at < len(records) and records[at].kind == HOST and records[at].time - records[at - 1].time < AT_ONCE_S
        )

    async def open(self, on_data: Callable[[bytes], None], on_lost: Callable[[PortError], None]) -> None:
        """Start the replay."""
        self._loop = asyncio.get_running_loop()
        self._on_data, self._on_lost = on_data, on_lost
        self._advance()

    def write(self, data: bytes) -> None:
        """Compare the host's bytes with the recorded ones."""
        while data and self._is_comparing():
            record = self.records[self.index]
            expected = record.data[self._offset : self._offset + len(data)]
            if record.kind != HOST or not data.startswith(expected):
                self._differ(HOST, data, follow=record.kind == HOST)
                return
            data = data[len(expected) :]
            self._offset += len(expected)
            if self._offset == len(record.data):
                self._advance()
            else:
                self._schedule()

    def reset(self) -> None:
        """Compare a reset by the host with the recorded events."""
        if not self._is_comparing():
            return
        record = self.records[self.index]
        if (record.kind, record.data) == (EVENT, _RESET):
            self._advance()
        else:
            self._differ(EVENT, _RESET, follow=False)

    def _is_comparing(self) -> bool:
        return self._loop is not None and not self._differed and self.index < len(self.records)

    def close(self) -> None:
        """Stop the replay; this is a difference unless the recording has a close there."""
        if self._is_comparing():
            if (self.records[self.index].kind, self.records[self.index].data) == (EVENT, _CLOSE):
                self.index += 1
            else:
                self._note(EVENT, _CLOSE)
        if self._loop is not None:
            self._end()

    # -- playing -------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Continue after a record of the host; the times of the following records count from now."""
        self._origin = self._now() - self.records[self.index].time
        self.index += 1
        self._offset = 0
        self._schedule()

    def _now(self) -> float:
        return self._loop.time() if self._loop is not None else 0.0

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._loop is None:
            return
        due = self._origin + self.records[self.index].time if self.index < len(self.records) else self._now()
        self._timer = self._loop.call_at(due, self._on_due)

    def _on_due(self) -> None:
        """Play one record; each has its own turn of the loop."""
        self._timer = None
        if self._loop is None:
            return
        if self.index == len(self.records):
            self.on_end()
            return
        record = self.records[self.index]
        if _is_from_host(record):
            self._timer = self._loop.call_later(MAX_SILENCE_S, self._on_silence)
            self.on_turn(self.index)
            return
        self.index += 1
        if record.kind == PRINTER:
            self._on_data(record.data)
        elif record.data.startswith(b"lost"):
            self._lose(PortLost(decode(record.data.removeprefix(b"lost "))))
        self._schedule()

    def _on_silence(self) -> None:
        self._timer = None
        self._differ(None, b"", follow=True)

    # -- ending --------------------------------------------------------------------------------------------

    def _differ(self, kind: RecordKind | None, data: bytes, *, follow: bool) -> None:
        """Note a difference, then stop, or `follow` the recording to the next record."""
        self._note(kind, data)
        if self._strict and self._loop is not None:
            self._differed = True
            self._loop.call_soon(self._lose, ReplayDiffers(str(self.difference)))
            self._silence()
        elif follow:
            self.index += 1
            self._offset = 0
            self._schedule()

    def _note(self, kind: RecordKind | None, data: bytes) -> None:
        if self.difference is None:
            record = self.records[self.index]
            expected = record._replace(data=record.data[self._offset :])
            actual = Record(self._now() - self._origin, kind, data) if kind is not None else None
            self.difference = Difference(self.index, record.time, expected, actual)

    def _silence(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _lose(self, error: PortError) -> None:
        if self._loop is not None:
            on_lost = self._on_lost
            self._end()
            on_lost(error)

    def _end(self) -> None:
        self._silence()
        self._loop = None
        self._on_data = self._on_lost = _ignore
        self.on_end()


def _select_replayed(session: RecordedSession) -> list[Record]:
    """Return the records from the opening of the connection to its first end."""
    records = session.records
    if not records or (records[0].kind, records[0].data) != (EVENT, _OPEN):
        problem = "the recording begins in the middle of a conversation"
        raise RecordingError(f"{problem}: it can be shown, not replayed (--show shows it)")
    for at, record in enumerate(records):
        if record.kind == EVENT and record.data.split(b" ")[0] in _ENDS:
            return records[: at if record.data.startswith(b"dropped") else at + 1]
    return records


def _is_from_host(record: Record) -> bool:
    """Tell whether the host has to send a record. A close does not count: the host may close at any time."""
    return record.kind == HOST or (record.kind == EVENT and record.data == _RESET)


def _ignore(_value: object) -> None:
    """Stand in for a callback while the connection is closed."""


def _ignore_end() -> None:
    """Stand in for a callback that is not set."""


def create_transport(address: Address) -> ReplayTransport:
    """Return the transport for `replay:FILE`, or `replay:FILE?lenient=yes` to continue where the host differs.

    Raises:
        AddressError: no file is named, or an option is unknown or wrong.
        RecordingError: the file cannot be read or replayed.
    """
    address.allow("lenient")
    if not address.target:
        raise AddressError(f"{address}: name the file of the recording, as in replay:/tmp/session.jsonl.gz")
    lenient = address.option("lenient", yes_or_no, "yes or no")
    return ReplayTransport(read([Path(address.target)]), str(address), strict=not lenient)
