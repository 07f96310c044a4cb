"""Events: passes events of the front to listeners, by OctoPrint's names. Nothing is stored.

Listeners are called at once, in the order of their subscription; each limits what it stores.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from gcode.frozen import frozen


@frozen
class FrontEvent:
    """An event of the front.

    Attributes:
        name: of the event, the plug-in or the message.
        payload: its data.
        kind: how clients get it: as an event of OctoPrint, as the message of a plug-in, or as a message under its name.
    """

    name: str
    payload: Mapping[str, Any]
    kind: Literal["event", "plugin", "message"] = "event"


Listener = Callable[[FrontEvent], None]


class Events:
    """Where events are published and listened to."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with each event; return a function that ends the subscription."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def publish(self, event: str, payload: Mapping[str, Any]) -> None:
        """Publish an event."""
        self._notify(FrontEvent(event, payload))

    def publish_plugin(self, plugin: str, data: Mapping[str, Any]) -> None:
        """Publish a message of an OctoPrint plug-in."""
        self._notify(FrontEvent(plugin, data, "plugin"))

    def publish_message(self, name: str, payload: Mapping[str, Any]) -> None:
        """Publish a message that clients get under this name, such as `timelapse`."""
        self._notify(FrontEvent(name, payload, "message"))

    def _notify(self, event: FrontEvent) -> None:
        for listener in tuple(self._listeners):
            listener(event)
