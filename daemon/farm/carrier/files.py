"""G-code in the object store of NATS, stored once by its hash, whatever its names."""

import asyncio
import hashlib
from pathlib import Path

from nats.aio.client import Client
from nats.js.api import ObjectMeta, ObjectMetaOptions
from nats.js.errors import NotFoundError
from nats.js.object_store import ObjectStore

from daemon.farm.carrier.connect import FAILURES
from daemon.farm.carrier.ending import in_time
from daemon.farm.carrier.errors import FarmRefused, FarmUnreachable
from daemon.farm.carrier.subjects import FILES
from daemon.farm.messages import CHUNK

MIN_RATE = 200_000  # bytes/s; a slower transfer counts as stuck
GRACE = 30.0  # s for a transfer of any size


async def put(client: Client, sha256: str, path: Path) -> None:
    """Store a file, unless it is stored already.

    Raises:
        FarmUnreachable: NATS did not store it.
    """
    size = (await asyncio.to_thread(path.stat)).st_size
    try:
        await in_time(_put(client, sha256, path, size), GRACE + size / MIN_RATE)
    except FAILURES as error:
        raise FarmUnreachable(f"NATS did not store the file {sha256[:12]}…: {error or type(error).__name__}") from error


async def get(client: Client, sha256: str, path: Path) -> None:
    """Write a stored file to a path.

    Raises:
        FarmRefused: there is no such file.
        FarmUnreachable: NATS does not answer, or the file arrived incomplete.
    """
    try:
        store, size = await in_time(_find(client, sha256), GRACE)
        if size is None:
            raise FarmRefused(f"there is no file {sha256[:12]}… in the object store")
        await in_time(_get(store, sha256, path), GRACE + size / MIN_RATE)
        # nats-py reports no error when the connection ends during the transfer
        actual = await asyncio.to_thread(hash_of, path)
    except FAILURES as error:
        raise FarmUnreachable(f"cannot get the file {sha256[:12]}… from NATS: {error!r}") from error
    if actual != sha256:
        raise FarmUnreachable(f"the file {sha256[:12]}… from NATS is incomplete")


async def remove(client: Client, sha256: str) -> None:
    """Delete a file, if it is stored; raises FarmUnreachable."""
    try:
        await in_time(_remove(client, sha256), GRACE)
    except NotFoundError:
        return
    except FAILURES as error:
        raise FarmUnreachable(f"NATS did not delete the file {sha256[:12]}…: {error!r}") from error


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
