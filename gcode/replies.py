"""Parses one line from the printer into a typed reply.

The forms are those of Marlin, Prusa-Firmware, Repetier, Smoothieware, Teacup, RepRapFirmware and Klipper, most of them
recorded in `tests/data/transcripts/`. A line that fits none of them is a `Text`; nothing here raises.
"""

import re
from dataclasses import field, replace
from typing import Literal

from gcode.frozen import frozen
from gcode.reply_fields import (
    Heaters,
    Reading,
    axes,
    canonical_name,
    decode,
    has_temperatures,
    heaters,
    info,
    is_position,
    is_report,
    is_waiting,
    mend,
)

__all__ = ["Heaters", "Reading", "decode", "heaters"]  # for mypy: these names may be imported from here too

MAX_LINE = 4096
"""Bytes of a line that are kept and parsed, so that the cost has a bound; real lines stay under 600."""


@frozen
class Reply:
    """Base: `line` is the decoded line without its line end."""

    line: str


@frozen
class Ok(Reply):
    """An `ok`. ADVANCED_OK adds line number, free planner blocks and free command slots.

    Attributes:
        number: of the answered line, as `N12`; None for `N0`, which some Malyans add to every ok.
        planner: free planner blocks, as `P15`.
        buffer: free command slots, as `B3`.
        heaters: a temperature report on the same line.
        last: the bare number of Repetier's `ok 12`: the last line that it received. That need not be the answered line,
            because an `ok` to a line without a number has it too.
        glued: it follows other text on its line, because a line end was lost.
    """

    number: int | None = None
    planner: int | None = None
    buffer: int | None = None
    heaters: Heaters = field(default_factory=dict)
    last: int | None = None
    glued: bool = False


@frozen
class Resend(Reply):
    """The printer requests this line and all after it again."""

    number: int


@frozen
class LineSkipped(Reply):
    """The firmware has skipped this line, which it already has or does not expect yet; an `ok` follows (Repetier)."""

    number: int


@frozen
class BoardStarted(Reply):
    """The board has just booted."""


@frozen
class Wait(Reply):
    """The firmware is idle and waits for commands (Repetier; Marlin with NO_TIMEOUTS)."""


@frozen
class Busy(Reply):
    """A sign of life during a long command.

    Attributes:
        reason: `processing`, `paused for user`, `paused for input`, or `heating` (Teacup).
        is_regular: the firmware reports it during every long command, so its silence means something.
    """

    reason: str
    is_regular: bool = True

    @property
    def awaits_user(self) -> bool:
        """The firmware waits for its user."""
        return self.reason.startswith("paused")


@frozen
class Temperatures(Reply):
    """A temperature report without an `ok`; `waiting` during M109, M190 and the like."""

    heaters: Heaters
    waiting: bool = False


@frozen
class Targets(Reply):
    """Changed targets without temperatures, in °C by canonical name (Repetier)."""

    targets: dict[str, float]


@frozen
class PositionReply(Reply):
    """The answer to M114, in mm, by axis letter: X, Y, Z, E. With Smoothieware the `ok` is on the same line."""

    axes: dict[str, float]
    ok: bool = False


@frozen
class FirmwareInfo(Reply):
    """The answer to M115: `FIRMWARE_NAME`, `UUID`, … by key. With Klipper the `ok` is on the same line."""

    fields: dict[str, str]
    ok: bool = False


@frozen
class Capability(Reply):
    """One `Cap:` line of M115."""

    name: str
    enabled: bool


@frozen
class HostAction(Reply):
    """`//action:<name> <argument>` or `RequestPause:<argument>`: the firmware asks the host to do something."""

    name: str
    argument: str = ""


@frozen
class SdOpened(Reply):
    """A file on the printer's SD card was opened; `size` in bytes."""

    name: str
    size: int


@frozen
class SdSelected(Reply):
    """The opened file was selected for printing."""


@frozen
class SdProgress(Reply):
    """The printer prints from its SD card; `position` and `total` in bytes of the file."""

    position: int
    total: int


@frozen
class SdIdle(Reply):
    """The printer is not printing from its SD card at the moment."""


@frozen
class SdPaused(Reply):
    """A print from the SD card is paused: Prusa's firmware 3.x says so in place of its progress."""


