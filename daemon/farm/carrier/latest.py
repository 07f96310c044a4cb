"""A queue of length one, in which a new value replaces an old one."""

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class LatestValue(Generic[T]):
    """Holds the last value that was put, until it is taken."""

    def __init__(self) -> None:
        self._ready = asyncio.Event()
        self._values: list[T] = []

    def put(self, value: T) -> None:
        """Replace the value."""
        self._values = [value]
        self._ready.set()

    async def get(self) -> T:
        """Wait for a value, and take it."""
        await self._ready.wait()
        self._ready.clear()
        return self._values.pop()
