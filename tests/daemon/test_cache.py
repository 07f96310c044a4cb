"""The front's database: its content, migration from older versions, and losses it survives."""

import asyncio
import errno
import os
import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from daemon import database
from daemon.core.record.store import NewJob, Store
from daemon.errors import StateDirTaken, StoreError
from daemon.front.analysis.findings import VERSION, Findings
from daemon.front.analysis.store import AnalysisStore, FileKey, LearntPace
from daemon.front.cache import cache as module
from daemon.front.cache.cache import Cache
from support.databases import Troubles, execute_on
from support.processes import open_below

CUBE = FileKey("parts/cube.gcode", 8005, 1_700_000_000)
FOUND = Findings({"estimatedPrintTime": 60.0}, b"details", b"picture")
NONSENSE = b"not a database, but long enough to have a header\n" * 10


@asynccontextmanager
async def opened(folder: Path, troubles: Troubles | None = None) -> AsyncIterator[Cache]:
    """A cache; unless troubles are expected, none may come."""
    reports = Troubles() if troubles is None else troubles
    cache = Cache(reports.append)
    await cache.open(folder)
    try:
        yield cache
    finally:
        await cache.close()
    assert reports is troubles or not reports


async def filled(cache: Cache, committed: Callable[[], Awaitable[None]] | None = None) -> None:
    """Write all that a front writes, and call `committed` after each commit."""
    store = AnalysisStore(cache)
    for write in (
        cache.put_sha1("a.gcode", 1, 10, "aaa"),
        store.put(CUBE, FOUND),
        store.learn("sim", 100.0, 150.0),
        cache.put_sha1("b.gcode", 2, 20, "bbb"),
        store.put(FileKey("b.gcode", 2, 20), FOUND),
        cache.forget_sha1s("b.gcode"),
        store.forget("b.gcode"),
    ):
        await write
        if committed:
            await committed()


async def content(cache: Cache) -> tuple[object, ...]:
    store = AnalysisStore(cache)
    return await cache.sha1s(), await store.get(CUBE), await store.pace_of("sim")


FILLED = ({("a.gcode", 1, 10): "aaa"}, FOUND, LearntPace(1.5, 1))
EMPTY = ({}, None, LearntPace())


async def test_hashes_are_kept_by_path_size_and_time(tmp_path):
    async with opened(tmp_path) as cache:
        await cache.put_sha1("a.gcode", 1, 10, "old")
        await cache.put_sha1("a.gcode", 2, 20, "aaa")
        await cache.put_sha1("box/b.gcode", 3, 30, "bbb")
        await cache.put_sha1("box2/c.gcode", 4, 40, "ccc")
    async with opened(tmp_path) as cache:
        assert len(await cache.sha1s()) == 3
        assert await cache.sha1s("a.gcode") == {("a.gcode", 2, 20): "aaa"}
        assert await cache.sha1s("box") == {("box/b.gcode", 3, 30): "bbb"}
        assert await cache.sha1s("b%") == {}
        await cache.forget_sha1s("box")
        assert [key[0] for key in sorted(await cache.sha1s())] == ["a.gcode", "box2/c.gcode"]


async def test_analyses_and_learnt_times_outlive_the_front(tmp_path):
    async with opened(tmp_path) as cache:
        await filled(cache)
    async with opened(tmp_path) as cache:
        assert await content(cache) == FILLED


async def test_a_failed_write_is_reported_once_and_raises_nothing(tmp_path):
    troubles = Troubles()
    async with opened(tmp_path, troubles) as cache:
        await execute_on(cache, "PRAGMA query_only = ON")
        await filled(cache)
        assert len(troubles) == 1
        await execute_on(cache, "PRAGMA query_only = OFF")
        await filled(cache)
        assert cache.trouble is None
        assert await content(cache) == FILLED


async def test_core_and_front_share_a_state_directory(tmp_path):
    core = Store(lambda: 1.0, lambda error: pytest.fail(str(error)))
    await core.open(tmp_path)
    async with opened(tmp_path) as cache:
        await filled(cache)
        assert await core.begin_job(NewJob("a.gcode", "a", 1, None, 1, "local", None, "sim")) == 1
    await core.close()


async def test_a_second_front_is_refused_with_the_holder_of_the_database(tmp_path):
    async with opened(tmp_path):
        with pytest.raises(StateDirTaken) as caught:
            await module.open_cache(tmp_path)
        assert str(caught.value).startswith(f"the front's part of the state directory {tmp_path} is in use by ")
        assert f"pid {os.getpid()}" in str(caught.value)


