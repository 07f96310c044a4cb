"""HashBook: the stored hashes of uploaded files, as hashing 300 MB for each listing would take too long."""

from collections.abc import Mapping
from typing import Protocol

Hashes = Mapping[tuple[str, int, int], str]
"""SHA-1 by (path, size, mtime_ns)."""


NO_HASHES: Hashes = {}


class HashBook(Protocol):
    """Stores hashes; `daemon.front.cache.cache.Cache` is one."""

    async def sha1s(self, under: str = "") -> Hashes:
        """Return the stored hashes of this file, or of all files in this folder."""

    async def put_sha1(self, path: str, size: int, mtime_ns: int, sha1: str) -> None:
        """Store the hash of a file in its current state."""

    async def forget_sha1s(self, under: str) -> None:
        """Drop the hash of this file, or of all files in this folder."""


class NoHashes:
    """A hash book that stores nothing."""

    async def sha1s(self, under: str = "") -> Hashes:  # noqa: ARG002 - as in HashBook
        """Return none."""
        return {}

    async def put_sha1(self, path: str, size: int, mtime_ns: int, sha1: str) -> None:
        """Store nothing."""

    async def forget_sha1s(self, under: str) -> None:
        """Drop nothing."""
