"""Heat: turning it off, and waiting for it as the firmware would: near the target, and for a while.

Marlin's rule and constants (Configuration.h: TEMP_RESIDENCY_TIME 10 s, TEMP_WINDOW 1 °C, TEMP_HYSTERESIS 3 °C):
the time runs from the first reading within the window, and begins anew when one leaves the hysteresis.
"""

import math
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass

from gcode.command import parse
from gcode.reply_fields import Heaters

RESIDENCY = 10.0  # s
WINDOW = 1.0  # °C
HYSTERESIS = 3.0  # °C

# The commands that set a target, by what is heated: `tool` is the one of the T word, else the active one.
SETS_TARGET = {"M104": "tool", "M109": "tool", "M140": "bed", "M190": "bed", "M141": "chamber", "M191": "chamber"}

_TARGET = {letter: re.compile(rb"%c\s*\+?\d+\.?\d*" % letter, re.IGNORECASE) for letter in b"SR"}
_HEATS = re.compile(rb"M\s*0*(?:104|109|140|141|190|191|303)(?!\d)", re.IGNORECASE)
# with a subcode too: M104.1 is M104 to a firmware that knows none
_MAY_HEAT = re.compile(
    rb"(?:(M)\s*0*(104|109|140|141|190|191|303|568)|(G)\s*0*(10))(?!\d)(?:\.\d*)?([^GM]*)", re.IGNORECASE
)
_ASKED = re.compile(rb"[SRB]\s*\+?(\d+\.?\d*|\.\d+)", re.IGNORECASE)
_OF_BED, _OF_CHAMBER = (b"140", b"190"), (b"141", b"191")
_BED_TUNED = re.compile(rb"E\s*-", re.IGNORECASE)
_TEXT = re.compile(rb"M\s*0*(?:16|23|28|30|32|33|117|118|486|928)(?!\d)", re.IGNORECASE)


@dataclass(slots=True)
class Residency:
    """The wait of M109, M190 and M191.

    Attributes:
        target: °C.
        cool: wait for cooling too (the R word); with S a heater that is too hot is hot enough.
        seconds: that it has to stay near the target.
    """

    target: float
    cool: bool = False
    seconds: float = RESIDENCY
    _since: float = math.inf

    def reached(self, actual: float, now: float) -> bool:
        """Tell whether a reading in °C at this time, in s, ends the wait."""
        if not self.cool and actual > self.target + HYSTERESIS:
            return True  # S waits for heating only
        distance = abs(actual - self.target)
        if distance <= WINDOW and self._since == math.inf:
            self._since = now
        elif distance > HYSTERESIS:
            self._since = math.inf
        return now - self._since >= self.seconds


@dataclass(slots=True)
class Nearing:
    """Whether something comes nearer: by so many °C in so many seconds."""

    step: float
    within: float
    _nearest: float = math.inf
    _since: float = 0.0

    def stalled(self, distance: float, now: float) -> bool:
        """Take how far it is, in °C; tell whether it has come no nearer for too long."""
        if distance <= self._nearest - self.step:
            self._nearest, self._since = distance, now
        return now - self._since >= self.within


def reading_of(tool: int, heaters: Container[str]) -> str:
    """Return the name under which a tool's temperature is reported.

    Where only one hotend is, it is that of the tool in use, or the nozzle that all tools share.
    """
    name = f"tool{tool}"
    return "tool0" if name not in heaters and "tool0" in heaters and "tool1" not in heaters else name


def heaters_off(extruders: int, *, chamber: bool, told: Heaters | None = None) -> list[str]:
    """Return the commands that turn every heater off, hotends first.

    Args:
        extruders: hotends that there are.
        chamber: there is a chamber that can be heated.
        told: the last temperature report: what is on there is turned off too, whatever the printer is said to have.
    """
    on = [name for name, reading in (told or {}).items() if reading.target]
    numbers = [int(name.removeprefix("tool")) for name in on if re.fullmatch("tool[0-9]{1,2}", name)]
    extruders = max([extruders, *(number + 1 for number in numbers)])
    chamber = chamber or "chamber" in on
    tools = [f"M104 T{tool} S0" for tool in range(extruders)] if extruders > 1 else ["M104 S0"]
    return [*tools, "M140 S0", *(["M141 S0"] if chamber else [])]


def excess(command: bytes, hotend: float, bed: float, chamber: float | None = None) -> str | None:
    """Return what is wrong with a command that asks for more heat than there may be; None: nothing.

    What counts is the most that any firmware could make of it: of a word that comes twice some take the first and
    some the last one, and some read further commands of a line.

    Args:
        command: one clean line.
        hotend: the highest target of a hotend, in °C.
        bed: that of the bed.
        chamber: that of the chamber; None: as the bed.
    """
    if _TEXT.match(command):
        return None
    for found in _MAY_HEAT.finditer(command):
        code, words = found[2] or found[4], found[5]
        limit = hotend
        if code in _OF_BED or (code == b"303" and _BED_TUNED.search(words)):  # E-1 is the bed, E-2 the chamber
            limit = bed
        elif code in _OF_CHAMBER:
            limit = bed if chamber is None else chamber
        wanted = max((float(each) for each in _ASKED.findall(words)), default=0.0)  # B: the highest of AUTOTEMP
        if wanted > limit:
            return f"{command.decode()} asks for {wanted:g} °C, the profile allows {limit:g} °C"
    return None


def shifted(command: bytes, offsets: Mapping[str, float], tool: int, hotend: float, bed: float) -> bytes:
    """Return a command with the offset of its heater added to the target; other commands, and 0, stay as they are.

    A target is not brought above the highest one, nor below 0.

    Args:
        command: one clean line.
        offsets: °C by heater: `tool0`, `bed`, `chamber`.
        tool: the active one.
        hotend: the highest target of a hotend, in °C.
        bed: that of the bed, and of the chamber.
    """
    if command[:1] not in b"Mm" or not _HEATS.match(command):
        return command
    asked = parse(command)
    heater = SETS_TARGET.get(asked.code.partition(".")[0])
    letter = "S" if asked.get("S") is not None else "R"
    target = asked.number(letter, 0.0)
    if heater is None or target <= 0:
        return command
    limit = hotend if heater == "tool" else bed
    name = f"tool{asked.number('T', tool):.0f}" if heater == "tool" else heater
    offset = offsets.get(name, 0.0)
    wanted = max(0.0, min(target + offset, max(limit, target)))
    return command if not offset else _TARGET[ord(letter)].sub(f"{letter}{wanted:g}".encode(), command, count=1)
