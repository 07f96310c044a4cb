"""Notices for users, in classes that can be muted one by one. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

NoticeClass = Literal[
    "done", "failed", "cancelled", "paused", "back", "warning", "bed", "fault", "disk", "power"
]  # fmt: skip

CLASSES: dict[NoticeClass, str] = {
    "done": "A print is done.",
    "failed": "A print has failed or was interrupted.",
    "cancelled": "A print was cancelled.",
    "paused": "A print was paused by its file, the printer or a filament sensor.",
    "back": "A print continues after its connection was lost.",
    "warning": "A print is running, but has a problem, like no progress for a quarter of an hour.",
    "bed": "The queue is waiting for the bed to be cleared.",
    "fault": "The printer has halted (thermal runaway and the like), heaters cannot be turned off, an emergency stop "
    "was not confirmed, or the power was cut in an emergency.",
    "disk": "The disk is nearly full.",
    "power": "The printer is about to be switched off automatically, was switched off, or could not be.",
}
"""Each class has its own limit of one message per minute."""

NoticeKind = Literal[NoticeClass, "test"]

URGENT: frozenset[NoticeKind] = frozenset({"fault"})
"""Classes whose notices are dropped, to make room, only if no others wait."""

MUTED: tuple[NoticeClass, ...] = ("cancelled",)
"""Classes that are off by default: a user who cancels a print knows about it."""

MAX_TEXT = 200  # characters of a name or reason in a message


@dataclass(frozen=True, slots=True)
class UserNotice:
    """A notice for users.

    Attributes:
        kind: its class, one of CLASSES; "test": the notice that a user asked for as a test.
        key: identifies the event; notices with the same key are sent once.
        what: selects one of the texts of the class.
        about: values for the text: printer, file, reason, times in s, filament.
    """

    kind: NoticeKind
    key: str
    what: str
    about: Mapping[str, Any] = field(default_factory=dict)


def one_line(value: object, longest: int = MAX_TEXT) -> str:
    """Return a foreign text on one line, without control characters."""
    text = " ".join("".join(each if each.isprintable() else " " for each in str(value or "")).split())
    return text if len(text) <= longest else text[: longest - 1] + "…"
