"""Modes: what a firmware remembers from command to command, and a host has to restore after moves of its own.

Whether G90 and G91 also affect E depends on the firmware (`EMode`); docs/firmware.md has the sources.
"""

import re

from gcode.firmware_traits import EMode
from gcode.frozen import mutable

INCH = 25.4
"""mm in an inch, the unit of lengths after G20."""

_FEEDRATE = re.compile(rb"F\s*(\d+\.?\d*|\.\d+)")
_FAN = re.compile(rb"M\s*0*106(?!\d)(?!.*P\s*0*[1-9])(?:.*S\s*(\d+))?")
_FAN_OFF = re.compile(rb"M\s*0*107(?!\d)(?!.*P\s*0*[1-9])")
_FACTOR = re.compile(rb"M\s*0*22([01])(?!\d)(?:.*?S\s*(\d{1,4}))?")
_RESTORES_FEED = re.compile(rb"M\s*0*220(?!\d).*R")
_TOOL = re.compile(rb"T\s*0*(\d{1,2})(?!\d)")
_MOTORS_OR_E = re.compile(rb"M\s*0*(18|82|83|84)(?!\d)")
_CODE_G = re.compile(rb"G\s*0*(\d+)(?![\d.])")
_MOVE_CODES = frozenset({b"0", b"1", b"2", b"3"})
_MOVES = frozenset({b"G0 ", b"G1 ", b"G2 ", b"G3 "})
_G, _M, _T = b"GMT"


def may_change_modes(command: bytes) -> bool:
    """Tell whether `Modes.note` has to see this command; nearly all lines of a print are moves, which it can ignore."""
    return command[:3] not in _MOVES or b"F" in command or b"f" in command


@mutable
class Modes:
    """How the firmware will read the next line. None: not known, as long as no line has set that mode.

    Attributes:
        relative: coordinates of X, Y and Z are relative (G91).
        relative_e: coordinates of E are relative.
        m83: the last of M82 and M83 was M83.
        e_mode: which commands make coordinates of E relative.
        inches: lengths are in inches (G20).
        feedrate: the last F, in mm/min (or inches/min), as it was written; empty before the first.
        tool: the active extruder.
        fan: speed of the part fan, 0 to 255.
        homed: the axes were homed, and the motors have not been turned off since.
        feed: speed factor in percent (M220).
        flow: flow factor in percent (M221).
    """

    relative: bool = False
    relative_e: bool = False
    inches: bool | None = None
    feedrate: bytes = b""
    tool: int | None = None
    fan: int | None = None
    homed: bool = False
    feed: int | None = None
    flow: int | None = None
    m83: bool = False
    e_mode: EMode = "last"

    @property
    def unit(self) -> float:
        """The unit of lengths, in mm."""
        return INCH if self.inches else 1.0

    def note(self, command: bytes) -> None:
        """Follow one command as it is sent."""
        command = command.upper()
        if command[0] == _G:
            if match := _CODE_G.match(command):
                self._note_g(match[1], command)
        elif command[0] == _M:
            self._note_m(command)
        elif command[0] == _T and (match := _TOOL.match(command)):
            self.tool = int(match[1])

    def _note_feedrate(self, command: bytes) -> None:
        if match := _FEEDRATE.search(command):
            self.feedrate = match[1]

    def _note_g(self, code: bytes, command: bytes) -> None:
        if code in _MOVE_CODES:
            self._note_feedrate(command)
        match code:
            case b"90":
                self._set_relative(to=False)
            case b"91":
                self._set_relative(to=True)
            case b"20":
                self.inches = True
            case b"21":
                self.inches = False
            case b"28":
                self.homed = True

    def _set_relative(self, *, to: bool) -> None:
        self.relative = to
        if self.e_mode == "last":
            self.relative_e = to
        elif self.e_mode == "either":
            self.relative_e = to or self.m83

    def _note_m(self, command: bytes) -> None:
        if match := _MOTORS_OR_E.match(command):
            if match[1] in (b"84", b"18"):
                if b"S" not in command:  # S only sets the time after which motors go off
                    self.homed = False  # an axis that is not held may be moved by hand
            else:
                self.m83 = match[1] == b"83"
                self.relative_e = self.m83 or (self.e_mode == "either" and self.relative)
        elif _FAN_OFF.match(command):
            self.fan = 0
        elif match := _FAN.match(command):
            self.fan = min(255, int((match[1] or b"255")[:9]))
        elif _RESTORES_FEED.match(command):
            self.feed = None  # the factor that M220 B saved is not remembered here
        elif (match := _FACTOR.match(command)) and match[2]:
            if match[1] == b"0":
                self.feed = int(match[2])
            else:
                self.flow = int(match[2])

    def commands_to_restore_motion(self) -> list[str]:
        """Return the commands that restore positioning and speed, as after a move of the host's own."""
        axes = "G91" if self.relative else "G90"
        extruder = "M83" if (self.relative_e if self.e_mode == "last" else self.m83) else "M82"
        speed = [f"G1 F{self.feedrate.decode()}"] if self.feedrate else []
        return [axes, extruder, *speed]  # in this order: G90 and G91 may set E too

    def commands_to_restore_all(self) -> list[str]:
        """Return the commands that restore the modes, but no factor (M220, M221); first the tool: it may move axes."""
        tool = [f"T{self.tool}"] if self.tool is not None else []
        units = [] if self.inches is None else ["G20" if self.inches else "G21"]
        fan = [] if self.fan is None else [f"M106 S{self.fan}" if self.fan else "M107"]
        return [*tool, *units, *self.commands_to_restore_motion(), *fan]
