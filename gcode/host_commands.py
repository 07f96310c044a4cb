"""What a line of a file means to the host: most go to the printer, some are for the host, some may not be sent.

* `M109`, `M190`, `M191` block a firmware without EMERGENCY_PARSER for minutes, deaf to pause and cancel. The host
  sends their non-waiting kin and waits itself, and does the same for `M116`, which has none.
* `M0`, `M1`, `M25`, `M226` and `@pause` pause the job; `@resume` is nothing, `@cancel` and `@abort` end it. With a time
  (`M0 S2`) or a pin (`M226 P30`) they are waits of the firmware's, which end by themselves.
* `M600` and `M601` are the firmware's pauses; the host's, where the firmware does not know them.
* `M113` and `M155` are the host's: it has the firmware tell it what it needs, and as often.
* `M110`, `M28`, `M29`, `M575`, `M999` would take the link's counter away; `M112` is no command for a file.
"""

import re
from collections.abc import Container

from gcode.command import STOP, parse
from gcode.errors import CommandError
from gcode.frozen import frozen
from gcode.outgoing import forbidden

_WAITS = {"M109": ("M104", "tool"), "M190": ("M140", "bed"), "M191": ("M141", "chamber")}
_PAUSES = frozenset({b"M0", b"M1", b"M25", b"M226", b"@pause"})
_TIMED = re.compile(rb"M\s*0*[01]\s+([SP])\s*(\d+\.?\d*|\.\d+)", re.IGNORECASE)
_PIN = re.compile(rb"M\s*0*226\s(?:\s*+S\s*+-?\d++)?+\s*+P\s*+\d", re.IGNORECASE)  # words in any order
_HOST_S = frozenset({b"M113", b"M155"})  # how often the firmware says that it is busy, and how hot it is
_CANCELS = frozenset({b"@cancel", b"@abort"})
_CODE = re.compile(rb"\s*(?:(@\w*)|([GMT])\s*0*(\d+))", re.IGNORECASE)


@frozen
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


@frozen
class WaitForAll:
    """Wait for every heater that is on; `whole` is the file's own command, where no heater is seen."""

    whole: bytes


@frozen
class PauseJob:
    """Pause the job here."""

    reason: str


@frozen
class CancelJob:
    """Cancel the job here."""

    reason: str


@frozen
class Skip:
    """Send nothing, and say why."""

    reason: str


@frozen
class PrinterPauses:
    """Send `command`; the printer parks, lets its hotend cool and waits for the command that resumes it."""

    command: bytes


@frozen
class PauseUnlessKnown:
    """Send `command`, and pause the job where the firmware says that it does not know it."""

    command: bytes

    @property
    def word(self) -> str:
        """The code word."""
        return parse(self.command).code


@frozen
class DwellUnlessKnown:
    """Send `command`, a stop with a time, and `instead` where the firmware says that it does not know it."""

    command: bytes
    instead: bytes

    @property
    def word(self) -> str:
        """The code word."""
        return parse(self.command).code


@frozen
class Instead:
    """Send `command`, which does the same."""

    command: bytes


Sent = HeatAndWait | PrinterPauses | PauseUnlessKnown | DwellUnlessKnown
"""Of these the printer gets a command, before the host does its part."""

Meaning = Sent | WaitForAll | PauseJob | CancelJob | Skip | Instead


def meaning(
    command: bytes,
    *,
    host_waits: bool,
    reads_r: bool = True,
    unknown: Container[str] = (),
    resumes: bool = False,
) -> Meaning | None:
    """Return what a clean line of a file means to the host; None: it goes to the printer as it is.

    Args:
        command: one line, as `gcode.reader` gives it.
        host_waits: waits for temperatures are the host's.
        reads_r: the firmware knows `M109 R200`; else it would heat nothing, or turn the heater off.
        unknown: code words that the firmware does not know.
        resumes: it has a command that ends its own pause (Prusa's M602).
    """
    if forbidden(command) or STOP.match(command):
        return Skip("a file may not send this")
    match = _CODE.match(command)
    if match is None:
        return None
    at, letter, number = match.groups()
    name = at.lower() if at else letter.upper() + number
    if name in _PAUSES:
        return _pause(command, name.decode(), unknown)
    if name in (b"M600", b"M601"):
        return _firmware_s_pause(command, name.decode(), unknown, resumes=resumes)
    if name == b"M116" and host_waits:
        return WaitForAll(command)
    if name in _HOST_S:
        return Skip("the host sets how often the firmware reports")
    if name in _CANCELS:
        return CancelJob(f"the file asks for it: {command.decode()}")
    if name[:1] == b"@":
        return Skip("it is meant for a host, and nozzled does not know it")
    if name.decode() not in _WAITS or (wait := _wait(command)) is None:
        return None
    return wait if host_waits or (wait.cool and not reads_r) else None


def _pause(command: bytes, word: str, unknown: Container[str]) -> PauseJob | DwellUnlessKnown | Instead | None:
    """Return what a stop of a file is: the user's, or a wait that ends by itself."""
    if (timed := _TIMED.match(command)) and float(timed[2]):
        dwell = _dwell(timed)
        return Instead(dwell) if word in unknown else DwellUnlessKnown(command, dwell)
    if _PIN.match(command) and word not in unknown:
        return None
    return PauseJob(f"the file asks for it: {command.decode()}")


def _dwell(timed: re.Match[bytes]) -> bytes:
    """Return the same time as a G4; in milliseconds, as Klipper and Teacup read no S."""
    ms = float(timed[2]) * (1000 if timed[1] in b"Ss" else 1)
    return f"G4 P{ms:.0f}".encode()


def _firmware_s_pause(
    command: bytes, word: str, unknown: Container[str], *, resumes: bool
) -> PauseJob | PrinterPauses | PauseUnlessKnown:
    if word in unknown:
        return PauseJob(f"the file asks for it, and the firmware does not know it: {command.decode()}")
    return PrinterPauses(command) if word == "M601" and resumes else PauseUnlessKnown(command)


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
