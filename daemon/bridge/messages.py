"""What core and front say to each other.

The core tells what is (`SnapshotMessage`) and what happens (`EventMessage`), the front asks (`QuestionMessage`), and
each question has one answer (`AnswerMessage` or `RefusalMessage`). On the wire each is MessagePack by msgspec, in a
frame of four bytes of length, highest first, and so many bytes: it checks types as it decodes, takes the dataclasses
that there are, and costs some 10 µs for all that is known, a tenth of what JSON and a check by hand would.

Neighbours of other versions understand each other: fields that are not known are ignored, and each field that comes
new has a default. A question or an event that the other end has never heard of is one of no consequence.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, get_args

import msgspec

from daemon.bridge.snapshot import Snapshot, Struct


class SnapshotMessage(Struct, tag="seen", frozen=True):
    """What is now."""

    snapshot: Snapshot


class EventMessage(Struct, tag="happened", frozen=True):
    """Something that happened since the last snapshot, by the name of its class in `hal.printer` or `bridge.events`."""

    name: str
    payload: msgspec.Raw
    dropped: int = 0  # events before this one that the front was too slow for


class AnswerMessage(Struct, tag="answered", frozen=True):
    """The answer to a question."""

    id: int
    answer: msgspec.Raw


class RefusalMessage(Struct, tag="refused", frozen=True):
    """A question that was refused: by which error, and its sentence for the user."""

    id: int
    error: str
    text: str


class QuestionMessage(Struct, tag="asked", frozen=True):
    """A question, and the number by which its answer is known again.

    Attributes:
        before: of the clock that all processes of a machine share (CLOCK_MONOTONIC), in s: later it is refused, as
            nobody waits for it any more; None: it is never too late.
    """

    id: int
    question: msgspec.Raw
    before: float | None = None


class Hello(Struct, tag="hello", frozen=True):
    """The first words of a front."""

    version: str = ""


FromCore = SnapshotMessage | EventMessage | AnswerMessage | RefusalMessage
FromFront = QuestionMessage | Hello


@cache
def _decoder(kind: Any) -> "msgspec.msgpack.Decoder[Any]":
    return msgspec.msgpack.Decoder(kind)


_encoder = msgspec.msgpack.Encoder()

_SMALLEST, _LARGEST = -(2**63), 2**63 - 1  # whole numbers that cross, and that a database takes


def encode(message: object) -> bytes:
    """Return a message as it crosses; text that is no Unicode, and endless numbers, are mended: it never fails."""
    try:
        return _encoder.encode(message)
    except (UnicodeEncodeError, OverflowError):
        return _encoder.encode(_mended(msgspec.to_builtins(message)))


def decode(data: bytes | msgspec.Raw, kind: Any) -> Any:
    """Return what was said.

    Raises:
        msgspec.DecodeError: it is no message of this kind.
    """
    try:
        return _decoder(kind).decode(data)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error


def decode_known(data: bytes, kind: Any) -> Any:
    """Return what was said; None: a neighbour of another version says something that nobody here has heard of.

    Raises:
        msgspec.DecodeError: it makes no sense.
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


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, int) and not isinstance(value, bool):
        return min(max(value, _SMALLEST), _LARGEST)
    if isinstance(value, Mapping):
        return {_mended(key): _mended(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_mended(each) for each in value]
    return value
