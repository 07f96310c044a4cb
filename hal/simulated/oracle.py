"""Oracle: records what the simulated printer accepted and did. Tests compare prints with it."""

import json
from collections import deque
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple, TextIO

from gcode.frozen import mutable
from gcode.planner import Block
from hal.simulated.file_check import FileCheck, Verdict
from hal.simulated.layers import PrintedLayers

_MAX_UNDERRUNS = 10_000  # recorded one by one; further ones are only counted


class AcceptedCommand(NamedTuple):
    """One accepted command: its line number if it had one, its text, the device's time in seconds."""

    number: int | None
    command: str
    time: float


class Underrun(NamedTuple):
    """A gap in which the planner was empty between two moves: its start, the line that was late, its seconds."""

    time: float
    line: int | None
    seconds: float


class DrivenMove(NamedTuple):
    """A move that was made: start and duration in s, end in mm from the endstops, mm of filament, tool."""

    time: float
    seconds: float
    x: float
    y: float
    z: float
    extruded: float
    tool: int


@mutable
class OracleCounters:
    """Counters at the device's end of the connection."""

    accepted: int = 0
    resends: int = 0  # resend requests
    bad_checksums: int = 0
    out_of_order: int = 0
    overruns: int = 0  # bytes that found the receive buffer full
    underruns: int = 0  # times that the planner ran dry between two moves
    underruns_s: float = 0.0  # for how long, in all
    max_in_flight: int = 0  # lines received and not yet answered
    clipped: int = 0  # moves that the soft endstops cut short
    clipped_laying: int = 0  # those of them that extruded
    prevented: int = 0  # moves along the bed without their filament: the hotend was too cold, or the filament too long
    prevented_mm: float = 0.0  # of filament, in all


class Oracle:
    """Records every accepted command, and what the machine did.

    Args:
        file: each command is written to it as a line of JSON.
        keep: how many of the last commands stay in `commands`; None: all.
        keep_path: record each move in `path`.

    Attributes:
        layers: the layers of the print, from the first to the last.
        underruns: the first of them; `counters` counts all.
        moving_seconds: how long the machine moved, in all.
    """

    def __init__(self, file: TextIO | None = None, keep: int | None = 1000, *, keep_path: bool = False) -> None:
        self.commands: deque[AcceptedCommand] = deque(maxlen=keep)
        self.counters = OracleCounters()
        self.underruns: list[Underrun] = []
        self.path: list[DrivenMove] = []
        self.layers = PrintedLayers()
        self.moving_seconds = 0.0
        self._last: Block | None = None
        self._net: dict[int, float] = {}  # by tool: mm of filament, retractions subtracted
        self._extruded: dict[int, float] = {}  # by tool: the maximum of that so far
        self._keep_path = keep_path
        self._file = file
        self._check: FileCheck | None = None

    def accept(self, number: int | None, command: str, time: float) -> None:
        """Record one command."""
        self.counters.accepted += 1
        self.commands.append(AcceptedCommand(number, command, time))
        if self._check is not None:
            self._check.take(number, command)
        if self._file is not None:
            self._write(self._file, json.dumps({"n": number, "command": command, "t": round(time, 6)}) + "\n")

    def _write(self, file: TextIO, line: str) -> None:
        """Write a line. A full disk must not stop the printer; it is reported again when the file is closed."""
        try:
            file.write(line)
        except OSError:
            self._file = None

    def record_move(self, move: Block, began: float, tool: int) -> None:
        """Record a move that was made."""
        self._last = move
        seconds, extruded = move.seconds, move.delta[3]
        self.moving_seconds += seconds
        self.layers.add(move, began)
        if extruded:
            net = self._net[tool] = self._net.get(tool, 0.0) + extruded
            if net > self._extruded.get(tool, 0.0):
                self._extruded[tool] = net
        if self._keep_path:
            self.path.append(DrivenMove(began, seconds, *move.end[:3], extruded, tool))

    def record_underrun(self, underrun: Underrun) -> None:
        """Record that a move came too late."""
        self.counters.underruns += 1
        self.counters.underruns_s += underrun.seconds
        if len(self.underruns) < _MAX_UNDERRUNS:
            self.underruns.append(underrun)

    @property
    def position(self) -> tuple[float, float, float] | None:
        """X, Y and Z at the end of the last move, in mm from the endstops."""
        return None if self._last is None else self._last.end[:3]

    @property
    def extruded(self) -> dict[int, float]:
        """Filament by tool, in mm; what was retracted and pushed again counts once."""
        return dict(self._extruded)

    # ── comparison with a file ──────────────────────────────────────────────────────────────────────────────

    def expect(self, source: Path | bytes, besides: Collection[str] = (), *, host_waits: bool | None = None) -> None:
        """Compare the commands from now on with a file; see `verdict`. The arguments are FileCheck's."""
        self._check = FileCheck(source, besides, host_waits=host_waits)

    @property
    def verdict(self) -> Verdict:
        """The result of `expect` so far."""
        if self._check is None:
            raise LookupError("expect() names the file to compare with")
        return self._check.verdict()

    def same_as_file(
        self, source: Path | bytes, besides: Collection[str] = (), *, host_waits: bool | None = None
    ) -> Verdict:
        """Tell whether the accepted commands are those of a file, each once. The arguments are FileCheck's.

        Raises:
            LookupError: `keep` is too small for all commands; use `expect`.
        """
        if len(self.commands) < self.counters.accepted:
            raise LookupError(f"only {len(self.commands)} of {self.counters.accepted} commands were kept")
        check = FileCheck(source, besides, host_waits=host_waits)
        for each in self.commands:
            check.take(each.number, each.command)
        return check.verdict()
