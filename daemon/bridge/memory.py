"""The bridge within one process, for tests and the virtual clock: what crosses is encoded and decoded all the same."""

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
    """A channel whose core is in the same process: what it sees is never old."""

    def __init__(self, desk: AnyDesk) -> None:
        self._desk = desk
        self._asked = 0
        self._listeners: list[Listener] = []
        self._telling = False
        self._told: Snapshot | None = None  # while it tells of something: what is then, which each listener asks for
        desk.subscribe(self._on_event)

    def latest(self) -> Snapshot:
        """Return what is now."""
        if self._told is not None:
            return self._told
        seen: SnapshotMessage = decode(encode(SnapshotMessage(snapshot=self._desk.snapshot())), FromCore)
        if self._telling:
            self._told = seen.snapshot
        return seen.snapshot

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with what happens."""
        self._listeners.append(listener)

    async def ask(self, question: Question) -> Any:
        """Return the core's answer."""
        self._asked += 1
        self._telling, self._told = False, None  # the answer may change what is
        sent: QuestionMessage = decode(encode_question(self._asked, question), FromFront)
        answering = answer(self._desk, sent)
        reply = decode_from_core(answering if isinstance(answering, bytes) else await answering)
        if not isinstance(reply, AnswerMessage | RefusalMessage):
            raise TypeError(reply)
        return answer_of(reply, question)

    def _on_event(self, event: Event | None) -> None:
        if event is None:
            told = None
        else:
            message = event_message(event)
            crossed: EventMessage | None = decode(encode(message), FromCore) if message is not None else None
            told = event_of(crossed) if crossed is not None else None
        self._telling, self._told = True, None
        try:
            for listener in tuple(self._listeners):
                listener(told)
        finally:
            self._telling, self._told = False, None
