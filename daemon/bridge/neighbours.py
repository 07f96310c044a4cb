"""What a core of another version tells, as far as this version understands it.

A field that makes no sense here counts as one that was not sent: the default stands in for it. So a state that is new,
or a number that has become a text, costs the front that field, and not the bridge.
"""

import dataclasses
from collections.abc import Mapping
from enum import Enum
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec

from daemon.bridge.desk import NOT_UNDERSTOOD
from daemon.bridge.events import error_of
from daemon.bridge.messages import (
    AnswerMessage,
    EventMessage,
    FromCore,
    RefusalMessage,
    SnapshotMessage,
    decode,
    decode_known,
)
from daemon.bridge.questions import Question
from daemon.bridge.snapshot import Snapshot
from daemon.bridge.words import JobState
from daemon.errors import OtherVersion
from hal.printer import ConnectionState

T = TypeVar("T")

_INSTEAD: Mapping[type[Enum], Enum] = {JobState: JobState.PRINTING, ConnectionState: ConnectionState.HANDSHAKING}
"""What a new state is taken for: a job that goes on, a line that is not to be used yet."""


def decode_from_core(data: bytes) -> SnapshotMessage | EventMessage | AnswerMessage | RefusalMessage | None:
    """Return what the core has said; None: nobody here has heard of such a thing.

    Raises:
        msgspec.DecodeError: it makes no sense.
    """
    try:
        said: SnapshotMessage | EventMessage | AnswerMessage | RefusalMessage | None = decode_known(data, FromCore)
    except msgspec.ValidationError:
        told = decode(data, dict[str, Any])
        if told.get("type") != "seen":
            raise
        return SnapshotMessage(snapshot=understood(told.get("snapshot"), Snapshot))
    return said


def answer_of(said: AnswerMessage | RefusalMessage, question: Question) -> Any:
    """Return the answer to a question.

    Raises:
        NozzledError: it was refused; or what was answered is not what was asked for.
    """
    if isinstance(said, RefusalMessage):
        if said.text.startswith(NOT_UNDERSTOOD):  # its first versions had no class for it
            raise OtherVersion(said.text)
        raise error_of(said.error, said.text)
    wanted = type(question).answer
    try:
        return decode(said.answer, wanted)
    except msgspec.DecodeError as error:
        raise OtherVersion(f"the core answers something else, it is of another version: {error}") from error


def understood(value: Any, kind: type[T]) -> T:
    """Return a value of a type, without those of its fields that are none of theirs.

    Raises:
        msgspec.ValidationError: there is nothing left of it.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        if kind in _INSTEAD:
            return _INSTEAD[kind]  # type: ignore[index,return-value]  # it is an Enum then
        if isinstance(value, Mapping) and _has_fields(kind):
            return _of_fields(value, kind)
        if choices := [each for each in get_args(kind) if each is not type(None)]:
            result: T = understood(value, choices[0])
            return result
        raise


def _has_fields(kind: Any) -> bool:
    return dataclasses.is_dataclass(kind) or (isinstance(kind, type) and issubclass(kind, msgspec.Struct))


def _of_fields(value: Mapping[str, Any], kind: type[T]) -> T:
    fields = {}
    for name, inner in get_type_hints(kind).items():
        if name in value:
            try:
                fields[name] = understood(value[name], inner)
            except msgspec.ValidationError:
                continue
    try:
        return kind(**fields)
    except TypeError as error:  # one is missing that every version has
        raise msgspec.ValidationError(str(error)) from error
