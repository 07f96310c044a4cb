"""Faults: executes the faults of a scenario on a simulated printer.

Each fault has a random generator of its own, with a seed from the printer's seed and the fault's index in the scenario.
It does not matter in which pieces bytes come. So the same seed gives the same bytes.
"""

import math
import random
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from gcode.framing import number_of
from gcode.planner import AXES
from hal.simulated.heater import HeaterFault
from hal.simulated.scenario import Fault, Scenario

if TYPE_CHECKING:
    from hal.simulated.firmware import Firmware

_CHECK_INTERVAL = 0.25  # s between two checks of a temperature that a fault waits for
_MAX_PREFIX = 32  # bytes at the start of a line to the printer, which include its number
_MAX_HELD = 4096  # bytes of an incomplete line that wait for its end
_MAX_RECORDS = 10_000  # faults that are recorded
_NEVER = 2.0**60  # more opportunities than there will ever be
_MAX_REPEATS = 100  # the most times that one fault happens at one moment
_BYTES = frozenset({"flip", "drop", "duplicate", "delay", "overrun"})
_ANSWERS = frozenset({"lose_ok", "double_ok", "late_ok"})
_LINES = frozenset({"resend"})

Piece = tuple[bytes, float]
"""Bytes, and by how many seconds they are late."""


class FaultRecord(NamedTuple):
    """A fault that has happened: the device's time in s, its kind, the line that it hit or the line before."""

    time: float
    what: str
    line: int | None


class _ArmedFault:
    """One fault, and how many times it will still happen."""

    def __init__(self, fault: Fault, seed: str, note: Callable[[Fault, int | None], None]) -> None:
        self.fault = fault
        self._note = note
        self.remaining = fault.max_count
        self.ready = fault.time is None and fault.temperature is None  # its time or temperature has come
        self.random = random.Random(seed)  # noqa: S311 - reproducible, not secret
        self._skip = self._draw()

    def hits(self, line: int | None) -> bool:
        """Tell whether the fault happens at this opportunity, in this line; counts it."""
        if not self.remaining or not self.ready or (self.fault.line is not None and self.fault.line != line):
            return False
        if self._skip:
            self._skip -= 1
            return False
        self._skip = self._draw()
        self.remaining -= 1
        self._note(self.fault, line)
        return True

    def next_hit(self, length: int) -> int:
        """Return at which of the next `length` opportunities, in any line, the fault happens first; -1: at none."""
        if not self.remaining or not self.ready:
            return -1
        if self._skip >= length:
            self._skip -= length
            return -1
        at, self._skip = self._skip, self._draw()
        self.remaining -= 1
        self._note(self.fault, None)
        return at

    def _draw(self) -> int:
        """Return how many opportunities pass before the fault happens."""
        chance = self.fault.probability
        if chance is None or chance >= 1:
            return 0
        return int(min(math.log(1.0 - self.random.random()) / math.log1p(-chance), _NEVER))


class _Damage:
    """Damages the bytes that pass in one direction."""

    def __init__(self, armed: list[_ArmedFault], count_lost: Callable[[int], None]) -> None:
        self._armed = armed
        self._count_lost = count_lost
        self._remaining: dict[_ArmedFault, int] = {}  # bytes still to be damaged by a fault that has begun
        self._late = 0.0

    def pieces(self, data: bytes, line: int | None) -> Iterator[Piece]:
        """Yield the bytes of this line as they arrive; `line` None: it has no number."""
        for armed in self._armed:
            data = self._damage(armed, data, line)
        late, self._late = self._late, 0.0
        if data:
            yield data, late

    def _damage(self, armed: _ArmedFault, data: bytes, line: int | None) -> bytes:
        out, at = bytearray(), 0
        while at < len(data):
            remaining = self._remaining.pop(armed, 0)
            if not remaining:
                begin = self._begin(armed, len(data) - at, line)
                if begin < 0:
                    break
                out += data[at : at + begin]
                at += begin
                remaining = armed.fault.bytes
            end = min(at + remaining, len(data))
            out += self._spoil(armed, data[at:end])
            if remaining > end - at:
                self._remaining[armed] = remaining - (end - at)
            at = end
        return bytes(out + data[at:])

    def _begin(self, armed: _ArmedFault, length: int, line: int | None) -> int:
        """Return where in these bytes the fault begins; -1: not in them."""
        if armed.fault.probability is not None:
            return armed.next_hit(length)
        # somewhere within the line, but never its end
        return armed.random.randrange(max(1, length - 1)) if armed.hits(line) else -1

    def _spoil(self, armed: _ArmedFault, data: bytes) -> bytes:
        what = armed.fault.what
        if what == "flip":
            return bytes(each ^ 1 << armed.random.randrange(8) for each in data)
        if what == "duplicate":
            return bytes(byte for each in data for byte in (each, each))
        if what == "delay":
            self._late += armed.fault.duration
            return data
        if what == "overrun":
            self._count_lost(len(data))
        return b""


