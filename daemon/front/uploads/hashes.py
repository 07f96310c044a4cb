"""Where the hashes of uploaded files are kept: hashing 300 MB each time they are listed takes too long."""

from collections.abc import Mapping
from typing import Protocol

Hashes = Mapping[tuple[str, int, int], str]
"""SHA-1 by (path, size, mtime_ns)."""


NO_HASHES: Hashes = {}


class HashBook(Protocol):
    """A place for hashes; `daemon.front.cache.cache.Cache` is one."""

    async def sha1s(self, under: str = "") -> Hashes:
        """Return the known hashes of this file, or of all in this folder."""

    async def put_sha1(self, path: str, size: int, mtime_ns: int, sha1: str) -> None:
        """Keep the hash of a file as it is now."""

    async def forget_sha1s(self, under: str) -> None:
        """Drop the hash of this file, or of all in this folder."""


class NoHashes:
    """A hash book that remembers nothing."""

    async def sha1s(self, under: str = "") -> Hashes:  # noqa: ARG002 - as in HashBook
        """Know none."""
        return {}

    async def put_sha1(self, path: str, size: int, mtime_ns: int, sha1: str) -> None:
        """Keep nothing."""

    async def forget_sha1s(self, under: str) -> None:
        """Drop nothing."""
