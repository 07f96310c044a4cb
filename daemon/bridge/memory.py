"""The bridge within one process, for tests on the virtual clock. Messages are encoded and decoded as on a socket."""

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
from daemon.bridge.neighbours import answer_of, decode_from_core
from daemon.bridge.questions import Question, encode_question
from daemon.bridge.snapshot import Snapshot
from hal.printer import Event


class InMemory:
    """A channel to a core in the same process; its snapshots are never old."""

    def __init__(self, desk: AnyDesk) -> None:
        self._desk = desk
        self._number = 0  # of the last question
        self._listeners: list[Listener] = []
        self._notifying = False
        self._snapshot: Snapshot | None = None  # while listeners are called: the one that each of them gets
        desk.subscribe(self._on_event)

    def latest(self) -> Snapshot:
        """Return the core's present state."""
        if self._snapshot is not None:
            return self._snapshot
        message: SnapshotMessage = decode(encode(SnapshotMessage(snapshot=self._desk.snapshot())), FromCore)
        if self._notifying:
            self._snapshot = message.snapshot
        return message.snapshot

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with each event, and with None for a change without one."""
        self._listeners.append(listener)

    async def ask(self, question: Question) -> Any:
        """Return the core's answer."""
        self._number += 1
        self._notifying, self._snapshot = False, None  # answering may change the state
        sent: QuestionMessage = decode(encode_question(self._number, question), FromFront)
        answering = answer(self._desk, sent)
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
        self._notifying, self._snapshot = True, None
        try:
            for listener in tuple(self._listeners):
                listener(decoded)
        finally:
            self._notifying, self._snapshot = False, None
