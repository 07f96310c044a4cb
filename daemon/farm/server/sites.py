"""Sites: a hub hands whole jobs over to sites, each with a server, a job list and a NATS of its own.

Theory of operation. The hub's list records which jobs belong to a site, and offers those to no printer. The site polls
the hub. Each question reports the copies that have changed; the answer lists the site's open jobs and the copies to
cancel. No job can get lost between the two lists: an unanswered question is repeated, a job is added only once (by its
id), and a copy has the same id in both lists. A site that is cut off prints the jobs that it has, and reports later.
"""

import asyncio
import os
from contextlib import suppress
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from daemon.errors import ServiceError
from daemon.farm.carrier.errors import FarmRefused, FarmUnreachable
from daemon.farm.carrier.files import hash_of
from daemon.farm.errors import FarmConflict, FarmError, NoSuchCopy, NoSuchJob, UnknownFile
from daemon.farm.list.job_list import JobList
from daemon.farm.list.values import FarmCopy, FarmJob, FileFacts, JobRequest
from daemon.farm.messages import CHUNK, FarmMessage
from daemon.farm.server.files import FarmFiles
from daemon.farm.server.list_thread import ListThread

POLL_INTERVAL = 5.0  # between two questions
RETRY_DELAY = 15.0  # after a question without an answer
MAX_COPIES, MAX_JOBS = 200, 20  # in one message
MAX_JOBS_BYTES = 512 << 10  # of the jobs in one answer: NATS carries 1 MiB, and ids of jobs and copies come on top

log = structlog.get_logger()


class HandedJob(FarmMessage, frozen=True, kw_only=True):
    """A job as the hub sends it to a site, with the facts about its file.

    It has the fields of a Submission, but allows unknown ones: hub and site may be of different versions.
    """

    id: str
    sha256: str
    name: str
    copies: int
    file: FileFacts
    material: str = ""
    colour: str = ""
    nozzle_mm: float = 0.0
    group: str = ""
    printers: tuple[str, ...] = ()
    priority: int = 0
    due: float | None = None
    notes: str = ""
    held: bool = False


class SiteQuestion(FarmMessage, frozen=True):
    """A site's poll: the copies that have changed, and the ids of the jobs that it lacks."""

    changed: list[FarmCopy] = msgspec.field(default_factory=list)
    wanted: list[str] = msgspec.field(default_factory=list)


class SiteAnswer(FarmMessage, frozen=True):
    """The hub's answer: ids of all open jobs of the site, the jobs that it lacked, and ids of copies to cancel."""

    open: list[str] = msgspec.field(default_factory=list)
    jobs: list[HandedJob] = msgspec.field(default_factory=list)
    cancel: list[str] = msgspec.field(default_factory=list)


class FileQuestion(FarmMessage, frozen=True):
    """Asks for a part of a file, from an offset in bytes."""

    sha256: str
    offset: int = 0


class HubConnection(Protocol):
    """The connection from a site to the hub."""

    async def ask(self, kind: str, body: bytes) -> bytes:
        """Return the hub's answer; raises FarmUnreachable, FarmRefused."""


class SiteHub:
    """The hub's side: answers the questions of its sites."""

    def __init__(self, jobs: ListThread, files: FarmFiles, sites: tuple[str, ...]) -> None:
        self._jobs = jobs
        self._files = files
        self._sites = sites

    async def answer(self, site: str, kind: str, body: bytes) -> bytes:
        """Answer a site; raises FarmRefused."""
        if site not in self._sites:
            raise FarmRefused(f"{site} is not a site of this farm: add it to sites.sites in the hub's configuration")
        try:
            if kind == "sync":
                return await self._answer_sync(site, msgspec.json.decode(body, type=SiteQuestion))
            if kind == "file":
                return await self._answer_file(site, msgspec.json.decode(body, type=FileQuestion))
        except msgspec.MsgspecError as error:
            raise FarmRefused(f"the hub cannot read the question {kind!r}: {error}") from error
        raise FarmRefused(f"the hub does not know the question {kind[:40]!r}")

    async def _answer_sync(self, site: str, question: SiteQuestion) -> bytes:
        def sync(jobs: JobList) -> SiteAnswer:
            if question.changed:
                jobs.mirror(site, question.changed)
            site_jobs = {job.id: job for job in jobs.jobs_of_site(site)}
            missing = [site_jobs[each] for each in question.wanted[:MAX_JOBS] if each in site_jobs]
            answers = _first_fitting([_make_handed(job, jobs.file(job.sha256)) for job in missing])
            return SiteAnswer([*site_jobs], answers, jobs.cancelled_at_site(site))

        return msgspec.json.encode(await self._jobs.call_quietly(sync))

    async def _answer_file(self, site: str, question: FileQuestion) -> bytes:
        hashes = await self._jobs.call_quietly(lambda jobs: {job.sha256 for job in jobs.jobs_of_site(site)})
        if question.sha256 not in hashes:
            raise FarmRefused(f"no job of {site} has this file")
        return await self._files.read_chunk(question.sha256, question.offset)


