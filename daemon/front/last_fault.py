"""LastFault: why the firmware halted. A user has to dismiss it, as the printer may be ready again within seconds."""

from collections.abc import Callable

from daemon.bridge.remote import RemoteCore
from gcode.errors import FirmwareHalted
from gcode.frozen import frozen
from gcode.halt_kind import HaltKind, halt_kind
from hal.printer import ConnectionState, Event, StateChanged

STOP_REASON = "emergency stop"
"""The beginning of the reason for a halt by a user's emergency stop, which clients show in another way."""

MAX_TEXT = 500  # characters


@frozen
class StoredFault:
    """A halt: its Unix time in s, the reason as a sentence, and its kind by `halt_kind`."""

    at: int
    text: str
    kind: HaltKind | None


class LastFault:
    """Follows the connection; `fault` is the last halt, until it is dismissed."""

    def __init__(self, core: RemoteCore, wall: Callable[[], float]) -> None:
        """Prepare; `wall` returns the Unix time in s."""
        self.fault: StoredFault | None = None
        self._wall = wall
        self._listeners: list[Callable[[], None]] = []
        core.on_event(self._on_event)

    def _on_event(self, event: Event) -> None:
        if not isinstance(event, StateChanged) or event.new is not ConnectionState.FAULT:
            return
        text = str(event.error or "")[:MAX_TEXT]
        if isinstance(event.error, FirmwareHalted) and not text.startswith(STOP_REASON):
            self.fault = StoredFault(int(self._wall()), text, halt_kind(text))

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call `listener` when the fault is dismissed."""
        self._listeners.append(listener)

    def dismiss(self) -> None:
        """Forget the fault: a user has read it."""
        self.fault = None
        for listener in self._listeners:
            listener()
