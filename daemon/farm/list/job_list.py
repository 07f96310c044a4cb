"""JobList: the farm's jobs and their copies, the only truth about which printer prints what.

Theory of operation. A *job* is a file and its requirements; each print of it is a *copy*. A copy is in one state:

    waiting ──offer──▶ offered ──claim──▶ claimed ──report──▶ printing ──report──▶ done, failed, cancelled
       ▲                  │ declined, or     │ "not begun"
       │                  │ lease over       │
       └──────────────────┴──────────────────┘

- *An offer is cheap, a claim is final.* An offer has a lease, which a download renews. When it runs out, the copy waits
  again: nothing has begun. A claimed copy stays with its printer until that printer's report or a user ends it. No
  timer and no restart ends it, because the printer may be printing it while it cannot reach the server. So no copy is
  ever printed twice.
- *Each decision is one compare-and-set of one row*: `UPDATE … WHERE state = … AND printer = … AND attempt = …`. It
  changes one row or none, so it does not matter how many servers share the database.
- *Old messages change nothing.* Each offer raises the copy's `attempt`; messages about earlier attempts are refused.
  The printer chooses a `nonce` for its claim: if the answer is lost, the repeated claim is granted again, while the
  claim of a second agent under the same name is refused. The final states never change.
- *Users request, printers decide.* Cancelling a claimed copy only sets its `wish`; its printer is asked to end it, and
  reports the end.
- *Three faults* before the start fail a copy. A printer that declines a job for a fault gets no copies of that job for
  10 minutes; a printer that cannot print the job at all gets none until a user edits or releases that job
  (`farm_declines`).
- *Order.* Priority, due date, then the rank that users gave the job. Jobs with the same requirements form a `Kind`,
  so an offer reads only the kinds that fit the printer, along an index, however long the list is. For that index,
  `recount` keeps the number of waiting copies in the job's row, in the transaction that changes them.
- *A job that was handed over* to a site belongs to that site's list. This list mirrors what the site reports.

Synchronous; one thread calls it. Every method is one transaction. `printer_actions` has what printers may do,
`user_actions` what users may do, `queries` what clients may read.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

from daemon.farm.list import old_files, printer_actions, queries, rows, site_jobs, tidying, user_actions, wait_reasons
from daemon.farm.list.database import ListDatabase, Transaction
from daemon.farm.list.values import FarmCopy, FarmJob, FileFacts, FileRef, JobChanges, JobRequest, ListedEvent
from daemon.farm.messages import AWAY_AFTER_S, LEASE_S, HeldCopy, Offer, Presence, Report


def _ignore() -> None:
    """Do nothing: the default of `on_change`."""


class JobList:
    """The list.

    Args:
        url: `sqlite:////path/farm.db`, `sqlite://` for one in memory, or `postgresql://…`.
        wall: returns the Unix time in s.
        away_s: seconds of silence after which a printer is away.

    Attributes:
        on_change: called after each transaction that has changed something which clients see; not after renewed leases,
            stored presences and tidying.

    Raises:
        ConfigError: the URL is none of these.
        StoreError: the database cannot be used, or a newer version has written it.
        ListAway: the database does not answer; all methods raise this.
    """

    def __init__(self, url: str, wall: Callable[[], float], away_s: float = AWAY_AFTER_S) -> None:
        self._database = ListDatabase(url, wall)
        self._away_s = away_s
        self.on_change: Callable[[], None] = _ignore

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Change something in one transaction, then call `on_change`. The API's keys, too, are in this database."""
        with self._database.write() as tx:
            yield tx
        if tx.has_changes:
            self.on_change()

    def read(self) -> AbstractContextManager[Transaction]:
        """Read one state of the list."""
        return self._database.read()

    # -- files and jobs ------------------------------------------------------------------------------------

    def put_file(self, facts: FileFacts) -> None:
        """Store the facts about a file."""
        with self.write() as tx:
            user_actions.put_file(tx, facts)

    def file(self, sha256: str) -> FileFacts:
        """Return the facts about a file; raises UnknownFile."""
        with self._database.read() as tx:
            return user_actions.get_file(tx, sha256)

    def add(self, request: JobRequest) -> FarmJob:
        """Make a job; a repeated id or key returns the same job. Raises BadJob, UnknownFile, IdempotencyKeyReused."""
        with self.write() as tx:
            return user_actions.add(tx, request)[0]

    def submit(self, request: JobRequest) -> tuple[FarmJob, bool]:
        """Do as `add`, and also return whether the job is new."""
        with self.write() as tx:
            return user_actions.add(tx, request)

    def edit(self, job: str, changes: JobChanges, revision: int | None = None, by: str = "") -> FarmJob:
        """Change a job if it still has this revision; raises NoSuchJob, StaleRevision, BadJob, FarmConflict."""
        with self.write() as tx:
            return user_actions.edit(tx, job, changes, revision, by)

    def move(self, job: str, before: str | None, by: str = "") -> FarmJob:
        """Move a job before another; None: behind all of its priority and due date. Raises NoSuchJob, FarmConflict."""
        with self.write() as tx:
            return user_actions.move(tx, job, before, by)

    def hold(self, job: str, by: str = "") -> FarmJob:
        """Offer no more copies of a job until it is released."""
        with self.write() as tx:
            return user_actions.hold(tx, job, by)

    def release(self, job: str, by: str = "") -> FarmJob:
        """Offer a job again, even to printers that have declined it."""
        with self.write() as tx:
            return user_actions.release(tx, job, by)

    def cancel_job(self, job: str, by: str = "") -> list[FarmCopy]:
        """Cancel the copies of a job, and return them. One that has begun ends with its printer's report."""
        with self.write() as tx:
            return user_actions.cancel_job(tx, job, by)

    def cancel_copy(self, copy: str, by: str = "") -> FarmCopy:
        """Cancel a copy. One that has begun ends with its printer's report. Raises NoSuchCopy, FarmConflict."""
        with self.write() as tx:
            return user_actions.cancel_copy(tx, copy, by)

    def print_again(self, copy: str, by: str = "") -> FarmCopy:
        """Make a copy to replace this one, which has begun or ended; raises NoSuchCopy, FarmConflict."""
        with self.write() as tx:
            return user_actions.print_again(tx, copy, by)

    def settle(self, copy: str, state: str, by: str = "") -> FarmCopy:
        """Record how an orphan ended, "done" or "failed", as the user says; raises NoSuchCopy, FarmConflict."""
        with self.write() as tx:
            return user_actions.settle(tx, copy, state, by)

    # -- printers ------------------------------------------------------------------------------------------

    def store_presence(self, printer: str, presence: Presence) -> None:
        """Store the last presence of a printer, without `on_change`."""
        with self._database.write() as tx:
            tidying.store_presence(tx, printer, presence)

    def load_presences(self) -> dict[str, Presence]:
        """Return the last presence of each known printer."""
        with self._database.read() as tx:
            return queries.presences(tx)

    def forget_printer(self, printer: str, by: str = "") -> None:
        """Forget a printer; raises FarmConflict while it holds a copy."""
        with self.write() as tx:
            tidying.forget_printer(tx, printer, by)

    def offer(self, printer: str, presence: Presence, lease_s: float = LEASE_S) -> Offer | None:
        """Return an offer of the first copy that fits a printer, or its current offer; None: it can get none now."""
        with self.write() as tx:
            return printer_actions.offer(tx, printer, presence, lease_s)

    def renew(self, printer: str, copy: str, attempt: int, lease_s: float = LEASE_S) -> bool:
        """Renew the lease of an offer; False: this printer no longer has the offer."""
        with self._database.write() as tx:  # clients see no leases
            return printer_actions.renew(tx, printer, copy, attempt, lease_s)

    def claim(self, printer: str, copy: str, attempt: int, nonce: str) -> bool:
        """Decide whether this printer may begin this copy; a repeated claim gets the same answer."""
        with self.write() as tx:
            return printer_actions.claim(tx, printer, copy, attempt, nonce)

    def held_copies(self, printer: str) -> list[HeldCopy]:
        """Return the copies that a printer holds, according to this list."""
        with self._database.read() as tx:
            return [printer_actions.to_held_copy(copy) for copy in printer_actions.held_copies(tx, printer)]

    def report(self, printer: str, report: Report) -> bool:
        """Apply a printer's report; False: it is about an old attempt, or contradicts a final state."""
        with self.write() as tx:
            return printer_actions.apply_report(tx, printer, report)

    def expire(self, lease_s: float = LEASE_S) -> list[FarmCopy]:
        """Take back the offers whose lease has run out; return their copies as they were."""
        with self.write() as tx:
            return printer_actions.expire(tx, lease_s)

    def file_for(self, printer: str, copy: str, attempt: int) -> FileRef | None:
        """Return the file of a copy that a printer holds; None: it does not hold the copy."""
        with self._database.read() as tx:
            return printer_actions.file_for(tx, printer, copy, attempt)

    # -- sites ---------------------------------------------------------------------------------------------

    def hand_over(self, job: str, site: str, by: str = "") -> FarmJob:
        """Give a whole job to a site, for good; raises NoSuchJob, FarmConflict."""
        with self.write() as tx:
            return user_actions.hand_over(tx, job, site, by)

    def jobs_of_site(self, site: str) -> list[FarmJob]:
        """Return the unfinished jobs of a site."""
        with self._database.read() as tx:
            return site_jobs.unfinished_jobs(tx, site)

    def cancelled_at_site(self, site: str) -> list[str]:
        """Return the ids of a site's copies that a user has cancelled, and that have not ended yet."""
        with self._database.read() as tx:
            return site_jobs.cancelled_copies(tx, site)

    def mirror(self, site: str, reported: list[FarmCopy]) -> None:
        """Store the copies that a site reports of its jobs."""
        with self.write() as tx:
            user_actions.mirror(tx, site, reported)

    # -- what is shown -------------------------------------------------------------------------------------

    def job(self, job: str) -> FarmJob:
        """Return a job; raises NoSuchJob."""
        with self._database.read() as tx:
            return rows.get_job(tx, job)

    def copy(self, copy: str) -> FarmCopy:
        """Return a copy; raises NoSuchCopy."""
        with self._database.read() as tx:
            return rows.get_copy(tx, copy)

    def open_jobs(self, limit: int = queries.MAX_ROWS, offset: int = 0) -> list[FarmJob]:
        """Return unfinished jobs, in the order of printing."""
        with self._database.read() as tx:
            return queries.open_jobs(tx, limit, offset)

    def count_open_jobs(self) -> int:
        """Return the number of unfinished jobs."""
        with self._database.read() as tx:
            return queries.count_open_jobs(tx)

    def ended_jobs(self, limit: int = queries.MAX_ROWS, offset: int = 0) -> list[FarmJob]:
        """Return ended jobs, the newest first."""
        with self._database.read() as tx:
            return queries.ended_jobs(tx, limit, offset)

    def copies(self, job: str) -> list[FarmCopy]:
        """Return the copies of a job; raises NoSuchJob."""
        with self._database.read() as tx:
            return queries.job_copies(tx, job)

    def all_held_copies(self) -> list[FarmCopy]:
        """Return the copies that printers hold (offered, claimed, printing), without those at sites."""
        with self._database.read() as tx:
            return queries.all_held_copies(tx)

    def history(
        self,
        limit: int = 100,
        before: float | None = None,
        printer: str = "",
        state: str = "",
        name: str = "",
        before_copy: str = "",
    ) -> list[FarmCopy]:
        """Return ended copies, the newest first; `name` matches any part of the job's name."""
        with self._database.read() as tx:
            return queries.history(tx, limit, before, printer, state, name, before_copy)

    def job_names(self, jobs: Iterable[str]) -> dict[str, str]:
        """Return the names of jobs, by id."""
        with self._database.read() as tx:
            return queries.job_names(tx, jobs)

    def events(self, since: int = 0, limit: int = queries.MAX_ROWS, job: str = "") -> list[ListedEvent]:
        """Return the events after the one with this number."""
        with self._database.read() as tx:
            return queries.events_since(tx, since, limit, job)

    def newest_events(self, limit: int, job: str = "") -> list[ListedEvent]:
        """Return the newest events, in order; given a job's id, only those of this job."""
        with self._database.read() as tx:
            return queries.newest_events(tx, limit, job)

    def last_event(self) -> int:
        """Return the number of the newest event."""
        with self._database.read() as tx:
            return queries.last_event(tx)

    def has_waiting_copies(self) -> bool:
        """Tell whether there is a copy to offer."""
        with self._database.read() as tx:
            return queries.has_waiting_copies(tx)

    def count_copies(self) -> dict[str, int]:
        """Return the number of copies in each state."""
        with self._database.read() as tx:
            return queries.count_copies(tx)

    def why_job_waits(
        self, job: str, presences: dict[str, Presence], write_date: wait_reasons.WriteDate | None = None
    ) -> list[str]:
        """Return why a job waits, in sentences; raises NoSuchJob."""
        with self._database.read() as tx:
            return queries.why_job_waits(tx, job, presences, write_date, self._away_s)

    def why_jobs_wait(self, presences: dict[str, Presence], limit: int = 100, offset: int = 0) -> dict[str, list[str]]:
        """Return why unfinished jobs wait, in the order of printing, by id."""
        with self._database.read() as tx:
            return queries.why_jobs_wait(tx, presences, limit, offset, self._away_s)

    def add_event(self, by: str, what: str, printer: str = "", text: str = "") -> None:
        """Add an event that changes nothing else in the list."""
        with self.write() as tx:
            tx.add_event(by, what, printer=printer, text=text)

    def count_claims(self) -> int:
        """Return how many claims have ever been granted."""
        with self._database.read() as tx:
            return queries.counter(tx, "claim")

    def old_files(self, days: float) -> list[str]:
        """Return the oldest files that no job has needed for this many days, at most MAX_FILES."""
        with self._database.read() as tx:
            return old_files.old_files(tx, days)

    def is_old(self, sha256: str, days: float) -> bool:
        """Tell whether no job has needed a file for this many days."""
        with self._database.read() as tx:
            return bool(old_files.old_files(tx, days, sha256))

    def forget_file(self, sha256: str) -> None:
        """Mark a file as deleted; its facts stay for the history."""
        with self._database.write() as tx:
            old_files.forget_file(tx, sha256)

    def tidy(self) -> None:
        """Drop old events, jobs and facts; calling it once a day is enough."""
        with self._database.write() as tx:
            tidying.tidy(tx)
