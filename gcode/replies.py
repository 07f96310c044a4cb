"""One line from the printer → a typed reply.

What real firmware answers (Marlin, Prusa, Repetier, Smoothieware, Teacup, RepRapFirmware, Klipper) was recorded
in the dialogues of `tests/data/transcripts/`. A line that fits nothing is `Text`; nothing here raises.
"""

import re
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Reading:
    """One sensor in °C; `target` is None for a sensor that heats nothing."""

    actual: float
    target: float | None = None


Heaters = dict[str, Reading]
"""By canonical name: `tool0`, `tool1`, …, `bed`, `chamber`, and a sensor's own letter for others."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Base: `line` is what the printer said, decoded, without its line end."""

    line: str


@dataclass(frozen=True, slots=True)
class Ok(Reply):
    """A command was taken in. ADVANCED_OK adds line number, free planner blocks and free command slots."""

    number: int | None = None
    planner: int | None = None
    buffer: int | None = None
    heaters: Heaters = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Resend(Reply):
    """The printer asks for this line number and all that follow."""

    number: int


@dataclass(frozen=True, slots=True)
class Start(Reply):
    """The board has just booted."""


@dataclass(frozen=True, slots=True)
class Wait(Reply):
    """The firmware is idle and waits for commands (Repetier, Marlin with NO_TIMEOUTS)."""


@dataclass(frozen=True, slots=True)
class Busy(Reply):
    """A sign of life during a long command; `reason` is `processing`, `paused for user` or `paused for input`."""

    reason: str


@dataclass(frozen=True, slots=True)
class Temperatures(Reply):
    """A temperature report without an `ok`; `waiting` during M109, M190 and their like."""

    heaters: Heaters
    waiting: bool = False


@dataclass(frozen=True, slots=True)
class Targets(Reply):
    """Targets in °C without their temperatures, by canonical name (Repetier, once they change)."""

    targets: dict[str, float]


@dataclass(frozen=True, slots=True)
class Position(Reply):
    """The answer to M114, in mm, by axis letter: X, Y, Z, E."""

    axes: dict[str, float]


@dataclass(frozen=True, slots=True)
class FirmwareInfo(Reply):
    """The answer to M115: `FIRMWARE_NAME`, `UUID`, … by key. With Klipper the `ok` is on the same line."""

    fields: dict[str, str]
    ok: bool = False


@dataclass(frozen=True, slots=True)
class Capability(Reply):
    """One `Cap:` line of M115."""

    name: str
    enabled: bool


@dataclass(frozen=True, slots=True)
class Action(Reply):
    """`//action:<name> <argument>`: the firmware asks the host to do something."""

    name: str
    argument: str = ""


