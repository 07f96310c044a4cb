"""Reads the answers of devices: the state of a switch, if the answer is unambiguous, and excerpts for messages."""

import json
import re
from typing import Any

from daemon.companions.power.errors import DeviceError

_MAX_EXCERPT = 80  # characters of an answer in a message
_WORD = re.compile(r"[^\W_]+")


def excerpt(text: str | bytes) -> str:
    """Return the beginning of an answer for a message, on one line."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    line = "".join(char if char.isprintable() else " " for char in text[: 2 * _MAX_EXCERPT]).strip()
    return line if len(line) <= _MAX_EXCERPT and len(text) <= 2 * _MAX_EXCERPT else line[:_MAX_EXCERPT] + "…"


def parse_object(body: bytes, name: str) -> dict[str, Any]:
    """Return the JSON object that the device `name` answered.

    Raises:
        DeviceError: the answer is not a JSON object.
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DeviceError(f"{name} did not answer in JSON: {excerpt(body) or 'no text'}") from error
    if not isinstance(answer, dict):
        raise DeviceError(f"{name} did not answer with a JSON object: {excerpt(body)}")
    return answer


def read_state(text: str, on: str, off: str) -> bool | None:
    """Return whether a text contains `on` (True) or `off` (False); None: neither, or both.

    A single word must match a whole word of the text: `<html>function button</html>` is neither on nor off.
    """
    folded, words = text.strip().casefold(), {word.casefold() for word in _WORD.findall(text)}

    def contains(state: str) -> bool:
        state = state.strip().casefold()
        return folded == state or (state in words if _WORD.fullmatch(state) else state in folded)

    is_on, is_off = contains(on), contains(off)
    return None if is_on == is_off else is_on


def value_at(value: Any, key: str) -> str | None:
    """Return the value at a path like relays.0.ison in JSON, as text; None: there is none, or it is not a scalar."""
    for step in key.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isascii() and step.isdecimal() and int(step[:9]) < len(value):
            value = value[int(step[:9])]
        else:
            return None
    if value is None or isinstance(value, dict | list):
        return None
    return json.dumps(value) if isinstance(value, bool) else str(value)
