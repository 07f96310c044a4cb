"""Events: passes events of the front to listeners, by OctoPrint's names. Nothing is stored.

Listeners are called at once, in the order of their subscription; each limits what it stores.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from gcode.frozen import frozen


@frozen
class Notice:
    """An event to pass on.

    Attributes:
        name: of the event, the plug-in or the message.
        payload: its data.
        kind: the kind of OctoPrint's push message: an event, a plug-in's message, or a message of its own.
    """

    name: str
    payload: Mapping[str, Any]
    kind: Literal["event", "plugin", "message"] = "event"


Listener = Callable[[Notice], None]


class Events:
    """Where events are published and listened to."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with each notice; returns a function that ends the subscription."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def publish(self, event: str, payload: Mapping[str, Any]) -> None:
        """Publish an event."""
        self._tell(Notice(event, payload))

    def plugin(self, plugin: str, data: Mapping[str, Any]) -> None:
        """Publish a message of an OctoPrint plug-in."""
        self._tell(Notice(plugin, data, "plugin"))

    def message(self, kind: str, payload: Mapping[str, Any]) -> None:
        """Publish a message of its own kind, such as `timelapse`."""
        self._tell(Notice(kind, payload, "message"))

    def _tell(self, notice: Notice) -> None:
        for listener in tuple(self._listeners):
            listener(notice)
