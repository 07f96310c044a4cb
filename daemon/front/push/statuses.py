"""Statuses: the states that one subscriber is still to be told of, so that it sees each one, however short. Pure."""

from collections import deque
from collections.abc import Mapping
from typing import Any

from gcode.frozen import frozen

MOST = 16  # states that wait; of more than so many within half a second the oldest are dropped

ENDING = ("Finishing", "Cancelling")
"""States whose messages do not have the flag `printing`. OctoPrint is in them for a moment; here they last as long as
the printer moves, and a client that counts prints by the flag would count another one with each message."""

Status = Mapping[str, Any]


@frozen
class Moment:
    """A state as it was, with what else was to be told then: the next print may have begun before it is.

    Attributes:
        status: the state.
        about: job and progress.
    """

    status: Status
    about: Mapping[str, Any]


class Statuses:
    """What one subscriber has been told of the state, and what it has not."""

    def __init__(self) -> None:
        self._waiting: deque[Moment] = deque(maxlen=MOST)
        self._told = ""

    def passed(self, moment: Moment) -> None:
        """Take note of a state that there is now."""
        last = self._waiting[-1].status["text"] if self._waiting else self._told
        if moment.status["text"] != last:
            self._waiting.append(moment)

    def begin(self, status: Status) -> None:
        """Take note that this state has been told, and nothing before counts."""
        self._waiting.clear()
        self._told = status["text"]

    def drain(self) -> list[Moment]:
        """Return the states that have passed, as they are to be told; they count as told."""
        before = [Moment(public_status(each.status), each.about) for each in self._waiting]
        self._waiting.clear()
        if before:
            self._told = before[-1].status["text"]
        return before

    def take(self, now: Status) -> tuple[list[Moment], Status]:
        """Return the states that have passed, and the one that there is now, as they are to be told."""
        before = self.drain()
        if before and before[-1].status["text"] == now["text"]:
            before.pop()
        self._told = now["text"]
        return before, public_status(now)


def public_status(status: Status) -> Status:
    """Return a state as clients are told of it: without the flag `printing` where that would count a print twice."""
    return {**status, "flags": {**status["flags"], "printing": False}} if status["text"] in ENDING else status
