"""Removes keys from the log. Every line of every format passes through `hidden`.

A key is replaced by as many stars as it has letters, because the fields of the journal have their length in front.
"""

import re

_KEYS: set[str] = set()

_SAID = r"""(?:api_?key\W{1,3}|x-api-key["']?[ \t]*[:=,][ \t]*["']?|bearer[ \t]+)([^\s"'&\\,;)\]}]+)"""
_MADE = r"(?<![\w-])(?=[\w-]*[a-z])(?=[\w-]*[A-Z])(?=[\w-]*[0-9])([\w-]{43})(?![\w-])"
"""A key after a word that announces one, and a key in the form that the service generates."""

_IN_TEXT = re.compile(f"(?i:{_SAID})|{_MADE}", re.ASCII)
_IN_BYTES = re.compile(f"(?i:{_SAID})|{_MADE}".encode())


def hide(key: str) -> None:
    """Hide this key from now on, wherever it occurs."""
    _KEYS.add(key)


def hidden(line: str | bytes) -> str | bytes:
    """Return a line of the same length with its keys replaced."""
    if isinstance(line, str):
        for key in _KEYS:
            line = line.replace(key, "*" * len(key))
        return _IN_TEXT.sub(_starred, line)
    for key in _KEYS:
        line = line.replace(key.encode(), b"*" * len(key))
    return _IN_BYTES.sub(_starred_bytes, line)


def _starred(found: re.Match[str]) -> str:
    key = found[1] or found[2]
    return found[0].replace(key, "*" * len(key))


def _starred_bytes(found: re.Match[bytes]) -> bytes:
    key = found[1] or found[2]
    return found[0].replace(key, b"*" * len(key))
