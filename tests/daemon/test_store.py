"""The database of jobs: its content after reopening, access to it, and failures of the disk.

Tests that are not `async def` run a loop of their own in real time, for the database's thread.
"""

import asyncio
import errno
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.bridge.words import FileStatistics, LastPrint
from daemon.core.record import store as module
from daemon.core.record.store import JobRecord, NewJob, Store
from daemon.errors import StateDirTaken, StoreError
from support.databases import Troubles, execute_on
from support.waiting import TIMEOUT, until

CUBE = NewJob("parts/cube.gcode", "cube.gcode", 8005, "ab" * 20, 17, "local", "ann", "sim")


@asynccontextmanager
async def opened(path: Path, troubles: Troubles | None = None, start: float = 1000.0) -> AsyncIterator[Store]:
    """A store whose dates are 1000, 1001, … Unless troubles are expected, none may come."""
    reports = Troubles() if troubles is None else troubles
    store = Store(map(float, count(start)).__next__, reports.append)
    await store.open(path)
    try:
        yield store
    finally:
        await store.close()
    assert reports is troubles or not reports


def test_a_job_is_recorded_from_begin_to_end(tmp_path):
    async def life() -> tuple[int | None, list[JobRecord], list[JobRecord]]:
        async with opened(tmp_path) as store:
            job_id = await store.begin_job(CUBE)
            store.checkpoint(job_id, "PRINTING", 5, 120)
        async with opened(tmp_path, start=2000.0) as store:
            unfinished = await store.unfinished_jobs()
            store.end_job(job_id, "CANCELLED", "by ann", 7, 150, 12.5)
        async with opened(tmp_path) as store:
            assert await store.unfinished_jobs() == []
            return job_id, unfinished, await store.jobs(10)

    job_id, unfinished, jobs = asyncio.run(life())
    common = (job_id, "parts/cube.gcode", "cube.gcode", 8005, "ab" * 20, 17, "local", "ann", "sim")
    assert unfinished == [JobRecord(*common, "PRINTING", 1000.0, None, None, None, 5, 120, None)]
    assert jobs == [JobRecord(*common, "CANCELLED", 1000.0, 2000.0, "CANCELLED", "by ann", 7, 150, 12.5)]


