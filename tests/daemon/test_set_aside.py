"""The service starts with any damaged file of its own: the file is set aside and replaced."""

import asyncio
import fcntl
import os
from contextlib import AsyncExitStack

import pytest

from daemon import app, database, set_aside
from daemon.bridge.core_end import CoreEnd
from daemon.core.slow_crashes import SlowCrashes
from daemon.core.supervision import forget_job_type, job_type
from daemon.front.access.scopes import Scope
from daemon.set_aside import make_way
from support.both import Service
from support.http import config
from support.waiting import TIMEOUT

CORE = ["nozzled.db", "lock", "preset", "line.json"]
FRONT = ["front.db", "front.lock", "api-key", "uuid", "keys.json"]
RUNTIME = ["logbook", "starts", "job-type"]
ELSEWHERE = ["printing", "faults", "uploads/.incoming"]  # created when needed, not at the start


def put(path, kind):
    """Create something of this kind at the path."""
    path.parent.mkdir(exist_ok=True)
    match kind:
        case "folder":
            path.mkdir()
            (path / "file").touch()
        case "dead link":
            path.symlink_to(path.parent / "nowhere/file")
        case "link in a circle":
            path.symlink_to(path)
        case "pipe":
            os.mkfifo(path)
        case "garbage":
            path.write_bytes(bytes(range(256)) * 40)
        case "deep":
            path.write_text("[" * 200_000)
        case "one line":
            path.write_text("1\n")
        case _:
            path.touch()


KINDS = ["folder", "dead link", "link in a circle", "pipe", "garbage", "deep", "one line", "empty", "another user's"]


@pytest.mark.parametrize("kind", KINDS)
async def test_the_service_starts_whatever_is_in_place_of_its_files(tmp_path, monkeypatch, kind):
    state, run = tmp_path / "state", tmp_path / "run"
    for name in CORE + FRONT + ELSEWHERE:
        put(state / name, kind)
    for name in RUNTIME:
        put(run / name, kind)
    if kind == "another user's":
        theirs = {state / name for name in CORE + FRONT} | {run / name for name in RUNTIME}
        # not by permissions: these tests may run as root
        monkeypatch.setattr(os, "access", lambda path, _: path not in theirs or path.stat().st_size > 0)
    environ = {"RUNTIME_DIRECTORY": str(run), "NOZZLED_BOOT_ID": "this"}
    forget_job_type(environ)
    assert job_type(environ) is None
    crashes = SlowCrashes(run, lambda: 1000.0)
    crashes.mark_start()
    assert crashes._read(run / "starts") == [1000.0]
    async with AsyncExitStack() as stack:
        service = Service(await app.start(stack, config(state, "sim?speed=20"), environ, lambda: 1000.0))
        async with asyncio.timeout(TIMEOUT):
            while not service.connection.ready:  # noqa: ASYNC110 - no listener in this test
                await asyncio.sleep(0.1)
        assert service.core.store.trouble is None
        assert service.front.cache.trouble is None
        assert len(service.front.access.keys.key) >= 43
        assert len(service.front.uuid) == 36
        assert (run / "logbook").stat().st_size > 1000
        async with service.front.files.upload("a.gcode") as upload:
            await upload.write(b"G28\n")
            await upload.commit()
        await asyncio.to_thread(service.front.access.keyring.add, "an app", Scope.READ)
        before = service.front.uuid, service.front.access.keys.key
    for name in ("nozzled.db", "front.db", "api-key", "uuid"):
        assert (state / name).is_file()
        empty_database = kind == "empty" and name.endswith(".db")  # as good as none
        fits = name == "api-key" and kind == "deep"  # it has many characters, all of them printable
        damaged = state / f"{name}.damaged"
        assert (damaged.is_symlink() or damaged.exists()) != (empty_database or fits)
    async with AsyncExitStack() as stack:
        monkeypatch.undo()
        service = Service(await app.start(stack, config(state, ""), environ, lambda: 1000.0))
        assert (service.front.uuid, service.front.access.keys.key) == before, "the second start finds what was begun"
        assert [key.name for key in service.front.access.keyring.keys] == ["an app"]


@pytest.mark.real_time
async def test_a_folder_in_place_of_the_socket_is_set_aside(tmp_path):
    put(tmp_path / "core.sock", "folder")
    end = CoreEnd(None)
    await end.listen(tmp_path / "core.sock")
    assert (tmp_path / "core.sock").is_socket()
    end.close()


async def test_a_missing_disk_of_uploads_does_not_prevent_the_start(tmp_path):
    (tmp_path / "uploads").symlink_to(tmp_path / "disk")
    async with AsyncExitStack() as stack:
        service = Service(await app.start(stack, config(tmp_path, ""), {}, lambda: 1000.0))
        assert service.front.files.root.is_symlink(), "it may come back"


async def test_a_lock_without_permission_is_set_aside_unless_it_is_held(tmp_path, monkeypatch):
    lock = tmp_path / "lock"
    lock.touch()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        database._clear_lock_path(lock)
        assert lock.exists()
    monkeypatch.setattr(database, "LOCK_TABLE", tmp_path / "hidden")
    database._clear_lock_path(lock)
    assert lock.exists(), "its holder is unknown"
    monkeypatch.setattr(database, "LOCK_TABLE", tmp_path / "none")
    (tmp_path / "none").touch()
    database._clear_lock_path(lock)
    assert (tmp_path / "lock.damaged").exists()
    assert not lock.exists()


def test_a_file_that_cannot_be_set_aside_is_reported_and_raises_nothing(tmp_path, monkeypatch, capsys):
    def refused(*_):
        raise PermissionError(1, "read-only")

    put(tmp_path / "file", "folder")
    monkeypatch.setattr(set_aside, "_rename", refused)
    make_way(tmp_path / "file", "nothing is kept")
    assert (tmp_path / "file").is_dir()
    assert "file.in_the_way" in capsys.readouterr().out
