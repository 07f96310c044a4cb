"""Decodes the messages of a core of another version, as far as this version knows their fields.

A field with an unknown value or type counts as not sent, and has its default; an unknown state of job or connection is
replaced by a known one. So if a number has become a text, the front loses that field and not its connection.
"""

import dataclasses
import types
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

_SUBSTITUTES: Mapping[type[Enum], Enum] = {JobState: JobState.PRINTING, ConnectionState: ConnectionState.HANDSHAKING}
"""The states that stand for an unknown one: a job in progress, a connection that cannot be used yet."""


def decode_from_core(data: bytes) -> SnapshotMessage | EventMessage | AnswerMessage | RefusalMessage | None:
    """Return a message of the core; None: it is unknown here.

    Raises:
        msgspec.DecodeError: it is not a message.
    """
    try:
        message: SnapshotMessage | EventMessage | AnswerMessage | RefusalMessage | None = decode_known(data, FromCore)
    except msgspec.ValidationError:
        plain = decode(data, dict[str, Any])
        if plain.get("type") != "seen":  # the tag of SnapshotMessage
            raise
        return SnapshotMessage(snapshot=convert_known(plain.get("snapshot"), Snapshot))
    return message


def answer_of(reply: AnswerMessage | RefusalMessage, question: Question) -> Any:
    """Return the answer to a question.

    Raises:
        NozzledError: the question was refused, or its answer is of another type.
    """
    if isinstance(reply, RefusalMessage):
        if reply.text.startswith(NOT_UNDERSTOOD):  # early versions had no class for this refusal
            raise OtherVersion(f"{reply.text}; the core is of another version: restart nozzled.service")
        raise error_of(reply.error, reply.text)
    try:
        return decode(reply.answer, type(question).answer)
    except msgspec.DecodeError as error:
        raise OtherVersion(
            f"the core is of another version, and its answer has another type: {error}; restart nozzled.service"
        ) from error


def convert_known(value: Any, kind: type[T]) -> T:
    """Return a value converted to a type; fields that do not fit are left out.

    Raises:
        msgspec.ValidationError: the value cannot be converted at all.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        if kind in _SUBSTITUTES:
            return _SUBSTITUTES[kind]  # type: ignore[index,return-value]  # it is an Enum then
        if isinstance(value, Mapping) and _has_fields(kind):
            return _convert_fields(value, kind)
        if isinstance(kind, types.UnionType):
            result: T = convert_known(value, next(each for each in get_args(kind) if each is not types.NoneType))
            return result
        raise


def _has_fields(kind: Any) -> bool:
    return dataclasses.is_dataclass(kind) or (isinstance(kind, type) and issubclass(kind, msgspec.Struct))


def _names_on_the_bridge(kind: Any) -> dict[str, str]:
    """Return the names under which the fields of a type are sent, where msgspec knows them."""
    if not issubclass(kind, msgspec.Struct):
        return {}
    return {field.name: field.encode_name for field in msgspec.structs.fields(kind)}


def _convert_fields(value: Mapping[str, Any], kind: type[T]) -> T:
    fields = {}
    sent_names = _names_on_the_bridge(kind)
    for name, inner in get_type_hints(kind).items():
        sent_name = sent_names.get(name, name)
        if sent_name in value:
            try:
                fields[name] = convert_known(value[sent_name], inner)
            except msgspec.ValidationError:
                continue
    try:
        return kind(**fields)
    except TypeError as error:  # a field without a default is missing
        raise msgspec.ValidationError(str(error)) from error
