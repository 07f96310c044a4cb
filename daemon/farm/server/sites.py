"""Sites: a hub hands whole jobs over, and a site with a server, a list and a NATS of its own prints them.

How it works. The hub's list says which jobs are a site's; it never offers those to anybody. The site asks, again and
again: here is what has changed with your jobs, which do you have for me, and what do you want ended? So there is no
second place in which a job waits between the two lists: what was not answered is asked again, a job is added by its id
once, a copy has one id in both lists. A site that is cut off prints what it has, and says later what became of it.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from daemon.farm.carrier.errors import FarmRefused, FarmUnreachable
from daemon.farm.errors import FarmConflict, FarmError, NoSuchCopy, NoSuchJob, UnknownFile
from daemon.farm.list.job_list import JobList
from daemon.farm.list.words import FarmCopy, FarmJob, FileFacts, JobWish
from daemon.farm.messages import CHUNK, FarmMessage
from daemon.farm.server.files import FarmFiles
from daemon.farm.server.list_thread import ListThread

POLL = 5.0  # s between two questions
AGAIN = 15.0  # s after one that was not answered
MOST_COPIES, MOST_JOBS = 200, 20  # in one message

log = structlog.get_logger()


class HandedJob(FarmMessage, frozen=True, kw_only=True):
    """A job on its way to a site, with what is known of its file."""

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
    """What a site says and asks: copies that have changed, jobs that it wants to be told all of."""

    changed: list[FarmCopy] = msgspec.field(default_factory=list)
    wanted: list[str] = msgspec.field(default_factory=list)


class SiteAnswer(FarmMessage, frozen=True):
    """What the hub says: all open jobs of the site, those that it wanted, and copies that are to end."""

    open: list[str] = msgspec.field(default_factory=list)
    jobs: list[HandedJob] = msgspec.field(default_factory=list)
    cancel: list[str] = msgspec.field(default_factory=list)


class FileQuestion(FarmMessage, frozen=True):
    """Asks for a part of a file."""

    sha256: str
    offset: int = 0


class HubLane(Protocol):
    """The way from a site to the hub."""

    async def ask(self, kind: str, body: bytes) -> bytes:
        """Return the hub's answer; raises FarmUnreachable, FarmRefused."""


class SiteHub:
    """What the hub answers its sites."""

    def __init__(self, jobs: ListThread, files: FarmFiles, sites: tuple[str, ...]) -> None:
        self._jobs = jobs
        self._files = files
        self._sites = sites

    async def answer(self, site: str, kind: str, body: bytes) -> bytes:
        """Answer a site; raises FarmRefused."""
        if site not in self._sites:
            raise FarmRefused(f"{site} is no site of this farm: sites.sites in its configuration names them")
        try:
            if kind == "sync":
                return await self._sync(site, msgspec.json.decode(body, type=SiteQuestion))
            if kind == "file":
                return await self._file(site, msgspec.json.decode(body, type=FileQuestion))
        except msgspec.MsgspecError as error:
            raise FarmRefused(f"{kind}: not understood: {error}") from error
        raise FarmRefused(f"there is no {kind[:40]!r}")

    async def _sync(self, site: str, question: SiteQuestion) -> bytes:
        def done(jobs: JobList) -> SiteAnswer:
            if question.changed:
                jobs.mirror(site, question.changed)
            mine = {job.id: job for job in jobs.handed(site)}
            wanted = [mine[each] for each in question.wanted[:MOST_JOBS] if each in mine]
            return SiteAnswer([*mine], [_handed(job, jobs.file(job.sha256)) for job in wanted], jobs.cancels(site))

        return msgspec.json.encode(await self._jobs.call_quietly(done))

    async def _file(self, site: str, question: FileQuestion) -> bytes:
        mine = await self._jobs.call_quietly(lambda jobs: {job.sha256 for job in jobs.handed(site)})
        if question.sha256 not in mine:
            raise FarmRefused(f"no job of {site} has this file")
        return await self._files.chunk(question.sha256, question.offset)


