"""Events: what happens in the service, by OctoPrint's names for it, told to whoever listens. Nothing is kept here.

Listeners are called at once, in the order in which they came; each bounds for itself what it keeps.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from gcode.frozen import frozen


@frozen
class Notice:
    """Something that happened.

    Attributes:
        name: of the event, of the plug-in, or of the message.
        payload: what is said of it.
        kind: how clients are told, in OctoPrint's terms: as an event, as a message of a plug-in, or as one of its own.
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
        """Call `listener` with each notice; returns the function that ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def publish(self, event: str, payload: Mapping[str, Any]) -> None:
        """Tell everybody of an event."""
        self._tell(Notice(event, payload))

    def plugin(self, plugin: str, data: Mapping[str, Any]) -> None:
        """Tell everybody what OctoPrint's plug-in of this name would say."""
        self._tell(Notice(plugin, data, "plugin"))

    def message(self, kind: str, payload: Mapping[str, Any]) -> None:
        """Send everybody a message of a kind that is neither event nor plug-in's, like `timelapse`."""
        self._tell(Notice(kind, payload, "message"))

    def _tell(self, notice: Notice) -> None:
        for listener in tuple(self._listeners):
            listener(notice)