class Faults:
    """The faults of one printer. They outlive its resets.

    Attributes:
        due: when `advance` has something to do.
        records: the faults that have happened, up to a limit.
    """

    def __init__(self, scenario: Scenario, seed: int, firmware: "Firmware") -> None:
        self.due = math.inf  # until the printer is switched on
        self._firmware = firmware
        self.records: list[FaultRecord] = []
        armed = [_ArmedFault(fault, f"{seed} {number}", self._note) for number, fault in enumerate(scenario.faults)]
        self._waiting = [each for each in armed if not each.ready]  # for a time or a temperature
        self._answers = [each for each in armed if each.fault.what in _ANSWERS]
        self._lines = [each for each in armed if each.fault.what in _LINES]
        self._events = [each for each in armed if each.fault.what in ACTIONS]
        self._to_do: list[Fault] = []
        self._line: int | None = None  # the last one accepted
        self._sent = self._accepted = self._answered = 0  # counts of lines, in place of the numbers that lines lack
        self._held = False  # an answer is being held back
        self._is_off = True  # the printer has never been switched on
        self._to_printer = _Damage(_of_bytes(armed, "to_printer"), self._count_overrun)
        self._to_host = _Damage(_of_bytes(armed, "to_host"), self._count_overrun)
        # a fault in one line may hit any of its bytes: while one is to come, the bytes of a line wait for its end
        self._in_lines = [each for each in _of_bytes(armed, "to_printer") if each.fault.probability is None]
        self._partial = b""  # the beginning of an incomplete line to the printer

    def _note(self, fault: Fault, line: int | None) -> None:
        if len(self.records) < _MAX_RECORDS:
            self.records.append(FaultRecord(self._firmware.now, fault.what, self._line if line is None else line))

    def _count_overrun(self, lost: int) -> None:
        self._firmware.oracle.counters.overruns += lost

    # ── for the firmware ────────────────────────────────────────────────────────────────────────────────────

    def damage_to_printer(self, data: bytes) -> Iterator[Piece]:
        """Yield the bytes of the host as they arrive at the printer, line by line."""
        for part in data.splitlines(keepends=True):
            line, self._partial = self._partial + part, b""
            waits = any(each.remaining for each in self._in_lines)
            if waits and not line.endswith(b"\n") and len(line) < _MAX_HELD:
                self._partial = line
                continue
            piece = line if waits else part
            # a blank line, such as the one before the greeting, does not count
            yield from self._to_printer.pieces(piece, None if line == b"\n" else _number(line, self._sent + 1))
            if not part.endswith(b"\n"):
                self._partial = b"" if waits else line[:_MAX_PREFIX]
            elif line != b"\n":
                self._sent += 1

    def damage_to_host(self, data: bytes) -> Iterator[Piece]:
        """Yield the bytes of a line of the firmware as they arrive at the host."""
        return self._to_host.pieces(data, self._line)

    def must_refuse(self, number: int | None) -> bool:
        """Tell whether the firmware must refuse a good numbered line."""
        return number is not None and any(each.hits(number) for each in self._lines)

    def note_accepted(self, number: int | None) -> None:
        """Note a line that is in the command queue; a fault that it triggers comes at the next step."""
        self._accepted += 1
        self._line = self._accepted if number is None else number
        for each in self._events:
            if each.fault.time is None and each.fault.temperature is None and each.hits(self._line):
                self._to_do.append(each.fault)
                self.due = self._firmware.now

    def answer_delay(self, number: int | None) -> float:
        """Return by how many seconds the answer that is due now is late.

        The next call after a delay is about the same answer, and returns 0.
        """
        if self._held:
            self._held = False
            return 0.0
        self._answered += 1
        line = self._number_or_count(number)
        late = next((each for each in self._answers if each.fault.what == "late_ok" and each.hits(line)), None)
        self._held = late is not None
        return late.fault.duration if late else 0.0

    def answer_count(self, number: int | None) -> int:
        """Return how often the answer to a line is sent: 0, 1 or 2 times."""
        for each in self._answers:
            if each.fault.what != "late_ok" and each.hits(self._number_or_count(number)):
                return 0 if each.fault.what == "lose_ok" else 2
        return 1

    def _number_or_count(self, number: int | None) -> int:
        return self._answered if number is None else number

    def switch_on(self) -> None:
        """Begin with the faults: the printer has been switched on; only the first call counts."""
        if self._is_off:
            self._is_off, self.due = False, self._firmware.now

    def forget(self) -> None:
        """Forget the incomplete line, as a reset does."""
        self._partial, self._held = b"", False

    @property
    def is_due(self) -> bool:
        """A fault is due; it comes before anything else."""
        return self.due <= self._firmware.now

    # ── events ──────────────────────────────────────────────────────────────────────────────────────────────

    def advance(self) -> None:
        """Do what is due now."""
        if self.due > self._firmware.now:
            return
        self._arm_due()
        to_do, self._to_do = self._to_do, []
        self.due = min((self._next_check(each) for each in self._waiting), default=math.inf)
        for fault in to_do:
            ACTIONS[fault.what](self._firmware, fault)

    def _next_check(self, armed: _ArmedFault) -> float:
        return self._firmware.now + _CHECK_INTERVAL if armed.fault.time is None else armed.fault.time

    def _arm_due(self) -> None:
        """Make the faults ready whose time or temperature has come."""
        for each in [each for each in self._waiting if self._has_come(each.fault)]:
            self._waiting.remove(each)
            each.ready = True
            if each.fault.what in ACTIONS:
                self._to_do.extend([each.fault] * int(min(each.remaining, _MAX_REPEATS)))
                self._note(each.fault, None)

    def _has_come(self, fault: Fault) -> bool:
        if fault.time is not None:
            return fault.time <= self._firmware.now
        heater = self._firmware.heat.find(fault.heater)
        if heater is None or fault.temperature is None:
            return False
        return heater.temperature(self._firmware.now) >= fault.temperature


