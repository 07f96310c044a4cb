"""Queue: begins the prints of the queue, one after the other.

Only the core knows for certain what was printed. Each print of an entry has an idempotency key, so the core begins it
at most once; after a crash of the front or the core, the queue asks by the key how the print ended. The bed counts as
clear for only one print after a user has confirmed it or an eject script has run, and never in case of doubt.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import TypeVar

import msgspec
import structlog

from daemon.bridge.remote import RemoteCore
from daemon.bridge.words import FileMark, KeyedPrint, PastPrint, Selection
from daemon.config import Config
from daemon.errors import FileError, JobConflict, KeyReused, NeverBegan, NoSuchFile, StoreError, UnfitFile
from daemon.front.analysis.watch import Watch
from daemon.front.events import Events
from daemon.front.queue import changes
from daemon.front.queue.document import BEGINNING, DONE, MISSING, REFUSED, Bed, Document, Entry, SkippedState
from daemon.front.queue.store import QueueStore
from daemon.front.uploads.files import FileStore
from daemon.front.views.selection import selection_of
from daemon.front.wake_loop import work_when_woken
from gcode.errors import NozzledError

EJECT_SCRIPT = "eject script"
MARK = "queue"  # of the requests for the queue's prints, instead of a hash; also begins their keys
DOUBT = "the record of prints was lost, so it is unknown whether this copy was printed: check, then retry or remove it"

T = TypeVar("T")

log = structlog.get_logger()


class Queue:
    """The queue of this printer."""

    def __init__(
        self,
        store: QueueStore,
        core: RemoteCore,
        files: FileStore,
        watch: Watch,
        events: Events,
        config: Config,
        wall: Callable[[], float],
    ) -> None:
        """Prepare; nothing is printed before `open`.

        Args:
            store: the stored queue.
            core: prints the files.
            files: the uploads.
            watch: checks files before they are printed.
            events: where changes are published.
            config: the eject script, if there is one.
            wall: returns the Unix time in s.
        """
        self.document = Document()
        self._load_error: str | None = "the queue has not been read yet"
        self._store = store
        self._core = core
        self._files = files
        self._watch = watch
        self._events = events
        self._config = config
        self._wall = wall
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._last_state: tuple[object, ...] = ()
        self._waits_for_bed: tuple[int, int] | None = None  # entry and copy for which this was published
        self._listeners: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Load the queue, and start printing."""
        with suppress(StoreError):  # tried again whenever the queue is needed
            await self.load()
        self._core.on_change(self._on_change)
        self._wake.set()
        self._task = asyncio.create_task(
            work_when_woken(self._wake, self._take_steps, waits_event="queue.waits", failed_event="queue.failed")
        )

    async def load(self) -> Document:
        """Return the queue; load it if that has not succeeded yet.

        Raises:
            StoreError: it cannot be loaded; nor can it be changed now, as that would overwrite it.
        """
        if self._load_error is not None:
            async with self._lock:
                await self._load()
        return self.document

    async def _load(self) -> None:
        if self._load_error is None:
            return
        try:
            self.document = await self._store.load()
        except StoreError as error:
            reason = f"the queue cannot be read, so it cannot be changed either: {error}"
            if reason != self._load_error:
                log.warning("queue.unusable", reason=str(error), consequence="nothing of it is printed or changed")
            self._load_error = reason
            raise StoreError(reason) from error
        self._load_error = None
        self._publish()

    async def close(self) -> None:
        """Begin no more prints."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever the queue has changed."""
        self._listeners.append(listener)

    def reason_to_wait(self) -> str | None:
        """Return why the next print does not begin; None: it can, one is under way, or no entry waits."""
        document, jobs = self.document, self._core.jobs
        if self._load_error is not None:
            return self._load_error
        if document.next_entry() is None or document.entry_under_way() is not None:
            return None
        if document.paused:
            return "the queue is paused"
        if jobs.active:
            return "another print is in progress"
        if self._core.connection.panel_print is not None:
            return "the printer prints from its SD card"
        if not self._core.connection.ready:
            return "no printer is connected"
        return None if self._is_clear() else "nobody has said that the bed is clear"

    # -- requests ------------------------------------------------------------------------------------------

    async def change(self, work: Callable[[Document], T], mark: str | None = None) -> T:
        """Change the queue: `work` changes a copy, which replaces the queue once it is on the disk.

        Args:
            work: changes the copy, or raises an error; may return an entry that it added.
            mark: if `work` adds an entry for a request with an idempotency key: the hash of that request.

        Raises:
            StoreError: the queue cannot be loaded or stored, and is unchanged.
        """
        async with self._lock:
            return await self._change(work, mark)

    async def _change(self, work: Callable[[Document], T], mark: str | None = None) -> T:
        await self._load()
        draft: Document = msgspec.convert(asdict(self.document), Document)
        result = work(draft)
        draft.revision += 1
        await self._store.save(draft, (result, mark) if isinstance(result, Entry) and mark is not None else None)
        self.document = draft
        self._publish()
        return result

    async def add(self, entry: Entry, *, front: bool, mark: str = "") -> tuple[Entry, bool]:
        """Add an entry; return it, and whether an earlier request with the same key has added it.

        Raises:
            JobConflict: the queue is full.
            KeyReused: the key was used for another request.
            CoreAway: it is unknown whether the key has begun a print.
            StoreError: the entry cannot be stored.
        """
        async with self._lock:
            await self._load()
            if entry.key is not None and (earlier := await self._store.of_key(entry.key)) is not None:
                return self._entry_of_key(*earlier, mark), True
            if entry.key is not None and (earlier_print := await self._core.jobs.print_of_key(entry.key)) is not None:
                raise KeyReused(f"this idempotency key has already started a print (job {earlier_print.job})")
            added = await self._change(lambda draft: draft.add(entry, front=front), mark if entry.key else None)
            return added, False

    async def begin_unless_used(self, key: str, begin: Callable[[], Awaitable[T]]) -> T:
        """Begin a print; raises KeyReused if its idempotency key has added an entry, perhaps while this call waited."""
        async with self._lock:
            await self.require_unused(key)
            return await begin()

    async def require_unused(self, key: str) -> None:
        """Refuse a key that has added an entry; raises KeyReused."""
        earlier = None
        with suppress(StoreError):  # an unreadable queue must not prevent prints
            earlier = await self._store.of_key(key)
        if earlier is not None:
            raise KeyReused(f"this idempotency key has already added an entry to the queue (entry {earlier[0].id})")

    def _entry_of_key(self, entry: Entry, earlier_mark: str, mark: str) -> Entry:
        if earlier_mark != mark:
            raise KeyReused(
                f"this idempotency key was already used for another request (entry {entry.id} of the queue)"
            )
        for each in self.document.entries:
            if each.id == entry.id and each.key == entry.key:
                return each
        entry.state = DONE
        return entry

    async def set_bed(self, *, clear: bool, by: str) -> None:
        """Record whether the bed is clear, as a user says.

        Raises:
            JobConflict: a print is in progress, or may be: no printer is connected.
            CoreAway: it is unknown whether a print is in progress.
        """
        if not clear:
            await self.change(Document.mark_bed_dirty)
            return
        after = _id(await self._last_job())
        if self._core.jobs.active or self._core.connection.panel_print is not None:
            raise JobConflict("a print is in progress; the bed is not clear")
        if not self._core.connection.ready:
            raise JobConflict(
                "the printer is not connected, and may still be printing: mark the bed as clear once it is connected"
            )
        bed = Bed(clear=True, by=by, at=self._wall(), after=after, count=self._core.bed)
        await self.change(lambda draft: setattr(draft, "bed", bed))

    async def follow_move(self, before: str, after: str) -> None:
        """Adapt entries to a file or folder that was moved."""
        await self._apply(lambda draft: draft.follow_move(before, after))

    async def follow_deletion(self, path: str) -> None:
        """Skip entries whose file was deleted, or was in a deleted folder."""
        await self._apply(lambda draft: draft.follow_deletion(path))

    async def follow_upload(self, path: str) -> None:
        """Let entries whose file was missing or refused wait again."""
        await self._apply(lambda draft: draft.follow_upload(path))

    async def _apply(self, work: Callable[[Document], bool]) -> None:
        with suppress(NozzledError):  # the change is then noticed when the file's turn comes
            if work(msgspec.convert(asdict(await self.load()), Document)):
                await self.change(work)

    # -- printing ------------------------------------------------------------------------------------------

    def _on_change(self) -> None:
        """Wake up if a relevant value has changed: during a print the core reports twice a second."""
        core, job = self._core, self._core.jobs.summary
        panel = core.connection.panel_print is not None
        state = (core.is_known, core.connection.ready, job.active, job.state, job.id, core.records, panel, core.bed)
        if state != self._last_state:
            self._last_state = state
            self._wake.set()

    def _publish(self) -> None:
        document = self.document
        self._events.publish(
            "QueueChanged",
            {
                "revision": document.revision,
                "length": len(document.entries),
                "paused": document.paused,
                "bed_clear": self._is_clear(),
            },
        )
        for listener in tuple(self._listeners):
            listener()
        self._wake.set()

    async def _take_steps(self) -> None:
        while await self._step():
            pass

    async def _step(self) -> bool:
        """Take the next step; False: there is none now."""
        await self.load()
        if not self._core.is_known:
            return False
        await self._check_bed()
        if (under_way := self.document.entry_under_way()) is not None:
            return await self._follow_up(under_way)
        entry = self.document.next_entry()
        if entry is None or self.reason_to_wait() is not None:
            self._publish_waiting_for_bed(entry)
            return False
        if (reason := self._core.jobs.reason_not_to_print()) is not None:
            raise JobConflict(reason)  # it passes in some seconds, and the bed stays clear
        await self._begin(entry)
        return True

    def _publish_waiting_for_bed(self, entry: Entry | None) -> None:
        """Publish, once for each print, that only the user's confirmation of the bed is missing."""
        core, document = self._core, self.document
        is_free = core.connection.ready and not core.jobs.active and core.connection.panel_print is None
        if entry is None or document.paused or self._is_clear() or not is_free:
            return
        if self._waits_for_bed != (entry.id, entry.begun):
            self._waits_for_bed = (entry.id, entry.begun)
            self._events.publish("QueueWaitsForBed", {"id": entry.id, "path": entry.path})

    async def _check_bed(self) -> None:
        """Drop the confirmation of the bed if anything may have been printed since, even while the front was down."""
        if self.document.bed.clear and not self._is_clear():
            await self.change(Document.mark_bed_dirty)

    @property
    def bed(self) -> Bed:
        """The current state of the bed; the one in `document` may be outdated while a file is checked."""
        return self.document.bed if self._is_clear() else Bed()

    def _is_clear(self) -> bool:
        bed, core = self.document.bed, self._core
        printing = core.jobs.active or core.connection.panel_print is not None
        return bed.clear and bed.count == core.bed and core.connection.ready and not printing

    async def _last_job(self) -> PastPrint | None:
        """Return the last job of the core's record."""
        jobs = await self._core.jobs.history(1)
        return jobs[0] if jobs else None

    async def _begin(self, entry: Entry) -> None:
        try:
            file = await self._files.info(entry.path)
            if file.type == "folder":
                raise NoSuchFile(f"{entry.path} is a folder")
            selection, checked_file = selection_of(file, entry.user), None
            if not entry.force:
                checked_file = (await self._watch.check(selection, self._config.analysis.patience_s)).mark
        except UnfitFile as error:
            await self._skip(entry, REFUSED, "; ".join(error.reasons) or str(error))
        except FileError as error:
            await self._skip(entry, MISSING, str(error))
        else:
            last = await self._last_job()
            bed = self.document.bed
            if bed.after != _id(last) or not self._is_clear():  # something was printed while the file was checked
                await self.change(Document.mark_bed_dirty)
                return
            behind = (last.id, last.started) if last is not None else None
            if await self.change(partial(changes.claim, number=entry.id, behind=behind)):
                await self._print(entry, selection, checked_file, bed)

    async def _print(self, entry: Entry, selection: Selection, checked_file: FileMark | None, bed: Bed) -> None:
        """Print an entry; if the core does not answer, `_follow_up` finds out whether it prints."""
        await self._store.note_print(self._key(entry), entry)
        key, eject = self._key(entry), bool(self._config.scripts.eject)
        try:
            keyed_print = await self._core.jobs.begin(
                selection, key, MARK, eject=eject, bed=bed.count, checked_file=checked_file
            )
        except NeverBegan:
            return
        except (JobConflict, StoreError) as error:
            log.warning("queue.not_begun", file=entry.path, reason=str(error))
            await self.change(partial(changes.put_back, number=entry.id, job=None, reason=str(error)))
            return
        self._events.publish("FileSelected", {"name": selection.name, "path": selection.path, "origin": "local"})
        await self.change(partial(changes.note_print, number=entry.id, job=keyed_print.job))

    def _key(self, entry: Entry) -> str:
        return f"{MARK} {self.document.token} {entry.id} {entry.begun}"

    async def _follow_up(self, entry: Entry) -> bool:
        """Find out what became of the print of an entry; False: it is still under way."""
        keyed_print = await self._core.jobs.print_of_key(self._key(entry))
        if keyed_print is None and entry.state == BEGINNING and await self._is_in_record(entry.behind):
            # the core never got the request, and will not get it later: it answers questions in their order
            await self.change(partial(changes.put_back, number=entry.id, job=None, reason=None))
        elif keyed_print is None:
            log.warning("queue.doubtful", file=entry.path, reason=DOUBT)
            await self.change(partial(changes.note_failed, number=entry.id, job=entry.job, reason=DOUBT))
        elif keyed_print.ended:
            await self._finish(entry, keyed_print)
        elif entry.state == BEGINNING:
            await self.change(partial(changes.note_print, number=entry.id, job=keyed_print.job))
        else:
            return False
        return True

    async def _is_in_record(self, behind: tuple[int, float] | None) -> bool:
        """Tell whether the core's record was certainly not replaced: it still has the last job before the print."""
        if behind is None:
            return False
        records = await self._core.jobs.print_records(behind[0] - 1, 1)
        return bool(records) and (records[0].id, records[0].started) == behind

    async def _finish(self, entry: Entry, keyed_print: KeyedPrint) -> None:
        if not keyed_print.began:
            await self.change(
                partial(changes.put_back, number=entry.id, job=keyed_print.job, reason=keyed_print.reason)
            )
        elif keyed_print.state == "completed":
            bed = Bed()
            if keyed_print.ejected and keyed_print.bed is not None:
                bed = Bed(clear=True, by=EJECT_SCRIPT, at=self._wall(), after=keyed_print.job, count=keyed_print.bed)
            await self.change(partial(changes.note_printed, number=entry.id, job=keyed_print.job, bed=bed))
        else:
            reason = f"{keyed_print.state}: {keyed_print.reason}" if keyed_print.reason else keyed_print.state
            await self.change(partial(changes.note_failed, number=entry.id, job=keyed_print.job, reason=reason))

    async def _skip(self, entry: Entry, state: SkippedState, reason: str) -> None:
        log.warning("queue.skipped", file=entry.path, state=state, reason=reason)
        if await self.change(partial(changes.skip, number=entry.id, state=state, reason=reason)):
            self._events.publish(
                "QueueEntryRefused", {"id": entry.id, "path": entry.path, "reason": reason, "state": state}
            )


def _id(job: PastPrint | None) -> int | None:
    return job.id if job is not None else None
