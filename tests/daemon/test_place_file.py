"""The content of the file of the place survives a power cut, whole or not at all."""

import asyncio
import os

import pytest

from daemon.core.record.place_file import SLOT, PlaceFile

pytestmark = pytest.mark.real_time  # it has a thread


async def read(path) -> bytes | None:
    file = PlaceFile(path)
    try:
        return await file.get()
    finally:
        await file.close()


async def put(path, *texts: bytes) -> None:
    file = PlaceFile(path)
    for text in texts:
        await file.put(text)
    await file.close()


async def test_the_last_written_place_is_read(tmp_path):
    path = tmp_path / "place"
    assert await read(path) is None
    await put(path, b"first")
    assert await read(path) == b"first"
    await put(path, b"second", b"third")  # another process goes on
    assert await read(path) == b"third"
    await put(path, b"")
    assert await read(path) == b""


@pytest.mark.parametrize("extra", [0, 5, 16, 20])
async def test_a_half_written_place_is_ignored(tmp_path, extra):
    path = tmp_path / "place"
    await put(path, b"one", b"a second one")
    before = path.read_bytes()
    await put(path, b"and the third")
    after = path.read_bytes()
    torn = SLOT  # the third turn is in the second slot
    path.write_bytes(after[: torn + extra] + before[torn + extra :])
    assert await read(path) == b"a second one"
    await put(path, b"more")
    assert await read(path) == b"more"


async def test_each_write_is_synced_in_place(tmp_path, monkeypatch):
    path, synced = tmp_path / "place", []
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: synced.append(os.fstat(fd).st_size) or real(fd))
    await put(path, b"x" * 2000, b"y" * 2000)
    assert synced == [2 * SLOT] * 2


@pytest.mark.parametrize("content", [b"", b"\0" * 100_000, b"\xff" * 2 * SLOT])
async def test_an_invalid_file_is_ignored(tmp_path, content):
    path = tmp_path / "place"
    path.write_bytes(content)
    assert await read(path) is None
    await put(path, b"new")
    assert await read(path) == b"new"


async def test_a_failed_write_is_an_error(tmp_path):
    file = PlaceFile(tmp_path / "no" / "place")
    with pytest.raises(FileNotFoundError):
        await file.put(b"x")
    with pytest.raises(OSError, match="too long"):
        await PlaceFile(tmp_path / "place").put(bytes(SLOT))
    await file.close()
    await asyncio.sleep(0)


async def test_a_short_write_is_an_error(tmp_path, monkeypatch):
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, data[:-1], at))
    with pytest.raises(OSError, match="No space left"):
        await put(tmp_path / "place", b"x" * 2000)


async def test_no_more_is_read_than_the_two_slots(tmp_path):
    path = tmp_path / "place"
    await put(path, b"first", b"second")
    os.truncate(path, 1 << 40)  # sparse; read whole, it would fill the memory
    assert await read(path) == b"second"
