"""What the bridge needs from the core, and how a question is answered."""

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
"""Called with each event, and with None for a change without one."""

NOT_UNDERSTOOD = "the core does not understand the question"
MAX_ANSWER = MAX_FRAME - 1024  # bytes
MAX_REFUSAL = 2000  # characters: a refusal may quote its question
MAX_OPEN = 32  # questions that are being answered, of all fronts together

log = structlog.get_logger()


def _log(error: Exception) -> None:
    log.error("bridge.question_failed", exc_info=error)


class AnyDesk(Protocol):
    """The core, as the bridge uses it: `daemon.core.desk.Desk`."""

    @property
    def printing(self) -> bool:
        """Something is being printed, so the next snapshot differs even without an event."""

    def snapshot(self) -> Snapshot:
        """Return the core's present state."""

    def answer(
        self, question: Question, *, may_wait: bool = True, expires_at: float | None = None
    ) -> object | Awaitable[object]:
        """Return the answer, or an awaitable for it. Either raises NozzledError.

        Args:
            question: to be answered.
            may_wait: the answer may take longer than this turn of the loop; otherwise QueueFull is raised if it does.
            expires_at: s of the loop after which a print must not begin; None: it may always begin.
        """

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with each event, and with None for a change without one; return what unsubscribes it."""


def answer(
    desk: AnyDesk, message: QuestionMessage, on_bug: Callable[[Exception], None] = _log, *, may_wait: bool = True
) -> bytes | Awaitable[bytes]:
    """Return the desk's answer to a question, or its refusal, encoded; or an awaitable for it.

    An unknown question is refused: it comes from a front of another version.

    Args:
        desk: answers.
        message: the question.
        on_bug: called with an error that is not a NozzledError.
        may_wait: the answer may take longer; otherwise a question whose answer takes longer is refused.
    """
    try:
        question: Question = decode(message.question, AnyQuestion)
    except msgspec.DecodeError as error:
        return refusal(message, OtherVersion(f"{NOT_UNDERSTOOD}: {error}"))
    try:
        result = desk.answer(question, may_wait=may_wait, expires_at=message.before)
    except Exception as error:  # noqa: BLE001 - `_refusal_for` reports bugs
        return _refusal_for(message, error, on_bug)
    return _answer_later(message, result, on_bug) if isinstance(result, Awaitable) else _encode_answer(message, result)


async def _answer_later(
    message: QuestionMessage, result: Awaitable[object], on_bug: Callable[[Exception], None]
) -> bytes:
    try:
        return _encode_answer(message, await result)
    except Exception as error:  # noqa: BLE001 - as above
        return _refusal_for(message, error, on_bug)


def _encode_answer(message: QuestionMessage, result: object) -> bytes:
    data = encode(result)
    if len(data) > MAX_ANSWER:
        return refusal(message, ServiceError(f"the answer has {len(data)} bytes; at most {MAX_ANSWER} are allowed"))
    return encode(AnswerMessage(id=message.id, answer=msgspec.Raw(data)))


def _refusal_for(message: QuestionMessage, error: Exception, on_bug: Callable[[Exception], None]) -> bytes:
    if isinstance(error, NozzledError):
        return refusal(message, error)
    on_bug(error)
    return refusal(message, ServiceError("an internal error; the log has more"))


def refusal(message: QuestionMessage, error: NozzledError) -> bytes:
    """Return a refusal, encoded; its text is cut to MAX_REFUSAL."""
    name, text = error_pair(error)
    return encode(
        RefusalMessage(id=message.id, error=name, text=text if len(text) <= MAX_REFUSAL else f"{text[:MAX_REFUSAL]}…")
    )
