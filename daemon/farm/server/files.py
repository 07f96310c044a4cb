"""The files of jobs: all are in the object store of NATS, and some in a bounded cache on this computer's disk."""

import asyncio
import hashlib
import os
import shutil
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

import structlog

from daemon.errors import StorageFull
from daemon.farm.carrier.ends import ServerEnd
from daemon.farm.carrier.errors import FarmRefused, FarmUnreachable
from daemon.farm.messages import CHUNK

STORED_SUFFIX, NEW_SUFFIX = ".gcode", ".new"  # files that are in the object store, and those that are not yet
RETRY_DELAY = 5.0  # until a file that NATS did not accept is sent again

log = structlog.get_logger()


class FarmFiles:
    """Stores files, and reads parts of them.

    Attributes:
        max_bytes: size of the cache, without the files that are not in the object store yet.
    """

    def __init__(self, folder: Path, end: ServerEnd, max_bytes: int) -> None:
        """Prepare; call `open` next.

        Args:
            folder: of the cache.
            end: the way to the object store.
            max_bytes: size of the cache.
        """
        self.max_bytes = max_bytes
        self._folder = folder
        self._end = end
        self._sizes: OrderedDict[str, int] = OrderedDict()  # of stored files; the last used is last
        self._new_sizes: dict[str, int] = {}  # sizes of files that are not in the object store yet
        self._fetch_tasks: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()

    async def open(self) -> None:
        """Read which files the cache has."""
        await asyncio.to_thread(self._scan)
        self._wake.set()

    async def run(self) -> None:
        """Copy new files to the object store, until cancelled."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                for sha256 in [*self._new_sizes]:
                    await self._store(sha256)
        finally:
            for task in [*self._fetch_tasks.values()]:
                task.cancel()

    @property
    def new_file_count(self) -> int:
        """Number of files that are only on this computer."""
        return len(self._new_sizes)

    async def add(self, path: Path) -> tuple[str, int]:
        """Move a file into the store; return its SHA-256 and size.

        Raises:
            StorageFull: there is no room for it.
        """
        sha256, size = await asyncio.to_thread(_hash, path)
        try:
            await asyncio.to_thread(_move, path, self._folder / f"{sha256}{NEW_SUFFIX}")
        except OSError as error:
            raise StorageFull(f"cannot store the file in {self._folder}: {error.strerror}") from error
        self._new_sizes[sha256] = size  # even if the cache has it: the object store may have lost it
        self._wake.set()
        return sha256, size

    async def read_chunk(self, sha256: str, offset: int) -> bytes:
        """Return up to CHUNK bytes of a file from an offset; empty at its end.

        Raises:
            FarmRefused: there is no such file.
            FarmUnreachable: it is not in the cache, and NATS does not deliver it now.
        """
        for _ in range(2):  # it may be dropped from the cache before it is read
            path = await self.get_path(sha256)
            with suppress(FileNotFoundError):
                return await asyncio.to_thread(_read, path, max(0, offset))
            self._sizes.pop(sha256, None)
        raise FarmUnreachable(f"the file {sha256[:12]}… was dropped from the cache")

    async def get_path(self, sha256: str) -> Path:
        """Return the path of a file in the cache; fetch it first if it is missing. Raises what `read_chunk` raises."""
        if sha256 in self._new_sizes:
            return self._folder / f"{sha256}{NEW_SUFFIX}"
        if sha256 not in self._sizes:
            task = self._fetch_tasks.get(sha256)
            if task is None:
                task = self._fetch_tasks[sha256] = asyncio.ensure_future(self._fetch(sha256))
                task.add_done_callback(lambda done: self._on_fetched(sha256, done))
            await asyncio.shield(task)  # it continues if this caller gives up, because the caller will ask again
        self._mark_used(sha256)
        return self._folder / f"{sha256}{STORED_SUFFIX}"

    async def forget(self, sha256: str) -> None:
        """Remove a file from the object store and the cache; raises FarmUnreachable."""
        await self._end.remove_file(sha256)
        self._sizes.pop(sha256, None)
        self._new_sizes.pop(sha256, None)
        for suffix in (STORED_SUFFIX, NEW_SUFFIX):
            await asyncio.to_thread((self._folder / f"{sha256}{suffix}").unlink, missing_ok=True)

    async def remove_leftovers(self) -> None:
        """Delete the chunks of interrupted uploads from the object store; raises FarmUnreachable."""
        if uploads := await self._end.remove_leftovers():
            log.info("farm.leftovers_removed", interrupted_uploads=uploads)

    # -- internals ----------------------------------------------------------------------------------------------------

    def _on_fetched(self, sha256: str, task: "asyncio.Task[None]") -> None:
        self._fetch_tasks.pop(sha256, None)
        if not task.cancelled():
            task.exception()  # read, so that asyncio does not log it: every caller of `get_path` has raised it

    async def _fetch(self, sha256: str) -> None:
        part = self._folder / f"{sha256}.part"
        try:
            await self._end.get_file(sha256, part)
            size = (await asyncio.to_thread(part.stat)).st_size
            await asyncio.to_thread(part.replace, self._folder / f"{sha256}{STORED_SUFFIX}")
        except OSError as error:
            raise FarmUnreachable(f"cannot write the file {sha256[:12]}… to {self._folder}: {error}") from error
        finally:
            with suppress(OSError):  # after an error the part would take space that no limit counts
                await asyncio.to_thread(part.unlink, missing_ok=True)
        self._sizes[sha256] = size
        await self._make_room()

    async def _store(self, sha256: str) -> None:
        path = self._folder / f"{sha256}{NEW_SUFFIX}"
        try:
            await self._end.put_file(sha256, path)
            await asyncio.to_thread(path.replace, self._folder / f"{sha256}{STORED_SUFFIX}")
        except FileNotFoundError:
            self._new_sizes.pop(sha256, None)
        except (FarmUnreachable, FarmRefused, OSError) as error:
            log.warning("farm.file_not_stored", file=sha256[:12], reason=str(error), again_s=RETRY_DELAY)
            asyncio.get_running_loop().call_later(RETRY_DELAY, self._wake.set)
        else:
            if (size := self._new_sizes.pop(sha256, None)) is not None:  # None: it was forgotten meanwhile
                self._sizes[sha256] = size
                await self._make_room()

    async def _make_room(self) -> None:
        total = sum(self._sizes.values())
        while total > self.max_bytes and len(self._sizes) > 1:
            sha256, size = self._sizes.popitem(last=False)
            total -= size
            try:
                await asyncio.to_thread((self._folder / f"{sha256}{STORED_SUFFIX}").unlink, missing_ok=True)
            except OSError as error:
                log.warning("farm.file_not_dropped", file=sha256[:12], reason=str(error))

    def _mark_used(self, sha256: str) -> None:
        if sha256 in self._sizes:
            self._sizes.move_to_end(sha256)

    def _scan(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        by_age = sorted((path.stat().st_mtime, path) for path in self._folder.iterdir() if path.is_file())
        for _, path in by_age:
            if path.suffix == STORED_SUFFIX:
                self._sizes[path.stem] = path.stat().st_size
            elif path.suffix == NEW_SUFFIX:
                self._new_sizes[path.stem] = path.stat().st_size
            else:
                path.unlink(missing_ok=True)


def _hash(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return digest, file.tell()


def _move(source: Path, target: Path) -> None:
    """Move a file; it gets its final name only when all of it is on the disk."""
    part = target.with_name(f"{source.name}.part")  # a name of its own: another upload may bring the same file
    shutil.move(source, part)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(path: Path, offset: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(CHUNK)
