"""Room: the quota of all uploads together, including unfinished uploads and copies."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from daemon.errors import StorageFull

MIB = 1024 * 1024


class Claim:
    """The space of one unfinished upload or copy; created by `Room.claim`."""

    def __init__(self, room: "Room", name: str) -> None:
        self.size = 0
        self.is_stored = False  # it has become a file
        self._room = room
        self._name = name

    @property
    def free_bytes(self) -> int | None:
        """The bytes by which it may still grow; None: no limit."""
        return self._room.free_bytes

    def resize(self, size: int) -> None:
        """Change its size, in bytes.

        Raises:
            StorageFull: it exceeds the quota.
        """
        self._room.claimed_bytes += size - self.size
        self.size = size
        free = self._room.free_bytes
        if free is not None and free < 0:
            self._room.claimed_bytes -= self.size  # so that simultaneous uploads may fit
            self.size = 0
            raise StorageFull(f"{self._name} does not fit: all uploads together may take {self._room.mib} MiB")


class Room:
    """The quota.

    Attributes:
        mib: the largest size of all uploads together; 0: no limit.
        claimed_bytes: bytes of unfinished uploads and copies.
    """

    def __init__(self, mib: int, used: Callable[[], Awaitable[int]]) -> None:
        """Prepare; `used` returns the bytes of the existing files."""
        self.mib = mib
        self.claimed_bytes = 0
        self._used = used
        self._existing = 0  # bytes of the files at the last count, and of those added since
        self._added = 0  # bytes of all files that were ever added

    @property
    def free_bytes(self) -> int | None:
        """The remaining bytes; None: no limit."""
        return self.mib * MIB - self._existing - self.claimed_bytes if self.mib else None

    @asynccontextmanager
    async def claim(self, name: str) -> AsyncIterator[Claim]:
        """Claim space for a file; the space is released unless the file is stored. `name` is for messages."""
        if self.mib:
            added = self._added
            used = await self._used()
            self._existing = used + self._added - added  # files added during the count may count twice, which is safe
        claim = Claim(self, name)
        try:
            yield claim
        finally:
            self.claimed_bytes -= claim.size
            if claim.is_stored:
                self._existing += claim.size
                self._added += claim.size
