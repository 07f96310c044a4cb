"""LastFault: why the firmware has halted, kept until a person has seen it: the line may be back in a few seconds."""

from collections.abc import Callable

from daemon.bridge.remote import RemoteCore
from gcode.errors import FirmwareHalted
from gcode.frozen import frozen
from gcode.halt_kind import halt_kind
from hal.printer import ConnectionState, Event, StateChanged

STOPPED = "emergency stop"
"""How the reason of a halt begins that somebody has asked for: what came of it is told elsewhere."""

LONGEST = 500  # characters of what the printer has said


@frozen
class StoredFault:
    """A halt: its date in s, the reason as a sentence, and its kind, as `halt_kind` tells it."""

    at: int
    text: str
    kind: str | None


class LastFault:
    """Follows the connection; `fault` is what nobody has seen yet."""

    def __init__(self, core: RemoteCore, wall: Callable[[], float]) -> None:
        """Prepare; `wall` gives the date."""
        self.fault: StoredFault | None = None
        self._wall = wall
        self._listeners: list[Callable[[], None]] = []
        core.on_event(self._on_event)

    def _on_event(self, event: Event) -> None:
        if not isinstance(event, StateChanged) or event.new is not ConnectionState.FAULT:
            return
        text = str(event.error or "")[:LONGEST]
        if isinstance(event.error, FirmwareHalted) and not text.startswith(STOPPED):
            self.fault = StoredFault(int(self._wall()), text, halt_kind(text))

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call `listener` when somebody has seen it."""
        self._listeners.append(listener)

    def dismiss(self) -> None:
        """Somebody has seen it."""
        self.fault = None
        for listener in self._listeners:
            listener()