async def test_a_database_that_could_not_be_opened_is_tried_again(tmp_path, monkeypatch):
    await (await module.open_cache(tmp_path)).close()
    migrate = module.Cache._migrate

    def locked(*_):
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(module.Cache, "_migrate", locked)
    cache = await module.open_cache(tmp_path)
    for _ in range(3):
        with pytest.raises(StoreError):
            await cache.query("SELECT 1")
        await asyncio.sleep(4)
    monkeypatch.setattr(module.Cache, "_migrate", migrate)
    await asyncio.sleep(module.RETRY_INTERVAL)
    with capture_logs() as logs:
        # only one of them opens the database; the others may fail
        answers = await asyncio.gather(*[cache.query("SELECT 1") for _ in range(3)], return_exceptions=True)
        assert any(isinstance(rows, list) for rows in answers)
        await cache.keep(("INSERT INTO documents VALUES (?, ?)", ("a", "b")))
    assert "cache.usable" in [entry["event"] for entry in logs]
    await cache.close()


@pytest.mark.threads
async def test_a_front_waits_for_the_end_of_its_predecessor(tmp_path):
    before = Cache(lambda error: pytest.fail(str(error)))
    await before.open(tmp_path)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    loop.call_later(module.PREDECESSOR_TIMEOUT / 4, before._thread.submit, before._close)
    after = await module.open_cache(tmp_path)
    assert module.PREDECESSOR_TIMEOUT / 4 <= loop.time() - begun < module.PREDECESSOR_TIMEOUT
    await filled(after)
    await after.close()
    before._end()


async def test_an_invalid_database_is_set_aside_and_a_new_one_created(tmp_path):
    (tmp_path / "front.db").write_bytes(NONSENSE)
    async with opened(tmp_path) as cache:
        assert await content(cache) == EMPTY
        await filled(cache)
    assert (tmp_path / "front.db.damaged").read_bytes() == NONSENSE
    async with opened(tmp_path) as cache:
        assert await content(cache) == FILLED


def test_no_parameter_of_a_statement_has_a_number():
    """Python 3.12.0 to 3.12.3 takes `?1` for a name, and warns of a name with a value from a sequence."""
    sources = [*Path(database.__file__).parent.rglob("*.py")]
    assert len(sources) > 100
    assert [str(each) for each in sources if re.search(r"\?\d", each.read_text("utf-8"))] == []


async def test_a_database_that_cannot_be_replaced_is_not_left_open(tmp_path, monkeypatch):
    (tmp_path / "front.db").write_bytes(NONSENSE)

    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Cache, "_fill", full)
    cache = Cache(Troubles().append)
    with pytest.raises(StoreError, match="is full") as caught:
        await cache.open(tmp_path)
    assert not open_below(tmp_path), caught.value  # whose traceback holds all that was opened


async def test_a_database_that_is_damaged_in_use_is_set_aside_and_the_next_analysis_is_kept(tmp_path):
    async with opened(tmp_path) as cache:
        for number in range(300):
            await cache.put_sha1(f"{number}.gcode", 1, 1, "ab" * 20)
    with (tmp_path / "front.db").open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(4096)
        file.write(os.urandom(size - 4096))
    troubles = Troubles()
    async with opened(tmp_path, troubles) as cache:
        assert await cache.sha1s() == {}
        await filled(cache)
        assert await content(cache) == FILLED
    assert len(troubles) == 1
    assert (tmp_path / "front.db.damaged").exists()


