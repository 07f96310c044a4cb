"""What the bridge needs of the core, and how a question becomes an answer."""

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
import structlog

from daemon.bridge.happenings import error_told
from daemon.bridge.messages import Answered, Asked, Refused, decode, encode
from daemon.bridge.questions import AnyQuestion, Question
from daemon.bridge.seen import Snapshot
from daemon.errors import ServiceError
from gcode.errors import NozzledError
from hal.printer import Event

Listener = Callable[[Event | None], None]
"""Is told of each event, and with None of what has changed without one."""


log = structlog.get_logger()


class Desk(Protocol):
    """What tells and does: `daemon.core.desk.Desk`."""

    @property
    def goes_on(self) -> bool:
        """Something is printed, so that the next snapshot differs though nothing happens."""

    def snapshot(self) -> Snapshot:
        """Return all that there is to tell now."""

    def answer(self, question: Question) -> object | Awaitable[object]:
        """Do what is asked; return the answer, or what has to be awaited for it. Either raises NozzledError."""

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with what happens; returns the function that ends it."""


def answer(desk: Desk, asked: Asked) -> bytes | Awaitable[bytes]:
    """Return the desk's answer to a question, or its refusal, as it crosses; or what has to be awaited for it.

    Raises:
        msgspec.MsgspecError: it is no question.
    """
    try:
        question: Question = decode(asked.question, AnyQuestion)
    except msgspec.ValidationError as error:  # of a front that is newer
        return _refused(asked, ServiceError(f"the core has no answer to this, it is of another version: {error}"))
    try:
        result = desk.answer(question)
    except Exception as error:  # noqa: BLE001 - the one funnel: `_refused` logs what is a bug
        return _refused(asked, error)
    return _awaited(asked, result) if isinstance(result, Awaitable) else _answered(asked, result)


async def _awaited(asked: Asked, result: Awaitable[object]) -> bytes:
    try:
        return _answered(asked, await result)
    except Exception as error:  # noqa: BLE001 - as above
        return _refused(asked, error)


def _answered(asked: Asked, result: object) -> bytes:
    return encode(Answered(id=asked.id, answer=msgspec.Raw(encode(result))))


def _refused(asked: Asked, error: Exception) -> bytes:
    if not isinstance(error, NozzledError):
        log.error("bridge.question_failed", exc_info=error)
        error = ServiceError("an internal error; the log has more")
    name, text = error_told(error)
    return encode(Refused(id=asked.id, error=name, text=text))
