"""A place for one value: whoever comes late finds the last one."""

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """Holds the last value that was put and not yet taken."""

    def __init__(self) -> None:
        self._there = asyncio.Event()
        self._values: list[T] = []

    def put(self, value: T) -> None:
        """Replace what is there."""
        self._values = [value]
        self._there.set()

    async def get(self) -> T:
        """Take it, as soon as there is one."""
        await self._there.wait()
        self._there.clear()
        return self._values.pop()
