"""Handlers for jobs and copies: submit, list, edit, move, hold, cancel, print again."""

import re
from typing import Any, Literal

import msgspec

from daemon.farm.errors import FarmConflict
from daemon.farm.http.base import FarmHandler
from daemon.farm.http.uploads import UploadingHandler
from daemon.farm.http.views import copy_view, is_orphan, job_view, whole_job
from daemon.farm.list.job_list import JobList
from daemon.farm.list.values import (
    BEGUN_STATES,
    FarmCopy,
    FarmJob,
    JobChanges,
    JobRequest,
    ListedEvent,
    Submission,
)
from daemon.farm.messages import PRINTER_ID
from daemon.http.errors import Refused

MAX_ROWS = 500
"""Jobs, copies or events in one answer."""

MAX_REASONS = 100
"""Jobs in one answer that come with the reasons why they wait."""

_KEY = re.compile(r"[!-~]{1,200}", re.ASCII)


class Edit(JobChanges, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes to a job, which must still have this revision."""

    revision: int


class Before(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The id or number of the job before which a job is moved; null: after all others of its priority and due date."""

    before: str | int | None


class HandOver(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The site that gets a job."""

    site: str


class Settlement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How an orphan ended, as a user says."""

    state: Literal["done", "failed"]


class JobsHandler(UploadingHandler):
    """/api/farm/jobs."""

    async def get(self) -> None:
        """List jobs: the unfinished ones in the order of printing, then the ended ones, the newest first."""
        state = self.get_query_argument("state", "open")
        if state not in ("open", "ended", "all"):
            raise Refused(400, "state must be open, ended or all")
        limit, offset = self.get_integer("limit", 100, 1, MAX_ROWS), self.get_integer("offset", 0, 0, 10_000_000)
        presences = dict(self.farm.printers.presences)
        reasons = min(limit, MAX_REASONS) if self.get_query_argument("why", "true") == "true" else 0

        def read(jobs: JobList) -> tuple[list[FarmJob], dict[str, list[str]]]:
            page = [] if state == "ended" else jobs.open_jobs(limit, offset)
            why = jobs.why_jobs_wait(presences, reasons, offset) if page and reasons else {}
            if state != "open" and len(page) < limit:
                before = 0 if state == "ended" else jobs.count_open_jobs()
                page += jobs.ended_jobs(limit - len(page), max(0, offset - before))
            return page, why

        page, why = await self.ask(read)
        self.answer({"jobs": [job_view(job, why.get(job.id, [])) for job in page]})

    async def post(self) -> None:
        """Make a job of a file that comes with it, or was uploaded before."""
        key = self.request.headers.get("Idempotency-Key", "")
        if key and not _KEY.fullmatch(key):
            raise Refused(400, "Idempotency-Key must have 1 to 200 printable ASCII characters, without spaces")
        submission = self.decode(Submission) if self.upload is None else await self._store_upload()
        if not submission.sha256:
            raise Refused(400, "sha256 is missing: send the hash of a file that was uploaded before")
        request = JobRequest(**msgspec.structs.asdict(submission), by=self.key.name, key=key)
        job, is_new = await self.ask(lambda jobs: jobs.submit(request))
        if not is_new:
            self.set_header("Idempotent-Replayed", "true")
        self.set_header("Location", f"/api/farm/jobs/{job.id}")
        self.answer(job_view(job), 201 if is_new else 200)

    async def _store_upload(self) -> Submission:
        assert self.upload is not None  # noqa: S101 - `post` has checked it
        # the fields are checked before the file, whose analysis takes a while
        self.upload.form.end()
        submission = _submission_of(self.upload.form.fields)
        facts = await self.upload.store()
        if submission.sha256 not in ("", facts.sha256):
            raise Refused(
                400, f"the file's SHA-256 is {facts.sha256}, not {submission.sha256[:64]}: it was damaged on its way"
            )
        return msgspec.structs.replace(submission, sha256=facts.sha256)


def _submission_of(fields: dict[str, str]) -> Submission:
    """Return the fields of a form; raises Refused."""
    values: dict[str, Any] = dict(fields)
    if "printers" in values:
        values["printers"] = [each.strip() for each in values["printers"].split(",") if each.strip()]
    try:
        return msgspec.convert(values, Submission, strict=False)
    except msgspec.ValidationError as error:
        raise Refused(400, f"the form is not valid: {error}") from error


class FarmJobHandler(FarmHandler):
    """/api/farm/jobs/<id>."""

    async def get(self, job: str) -> None:
        """Send a job, its copies, and why it waits."""
        presences = dict(self.farm.printers.presences)

        def read(jobs: JobList) -> tuple[FarmJob, list[FarmCopy], list[str]]:
            return jobs.job(job), jobs.copies(job), jobs.why_job_waits(job, presences)

        value, copies, why = await self.ask(read)
        self.answer(whole_job(value, why, [copy_view(each, self.farm.printers, site=value.site) for each in copies]))

    async def patch(self, job: str) -> None:
        """Change a job."""
        edit = self.decode(Edit)
        changes = JobChanges(**{name: getattr(edit, name) for name in JobChanges.__struct_fields__})
        changed = await self.ask(lambda jobs: jobs.edit(job, changes, edit.revision, self.key.name))
        self.answer(job_view(changed))

    async def delete(self, job: str) -> None:
        """Cancel a job. Copies that have begun end with their printers' reports."""
        copies, site = await self.ask(lambda jobs: (jobs.cancel_job(job, self.key.name), jobs.job(job).site))
        self.answer({"copies": [copy_view(each, self.farm.printers, site=site) for each in copies]})


class HandOverHandler(FarmHandler):
    """/api/farm/jobs/<id>/hand_over."""

    async def post(self, job: str) -> None:
        """Give a whole job to a site, for good."""
        site = self.decode(HandOver).site
        if not re.fullmatch(PRINTER_ID, site):
            raise Refused(400, f"{site[:64]!r} is not a site's name: use 1 to 32 characters of a-z, 0-9 and -")
        self.answer(job_view(await self.ask(lambda jobs: jobs.hand_over(job, site, self.key.name))))


class JobVerbHandler(FarmHandler):
    """/api/farm/jobs/<id>/{move,hold,release}."""

    async def post(self, job: str, verb: str) -> None:
        """Carry out the verb."""
        by = self.key.name
        if verb == "move":
            before = self.decode(Before).before
            other = None if before is None else str(before)
            changed = await self.ask(lambda jobs: jobs.move(job, other, by))
        elif verb == "hold":
            changed = await self.ask(lambda jobs: jobs.hold(job, by))
        else:
            changed = await self.ask(lambda jobs: jobs.release(job, by))
        self.answer(job_view(changed))


class _OneCopyHandler(FarmHandler):
    """Base of the handlers that answer with a copy."""

    async def answer_copy(self, copy: FarmCopy, status: int = 200) -> None:
        """Answer with a copy, which may be at a site."""
        job = await self.ask(lambda jobs: jobs.job(copy.job))
        self.answer(copy_view(copy, self.farm.printers, site=job.site), status)


class CopyHandler(_OneCopyHandler):
    """/api/farm/copies/<id>."""

    async def get(self, copy: str) -> None:
        """Send a copy."""
        await self.answer_copy(await self.ask(lambda jobs: jobs.copy(copy)))


class CopyVerbHandler(_OneCopyHandler):
    """/api/farm/copies/<id>/{cancel,again,settle}."""

    async def post(self, copy: str, verb: str) -> None:
        """Carry out the verb."""
        by = self.key.name
        if verb != "cancel":
            self._require_silence(await self.ask(lambda jobs: jobs.copy(copy)))
        if verb == "settle":
            state = self.decode(Settlement).state
            changed = await self.ask(lambda jobs: jobs.settle(copy, state, by))
        elif verb == "cancel":
            changed = await self.ask(lambda jobs: jobs.cancel_copy(copy, by))
        else:
            changed = await self.ask(lambda jobs: jobs.print_again(copy, by))
        await self.answer_copy(changed, 201 if verb == "again" else 200)

    def _require_silence(self, copy: FarmCopy) -> None:
        """Refuse to settle or replace a copy that its printer reports as printing right now."""
        printers = self.farm.printers
        presence = printers.presences.get(copy.printer)
        if copy.state not in BEGUN_STATES or presence is None or printers.is_away(copy.printer):
            return
        if presence.copy == copy.id:
            raise FarmConflict(f"{copy.printer} is printing this copy: cancel it, or wait for its end")


class OrphansHandler(FarmHandler):
    """/api/farm/orphans."""

    async def get(self) -> None:
        """List the copies that have begun at printers that are silent now: a user has to settle them."""
        printers = self.farm.printers
        orphans = [copy for copy in await self.ask(JobList.all_held_copies) if is_orphan(copy, printers)]
        names = await self.ask(lambda jobs: jobs.job_names({copy.job for copy in orphans}))
        self.answer({"copies": [copy_view(copy, printers, names.get(copy.job, "")) for copy in orphans]})


class FarmLogHandler(FarmHandler):
    """/api/farm/log."""

    async def get(self) -> None:
        """List the events after a number, or the newest."""
        limit, job = self.get_integer("limit", 100, 1, MAX_ROWS), self.get_short_text("job")
        since = self.get_integer("since", -1, -1, 10**15)

        def read(jobs: JobList) -> list[ListedEvent]:
            return jobs.newest_events(limit, job) if since < 0 else jobs.events(since, limit, job)

        self.answer({"events": await self.ask(read)})