def _number(line: bytes, count: int) -> int:
    """Return the number in a line; `count` for a line without one."""
    number = number_of(line)
    return count if number is None else number


def _of_bytes(armed: list[_ArmedFault], direction: str) -> list[_ArmedFault]:
    return [each for each in armed if each.fault.what in _BYTES and each.fault.direction == direction]


# ── faults of the board and the machine ─────────────────────────────────────────────────────────────────────────


def _kill(firmware: "Firmware", fault: Fault) -> None:
    firmware.kill(*([f"Error:{fault.text}"] if fault.text else []))


def _halt(firmware: "Firmware", fault: Fault) -> None:
    firmware.halt(fault.text)


def _stop_at_panel(firmware: "Firmware", _fault: Fault) -> None:
    firmware.stop_print()
    firmware.board.send_action("cancel")
    firmware.board.send_action("notification Print Aborted")


def _ask(action: str) -> Callable[["Firmware", Fault], None]:
    """Return a fault that asks the host for an action, even if this firmware has no such lines."""
    return lambda firmware, _: firmware.say(firmware.config.speech.action.format(text=action))


def _reset(firmware: "Firmware", fault: Fault) -> None:
    firmware.boot(fault.duration if fault.by == "power" else 0.0)


def _break_endstop(firmware: "Firmware", fault: Fault) -> None:
    firmware.broken_endstops.add(AXES.index(fault.axis))


def _run_out(firmware: "Firmware", fault: Fault) -> None:
    firmware.board.user_delay = fault.duration
    firmware.board.send_action("prompt_begin FilamentRunout T0")
    firmware.board.send_action("prompt_show")
    firmware.inject("M600")


def _break_heater(firmware: "Firmware", fault: Fault) -> None:
    if (heater := firmware.heat.find(fault.heater)) is not None:
        heater.fail(HeaterFault(fault.what), firmware.now)


ACTIONS: dict[str, Callable[["Firmware", Fault], None]] = {
    "text": lambda firmware, fault: firmware.say(fault.text),
    "hang": lambda firmware, fault: firmware.hang(fault.duration),
    "kill": _kill,
    "halt": _halt,
    "reset": _reset,
    "unplug": lambda firmware, fault: firmware.unplug(fault.duration),
    "no_heat": _break_heater,
    "sensor_open": _break_heater,
    "sensor_short": _break_heater,
    "runaway": _break_heater,
    "endstop": _break_endstop,
    "runout": _run_out,
    "panel_pause": _ask("pause"),
    "panel_resume": _ask("resume"),
    "panel_cancel": _ask("cancel"),
    "panel_stop": _stop_at_panel,
    "self_pause": lambda firmware, fault: firmware.pause(fault.duration),
    "touch_print": lambda firmware, fault: firmware.begin_visit(fault.duration),
}
"""The faults of the board and the machine. Those of bytes, lines and answers happen as these pass."""
