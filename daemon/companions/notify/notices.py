"""Notices: what people are told, in classes that can be switched off one by one. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CLASSES = {
    "done": "A print is done.",
    "failed": "A print has failed, or the service was interrupted in the middle of it.",
    "cancelled": "A print was cancelled.",
    "paused": "A print has paused by itself: the file, the printer, the filament sensor.",
    "back": "A print goes on after its line was lost.",
    "warning": "A print goes on, but something is wrong with it, like no progress for a quarter of an hour.",
    "bed": "The queue waits for somebody to clear the bed.",
    "fault": "The printer has halted (thermal runaway and the like), or heaters cannot be turned off.",
    "disk": "The disk is nearly full.",
    "power": "The printer's power is about to be switched off by itself, was, or could not be.",
}
"""Each with its own limit of one message a minute."""

URGENT = frozenset({"fault"})
"""What is never dropped for something else."""

MUTED = ("cancelled",)
"""What is not told unless somebody wants to hear of it: whoever cancels knows."""

LONGEST = 200  # characters of a name or reason in a message


@dataclass(frozen=True, slots=True)
class UserNotice:
    """Something to be told.

    Attributes:
        kind: one of CLASSES.
        key: the same for the same news; what has this key is told once.
        what: which of the texts of the class.
        about: what the text needs: printer, file, reason, times in s, filament.
    """

    kind: str
    key: str
    what: str
    about: Mapping[str, Any] = field(default_factory=dict)


def one_line(value: object, longest: int = LONGEST) -> str:
    """Return a text of somebody else's on one line, without what no message should hold."""
    text = " ".join("".join(each if each.isprintable() else " " for each in str(value or "")).split())
    return text if len(text) <= longest else text[: longest - 1] + "…"
