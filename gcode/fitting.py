"""Texts in commands (M117, M118, M0, M486 A) as a firmware can read them: cut to its line, without what would end it.

A text that is not read as it was meant may never be acknowledged: `:` ends a line of Marlin 1.0, `*` begins the
checksum of many, and Marlin takes a backslash out before it compares the checksum. With some it is worse, as they
look for commands anywhere in a line: `M117 Going` is a G0 for Marlin 1.0, and an object's name moves the head of a
Repetier. Nobody needs the text as much as the print.
"""

import re
from functools import lru_cache

from gcode.dialect import Dialect

_CODE = re.compile(rb"M\s*+(\d{1,9}+)(?!\.)", re.IGNORECASE)
_TEXTS = frozenset({0, 1, 16, 117, 118, 486})
_OBJECTS = 486
_NAME = re.compile(rb"\s*+A", re.IGNORECASE)  # M486 A<name>; its other words are numbers
_PARENTHESES = re.compile(rb"\([^()]*\)")
_INSTEAD = {":": ".", "*": "+", ";": ",", "(": "[", ")": "]", "%": " ", "\\": "/"}


def is_text(command: bytes) -> bool:
    """Tell whether a command holds words for people, which matter less than the print."""
    return _split(command) is not None


def fitting(command: bytes, dialect: Dialect, number: int = 999_999) -> bytes | None:
    """Return a command as the firmware reads it as line `number`; None: it is better not sent.

    Only texts are changed, and `(comments)` left out of what is too long; any other command is returned as it is.
    """
    found = _split(command)
    if found is None:
        too_long = b"(" in command and len(command) > dialect.room(number)
        return _PARENTHESES.sub(b"", command).strip() if too_long else command
    word, at = found
    if dialect.texts.dropped or word in dialect.unknown:
        return None
    text = command[at:].translate(_table(dialect.texts.breaks, dialect.texts.commands))
    return (command[:at] + text)[: dialect.room(number)].rstrip()


def _split(command: bytes) -> tuple[str, int] | None:
    """Return the code word and where the text begins; None where there is no text."""
    match = _CODE.match(command)
    if match is None or int(match[1]) not in _TEXTS or match.end() == len(command):
        return None
    code = int(match[1])
    if code == _OBJECTS and not _NAME.match(command, match.end()):
        return None
    return f"M{code}", match.end()


@lru_cache(maxsize=32)
def _table(breaks: str, commands: str) -> bytes:
    """Return the translation of a text: what would break it becomes something like it, letters of commands small."""
    table = bytearray(range(256))
    for sign in breaks:
        table[ord(sign)] = ord(_INSTEAD[sign])
    if "(" in breaks:
        table[ord(")")] = ord(_INSTEAD[")"])
    for letter in commands:
        table[ord(letter)] = ord(letter.lower())
    return bytes(table)
