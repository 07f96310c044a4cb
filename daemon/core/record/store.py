"""Store: the record of jobs, in the core's database, `nozzled.db`.

A disk that fails or is full must not stop a print, so recording progress never raises an error. The newest state that
could not be written is kept and written later. The user is told once each time that trouble begins.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import msgspec

from daemon.bridge.words import FileStatistics, LastPrint
from daemon.database import Database, transaction
from daemon.errors import StoreError
from gcode.frozen import frozen

RETRY_INTERVAL = 5.0
"""Seconds until a failed write is tried again."""

COMPLETED = "COMPLETED"

MAX_HISTORIES = 200
"""Files in one answer, so that the answer fits into a frame of the bridge and does not hold up the wire."""


@frozen
class NewJob:
    """A job that starts; `path` is that of its file in the folder of uploads."""

    path: str
    name: str
    size: int
    sha1: str | None
    mtime_ns: int
    origin: str
    user: str | None
    printer: str
    state: str = "STARTING"
    key: str | None = None
    mark: str | None = None
    began: bool = True


@frozen
class JobRecord:
    """A job as it is stored: `state` is the last one recorded, and equals `outcome` once it has ended.

    Attributes:
        key: the idempotency key of its request; `mark` identifies what the request asks for.
        began: its file was opened; nothing is sent before that.
        resends: the number of resend requests; None: not counted.
        ejected: the script that clears the bed has run to its end.
    """

    id: int
    path: str
    name: str
    size: int
    sha1: str | None
    mtime_ns: int
    origin: str
    user: str | None
    printer: str
    state: str
    started_at: float
    ended_at: float | None
    outcome: str | None
    reason: str | None
    lines: int
    offset: int
    print_time: float | None
    key: str | None = None
    mark: str | None = None
    began: bool = True
    resends: int | None = None
    ejected: bool = False


@frozen
class _Progress:
    """The part of a job's row that changes; with an outcome it is final."""

    state: str
    lines: int
    offset: int
    ended_at: float | None = None
    outcome: str | None = None
    reason: str | None = None
    print_time: float | None = None
    resends: int | None = None
    ejected: bool = False


