"""Modes: what a firmware remembers from one command to the next, and a host must put back after moves of its own.

G90 and G91 set all axes including E; M82 and M83 then set E alone (https://marlinfw.org/docs/gcode/G091.html).
"""

import re
from dataclasses import dataclass

_FEEDRATE = re.compile(rb"F\s*(\d+\.?\d*|\.\d+)")
_FAN = re.compile(rb"M106(?!\d)(?:.*S\s*(\d+))?")
_TOOL = re.compile(rb"T(\d{1,2})(?!\d)")
_MOVES = frozenset({b"G0 ", b"G1 ", b"G2 ", b"G3 ", b"G0X", b"G1X", b"G1F", b"G0F"})
_G, _M, _T = b"GMT"


@dataclass(slots=True)
class Modes:
    """How the next line will be read.

    Attributes:
        relative: coordinates of X, Y and Z are relative (G91).
        relative_e: coordinates of E are relative (M83).
        inches: lengths are in inches (G20).
        feedrate: last F word, in mm/min (or inches/min), as it was written; empty before the first.
        tool: the active extruder.
        fan: speed of the part fan, 0 to 255.
    """

    relative: bool = False
    relative_e: bool = False
    inches: bool = False
    feedrate: bytes = b""
    tool: int = 0
    fan: int = 0

    def note(self, command: bytes) -> None:
        """Follow one command as it is sent. Moves come by the hundred a second: they are looked at first."""
        if command[0] == _G:
            if command[:3] in _MOVES:
                if b"F" in command and (match := _FEEDRATE.search(command)):
                    self.feedrate = match[1]
            else:
                self._note_g(command)
        elif command[0] == _M:
            self._note_m(command)
        elif command[0] == _T and (match := _TOOL.match(command)):
            self.tool = int(match[1])

    def _note_g(self, command: bytes) -> None:
        if command[3:4].isdigit() or command[3:4] == b".":
            return
        match command[:3]:
            case b"G90":
                self.relative = self.relative_e = False
            case b"G91":
                self.relative = self.relative_e = True
            case b"G20":
                self.inches = True
            case b"G21":
                self.inches = False

    def _note_m(self, command: bytes) -> None:
        if command[:3] in (b"M82", b"M83") and not command[3:4].isdigit():
            self.relative_e = command[:3] == b"M83"
        elif command[:4] == b"M107" and not command[4:5].isdigit():
            self.fan = 0
        elif match := _FAN.match(command):
            self.fan = int(match[1] or 255)

    def restore(self) -> list[str]:
        """Return the commands that set positioning again, as after a move of the host's own."""
        axes = "G91" if self.relative else "G90"
        extruder = "M83" if self.relative_e else "M82"
        return [axes, extruder]  # in this order: the first sets the extruder's too

    def restore_all(self) -> list[str]:
        """Return the commands that set everything again, tool first: changing it may move."""
        units = "G20" if self.inches else "G21"
        feedrate = [f"G1 F{self.feedrate.decode()}"] if self.feedrate else []
        fan = f"M106 S{self.fan}" if self.fan else "M107"
        return [f"T{self.tool}", units, *self.restore(), *feedrate, fan]
