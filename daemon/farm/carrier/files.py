"""G-code in the object store of NATS, by its hash: the same file is there once, whatever it is called."""

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

SLOWEST = 200_000  # bytes a second; slower than this a file counts as stuck
LEAST = 30.0  # s
LARGEST = 4 << 30  # bytes


async def put(client: Client, sha256: str, path: Path) -> None:
    """Keep a file; one that is there already is not sent again.

    Raises:
        FarmUnreachable: NATS has not kept it.
    """
    size = (await asyncio.to_thread(path.stat)).st_size
    try:
        await in_time(_put(client, sha256, path, size), LEAST + size / SLOWEST)
    except FAILURES as error:
        raise FarmUnreachable(f"NATS has not kept the file {sha256[:12]}…: {error or type(error).__name__}") from error


async def get(client: Client, sha256: str, path: Path) -> None:
    """Write a kept file to a path.

    Raises:
        FarmRefused: there is none, or it is not what its name says.
        FarmUnreachable: NATS does not answer.
    """
    try:
        store, size = await in_time(_found(client, sha256), LEAST)
        if size is None:
            raise FarmRefused(f"there is no file {sha256[:12]}… in the object store")
        await in_time(_get(store, sha256, path), LEAST + size / SLOWEST)
        # where the connection ends on the way, the client returns as if that were all of it
        found = await asyncio.to_thread(hash_of, path)
    except FAILURES as error:
        raise FarmUnreachable(f"the file {sha256[:12]}… was not got from NATS: {error!r}") from error
    if found != sha256:
        raise FarmUnreachable(f"the file {sha256[:12]}… came incomplete from NATS")


async def remove(client: Client, sha256: str) -> None:
    """Forget a file; raises FarmUnreachable."""
    try:
        await in_time(_remove(client, sha256), LEAST)
    except NotFoundError:
        return
    except FAILURES as error:
        raise FarmUnreachable(f"NATS has not removed the file {sha256[:12]}…: {error!r}") from error


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def _put(client: Client, sha256: str, path: Path, size: int) -> None:
    store, found = await _found(client, sha256)
    if found != size:
        meta = ObjectMeta(name=sha256, options=ObjectMetaOptions(max_chunk_size=CHUNK))
        with await asyncio.to_thread(open, path, "rb") as file:
            await store.put(sha256, file, meta=meta)


async def _get(store: ObjectStore, sha256: str, path: Path) -> None:
    with await asyncio.to_thread(open, path, "w+b") as file:
        await store.get(sha256, writeinto=file)


async def _remove(client: Client, sha256: str) -> None:
    store, _ = await _found(client, sha256)
    await store.delete(sha256)


async def _found(client: Client, sha256: str) -> tuple[ObjectStore, int | None]:
    """Return the store, and how large the file in it is; None: there is none."""
    store = await client.jetstream().object_store(FILES)
    try:
        return store, (await store.get_info(sha256)).size
    except NotFoundError:
        return store, None
