"""Checks of the values in the front's questions: paths, names, numbers, lengths. Each check returns its value.

The front has already checked the same, with better messages. The core checks again, because an attacker may have taken
over the front.
"""

import math
import os
import re
from dataclasses import fields
from pathlib import PurePosixPath

from daemon.bridge.questions import MAX_COMMANDS
from daemon.bridge.words import FileMark, Selection
from daemon.errors import BadFileName, BadJobKey, ConfigError, PortNotAllowed
from gcode.errors import CommandError, QueueFull
from gcode.reader import MAX_LINE
from hal.printer import Prompt

MAX_PATH = 1024  # bytes
MAX_TEXT = 255  # characters of a name
MAX_OFFSET = 50.0  # °C
MAX_INTEGER = 2**63 - 1  # SQLite's
MAX_INODE = 2**64 - 1

_HEATER = re.compile(r"tool\d{1,2}|bed|chamber")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")
_SHA1 = re.compile(r"[0-9a-f]{40}")


def check_selection(file: Selection) -> Selection:
    """Check a selected file.

    Raises:
        BadFileName: it is not among the uploads, or one of its values is impossible.
    """
    check_path(file.path)
    for text in (file.name, file.user or ""):
        _check_text(text)
    for field in fields(file):
        value, low = getattr(file, field.name), 0 if field.name == "size" else -MAX_INTEGER
        if isinstance(value, int) and not low <= value <= MAX_INTEGER:
            raise BadFileName(f"a file's {field.name} cannot be {value}")
    if file.sha1 is not None and not _SHA1.fullmatch(file.sha1):
        raise BadFileName("a SHA-1 has 40 hexadecimal digits")
    return file


def check_file_mark(mark: FileMark | None) -> FileMark | None:
    """Check what identifies a checked file, which is only compared; raises BadFileName."""
    if mark is not None:
        check_path(mark.path)
        if not 0 <= mark.inode <= MAX_INODE:
            raise BadFileName(f"a file's inode cannot be {mark.inode}")
    return mark


def check_path(relative: str) -> str:
    """Check a path among the uploads. Symbolic links are only checked when the file is opened.

    Raises:
        BadFileName: it leads elsewhere.
    """
    parts = PurePosixPath(relative).parts
    if (size := len(os.fsencode(relative))) > MAX_PATH:
        raise BadFileName(f"the path has {size} bytes; at most {MAX_PATH} are allowed")
    if not parts or relative.startswith("/") or any(part.startswith(".") for part in parts) or _has_control(relative):
        raise BadFileName(f"{relative[:MAX_TEXT]!r} is not among the uploads")
    return relative


def check_job_key(text: str) -> str:
    """Check the idempotency key of a print; raises BadJobKey."""
    if not (0 < len(text) <= MAX_TEXT and text.isascii() and text.isprintable()):
        raise BadJobKey(f"an idempotency key has 1 to {MAX_TEXT} printable ASCII characters: {text[:40]!r}")
    return text


def check_commands(texts: list[str]) -> list[str]:
    """Check the number and the length of a client's commands.

    Raises:
        QueueFull: there are more than may wait for the printer.
        CommandError: one is longer than any firmware reads.
    """
    if len(texts) > MAX_COMMANDS:
        raise QueueFull(f"cannot queue {len(texts)} commands: at most {MAX_COMMANDS} may wait for the printer")
    for text in texts:
        if len(text) > MAX_LINE:
            raise CommandError(f"the command has {len(text)} characters, more than any firmware reads: {text[:40]}…")
    return texts


def check_heater(name: str) -> str:
    """Check the name of a heater; raises CommandError."""
    if not _HEATER.fullmatch(name):
        raise CommandError(f"there is no heater {name[:MAX_TEXT]!r}; there are tool0, tool1, …, bed and chamber")
    return name


def check_offset(degrees: float) -> float:
    """Check an offset to the targets of files, in °C; raises CommandError."""
    if not (math.isfinite(degrees) and abs(degrees) <= MAX_OFFSET):
        raise CommandError(
            f"an offset of {degrees:g} °C is out of range: it may be {-MAX_OFFSET:g} to {MAX_OFFSET:g} °C"
        )
    return degrees


def check_preset(name: str | None) -> str | None:
    """Check the length of the name of a preset; raises ConfigError."""
    if name is not None and len(name) > MAX_TEXT:
        raise ConfigError(f"there is no preset whose name has {len(name)} characters: {name[:40]}…")
    return name


def check_port(name: str | None) -> str | None:
    """Check the name of a port; raises PortNotAllowed."""
    if name is not None and (len(name) > MAX_PATH or _has_control(name)):
        raise PortNotAllowed(f"{name[:40]!r} is not a port that clients may connect to")
    return name


def check_choice(number: int, prompt: Prompt | None) -> int:
    """Check the number of an answer to the printer's prompt; raises CommandError."""
    answers = len(prompt.choices) if prompt is not None else 1  # a prompt without choices is acknowledged with 0
    if not 0 <= number < max(1, answers):
        raise CommandError(f"the printer's question has no answer {number}: answers are counted from 0")
    return number


def _check_text(text: str) -> None:
    if len(text) > MAX_TEXT or _has_control(text):
        raise BadFileName(f"a name has at most {MAX_TEXT} characters, and no control characters: {text[:40]!r}")


def _has_control(text: str) -> bool:
    return _CONTROL.search(text) is not None
