"""The steps of one copy after the other: offered, loaded, claimed, begun, followed, told of.

Theory of operation. A copy may be begun by one agent only, and at most once, whoever dies in between, and whatever is
lost or comes late. Three things hold that together:

* The server's list decides by one compare-and-set who may begin (`claim`). An offer that is too old, or was given to
  another printer since, is answered with no. Until the yes nothing has happened that anybody would have to undo.
* The printer's service begins a print once for each key. The key is the copy and the attempt that was claimed, so
  asking again is harmless, and `outcome` tells for ever what became of it.
* The diary says before each of these steps that it will be done. An agent that begins anew goes on from there: it
  claims again with the same nonce, asks the printer what became of the key, or tells the end again.

From the claim on, only what the printer's service says counts. `not_begun` sends the copy back to the list, so it is
said only when no request that could still begin it is on its way: each start says until when it may be done
(`START`), and whoever has got no answer, or begins anew, asks again when that is over (`QUIET`). A claim that is old
is asked for once more before a start: a person may have said meanwhile what is to become of the copy.
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

AGAIN = 2.0  # s until somebody who did not answer is asked again
LOOK = 2.0  # s between two looks at the printer while something is printed
START = 30.0  # s behind which the printer's service begins nothing any more that was asked for before
QUIET = START + 10.0  # s behind which it is known whether it has begun; the clocks of both are this machine's
FRESH = 60.0  # s for which a claim counts without being asked for again
MOST_LOOKS = 10  # until a printer that has ended a print says so; it is looked at later, too
KEPT = 16  # offers that are over, and may come late once more

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
            diary: the notes.
            loader: brings files to the printer.
            wall: the date, in s.
            tools: tells what is mounted.
        """
        self.offer: Offer | None = None
        self.preparing: Offer | None = None
        self.trouble = ""
        self.moved: Callable[[], None] = lambda: None
        self._end, self._printer, self._diary, self._loader = end, printer, diary, loader
        self._wall, self._tools = wall, tools
        self._over: deque[tuple[str, int]] = deque(maxlen=KEPT)  # offers that are not taken again
        self._wake = asyncio.Event()
        self._sent = diary.entry is not None  # a start may have been sent
        self._quiet = float("inf")  # time of the loop behind which it is known whether it has begun
        self._hot = ""  # key of a print that is done, and may have left heaters on
        self._cooled = ""  # key of the last one behind which that was looked at
        self._claimed = float("-inf")  # when the list has said last that it is ours

    def wake(self) -> None:
        """Look again now."""
        self._wake.set()

    def hold_out(self, offer: Offer | None) -> None:
        """Take an offer, or hear that there is none any more."""
        self.offer = offer
        self._wake.set()

    def not_ready(self) -> str:
        """Return why nothing is taken now; nothing: it is."""
        if (entry := self._diary.entry) is not None:
            return f"it {'prints' if entry.stage == 'printing' else 'holds'} {entry.name}"
        if self.preparing is not None:
            return f"it loads {self.preparing.name}"
        return "it is on hold" if self._diary.notes.on_hold else self._unfit()

    def note(self, entry: DiaryEntry | None) -> None:
        """Write down the next step; raises OSError."""
        now = self._diary.entry
        if entry is not None and now is not None and entry.is_of(now.copy, now.attempt) and now.cancel:
            entry = msgspec.structs.replace(entry, cancel=True)  # it was wanted while something was waited for
        self._diary.note(entry=entry)
        self.moved()

    def adopt(self, entry: DiaryEntry) -> None:
        """Follow a print of which the notes know nothing, unless another one is held; raises OSError."""
        if self._diary.entry is None:
            self.note(entry)
            self._wake.set()

    def look_after(self, key: str) -> None:
        """Turn off, soon, what the print with this key has left on."""
        self._hot = key
        self._wake.set()

    def cancel(self, entry: DiaryEntry) -> None:
        """Have a copy end; raises OSError."""
        if entry.stage != "ended" and not entry.cancel:
            self.note(msgspec.structs.replace(entry, cancel=True))
            self._wake.set()

    def ending(self, entry: DiaryEntry, outcome: PrintOutcome) -> Report:
        """Return the last word on a copy."""
        kind = ENDS[outcome.state]
        if kind == "not_begun" and entry.started:
            kind = "failed"  # that it prints was said too early; nobody but a person sends it back
        report = self._report(entry, kind, outcome.reason)
        return msgspec.structs.replace(report, seconds=outcome.seconds, filament_mm=outcome.filament_mm)

    async def run(self) -> None:
        """Do one step after the other until cancelled."""
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
        """Return why nothing can begin now; nothing: it can."""
        view = self._printer.look()
        if not view.idle:
            return view.reason
        return "" if view.bed_clear else NO_CLEAR_BED

    async def _pause(self, seconds: float) -> None:
        """Wait for so long, or until something is otherwise."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        self._wake.clear()

    # -- until the claim ---------------------------------------------------------------------------------------

    async def _take(self) -> None:
        """Wait for an offer, and bring it as far as the claim."""
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
        """Have the offer hold longer while something is done for it."""

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
                raise Dropped("it is offered no longer")

        loaded = {tool.material.casefold() for tool in self._tools() if tool.material}
        if offer.material and loaded and offer.material.casefold() not in loaded:
            raise NotTaken(f"{offer.material} is not loaded")
        where = await self._loader.ready(offer, still)
        behind = await self._printer.mark()
        still()
        if self._diary.entry is not None:
            raise Dropped("the printer holds another copy")
        if self._unfit() or self._diary.notes.on_hold:
            raise NotTaken("")  # no fault of anybody's: a person was faster
        nonce = secrets.token_hex(12)
        self.note(
            DiaryEntry(offer.copy, offer.attempt, nonce, "claiming", where=where, name=offer.name, behind=behind),
        )

    async def _decline(self, offer: Offer, reason: str, *, fits: bool = True) -> None:
        self._over.append((offer.copy, offer.attempt))
        report = Report(offer.copy, offer.attempt, "declined", self._wall(), reason=reason, fits=fits)
        with suppress(FarmUnreachable):  # the lease ends by itself
            await self._end.report(report)

    # -- from the claim on -------------------------------------------------------------------------------------

    async def _go_on(self, entry: DiaryEntry) -> None:
        """Do the next step of a copy; the diary says which."""
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
        """Ask the list whether this may begin; one that may not is forgotten."""
        answer = await self._end.claim(entry.copy, entry.attempt, entry.nonce)
        if answer.yes:
            self._claimed = asyncio.get_running_loop().time()
        else:
            log.info("farm.not_claimed", copy=entry.copy, reason=answer.reason)
            self._over.append((entry.copy, entry.attempt))
            self.note(None)
        return answer.yes

    async def _start(self, entry: DiaryEntry) -> None:
        """Begin, unless it has begun."""
        loop = asyncio.get_running_loop()
        if self._sent:
            is_quiet = loop.time() >= self._quiet  # before the question: one on its way may begin behind the answer
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
        """Take the printer's word for what became of it."""
        if outcome.state == "done":
            await self._cool(entry)  # before all else: the disk may be full, and the farm away for hours
            entry = self._diary.entry or entry
        if outcome.state == "printing":
            self.note(msgspec.structs.replace(entry, stage="printing"))
        elif outcome.state == "doubtful":
            self._end_with(entry, self._report(entry, "failed", DOUBT))
        else:
            self._end_with(entry, self.ending(entry, outcome))

    async def _follow(self, entry: DiaryEntry) -> None:
        """Wait for the printer's word how it ended."""
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
        """Tell the end until it is taken."""
        report = entry.report or self._report(entry, "failed", DOUBT)
        if report.kind == "done":
            await self._cool(entry)
        await self._end.report(report)
        self._over.append((entry.copy, entry.attempt))
        self._diary.close(entry, report)
        log.info("farm.ended", copy=entry.copy, file=entry.name, how=report.kind, reason=report.reason)
        self.moved()

    async def _cool(self, entry: DiaryEntry) -> None:
        """Turn off what a file has left on, once: people may come for the part in hours. Not below another print."""
        if self._cooled == entry.key:
            return
        self._hot = entry.key
        for _ in range(MOST_LOOKS):
            await self._turn_heaters_off()
            if not self._hot or not self._printer.look().heaters:
                return
            await asyncio.sleep(LOOK / MOST_LOOKS)

    async def _turn_heaters_off(self) -> None:
        """Do so where nothing is printed; as long as nobody knows, or it is refused, it is tried again."""
        view = self._printer.look()
        if not view.known or not view.heaters or (view.printing and view.key == self._hot):
            return  # what is told may be of the time before
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
