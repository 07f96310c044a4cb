"""Statuses: the states that one subscriber is still to be told of, so that it sees each one, however short. Pure."""

from collections import deque
from collections.abc import Mapping
from typing import Any

MOST = 16  # states that wait; of more than so many within half a second the oldest are dropped

ENDING = ("Finishing", "Cancelling")
"""States whose messages do not have the flag `printing`. OctoPrint is in them for a moment; here they last as long as
the printer moves, and a client that counts prints by the flag would count another one with each message."""

Status = Mapping[str, Any]


class Statuses:
    """What one subscriber has been told of the state, and what it has not."""

    def __init__(self) -> None:
        self._waiting: deque[Status] = deque(maxlen=MOST)
        self._told = ""

    def passed(self, status: Status) -> None:
        """Take note of a state that there is now."""
        last = self._waiting[-1]["text"] if self._waiting else self._told
        if status["text"] != last:
            self._waiting.append(status)

    def begin(self, status: Status) -> None:
        """Take note that this state has been told, and nothing before counts."""
        self._waiting.clear()
        self._told = status["text"]

    def take(self, now: Status) -> list[Status]:
        """Return the states to be told, the one that there is now at the end."""
        states = [*self._waiting]
        self._waiting.clear()
        if not states or states[-1]["text"] != now["text"]:
            states.append(now)
        else:
            states[-1] = now
        self._told = now["text"]
        return [_shown(each) for each in states]


def _shown(status: Status) -> Status:
    return {**status, "flags": {**status["flags"], "printing": False}} if status["text"] in ENDING else status
