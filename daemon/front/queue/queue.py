"""Queue: what waits to be printed, and who begins it.

It holds wishes, no truth: that an entry's print begins once at most is the core's doing, by the key that each of them
has. Whatever was on its way when somebody died is found again by that key. The bed counts as clear only by somebody's
word, for one print, and no longer when there is any doubt.
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
from daemon.bridge.words import KeyedPrint, PastPrint, Selection
from daemon.config import Config
from daemon.errors import FileError, JobConflict, KeyReused, NeverBegan, NoSuchFile, StoreError, UnfitFile
from daemon.front.analysis.watch import Watch
from daemon.front.events import Events
from daemon.front.queue import changes
from daemon.front.queue.document import BEGINNING, DONE, MISSING, REFUSED, Bed, Document, Entry
from daemon.front.queue.shelf import QueueShelf
from daemon.front.uploads.files import FileStore
from gcode.errors import NozzledError

EJECTED = "eject script"
MARK = "queue"
AGAIN = 5.0  # s after which something that failed is tried again
DOUBT = "the record of prints was lost, so it is not known whether this copy was printed; look, then retry or remove it"

T = TypeVar("T")

log = structlog.get_logger()


class Queue:
    """The queue of this printer."""

    def __init__(
        self,
        shelf: QueueShelf,
        core: RemoteCore,
        files: FileStore,
        watch: Watch,
        events: Events,
        config: Config,
        wall: Callable[[], float],
    ) -> None:
        """Prepare; nothing is begun before `open`.

        Args:
            shelf: keeps it.
            core: prints.
            files: the uploads.
            watch: knows what speaks against printing a file.
            events: are told of it.
            config: has the script that clears the bed, if there is one.
            wall: the date, in s.
        """
        self.document = Document()
        self._unread: str | None = "the queue has not been read yet"
        self._shelf = shelf
        self._core = core
        self._files = files
        self._watch = watch
        self._events = events
        self._config = config
        self._wall = wall
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self._seen: tuple[object, ...] = ()
        self._waits_for_bed: tuple[int, int] | None = None  # entry, and copy, that this was told of
        self._listeners: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Load it, and begin to print."""
        with suppress(StoreError):  # it is tried again whenever it is wanted
            await self.look()
        self._core.on_change(self._on_change)
        self._wake.set()
        self._task = asyncio.create_task(self._run())

    async def look(self) -> Document:
        """Return it, read now where that was not possible before.

        Raises:
            StoreError: it cannot be read; nothing can be changed until it has been, as that would overwrite it.
        """
        if self._unread is not None:
            async with self._turn:
                await self._read()
        return self.document

    async def _read(self) -> None:
        if self._unread is None:
            return
        try:
            self.document = await self._shelf.load()
        except StoreError as error:
            reason = f"the queue cannot be read, and stays as it is until it can: {error}"
            if reason != self._unread:
                log.warning("queue.unusable", reason=str(error), consequence="nothing of it is printed or changed")
            self._unread = reason
            raise StoreError(reason) from error
        self._unread = None
        self._tell()

    async def close(self) -> None:
        """Begin nothing more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever the queue is another one."""
        self._listeners.append(listener)

    def waiting(self) -> str | None:
        """Return why nothing is begun now; None: a print of it goes on, or there is nothing to print."""
        document, jobs = self.document, self._core.jobs
        if self._unread is not None:
            return self._unread
        if document.next() is None or document.under_way() is not None:
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

    # -- what people ask for -------------------------------------------------------------------------------

    async def change(self, work: Callable[[Document], T], keyed: str | None = None) -> T:
        """Change it: `work` is done to a copy, which counts once it is on the disk.

        Args:
            work: raises what speaks against it; where it returns an Entry, that may have been put in with a key.
            keyed: the mark of what was asked for with the key of that entry.

        Raises:
            StoreError: it cannot be read or kept, and is as it was.
        """
        async with self._turn:
            return await self._changed(work, keyed)

    async def _changed(self, work: Callable[[Document], T], keyed: str | None = None) -> T:
        await self._read()
        draft: Document = msgspec.convert(asdict(self.document), Document)
        result = work(draft)
        draft.revision += 1
        await self._shelf.save(draft, (result, keyed) if isinstance(result, Entry) and keyed is not None else None)
        self.document = draft
        self._tell()
        return result

    async def add(self, entry: Entry, *, front: bool, mark: str = "") -> tuple[Entry, bool]:
        """Put an entry in; return it, and whether it had been put in before with the same key.

        Raises:
            JobConflict: there is no room.
            KeyReused: the key was used for something else.
            CoreAway: nobody knows whether the key has begun a print.
            StoreError: it cannot be kept.
        """
        async with self._turn:
            await self._read()
            if entry.key is not None and (known := await self._shelf.of_key(entry.key)) is not None:
                return self._known(*known, mark), True
            if entry.key is not None and (begun := await self._core.jobs.of_key(entry.key)) is not None:
                raise KeyReused(f"this idempotency key has already started a print (job {begun.job})")
            added = await self._changed(lambda draft: draft.add(entry, front=front), mark if entry.key else None)
            return added, False

    async def unless_used(self, key: str, begin: Callable[[], Awaitable[T]]) -> T:
        """Begin a print by a key that nothing was put in with, nor is meanwhile; raises KeyReused."""
        async with self._turn:
            await self.require_unused(key)
            return await begin()

    async def require_unused(self, key: str) -> None:
        """Refuse a key that something was put in with; raises KeyReused."""
        known = None
        with suppress(StoreError):  # where the queue cannot be read a print of somebody's begins all the same
            known = await self._shelf.of_key(key)
        if known is not None:
            raise KeyReused(f"this idempotency key has already added an entry to the queue (entry {known[0].id})")

    def _known(self, entry: Entry, before: str, mark: str) -> Entry:
        if before != mark:
            raise KeyReused(f"this idempotency key was used for another request before (entry {entry.id} of the queue)")
        for each in self.document.entries:
            if each.id == entry.id and each.key == entry.key:
                return each
        entry.state = DONE
        return entry

    async def say_bed(self, *, clear: bool, by: str) -> None:
        """Take somebody's word for it that the bed is clear, or that it is not.

        Raises:
            JobConflict: a print is in progress, or no printer is there: it may print by itself, or for another host.
            CoreAway: nobody knows whether one is.
        """
        if not clear:
            await self.change(Document.soil)
            return
        after = _id(await self._last_job())
        if self._core.jobs.active or self._core.connection.panel_print is not None:
            raise JobConflict("a print is in progress; the bed is not clear")
        if not self._core.connection.ready:
            raise JobConflict(
                "no printer is connected, and it may still print: mark the bed as clear when it is connected again"
            )
        bed = Bed(clear=True, by=by, at=self._wall(), after=after, count=self._core.bed)
        await self.change(lambda draft: setattr(draft, "bed", bed))

    async def moved(self, before: str, after: str) -> None:
        """Follow a file or folder that was moved."""
        await self._follow(lambda draft: draft.moved(before, after))

    async def on_deleted(self, path: str) -> None:
        """Tell that a file, or a folder, was deleted."""
        await self._follow(lambda draft: draft.skip_deleted(path))

    async def came(self, path: str) -> None:
        """Let what waits for this file wait for the printer again."""
        await self._follow(lambda draft: draft.came(path))

    async def _follow(self, work: Callable[[Document], bool]) -> None:
        with suppress(NozzledError):  # it is found out when the file is to be printed
            if work(msgspec.convert(asdict(await self.look()), Document)):
                await self.change(work)

    # -- who begins it -------------------------------------------------------------------------------------

    def _on_change(self) -> None:
        """Wake up where something is different that counts: the core tells of a print twice a second."""
        core, job = self._core, self._core.jobs.summary
        panel = core.connection.panel_print is not None
        seen = (core.is_known, core.connection.ready, job.active, job.state, job.id, core.records, panel, core.bed)
        if seen != self._seen:
            self._seen = seen
            self._wake.set()

    def _tell(self) -> None:
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

    async def _run(self) -> None:
        waits_for = ""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                while await self._step():
                    pass
                waits_for = ""
            except NozzledError as error:
                if str(error) != waits_for:
                    log.warning("queue.waits", reason=str(error), again_s=AGAIN)
                waits_for = str(error)
                asyncio.get_running_loop().call_later(AGAIN, self._wake.set)
            except Exception:
                log.exception("queue.failed")
                asyncio.get_running_loop().call_later(AGAIN, self._wake.set)

    async def _step(self) -> bool:
        """Do the next thing that is to be done; False: there is none now."""
        await self.look()
        if not self._core.is_known:
            return False
        await self._look_at_bed()
        if (under_way := self.document.under_way()) is not None:
            return await self._follow_up(under_way)
        entry = self.document.next()
        if entry is None or self.waiting() is not None:
            self._tell_of_bed(entry)
            return False
        if (reason := self._core.jobs.holds()) is not None:
            raise JobConflict(reason)  # for some seconds: the bed is as clear as it was
        await self._begin(entry)
        return True

    def _tell_of_bed(self, entry: Entry | None) -> None:
        """Tell once for each print that all that it waits for is somebody who looks at the bed."""
        core, document = self._core, self.document
        free = core.connection.ready and not core.jobs.active and core.connection.panel_print is None
        if entry is None or document.paused or self._is_clear() or not free:
            return
        if self._waits_for_bed != (entry.id, entry.begun):
            self._waits_for_bed = (entry.id, entry.begun)
            self._events.publish("QueueWaitsForBed", {"id": entry.id, "path": entry.path})

    async def _look_at_bed(self) -> None:
        """Doubt that the bed is clear once anything may have been printed, also while nobody of us was there."""
        if self.document.bed.clear and not self._is_clear():
            await self.change(Document.soil)

    @property
    def bed(self) -> Bed:
        """What is known of the bed now; `document` may be behind by what happens while a file is looked at."""
        return self.document.bed if self._is_clear() else Bed()

    def _is_clear(self) -> bool:
        bed, core = self.document.bed, self._core
        printing = core.jobs.active or core.connection.panel_print is not None
        return bed.clear and bed.count == core.bed and core.connection.ready and not printing

    async def _last_job(self) -> PastPrint | None:
        """Return the last job of the record."""
        printed = await self._core.jobs.history(1)
        return printed[0] if printed else None

    async def _begin(self, entry: Entry) -> None:
        try:
            file = await self._files.info(entry.path)
            if file.type == "folder":
                raise NoSuchFile(f"{entry.path} is a folder")
            chosen = Selection(
                file.path, file.name, file.size, file.date, entry.user, mtime_ns=file.mtime_ns, sha1=file.sha1
            )
            if not entry.force:
                await self._watch.check(chosen, self._config.analysis.patience_s)
        except UnfitFile as error:
            await self._skip(entry, REFUSED, "; ".join(error.reasons) or str(error))
        except FileError as error:
            await self._skip(entry, MISSING, str(error))
        else:
            last = await self._last_job()
            bed = self.document.bed
            if bed.after != _id(last) or not self._is_clear():  # somebody has printed while the file was looked at
                await self.change(Document.soil)
                return
            behind = (last.id, last.started) if last is not None else None
            if await self.change(partial(changes.claim, number=entry.id, behind=behind)):
                await self._print(entry, chosen, bed)

    async def _print(self, entry: Entry, chosen: Selection, bed: Bed) -> None:
        """Have it printed on this bed; where nobody answers, `_follow_up` finds out whether it is."""
        await self._shelf.note_print(self._key(entry), entry)
        key, eject = self._key(entry), bool(self._config.scripts.eject)
        try:
            begun = await self._core.jobs.begin(chosen, key, MARK, eject=eject, bed=bed.count)
        except NeverBegan:
            return
        except (JobConflict, StoreError) as error:
            log.warning("queue.not_begun", file=entry.path, reason=str(error))
            await self.change(partial(changes.put_back, number=entry.id, job=None, reason=str(error)))
            return
        self._events.publish("FileSelected", {"name": chosen.name, "path": chosen.path, "origin": "local"})
        await self.change(partial(changes.print_is, number=entry.id, job=begun.job))

    def _key(self, entry: Entry) -> str:
        return f"{MARK} {self.document.token} {entry.id} {entry.begun}"

    async def _follow_up(self, entry: Entry) -> bool:
        """Find out what became of the print of an entry; False: it goes on."""
        begun = await self._core.jobs.of_key(self._key(entry))
        if begun is None and entry.state == BEGINNING and await self._is_in_record(entry.behind):
            # it was never taken, and nothing of it is on its way: questions are answered in their order
            await self.change(partial(changes.put_back, number=entry.id, job=None, reason=None))
        elif begun is None:
            log.warning("queue.doubtful", file=entry.path, reason=DOUBT)
            await self.change(partial(changes.failed, number=entry.id, job=entry.job, reason=DOUBT))
        elif begun.ended:
            await self._finish(entry, begun)
        elif entry.state == BEGINNING:
            await self.change(partial(changes.print_is, number=entry.id, job=begun.job))
        else:
            return False
        return True

    async def _is_in_record(self, behind: tuple[int, float] | None) -> bool:
        """Tell whether the record is the one of which this was the last job; of one that was empty nobody can tell."""
        if behind is None:
            return False
        same = await self._core.jobs.recorded(behind[0] - 1, 1)
        return bool(same) and (same[0].id, same[0].started) == behind

    async def _finish(self, entry: Entry, begun: KeyedPrint) -> None:
        if not begun.began:
            await self.change(partial(changes.put_back, number=entry.id, job=begun.job, reason=begun.reason))
        elif begun.state == "completed":
            clear = begun.ejected and begun.bed is not None
            bed = Bed(clear=True, by=EJECTED, at=self._wall(), after=begun.job, count=begun.bed) if clear else Bed()
            await self.change(partial(changes.printed, number=entry.id, job=begun.job, bed=bed))
        else:
            reason = f"{begun.state}: {begun.reason}" if begun.reason else begun.state
            await self.change(partial(changes.failed, number=entry.id, job=begun.job, reason=reason))

    async def _skip(self, entry: Entry, state: str, reason: str) -> None:
        log.warning("queue.skipped", file=entry.path, state=state, reason=reason)
        if await self.change(partial(changes.skipped, number=entry.id, state=state, reason=reason)):
            self._events.publish(
                "QueueEntryRefused", {"id": entry.id, "path": entry.path, "reason": reason, "state": state}
            )


def _id(job: PastPrint | None) -> int | None:
    return job.id if job is not None else None
