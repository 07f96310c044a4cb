"""CopySteps: takes one copy after the other from its offer to its report: load, claim, start, follow, report.

Theory of operation. Only one agent may begin a copy, and at most once, whichever process dies and whichever message is
lost or late. Three things guarantee that:

* The server's list decides by one compare-and-set who may begin (`claim`). It refuses an old offer, or one that
  another printer has got since. Until the list agrees, nothing has happened that would have to be undone.
* The printer's service begins a print once for each key. The key is the claimed copy and attempt, so a repeated start
  is harmless, and `get_outcome` returns the result for ever.
* The diary has each of these steps on the disk before the agent takes it. An agent that restarts continues from there:
  it claims again with the same nonce, asks the printer for the outcome of the key, or reports the end again.

After the claim, only the printer's service decides. The report `not_begun` sends the copy back to the list, so the
agent sends it only when no pending request can still begin the print. Each start has a deadline (`START_DEADLINE_S`).
An agent that got no answer, or has restarted, asks for the outcome; only after the deadline does it believe that there
is none (`CERTAIN_AFTER_S`). An old claim is repeated before a start, because a user may have settled the copy in the
meantime.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import msgspec
import structlog

from daemon.companions.farm.diary import Diary, DiaryEntry
from daemon.companions.farm.loading import FileLoader, OfferDeclined
from daemon.companions.farm.printer import (
    PrinterApi,
    PrinterDeclined,
    PrinterUnreachable,
    PrintOutcome,
    StartRefused,
)
from daemon.farm.carrier.ends import AgentEnd
from daemon.farm.carrier.errors import FarmUnreachable
from daemon.farm.list.matching import fold
from daemon.farm.messages import LEASE_S, Offer, Report, ReportKind, Tool

RETRY_DELAY = 2.0  # until a server or printer that did not answer is asked again
POLL_INTERVAL = 2.0  # between two checks of the printer during a print
MIN_LEASE_S = 3.0  # a shorter lease is renewed as often as this one
START_DEADLINE_S = 30.0  # after which the printer's service ignores a start
CERTAIN_AFTER_S = START_DEADLINE_S + 10.0  # until it is certain whether a print has begun; both processes share a clock
CLAIM_VALIDITY_S = 60.0  # for which a claim need not be repeated before a start
MAX_HEATER_CHECKS = 10  # directly after the end of a print; further ones follow between the steps
MAX_FINISHED = 16  # finished offers that are remembered, because late messages about them may arrive

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


class OfferWithdrawn(Exception):
    """The offer has ended, or is now another printer's; nothing was begun."""


