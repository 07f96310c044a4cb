"""SlowCrashes: a daemon that keeps ending before its printer hears from it gives up, so that heaters go off.

systemd's own brake counts starts in half a minute. A daemon that needs four seconds until it dies, or hangs until the
watchdog's ten, never meets it, and what it has left hot stays hot. So each start leaves a mark in the runtime
directory, and an acknowledged line or an orderly end takes the marks away.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from daemon.errors import KeepsCrashing
from daemon.set_aside import make_way
from hal.printer import ConnectionState, Event, StateChanged

FILE = "starts"
MOST = 5
WITHIN = 600.0
"""So many ends without an acknowledged line, in so many seconds, are the last."""


class SlowCrashes:
    """The marks. Reading and writing them is a few bytes in memory: the runtime directory is a tmpfs."""

    def __init__(self, folder: Path | None, clock: Callable[[], float]) -> None:
        """Count in this folder, by a clock that begins with the boot, in s; None: not at all."""
        self._path = folder / FILE if folder is not None else None
        self._clock = clock

    def begin(self) -> None:
        """Leave the mark of this start.

        Raises:
            KeepsCrashing: there are too many from those before.
        """
        if self._path is None:
            return
        make_way(self._path, "starts are counted anew")
        now = self._clock()
        marks = [mark for mark in self._read(self._path) if 0 <= now - mark < WITHIN]
        if len(marks) >= MOST:
            raise KeepsCrashing(
                f"the service has ended {len(marks)} times within {WITHIN / 60:g} min before the printer answered it: "
                "it gives up, and the heaters are turned off"
            )
        with suppress(OSError):  # a full tmpfs: then systemd's brake is the only one
            self._path.write_text(json.dumps([*marks, now]))

    def end(self) -> None:
        """Take the marks away: this process has ended in order, or the printer has answered it."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def on_event(self, event: Event) -> None:
        """Take the marks away as soon as a line was acknowledged: no printer is ready before."""
        if isinstance(event, StateChanged) and event.new is ConnectionState.READY:
            self.end()

    @staticmethod
    def _read(path: Path) -> list[float]:
        try:
            found = json.loads(path.read_text())
        except (OSError, ValueError, RecursionError):
            return []
        return [mark for mark in found if isinstance(mark, int | float)] if isinstance(found, list) else []
