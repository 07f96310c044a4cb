"""What a line of a file means to the host: most go to the printer, some are for the host, some may not be sent.

* `M109`, `M190`, `M191` block a firmware without EMERGENCY_PARSER for minutes, deaf to pause and cancel. The host
  sends their non-waiting kin and waits itself.
* `M0`, `M1`, `M25`, `M226` and `@pause` pause the job; `@resume` is nothing, `@cancel` and `@abort` end it.
* `M110`, `M28`, `M29`, `M575`, `M999` would take the link's counter away; `M112` is no command for a file.
"""

import re
from dataclasses import dataclass

from gcode.command import parse
from gcode.errors import CommandError
from gcode.outgoing import forbidden

_WAITS = {"M109": ("M104", "tool"), "M190": ("M140", "bed"), "M191": ("M141", "chamber")}
_PAUSES = frozenset({b"M0", b"M1", b"M25", b"M226", b"@pause"})
_CANCELS = frozenset({b"@cancel", b"@abort"})
_CODE = re.compile(rb"\s*(?:(@\w*)|([GMT])\s*0*(\d+))", re.IGNORECASE)
_HALT = re.compile(rb"M\s*0*112(?!\d)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HeatAndWait:
    """Send `command`, then wait for `heater` (`bed`, `chamber`, `tool0`; `tool` for the active one).

    Attributes:
        command: sets the target, and has every other word of the file's.
        heater: that is waited for.
        target: °C.
        cool: wait for cooling too.
        whole: the file's own command, for a firmware that alone sees this heater.
    """

    command: bytes
    heater: str
    target: float
    cool: bool
    whole: bytes = b""


@dataclass(frozen=True, slots=True)
class Pause:
    """Pause the job here."""

    reason: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel the job here."""

    reason: str


@dataclass(frozen=True, slots=True)
class Skip:
    """Send nothing, and say why."""

    reason: str


Meaning = HeatAndWait | Pause | Cancel | Skip


def meaning(command: bytes, *, host_waits: bool, reads_r: bool = True) -> Meaning | None:
    """Return what a clean line of a file means to the host; None: it goes to the printer as it is.

    Args:
        command: one line, as `gcode.reader` gives it.
        host_waits: waits for temperatures are the host's.
        reads_r: the firmware knows `M109 R200`; else it would heat nothing, or turn the heater off.
    """
    if forbidden(command) or _HALT.match(command):
        return Skip("a file may not send this")
    match = _CODE.match(command)
    if match is None:
        return None
    at, letter, number = match.groups()
    name = at.lower() if at else letter.upper() + number
    if name in _PAUSES:
        return Pause(f"the file asks for it: {command.decode()}")
    if name in _CANCELS:
        return Cancel(f"the file asks for it: {command.decode()}")
    if name[:1] == b"@":
        return Skip("it is meant for a host, and not known here")
    if name.decode() not in _WAITS or (wait := _wait(command)) is None:
        return None
    return wait if host_waits or (wait.cool and not reads_r) else None


def _wait(command: bytes) -> HeatAndWait | None:
    try:
        parsed = parse(command)
    except CommandError:
        return None
    target = parsed.get("S", parsed.get("R"))
    if target is None:
        return None
    instead, heater = _WAITS[parsed.code.partition(".")[0]]
    tool = parsed.get("T")
    name = f"tool{tool:.0f}" if tool is not None and heater == "tool" else heater
    cool = "R" in parsed and "S" not in parsed
    words = [(("S" if cool and letter == "R" else letter), value) for letter, value in parsed.params.items()]
    raw = " ".join([instead, *(letter if value is None else f"{letter}{value:g}" for letter, value in words)])
    return HeatAndWait(raw.encode(), name, target, cool, command)
