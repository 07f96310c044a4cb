"""Prints with an idempotency key: each begins at most once, even if a request is repeated or the host dies.

The key is recorded before anything is sent to the printer, and stays recorded unless the print is refused at once. If
the host dies in between, the print never begins, but its key is used up; a repeated request gets `NeverBegan`.
"""

import asyncio
from collections.abc import Callable

from daemon.bridge.words import FileMark, JobState, KeyedPrint, Selection
from daemon.core.job.controller import JobController
from daemon.core.job.job_snapshot import ClaimedJob
from daemon.core.record.store import JobRecord, NewJob, Store
from daemon.errors import JobConflict, KeyReused, NeverBegan, TooLate


class KeyedPrints:
    """Begins prints with keys, one after the other."""

    def __init__(self, jobs: JobController, store: Store, address: Callable[[], str | None]) -> None:
        """Prepare.

        Args:
            jobs: begins the prints.
            store: records them.
            address: returns the address of the connected printer.
        """
        self._jobs = jobs
        self._address = address
        self._store = store
        self._lock = asyncio.Lock()

    async def begin(
        self,
        file: Selection | None,
        key: str,
        mark: str,
        *,
        eject: bool = False,
        checked_file: FileMark | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> KeyedPrint:
        """Print a file, unless a print with this key has begun before; return the job of the key.

        Args:
            file: the file; it becomes the selected one; None: the selected file.
            key: the key of this print.
            mark: identifies what the request asks for; it has to be the same each time.
            eject: run the script that clears the bed when the print completes.
            checked_file: the file that the front has checked, the only one to print; None: whichever file it is.
            check: called just before the print begins; raises JobConflict or TooLate if it must not begin.

        Raises:
            JobConflict, TooLate: it cannot begin now; the key stays unused.
            KeyReused: the key belongs to another request.
            NeverBegan: the print was recorded, but the host died before it began.
            StoreError: it cannot be recorded.
        """
        async with self._lock:
            if (earlier := await self._store.job_of_key(key)) is not None:
                return _repeated_answer(earlier, mark)
            selection = self._jobs.file_to_print(file)
            number = await self._store.claim_job(self._record(selection, key, mark))
            try:
                check()
                self._jobs.start(selection, ClaimedJob(number, key, mark, eject), checked_file)
            except (JobConflict, TooLate):
                await self._store.release_job(number)
                raise
            return KeyedPrint(number, key, mark, JobState.STARTING.value)

    async def find(self, key: str) -> KeyedPrint | None:
        """Return the job of a key; None: there is none."""
        async with self._lock:  # waits until it is clear whether a print that is about to begin has begun
            job = await self._store.job_of_key(key)
        return keyed_print(job) if job is not None else None

    def _record(self, selection: Selection, key: str, mark: str) -> NewJob:
        return NewJob(
            selection.path,
            selection.name,
            selection.size,
            selection.sha1,
            selection.mtime_ns,
            "local",
            selection.user,
            self._address() or "",
            key=key,
            mark=mark,
            began=False,
        )


def _repeated_answer(job: JobRecord, mark: str) -> KeyedPrint:
    """Return the answer to a repeated request."""
    if job.mark != mark:
        raise KeyReused(f"the idempotency key was used for another request (job {job.id})")
    if job.ended_at is not None and not job.began:
        raise NeverBegan(
            f"the print with this idempotency key (job {job.id}) was recorded and never began: {job.reason}. "
            "Send another key to print it"
        )
    return keyed_print(job, again=True)


def keyed_print(job: JobRecord, *, again: bool = False) -> KeyedPrint:
    """Return a recorded job as the answer to its request."""
    return KeyedPrint(
        job.id,
        job.key or "",
        job.mark or "",
        job.state.lower(),
        job.reason,
        began=job.began,
        ended=job.ended_at is not None,
        ejected=job.ejected,
        again=again,
    )
