"""Room: what all uploads together may have, with what is on its way in: uploads and copies that are not there yet."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from daemon.errors import StorageFull

MIB = 1024 * 1024


class Claim:
    """What one upload or copy takes; made by `Room.claim`."""

    def __init__(self, room: "Room", name: str) -> None:
        self.size = 0
        self.kept = False  # it has become a file
        self._room = room
        self._name = name

    @property
    def left(self) -> int | None:
        """Bytes that it may still have besides what it has; None: nobody limits that."""
        return self._room.left

    def resize(self, size: int) -> None:
        """Have so many bytes from now on.

        Raises:
            StorageFull: that is more than is left.
        """
        self._room.taken += size - self.size
        self.size = size
        left = self._room.left
        if left is not None and left < 0:
            self._room.taken -= self.size  # what comes at the same time may fit then
            self.size = 0
            raise StorageFull(f"{self._name} does not fit: the uploads may have {self._room.mib} MiB together")


class Room:
    """The quota.

    Attributes:
        mib: of all uploads together; 0: as many as the disk has.
        taken: bytes of what is on its way.
    """

    def __init__(self, mib: int, used: Callable[[], Awaitable[int]]) -> None:
        """Prepare; `used` counts the bytes of the files that are there."""
        self.mib = mib
        self.taken = 0
        self._used = used
        self._there = 0  # bytes of the files, as they were counted last, and of those that came since
        self._came = 0  # bytes of all files that ever came

    @property
    def left(self) -> int | None:
        """Bytes that nobody has; None: nobody counts."""
        return self.mib * MIB - self._there - self.taken if self.mib else None

    @asynccontextmanager
    async def claim(self, name: str) -> AsyncIterator[Claim]:
        """Take room for a file on its way, of this name for messages; what has not become a file gives it back."""
        if self.mib:
            came = self._came
            used = await self._used()
            self._there = used + self._came - came  # what came meanwhile may be in it: rather counted twice than not
        claim = Claim(self, name)
        try:
            yield claim
        finally:
            self.taken -= claim.size
            if claim.kept:
                self._there += claim.size
                self._came += claim.size
