"""What a line of a file means to the host: most go to the printer, the host executes some, and some are left out.

* `M109`, `M190`, `M191` block a firmware without EMERGENCY_PARSER for minutes, deaf to pause and cancel. So the host
  sends the command that sets the target without waiting, and then waits itself. For `M116`, which sets no target, the
  host waits too.
* `M0`, `M1`, `M25`, `M226` and `@pause` pause the job. With a time (`M0 S2`) or a pin (`M226 P30`), the firmware
  executes the wait, which ends by itself.
* `@cancel` and `@abort` end the job; any other command with `@` is left out.
* `M600` and `M601` pause the firmware, or the job if the firmware does not know them.
* `M113` and `M155` are left out, because the host has set how often the firmware reports.
* `M110`, `M28`, `M29`, `M575` and `M999` are left out, because only the link may send them. `M112` is left out too.
"""

import re
from collections.abc import Container

from gcode.command import STOP, parse
from gcode.errors import CommandError
from gcode.frozen import frozen
from gcode.outgoing import is_link_only

_WAITS = {"M109": ("M104", "tool"), "M190": ("M140", "bed"), "M191": ("M141", "chamber")}
_PAUSES = frozenset({b"M0", b"M1", b"M25", b"M226", b"@pause"})
_TIMED = re.compile(rb"M\s*0*[01]\s*([SP])\s*(\d+\.?\d*|\.\d+)", re.IGNORECASE)
_PIN = re.compile(rb"M\s*0*226(?!\d)(?>(?:\s*+S\s*+-?\d++)?)\s*+P\s*+\d", re.IGNORECASE)  # words in any order
_REPORTS = frozenset({b"M113", b"M155"})  # set how often the firmware reports that it is busy, and temperatures
_CANCELS = frozenset({b"@cancel", b"@abort"})
_CODE = re.compile(rb"\s*(?:(@\w*)|([GMT])\s*0*(\d+))", re.IGNORECASE)


@frozen
class HeatAndWait:
    """Send `command`, then wait for `heater` (`bed`, `chamber`, `tool0`; `tool` for the active one).

    Attributes:
        command: sets the target, with all other parameters of the file's command.
        heater: to wait for.
        target: in °C.
        waits_for_cooling: wait for cooling too.
        file_command: the file's command, to send instead if the firmware does not report this heater.
    """

    command: bytes
    heater: str
    target: float
    waits_for_cooling: bool
    file_command: bytes = b""


@frozen
class WaitForAll:
    """Wait for every heater that is on; if the firmware reports none, send `file_command` instead."""

    file_command: bytes


@frozen
class PauseJob:
    """Pause the job here."""

    reason: str


@frozen
class CancelJob:
    """Cancel the job here."""

    reason: str


@frozen
class LeaveOut:
    """Leave the line out, and report why."""

    reason: str


@frozen
class PrinterPauses:
    """Send `command`; the printer parks, lets its hotend cool and waits for the command that resumes it."""

    command: bytes


@frozen
class PauseUnlessKnown:
    """Send `command`, and pause the job if the firmware reports that it does not know the command."""

    command: bytes

    @property
    def word(self) -> str:
        """The code word."""
        return parse(self.command).code


@frozen
class DwellUnlessKnown:
    """Send `command`, a timed stop (`M0 S2`); send `instead` if the firmware does not know the command."""

    command: bytes
    instead: bytes

    @property
    def word(self) -> str:
        """The code word."""
        return parse(self.command).code


@frozen
class SendInstead:
    """Send `command` in place of the line: it does the same."""

    command: bytes


CommandFirst = HeatAndWait | PrinterPauses | PauseUnlessKnown | DwellUnlessKnown
"""Meanings for which the printer gets a command before the host acts."""

Meaning = CommandFirst | WaitForAll | PauseJob | CancelJob | LeaveOut | SendInstead


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
        command: one line, as `gcode.reader` returns it.
        host_waits: the host, not the firmware, waits for temperatures.
        reads_r: the firmware knows `M109 R200`; one that does not would heat nothing, or turn the heater off.
        unknown: code words that the firmware does not know.
        resumes: the firmware has a command that ends its own pause (Prusa's M602).
    """
    if is_link_only(command) or STOP.match(command):
        return LeaveOut("a file may not send this")
    match = _CODE.match(command)
    if match is None:
        return None
    host_word, letter, number = match.groups()
    name = host_word.lower() if host_word else letter.upper() + number
    if name in _PAUSES:
        return _pause(command, name.decode(), unknown)
    if name in (b"M600", b"M601"):
        return _pause_of_firmware(command, name.decode(), unknown, resumes=resumes)
    if name == b"M116" and host_waits:
        return WaitForAll(command)
    if name in _REPORTS:
        return LeaveOut("the host sets how often the firmware reports")
    if name in _CANCELS:
        return CancelJob(f"the file asks for it: {command.decode()}")
    if name[:1] == b"@":
        return LeaveOut("it is meant for a host, and nozzled does not know it")
    if name.decode() not in _WAITS or (wait := _wait(command)) is None:
        return None
    return wait if host_waits or (wait.waits_for_cooling and not reads_r) else None


def _pause(command: bytes, word: str, unknown: Container[str]) -> PauseJob | DwellUnlessKnown | SendInstead | None:
    """Return the meaning of a stop: a pause for the user, or a wait that ends by itself."""
    if (timed := _TIMED.match(command)) and float(timed[2]):
        dwell = _dwell(timed)
        return SendInstead(dwell) if word in unknown else DwellUnlessKnown(command, dwell)
    if _PIN.match(command) and word not in unknown:
        return None
    return PauseJob(f"the file asks for it: {command.decode()}")


def _dwell(timed: re.Match[bytes]) -> bytes:
    """Return a G4 of the same time, in milliseconds, because Klipper and Teacup do not read S."""
    ms = float(timed[2]) * (1000 if timed[1] in b"Ss" else 1)
    return f"G4 P{ms:.0f}".encode()


def _pause_of_firmware(
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
    waits_for_cooling = "R" in parsed and "S" not in parsed
    words = [
        (("S" if waits_for_cooling and letter == "R" else letter), value) for letter, value in parsed.params.items()
    ]
    raw = " ".join([instead, *(letter if value is None else f"{letter}{value:g}" for letter, value in words)])
    return HeatAndWait(raw.encode(), name, target, waits_for_cooling, command)
