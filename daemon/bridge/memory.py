"""The bridge within one process, for tests and the virtual clock: what crosses is encoded and decoded all the same."""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from daemon.bridge.happenings import error_of, error_told, event_of, happened
from daemon.bridge.messages import (
    Answered,
    Asked,
    FromCore,
    FromFront,
    Happened,
    Refused,
    Seen,
    decode,
    encode,
)
from daemon.bridge.questions import AnyQuestion, Question
from daemon.bridge.seen import Snapshot
from gcode.errors import NozzledError
from hal.printer import Event

Listener = Callable[[Event | None], None]


class Desk(Protocol):
    """What is needed of the core: `daemon.core.desk.Desk`."""

    @property
    def goes_on(self) -> bool:
        """Something is printed, so that the next snapshot differs though nothing happens."""

    def snapshot(self) -> Snapshot:
        """Return all that there is to tell now."""

    async def answer(self, question: Question) -> object:
        """Do what is asked, and return the answer; raises NozzledError."""

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with what happens, None for a change without an event; returns what ends it."""


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
        reply = decode(await answer(self._desk, asked), FromCore)
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


async def answer(desk: Desk, asked: Asked) -> bytes:
    """Return the desk's answer to a question, or its refusal, as it crosses.

    Raises:
        msgspec.MsgspecError: it is no question.
    """
    try:
        question: Question = decode(asked.question, AnyQuestion)
        result = await desk.answer(question)
    except NozzledError as error:
        name, text = error_told(error)
        return encode(Refused(id=asked.id, error=name, text=text))
    return encode(Answered(id=asked.id, answer=msgspec.Raw(encode(result))))
