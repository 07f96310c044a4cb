"""Analyses without a process: the same work, done at once in the test."""

from typing import TYPE_CHECKING, Any

from daemon.config import ProfileConfig
from daemon.errors import AnalysisFailed
from daemon.front.analysis.reading import analyse, machine
from daemon.front.analysis.service import Order
from daemon.front.analysis.thumbnails import in_all_sizes
from gcode.errors import NozzledError

if TYPE_CHECKING:
    from pathlib import Path


class AtOnce:
    """Stands in for the worker process; counts, and fails as often as it is told to."""

    def __init__(self, failures: int = 0, profile: ProfileConfig | None = None) -> None:
        self.failures = failures
        self.profile = profile or ProfileConfig()
        self.paths: list[Path] = []
        self.settings: tuple[str, ...] = ()

    async def run(self, order: Order) -> dict[str, Any]:
        self.paths.append(order.path)
        self.settings = order.settings
        if self.failures:
            self.failures -= 1
            raise AnalysisFailed("killed")
        try:
            found = analyse(order.path, machine(self.profile, order.settings, order.firmware))
        except NozzledError as error:
            return {"error": str(error)}
        return {"analysis": found.as_json(), "pictures": in_all_sizes(found.thumbnails)}