@dataclass(frozen=True, slots=True)
class SdOpened(Reply):
    """A file on the printer's SD card was opened; `size` in bytes."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class SdSelected(Reply):
    """The file that was opened is the one to print."""


@dataclass(frozen=True, slots=True)
class SdProgress(Reply):
    """The printer prints from its SD card: bytes read, of so many."""

    position: int
    total: int


@dataclass(frozen=True, slots=True)
class SdIdle(Reply):
    """The printer does not print from its SD card, at this moment."""


@dataclass(frozen=True, slots=True)
class SdDone(Reply):
    """A print from the SD card has come to its end."""


@dataclass(frozen=True, slots=True)
class UnknownCommand(Reply):
    """The firmware did not know `command`; its `ok` follows all the same."""

    command: str


@dataclass(frozen=True, slots=True)
class FirmwareError(Reply):
    """`Error:…`, `!! …`, `fatal:…`.

    Attributes:
        text: the error without its prefix.
        kind: `communication` (number or checksum, a resend follows), `sd`, `recoverable`, `fatal`.
    """

    text: str
    kind: str


@dataclass(frozen=True, slots=True)
class Text(Reply):
    """Anything else: echo, banner, comment, noise."""


_NUMBER = r"[+-]?\d+(?:\.\d*)?"
_HEATER = re.compile(rf"(?<![A-Za-z@])([A-Z]\d*)\s*:\s*({_NUMBER})(?:\s*/\s*({_NUMBER}))?")
_REPORT = re.compile(rf"\s*(?:T\d*|B)\s*:\s*{_NUMBER}")
_OK = re.compile(r"ok(?![A-Za-z])\s*(.*)", re.DOTALL)
_ADVANCED = re.compile(r"([NPB])(\d+)(?!\S)")
_RESEND = re.compile(r"(?:resend|rs)\b:?\s*N?:?\s*(\d+)", re.IGNORECASE)
# A boot loader may leave noise before it. RepRapFirmware says what it is instead (RepRap::Init, all versions).
_START = re.compile(r"\W*start\s*\Z|RepRapFirmware\b.* is up and running\.\s*\Z")
_BUSY = re.compile(r"(?:echo:\s*)?busy:\s*(.*)", re.IGNORECASE)
_AXIS = re.compile(rf"(?<![A-Za-z])([XYZABCUVW]|E\d?)\s*:\s*({_NUMBER})")
_POSITION = re.compile(rf"\s*(?:ok\s+)?(?:C:\s*)?X:\s*{_NUMBER},?\s*Y:")
_TARGET = re.compile(rf"Target(Extr\d+|Bed):\s*({_NUMBER})")  # Repetier
_SD_OPENED = re.compile(r"File opened:\s*(.*?)\s+Size:\s*(\d+)")
_SD_PROGRESS = re.compile(r"SD printing byte (\d+)/(\d+)")
_MALYAN = re.compile(r"NAME[.:]\s*(\S+)\s+(VER:.*)", re.IGNORECASE)
_FIELD = re.compile(r"([A-Z][A-Z0-9_]*):(.*?)(?=\s+[A-Z][A-Z0-9_]*:|\Z)")
_CAPABILITY = re.compile(r"cap:\s*([A-Z0-9_]+):([01])", re.IGNORECASE)
_ACTION = re.compile(r"//\s*action:\s*(\S+)\s*(.*)", re.IGNORECASE)
_UNKNOWN = re.compile(r"(?:echo:\s*|//\s*)?unknown command:?\s*\"?(.*?)\"?\s*\Z", re.IGNORECASE)
_BAD_CODE = re.compile(r"E: Bad ([GMT])-code (\d+)")  # Teacup
_ERROR = re.compile(r"(error:|!!|fatal:)\s*(.*)", re.IGNORECASE | re.DOTALL)
_COMMAND_ERROR = re.compile(r"[GMT]\d+(?:\.\d+)?(?:/[GMT]\d+)*:")  # RepRapFirmware: `Error: G0/G1: …`
# Besides the controls: what ends a line for some readers, and what turns the direction of the text around it.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

_KINDS = (
    ("communication", ("line number", "last line", "linenumber", "checksum", "format error", "expected line")),
    ("sd", ("volume.init", "openroot", "workdir", "open failed", "cannot open", "sd card", "no media")),
    ("recoverable", ("cold extrusion", "unknown command", "must home", "out of range", "extrude below minimum")),
)  # fmt: skip
_KLIPPER_FATAL = ("shutdown", "halt", "lost communication", "firmware has")


def decode(raw: bytes) -> str:
    """Return untrusted bytes as printable text: no control characters, no terminal escapes."""
    return _UNPRINTABLE.sub("", raw.decode("utf-8", "replace"))


def parse(raw: bytes) -> Reply:
    """Return the typed reply for one line without its line end; never raises."""
    line = decode(raw)
    text = line.strip()
    if match := _OK.match(text):
        return _ok(line, match[1])
    if match := _RESEND.match(text):
        return Resend(line, int(match[1]))
    if _REPORT.match(text):
        return Temperatures(line, heaters(text), waiting="W:" in text)
    if match := _BUSY.match(text):
        return Busy(line, match[1])
    if match := _UNKNOWN.match(text):  # before errors: some firmwares give it that prefix
        return UnknownCommand(line, match[1])
    if match := _ERROR.match(text):
        return FirmwareError(line, match[2], _kind(match[1], match[2]))
    if match := _ACTION.match(text):
        return Action(line, match[1].lower(), match[2])
    return _seldom(line, text)


def _seldom(line: str, text: str) -> Reply:
    if _START.match(text):
        return Start(line)
    if text == "wait":
        return Wait(line)
    if match := _CAPABILITY.match(text):
        return Capability(line, match[1].upper(), match[2] == "1")
    if text.startswith("FIRMWARE_NAME:"):
        return FirmwareInfo(line, _fields(text))
    if match := _MALYAN.match(text):
        return FirmwareInfo(line, {"FIRMWARE_NAME": match[1], **_fields(match[2])})
    if _POSITION.match(text):
        return Position(line, _axes(text))
    if match := _BAD_CODE.match(text):
        return UnknownCommand(line, f"{match[1]}{match[2]}")
    if found := _TARGET.findall(text):
        return Targets(line, {_canonical(name): float(value) for name, value in found})
    return _of_card(line, text)


def _of_card(line: str, text: str) -> Reply:
    if match := _SD_PROGRESS.match(text):
        return SdProgress(line, int(match[1]), int(match[2]))
    if text.startswith("Not SD printing"):
        return SdIdle(line)
    if text.startswith("Done printing file"):
        return SdDone(line)
    if match := _SD_OPENED.match(text):
        return SdOpened(line, match[1], int(match[2]))
    if text == "File selected":
        return SdSelected(line)
    return Text(line)


def _ok(line: str, rest: str) -> Reply:
    if "FIRMWARE_NAME:" in rest:
        return FirmwareInfo(line, _fields(rest), ok=True)
    advanced = {letter: int(value) for letter, value in _ADVANCED.findall(rest)}
    found = heaters(rest) if _REPORT.match(rest) else {}
    return Ok(line, advanced.get("N"), advanced.get("P"), advanced.get("B"), found)


def _fields(text: str) -> dict[str, str]:
    return {key: value.strip() for key, value in _FIELD.findall(text)}


def _kind(prefix: str, text: str) -> str:
    lowered = text.lower()
    for kind, words in _KINDS:
        if any(word in lowered for word in words):
            return kind
    if prefix == "!!" and not any(word in lowered for word in _KLIPPER_FATAL):
        return "recoverable"  # Klipper marks every refused command so; it goes on
    if _COMMAND_ERROR.match(text):
        return "recoverable"
    return "fatal"


def _axes(text: str) -> dict[str, float]:
    logical = text.partition("Count")[0]  # behind it come stepper counts
    return {axis: float(value) for axis, value in _AXIS.findall(logical)}


def heaters(text: str) -> Heaters:
    """Return the readings of a temperature report by canonical name.

    `T` is the active tool: it is left out where the numbered tools are there too, and is tool 0 elsewhere
    (Marlin, Repetier: `T T0 T1`; Smoothieware: `T T1`). `W` and `E` of M109 are no sensors.
    """
    found = {name: Reading(float(actual), float(target) if target else None)
             for name, actual, target in _HEATER.findall(text) if name not in ("W", "E")}  # fmt: skip
    active = found.pop("T", None)
    if active is not None and "T0" not in found:
        found = {"T0": active, **found}
    return {_canonical(name): reading for name, reading in found.items()}


def _canonical(name: str) -> str:
    if name[0] == "T":
        return f"tool{name[1:]}"
    if name.startswith("Extr"):
        return f"tool{name[4:]}"
    return {"B": "bed", "Bed": "bed", "C": "chamber"}.get(name, name)
