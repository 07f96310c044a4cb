"""CopySteps: takes one copy after the other from its offer to its report: load, claim, start, follow, report.

Theory of operation. Only one agent may begin a copy, and at most once, whichever process dies and whichever message is
lost or late. Three things guarantee that:

* The server's list decides by one compare-and-set who may begin (`claim`). It refuses an offer that is too old, or has
  gone to another printer since. Before it agrees, nothing has happened that would have to be undone.
* The printer's service begins a print once for each key. The key is the copy and the attempt that was claimed, so
  a repeated start is harmless, and `outcome` returns the result for ever.
* The diary has each of these steps on the disk before it is taken. An agent that restarts continues from there: it
  claims again with the same nonce, asks the printer for the outcome of the key, or reports the end again.

After the claim, only the printer's service decides. The report `not_begun` sends the copy back to the list, so the
agent sends it only when no request is under way that could still begin the print: each start has a deadline (`START`),
and an agent without an answer, or after a restart, asks again when that has passed (`QUIET`). An old claim is repeated
before a start: a user may have settled the copy in the meantime.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import msgspec
import structlog

from daemon.companions.farm.diary import Diary, DiaryEntry
from daemon.companions.farm.loading import FileLoader, NotTaken
from daemon.companions.farm.printer import (
    PrinterApi,
    PrinterDeclined,
    PrinterUnreachable,
    PrintOutcome,
    StartRefused,
)
from daemon.farm.carrier.ends import AgentEnd
from daemon.farm.carrier.errors import FarmUnreachable
from daemon.farm.messages import LEASE, Offer, Report, ReportKind, Tool

AGAIN = 2.0  # s until a server or printer that did not answer is asked again
LOOK = 2.0  # s between two looks at the printer during a print
START = 30.0  # s after which the printer's service ignores a start
QUIET = START + 10.0  # s after which it is certain whether a print has begun; both processes have the same clock
FRESH = 60.0  # s for which a claim needs not be repeated before a start
MAX_LOOKS = 10  # for the heaters of a print that has ended; later ones follow between the steps
MAX_OVER = 16  # finished offers, of which late messages may arrive

ENDS: dict[str, ReportKind] = {
    "done": "done",
    "failed": "failed",
    "cancelled": "cancelled",
    "unbegun": "not_begun",
    "doubtful": "failed",
}
DOUBT = "the printer's record of prints was lost, so nobody knows whether this was printed; look at the printer"
NO_CLEAR_BED = "nobody has said that the bed is clear"

log = structlog.get_logger()


class Dropped(Exception):
    """The offer is no longer ours; nothing was begun."""


class CopySteps:
    """One printer's.

    Attributes:
        offer: what is held out to it; None: nothing.
        preparing: what is being loaded and checked.
        trouble: why it cannot do what it should; a sentence for people, or nothing.
        moved: called when something is otherwise.
    """

    def __init__(
        self,
        end: AgentEnd,
        printer: PrinterApi,
        diary: Diary,
        loader: FileLoader,
        wall: Callable[[], float],
        tools: Callable[[], Sequence[Tool]],
    ) -> None:
        """Prepare.

        Args:
            end: the way to the farm's server.
            printer: the printer.
            diary: the notes, on the disk.
            loader: brings files to the printer.
            wall: the date, in s.
            tools: returns what is mounted.
        """
        self.offer: Offer | None = None
        self.preparing: Offer | None = None
        self.trouble = ""
        self.moved: Callable[[], None] = lambda: None
        self._end, self._printer, self._diary, self._loader = end, printer, diary, loader
        self._wall, self._tools = wall, tools
        self._over: deque[tuple[str, int]] = deque(maxlen=MAX_OVER)  # finished offers
        self._wake = asyncio.Event()
        self._sent = diary.entry is not None  # a start may have been sent
        self._quiet = float("inf")  # loop time after which it is certain whether the print has begun
        self._hot = ""  # key of a print that is done, and may have left heaters on
        self._cooled = ""  # key of the last print whose heaters were checked
        self._claimed = float("-inf")  # loop time at which the list last granted the claim

    def wake(self) -> None:
        """Look again now."""
        self._wake.set()

    def hold_out(self, offer: Offer | None) -> None:
        """Take a new offer, or None when the last one is withdrawn."""
        self.offer = offer
        self._wake.set()

    def not_ready(self) -> str:
        """Return why no offer is taken now; empty: one is."""
        if (entry := self._diary.entry) is not None:
            return f"it {'prints' if entry.stage == 'printing' else 'holds'} {entry.name}"
        if self.preparing is not None:
            return f"it loads {self.preparing.name}"
        return "it is on hold" if self._diary.notes.on_hold else self._unfit()

    def note(self, entry: DiaryEntry | None) -> None:
        """Write down the next step; raises OSError."""
        now = self._diary.entry
        if entry is not None and now is not None and entry.is_of(now.copy, now.attempt) and now.cancel:
            entry = msgspec.structs.replace(entry, cancel=True)  # a cancel that arrived during the step
        self._diary.note(entry=entry)
        self.moved()

    def adopt(self, entry: DiaryEntry) -> None:
        """Follow a print that the notes lack, unless they have another copy; raises OSError."""
        if self._diary.entry is None:
            self.note(entry)
            self._wake.set()

    def look_after(self, key: str) -> None:
        """Soon turn off the heaters that the print with this key has left on."""
        self._hot = key
        self._wake.set()

    def cancel(self, entry: DiaryEntry) -> None:
        """End a copy; raises OSError."""
        if entry.stage != "ended" and not entry.cancel:
            self.note(msgspec.structs.replace(entry, cancel=True))
            self._wake.set()

    def ending(self, entry: DiaryEntry, outcome: PrintOutcome) -> Report:
        """Return the final report on a copy."""
        kind = ENDS[outcome.state]
        if kind == "not_begun" and entry.started:
            kind = "failed"  # it was reported as printing: only a user may print it again
        report = self._report(entry, kind, outcome.reason)
        return msgspec.structs.replace(report, seconds=outcome.seconds, filament_mm=outcome.filament_mm)

    async def run(self) -> None:
        """Take one step after the other until cancelled."""
        self._quiet = asyncio.get_running_loop().time() + QUIET
        while True:
            try:
                if self._hot:
                    await self._turn_heaters_off()
                if (entry := self._diary.entry) is None:
                    await self._take()
                else:
                    await self._go_on(entry)
                self._say("")
            except OSError as error:
                self._say(f"the agent cannot write its notes: {error.strerror or error}")
                await asyncio.sleep(AGAIN)
            except (FarmUnreachable, PrinterUnreachable, PrinterDeclined) as error:
                self._say(str(error))
                await asyncio.sleep(AGAIN)

    def _unfit(self) -> str:
        """Return why no print can begin now; empty: it can."""
        view = self._printer.look()
        if not view.idle:
            return view.reason
        return "" if view.bed_clear else NO_CLEAR_BED

    async def _pause(self, seconds: float) -> None:
        """Wait this long, or until a wake."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        self._wake.clear()

    # -- before the claim --------------------------------------------------------------------------------------

    async def _take(self) -> None:
        """Wait for an offer, and take it as far as the claim."""
        offer = self.offer
        if offer is None or (offer.copy, offer.attempt) in self._over:
            await self._pause(LOOK)
            return
        if reason := self.not_ready():
            log.info("farm.not_taken", copy=offer.copy, reason=reason)
            await self._decline(offer, "")
            return
        self.preparing = offer
        self.moved()
        try:
            async with self._renewed(offer):
                await self._prepare(offer)
        except NotTaken as error:
            log.warning("farm.declined", copy=offer.copy, file=offer.name, reason=str(error), fits=error.fits)
            await self._decline(offer, str(error), fits=error.fits)
        except Dropped as error:
            log.info("farm.dropped", copy=offer.copy, reason=str(error))
        finally:
            self.preparing = None
            self.moved()

    @asynccontextmanager
    async def _renewed(self, offer: Offer) -> AsyncIterator[None]:
        """Renew the lease of the offer while this context lasts."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(LEASE / 3)
                with suppress(FarmUnreachable):
                    answer = await self._end.renew(offer.copy, offer.attempt)
                    if not answer.yes and self.offer == offer:
                        log.info("farm.not_renewed", copy=offer.copy, reason=answer.reason)
                        self.hold_out(None)

        task = asyncio.create_task(renew())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _prepare(self, offer: Offer) -> None:
        """Load the file, check it, and write down that it will be claimed."""

        def still() -> None:
            if self.offer is None or (self.offer.copy, self.offer.attempt) != (offer.copy, offer.attempt):
                raise Dropped("it is no longer offered")

        loaded = {tool.material.casefold() for tool in self._tools() if tool.material}
        if offer.material and loaded and offer.material.casefold() not in loaded:
            raise NotTaken(f"{offer.material} is not loaded")
        where = await self._loader.ready(offer, still)
        behind = await self._printer.mark()
        still()
        if self._diary.entry is not None:
            raise Dropped("the printer holds another copy")
        if self._unfit() or self._diary.notes.on_hold:
            raise NotTaken("")  # not a fault: a user was faster
        nonce = secrets.token_hex(12)
        self.note(
            DiaryEntry(offer.copy, offer.attempt, nonce, "claiming", where=where, name=offer.name, behind=behind),
        )

    async def _decline(self, offer: Offer, reason: str, *, fits: bool = True) -> None:
        self._over.append((offer.copy, offer.attempt))
        report = Report(offer.copy, offer.attempt, "declined", self._wall(), reason=reason, fits=fits)
        with suppress(FarmUnreachable):  # the lease will run out
            await self._end.report(report)

    # -- after the claim ---------------------------------------------------------------------------------------

    async def _go_on(self, entry: DiaryEntry) -> None:
        """Take the next step of a copy, by its stage in the diary."""
        if entry.stage == "claiming":
            await self._claim(entry)
        elif entry.stage == "starting":
            await self._start(entry)
        elif entry.stage == "printing":
            await self._follow(entry)
        else:
            await self._close(entry)

    async def _claim(self, entry: DiaryEntry) -> None:
        if await self._is_ours(entry):
            self._sent = False
            self.note(msgspec.structs.replace(entry, stage="starting"))

    async def _is_ours(self, entry: DiaryEntry) -> bool:
        """Claim a copy, and forget it where the list refuses."""
        answer = await self._end.claim(entry.copy, entry.attempt, entry.nonce)
        if answer.yes:
            self._claimed = asyncio.get_running_loop().time()
        else:
            log.info("farm.not_claimed", copy=entry.copy, reason=answer.reason)
            self._over.append((entry.copy, entry.attempt))
            self.note(None)
        return answer.yes

    async def _start(self, entry: DiaryEntry) -> None:
        """Start the print, unless it has begun."""
        loop = asyncio.get_running_loop()
        if self._sent:
            is_quiet = loop.time() >= self._quiet  # before the question: a start under way may begin after its answer
            outcome = await self._printer.outcome(entry.key, entry.behind)
            if outcome is not None:
                await self._begun(entry, outcome)
                return
            if not is_quiet:
                await asyncio.sleep(min(LOOK, max(0.0, self._quiet - loop.time())))
                return
        entry = self._diary.entry or entry
        if entry.cancel:
            self._end_with(entry, self._report(entry, "cancelled", "it had not begun"))
        elif not self._printer.look().known and loop.time() - self._claimed < FRESH:
            await asyncio.sleep(LOOK)
        elif reason := self._unfit():
            self._end_with(entry, self._report(entry, "not_begun", reason))
        elif loop.time() - self._claimed < FRESH or await self._is_ours(entry):
            await self._send(entry)

    async def _send(self, entry: DiaryEntry) -> None:
        self._sent, self._quiet = True, asyncio.get_running_loop().time() + QUIET
        try:
            await self._printer.start(entry.where, entry.key, START)
        except StartRefused as error:
            log.warning("farm.not_begun", copy=entry.copy, file=entry.name, reason=str(error))
            self._end_with(entry, self._report(entry, "not_begun", str(error)))
        else:
            self.note(msgspec.structs.replace(entry, stage="printing"))

    async def _begun(self, entry: DiaryEntry, outcome: PrintOutcome) -> None:
        """Take the next step by the printer's outcome."""
        if outcome.state == "done":
            await self._cool(entry)  # first: the disk may be full, and the farm away for hours
            entry = self._diary.entry or entry
        if outcome.state == "printing":
            self.note(msgspec.structs.replace(entry, stage="printing"))
        elif outcome.state == "doubtful":
            self._end_with(entry, self._report(entry, "failed", DOUBT))
        else:
            self._end_with(entry, self.ending(entry, outcome))

    async def _follow(self, entry: DiaryEntry) -> None:
        """Follow a print until its outcome is known."""
        if self._printer.look().key != entry.key:
            outcome = await self._printer.outcome(entry.key, entry.behind) or PrintOutcome("doubtful")
            if outcome.state != "printing":
                await self._begun(entry, outcome)
                return
        if not entry.started:
            with suppress(FarmUnreachable):
                await self._end.report(self._report(entry, "printing"))
                entry = msgspec.structs.replace(self._diary.entry or entry, started=True)
                self.note(entry)
        if (self._diary.entry or entry).cancel:
            with suppress(PrinterDeclined):
                await self._printer.cancel(entry.key)
        await self._pause(LOOK)

    def _end_with(self, entry: DiaryEntry, report: Report) -> None:
        self.note(msgspec.structs.replace(entry, stage="ended", report=report))

    async def _close(self, entry: DiaryEntry) -> None:
        """Report the end, and close the entry."""
        report = entry.report or self._report(entry, "failed", DOUBT)
        if report.kind == "done":
            await self._cool(entry)
        await self._end.report(report)
        self._over.append((entry.copy, entry.attempt))
        self._diary.close(entry, report)
        log.info("farm.ended", copy=entry.copy, file=entry.name, how=report.kind, reason=report.reason)
        self.moved()

    async def _cool(self, entry: DiaryEntry) -> None:
        """Turn off heaters that a file has left on, once, not during another print: users may come hours later."""
        if self._cooled == entry.key:
            return
        self._hot = entry.key
        for _ in range(MAX_LOOKS):
            await self._turn_heaters_off()
            if not self._hot or not self._printer.look().heaters:
                return
            await asyncio.sleep(LOOK / MAX_LOOKS)

    async def _turn_heaters_off(self) -> None:
        """Turn heaters off if nothing prints; where that is unknown or refused, a later call tries again."""
        view = self._printer.look()
        if not view.known or not view.heaters or (view.printing and view.key == self._hot):
            return  # the last state may be older than the end of the print
        heating = [name for name, heat in view.heaters if heat.target]
        if heating and not view.printing:
            log.info("farm.cools", heaters=heating, reason="the file has left them on")
            try:
                await self._printer.cool()
            except (PrinterDeclined, PrinterUnreachable) as error:
                log.warning("farm.not_cooled", heaters=heating, reason=str(error))
                return
        self._hot, self._cooled = "", self._hot

    def _report(self, entry: DiaryEntry, kind: ReportKind, reason: str = "") -> Report:
        return Report(entry.copy, entry.attempt, kind, self._wall(), nonce=entry.nonce, reason=reason)

    def _say(self, trouble: str) -> None:
        if trouble != self.trouble:
            if trouble:
                log.warning("farm.waits", reason=trouble, again_s=AGAIN)
            self.trouble = trouble
            self.moved()