class OwnSite:
    """Asks the hub, and does what it says."""

    def __init__(self, jobs: ListThread, files: FarmFiles, lane: HubLane, folder: Path, poll: float = POLL) -> None:
        """Prepare.

        Args:
            jobs: this site's list.
            files: its files.
            lane: to the hub.
            folder: for a file that is on its way.
            poll: s between two questions.
        """
        self.trouble = "the hub was not reached yet"
        self._jobs = jobs
        self._files = files
        self._lane = lane
        self._folder = folder
        self._poll = poll
        self._open: list[str] = []
        self._known: set[str] = set()
        self._told: dict[str, FarmCopy] = {}  # what the hub has confirmed to have heard

    async def run(self) -> None:
        """Ask again and again, until cancelled."""
        while True:
            pause = self._poll
            try:
                more = await self.once()
                if self.trouble:
                    log.info("site.hub_reached")
                self.trouble = ""
                pause = 0.0 if more else pause
            except (FarmUnreachable, FarmRefused, FarmError, OSError) as error:
                if str(error) != self.trouble:
                    log.warning("site.hub_away", reason=str(error), consequence="what is here is printed meanwhile")
                self.trouble, pause = str(error), max(AGAIN * self._poll / POLL, self._poll)
            await asyncio.sleep(pause)

    async def once(self) -> bool:
        """Ask once; tell whether there is more to say or to get at once."""
        changed = await self._changed()
        wanted = [each for each in self._open if each not in self._known]
        question = SiteQuestion(changed[:MOST_COPIES], wanted[:MOST_JOBS])
        answer = msgspec.json.decode(await self._lane.ask("sync", msgspec.json.encode(question)), type=SiteAnswer)
        self._told |= {copy.id: copy for copy in question.changed}
        for job in answer.jobs:
            await self._take(job)
        await self._cancel(answer.cancel)
        self._open = answer.open
        still = {*answer.open}
        self._known &= still
        self._told = {key: copy for key, copy in self._told.items() if copy.job in still}
        await self._look_for_known()
        return len(changed) > MOST_COPIES or any(each not in self._known for each in self._open)

    async def _changed(self) -> list[FarmCopy]:
        """Return the copies of the hub's jobs that it does not know as they are."""
        ids = [each for each in self._open if each in self._known]
        found = await self._jobs.call_quietly(lambda jobs: [copy for each in ids for copy in jobs.copies(each)])
        return [copy for copy in found if self._told.get(copy.id) != copy]

    async def _look_for_known(self) -> None:
        """See which of the hub's jobs are in the list already, as after a restart."""
        ids = [each for each in self._open if each not in self._known]

        def known(jobs: JobList) -> set[str]:
            found = set()
            for each in ids:
                try:
                    found.add(jobs.job(each).id)
                except NoSuchJob:
                    continue
            return found

        if ids:
            self._known |= await self._jobs.call_quietly(known)

    async def _take(self, job: HandedJob) -> None:
        """Add a job once, behind its file: the list names no file that is not here."""
        if not await self._has(job.sha256):
            await self._get(job.sha256, job.file.size)
        wish = JobWish(
            id=job.id, sha256=job.sha256, name=job.name, copies=job.copies, material=job.material, colour=job.colour,
            nozzle_mm=job.nozzle_mm, group=job.group, printers=job.printers, priority=job.priority, due=job.due,
            notes=job.notes, held=job.held, by="hub",
        )  # fmt: skip

        def added(jobs: JobList) -> FarmJob:
            jobs.put_file(job.file)
            return jobs.add(wish)

        await self._jobs.call(added)
        self._known.add(job.id)
        log.info("site.job_taken", job=job.id, name=job.name, copies=job.copies)

    async def _has(self, sha256: str) -> bool:
        try:
            await self._jobs.call_quietly(lambda jobs: jobs.file(sha256))
            await self._files.path(sha256)
        except (UnknownFile, FarmRefused):
            return False
        return True

    async def _get(self, sha256: str, size: int) -> None:
        path = self._folder / f"{sha256}.site"
        offset = await asyncio.to_thread(_length, path)  # what came before the way was cut
        while chunk := await self._lane.ask("file", msgspec.json.encode(FileQuestion(sha256, offset))):
            offset += len(chunk)
            if offset > size or len(chunk) > CHUNK:
                await asyncio.to_thread(path.unlink, missing_ok=True)
                raise FarmRefused(f"the hub sends more of {sha256[:12]}… than it has")
            await asyncio.to_thread(_append, path, chunk)
        found, _ = await self._files.take(path)
        if found != sha256:
            raise FarmRefused(f"the file {sha256[:12]}… came damaged from the hub; it is got again")

    async def _cancel(self, copies: list[str]) -> None:
        for copy in copies:
            try:
                await self._jobs.call(partial(_cancel_copy, copy))
            except (FarmConflict, NoSuchCopy):  # it has ended, which the hub hears next
                continue


Answers = Callable[[str, str, bytes], Awaitable[bytes]]
"""Hub.answer: site, kind and body of a question."""


def _cancel_copy(copy: str, jobs: JobList) -> FarmCopy:
    return jobs.cancel_copy(copy, "hub")


def _handed(job: FarmJob, file: FileFacts) -> HandedJob:
    return HandedJob(
        id=job.id, sha256=job.sha256, name=job.name, copies=job.copies, file=file, material=job.material,
        colour=job.colour, nozzle_mm=job.nozzle_mm, group=job.group, printers=job.printers, priority=job.priority,
        due=job.due, notes=job.notes, held=job.held,
    )  # fmt: skip


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