class CopySteps:
    """The steps of one printer.

    Attributes:
        offer: the current offer; None: there is none.
        offer_in_preparation: the offer whose file is being loaded and checked.
        trouble: why the steps cannot continue, in a sentence for users; empty: they can.
        on_change: called when something has changed that users see.
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
            end: connects to the farm's server.
            printer: the printer.
            diary: the notes, on the disk.
            loader: brings files to the printer.
            wall: returns the Unix time in s.
            tools: returns the mounted filaments and nozzles.
        """
        self.offer: Offer | None = None
        self.offer_in_preparation: Offer | None = None
        self.trouble = ""
        self.on_change: Callable[[], None] = lambda: None
        self._end, self._printer, self._diary, self._loader = end, printer, diary, loader
        self._wall, self._tools = wall, tools
        self._finished_offers: deque[tuple[str, int]] = deque(maxlen=MAX_FINISHED)  # copy and attempt
        self._wake = asyncio.Event()
        self._may_have_started = diary.entry is not None  # a start may have been sent
        self._certain_at = float("inf")  # loop time after which it is certain whether the print has begun
        self._heated_print = ""  # key of a completed print that may have left heaters on; empty: none
        self._checked_print = ""  # key of the last print after which the heaters were checked
        self._claimed_at = float("-inf")  # loop time at which the list last granted the claim

    def wake(self) -> None:
        """Check the printer and the offer now."""
        self._wake.set()

    def set_offer(self, offer: Offer | None) -> None:
        """Set a new offer; None: the last one was withdrawn."""
        self.offer = offer
        self._wake.set()

    def why_not_ready(self) -> str:
        """Return why no offer can be taken now; empty: one can."""
        if (entry := self._diary.entry) is not None:
            return f"it {'prints' if entry.stage == 'printing' else 'holds'} {entry.name}"
        if self.offer_in_preparation is not None:
            return f"it loads {self.offer_in_preparation.name}"
        return "it is on hold" if self._diary.notes.on_hold else self._why_no_start()

    def record(self, entry: DiaryEntry | None) -> None:
        """Write the next step to the diary; raises OSError."""
        current = self._diary.entry
        if entry is not None and current is not None and entry.is_of(current.copy, current.attempt) and current.cancel:
            entry = msgspec.structs.replace(entry, cancel=True)  # it was cancelled during the step
        self._diary.note(entry=entry)
        self.on_change()

    def adopt(self, entry: DiaryEntry) -> None:
        """Follow a print that the diary lacks, unless the diary has another copy; raises OSError."""
        if self._diary.entry is None:
            self.record(entry)
            self._wake.set()

    def turn_heaters_off_after(self, key: str) -> None:
        """Soon turn off the heaters that the print with this key has left on."""
        self._heated_print = key
        self._wake.set()

    def cancel(self, entry: DiaryEntry) -> None:
        """Cancel a copy; raises OSError."""
        if entry.stage != "ended" and not entry.cancel:
            self.record(msgspec.structs.replace(entry, cancel=True))
            self._wake.set()

    def make_final_report(self, entry: DiaryEntry, outcome: PrintOutcome) -> Report:
        """Return the final report on a copy."""
        kind = ENDS[outcome.state]
        if kind == "not_begun" and entry.is_reported:
            kind = "failed"  # it was reported as printing: only a user may print it again
        report = self._report(entry, kind, outcome.reason)
        return msgspec.structs.replace(report, seconds=outcome.seconds, filament_mm=outcome.filament_mm)

    async def run(self) -> None:
        """Take one step after the other until cancelled."""
        self._certain_at = asyncio.get_running_loop().time() + CERTAIN_AFTER_S
        while True:
            try:
                if self._heated_print:
                    await self._turn_heaters_off()
                if (entry := self._diary.entry) is None:
                    await self._handle_offer()
                else:
                    await self._take_step(entry)
                self._set_trouble("")
            except OSError as error:
                self._set_trouble(f"the agent cannot write its notes: {error.strerror or error}")
                await asyncio.sleep(RETRY_DELAY)
            except (FarmUnreachable, PrinterUnreachable, PrinterDeclined) as error:
                self._set_trouble(str(error))
                await asyncio.sleep(RETRY_DELAY)

    def _why_no_start(self) -> str:
        """Return why no print can begin now; empty: one can."""
        view = self._printer.look()
        if not view.is_idle:
            return view.reason
        return "" if view.bed_clear else NO_CLEAR_BED

    async def _pause(self, seconds: float) -> None:
        """Wait this long, or until `wake` is called."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        self._wake.clear()

    # -- before the claim --------------------------------------------------------------------------------------

    async def _handle_offer(self) -> None:
        """Wait for an offer, and prepare its claim."""
        offer = self.offer
        if offer is None or (offer.copy, offer.attempt) in self._finished_offers:
            await self._pause(POLL_INTERVAL)
            return
        if reason := self.why_not_ready():
            log.info("farm.not_taken", copy=offer.copy, reason=reason)
            await self._decline(offer, "")
            return
        self.offer_in_preparation = offer
        self.on_change()
        try:
            async with self._renew_lease(offer):
                await self._prepare(offer)
        except OfferDeclined as error:
            log.warning("farm.declined", copy=offer.copy, file=offer.name, reason=str(error), fits=error.fits)
            await self._decline(offer, str(error), fits=error.fits)
        except OfferWithdrawn as error:
            log.info("farm.dropped", copy=offer.copy, reason=str(error))
        finally:
            self.offer_in_preparation = None
            self.on_change()

    @asynccontextmanager
    async def _renew_lease(self, offer: Offer) -> AsyncIterator[None]:
        """Renew the lease of the offer while this context lasts."""
        # if the offer was sent again, little of its lease may be left
        pause = min(LEASE_S, max(offer.lease_s, MIN_LEASE_S)) / 3

        async def renew() -> None:
            while True:
                await asyncio.sleep(pause)
                with suppress(FarmUnreachable):
                    answer = await self._end.renew(offer.copy, offer.attempt)
                    if not answer.yes and self.offer == offer:
                        log.info("farm.not_renewed", copy=offer.copy, reason=answer.reason)
                        self.set_offer(None)

        task = asyncio.create_task(renew())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _prepare(self, offer: Offer) -> None:
        """Load the file, check it, and record that the copy will be claimed."""

        def require_offer() -> None:
            if self.offer is None or (self.offer.copy, self.offer.attempt) != (offer.copy, offer.attempt):
                raise OfferWithdrawn("it is no longer offered")

        loaded = {fold(tool.material) for tool in self._tools() if tool.material}
        missing = [each.strip() for each in offer.material.split(";") if fold(each) not in {*loaded, ""}]
        if loaded and missing:
            raise OfferDeclined(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not loaded")
        printer_path = await self._loader.prepare(offer, require_offer)
        job_before = await self._printer.get_newest_job()
        require_offer()
        if self._diary.entry is not None:
            raise OfferWithdrawn("the printer holds another copy")
        if self._why_no_start() or self._diary.notes.on_hold:
            raise OfferDeclined("")  # not a fault: a user was faster
        nonce = secrets.token_hex(12)
        self.record(
            DiaryEntry(
                offer.copy,
                offer.attempt,
                nonce,
                "claiming",
                printer_path=printer_path,
                name=offer.name,
                job_before=job_before,
            ),
        )

    async def _decline(self, offer: Offer, reason: str, *, fits: bool = True) -> None:
        self._finished_offers.append((offer.copy, offer.attempt))
        report = Report(offer.copy, offer.attempt, "declined", self._wall(), reason=reason, fits=fits)
        with suppress(FarmUnreachable):  # the lease will run out
            await self._end.report(report)

    # -- after the claim ---------------------------------------------------------------------------------------

    async def _take_step(self, entry: DiaryEntry) -> None:
        """Take the next step of a copy, according to its stage in the diary."""
        if entry.stage == "claiming":
            await self._claim(entry)
        elif entry.stage == "starting":
            await self._start(entry)
        elif entry.stage == "printing":
            await self._follow(entry)
        else:
            await self._close(entry)

    async def _claim(self, entry: DiaryEntry) -> None:
        if await self._obtain_claim(entry):
            self._may_have_started = False
            self.record(msgspec.structs.replace(entry, stage="starting"))

    async def _obtain_claim(self, entry: DiaryEntry) -> bool:
        """Claim a copy, or forget it if the list refuses; return whether the claim was granted."""
        answer = await self._end.claim(entry.copy, entry.attempt, entry.nonce)
        if answer.yes:
            self._claimed_at = asyncio.get_running_loop().time()
        else:
            log.info("farm.not_claimed", copy=entry.copy, reason=answer.reason)
            self._finished_offers.append((entry.copy, entry.attempt))
            self.record(None)
        return answer.yes

    async def _start(self, entry: DiaryEntry) -> None:
        """Start the print, unless it has begun already."""
        loop = asyncio.get_running_loop()
        if self._may_have_started:
            # read before the question: a start that is still pending may begin after the answer
            is_certain = loop.time() >= self._certain_at
            outcome = await self._printer.get_outcome(entry.key, entry.job_before)
            if outcome is not None:
                await self._apply_outcome(entry, outcome)
                return
            if not is_certain:
                await asyncio.sleep(min(POLL_INTERVAL, max(0.0, self._certain_at - loop.time())))
                return
        entry = self._diary.entry or entry
        if entry.cancel:
            self._end_with(entry, self._report(entry, "cancelled", "it had not begun"))
        elif not self._printer.look().is_known and loop.time() - self._claimed_at < CLAIM_VALIDITY_S:
            await asyncio.sleep(POLL_INTERVAL)
        elif reason := self._why_no_start():
            self._end_with(entry, self._report(entry, "not_begun", reason))
        elif loop.time() - self._claimed_at < CLAIM_VALIDITY_S or await self._obtain_claim(entry):
            await self._send(entry)

    async def _send(self, entry: DiaryEntry) -> None:
        self._may_have_started, self._certain_at = True, asyncio.get_running_loop().time() + CERTAIN_AFTER_S
        try:
            await self._printer.start(entry.printer_path, entry.key, START_DEADLINE_S)
        except StartRefused as error:
            log.warning("farm.not_begun", copy=entry.copy, file=entry.name, reason=str(error))
            self._end_with(entry, self._report(entry, "not_begun", str(error)))
        else:
            self.record(msgspec.structs.replace(entry, stage="printing"))

    async def _apply_outcome(self, entry: DiaryEntry, outcome: PrintOutcome) -> None:
        """Take the next step according to the outcome of the print."""
        if outcome.state == "done":
            # before the report: the disk may be full, or the farm away for hours
            await self._turn_off_heaters_of(entry)
            entry = self._diary.entry or entry
        if outcome.state == "printing":
            self.record(msgspec.structs.replace(entry, stage="printing"))
        elif outcome.state == "doubtful":
            self._end_with(entry, self._report(entry, "failed", DOUBT))
        else:
            self._end_with(entry, self.make_final_report(entry, outcome))

    async def _follow(self, entry: DiaryEntry) -> None:
        """Follow a print until its outcome is known."""
        if self._printer.look().key != entry.key:
            outcome = await self._printer.get_outcome(entry.key, entry.job_before) or PrintOutcome("doubtful")
            if outcome.state != "printing":
                await self._apply_outcome(entry, outcome)
                return
        if not entry.is_reported:
            with suppress(FarmUnreachable):
                await self._end.report(self._report(entry, "printing"))
                entry = msgspec.structs.replace(self._diary.entry or entry, is_reported=True)
                self.record(entry)
        if (self._diary.entry or entry).cancel:
            with suppress(PrinterDeclined):
                await self._printer.cancel(entry.key)
        await self._pause(POLL_INTERVAL)

    def _end_with(self, entry: DiaryEntry, report: Report) -> None:
        self.record(msgspec.structs.replace(entry, stage="ended", report=report))

    async def _close(self, entry: DiaryEntry) -> None:
        """Report the end, and close the entry."""
        report = entry.report or self._report(entry, "failed", DOUBT)
        if report.kind == "done":
            await self._turn_off_heaters_of(entry)
        await self._end.report(report)
        self._finished_offers.append((entry.copy, entry.attempt))
        self._diary.close(entry, report)
        log.info("farm.ended", copy=entry.copy, file=entry.name, how=report.kind, reason=report.reason)
        self.on_change()

    async def _turn_off_heaters_of(self, entry: DiaryEntry) -> None:
        """Turn off, once, heaters that a file has left on, unless another print runs: a user may come hours later."""
        if self._checked_print == entry.key:
            return
        self._heated_print = entry.key
        for _ in range(MAX_HEATER_CHECKS):
            await self._turn_heaters_off()
            if not self._heated_print or not self._printer.look().heaters:
                return
            await asyncio.sleep(POLL_INTERVAL / MAX_HEATER_CHECKS)

    async def _turn_heaters_off(self) -> None:
        """Turn the heaters off if nothing prints; if that is unknown, or the printer refuses, a later call retries."""
        view = self._printer.look()
        if not view.is_known or not view.heaters or (view.is_printing and view.key == self._heated_print):
            return  # this state may be older than the end of the print
        heating = [name for name, heat in view.heaters if heat.target]
        if heating and not view.is_printing:
            log.info("farm.cools", heaters=heating, reason="the file has left them on")
            try:
                await self._printer.turn_heaters_off()
            except (PrinterDeclined, PrinterUnreachable) as error:
                log.warning("farm.not_cooled", heaters=heating, reason=str(error))
                return
        self._heated_print, self._checked_print = "", self._heated_print

    def _report(self, entry: DiaryEntry, kind: ReportKind, reason: str = "") -> Report:
        return Report(entry.copy, entry.attempt, kind, self._wall(), nonce=entry.nonce, reason=reason)

    def _set_trouble(self, trouble: str) -> None:
        if trouble != self.trouble:
            if trouble:
                log.warning("farm.waits", reason=trouble, again_s=RETRY_DELAY)
            self.trouble = trouble
            self.on_change()
