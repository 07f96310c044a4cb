"""Core and front in one process, for tests: the bridge between them is in memory."""

from typing import Any

from daemon.app import House


class Service:
    """Reaches the parts of both: the core's own connection, job, guard and record, and what the front has besides."""

    def __init__(self, house: House):
        self.house = house
        self.core, self.front = house.core, house.front

    def __getattr__(self, name: str) -> Any:
        core = self.__dict__["core"]
        return getattr(core if hasattr(core, name) else self.__dict__["front"], name)
