"""The bridge within one process, for tests on the virtual clock. Messages are encoded and decoded as on a socket."""

import asyncio
from contextlib import suppress
from typing import Any

from daemon.bridge.desk import AnyDesk, Listener, answer
from daemon.bridge.events import event_message, event_of
from daemon.bridge.messages import (
    AnswerMessage,
    EventMessage,
    FromCore,
    FromFront,
    QuestionMessage,
    RefusalMessage,
    SnapshotMessage,
    decode,
    encode,
)
from daemon.bridge.other_version import answer_of, decode_from_core
from daemon.bridge.questions import Question, encode_question
from daemon.bridge.snapshot import Snapshot
from hal.printer import Event


def _turn() -> object:
    """Return an object that is different in each turn of the virtual clock's loop; None on other loops."""
    with suppress(RuntimeError):  # no loop runs
        return getattr(asyncio.get_running_loop(), "turn", None)
    return None


class MemoryChannel:
    """A channel to a core in the same process; a snapshot is at most one turn of the event loop old."""

    def __init__(self, desk: AnyDesk) -> None:
        self._desk = desk
        self._number = 0  # of the last question
        self._listeners: list[Listener] = []
        self._snapshot: Snapshot | None = None
        self._turn: object = None  # in which the snapshot was made: an answer reads dozens of its values
        desk.subscribe(self._on_event)

    def latest(self) -> Snapshot:
        """Return the core's present state."""
        turn = _turn()
        if self._snapshot is None or turn is None or turn is not self._turn:
            message: SnapshotMessage = decode(encode(SnapshotMessage(snapshot=self._desk.snapshot())), FromCore)
            self._snapshot, self._turn = message.snapshot, turn
        return self._snapshot

    def _forget(self) -> None:
        self._snapshot = None

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with each event, and with None for a change without one."""
        self._listeners.append(listener)

    async def ask(self, question: Question) -> Any:
        """Return the core's answer."""
        self._number += 1
        message: QuestionMessage = decode(encode_question(self._number, question), FromFront)
        answering = answer(self._desk, message)
        self._forget()  # answering may change the state
        reply = decode_from_core(answering if isinstance(answering, bytes) else await answering)
        if not isinstance(reply, AnswerMessage | RefusalMessage):
            raise TypeError(reply)
        return answer_of(reply, question)

    def _on_event(self, event: Event | None) -> None:
        if event is None:
            decoded = None
        else:
            message = event_message(event)
            crossed: EventMessage | None = decode(encode(message), FromCore) if message is not None else None
            decoded = event_of(crossed) if crossed is not None else None
        self._forget()
        for listener in tuple(self._listeners):
            listener(decoded)
        self._forget()  # a listener may have asked for something
