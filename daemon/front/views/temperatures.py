"""TemperatureHistory: recent temperatures, as clients see them."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from gcode.replies import Heaters
from hal.printer import Event, TemperaturesRead

MAX_REPORTS = 900  # half an hour at one every two seconds, some 300 kB


class TemperatureHistory:
    """The last temperature reports, oldest first."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._read_at: float | None = None
        self._reports: deque[tuple[int, Heaters]] = deque(maxlen=MAX_REPORTS)

    def on_event(self, event: Event) -> None:
        """Store a report of the connection, at most one per second."""
        if not isinstance(event, TemperaturesRead):
            return
        self._read_at = asyncio.get_running_loop().time()
        now = int(self._wall())
        if not self._reports or self._reports[-1][0] != now:
            self._reports.append((now, event.heaters))

    def age(self) -> float | None:
        """Return the seconds since the last report; None: there was none."""
        return None if self._read_at is None else asyncio.get_running_loop().time() - self._read_at

    def last(self, limit: int | None, is_wanted: Callable[[str], bool]) -> list[dict[str, Any]]:
        """Return the last `limit` reports of the wanted heaters."""
        reports = list(self._reports)
        if limit is not None:
            reports = reports[-limit:] if limit > 0 else []
        return [{"time": time, **readings(heaters, is_wanted)} for time, heaters in reports]


def is_heater(name: str) -> bool:
    """Tell whether OctoPrint knows this heater: tool0, tool1, …, bed, chamber."""
    return name.startswith("tool") or name in ("bed", "chamber")


def readings(heaters: Heaters, is_wanted: Callable[[str], bool]) -> dict[str, Any]:
    """Return readings by heater, in °C."""
    return {
        name: {"actual": reading.actual, "target": reading.target}
        for name, reading in heaters.items()
        if is_wanted(name)
    }
