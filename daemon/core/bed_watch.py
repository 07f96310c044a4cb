"""BedWatch: counts what may have put something on the bed. The bed stays clear while the count stays the same."""

import os

from daemon.bridge.words import JobState
from daemon.core.core import Core
from daemon.errors import JobConflict
from hal.printer import Event, PanelPrintChanged, StateChanged


class BedWatch:
    """Keeps the count.

    Attributes:
        count: changes with each print, including those from the SD card, with each extrusion that a client sends, and
            whenever the connection changes its state, because a printer that is not connected may print. It begins at
            a random number, so no count of an earlier core fits.
    """

    def __init__(self, core: Core) -> None:
        self.count = int.from_bytes(os.urandom(4)) >> 1
        self._core = core
        self._last_job: tuple[int | None, int] = (None, 0)  # its id, and the count at its start
        core.connection.subscribe(self._on_printer)
        core.jobs.subscribe(self._on_job)

    def mark_used(self) -> None:
        """Note that something may be on the bed."""
        self.count += 1

    def _on_printer(self, event: Event) -> None:
        if isinstance(event, StateChanged) or (isinstance(event, PanelPrintChanged) and event.print is not None):
            self.mark_used()

    def _on_job(self, state: JobState) -> None:
        if state is JobState.STARTING:
            self.mark_used()
            self._last_job = (self._core.jobs.job_id, self.count)

    def count_after(self, job: int) -> int | None:
        """Return the count that this job left; None: it was not the last job."""
        last, count = self._last_job
        return count if last == job else None

    def require_count(self, count: int | None) -> None:
        """Raise JobConflict unless the count is still `count`; None accepts any count."""
        if count not in (None, self.count):
            raise JobConflict("something may have been put on the bed since it was marked clear")