async def test_a_front_without_its_database_works_and_stores_nothing(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("daemon.database._lock_file", refused)
    with capture_logs() as logs:
        cache = await module.open_cache(tmp_path)
        await filled(cache)
        assert await cache.sha1s() == {}
        with pytest.raises(StoreError, match="not open"):
            await AnalysisStore(cache).get(CUBE)
        await cache.close()
    assert [entry["event"] for entry in logs] == ["cache.unusable", "cache.trouble"]


def version_0_1_0(folder: Path, *, schema: int = 3) -> None:
    """Leave the one database of 0.1.0, with this version of its schema."""
    with closing(sqlite3.connect(folder / "nozzled.db")) as db:
        db.execute("PRAGMA journal_mode = WAL")
        for version in range(1, schema + 1):
            db.executescript((Store.schema / f"v{version}.sql").read_text("utf-8"))
        db.execute(f"PRAGMA user_version = {schema}")
        db.execute("INSERT INTO hashes VALUES ('a.gcode', 1, 10, 'aaa')")
        db.execute(
            "INSERT INTO jobs (path, name, size, mtime_ns, origin, printer, state, started_at) "
            "VALUES ('a.gcode', 'a', 1, 10, 'local', 'sim', 'PRINTING', 5.0)"
        )
        if schema == 3:
            row = (
                *(CUBE.path, CUBE.size, CUBE.date),
                VERSION,
                '{"estimatedPrintTime": 60.0}',
                b"details",
                b"picture",
            )
            db.execute("INSERT INTO analyses VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            db.execute("INSERT INTO print_times (printer, planned, actual) VALUES ('sim', 100.0, 150.0)")
        db.commit()


@pytest.mark.parametrize("core_is_there", [True, False])
async def test_an_upgrade_from_0_1_0_keeps_jobs_hashes_analyses_and_learnt_times(tmp_path, core_is_there):
    folder = tmp_path / "of a user, 100%?#"  # a path is no URI
    folder.mkdir()
    version_0_1_0(folder)
    core = Store(lambda: 1.0, lambda error: pytest.fail(str(error)))
    if core_is_there:
        await core.open(folder)
        [job] = await core.unfinished_jobs()
        assert (job.id, job.path, job.state) == (1, "a.gcode", "PRINTING")
    async with opened(folder) as cache:
        assert await content(cache) == FILLED
        await cache.forget_sha1s("a.gcode")
    async with opened(folder) as cache:  # once only: what has gone does not come back
        assert await cache.sha1s() == {}
    await core.close()
    with closing(sqlite3.connect(folder / "nozzled.db")) as db:  # an older version finds its own data
        assert db.execute("SELECT path FROM hashes").fetchall() == [("a.gcode",)]


async def test_hashes_are_taken_from_a_database_older_than_analyses(tmp_path):
    version_0_1_0(tmp_path, schema=1)
    async with opened(tmp_path) as cache:
        assert await content(cache) == (FILLED[0], None, LearntPace())


@pytest.mark.parametrize("damage", [0, 4096])
async def test_the_front_starts_empty_if_the_old_database_is_damaged(tmp_path, damage):
    version_0_1_0(tmp_path)
    with (tmp_path / "nozzled.db").open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(damage)
        file.write(b"\xff" * (size - damage))
    before = (tmp_path / "nozzled.db").read_bytes()
    with capture_logs() as logs:
        async with opened(tmp_path) as cache:
            assert await content(cache) == EMPTY
            await filled(cache)
            assert await content(cache) == FILLED
    assert [entry["event"] for entry in logs] == ["cache.begun_empty"]
    assert "queue" not in logs[0]["consequence"], "it was not in the old database"
    assert (tmp_path / "nozzled.db").read_bytes() == before, "it is the core's"


FRAME = 24 + 4096  # bytes of a page in SQLite's write-ahead log, and of the header in front of it
HEADER = 32  # bytes in front of the first


@pytest.mark.parametrize("upgraded", [False, True])
async def test_a_kill_during_any_write_loses_nothing_committed(tmp_path, upgraded):
    """The log may end anywhere, also while the database is made: then it is made again, and taken over again."""
    state = tmp_path / "state"
    state.mkdir()
    if upgraded:
        version_0_1_0(state)
    begun = FILLED if upgraded else EMPTY
    database, log = state / "front.db", state / "front.db-wal"
    async with opened(state) as cache:
        commits = [(0, begun), (log.stat().st_size, await content(cache))]
        assert commits[1][1] == begun

        async def committed() -> None:
            commits.append((log.stat().st_size, await content(cache)))

        await filled(cache, committed)
        whole, written = database.read_bytes(), log.read_bytes()
    for frame in range(HEADER, len(written), FRAME):
        for cut in (frame, frame + 25, frame + FRAME - 1):
            folder = tmp_path / f"cut{cut}"
            folder.mkdir()
            (folder / "front.db").write_bytes(whole)
            (folder / "front.db-wal").write_bytes(written[:cut])
            if upgraded:
                version_0_1_0(folder)
            expected = [rows for size, rows in commits if size <= cut][-1]
            async with opened(folder) as cache:
                assert await content(cache) == expected, f"cut at {cut} of {len(written)}"
