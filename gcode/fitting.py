"""Fits the texts of commands (M117, M118, M0, M486 A) to a firmware: shorter, and without characters that it misreads.

A text that the firmware misreads is perhaps never acknowledged: `:` ends a line in Marlin 1.0, `*` begins the checksum
in many firmwares, and Marlin removes a backslash before it compares the checksum. Some even look for commands anywhere
in a line: `M117 Going` is a G0 to Marlin 1.0, and the name of an object moves the head of a Repetier. No text is worth
a print.
"""

import re
from functools import lru_cache

from gcode.command import COMMENT
from gcode.dialect import Dialect

_CODE = re.compile(rb"M\s*+(\d{1,9}+)(?!\.)", re.IGNORECASE)
_TEXTS = frozenset({0, 1, 16, 117, 118, 486})
_OBJECTS = 486
_NAME = re.compile(rb"\s*+A", re.IGNORECASE)  # M486 A<name>; its other parameters are numbers
_REPLACEMENTS = {":": ".", "*": "+", ";": ",", "(": "[", ")": "]", "%": " ", "\\": "/"}


def is_text(command: bytes) -> bool:
    """Tell whether a command contains a text for the user, which matters less than the print."""
    return _split(command) is not None


def fit_command(command: bytes, dialect: Dialect, number: int = 999_999) -> bytes | None:
    """Return a command in a form that the firmware can read as line `number`; None: a text that is better not sent.

    Only texts are changed; other commands lose their `(comments)` if they are too long.
    """
    parts = _split(command)
    if parts is None:
        too_long = b"(" in command and len(command) > dialect.room(number)
        return COMMENT.sub(b"", command).strip() if too_long else command
    word, at = parts
    if dialect.texts.all_left_out or word in dialect.unknown_words:
        return None
    text = command[at:].translate(_table(dialect.texts.end_characters, dialect.texts.command_letters))
    return (command[:at] + text)[: dialect.room(number)].rstrip()


def _split(command: bytes) -> tuple[str, int] | None:
    """Return the code word and the index of the text; None: there is no text."""
    match = _CODE.match(command)
    if match is None or int(match[1]) not in _TEXTS or match.end() == len(command):
        return None
    code = int(match[1])
    if code == _OBJECTS and not _NAME.match(command, match.end()):
        return None
    return f"M{code}", match.end()


@lru_cache(maxsize=32)
def _table(breaks: str, commands: str) -> bytes:
    """Return the translation table: similar characters for `end_characters`, lower case for `command_letters`."""
    table = bytearray(range(256))
    for sign in breaks:
        table[ord(sign)] = ord(_REPLACEMENTS[sign])
    if "(" in breaks:
        table[ord(")")] = ord(_REPLACEMENTS[")"])
    for letter in commands:
        table[ord(letter)] = ord(letter.lower())
    return bytes(table)
