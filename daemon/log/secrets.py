"""Removes keys from the log. Every line of every format passes through `without_keys`.

A key is replaced by as many stars as it has characters, because the length of a field precedes it in the journal.
"""

import re

_KEYS: set[str] = set()

_ANNOUNCED = r"""(?:api_?key\W{1,3}|x-api-key["']?[ \t]*[:=,][ \t]*["']?|bearer[ \t]+)([^\s"'&\\,;)\]}]+)"""
_GENERATED = r"(?<![\w-])(?=[\w-]*[a-z])(?=[\w-]*[A-Z])(?=[\w-]*[0-9])([\w-]{43})(?![\w-])"
"""A key after a word that announces one, and a key in the form that the service generates."""

_IN_TEXT = re.compile(f"(?i:{_ANNOUNCED})|{_GENERATED}", re.ASCII)
_IN_BYTES = re.compile(f"(?i:{_ANNOUNCED})|{_GENERATED}".encode())


def hide(key: str) -> None:
    """Hide this key from now on, wherever it occurs."""
    _KEYS.add(key)


def without_keys(line: str | bytes) -> str | bytes:
    """Return a line of the same length with its keys replaced."""
    if isinstance(line, str):
        for key in _KEYS:
            line = line.replace(key, "*" * len(key))
        return _IN_TEXT.sub(_star, line)
    for key in _KEYS:
        line = line.replace(key.encode(), b"*" * len(key))
    return _IN_BYTES.sub(_star_bytes, line)


def _star(match: re.Match[str]) -> str:
    key = match[1] or match[2]
    return match[0].replace(key, "*" * len(key))


def _star_bytes(match: re.Match[bytes]) -> bytes:
    key = match[1] or match[2]
    return match[0].replace(key, b"*" * len(key))
