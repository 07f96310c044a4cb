"""Statuses: the states that wait to be sent to a subscriber, which is to see even the shortest ones. Pure."""

from collections import deque
from collections.abc import Mapping
from typing import Any

from gcode.frozen import frozen

MAX_WAITING = 16  # states; the oldest are dropped

ENDING_STATES = ("Finishing", "Cancelling")
"""States that are sent without the flag `printing`. In OctoPrint they last for a moment, here as long as the printer
moves; a client that counts prints by the flag would count another print with each message."""

Status = Mapping[str, Any]


@frozen
class Moment:
    """A state with the job at that time: before the state is sent, the next print may begin.

    Attributes:
        status: text, flags and error.
        about: job and progress.
    """

    status: Status
    about: Mapping[str, Any]


class Statuses:
    """The states that a subscriber was sent, and those that wait."""

    def __init__(self) -> None:
        self._waiting: deque[Moment] = deque(maxlen=MAX_WAITING)
        self._last_sent = ""

    def add(self, moment: Moment) -> None:
        """Add the current state, if it differs from the last one."""
        last = self._waiting[-1].status["text"] if self._waiting else self._last_sent
        if moment.status["text"] != last:
            self._waiting.append(moment)

    def begin(self, status: Status) -> None:
        """Take this state as sent, and drop all earlier ones."""
        self._waiting.clear()
        self._last_sent = status["text"]

    def drain(self) -> list[Moment]:
        """Take the waiting states, in the form to send."""
        waiting = [Moment(public_status(each.status), each.about) for each in self._waiting]
        self._waiting.clear()
        if waiting:
            self._last_sent = waiting[-1].status["text"]
        return waiting

    def take(self, current: Status) -> tuple[list[Moment], Status]:
        """Take the waiting states and the current one, in the form to send."""
        earlier = self.drain()
        if earlier and earlier[-1].status["text"] == current["text"]:
            earlier.pop()
        self._last_sent = current["text"]
        return earlier, public_status(current)


def public_status(status: Status) -> Status:
    """Return a status in the form to send: without the flag `printing` in ENDING_STATES."""
    return {**status, "flags": {**status["flags"], "printing": False}} if status["text"] in ENDING_STATES else status
