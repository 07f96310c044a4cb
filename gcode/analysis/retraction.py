"""Retraction by the firmware: G10 and G11, with the settings of M207 and M208.

The rules are those of Marlin's FWRETRACT and its defaults (Configuration_adv.h,
https://marlinfw.org/docs/gcode/M207.html). Only the extruder turns, so a retraction counts as a move from rest to rest.
"""

import math

from gcode.command import Command
from gcode.planner import MotionLimits

_E, _Z = 3, 2
_MAX_VALUE = 1000.0  # mm or mm/s; more is a mistake
_OTHER_LETTERS = frozenset("PLRXYZ")  # with these, G10 sets offsets and temperatures of tools (RepRapFirmware, NIST)


class Retraction:
    """The settings of retraction, in mm and mm/s, and whether the filament is retracted."""

    def __init__(self) -> None:
        self.length = 3.0
        self.feedrate = 45.0
        self.lift = 0.0
        self.extra = 0.0  # pushed out by a recovery, in addition to `length`
        self.recover_feedrate = 8.0
        self._retracted = False

    def note(self, command: Command, unit: float) -> None:
        """Apply M207 or M208; `unit` is the file's unit of length, in mm."""
        of_recovery = command.code == "M208"
        length = _clamp(command.get("S"), unit)
        feedrate = _clamp(command.get("F"), unit / 60) or 0.0
        if length is not None and of_recovery:
            self.extra = length
        elif length is not None:
            self.length = abs(length)
        if feedrate > 0 and of_recovery:
            self.recover_feedrate = feedrate
        elif feedrate > 0:
            self.feedrate = feedrate
        lift = _clamp(command.get("Z"), unit)
        if lift is not None and not of_recovery:
            self.lift = abs(lift)

    def seconds(self, command: Command, limits: MotionLimits) -> float:
        """Return the seconds of a G10 or G11; one that changes nothing takes none."""
        back = command.code == "G10"
        if back is self._retracted or (back and not _OTHER_LETTERS.isdisjoint(command.params)):
            return 0.0
        self._retracted = back
        length = self.length if back else abs(self.length + self.extra)
        feedrate = min(self.feedrate if back else self.recover_feedrate, limits.feedrates[_E])
        extruder = _from_rest_to_rest(length, feedrate, min(limits.retract, limits.accelerations[_E]))
        head = _from_rest_to_rest(self.lift, limits.feedrates[_Z], min(limits.travel, limits.accelerations[_Z]))
        return extruder + head


def _clamp(value: float | None, unit: float) -> float | None:
    return None if value is None else max(-_MAX_VALUE, min(value * unit, _MAX_VALUE))


def _from_rest_to_rest(way: float, speed: float, acceleration: float) -> float:
    """Return the seconds of a move from rest to rest; 0: the axis cannot move."""
    if min(way, speed, acceleration) <= 0:
        return 0.0
    if way * acceleration < speed * speed:
        return 2 * math.sqrt(way / acceleration)
    return way / speed + speed / acceleration