@frozen
class SdDone(Reply):
    """A print from the SD card has ended."""


@frozen
class UnknownCommand(Reply):
    """The firmware does not know `command` (without line number and checksum); its `ok` follows."""

    command: str

    @property
    def word(self) -> str:
        """The code word in upper case: `M73` of `M73 P10`; empty if there is none."""
        match = _WORD.match(self.command)
        return match[0].upper() if match else ""


ErrorKind = Literal["communication", "sd", "recoverable", "fatal"]


@frozen
class FirmwareError(Reply):
    """`Error:…`, `!! …`, `fatal:…`.

    Attributes:
        text: the error without its prefix.
        kind: `communication` (line number or checksum; a resend request follows), `sd`, `recoverable` or `fatal`.
    """

    text: str
    kind: ErrorKind


@frozen
class Text(Reply):
    """Anything else: echo, banner, comment, noise."""


_OK = re.compile(r"ok(?=\s|\Z|[A-Z]\d{0,2}:|[NPB]\d|ok\b|\ufffd)")  # `ok.gcode` is a file
_PLAIN_OK = re.compile(r"ok(?>(?: N(\d{1,10}+))?)(?>(?: P(\d{1,10}+))?)(?>(?: B(\d{1,10}+))?)\Z")
_DAMAGED_OK = re.compile(r"\S{1,2}+ N(\d{1,10}+) P(\d{1,5}+) B(\d{1,5}+)\Z")  # `o3 N5 P63 B7` can only be an ok
_ADVANCED = re.compile(r"(?<!\S)([NPB])(?:(?<=N):)?(\d{1,10}+)(?!\S)")  # Anycubic has `ok N:12`
_OK_AT_END = re.compile(
    r"(?<![A-Za-z])ok(?>(?: N(\d{1,10}+))?)(?>(?: P(\d{1,10}+))?)(?>(?: B(\d{1,10}+))?)\Z"
)  # after a line whose end was lost
_LAST = re.compile(r"\d{1,10}+\Z")
# An `ok` after a number in a line whose end was lost: Prusa's `echo:Active Extruder: 0ok`, a Marlin's `bedtemp: 28.53 :
# 0.014ok`. A label has to come first; words that end in "ok" (`book`) and file names do not count.
_GLUED = re.compile(r"(?!//)(?!.*file)[A-Za-z].*[:\s]-?\d{1,9}+(?>(?:\.\d{1,9}+)?)ok\Z", re.IGNORECASE)
_RESEND = re.compile(r"(?:resend(?![A-Za-z])|rs(?=[\s:])):?\s*+(?>(?:N\s*+:?\s*+)?)(\d{1,10}+)(?!\d)", re.IGNORECASE)
_SKIP = re.compile(r"skip (\d{1,10}+)\Z")
_GLUED_RESEND = re.compile(r"Resend:\s*+N?(\d{1,10}+)(?!\d)")  # after its error, on the same line
# A boot loader may leave noise before `start`. If `start` was damaged, the cause of the reset right after it (Marlin,
# Repetier) also shows the boot. RepRapFirmware gives its name instead (RepRap::Init, all versions).
_START = re.compile(
    r"\W*+start\Z|(?:Info:)?\s*+(?:PowerUp|(?:External|Brown out|Watchdog|Software) Reset)\Z"
    r"|RepRapFirmware\b.* is up and running\.\Z"
)
_BUSY = re.compile(r"(?:echo:\s*+)?busy:\s*+(.*)", re.IGNORECASE)
_TARGET = re.compile(r"Target(Extr\d{1,2}+|Bed):\s*+([+-]?\d{1,7}+(?>(?:\.\d{0,9}+)?))")  # Repetier
_SIZE = re.compile(r"\s*+(\d{1,15}+)")
_SD_PROGRESS = re.compile(r"SD printing byte (\d{1,15}+)/(\d{1,15}+)")
_MALYAN = re.compile(r"NAME[.:]\s*+(\S++)\s++(VER:.*)", re.IGNORECASE)
_CAPABILITY = re.compile(r"cap:\s*+([A-Z0-9_]++):([01])", re.IGNORECASE)
_ACTION = re.compile(r"//\s*+action:\s*+(\S++)\s*+(.*)", re.IGNORECASE)
_REQUEST = re.compile(r"Request(Pause|Continue|Stop|Disconnect):\s*+(.*)")  # Repetier up to 0.92
_REQUESTS = {"Pause": "pause", "Continue": "resume", "Stop": "cancel", "Disconnect": "disconnect"}
_UNKNOWN = re.compile(
    r"(?>(?:(?:echo|error):\s*+|//\s*+|!!\s*+)?)(?:unknown (?:command|[GMTD] code):?|bad command:)\s*+(.*)",
    re.IGNORECASE,
)
_NOT_SUPPORTED = re.compile(
    r"(?>(?:(?:Error|Warning): )?)([GMT]\d{1,5}+(?>(?:\.\d++)?)): Command is not supported\Z"
)  # RepRapFirmware
_NUMBERED = re.compile(r"N\s*+-?\d++\s*+")  # in front of a command that is quoted as received
_WORD = re.compile(r"[A-Za-z]\d{1,5}+(?>(?:\.\d{1,3}+)?)")
_BAD_CODE = re.compile(r"E: Bad ([GMT])-code (\d{1,5}+)")  # Teacup
_ERROR = re.compile(r"((?:serial )?error:|!!|fatal:)\s*+(.*)", re.IGNORECASE | re.DOTALL)
_COMMAND_ERROR = re.compile(r"[GMT]\d++(?>(?:\.\d++)?)(?>(?:/[GMT]\d++)*):")  # RepRapFirmware: `Error: G0/G1: …`

