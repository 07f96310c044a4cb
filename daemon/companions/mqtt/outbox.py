"""What waits for the broker: the latest payload of each topic and a few events; one that is away costs no more."""

import asyncio
from collections import deque

from gcode.frozen import frozen

MOST_EVENTS = 64  # the oldest go
MOST_TOPICS = 64


@frozen
class Outgoing:
    """A message to the broker."""

    topic: str
    payload: str
    retain: bool = True
    qos: int = 0


class BrokerOutbox:
    """A map with a bound, and a queue with one.

    Attributes:
        wake: set when there is something to send.
        dropped: events that nobody took in time.
    """

    def __init__(self) -> None:
        self.wake = asyncio.Event()
        self.dropped = 0
        self._latest: dict[str, Outgoing] = {}
        self._kept: dict[str, Outgoing] = {}  # what the broker should have: a new one is told all of it
        self._events: deque[Outgoing] = deque()

    def put(self, message: Outgoing) -> None:
        """Have a retained message sent; an older one of its topic is not."""
        if message.topic not in self._kept and len(self._kept) >= MOST_TOPICS:
            raise ValueError(f"{message.topic} is one topic too many")
        if message.payload:
            self._kept[message.topic] = message
        else:  # it takes what there was away
            self._kept.pop(message.topic, None)
        self._latest.pop(message.topic, None)
        self._latest[message.topic] = message
        self.wake.set()

    def event(self, message: Outgoing) -> None:
        """Have something sent once; where too much waits the oldest is dropped."""
        if len(self._events) >= MOST_EVENTS:
            self._events.popleft()
            self.dropped += 1
        self._events.append(message)
        self.wake.set()

    def again(self) -> None:
        """Have all that is retained sent again: the broker is another one, or has forgotten."""
        for topic, message in self._kept.items():
            self._latest.setdefault(topic, message)
        self.wake.set()

    def take(self) -> Outgoing | None:
        """Return what goes next; None: nothing waits."""
        if self._events:
            return self._events.popleft()
        if self._latest:
            return self._latest.pop(next(iter(self._latest)))
        self.wake.clear()
        return None

    def give_back(self, message: Outgoing) -> None:
        """Take back what was not sent, unless there is a newer one of its topic."""
        if not message.retain:
            self._events.appendleft(message)
        else:
            self._latest.setdefault(message.topic, message)
        self.wake.set()

    @property
    def waiting(self) -> int:
        """How many messages wait."""
        return len(self._latest) + len(self._events)
