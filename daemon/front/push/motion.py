"""Motion: what clients are told of a print's moves: its height, its tool, and that it homes.

No line of a print is looked at for it. The height is that of the layer which the analysis of the file names at the
place that the printer has acknowledged; tool and homing are what the link remembers anyway (`gcode.modes`).
"""

from typing import TYPE_CHECKING

from daemon.bridge.words import JobState
from daemon.front.events import Notice

if TYPE_CHECKING:
    from daemon.front.front import Front


class Motion:
    """Compares with what it has seen before, each time that it is asked to look."""

    def __init__(self, service: "Front") -> None:
        self._service = service
        self._height: float | None = None
        self._tool = 0
        self._homed = False
        self._told = False  # that the axes are being homed: by a client's command
        service.jobs.subscribe(self._on_job)
        service.events.subscribe(self._on_notice)

    @property
    def height(self) -> float | None:
        """Z of the layer that is printed, in mm, and of the last one after the print; None where that is not known."""
        now = self._service.watch.height()
        return self._height if now is None else now

    def _on_job(self, state: JobState) -> None:
        """Begin anew with each print, from how the one before has left the printer."""
        if state is JobState.STARTING:
            self._height = None
            self.begin()

    def _on_notice(self, notice: Notice) -> None:
        if notice.name == "Home":
            self._told = not self._homed  # seen by the next look, or by a later one where the command has to wait

    def begin(self) -> None:
        """Take things as they are: only what changes from here on is told."""
        modes = self._service.connection.modes
        self._height, self._tool, self._homed = self.height, modes.tool or 0, modes.homed

    def look(self) -> None:
        """Publish what has changed since the last look."""
        self._look_at_height()
        modes, events = self._service.connection.modes, self._service.events
        before, self._homed = self._homed, modes.homed
        if modes.homed and not before and not self._told:
            events.publish("Home", {})
        self._told = self._told and not modes.homed
        old, self._tool = self._tool, modes.tool or 0
        if self._tool != old:
            events.publish("ToolChange", {"old": old, "new": self._tool})

    def _look_at_height(self) -> None:
        old, self._height = self._height, self.height
        if self._height != old:
            self._service.events.publish("ZChange", {"old": old, "new": self._height})
