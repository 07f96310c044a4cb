"""The messages between core and front, and their encoding.

The core sends snapshots (`SnapshotMessage`) and events (`EventMessage`). The front sends questions (`QuestionMessage`),
and each gets one answer (`AnswerMessage` or `RefusalMessage`). Messages are MessagePack, by msgspec, in `frames`.
msgspec checks types as it decodes, and knows dataclasses. It takes some 10 µs for a snapshot, a tenth of what JSON with
checks of our own would take.

Versions mix: unknown fields are ignored, and every new field has a default. An unknown event is ignored, an unknown
question is refused.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, get_args

import msgspec

from daemon.bridge.snapshot import Snapshot, Struct


class SnapshotMessage(Struct, tag="seen", frozen=True):
    """The state of the core."""

    snapshot: Snapshot


class EventMessage(Struct, tag="happened", frozen=True):
    """An event; the snapshot before it shows its effect. `name` is its class in `hal.printer` or `bridge.events`."""

    name: str
    payload: msgspec.Raw
    dropped: int = 0  # events dropped just before this one


class AnswerMessage(Struct, tag="answered", frozen=True):
    """The answer to a question."""

    id: int
    answer: msgspec.Raw


class RefusalMessage(Struct, tag="refused", frozen=True):
    """The refusal of a question: the name of the error's class, and its text for the user."""

    id: int
    error: str
    text: str


class QuestionMessage(Struct, tag="asked", frozen=True):
    """A question; its answer carries the same `id`.

    Attributes:
        before: when the question expires, in s of CLOCK_MONOTONIC, which all processes of a machine share; None: never.
    """

    id: int
    question: msgspec.Raw
    before: float | None = None


class Hello(Struct, tag="hello", frozen=True):
    """A sign of life of the front."""

    version: str = ""


FromCore = SnapshotMessage | EventMessage | AnswerMessage | RefusalMessage
FromFront = QuestionMessage | Hello


@cache
def _decoder(kind: Any) -> "msgspec.msgpack.Decoder[Any]":
    return msgspec.msgpack.Decoder(kind)


_encoder = msgspec.msgpack.Encoder()

_MIN_INTEGER, _MAX_INTEGER = -(2**63), 2**63 - 1  # those of SQLite; MessagePack has them too


def encode(message: object) -> bytes:
    """Return a message, encoded; invalid Unicode and integers out of range are replaced."""
    try:
        return _encoder.encode(message)
    except (UnicodeEncodeError, OverflowError):
        return _encoder.encode(_make_encodable(msgspec.to_builtins(message)))


def decode(data: bytes | msgspec.Raw, kind: Any) -> Any:
    """Return a decoded value.

    Raises:
        msgspec.DecodeError: the bytes are not of this type.
    """
    try:
        return _decoder(kind).decode(data)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error


def decode_known(data: bytes, kind: Any) -> Any:
    """Return a decoded message; None: a message of another version, unknown here.

    Raises:
        msgspec.DecodeError: the bytes are not a message.
    """
    try:
        return decode(data, kind)
    except msgspec.ValidationError:
        if decode(data, _Tagged).type in _tags(kind):
            raise
        return None


class _Tagged(Struct, frozen=True):
    type: str


def _tags(kind: Any) -> set[object]:
    return {each.__struct_config__.tag for each in get_args(kind)}


def _make_encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, int) and not isinstance(value, bool):
        return min(max(value, _MIN_INTEGER), _MAX_INTEGER)
    if isinstance(value, Mapping):
        return {_make_encodable(key): _make_encodable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_make_encodable(each) for each in value]
    return value
