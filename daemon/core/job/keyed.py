"""Prints that are asked for with a key: each begins at most once, even if a request is repeated or the host dies.

The key is recorded before anything is sent to the printer, and stays recorded. So it is also used up by a print that
was recorded but never began, because the host died in between; such a request gets `NeverBegan`.
"""

import asyncio
from collections.abc import Callable

from daemon.bridge.words import JobState, KeyedPrint, Selection
from daemon.core.job.controller import JobController
from daemon.core.job.job_snapshot import ClaimedJob
from daemon.core.record.store import JobRecord, NewJob, Store
from daemon.errors import JobConflict, KeyReused, NeverBegan


class KeyedPrints:
    """Begins prints by their keys, one after the other."""

    def __init__(self, jobs: JobController, store: Store, address: Callable[[], str | None]) -> None:
        """Prepare.

        Args:
            jobs: begins them.
            store: knows them.
            address: tells which printer is connected.
        """
        self._jobs = jobs
        self._address = address
        self._store = store
        self._turn = asyncio.Lock()

    async def begin(
        self,
        file: Selection | None,
        key: str,
        mark: str,
        *,
        eject: bool = False,
        fits: Callable[[], None] = lambda: None,
    ) -> KeyedPrint:
        """Print a file, or the one that is selected, unless the key has been used; return its job.

        Args:
            file: becomes the selected one.
            key: of this print.
            mark: of what is asked for; it has to be the same each time.
            eject: a print that completes is to clear the bed by the script for it.
            fits: raises JobConflict where it is not to begin for another reason; asked as it begins.

        Raises:
            JobConflict: it cannot begin now; the key stays unused.
            KeyReused: the key belongs to something else that was asked for.
            NeverBegan: it was written down, and then the host died.
            StoreError: it cannot be recorded.
        """
        async with self._turn:
            if (known := await self._store.job_of_key(key)) is not None:
                return _again(known, mark)
            chosen = self._jobs.printable(file)
            claimed = await self._store.claim_job(self._record(chosen, key, mark))
            try:
                fits()
                self._jobs.start(chosen, ClaimedJob(claimed, key, mark, eject))
            except JobConflict:
                await self._store.release_job(claimed)
                raise
            return KeyedPrint(claimed, key, mark, JobState.STARTING.value)

    async def find(self, key: str) -> KeyedPrint | None:
        """Return the job of a key; None: nothing was ever begun with it, nor is it now."""
        async with self._turn:  # one that is about to begin has begun by then, or has not
            known = await self._store.job_of_key(key)
        return keyed_print(known) if known is not None else None

    def _record(self, chosen: Selection, key: str, mark: str) -> NewJob:
        return NewJob(
            chosen.path,
            chosen.name,
            chosen.size,
            chosen.sha1,
            chosen.mtime_ns,
            "local",
            chosen.user,
            self._address() or "",
            key=key,
            mark=mark,
            began=False,
        )


def _again(known: JobRecord, mark: str) -> KeyedPrint:
    if known.mark != mark:
        raise KeyReused(f"the idempotency key was used for another request (job {known.id})")
    if known.ended_at is not None and not known.began:
        raise NeverBegan(
            f"the print with this idempotency key (job {known.id}) was recorded and never began: {known.reason}. "
            "Send another key to print it"
        )
    return keyed_print(known, again=True)


def keyed_print(known: JobRecord, *, again: bool = False) -> KeyedPrint:
    """Return what is told of a job of the record."""
    return KeyedPrint(
        known.id,
        known.key or "",
        known.mark or "",
        known.state.lower(),
        known.reason,
        began=known.began,
        ended=known.ended_at is not None,
        ejected=known.ejected,
        again=again,
    )
