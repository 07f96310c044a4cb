"""Leftovers: the jobs that the previous host left: one to reattach to, and those whose end has not been recorded."""

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
from daemon.errors import CannotReattach, StoreError
from gcode.frozen import frozen

log = structlog.get_logger()


@frozen
class Leftover:
    """What the previous host left.

    Attributes:
        runner: the runner of the job to reattach to.
        outcome: how the last job without a recorded end ended, and why; `selection` is its file if it still exists.
        heaters_may_be_on: heaters of the printer may be on.
        printer: the address of that printer; None: not known.
    """

    runner: Runner | None = None
    outcome: tuple[JobState, str | None] | None = None
    selection: Selection | None = None
    heaters_may_be_on: bool = False
    printer: str | None = None


class Leftovers:
    """Reads the logbook and the store once, at the start."""

    def __init__(self, survival: Survival, store: Store, uploads: Path) -> None:
        """Prepare; `uploads` is the folder to which selections are relative."""
        self._survival = survival
        self._store = store
        self._uploads = uploads

    async def record_ends(self, make_runner: Callable[[JobSnapshot], Runner]) -> Leftover:
        """Record the end of every job that cannot be reattached; return what the previous host left.

        Args:
            make_runner: returns the runner for the job of a snapshot; raises CannotReattach.
        """
        snapshot, runner, obstacle = None, None, None
        try:
            snapshot = await self._survival.snapshot()
            if snapshot is not None and snapshot.ending is None:
                runner = make_runner(snapshot)
        except CannotReattach as error:
            obstacle = str(error)
            log.warning(
                "job.cannot_go_on", reason=obstacle, consequence="heaters are turned off as soon as the printer answers"
            )
        places = self._survival.places
        hot_printer = places.latest.hot_printer
        # even if the store has no record of the job
        may_be_on = obstacle is not None or hot_printer is not None
        leftover = Leftover(runner, heaters_may_be_on=may_be_on, printer=hot_printer or None)
        unfinished = await self._read_unfinished_jobs()
        continued = snapshot if runner is not None else None
        if continued is not None and continued.file and all(record.id != continued.job for record in unfinished):
            # its record was lost: the disk was full, or the database was damaged
            continued.job = await self._store.begin_job(continued.record(continued.file))
        ends = [
            (record, *_ending_of(record, snapshot, obstacle))
            for record in unfinished
            if continued is None or record.id != continued.job
        ]
        if ends:
            record, _, ending = ends[-1]
            leftover = replace(
                leftover, heaters_may_be_on=ending.hot or hot_printer is not None, printer=record.printer
            )
        if snapshot is not None and snapshot.ending is not None and snapshot.ending.hot:
            leftover = replace(leftover, heaters_may_be_on=True, printer=snapshot.address)
        if runner is None:
            # first: once the ends are recorded, only this tells a next host that heaters may still be on
            await places.forget((leftover.printer or "") if leftover.heaters_may_be_on else None)
        for record, state, ending in ends:
            selection = await self._record(record, state, ending)
            leftover = replace(leftover, outcome=(state, ending.reason), selection=selection)
        return leftover

    async def _read_unfinished_jobs(self) -> list[JobRecord]:
        try:
            return await self._store.unfinished_jobs()
        except StoreError as error:
            log.error("store.unreadable", reason=str(error), consequence="how the last prints ended is not recorded")  # noqa: TRY400 - no bug
            return []

    async def _record(self, record: JobRecord, state: JobState, ending: Ending) -> Selection | None:
        """Record how a job ended; return its file."""
        self._store.end_job(record.id, state.name, ending.reason, ending.lines, ending.offset, ending.print_time)
        log.warning("job.recorded_late", file=record.path, outcome=state.name, reason=ending.reason)
        return await asyncio.to_thread(self._select_again, record)

    def _select_again(self, record: JobRecord) -> Selection | None:
        try:
            status = (self._uploads / record.path).stat()
        except (OSError, ValueError):  # ValueError: a name with a null byte
            return None
        sha1 = record.sha1 if (record.size, record.mtime_ns) == (status.st_size, status.st_mtime_ns) else None
        return Selection(
            record.path, record.name, status.st_size, int(status.st_mtime), record.user, status.st_mtime_ns, sha1
        )


def _ending_of(record: JobRecord, snapshot: JobSnapshot | None, obstacle: str | None) -> tuple[JobState, Ending]:
    """Return how a job ended: as its snapshot says, or else interrupted, because its host ended."""
    if snapshot is not None and snapshot.ending is not None and snapshot.job == record.id:
        return snapshot.state, snapshot.ending
    machine = JobMachine(_ignore, JobState.REATTACHING)
    machine.fire("interrupt")
    if not record.began:
        return machine.state, Ending("the service ended before the print began; nothing was sent", 0, 0, 0.0, hot=True)
    reason = f"the daemon ended during the print; at least {record.lines} lines were acknowledged"
    if obstacle:
        reason += f"; it could not continue: {obstacle}"
    return machine.state, Ending(reason, record.lines, record.offset, record.print_time or 0.0, hot=True)


def _ignore(trigger: Trigger, old: JobState, new: JobState) -> None:
    """Do nothing: only the end of this job is recorded."""
