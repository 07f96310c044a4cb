"""Motion: publishes a print's changes of height and tool, and its homing.

It does not read the lines of the print. The height is that of the layer at the last acknowledged place, by the analysis
of the file. Tool and homing come from the link, which tracks them anyway (`gcode.modes`).
"""

from typing import TYPE_CHECKING

from daemon.bridge.words import JobState
from daemon.front.events import FrontEvent

if TYPE_CHECKING:
    from daemon.front.front import Front


class Motion:
    """Compares height, tool and homing with the last update."""

    def __init__(self, service: "Front") -> None:
        self._service = service
        self._height: float | None = None
        self._tool = 0
        self._homed = False
        self._is_homing_published = False  # Home has been published for a client's command; the axes are not homed yet
        service.jobs.subscribe(self._on_job)
        service.events.subscribe(self._on_front_event)

    @property
    def height(self) -> float | None:
        """Z of the layer being printed or, after the print, of its last layer, in mm; None if it is unknown."""
        now = self._service.watch.height()
        return self._height if now is None else now

    def _on_job(self, state: JobState) -> None:
        """At the beginning of a print, compare with the state in which the previous print left the printer."""
        if state is JobState.STARTING:
            self._height = None
            self.begin()

    def _on_front_event(self, event: FrontEvent) -> None:
        if event.name == "Home":
            # an update publishes nothing for axes that are homed already, so it need not be kept from doing so
            self._is_homing_published = not self._homed

    def begin(self) -> None:
        """Take the current state as the start: only later changes are published."""
        modes = self._service.connection.modes
        self._height, self._tool, self._homed = self.height, modes.tool or 0, modes.homed

    def update(self) -> None:
        """Publish what has changed since the last update."""
        self._publish_height()
        modes, events = self._service.connection.modes, self._service.events
        before, self._homed = self._homed, modes.homed
        if modes.homed and not before and not self._is_homing_published:
            events.publish("Home", {})
        self._is_homing_published = self._is_homing_published and not modes.homed
        old, self._tool = self._tool, modes.tool or 0
        if self._tool != old:
            events.publish("ToolChange", {"old": old, "new": self._tool})

    def _publish_height(self) -> None:
        old, self._height = self._height, self.height
        if self._height != old:
            self._service.events.publish("ZChange", {"old": old, "new": self._height})