class Store(Database):
    """The record of jobs. Its lock guards the whole state directory, for one daemon at a time.

    Call it from the event loop only. Reading raises StoreError; trouble with recording goes to `on_trouble`.
    """

    file = "nozzled.db"
    lock = "lock"
    lock_scope = ""
    damage_consequence = "the record of prints starts over"
    schema = Path(__file__).with_name("schema")
    works_in_memory = True  # a card that has become read-only must not keep printers from being used

    def __init__(self, wall: Callable[[], float], on_trouble: Callable[[Exception], None]) -> None:
        super().__init__(on_trouble)
        self._wall = wall
        self._pending: dict[int, _Progress] = {}  # newest progress of each job that is not on disk yet
        # changes whenever the end of a job is recorded, and from one run to the next
        self.revision = int.from_bytes(os.urandom(4)) >> 1
        self.on_ended: Callable[[], None] = lambda: None  # called when the revision changes
        self._writing: asyncio.Future[None] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._closing = False

    async def close(self) -> None:
        """Try once more to write what is pending; then close the database and release the directory. Idempotent."""
        if self._closing or self._db is None:
            return
        self._closing = True
        await self._wait_for_write()
        self._write_pending()
        await self._wait_for_write()
        await super().close()

    async def begin_job(self, job: NewJob) -> int | None:
        """Record that a job starts; return its id once that is done; None: it cannot be recorded."""
        try:
            job_id = await self._run(self._insert_job, job, self._wall())
        except sqlite3.Error as error:
            self._note_trouble(error)
            return None
        self._note_recovery()
        return job_id

    async def claim_job(self, job: NewJob) -> int:
        """Record that a job with a key is about to begin; return its id once it is on the disk.

        Raises:
            StoreError: it cannot be recorded, so a repeated request would begin the print again.
        """
        if self._in_memory_reason is not None:
            raise StoreError(f"the print was not started, as it cannot be recorded: {self._in_memory_reason}")
        try:
            job_id = await self._run(self._insert_job, job, self._wall())
        except sqlite3.Error as error:
            self._note_trouble(error)
            raise StoreError(f"the print was not started, as it cannot be recorded: {error}") from error
        self._note_recovery()
        return job_id

    async def begin_claimed(self, job_id: int, job: NewJob) -> None:
        """Record that a claimed job begins with this file; nothing may be sent for the job before that.

        Raises:
            StoreError: it cannot be recorded.
        """
        try:
            await self._run(self._begin_claimed, job_id, job)
        except sqlite3.Error as error:
            self._note_trouble(error)
            raise StoreError(f"the print was not started, as it cannot be recorded: {error}") from error
        self._note_recovery()

    async def release_job(self, job_id: int) -> None:
        """Delete the claim of a job that could not begin; if this fails, record that the job never began."""
        try:
            await self._run(self._delete_claim, job_id)
        except sqlite3.Error as error:
            self._note_trouble(error)
            self.end_job(job_id, "INTERRUPTED", "it could not begin", 0, 0, 0.0)

    async def job_of_key(self, key: str) -> JobRecord | None:
        """Return the job with this key, in its newest state.

        Raises:
            StoreError: the record cannot be read.
        """
        for job in await self._jobs("SELECT * FROM jobs WHERE key = ?", key):
            newest = self._pending.get(job.id)
            return replace(job, **asdict(newest)) if newest is not None else job
        return None

    def checkpoint(self, job_id: int | None, state: str, lines: int, offset: int) -> None:
        """Record how far a job has got. This returns at once; if several states wait, only the newest is written."""
        self._note(job_id, _Progress(state, lines, offset))

    def end_job(
        self,
        job_id: int | None,
        outcome: str,
        reason: str | None,
        lines: int,
        offset: int,
        print_time: float,
        resends: int | None = None,
        ejected: bool = False,
    ) -> None:
        """Record how a job ended. This returns at once; writing is retried until it succeeds or the store is closed."""
        ended = self._wall()
        self._note(job_id, _Progress(outcome, lines, offset, ended, outcome, reason, print_time, resends, ejected))

    def _note(self, job_id: int | None, progress: _Progress) -> None:
        if job_id is None:  # the job could not be recorded when it began
            return
        pending = self._pending.get(job_id)
        if pending is None or pending.outcome is None:  # nothing comes after the end
            self._pending[job_id] = progress
        self._write_pending()

    def _write_pending(self) -> None:
        """Write what is pending, unless a write is in progress or waits for its next try."""
        if not self._pending or self._writing or self._retry:
            return
        batch = dict(self._pending)
        loop = asyncio.get_running_loop()
        self._writing = loop.run_in_executor(self._thread, self._work, self._update_jobs, batch)
        self._writing.add_done_callback(partial(self._on_written, batch))

    def _on_written(self, batch: dict[int, _Progress], done: asyncio.Future[None]) -> None:
        self._writing = None
        try:
            done.result()
        except sqlite3.Error as error:
            self._note_trouble(error)
            if not self._closing:
                self._retry = done.get_loop().call_later(RETRY_INTERVAL, self._try_again)
            return
        for job_id, progress in batch.items():
            if self._pending[job_id] is progress:
                del self._pending[job_id]
        if any(progress.outcome for progress in batch.values()):
            self.revision += 1
            self.on_ended()
        self._note_recovery()

    def _try_again(self) -> None:
        self._retry = None
        self._write_pending()

    async def _wait_for_write(self) -> None:
        """Wait for the write in progress, and cancel the next try."""
        while self._writing:
            await asyncio.wait([self._writing])
        if self._retry:
            self._retry.cancel()
            self._retry = None

    def _note_recovery(self) -> None:
        super()._note_recovery()
        if self._retry:
            self._retry.cancel()
        self._try_again()

    async def unfinished_jobs(self) -> list[JobRecord]:
        """Return the jobs whose end has not been recorded, oldest first; some of them may never have begun."""
        return await self._jobs("SELECT * FROM jobs WHERE ended_at IS NULL ORDER BY id")

    async def jobs(self, limit: int) -> list[JobRecord]:
        """Return the last jobs, newest first."""
        return await self._jobs("SELECT * FROM jobs ORDER BY id DESC LIMIT ?", limit)

    async def jobs_after(self, job_id: int, limit: int) -> list[JobRecord]:
        """Return the jobs after job `job_id`, oldest first."""
        return await self._jobs("SELECT * FROM jobs WHERE id > ? ORDER BY id LIMIT ?", job_id, limit)

    async def _jobs(self, query: str, *values: object) -> list[JobRecord]:
        return [job for row in await self.query(query, *values) if (job := _job(row)) is not None]

    async def statistics(self, path: str) -> FileStatistics:
        """Return how the prints of the file at this path ended."""
        [[success, total, average]] = await self.query(_COUNTS, path)
        last = await self.query(_LAST, path)
        return FileStatistics(
            success,
            total - success,
            _last_print(last[0]) if last else None,
            average,
        )

    async def histories(self, after: str = "") -> dict[str, FileStatistics]:
        """Return how the prints of files ended, by path, for the first MAX_HISTORIES files after the path `after`."""
        return {
            row["path"]: FileStatistics(
                row["success"],
                row["total"] - row["success"],
                _last_print(row),
                row["average"],
            )
            for row in await self.query(_HISTORIES, after, MAX_HISTORIES)
        }

    # From here on: on the database's thread.

    def _insert_job(self, job: NewJob, started_at: float) -> int:
        with transaction(self._connection, durable=True) as db:
            return db.execute(_INSERT, asdict(job) | {"started_at": started_at}).lastrowid or 0

    def _begin_claimed(self, job_id: int, job: NewJob) -> None:
        with transaction(self._connection, durable=True) as db:
            if db.execute(_BEGIN_CLAIMED, asdict(job) | {"id": job_id}).rowcount != 1:
                raise sqlite3.IntegrityError("its record is gone")

    def _delete_claim(self, job_id: int) -> None:
        with transaction(self._connection, durable=True) as db:
            db.execute("DELETE FROM jobs WHERE id = ? AND NOT began", (job_id,))

    def _update_jobs(self, batch: dict[int, _Progress]) -> None:
        ends = any(progress.outcome for progress in batch.values())
        with transaction(self._connection, durable=ends) as db:
            db.executemany(_UPDATE, [asdict(progress) | {"id": job_id} for job_id, progress in batch.items()])


