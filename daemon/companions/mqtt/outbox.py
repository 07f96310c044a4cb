"""Messages waiting for the broker: the latest payload of each topic, and a limited number of events."""

import asyncio
from collections import deque

from gcode.frozen import frozen

MAX_EVENTS = 64  # the oldest are dropped
MAX_TOPICS = 64


@frozen
class Outgoing:
    """A message to the broker."""

    topic: str
    payload: str
    retain: bool = True
    qos: int = 0


class BrokerOutbox:
    """The latest retained message of each topic, and a bounded queue of events.

    Attributes:
        wake: set when there is something to send.
        drop_count: number of events that were dropped.
    """

    def __init__(self) -> None:
        self.wake = asyncio.Event()
        self.drop_count = 0
        self._latest: dict[str, Outgoing] = {}
        self._retained_messages: dict[
            str, Outgoing
        ] = {}  # by topic, as the broker should have them; a new connection sends all
        self._events: deque[Outgoing] = deque()

    def put(self, message: Outgoing) -> None:
        """Queue a retained message, replacing an older one of its topic."""
        if message.topic not in self._retained_messages and len(self._retained_messages) >= MAX_TOPICS:
            raise ValueError(f"too many topics: {message.topic}")
        if message.payload:
            self._retained_messages[message.topic] = message
        else:  # an empty payload deletes the topic
            self._retained_messages.pop(message.topic, None)
        self._latest.pop(message.topic, None)
        self._latest[message.topic] = message
        self.wake.set()

    def put_event(self, message: Outgoing) -> None:
        """Queue a message that is sent once; if too many wait, the oldest is dropped."""
        if len(self._events) >= MAX_EVENTS:
            self._events.popleft()
            self.drop_count += 1
        self._events.append(message)
        self.wake.set()

    def requeue_retained(self) -> None:
        """Queue all retained messages again, for a broker that does not have them."""
        for topic, message in self._retained_messages.items():
            self._latest.setdefault(topic, message)
        self.wake.set()

    def take(self) -> Outgoing | None:
        """Return the next message; None: none waits."""
        if self._events:
            return self._events.popleft()
        if self._latest:
            return self._latest.pop(next(iter(self._latest)))
        self.wake.clear()
        return None

    def give_back(self, message: Outgoing) -> None:
        """Put back a message that was not sent, unless there is a newer one of its topic."""
        if not message.retain:
            self._events.appendleft(message)
        else:
            self._latest.setdefault(message.topic, message)
        self.wake.set()

    @property
    def waiting(self) -> int:
        """The number of waiting messages."""
        return len(self._latest) + len(self._events)
