"""JobList: the farm's jobs, the only truth about who prints what. Synchronous; one thread calls it.

Every method is one transaction. What printers may do is in `handing`, what people may do in `wishing`.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from daemon.farm.list import handed, handing, old_files, reading, rows, tidying, waiting, wishing
from daemon.farm.list.database import ListDatabase, Transaction
from daemon.farm.list.words import FarmCopy, FarmJob, FileFacts, FileRef, JobChanges, JobWish, ListedEvent
from daemon.farm.messages import LEASE, Held, Offer, Presence, Report


def _nothing() -> None:
    """Nobody wants to know."""


class JobList:
    """The list.

    Args:
        url: `sqlite:////path/farm.db`, `sqlite://` for one in memory, or `postgresql://…`.
        wall: the time, in seconds since 1970.

    Attributes:
        on_change: called behind each transaction that has changed something.

    Raises:
        ConfigError: the URL means nothing.
        StoreError: the database cannot be used, or a newer version has written it.
        ListAway: it does not answer; so do all methods.
    """

    def __init__(self, url: str, wall: Callable[[], float]) -> None:
        self._database = ListDatabase(url, wall)
        self.on_change: Callable[[], None] = _nothing

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def backup(self, target: Path) -> None:
        """Copy a list in SQLite to a file, while it is in use."""
        self._database.backup(target)

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Change something, in one transaction, and tell who wants to know; for what belongs to the list's database."""
        with self._database.write() as tx:
            yield tx
        if tx.changed:
            self.on_change()

    def read(self) -> AbstractContextManager[Transaction]:
        """Look at one state of the list."""
        return self._database.read()

    # -- files and jobs ------------------------------------------------------------------------------------

    def put_file(self, facts: FileFacts) -> None:
        """Keep what is known of a file."""
        with self.write() as tx:
            wishing.put_file(tx, facts)

    def file(self, sha256: str) -> FileFacts:
        """Return what is known of a file; raises UnknownFile."""
        with self._database.read() as tx:
            return wishing.get_file(tx, sha256)

    def add(self, wish: JobWish) -> FarmJob:
        """Make a job; the same id or key again is the same job. Raises BadWish, UnknownFile, WishReused."""
        with self.write() as tx:
            return wishing.add(tx, wish)[0]

    def submit(self, wish: JobWish) -> tuple[FarmJob, bool]:
        """Do as `add`; tell, too, whether the job is a new one."""
        with self.write() as tx:
            return wishing.add(tx, wish)

    def edit(self, job: str, changes: JobChanges, revision: int | None = None, by: str = "") -> FarmJob:
        """Change a job of this revision; raises NoSuchJob, StaleRevision, BadWish, FarmConflict."""
        with self.write() as tx:
            return wishing.edit(tx, job, changes, revision, by)

    def move(self, job: str, before: str | None, by: str = "") -> FarmJob:
        """Put a job before another one, None: behind all of its kind; raises NoSuchJob, FarmConflict."""
        with self.write() as tx:
            return wishing.move(tx, job, before, by)

    def hold(self, job: str, by: str = "") -> FarmJob:
        """Begin no more copies of a job."""
        with self.write() as tx:
            return wishing.hold(tx, job, by)

    def release(self, job: str, by: str = "") -> FarmJob:
        """Let a job begin again, also at printers that have declined it."""
        with self.write() as tx:
            return wishing.release(tx, job, by)

    def cancel_job(self, job: str, by: str = "") -> list[FarmCopy]:
        """Cancel what has not begun, ask for an end of what has; return these copies."""
        with self.write() as tx:
            return wishing.cancel_job(tx, job, by)

    def cancel_copy(self, copy: str, by: str = "") -> FarmCopy:
        """Cancel a copy, or ask its printer for an end; raises NoSuchCopy, FarmConflict."""
        with self.write() as tx:
            return wishing.cancel_copy(tx, copy, by)

    def again(self, copy: str, by: str = "") -> FarmCopy:
        """Make a copy in the place of this one; raises NoSuchCopy, FarmConflict."""
        with self.write() as tx:
            return wishing.again(tx, copy, by)

    def settle(self, copy: str, state: str, by: str = "") -> FarmCopy:
        """Take a person's word, "done" or "failed", for an orphan; raises NoSuchCopy, FarmConflict."""
        with self.write() as tx:
            return wishing.settle(tx, copy, state, by)

    # -- printers ------------------------------------------------------------------------------------------

    def seen(self, printer: str, presence: Presence) -> None:
        """Keep the last word of a printer; nobody is told of it."""
        with self._database.write() as tx:
            tidying.keep_presence(tx, printer, presence)

    def printers(self) -> dict[str, Presence]:
        """Return the last word of each printer that has ever been seen."""
        with self._database.read() as tx:
            return reading.presences(tx)

    def forget_printer(self, printer: str, by: str = "") -> None:
        """Show a printer no more that is gone; raises FarmConflict while it holds a copy."""
        with self.write() as tx:
            tidying.forget_printer(tx, printer, by)

    def offer(self, printer: str, presence: Presence, lease_s: float = LEASE) -> Offer | None:
        """Hold the first copy that fits out to a printer that is ready; the same again while one is held out."""
        with self.write() as tx:
            return handing.offer(tx, printer, presence, lease_s)

    def renew(self, printer: str, copy: str, attempt: int, lease_s: float = LEASE) -> bool:
        """Let an offer hold longer."""
        with self._database.write() as tx:  # nothing that anybody sees
            return handing.renew(tx, printer, copy, attempt, lease_s)

    def claim(self, printer: str, copy: str, attempt: int, nonce: str) -> bool:
        """Decide that this printer begins this copy; the same question again has the same answer."""
        with self.write() as tx:
            return handing.claim(tx, printer, copy, attempt, nonce)

    def held(self, printer: str) -> list[Held]:
        """Return what the list believes that a printer holds."""
        with self._database.read() as tx:
            return [handing.as_held(copy) for copy in handing.held(tx, printer)]

    def report(self, printer: str, report: Report) -> bool:
        """Take a printer's word; False: it is of an old attempt, or contradicts what is final."""
        with self.write() as tx:
            return handing.report(tx, printer, report)

    def expire(self) -> list[FarmCopy]:
        """Have copies wait again whose offers nobody has answered in time; return them as they were."""
        with self.write() as tx:
            return handing.expire(tx)

    def may_read(self, printer: str, copy: str, attempt: int) -> FileRef | None:
        """Return the file that a printer may read."""
        with self._database.read() as tx:
            return handing.may_read(tx, printer, copy, attempt)

    # -- sites ---------------------------------------------------------------------------------------------

    def hand_over(self, job: str, site: str, by: str = "") -> FarmJob:
        """Give a whole job to a site, for good; raises NoSuchJob, FarmConflict."""
        with self.write() as tx:
            return wishing.hand_over(tx, job, site, by)

    def handed(self, site: str) -> list[FarmJob]:
        """Return the jobs of a site that have not ended."""
        with self._database.read() as tx:
            return handed.handed(tx, site)

    def cancels(self, site: str) -> list[str]:
        """Return the copies at a site that a person wants ended."""
        with self._database.read() as tx:
            return handed.cancels(tx, site)

    def mirror(self, site: str, said: list[FarmCopy]) -> None:
        """Show what a site reports of its jobs."""
        with self.write() as tx:
            wishing.mirror(tx, site, said)

    # -- what is shown -------------------------------------------------------------------------------------

    def job(self, job: str) -> FarmJob:
        """Return a job; raises NoSuchJob."""
        with self._database.read() as tx:
            return rows.get_job(tx, job)

    def copy(self, copy: str) -> FarmCopy:
        """Return a copy; raises NoSuchCopy."""
        with self._database.read() as tx:
            return rows.get_copy(tx, copy)

    def jobs(self, limit: int = reading.MOST, offset: int = 0) -> list[FarmJob]:
        """Return jobs that have not ended, in the order in which they are printed."""
        with self._database.read() as tx:
            return reading.open_jobs(tx, limit, offset)

    def ended_jobs(self, limit: int = reading.MOST, offset: int = 0) -> list[FarmJob]:
        """Return jobs that have ended, the newest first."""
        with self._database.read() as tx:
            return reading.ended_jobs(tx, limit, offset)

    def copies(self, job: str) -> list[FarmCopy]:
        """Return the copies of a job; raises NoSuchJob."""
        with self._database.read() as tx:
            return reading.job_copies(tx, job)

    def outstanding(self) -> list[FarmCopy]:
        """Return what printers hold: offered, claimed, printing."""
        with self._database.read() as tx:
            return reading.outstanding(tx)

    def history(
        self, limit: int = 100, before: float | None = None, printer: str = "", state: str = "", name: str = ""
    ) -> list[FarmCopy]:
        """Return copies that have ended, the newest first; of jobs with `name` in their names."""
        with self._database.read() as tx:
            return reading.history(tx, limit, before, printer, state, name)

    def names(self, jobs: Iterable[str]) -> dict[str, str]:
        """Return what jobs are called, by id."""
        with self._database.read() as tx:
            return reading.names(tx, jobs)

    def events(self, since: int = 0, limit: int = reading.MOST, job: str = "") -> list[ListedEvent]:
        """Return who did what, behind an event."""
        with self._database.read() as tx:
            return reading.events_since(tx, since, limit, job)

    def last_event(self) -> int:
        """Return the number of the newest event."""
        with self._database.read() as tx:
            return reading.last_event(tx)

    def anything_waiting(self) -> bool:
        """Tell whether there is a copy to give away."""
        with self._database.read() as tx:
            return reading.anything_waiting(tx)

    def counts(self) -> dict[str, int]:
        """Return how many copies are in each state."""
        with self._database.read() as tx:
            return reading.counts(tx)

    def why_waiting(self, job: str, presences: dict[str, Presence], clock: waiting.Clock | None = None) -> list[str]:
        """Return why no copy of a job begins now, in sentences; raises NoSuchJob."""
        with self._database.read() as tx:
            return reading.why_waiting(tx, job, presences, clock)

    def reasons(self, presences: dict[str, Presence], limit: int = 100, offset: int = 0) -> dict[str, list[str]]:
        """Return the same for jobs of the list in its order, by id."""
        with self._database.read() as tx:
            return reading.reasons(tx, presences, limit, offset)

    def note(self, by: str, what: str, printer: str = "", text: str = "") -> None:
        """Write down what somebody did that is nowhere else."""
        with self.write() as tx:
            tx.event(by, what, printer=printer, text=text)

    def claims(self) -> int:
        """Return how many claims were ever granted."""
        with self._database.read() as tx:
            return reading.counter(tx, "claim")

    def old_files(self, days: float) -> list[str]:
        """Return files that no job has needed for so long; some, the oldest first."""
        with self._database.read() as tx:
            return old_files.old_files(tx, days)

    def forget_file(self, sha256: str) -> None:
        """Forget what is known of a file."""
        with self._database.write() as tx:
            old_files.forget_file(tx, sha256)

    def tidy(self) -> None:
        """Drop what is older than it is kept; once a day is enough."""
        with self._database.write() as tx:
            tidying.tidy(tx)
