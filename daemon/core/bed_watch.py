"""Counts what may have put something on the bed: a word that it is clear holds as long as that is certain."""

import os

from daemon.bridge.words import JobState
from daemon.core.core import Core
from daemon.errors import JobConflict
from hal.printer import Event, PanelPrintChanged, StateChanged


class BedWatch:
    """The count.

    Attributes:
        count: another number after each print of whoever, and after each time that the line was not there, as nobody
            knows what the printer does then. It begins anywhere: another run of the core has seen nothing of this one.
    """

    def __init__(self, core: Core) -> None:
        self.count = int.from_bytes(os.urandom(4)) >> 1
        self._core = core
        self._job: tuple[int | None, int] = (None, 0)  # the last one, and the count since it began
        core.connection.subscribe(self._on_printer)
        core.jobs.subscribe(self._on_job)

    def touched(self) -> None:
        """Take note that something may be on the bed."""
        self.count += 1

    def _on_printer(self, event: Event) -> None:
        if isinstance(event, StateChanged) or (isinstance(event, PanelPrintChanged) and event.print is not None):
            self.touched()

    def _on_job(self, state: JobState) -> None:
        if state is JobState.STARTING:
            self.touched()
            self._job = (self._core.jobs.job_id, self.count)

    def of_job(self, job: int) -> int | None:
        """Return the count as it is as long as nothing came behind this job; None: it is not the last one."""
        number, count = self._job
        return count if number == job else None

    def require(self, count: int | None) -> None:
        """Refuse what wants the bed as it was at this count, None: as it is; raises JobConflict."""
        if count not in (None, self.count):
            raise JobConflict("something may have been put on the bed since it was said to be clear")
