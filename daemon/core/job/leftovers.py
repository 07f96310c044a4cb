"""Leftovers: what an earlier run of the daemon has left: a job to go on with, or one whose end is not recorded yet."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import structlog

from daemon.bridge.words import JobState, Selection
from daemon.core.job.job_snapshot import Ending, JobSnapshot
from daemon.core.job.machine import JobMachine
from daemon.core.job.runner import Runner
from daemon.core.job.states import Trigger
from daemon.core.job.survival import Survival
from daemon.core.record.store import JobRecord, Store
from daemon.errors import CannotGoOn, StoreError
from gcode.frozen import frozen

log = structlog.get_logger()


@frozen
class Leftover:
    """What there was.

    Attributes:
        runner: of a job to go on with.
        outcome: how a job ended that nobody had recorded, and why; with it goes `selection`, if its file is there.
        hot: the heaters of `printer`, an address, may still be on.
    """

    runner: Runner | None = None
    outcome: tuple[JobState, str | None] | None = None
    selection: Selection | None = None
    hot: bool = False
    printer: str | None = None


class Leftovers:
    """Looks into the logbook and the store, once at the start."""

    def __init__(self, survival: Survival, store: Store, uploads: Path) -> None:
        """Prepare; `uploads` is the folder that selections are relative to."""
        self._survival = survival
        self._store = store
        self._uploads = uploads

    async def settle(self, revive: Callable[[JobSnapshot], Runner]) -> Leftover:
        """Record how the jobs ended that nobody goes on with; return what there was.

        Args:
            revive: returns what goes on with the job of a snapshot; CannotGoOn where it cannot.
        """
        snapshot, runner, obstacle = None, None, None
        try:
            snapshot = await self._survival.snapshot()
            if snapshot is not None and snapshot.ending is None:
                runner = revive(snapshot)
        except CannotGoOn as error:
            obstacle = str(error)
            log.warning(
                "job.cannot_go_on", reason=obstacle, consequence="heaters are turned off as soon as the printer answers"
            )
        if runner is None:
            self._survival.places.forget()
        found = Leftover(runner, hot=obstacle is not None)  # also where the store knows nothing of it
        unfinished = await self._unfinished()
        going_on = snapshot if runner is not None else None
        if going_on is not None and going_on.file and all(record.id != going_on.job for record in unfinished):
            going_on.job = await self._store.begin_job(going_on.record(going_on.file))  # the disk was full, or forgets
        for record in unfinished:
            if going_on is None or record.id != going_on.job:
                state, ending = _end(record, snapshot, obstacle)
                found = await self._record(record, state, ending, runner)
        if snapshot is not None and snapshot.ending is not None and snapshot.ending.hot:
            found = replace(found, hot=True, printer=snapshot.address)
        return found

    async def _unfinished(self) -> list[JobRecord]:
        try:
            return await self._store.unfinished_jobs()
        except StoreError as error:
            log.error("store.unreadable", reason=str(error), consequence="how the last prints ended is not recorded")  # noqa: TRY400 - no bug
            return []

    async def _record(self, record: JobRecord, state: JobState, ending: Ending, runner: Runner | None) -> Leftover:
        self._store.end_job(record.id, state.name, ending.reason, ending.lines, ending.offset, ending.print_time)
        log.warning("job.left", file=record.path, outcome=state.name, reason=ending.reason)
        selection = await asyncio.to_thread(self._select_again, record)
        return Leftover(runner, (state, ending.reason), selection, hot=ending.hot, printer=record.printer)

    def _select_again(self, record: JobRecord) -> Selection | None:
        try:
            found = (self._uploads / record.path).stat()
        except (OSError, ValueError):  # a name with a null byte
            return None
        known = record.sha1 if (record.size, record.mtime_ns) == (found.st_size, found.st_mtime_ns) else None
        return Selection(
            record.path, record.name, found.st_size, int(found.st_mtime), record.user, found.st_mtime_ns, known
        )


def _end(record: JobRecord, snapshot: JobSnapshot | None, obstacle: str | None) -> tuple[JobState, Ending]:
    """Return how a job ended: as its snapshot says, else its host died with it, and its heaters may still be on."""
    if snapshot is not None and snapshot.ending is not None and snapshot.job == record.id:
        return snapshot.state, snapshot.ending
    machine = JobMachine(_unheard, JobState.REATTACHING)
    machine.fire("interrupt")
    if not record.began:
        return machine.state, Ending("the service ended before the print began; nothing was sent", 0, 0, 0.0, hot=True)
    reason = f"the daemon ended during the print; at least {record.lines} lines were acknowledged"
    if obstacle:
        reason += f"; it could not go on: {obstacle}"
    return machine.state, Ending(reason, record.lines, record.offset, record.print_time or 0.0, hot=True)


def _unheard(trigger: Trigger, old: JobState, new: JobState) -> None:
    """Take a step of a job that nobody watches any more."""