_KINDS: tuple[tuple[ErrorKind, tuple[str, ...]], ...] = (
    ("communication", ("line number", "last line", "linenumber", "checksum", "format error", "expected line")),
    ("sd", ("volume.init", "openroot", "workdir", "open failed", "cannot open", "sd card", "no media")),
    ("recoverable", ("cold extrusion", "unknown command", "must home", "out of range", "extrude below minimum")),
)  # fmt: skip
_KLIPPER_FATAL = ("shutdown", "halt", "lost communication", "firmware has")


def acknowledges(reply: Reply) -> bool:
    """Tell whether the reply is an `ok`, or has one on its line."""
    return isinstance(reply, Ok) or (isinstance(reply, FirmwareInfo | PositionReply) and reply.ok)


def parse(raw: bytes) -> Reply:
    """Return the typed reply for one line without its line end; never raises."""
    line = decode(raw[:MAX_LINE])
    text = mend(line.strip().lstrip("\ufffd"))
    if match := _PLAIN_OK.match(text):  # the hot path
        return _plain_ok(line, *match.groups())
    if match := _OK.match(text):
        return _ok(line, text[match.end() :].strip())
    if match := _RESEND.match(text):
        return Resend(line, int(match[1]))
    if is_report(text):
        return _report(line, text)
    if match := _BUSY.match(text):
        return Busy(line, match[1])
    if match := _UNKNOWN.match(text) or _NOT_SUPPORTED.match(text):  # before errors: some give it that prefix
        return UnknownCommand(line, _strip_quotes(match[1]))
    if match := _ERROR.match(text):
        return _error(line, match[1], match[2])
    return _request(line, text) or _parse_rare(line, text)


def _plain_ok(line: str, number: str | None, planner: str | None, buffer: str | None) -> Ok:
    if number is planner is buffer is None:
        return Ok(line)
    return Ok(line, int(number or 0) or None, int(planner) if planner else None, int(buffer) if buffer else None)


def _ok(line: str, text: str) -> Reply:
    if ":" not in text:
        last = int(text) if _LAST.match(text) else None
        advanced = {letter: int(value) for letter, value in _ADVANCED.findall(text)}
        return Ok(line, advanced.get("N") or None, advanced.get("P"), advanced.get("B"), last=last)
    if "FIRMWARE_NAME:" in text:
        return FirmwareInfo(line, info(text), ok=True)
    if is_position(text):
        return PositionReply(line, axes(text), ok=True)
    advanced = {letter: int(value) for letter, value in _ADVANCED.findall(text)}
    readings = heaters(text) if has_temperatures(text) else {}
    return Ok(line, advanced.get("N") or None, advanced.get("P"), advanced.get("B"), readings)


