"""SlowCrashes: a service that keeps crashing before its printer answers gives up, so that its heaters are turned off.

systemd counts starts within half a minute (StartLimitBurst=). A process that dies after four seconds, or hangs until
the watchdog ends it after ten, never reaches that limit, and its heaters stay on. So each start leaves a mark in the
runtime directory. An acknowledged line or an orderly end removes the marks; if there are too many, the service
gives up.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from daemon.errors import KeepsCrashing
from daemon.set_aside import make_way
from hal.printer import ConnectionState, Event, StateChanged

FILE = "starts"
MAX_CRASHES = 5
CRASH_PERIOD = 600.0
"""After MAX_CRASHES crashes within CRASH_PERIOD seconds the service gives up."""

MAX_MARK_S = 1e12
"""Seconds; a greater number is not a mark, and might not fit into a float."""


class SlowCrashes:
    """The marks of recent starts, a few bytes in memory: the runtime directory is a tmpfs."""

    def __init__(self, folder: Path | None, clock: Callable[[], float]) -> None:
        """Keep the marks in `folder`; None: count nothing. `clock` counts seconds since the boot."""
        self._path = folder / FILE if folder is not None else None
        self._clock = clock

    def mark_start(self) -> None:
        """Leave the mark of this start.

        Raises:
            KeepsCrashing: earlier starts have left too many marks.
        """
        if self._path is None:
            return
        make_way(self._path, "the count of starts begins again")
        now = self._clock()
        marks = [mark for mark in self._read(self._path) if 0 <= now - mark < CRASH_PERIOD]
        if len(marks) >= MAX_CRASHES:
            raise KeepsCrashing(
                f"the service has ended {len(marks)} times within {CRASH_PERIOD / 60:g} min, each time before the "
                "printer answered: it gives up, and the heaters are turned off"
            )
        with suppress(OSError):  # the tmpfs is full: only systemd's limit remains
            self._path.write_text(json.dumps([*marks, now]))

    def remove_marks(self) -> None:
        """Remove the marks: the printer has answered, or this process ends as it should."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def on_event(self, event: Event) -> None:
        """Remove the marks when the printer is ready: it has acknowledged a line."""
        if isinstance(event, StateChanged) and event.new is ConnectionState.READY:
            self.remove_marks()

    @staticmethod
    def _read(path: Path) -> list[float]:
        try:
            content = json.loads(path.read_text())
        except (OSError, ValueError, RecursionError):
            return []
        marks = content if isinstance(content, list) else []
        return [float(mark) for mark in marks if isinstance(mark, int | float) and abs(mark) < MAX_MARK_S]
