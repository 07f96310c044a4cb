"""What a text says about a switch: on, off, or nothing that could be relied on."""

import json
import re
from typing import Any

from daemon.companions.power.errors import DeviceError

_SHOWN = 80  # characters of an answer in a message
_WORD = re.compile(r"[^\W_]+")


def excerpt(text: str | bytes) -> str:
    """Return the beginning of an answer for a message, on one line."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    line = "".join(char if char.isprintable() else " " for char in text[: 2 * _SHOWN]).strip()
    return line if len(line) <= _SHOWN and len(text) <= 2 * _SHOWN else line[:_SHOWN] + "…"


def parsed(body: bytes, who: str) -> dict[str, Any]:
    """Return the JSON object of an answer.

    Raises:
        DeviceError: it is none.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DeviceError(f"{who} does not answer in JSON but: {excerpt(body) or 'nothing'}") from error
    if not isinstance(found, dict):
        raise DeviceError(f"{who} answers with JSON that does not mention a switch: {excerpt(body)}")
    return found


def is_on(text: str, on: str, off: str) -> bool | None:
    """Return which of two words a text has; None: neither, or both."""
    plain, words = text.strip().casefold(), {each.casefold() for each in _WORD.findall(text)}

    def has(wanted: str) -> bool:
        wanted = wanted.strip().casefold()
        return plain == wanted or (wanted in words if _WORD.fullmatch(wanted) else wanted in plain)

    if has(on) == has(off):
        return None
    return has(on)


def at(found: Any, key: str) -> str | None:
    """Return what JSON has at a place like relays.0.ison, as text; None: nothing."""
    for step in key.split("."):
        if isinstance(found, dict):
            found = found.get(step)
        elif isinstance(found, list) and step.isascii() and step.isdecimal() and int(step[:9]) < len(found):
            found = found[int(step[:9])]
        else:
            return None
    if found is None or isinstance(found, dict | list):
        return None
    return json.dumps(found) if isinstance(found, bool) else str(found)