def _report(line: str, text: str) -> Reply:
    if match := _OK_AT_END.search(text):
        ok = _plain_ok(line, *match.groups())
        return replace(ok, heaters=heaters(text[: match.start()]), glued=True)
    return Temperatures(line, heaters(text), waiting=is_waiting(text))


def _strip_quotes(command: str) -> str:
    """Return a quoted command without its quotes, line number and checksum, and without what follows these."""
    if command.startswith('"'):
        inner, quote, _ = command[1:].rpartition('"')
        command = inner if quote else command[1:]
    match = _NUMBERED.match(command)
    if match is None:
        return command.strip()
    return command[match.end() :].partition("*")[0].strip()


def _error(line: str, prefix: str, text: str) -> Reply:
    kind = _kind(prefix, text)
    if kind == "communication" and (match := _GLUED_RESEND.search(text)):
        return Resend(line, int(match[1]))
    return FirmwareError(line, text, kind)


def _kind(prefix: str, text: str) -> ErrorKind:
    lowered = text.lower()
    for kind, words in _KINDS:
        if any(word in lowered for word in words):
            return kind
    if prefix == "!!" and not any(word in lowered for word in _KLIPPER_FATAL):
        return "recoverable"  # Klipper reports every refused command so, and continues (klipper.txt)
    if _COMMAND_ERROR.match(text):
        return "recoverable"
    return "fatal"


def _odd_ok(line: str, text: str) -> Ok | None:
    """Return an `ok` that the line does not begin with: glued to the end of another line, or damaged; None: neither."""
    if text.endswith("ok") and ":" in text and _GLUED.match(text):
        return Ok(line, glued=True)
    if match := _DAMAGED_OK.match(text):
        return _plain_ok(line, *match.groups())
    return None


def _request(line: str, text: str) -> HostAction | None:
    if match := _ACTION.match(text):
        return HostAction(line, match[1].lower(), match[2])
    if match := _REQUEST.match(text):
        return HostAction(line, _REQUESTS[match[1]], match[2])
    return None


def _parse_rare(line: str, text: str) -> Reply:
    if _START.match(text):
        return BoardStarted(line)
    if waiting := _parse_waiting(line, text):
        return waiting
    if match := _CAPABILITY.match(text):
        return Capability(line, match[1].upper(), match[2] == "1")
    if fields := _identity(text):
        return FirmwareInfo(line, fields)
    if is_position(text):
        return PositionReply(line, axes(text), ok=text.endswith("ok"))
    if match := _BAD_CODE.match(text):
        return UnknownCommand(line, f"{match[1]}{match[2]}")
    if targets := _TARGET.findall(text):
        return Targets(line, {canonical_name(name): float(value) for name, value in targets})
    if ok := _odd_ok(line, text):
        return ok
    if match := _SKIP.match(text):
        return LineSkipped(line, int(match[1]))
    return _parse_card_line(line, text)


def _parse_waiting(line: str, text: str) -> Wait | Busy | None:
    if text == "wait":
        return Wait(line)
    if text == "Waiting for target temp":  # Teacup, every 2 s while a move after M116 waits; in no other wait
        return Busy(line, "heating", is_regular=False)
    return None


def _identity(text: str) -> dict[str, str] | None:
    """Return the fields of an answer to M115; None: the line is no such answer."""
    if text.startswith(("FIRMWARE_NAME:", "FIRMWARE_VERSION:", "PROTOCOL_VERSION:")) and "FIRMWARE_NAME:" in text:
        return info(text)
    match = _MALYAN.match(text)
    return {"FIRMWARE_NAME": match[1], **info(match[2])} if match else None


def _parse_card_line(line: str, text: str) -> Reply:
    if match := _SD_PROGRESS.match(text):
        return SdProgress(line, int(match[1]), int(match[2]))
    if text.startswith("Not SD printing"):
        return SdIdle(line)
    if text.startswith("SD print paused"):
        return SdPaused(line)
    if text.startswith("Done printing file"):
        return SdDone(line)
    if text.startswith("File opened:"):
        name, _, size = text.removeprefix("File opened:").rpartition("Size:")
        if match := _SIZE.match(size):
            return SdOpened(line, name.strip(), int(match[1]))
    if text == "File selected":
        return SdSelected(line)
    return Text(line)
