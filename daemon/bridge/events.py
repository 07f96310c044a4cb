"""Events of the printer and the job, and errors, as they cross the bridge."""

from dataclasses import fields
from typing import Any

import msgspec

from daemon import errors as _service
from daemon.bridge.messages import EventMessage, decode, encode
from daemon.bridge.words import JobState
from gcode import errors as _gcode
from gcode.errors import NozzledError
from gcode.frozen import frozen
from hal import errors as _hal
from hal.printer import (
    ActionRequested,
    ConnectionState,
    Event,
    FirmwareSaid,
    LineRefused,
    PanelPrintChanged,
    PositionRead,
    StateChanged,
    StopEnded,
    TemperaturesRead,
)


@frozen
class JobChanged(Event):
    """The job has a new state, or there is a new job."""

    state: JobState


@frozen
class SafetyBroken(Event):
    """A safety rule is broken; `trouble` says which, in a sentence."""

    trouble: str


_KINDS: dict[str, type[Event]] = {
    kind.__name__: kind
    for kind in (
        ActionRequested,
        FirmwareSaid,
        JobChanged,
        LineRefused,
        PanelPrintChanged,
        PositionRead,
        SafetyBroken,
        StateChanged,
        StopEnded,
        TemperaturesRead,
    )
}

_ERROR_MODULES = (_service, _hal, _gcode)


def event_message(event: Event, dropped: int = 0) -> EventMessage | None:
    """Return the message for an event; None: the event is not for the front."""
    name = type(event).__name__
    if name not in _KINDS:
        return None
    payload = {each.name: _encode_value(getattr(event, each.name)) for each in fields(event)}
    return EventMessage(name=name, payload=msgspec.Raw(encode(payload)), dropped=dropped)


def event_of(message: EventMessage) -> Event | None:
    """Return the event of a message; None: an event of another version, unknown here."""
    kind = _KINDS.get(message.name)
    if kind is None:
        return None
    try:
        return _event_of(decode(message.payload, dict[str, Any]), kind)
    except msgspec.DecodeError:
        return None


def _event_of(payload: dict[str, Any], kind: type[Event]) -> Event:
    if kind is StateChanged:
        changed = msgspec.convert(payload, _StateChanged)
        return StateChanged(changed.old, changed.new, error_of(*changed.error) if changed.error else None)
    event: Event = msgspec.convert(payload, kind)
    return event


class _StateChanged(msgspec.Struct):
    old: ConnectionState
    new: ConnectionState
    error: tuple[str, str] | None = None


def _encode_value(value: object) -> object:
    return error_pair(value) if isinstance(value, NozzledError) else value


def error_pair(error: NozzledError) -> tuple[str, str]:
    """Return an error as it crosses the bridge: the name of its class, and its text."""
    return type(error).__name__, str(error)


def error_of(name: str, text: str) -> NozzledError:
    """Return the error of a pair; a ServiceError if its class is unknown here."""
    kind = _find_error_class(name) or _service.ServiceError
    try:
        return kind(text)
    except TypeError:  # a class of the front's, which takes more than a text
        return _service.ServiceError(text)


def _find_error_class(name: str) -> type[NozzledError] | None:
    """Return the error class of this name; None: there is none."""
    for module in _ERROR_MODULES:
        kind = vars(module).get(name)
        if isinstance(kind, type) and issubclass(kind, NozzledError):
            return kind
    return None
