"""What happens at the printer and to the job, as it crosses the bridge."""

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
    """A rule of safety is broken; says which."""

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

_TREES = (_service, _hal, _gcode)  # where the tree of errors is written down


def event_message(event: Event, dropped: int = 0) -> EventMessage | None:
    """Return an event as it crosses; None: it is nothing for the front."""
    name = type(event).__name__
    if name not in _KINDS:
        return None
    payload = {each.name: _crossing(getattr(event, each.name)) for each in fields(event)}
    return EventMessage(name=name, payload=msgspec.Raw(encode(payload)), dropped=dropped)


def event_of(message: EventMessage) -> Event | None:
    """Return the event that crossed; None: a core of another version tells of something that is not known here."""
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


def _crossing(value: object) -> object:
    return error_pair(value) if isinstance(value, NozzledError) else value


def error_pair(error: NozzledError) -> tuple[str, str]:
    """Return an error as it crosses: the name of its class, and its sentence."""
    return type(error).__name__, str(error)


def error_of(name: str, text: str) -> NozzledError:
    """Return the error that crossed; where its class is not known here, one of the service."""
    kind = _named(name) or _service.ServiceError
    try:
        return kind(text)
    except TypeError:  # one of the front's own, that says more than a sentence
        return _service.ServiceError(text)


def _named(name: str) -> type[NozzledError] | None:
    """Return the class of this name; the client library has one of the same name as a printer's."""
    for module in _TREES:
        kind = vars(module).get(name)
        if isinstance(kind, type) and issubclass(kind, NozzledError):
            return kind
    return None
