"""G-code in the object store of NATS. Each file is stored once, under its hash; its names are in the list of jobs.

nats-py stores a file as chunks whose subject ends in a number of its own (nuid), then a record that names this number.
The chunks of an interrupted upload stay in the store if it was cancelled, the connection was lost or the process ended:
nats-py removes chunks only after an error, while NATS can still be reached. `InterruptedUploads` deletes those that
stay.
"""

import asyncio
import hashlib
from pathlib import Path

from nats.aio.client import Client
from nats.errors import Error
from nats.js.api import ObjectMeta, ObjectMetaOptions
from nats.js.errors import NotFoundError
from nats.js.object_store import ObjectStore

from daemon.farm.carrier.connect import FAILURES
from daemon.farm.carrier.ending import run_in_time
from daemon.farm.carrier.errors import FarmRefused, FarmUnreachable
from daemon.farm.carrier.subjects import FILES
from daemon.farm.messages import CHUNK

MIN_RATE = 200_000  # bytes/s; a slower transfer counts as stuck
GRACE_S = 30.0  # for a transfer of any size
INTERRUPTED_AFTER_S = 4 * 3600.0  # without a new chunk; the largest file, 2 GiB, takes 3 h in all
CHUNKS, RECORDS = f"$O.{FILES}.C.", f"$O.{FILES}.M."  # prefixes of subjects


async def put(client: Client, sha256: str, path: Path) -> None:
    """Store a file, unless it is stored already.

    Raises:
        FarmUnreachable: NATS did not store it.
    """
    size = (await asyncio.to_thread(path.stat)).st_size
    try:
        await run_in_time(_put(client, sha256, path, size), GRACE_S + size / MIN_RATE)
    except FAILURES as error:
        raise FarmUnreachable(f"NATS did not store the file {sha256[:12]}…: {error or type(error).__name__}") from error


async def get(client: Client, sha256: str, path: Path) -> None:
    """Write a stored file to a path.

    Raises:
        FarmRefused: there is no such file.
        FarmUnreachable: NATS does not answer, or the file arrived incomplete.
    """
    try:
        store, size = await run_in_time(_find(client, sha256), GRACE_S)
        if size is None:
            raise FarmRefused(f"there is no file {sha256[:12]}… in the object store")
        await run_in_time(_get(store, sha256, path), GRACE_S + size / MIN_RATE)
        # nats-py reports no error when the connection ends during the transfer
        actual = await asyncio.to_thread(hash_of, path)
    except FAILURES as error:
        raise FarmUnreachable(f"cannot get the file {sha256[:12]}… from NATS: {error!r}") from error
    if actual != sha256:
        raise FarmUnreachable(f"the file {sha256[:12]}… from NATS is incomplete")


async def remove(client: Client, sha256: str) -> None:
    """Delete a file, if it is stored; raises FarmUnreachable."""
    try:
        await run_in_time(_remove(client, sha256), GRACE_S)
    except NotFoundError:
        return
    except FAILURES as error:
        raise FarmUnreachable(f"NATS did not delete the file {sha256[:12]}…: {error!r}") from error


class InterruptedUploads:
    """Deletes the chunks of interrupted uploads."""

    def __init__(self) -> None:
        # subject → the number of its chunks, and the loop time since when it has been the same
        self._last_counts: dict[str, tuple[int, float]] = {}

    async def remove(self, client: Client) -> int:
        """Delete the chunks of interrupted uploads; return the number of these uploads.

        Another server may be uploading, so only time tells: an upload without a new chunk for INTERRUPTED_AFTER_S was
        interrupted.

        Raises:
            FarmUnreachable: NATS does not answer.
        """
        try:
            return await run_in_time(self._remove(client), GRACE_S)
        except FAILURES as error:
            raise FarmUnreachable(f"NATS did not delete the rest of interrupted uploads: {error!r}") from error

    async def _remove(self, client: Client) -> int:
        js, now, removed = client.jetstream(), asyncio.get_running_loop().time(), 0
        chunks = await _chunks_without_file(client)
        self._last_counts = {
            subject: last if (last := self._last_counts.get(subject)) is not None and last[0] == count else (count, now)
            for subject, count in chunks.items()
        }
        for subject, (_, since) in self._last_counts.items():
            if now - since > INTERRUPTED_AFTER_S:
                await js.purge_stream(f"OBJ_{FILES}", subject=subject)
                removed += 1
        return removed


async def _chunks_without_file(client: Client) -> dict[str, int]:
    """Return the subjects of chunks that belong to no file, with the number of chunks; some are being uploaded."""
    js = client.jetstream()
    subjects = (await js.stream_info(f"OBJ_{FILES}", subjects_filter=f"$O.{FILES}.>")).state.subjects or {}
    try:  # after the chunks: an upload that was completed in the meantime has its record by now
        infos = await (await js.object_store(FILES)).list()
    except NotFoundError:
        infos = []
    if len(infos) < sum(subject.startswith(RECORDS) for subject in subjects):
        raise Error("some records of files are missing")
    used = {f"{CHUNKS}{info.nuid}" for info in infos if not info.deleted}
    return {subject: count for subject, count in subjects.items() if subject.startswith(CHUNKS) and subject not in used}


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def _put(client: Client, sha256: str, path: Path, size: int) -> None:
    store, stored_size = await _find(client, sha256)
    if stored_size != size:
        meta = ObjectMeta(name=sha256, options=ObjectMetaOptions(max_chunk_size=CHUNK))
        with await asyncio.to_thread(open, path, "rb") as file:
            await store.put(sha256, file, meta=meta)


async def _get(store: ObjectStore, sha256: str, path: Path) -> None:
    with await asyncio.to_thread(open, path, "w+b") as file:
        await store.get(sha256, writeinto=file)


async def _remove(client: Client, sha256: str) -> None:
    store, _ = await _find(client, sha256)
    await store.delete(sha256)


async def _find(client: Client, sha256: str) -> tuple[ObjectStore, int | None]:
    """Return the store, and the size of the file in it, in bytes; None: it has no such file."""
    store = await client.jetstream().object_store(FILES)
    try:
        return store, (await store.get_info(sha256)).size
    except NotFoundError:
        return store, None
