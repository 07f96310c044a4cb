"""JobList: the farm's jobs and their copies, the only truth about which printer prints what.

Theory of operation. A *job* is a file and the wishes for it; each print of it is a *copy*. A copy is in one state:

    waiting ──offer──▶ offered ──claim──▶ claimed ──report──▶ printing ──report──▶ done, failed, cancelled
       ▲                  │ lease over,      │ "not begun"
       └──────────────────┴── declined ──────┘

- *An offer is cheap, a claim is final.* An offer has a lease, which a download renews. When it runs out, the copy waits
  again: nothing has begun. A claimed copy stays with its printer until that printer's report, or a user, ends it. No
  timer and no restart does: the printer may be printing it although the server cannot hear it. So a copy is never
  printed twice for one wish.
- *Each decision is one compare-and-set of one row*: `UPDATE … WHERE state = … AND printer = … AND attempt = …`. It
  changes one row or none, so it does not matter how many servers share the database.
- *Old messages change nothing.* Each offer raises the copy's `attempt`; messages of earlier attempts are refused. The
  printer chooses a `nonce` for its claim: the same claim again, after an answer was lost, is granted again, and that of
  a second agent under the same name is refused. The final states never change.
- *Users wish, printers decide.* Cancelling a claimed copy only sets its `wish`; its printer is asked to end it, and
  reports the end.
- *Three faults* before the start fail a copy. A printer that declined a job for a fault gets none of its copies for
  10 minutes, one that it cannot print at all for good (`farm_declines`).
- *Order.* Priority, due date, then the position that users gave the job. Jobs with the same needs form a `Kind`, so an
  offer reads only the kinds that fit the printer, along an index, however long the list is. For that index, `recount`
  keeps the number of waiting copies in the job's row, in the transaction that changes them.
- *A job that was handed over* to a site belongs to that site's list. This one mirrors what the site reports.

Synchronous; one thread calls it. Every method is one transaction. `handing` has what printers may do, `wishing` what
users may do, `reading` what is shown.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from daemon.farm.list import handed, handing, old_files, reading, rows, tidying, waiting, wishing
from daemon.farm.list.database import ListDatabase, Transaction
from daemon.farm.list.words import FarmCopy, FarmJob, FileFacts, FileRef, JobChanges, JobWish, ListedEvent
from daemon.farm.messages import LEASE, Held, Offer, Presence, Report


def _ignore() -> None:
    """Do nothing: nobody listens."""


class JobList:
    """The list.

    Args:
        url: `sqlite:////path/farm.db`, `sqlite://` for one in memory, or `postgresql://…`.
        wall: returns the date, in s since 1970.

    Attributes:
        on_change: called after each transaction that has changed something.

    Raises:
        ConfigError: the URL is neither of these.
        StoreError: the database cannot be used, or a newer version has written it.
        ListAway: the database does not answer; all methods raise this.
    """

    def __init__(self, url: str, wall: Callable[[], float]) -> None:
        self._database = ListDatabase(url, wall)
        self.on_change: Callable[[], None] = _ignore

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def backup(self, target: Path) -> None:
        """Copy a list in SQLite to a file, while it is in use."""
        self._database.backup(target)

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Change something in one transaction, then call `on_change`; for others who keep data in this database."""
        with self._database.write() as tx:
            yield tx
        if tx.changed:
            self.on_change()

    def read(self) -> AbstractContextManager[Transaction]:
        """Read one state of the list."""
        return self._database.read()

    # -- files and jobs ------------------------------------------------------------------------------------

    def put_file(self, facts: FileFacts) -> None:
        """Store the facts about a file."""
        with self.write() as tx:
            wishing.put_file(tx, facts)

    def file(self, sha256: str) -> FileFacts:
        """Return the facts about a file; raises UnknownFile."""
        with self._database.read() as tx:
            return wishing.get_file(tx, sha256)

    def add(self, wish: JobWish) -> FarmJob:
        """Make a job; the same id or key again returns the same job. Raises BadWish, UnknownFile, WishReused."""
        with self.write() as tx:
            return wishing.add(tx, wish)[0]

    def submit(self, wish: JobWish) -> tuple[FarmJob, bool]:
        """Do as `add`; also tell whether the job is new."""
        with self.write() as tx:
            return wishing.add(tx, wish)

    def edit(self, job: str, changes: JobChanges, revision: int | None = None, by: str = "") -> FarmJob:
        """Change a job of this revision; raises NoSuchJob, StaleRevision, BadWish, FarmConflict."""
        with self.write() as tx:
            return wishing.edit(tx, job, changes, revision, by)

    def move(self, job: str, before: str | None, by: str = "") -> FarmJob:
        """Put a job before another, None: after all of its priority and due date; raises NoSuchJob, FarmConflict."""
        with self.write() as tx:
            return wishing.move(tx, job, before, by)

    def hold(self, job: str, by: str = "") -> FarmJob:
        """Offer no more copies of a job until it is released."""
        with self.write() as tx:
            return wishing.hold(tx, job, by)

    def release(self, job: str, by: str = "") -> FarmJob:
        """Offer a job again, even to printers that have declined it."""
        with self.write() as tx:
            return wishing.release(tx, job, by)

    def cancel_job(self, job: str, by: str = "") -> list[FarmCopy]:
        """Cancel the copies that have not begun, and wish for the end of the others; return all of these."""
        with self.write() as tx:
            return wishing.cancel_job(tx, job, by)

    def cancel_copy(self, copy: str, by: str = "") -> FarmCopy:
        """Cancel a copy, or wish for its end where it has begun; raises NoSuchCopy, FarmConflict."""
        with self.write() as tx:
            return wishing.cancel_copy(tx, copy, by)

    def again(self, copy: str, by: str = "") -> FarmCopy:
        """Make a copy to replace this one; raises NoSuchCopy, FarmConflict."""
        with self.write() as tx:
            return wishing.again(tx, copy, by)

    def settle(self, copy: str, state: str, by: str = "") -> FarmCopy:
        """End an orphan as the user says, "done" or "failed"; raises NoSuchCopy, FarmConflict."""
        with self.write() as tx:
            return wishing.settle(tx, copy, state, by)

    # -- printers ------------------------------------------------------------------------------------------

    def seen(self, printer: str, presence: Presence) -> None:
        """Store the last presence of a printer, without `on_change`."""
        with self._database.write() as tx:
            tidying.keep_presence(tx, printer, presence)

    def printers(self) -> dict[str, Presence]:
        """Return the last presence of each known printer."""
        with self._database.read() as tx:
            return reading.presences(tx)

    def forget_printer(self, printer: str, by: str = "") -> None:
        """Forget a printer; raises FarmConflict while it holds a copy."""
        with self.write() as tx:
            tidying.forget_printer(tx, printer, by)

    def offer(self, printer: str, presence: Presence, lease_s: float = LEASE) -> Offer | None:
        """Offer a ready printer the first copy that fits; the same again while it has an offer. None: there is none."""
        with self.write() as tx:
            return handing.offer(tx, printer, presence, lease_s)

    def renew(self, printer: str, copy: str, attempt: int, lease_s: float = LEASE) -> bool:
        """Renew the lease of an offer; False: this printer has it no longer."""
        with self._database.write() as tx:  # clients see no leases
            return handing.renew(tx, printer, copy, attempt, lease_s)

    def claim(self, printer: str, copy: str, attempt: int, nonce: str) -> bool:
        """Let this printer begin this copy, or not; the same claim again gets the same answer."""
        with self.write() as tx:
            return handing.claim(tx, printer, copy, attempt, nonce)

    def held(self, printer: str) -> list[Held]:
        """Return the copies that a printer holds, by this list."""
        with self._database.read() as tx:
            return [handing.as_held(copy) for copy in handing.held(tx, printer)]

    def report(self, printer: str, report: Report) -> bool:
        """Apply a printer's report; False: it is of an old attempt, or contradicts a final state."""
        with self.write() as tx:
            return handing.apply_report(tx, printer, report)

    def expire(self) -> list[FarmCopy]:
        """Let copies wait again whose lease has run out; return them as they were."""
        with self.write() as tx:
            return handing.expire(tx)

    def may_read(self, printer: str, copy: str, attempt: int) -> FileRef | None:
        """Return the file of a copy that this printer holds, None where it does not."""
        with self._database.read() as tx:
            return handing.may_read(tx, printer, copy, attempt)

    # -- sites ---------------------------------------------------------------------------------------------

    def hand_over(self, job: str, site: str, by: str = "") -> FarmJob:
        """Give a whole job to a site, for good; raises NoSuchJob, FarmConflict."""
        with self.write() as tx:
            return wishing.hand_over(tx, job, site, by)

    def handed(self, site: str) -> list[FarmJob]:
        """Return the unfinished jobs of a site."""
        with self._database.read() as tx:
            return handed.handed(tx, site)

    def cancels(self, site: str) -> list[str]:
        """Return the ids of copies at a site whose end a user wishes."""
        with self._database.read() as tx:
            return handed.cancels(tx, site)

    def mirror(self, site: str, reported: list[FarmCopy]) -> None:
        """Store the copies that a site reports of its jobs."""
        with self.write() as tx:
            wishing.mirror(tx, site, reported)

    # -- what is shown -------------------------------------------------------------------------------------

    def job(self, job: str) -> FarmJob:
        """Return a job; raises NoSuchJob."""
        with self._database.read() as tx:
            return rows.get_job(tx, job)

    def copy(self, copy: str) -> FarmCopy:
        """Return a copy; raises NoSuchCopy."""
        with self._database.read() as tx:
            return rows.get_copy(tx, copy)

    def jobs(self, limit: int = reading.MAX_ROWS, offset: int = 0) -> list[FarmJob]:
        """Return unfinished jobs, in the order of printing."""
        with self._database.read() as tx:
            return reading.open_jobs(tx, limit, offset)

    def ended_jobs(self, limit: int = reading.MAX_ROWS, offset: int = 0) -> list[FarmJob]:
        """Return ended jobs, the newest first."""
        with self._database.read() as tx:
            return reading.ended_jobs(tx, limit, offset)

    def copies(self, job: str) -> list[FarmCopy]:
        """Return the copies of a job; raises NoSuchJob."""
        with self._database.read() as tx:
            return reading.job_copies(tx, job)

    def outstanding(self) -> list[FarmCopy]:
        """Return the copies that printers hold: offered, claimed, printing."""
        with self._database.read() as tx:
            return reading.outstanding(tx)

    def history(
        self, limit: int = 100, before: float | None = None, printer: str = "", state: str = "", name: str = ""
    ) -> list[FarmCopy]:
        """Return ended copies, the newest first; `name` is a part of the job's name."""
        with self._database.read() as tx:
            return reading.history(tx, limit, before, printer, state, name)

    def names(self, jobs: Iterable[str]) -> dict[str, str]:
        """Return the names of jobs, by id."""
        with self._database.read() as tx:
            return reading.names(tx, jobs)

    def events(self, since: int = 0, limit: int = reading.MAX_ROWS, job: str = "") -> list[ListedEvent]:
        """Return the events after the one with this number."""
        with self._database.read() as tx:
            return reading.events_since(tx, since, limit, job)

    def last_event(self) -> int:
        """Return the number of the newest event."""
        with self._database.read() as tx:
            return reading.last_event(tx)

    def anything_waiting(self) -> bool:
        """Tell whether there is a copy to offer."""
        with self._database.read() as tx:
            return reading.anything_waiting(tx)

    def counts(self) -> dict[str, int]:
        """Return the number of copies in each state."""
        with self._database.read() as tx:
            return reading.counts(tx)

    def why_waiting(self, job: str, presences: dict[str, Presence], clock: waiting.Clock | None = None) -> list[str]:
        """Return why a job waits, in sentences; raises NoSuchJob."""
        with self._database.read() as tx:
            return reading.why_waiting(tx, job, presences, clock)

    def reasons(self, presences: dict[str, Presence], limit: int = 100, offset: int = 0) -> dict[str, list[str]]:
        """Return why unfinished jobs wait, in the order of printing, by id."""
        with self._database.read() as tx:
            return reading.reasons(tx, presences, limit, offset)

    def note(self, by: str, what: str, printer: str = "", text: str = "") -> None:
        """Store an event that changes nothing else in the list."""
        with self.write() as tx:
            tx.event(by, what, printer=printer, text=text)

    def claims(self) -> int:
        """Return the number of claims that were ever granted."""
        with self._database.read() as tx:
            return reading.counter(tx, "claim")

    def old_files(self, days: float) -> list[str]:
        """Return some files that no job has needed for this long, the oldest first."""
        with self._database.read() as tx:
            return old_files.old_files(tx, days)

    def forget_file(self, sha256: str) -> None:
        """Forget a file; its facts stay for the history."""
        with self._database.write() as tx:
            old_files.forget_file(tx, sha256)

    def tidy(self) -> None:
        """Drop what is older than its limit; once a day is enough."""
        with self._database.write() as tx:
            tidying.tidy(tx)