class OwnSite:
    """The site's side: polls the hub, adds its jobs to the site's list, and cancels copies.

    Attributes:
        trouble: why the hub does not answer; empty: it answers.
    """

    def __init__(
        self, jobs: ListThread, files: FarmFiles, hub: HubConnection, folder: Path, poll: float = POLL_INTERVAL
    ) -> None:
        """Prepare.

        Args:
            jobs: the site's list.
            files: the site's files.
            hub: the connection to the hub.
            folder: for incomplete files.
            poll: s between two questions.
        """
        self.trouble = "the hub has not been reached yet"
        self._jobs = jobs
        self._files = files
        self._hub = hub
        self._folder = folder
        self._poll_s = poll
        self._open_jobs: list[str] = []  # ids of the hub's open jobs for this site
        self._added_jobs: set[str] = set()  # those of them that are in the site's list
        self._confirmed_copies: dict[str, FarmCopy] = {}  # copies as the hub has last confirmed them, by id
        self._refused_jobs: set[str] = set()  # ids of jobs that could not be added; others are fetched first

    async def run(self) -> None:
        """Poll the hub until cancelled."""
        while True:
            pause = self._poll_s
            try:
                more = await self.poll_once()
                if self.trouble:
                    log.info("site.hub_reached")
                self.trouble = ""
                pause = 0.0 if more else pause
            except (ServiceError, OSError) as error:  # also StorageFull
                if str(error) != self.trouble:
                    log.warning("site.hub_away", reason=str(error), consequence="the jobs that are here are printed")
                self.trouble, pause = str(error), max(RETRY_DELAY * self._poll_s / POLL_INTERVAL, self._poll_s)
            await asyncio.sleep(pause)

    async def poll_once(self) -> bool:
        """Ask the hub once; return whether there is more to report or to fetch right away."""
        changed = await self._changed_copies()
        missing = [each for each in self._open_jobs if each not in self._added_jobs]
        missing.sort(key=lambda each: each in self._refused_jobs)
        question = SiteQuestion(changed[:MAX_COPIES], missing[:MAX_JOBS])
        answer = _decode(await self._hub.ask("sync", msgspec.json.encode(question)))
        self._confirmed_copies |= {copy.id: copy for copy in question.changed}
        self._open_jobs = answer.open
        still_open = {*answer.open}
        self._added_jobs &= still_open
        self._refused_jobs &= still_open
        self._confirmed_copies = {key: copy for key, copy in self._confirmed_copies.items() if copy.job in still_open}
        await self._find_added()
        try:
            await self._add_all(answer.jobs)
        finally:  # last, because a copy of a new job may be cancelled already; and even if a job could not be added
            await self._cancel(answer.cancel)
        return len(changed) > MAX_COPIES or any(each not in self._added_jobs for each in self._open_jobs)

    async def _add_all(self, jobs: list[HandedJob]) -> None:
        """Add jobs. One that cannot be added, such as one whose file the hub has lost, does not hold up the others.

        Raises:
            FarmRefused: one could not be added.
        """
        refused = None
        for job in jobs:
            try:
                await self._add(job)
            except (FarmRefused, FarmError) as error:
                self._refused_jobs.add(job.id)
                refused = FarmRefused(f"job {job.name} of the hub cannot be taken: {error}")
        if refused is not None:
            raise refused

    async def _changed_copies(self) -> list[FarmCopy]:
        """Return the copies of the hub's jobs that have changed since the hub confirmed them."""
        ids = [each for each in self._open_jobs if each in self._added_jobs]
        copies = await self._jobs.call_quietly(lambda jobs: [copy for each in ids for copy in jobs.copies(each)])
        return [copy for copy in copies if self._confirmed_copies.get(copy.id) != copy]

    async def _find_added(self) -> None:
        """Find out which of the hub's jobs are already in the site's list, for example after a restart."""
        ids = [each for each in self._open_jobs if each not in self._added_jobs]

        def find_listed(jobs: JobList) -> set[str]:
            listed = set()
            for each in ids:
                with suppress(NoSuchJob):
                    listed.add(jobs.job(each).id)
            return listed

        if ids:
            self._added_jobs |= await self._jobs.call_quietly(find_listed)

    async def _add(self, job: HandedJob) -> None:
        """Add a job after its file has arrived: the list must name no missing file."""
        if not await self._has_file(job.sha256):
            await self._fetch(job.sha256, job.file.size)
        request = JobRequest(
            id=job.id, sha256=job.sha256, name=job.name, copies=job.copies, material=job.material, colour=job.colour,
            nozzle_mm=job.nozzle_mm, group=job.group, printers=job.printers, priority=job.priority, due=job.due,
            notes=job.notes, held=job.held, by="hub",
        )  # fmt: skip

        def add(jobs: JobList) -> FarmJob:
            jobs.put_file(job.file)
            return jobs.add(request)

        await self._jobs.call(add)
        self._added_jobs.add(job.id)
        log.info("site.job_taken", job=job.id, name=job.name, copies=job.copies)

    async def _has_file(self, sha256: str) -> bool:
        try:
            await self._jobs.call_quietly(lambda jobs: jobs.file(sha256))
            await self._files.get_path(sha256)
        except (UnknownFile, FarmRefused):
            return False
        return True

    async def _fetch(self, sha256: str, size: int) -> None:
        path = self._folder / f"{sha256}.site"
        offset = await asyncio.to_thread(_length, path)  # an earlier attempt may have fetched a part
        while chunk := await self._hub.ask("file", msgspec.json.encode(FileQuestion(sha256, offset))):
            offset += len(chunk)
            if offset > size or len(chunk) > CHUNK:
                await asyncio.to_thread(path.unlink, missing_ok=True)
                raise FarmRefused(f"the hub sent too many bytes of the file {sha256[:12]}…")
            await asyncio.to_thread(_append, path, chunk)
        if await asyncio.to_thread(hash_of, path) != sha256:
            await asyncio.to_thread(path.unlink)
            raise FarmRefused(f"the file {sha256[:12]}… from the hub is damaged; it will be fetched again")
        await self._files.add(path)

    async def _cancel(self, copies: list[str]) -> None:
        for copy in copies:
            try:
                await self._jobs.call(partial(_cancel_copy, copy))
            except (FarmConflict, NoSuchCopy):  # it has ended: the next poll reports that
                continue


def _decode(answer: bytes) -> SiteAnswer:
    try:
        return msgspec.json.decode(answer, type=SiteAnswer)
    except msgspec.MsgspecError as error:
        raise FarmUnreachable(f"cannot read the hub's answer: {error}") from error


def _cancel_copy(copy: str, jobs: JobList) -> FarmCopy:
    return jobs.cancel_copy(copy, "hub")


def _make_handed(job: FarmJob, file: FileFacts) -> HandedJob:
    return HandedJob(
        id=job.id, sha256=job.sha256, name=job.name, copies=job.copies, file=file, material=job.material,
        colour=job.colour, nozzle_mm=job.nozzle_mm, group=job.group, printers=job.printers, priority=job.priority,
        due=job.due, notes=job.notes, held=job.held,
    )  # fmt: skip


def _first_fitting(jobs: list[HandedJob]) -> list[HandedJob]:
    """Return as many of the first jobs as fit into one answer, at least one; the site asks for the others again."""
    sizes = accumulate(len(msgspec.json.encode(job)) for job in jobs)
    return [job for n, (job, size) in enumerate(zip(jobs, sizes, strict=True)) if not n or size <= MAX_JOBS_BYTES]


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
