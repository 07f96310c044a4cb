"""The bridge within one process, for tests and the virtual clock: what crosses is encoded and decoded all the same."""

from typing import Any

import msgspec

from daemon.bridge.desk import Desk, Listener, answer
from daemon.bridge.happenings import error_of, event_of, happened
from daemon.bridge.messages import (
    Asked,
    FromCore,
    FromFront,
    Happened,
    Refused,
    Seen,
    decode,
    encode,
)
from daemon.bridge.questions import Question
from daemon.bridge.seen import Snapshot
from hal.printer import Event


class InMemory:
    """A channel whose core is in the same process: what it sees is never old."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._asked = 0
        self._listeners: list[Listener] = []
        desk.subscribe(self._on_event)

    def latest(self) -> Snapshot:
        """Return what is now."""
        seen: Seen = decode(encode(Seen(snapshot=self._desk.snapshot())), FromCore)
        return seen.snapshot

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with what happens."""
        self._listeners.append(listener)

    async def ask(self, question: Question) -> Any:
        """Return the core's answer."""
        self._asked += 1
        sent = encode(Asked(id=self._asked, question=msgspec.Raw(encode(question))))
        asked: Asked = decode(sent, FromFront)
        answering = answer(self._desk, asked)
        reply = decode(answering if isinstance(answering, bytes) else await answering, FromCore)
        if isinstance(reply, Refused):
            raise error_of(reply.error, reply.text)
        return decode(reply.answer, type(question).answer)

    def _on_event(self, event: Event | None) -> None:
        if event is None:
            told = None
        else:
            message = happened(event)
            if message is None:
                return
            crossed: Happened = decode(encode(message), FromCore)
            told = event_of(crossed)
        for listener in tuple(self._listeners):
            listener(told)