def _last_print(row: sqlite3.Row) -> LastPrint:
    return LastPrint(row["ended_at"], row["outcome"] == COMPLETED, row["print_time"], row["outcome"])


def _job(row: sqlite3.Row) -> JobRecord | None:
    """Return the record in a row; None: nozzled has not written this row."""
    try:
        values = dict(row)
        return msgspec.convert(values | {name: bool(values[name]) for name in ("began", "ejected")}, JobRecord)
    except msgspec.ValidationError:
        return None


_INSERT = """
    INSERT INTO jobs (path, name, size, sha1, mtime_ns, origin, user, printer, state, started_at, key, mark, began)
    VALUES (:path, :name, :size, :sha1, :mtime_ns, :origin, :user, :printer, :state, :started_at, :key, :mark, :began)
"""
_BEGIN_CLAIMED = """
    UPDATE jobs SET path = :path, name = :name, size = :size, sha1 = :sha1, mtime_ns = :mtime_ns, began = 1
    WHERE id = :id AND ended_at IS NULL
"""
_UPDATE = """
    UPDATE jobs SET state = :state, lines = :lines, offset = :offset, ended_at = :ended_at,
        outcome = :outcome, reason = :reason, print_time = :print_time, resends = :resends, ejected = :ejected
    WHERE id = :id AND ended_at IS NULL
"""
_COUNTS = """
    SELECT count(*) FILTER (WHERE outcome = 'COMPLETED'), count(*),
        avg(print_time) FILTER (WHERE outcome = 'COMPLETED')
    FROM jobs WHERE path = ? AND ended_at IS NOT NULL AND began
"""
_LAST = """
    SELECT ended_at, outcome, print_time FROM jobs
    WHERE path = ? AND ended_at IS NOT NULL AND began ORDER BY ended_at DESC, id DESC LIMIT 1
"""
_HISTORIES = """
    SELECT path, count(*) FILTER (WHERE outcome = 'COMPLETED') AS success, count(*) AS total,
        avg(print_time) FILTER (WHERE outcome = 'COMPLETED') AS average,
        max(ended_at) AS ended_at, outcome, print_time  -- SQLite: the last two are those of the row with the maximum
    FROM jobs WHERE path > ? AND ended_at IS NOT NULL AND began GROUP BY path ORDER BY path LIMIT ?
"""
