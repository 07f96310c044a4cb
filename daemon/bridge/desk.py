"""What the bridge needs of the core, and how a question becomes an answer."""

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
import structlog

from daemon.bridge.events import error_pair
from daemon.bridge.frames import MAX_FRAME
from daemon.bridge.messages import AnswerMessage, QuestionMessage, RefusalMessage, decode, encode
from daemon.bridge.questions import AnyQuestion, Question
from daemon.bridge.snapshot import Snapshot
from daemon.errors import OtherVersion, ServiceError
from gcode.errors import NozzledError
from hal.printer import Event

Listener = Callable[[Event | None], None]
"""Is told of each event, and with None of what has changed without one."""


NOT_UNDERSTOOD = "the core does not understand the question"
MOST_ANSWER = MAX_FRAME - 1024
MOST_TEXT = 2000
"""Bytes of an answer, and characters of a refusal, that may quote what was message."""

log = structlog.get_logger()


def _log(error: Exception) -> None:
    log.error("bridge.question_failed", exc_info=error)


class AnyDesk(Protocol):
    """What tells and does: `daemon.core.desk.Desk`."""

    @property
    def printing(self) -> bool:
        """Something is printed, so that the next snapshot differs though nothing happens."""

    def snapshot(self) -> Snapshot:
        """Return all that there is to tell now."""

    def answer(self, question: Question) -> object | Awaitable[object]:
        """Do what is asked; return the answer, or what has to be awaited for it. Either raises NozzledError."""

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with what happens; returns the function that ends it."""


def answer(
    desk: AnyDesk, message: QuestionMessage, on_bug: Callable[[Exception], None] = _log
) -> bytes | Awaitable[bytes]:
    """Return the desk's answer to a question, or its refusal, as it crosses; or what has to be awaited for it.

    A question that nobody here understands is refused: it comes from a front of another version.

    Args:
        desk: answers.
        message: the question.
        on_bug: is told of an error that is none of the tree's.
    """
    try:
        question: Question = decode(message.question, AnyQuestion)
    except msgspec.DecodeError as error:
        return refused(message, OtherVersion(f"{NOT_UNDERSTOOD}: {error}"))
    try:
        result = desk.answer(question)
    except Exception as error:  # noqa: BLE001 - the one funnel: `_failed` has what is a bug told
        return _failed(message, error, on_bug)
    return _awaited(message, result, on_bug) if isinstance(result, Awaitable) else _encode_answer(message, result)


async def _awaited(message: QuestionMessage, result: Awaitable[object], on_bug: Callable[[Exception], None]) -> bytes:
    try:
        return _encode_answer(message, await result)
    except Exception as error:  # noqa: BLE001 - as above
        return _failed(message, error, on_bug)


def _encode_answer(message: QuestionMessage, result: object) -> bytes:
    told = encode(result)
    if len(told) > MOST_ANSWER:
        return refused(message, ServiceError(f"the answer has {len(told)} bytes; the longest may have {MOST_ANSWER}"))
    return encode(AnswerMessage(id=message.id, answer=msgspec.Raw(told)))


def _failed(message: QuestionMessage, error: Exception, on_bug: Callable[[Exception], None]) -> bytes:
    if isinstance(error, NozzledError):
        return refused(message, error)
    on_bug(error)
    return refused(message, ServiceError("an internal error; the log has more"))


def refused(message: QuestionMessage, error: NozzledError) -> bytes:
    """Return a refusal as it crosses; of a very long text the beginning."""
    name, text = error_pair(error)
    return encode(
        RefusalMessage(id=message.id, error=name, text=text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}…")
    )
