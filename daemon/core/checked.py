"""What the front asks for, held against what anybody may ask for: the core takes nobody's word for it.

The front has looked already, and says it better; a front that somebody else has taken over has not.
"""

import math
import os
import re
from dataclasses import fields
from pathlib import PurePosixPath

from daemon.bridge.questions import MOST_COMMANDS
from daemon.bridge.words import Selection
from daemon.errors import BadFileName, BadJobKey, ConfigError, PortNotAllowed
from gcode.errors import CommandError, QueueFull
from gcode.reader import MAX_LINE
from hal.printer import Prompt

MAX_PATH = 1024  # bytes
MAX_TEXT = 255  # characters of a name
MAX_OFFSET = 50.0  # °C
LARGEST = 2**63 - 1  # that the record of jobs can hold

_HEATER = re.compile(r"tool\d{1,2}|bed|chamber")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")
_SHA1 = re.compile(r"[0-9a-f]{40}")


def selection(file: Selection) -> Selection:
    """Return the file as it was chosen.

    Raises:
        BadFileName: it is none below the uploads, or what is said of it is nothing that a file can have.
    """
    path(file.path)
    for text in (file.name, file.user or ""):
        _text(text)
    for field in fields(file):
        value = getattr(file, field.name)
        if isinstance(value, int) and not (0 if field.name == "size" else -LARGEST) <= value <= LARGEST:
            raise BadFileName(f"a file's {field.name} cannot be {value}")
    if file.sha1 is not None and not _SHA1.fullmatch(file.sha1):
        raise BadFileName("a SHA-1 has 40 hexadecimal digits")
    return file


def path(relative: str) -> str:
    """Return a path among the uploads.

    Raises:
        BadFileName: it leads elsewhere; symbolic links are looked at when the file is opened.
    """
    parts = PurePosixPath(relative).parts
    if len(os.fsencode(relative)) > MAX_PATH:
        raise BadFileName(f"a path may have {MAX_PATH} bytes")
    if not parts or relative.startswith("/") or any(part.startswith(".") for part in parts) or _has_control(relative):
        raise BadFileName(f"{relative[:MAX_TEXT]!r} is not among the uploads")
    return relative


def job_key(text: str) -> str:
    """Return a key by which a print is asked for; raises BadJobKey."""
    if not (0 < len(text) <= MAX_TEXT and text.isascii() and text.isprintable()):
        raise BadJobKey(f"an idempotency key has 1 to {MAX_TEXT} printable ASCII characters: {text[:40]!r}")
    return text


def commands(given: list[str]) -> list[str]:
    """Return a client's commands; each of them is still to be looked at.

    Raises:
        QueueFull: there are more than could wait for the printer.
        CommandError: one is longer than any firmware reads.
    """
    if len(given) > MOST_COMMANDS:
        raise QueueFull(f"{len(given)} commands were sent at once; {MOST_COMMANDS} may wait for the printer")
    for command in given:
        if len(command) > MAX_LINE:
            raise CommandError(f"the command has {len(command)} characters, no firmware reads so many: {command[:40]}…")
    return given


def heater(name: str) -> str:
    """Return the name of a heater; raises CommandError."""
    if not _HEATER.fullmatch(name):
        raise CommandError(f"there is no heater {name[:MAX_TEXT]!r}; there are tool0, tool1, …, bed and chamber")
    return name


def offset(degrees: float) -> float:
    """Return what may be added to the targets of files, in °C; raises CommandError."""
    if not (math.isfinite(degrees) and abs(degrees) <= MAX_OFFSET):
        raise CommandError(f"an offset of {degrees:g} °C; {-MAX_OFFSET:g} to {MAX_OFFSET:g} may be added")
    return degrees


def preset(name: str | None) -> str | None:
    """Return the name of a preset; raises ConfigError."""
    if name is not None and len(name) > MAX_TEXT:
        raise ConfigError(f"there is no preset whose name has {len(name)} characters: {name[:40]}…")
    return name


def port(name: str | None) -> str | None:
    """Return the name of a port; raises PortNotAllowed."""
    if name is not None and (len(name) > MAX_PATH or _has_control(name)):
        raise PortNotAllowed(f"{name[:40]!r} is not a port that clients may connect to")
    return name


def choice(number: int, prompt: Prompt | None) -> int:
    """Return the number of an answer to a question of the printer; raises CommandError."""
    most = len(prompt.choices) if prompt is not None else 1  # one without answers is to be acknowledged
    if not 0 <= number < max(1, most):
        raise CommandError(f"the printer's question has no answer {number}; they count from 0")
    return number


def _text(text: str) -> None:
    if len(text) > MAX_TEXT or _has_control(text):
        raise BadFileName(f"a name may have {MAX_TEXT} characters, and none that control: {text[:40]!r}")


def _has_control(text: str) -> bool:
    return _CONTROL.search(text) is not None
