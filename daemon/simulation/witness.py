"""Witness: the oracle of a simulated print, in little memory."""

import math
from array import array
from collections import Counter, deque
from collections.abc import Container
from pathlib import Path

from gcode.planner import Block
from hal.simulated.file_check import FileCheck, Verdict
from hal.simulated.oracle import Oracle

STOPS = ("M112",)  # an emergency stop writes it past the link
SYNC = "M118 nozzled"  # the link sends it to find out which answers are still to come
_MAX_REPEATED = 16  # lines that a firmware may request again


class PrintCheck(FileCheck):
    """Compares the commands with a file, and knows which commands the host has sent between its lines."""

    def __init__(self, path: Path, *, host_waits: bool, unknown: Container[str] = ()) -> None:
        super().__init__(path, STOPS, host_waits=host_waits, unknown=unknown)
        self._expected_extras: Counter[str] = Counter()
        self._number: int | None = None  # of the present command
        self._seen_extras: deque[tuple[int | None, str]] = deque(maxlen=_MAX_REPEATED)  # between the file's lines

    def allow(self, command: str) -> None:
        """Expect this command once, between the file's lines."""
        self._expected_extras[command] += 1

    def take(self, number: int | None, command: str) -> None:
        """Compare one command. An extra command may come twice: Prusa's firmware requests it again after a pause."""
        self._number = number
        if number is None or (number, command) not in self._seen_extras:
            super().take(number, command)

    def _is_extra(self, command: str) -> bool:
        if self._expected_extras[command] > 0:
            self._expected_extras[command] -= 1
            self._seen_extras.append((self._number, command))
            return True
        return command.startswith(SYNC) or super()._is_extra(command)


class MovedPath:
    """The path of the tool: 20 bytes for each move."""

    def __init__(self) -> None:
        self.x, self.y, self.z = array("f"), array("f"), array("f")
        self.extruded = array("f")
        self.began = array("f")

    def add(self, move: Block, began: float) -> None:
        """Take a move that was driven."""
        x, y, z = move.end[:3]
        self.x.append(x)
        self.y.append(y)
        self.z.append(z)
        self.extruded.append(move.delta[3])
        self.began.append(began)


class Witness(Oracle):
    """The oracle of one print.

    Args:
        keep_path: record the path, for a plot.

    Attributes:
        check: compares the accepted commands with the file; None: the print has not begun.
        peak_lines: the most lines accepted in one second, from one whole second of the device's time to the next.
        moved_path: the path, if it is recorded.
    """

    def __init__(self, *, keep_path: bool = False) -> None:
        super().__init__(keep=0)
        self.check: PrintCheck | None = None
        self.peak_lines = 0
        self.moved_path = MovedPath() if keep_path else None
        self._second = -math.inf
        self._lines = 0

    def accept(self, number: int | None, command: str, time: float) -> None:
        """Record one command."""
        self.counters.accepted += 1
        if self.check is not None:
            self.check.take(number, command)
        if time >= self._second + 1:
            self._second, self._lines = math.floor(time), 0
        self._lines += 1
        self.peak_lines = max(self.peak_lines, self._lines)

    def record_move(self, move: Block, began: float, tool: int) -> None:
        """Record a move that was driven."""
        super().record_move(move, began, tool)
        if self.moved_path is not None:
            self.moved_path.add(move, began)

    def note_extra(self, command: str) -> None:
        """Note a command that the host has sent between the file's lines."""
        if self.check is not None:
            self.check.allow(command)

    def print_verdict(self) -> Verdict:
        """Tell whether the lines of the file have come exactly once so far."""
        if self.check is None:
            return Verdict(exact=False, lines=0, total=0, difference="the print never began")
        return self.check.verdict()