STEPS = st.lists(
    st.one_of(
        st.just(("begin",)),
        st.tuples(st.just("checkpoint"), st.integers(0, 3), st.integers(0, 10**12)),
        st.tuples(st.just("end"), st.integers(0, 3), st.sampled_from(["COMPLETED", "FAILED"])),
        st.just(("reopen",)),
        st.just(("wait",)),
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_any_sequence_of_writes_is_found_after_reopening(steps):
    async def run(path: Path) -> dict[int, tuple[str, int]]:
        expected: dict[int, tuple[str, int]] = {}
        open_jobs: list[int] = []
        todo = iter([*steps, ("reopen",)])
        more = True
        while more:
            more = False
            async with opened(path) as store:
                jobs = {job.id: (job.state, job.offset) for job in await store.jobs(100)}
                assert jobs == expected
                assert [job.id for job in await store.unfinished_jobs()] == sorted(open_jobs)
                for step in todo:
                    match step:
                        case ["begin"]:
                            job_id = await store.begin_job(CUBE)
                            assert job_id is not None
                            expected[job_id] = ("STARTING", 0)
                            open_jobs.append(job_id)
                        case ["checkpoint", which, offset] if open_jobs:
                            job_id = open_jobs[which % len(open_jobs)]
                            store.checkpoint(job_id, "PRINTING", 1, offset)
                            expected[job_id] = ("PRINTING", offset)
                        case ["end", which, outcome] if open_jobs:
                            job_id = open_jobs.pop(which % len(open_jobs))
                            store.end_job(job_id, outcome, None, 2, 7, 1.0)
                            store.checkpoint(job_id, "PRINTING", 9, 9)  # too late: nothing comes after the end
                            expected[job_id] = (outcome, 7)
                        case ["wait"]:
                            await until(lambda store=store: not store._pending)
                        case ["reopen"]:
                            more = True
                            break
        return expected

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


def test_a_begun_job_survives_the_process_being_killed(tmp_path):
    script = f"""
import asyncio, os, pathlib
from daemon.core.record.store import NewJob, Store
async def main():
    store = Store(lambda: 1.0, print)
    await store.open(pathlib.Path({str(tmp_path)!r}))
    assert await store.begin_job(NewJob("a.gcode", "a.gcode", 1, None, 1, "local", None, "sim")) == 1
    os.kill(os.getpid(), 9)
asyncio.run(main())
"""
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=TIMEOUT).returncode == -9

    async def reopened() -> list[JobRecord]:
        async with opened(tmp_path) as store:
            return await store.unfinished_jobs()

    [job] = asyncio.run(reopened())
    assert (job.id, job.path, job.state) == (1, "a.gcode", "STARTING")


def test_starts_and_ends_are_synced_and_checkpoints_are_not(tmp_path):
    statements: list[str] = []

    async def traced() -> None:
        async with opened(tmp_path) as store:
            await store._run(lambda: store._connection.set_trace_callback(statements.append))
            job_id = await store.begin_job(CUBE)
            store.checkpoint(job_id, "PRINTING", 1, 1)
            await until(lambda: not store._pending)
            store.end_job(job_id, "COMPLETED", None, 2, 2, 1.0)

    asyncio.run(traced())
    modes = [each.rpartition(" ")[2] for each in statements if each.startswith("PRAGMA synchronous")]
    assert modes == ["FULL", "NORMAL", "FULL"]


def test_checkpoints_are_coalesced_to_the_newest(tmp_path):
    written: list[dict[int, object]] = []

    class Counting(Store):
        def _update_jobs(self, batch):
            written.append(batch)
            super()._update_jobs(batch)

    async def burst() -> int:
        store = Counting(lambda: 1.0, print)
        await store.open(tmp_path)
        job_id = await store.begin_job(CUBE)
        for offset in range(1000):
            store.checkpoint(job_id, "PRINTING", offset, offset)
            assert len(store._pending) == 1
        await until(lambda: not store._pending)
        [job] = await store.jobs(1)
        await store.close()
        return job.offset

    assert asyncio.run(burst()) == 999
    assert len(written) == 2  # the first, and the last


def test_a_full_disk_stops_nothing_is_reported_once_and_recovers(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "RETRY_INTERVAL", 0.01)
    troubles = Troubles()

    async def fill_disk_until_reported(store: Store, job_id: int | None, state: str) -> None:
        await execute_on(store, "PRAGMA max_page_count = 1")  # SQLite's own way to a full disk
        store.end_job(job_id, state, "why? " * 10_000, 3, 3, 3.0)  # needs new pages
        await until(lambda: bool(troubles))
        unrecorded = await store.begin_job(NewJob("x" * 50_000, "x", 1, None, 1, "local", None, "sim"))
        assert unrecorded is None
        store.checkpoint(unrecorded, "PRINTING", 1, 1)
        store.end_job(unrecorded, "COMPLETED", None, 1, 1, 1.0)
        await asyncio.sleep(0.1)  # some ten more tries
        assert [str(each) for each in troubles] == ["database or disk is full"]
        await execute_on(store, "PRAGMA max_page_count = 1000000")
        await until(lambda: not store._pending)
        troubles.clear()

    async def scenario() -> list[JobRecord]:
        async with opened(tmp_path, troubles) as store:
            for outcome in ("FAILED", "CANCELLED"):  # a second failure is reported again
                await fill_disk_until_reported(store, await store.begin_job(CUBE), outcome)
            return await store.jobs(10)

    jobs = asyncio.run(scenario())
    assert [(job.outcome, job.offset) for job in jobs] == [("CANCELLED", 3), ("FAILED", 3)]


def test_only_the_newest_progress_waits_while_writing_fails(tmp_path):
    troubles = Troubles()

    async def scenario() -> JobRecord:
        async with opened(tmp_path, troubles) as store:
            job_id = await store.begin_job(CUBE)
            await execute_on(store, "PRAGMA query_only = ON")
            for offset in range(100):
                store.checkpoint(job_id, "PRINTING", offset, offset)
                await asyncio.sleep(0)
            await until(lambda: bool(troubles))
            assert len(store._pending) == 1
            await execute_on(store, "PRAGMA query_only = OFF")
        async with opened(tmp_path) as store:  # closing has tried again, RETRY_INTERVAL or not
            [job] = await store.jobs(1)
            return job

    assert asyncio.run(scenario()).offset == 99
    assert len(troubles) == 1


def test_closing_on_a_disk_that_stays_broken_ends_and_leaves_no_thread(tmp_path):
    troubles = Troubles()

    async def scenario() -> None:
        async with opened(tmp_path, troubles) as store:
            job_id = await store.begin_job(CUBE)
            await execute_on(store, "PRAGMA query_only = ON")
            store.end_job(job_id, "COMPLETED", None, 1, 1, 1.0)
        await store.close()  # once more does no harm

    asyncio.run(scenario())
    assert len(troubles) == 1
    assert not [each.name for each in threading.enumerate() if each.name.startswith(Store.file)]


def test_statistics_count_incomplete_prints_as_failures(tmp_path):
    async def scenario() -> tuple[FileStatistics, FileStatistics]:
        async with opened(tmp_path) as store:
            for outcome, print_time in [("COMPLETED", 10.0), ("COMPLETED", 20.0), ("CANCELLED", 1.0)]:
                store.end_job(await store.begin_job(CUBE), outcome, None, 1, 1, print_time)
            await store.begin_job(CUBE)  # is under way: neither
            await until(lambda: not store._pending)
            return await store.statistics(CUBE.path), await store.statistics("other.gcode")

    cube, other = asyncio.run(scenario())
    assert cube == FileStatistics(2, 1, LastPrint(date=1005.0, success=False, print_time=1.0, state="CANCELLED"), 15.0)
    assert other == FileStatistics(0, 0, None, None)


def test_histories_come_in_pieces_and_match_the_statistics(tmp_path, monkeypatch):
    monkeypatch.setattr("daemon.core.record.store.MAX_HISTORIES", 2)
    revisions = []

    async def scenario() -> None:
        async with opened(tmp_path) as store:
            store.on_ended = lambda: revisions.append(store.revision)
            first = store.revision
            for path in ("b", "ä", "a", "a"):
                for outcome in ("COMPLETED", "FAILED"):
                    store.end_job(await store.begin_job(replace(CUBE, path=path)), outcome, None, 1, 1, 2.0)
            await store.begin_job(replace(CUBE, path="c"))  # is under way
            await until(lambda: not store._pending)
            some = await store.histories()
            rest = await store.histories("b")
            assert ([*some], [*rest], await store.histories("ä")) == (["a", "b"], ["ä"], {})
            for path, history in (some | rest).items():
                assert history == await store.statistics(path)
            assert revisions[-1] == store.revision > first

    asyncio.run(scenario())


def test_jobs_come_newest_first_up_to_the_limit(tmp_path):
    async def scenario() -> list[int]:
        async with opened(tmp_path) as store:
            for _ in range(3):
                await store.begin_job(CUBE)
            return [job.id for job in await store.jobs(2)]

    assert asyncio.run(scenario()) == [3, 2]


def test_a_second_daemon_is_refused_with_the_holder_of_the_state_directory(tmp_path):
    async def scenario() -> None:
        async with opened(tmp_path):
            with pytest.raises(StateDirTaken) as caught:
                await Store(lambda: 0.0, print).open(tmp_path)
            assert str(tmp_path) in str(caught.value)
            assert f"pid {os.getpid()}" in str(caught.value)
            assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
        async with opened(tmp_path):
            pass  # closing has let go of it

    asyncio.run(scenario())


async def recorded(store: Store) -> list[str]:
    """Record a print, and return the names of all that are recorded."""
    job = await store.begin_job(CUBE)
    store.end_job(job, "COMPLETED", None, 1, 2, 3.0)
    await until(lambda: not store._pending)
    return [each.name for each in await store.jobs(10)]


async def changed(folder: Path, script: str) -> Store:
    """A store with a print, reopened after its database was changed from outside."""
    async with opened(folder) as store:
        await recorded(store)
    with sqlite3.connect(folder / "nozzled.db") as db:
        db.executescript(script)
    db.close()
    again = Store(lambda: 2000.0, print)
    await again.open(folder)
    return again


async def test_the_database_of_a_newer_version_is_used_as_far_as_possible(tmp_path):
    store = await changed(tmp_path, "ALTER TABLE jobs ADD colour TEXT; PRAGMA user_version = 99")
    assert await recorded(store) == ["cube.gcode", "cube.gcode"]
    await store.close()
    assert not (tmp_path / "nozzled.db.damaged").exists()
    with sqlite3.connect(tmp_path / "nozzled.db") as db:
        assert db.execute("PRAGMA user_version").fetchone() == (99,)
    db.close()


@pytest.mark.parametrize(
    "script",
    [
        "DROP TABLE jobs",
        "ALTER TABLE jobs DROP resends",
        "ALTER TABLE jobs RENAME path TO place; PRAGMA user_version = 99",
        "DROP TABLE jobs; CREATE VIEW jobs AS SELECT 1 AS id",
        "PRAGMA user_version = 0",
        "PRAGMA user_version = -7",
        "DROP TABLE analyses; PRAGMA user_version = 3",
    ],
)
async def test_a_foreign_database_is_set_aside_and_a_new_one_created(tmp_path, script):
    store = await changed(tmp_path, script)
    assert await recorded(store) == ["cube.gcode"]
    assert store.trouble is None
    await store.close()
    assert (tmp_path / "nozzled.db.damaged").exists()


@pytest.mark.parametrize("wrong", ["path = x'ff00'", "size = 'large'", "started_at = 'early'"])
async def test_an_invalid_row_is_left_out(tmp_path, wrong):
    store = await changed(tmp_path, f"UPDATE jobs SET {wrong}, ended_at = NULL, outcome = NULL")
    assert await store.unfinished_jobs() == []
    assert await recorded(store) == ["cube.gcode"]
    await store.close()


async def test_the_record_is_in_memory_and_the_trouble_reported_if_the_disk_fails(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("daemon.database._lock_file", refused)
    store = Store(lambda: 2000.0, print)
    await store.open(tmp_path)
    assert await recorded(store) == ["cube.gcode"]
    assert "Read-only file system" in (store.trouble or "")
    await store.close()
    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(StoreError, match="Read-only file system"):
        await Store(lambda: 2000.0, print).open(tmp_path / "none")


def migrate(path: Path) -> int:
    async def scenario() -> int:
        async with opened(path) as store:
            [[version]] = await store.query("PRAGMA user_version")
            return version

    return asyncio.run(scenario())


def test_migrations_run_in_order_and_a_broken_one_changes_nothing(tmp_path, monkeypatch):
    scripts = tmp_path / "schema"
    scripts.mkdir()
    monkeypatch.setattr(Store, "schema", scripts)
    (scripts / "v1.sql").write_text("CREATE TABLE t (a);")
    state = tmp_path / "state"
    assert migrate(state) == 1
    (scripts / "v2.sql").write_text("ALTER TABLE t ADD b;")
    for version in range(3, 11):  # v10 comes after v9, not after v1
        (scripts / f"v{version}.sql").write_text(f"INSERT INTO t VALUES ({version}, 0);")
    (scripts / "v11.sql").write_text("INSERT INTO nowhere VALUES (1);")
    with pytest.raises(StoreError, match="no such table: nowhere"):
        migrate(state)
    (scripts / "v11.sql").unlink()
    assert migrate(state) == 10
    db = sqlite3.connect(state / "nozzled.db")
    assert [row[0] for row in db.execute("SELECT a FROM t ORDER BY rowid")] == list(range(3, 11))
    db.close()


NONSENSE = b"not a database, but long enough to have a header\n" * 10


async def test_an_invalid_database_is_set_aside_and_a_new_one_created(tmp_path):
    (tmp_path / "nozzled.db").write_bytes(NONSENSE)
    async with opened(tmp_path) as store:
        assert await store.begin_job(CUBE) == 1
    assert (tmp_path / "nozzled.db.damaged").read_bytes() == NONSENSE
    async with opened(tmp_path) as store:
        assert len(await store.jobs(5)) == 1


async def test_a_database_that_is_damaged_in_a_print_is_set_aside_and_the_next_print_is_recorded(tmp_path):
    troubles = Troubles()
    async with opened(tmp_path, troubles) as store:
        for _ in range(500):
            await store.begin_job(CUBE)
    with (tmp_path / "nozzled.db").open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(8 * 4096))
    async with opened(tmp_path, troubles) as store:
        with pytest.raises(StoreError, match="malformed"):
            await store.jobs(500)
        assert await store.jobs(500) == []
        assert await store.begin_job(CUBE) == 1
    assert (tmp_path / "nozzled.db.damaged").exists()


def test_a_directory_that_cannot_be_used_is_named_with_the_reason(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"state directory .*/file/state: Not a directory"):
        asyncio.run(Store(lambda: 0.0, print).open(tmp_path / "file" / "state"))
    with pytest.raises(StoreError, match=r"state directory .*/file: it is not a folder"):
        asyncio.run(Store(lambda: 0.0, print).open(tmp_path / "file"))
    (tmp_path / "link").symlink_to(tmp_path / "not mounted")
    with pytest.raises(StoreError, match=r"state directory .*/link: it is a link that leads nowhere"):
        asyncio.run(Store(lambda: 0.0, print).open(tmp_path / "link"))


FRAME = 24 + 4096  # bytes of a page in SQLite's write-ahead log, and of the header in front of it
HEADER = 32  # bytes in front of the first


async def every_kind_of_write(store: Store, committed: Callable[[], Awaitable[None]]) -> None:
    """Write as a daemon does, and call `committed` after each commit."""
    for outcome in ("COMPLETED", "FAILED"):
        job_id = await store.begin_job(CUBE)
        await committed()
        store.checkpoint(job_id, "PRINTING", 5, 120)
        await until(lambda: not store._pending)
        await committed()
        store.end_job(job_id, outcome, "why? " * 2000, 7, 150, 12.5)  # of more than one page
        await until(lambda: not store._pending)
        await committed()


async def content(store: Store) -> list[JobRecord]:
    return await store.jobs(100)


@asynccontextmanager
async def database_of(folder: Path, database: bytes, log: bytes) -> AsyncIterator[Store]:
    """The store that finds these files."""
    await asyncio.to_thread(leave, folder, database, log)
    async with opened(folder) as store:
        yield store


def leave(folder: Path, database: bytes, log: bytes) -> None:
    folder.mkdir()
    (folder / "nozzled.db").write_bytes(database)
    (folder / "nozzled.db-wal").write_bytes(log)


def test_a_kill_during_any_write_loses_nothing_committed(tmp_path):
    """A killed process leaves what it has written so far: the log, cut anywhere."""

    async def scenario() -> None:
        state = tmp_path / "state"
        database, log = state / "nozzled.db", state / "nozzled.db-wal"
        async with opened(state) as store:
            commits: list[tuple[int, object]] = []

            async def committed() -> None:
                commits.append((log.stat().st_size, await content(store)))

            await committed()
            await every_kind_of_write(store, committed)
            whole, written = database.read_bytes(), log.read_bytes()
        for frame in range(commits[0][0], len(written), FRAME):
            for cut in (frame, frame + 1, frame + 24, frame + FRAME // 2, frame + FRAME - 1):
                expected = [rows for size, rows in commits if size <= cut][-1]
                async with database_of(tmp_path / f"cut{cut}", whole, written[:cut]) as store:
                    assert await content(store) == expected, f"cut at {cut} of {len(written)}"
                    assert await store.begin_job(CUBE) is not None, "it can be written to"

    asyncio.run(scenario())


def test_a_database_killed_during_its_creation_is_created_again(tmp_path):
    async def scenario() -> None:
        state = tmp_path / "state"
        async with opened(state) as store:
            whole, written = (state / "nozzled.db").read_bytes(), (state / "nozzled.db-wal").read_bytes()
            empty = await content(store)
        assert len(written) > HEADER + FRAME
        for frame in range(HEADER, len(written), FRAME):
            for cut in (frame, frame + 25, frame + FRAME - 1):
                async with database_of(tmp_path / f"cut{cut}", whole, written[:cut]) as store:
                    assert await content(store) == empty
                    assert await store.begin_job(CUBE) is not None

    asyncio.run(scenario())


def test_a_kill_during_a_checkpoint_of_the_log_loses_nothing(tmp_path):
    """Any of the pages may be in the database already, or half so, while the log is still whole."""

    async def scenario() -> None:
        state = tmp_path / "state"
        database, log = state / "nozzled.db", state / "nozzled.db-wal"
        async with opened(state) as store:
            await every_kind_of_write(store, partial(asyncio.sleep, 0))
            before, written = database.read_bytes(), log.read_bytes()
            expected = await content(store)
        after = database.read_bytes()  # closing has carried it over
        assert len(after) > len(before) > 0
        assert not log.exists()
        for cut in range(0, len(after) + 1, 1024):
            torn = after[:cut] + before[cut:]
            async with database_of(tmp_path / f"cut{cut}", torn, written) as store:
                assert await content(store) == expected

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", ["a folder", "a link to nowhere", "a pipe"])
async def test_anything_else_in_place_of_the_database_is_set_aside_too(tmp_path, kind):
    path = tmp_path / "nozzled.db"
    if kind == "a folder":
        path.mkdir()
        (path / "file").touch()
    elif kind == "a pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(tmp_path / "nowhere")
    store = Store(lambda: 0.0, print)
    await store.open(tmp_path)
    assert await store.jobs(5) == []
    await store.close()
    assert (tmp_path / "nozzled.db.damaged").is_symlink() or (tmp_path / "nozzled.db.damaged").exists()


async def test_earlier_copies_set_aside_are_not_in_the_way(tmp_path):
    path = tmp_path / "nozzled.db"
    for is_folder in (True, True, False):
        path.unlink(missing_ok=True)
        if is_folder:
            path.mkdir()
            (path / "file").touch()
        else:
            path.write_bytes(b"noise" * 1000)
        store = Store(lambda: 0.0, print)
        await store.open(tmp_path)
        await store.close()
    assert (tmp_path / "nozzled.db.damaged-3").is_file()


def test_a_record_older_than_keys_is_migrated(tmp_path):
    with sqlite3.connect(tmp_path / "nozzled.db") as db:
        for version in (1, 2, 3):
            db.executescript((Path(module.__file__).with_name("schema") / f"v{version}.sql").read_text())
        db.execute("PRAGMA user_version = 3")
        columns = "path, name, size, mtime_ns, origin, printer, state, started_at, ended_at, outcome"
        db.execute(f"INSERT INTO jobs ({columns}) VALUES ('a', 'a', 1, 2, 'local', 'sim', 'FAILED', 3, 4, 'FAILED')")
    db.close()

    async def life() -> tuple[list[JobRecord], FileStatistics]:
        async with opened(tmp_path) as store:
            claimed = await store.claim_job(replace(CUBE, key="k", mark="m", began=False))
            job = await store.job_of_key("k")
            assert job is not None
            assert (job.id, job.began) == (claimed, False)
            return await store.jobs(10), await store.statistics("a")

    jobs, statistics = asyncio.run(life())
    assert [(job.name, job.key, job.began) for job in jobs] == [("cube.gcode", "k", False), ("a", None, True)]
    assert statistics.failure == 1
