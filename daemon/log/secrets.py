"""Keys in what is logged: none is passed on, whoever writes it there. Every line of every format goes through `hidden`.

A key is starred out letter by letter, so that a field of the journal, which says how long it is, stays as long.
"""

import re

_KEYS: set[str] = set()

_SAID = r"""(?:api_?key\W{1,3}|x-api-key["']?[ \t]*[:=,][ \t]*["']?|bearer[ \t]+)([^\s"'&\\,;)\]}]+)"""
_MADE = r"(?<![\w-])(?=[\w-]*[a-z])(?=[\w-]*[A-Z])(?=[\w-]*[0-9])([\w-]{43})(?![\w-])"
"""A key by what stands before it, and one that the service has made by its looks."""

_IN_TEXT = re.compile(f"(?i:{_SAID})|{_MADE}", re.ASCII)
_IN_BYTES = re.compile(f"(?i:{_SAID})|{_MADE}".encode())


def hide(key: str) -> None:
    """Have a key that was read starred out from now on, wherever it stands."""
    _KEYS.add(key)


def hidden(line: str | bytes) -> str | bytes:
    """Return a line without keys, of the same length."""
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
