"""Dispatcher: brings copies and printers together. It decides nothing: each decision is the list's, in SQL.

How it works. A printer that says that it is ready is considered: the list picks a copy and writes down the offer, and
then it goes out. Whatever is lost on the way is harmless: an offer that nobody takes ends with its lease; one that is
still out is said again when the printer says again that it is ready. What a printer has claimed stays its own until the
printer, or a person, says what became of it: nothing here does that, and no timer.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec
import structlog

from daemon.farm.carrier.ending import for_ever
from daemon.farm.carrier.ends import ORDER_PATIENCE, ServerEnd
from daemon.farm.carrier.errors import FarmRefused, FarmUnreachable
from daemon.farm.errors import FarmError
from daemon.farm.list.words import FarmCopy
from daemon.farm.messages import (
    AWAY,
    LEASE,
    ClaimQuestion,
    CopyQuestion,
    FailedCopy,
    FarmOrder,
    Holdings,
    OrderAnswer,
    Presence,
    Report,
    YesOrNo,
)
from daemon.farm.server.files import FarmFiles
from daemon.farm.server.known import KnownPrinter, matched_by
from daemon.farm.server.list_thread import ListThread
from gcode.frozen import frozen

TICK = 2.0  # s between two looks at leases, and at what others have changed
SAY_AGAIN = 5.0  # s after which an offer is said again to a printer that is still ready
CONSIDER_AGAIN = 30.0  # s after which a printer that found nothing is considered again, whatever happened
CANCEL_AGAIN = 8.0  # s
RENEW_EVERY = 10.0  # s between two renewals by the chunks of a file
REMEMBER_EVERY = 60.0  # s between two notes of a printer in the list
MOST_ORDERS = 64  # at once

log = structlog.get_logger()


@frozen
class DispatcherTimes:
    """What a test, or a very slow network, has otherwise; in s."""

    lease: float = LEASE
    away: float = AWAY
    tick: float = TICK
    say_again: float = SAY_AGAIN


class Dispatcher:
    """Brings copies and printers together (Duties of a ServerEnd)."""

    def __init__(
        self,
        jobs: ListThread,
        end: ServerEnd,
        files: FarmFiles,
        wall: Callable[[], float],
        times: DispatcherTimes | None = None,
    ) -> None:
        """Prepare.

        Args:
            jobs: the list.
            end: the way to the printers.
            files: of the jobs.
            wall: the date, in s.
            times: leases and pauses.
        """
        self._jobs = jobs
        self._end = end
        self._files = files
        self._wall = wall
        self._times = times or DispatcherTimes()
        self._printers: dict[str, KnownPrinter] = {}
        self._presences: dict[str, Presence] = {}
        self._ready: dict[str, None] = {}  # to be considered, in this order
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()
        self._revision = 0
        self._waiting = True  # copies are, as far as we know
        self._time = asyncio.get_running_loop().time  # called from other threads, too
        self._started = self._time()
        self._last_event = -1
        self._renewed: dict[tuple[str, str, int], float] = {}
        self._cancels: dict[str, str] = {}  # printer -> copy that a person wants ended
        self._tasks: set[asyncio.Task[None]] = set()
        self.on_news: Callable[[], None] = lambda: None  # called when a printer has said something
        jobs.on_change = self.list_changed

    async def run(self) -> None:
        """Offer, until cancelled."""
        await self._remembered()
        try:
            await for_ever(self._end.run(self), self._offer_all(), self._look())
        finally:
            for task in [*self._tasks]:
                task.cancel()

    async def _remembered(self) -> None:
        """Know the printers that have said something to an earlier process."""
        try:
            found = await self._jobs.call_quietly(lambda jobs: jobs.printers())
        except FarmError as error:
            log.warning("farm.list_away", reason=str(error), consequence="printers are known as they say something")
            return
        for printer, presence in found.items():
            self._presences.setdefault(printer, presence)

    # -- for people ----------------------------------------------------------------------------------------------------

    @property
    def presences(self) -> Mapping[str, Presence]:
        """What each printer said last; `at` is when it came, by the clock of this computer."""
        return self._presences

    @property
    def trouble(self) -> str:
        """Why nothing is offered; empty: nothing is in the way."""
        return self._end.trouble or self._jobs.trouble

    def heard_ago(self, printer: str) -> float | None:
        """Return the seconds since a printer has said something; None: it has not since the server began."""
        known = self._printers.get(printer)
        return None if known is None else self._time() - known.heard

    def is_away(self, printer: str) -> bool:
        """Tell whether a printer has been silent for long: what it holds is an orphan then."""
        ago = self.heard_ago(printer)
        if ago is None:  # it has not had the time to say something
            ago = self._time() - self._started
        return ago > self._times.away

    def forget(self, printer: str) -> None:
        """Know nothing of a printer that is away, until it says something."""
        for known in (self._printers, self._presences, self._ready, self._cancels):
            known.pop(printer, None)

    async def order(self, printer: str, order: FarmOrder, within: float = ORDER_PATIENCE) -> OrderAnswer:
        """Have a printer's agent do something; raises FarmUnreachable."""
        known = self._printers.get(printer)
        harmless = order.verb in ("picture", "cancel")
        if not harmless and self._end.connected and (known is None or self.is_away(printer)):
            when = "has said nothing yet" if known is None else f"was last heard {self._time() - known.heard:.0f} s ago"
            raise FarmUnreachable(f"{printer} {when}: does its agent run?")
        if known is not None:  # an agent that hung is to know that it is too late
            until = known.said_at + self._time() - known.heard + within
            order = msgspec.structs.replace(order, boot=known.presence.boot, until=until)
        return await self._end.order(printer, order, within)

    def list_changed(self) -> None:
        """Look at the list: somebody has changed it."""
        self._revision += 1
        self._changed.set()

    # -- what printers say ---------------------------------------------------------------------------------------------

    async def connected(self) -> None:
        """Begin anew with a NATS that was away: what was said meanwhile is lost."""
        for known in self._printers.values():
            known.out_at = -self._times.say_again
        self.list_changed()

    async def heard(self, printer: str, presence: Presence) -> None:
        """Take a printer's word."""
        now = self._time()
        known = self._printers.get(printer)
        if known is None:
            known = self._printers[printer] = KnownPrinter(presence, presence.at, now)
        elif known.is_late(presence):
            return
        was_ready = known.presence.ready
        known.take(printer, presence, now, self._wall())
        self._presences[printer] = known.presence
        self.on_news()
        if matched_by(presence) != known.noted:
            known.nothing = -1
            self._note(printer, known, now)
        if known.presence.ready and not was_ready:
            known.nothing = -1
        self._consider(printer, known, now)
        if printer in self._cancels:
            self._order_cancel(printer, known, now)

    async def renew(self, printer: str, question: CopyQuestion) -> YesOrNo:
        """Let an offer hold longer, or not."""
        copy, attempt, lease = question.copy, question.attempt, self._times.lease
        if await self._jobs.call_quietly(lambda jobs: jobs.renew(printer, copy, attempt, lease)):
            return YesOrNo(yes=True)
        return YesOrNo(yes=False, reason=f"this copy is not held out to {printer} any more")

    async def claim(self, printer: str, question: ClaimQuestion) -> YesOrNo:
        """Let it begin, or not: the one decision."""
        copy, attempt, nonce = question.copy, question.attempt, question.nonce
        if not nonce:
            return YesOrNo(yes=False, reason="a claim needs a nonce")
        if await self._jobs.call_quietly(lambda jobs: jobs.claim(printer, copy, attempt, nonce)):
            log.info("farm.claimed", printer=printer, copy=copy, attempt=attempt)
            self._let_go(printer, copy)
            return YesOrNo(yes=True)
        return YesOrNo(yes=False, reason=f"this copy is not held out to {printer} any more")

    async def held(self, printer: str) -> Holdings:
        """Return what the list believes that a printer holds; it may have missed what it was offered."""
        if (known := self._printers.get(printer)) is not None:
            known.out_at = -self._times.say_again
        return Holdings(await self._jobs.call_quietly(lambda jobs: jobs.held(printer)))

    async def file(self, printer: str, question: CopyQuestion) -> bytes:
        """Return a chunk of the file that is held out; raises FarmRefused."""
        copy, attempt = question.copy, question.attempt
        found = await self._jobs.call_quietly(lambda jobs: jobs.may_read(printer, copy, attempt))
        if found is None:
            raise FarmRefused(f"this copy is not held out to {printer} any more")
        now, key = self._time(), (printer, copy, attempt)
        if now - self._renewed.get(key, -RENEW_EVERY) >= min(RENEW_EVERY, self._times.lease / 3):
            self._renewed = {each: at for each, at in self._renewed.items() if now - at < self._times.lease}
            self._renewed[key] = now
            await self.renew(printer, question)
        return await self._files.chunk(found.sha256, question.offset)

    async def report(self, printer: str, report: Report) -> YesOrNo:
        """Write down what became of a copy; when this returns it is on the disk."""
        agrees = await self._jobs.call_quietly(lambda jobs: jobs.report(printer, report))
        event = log.info if agrees else log.warning
        event("farm.reported", printer=printer, copy=report.copy, kind=report.kind, reason=report.reason, agrees=agrees)
        if report.kind != "printing":
            self._let_go(printer, report.copy)
            self.list_changed()
            if agrees:
                await self._tell_failure(printer, report)
        return YesOrNo(yes=agrees, reason="" if agrees else "the list knows otherwise")

    async def _tell_failure(self, printer: str, report: Report) -> None:
        copy, job = await self._jobs.call_quietly(lambda jobs: (found := jobs.copy(report.copy), jobs.job(found.job)))
        if copy.state == "failed":
            why = copy.reason or report.reason
            await self._end.failed(printer, FailedCopy(copy.id, job.id, self._wall(), job.name, why))

    # -- offers --------------------------------------------------------------------------------------------------------

    def _consider(self, printer: str, known: KnownPrinter, now: float) -> None:
        """Have a printer considered, if it is ready and there may be something for it."""
        if not known.presence.ready or now - known.heard > self._times.away:
            self._ready.pop(printer, None)
            return
        if known.out is not None and now - known.out_at < self._times.say_again:
            return
        if known.out is None and not self._waiting:
            return
        if known.nothing == self._revision and now - known.nothing_at < CONSIDER_AGAIN:
            return
        self._ready[printer] = None
        self._wake.set()

    async def _offer_all(self) -> None:
        """Consider one printer after the other."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._ready and self._end.connected:
                printer = next(iter(self._ready))
                self._ready.pop(printer)
                try:
                    await self._offer(printer)
                except FarmUnreachable as error:
                    log.warning("farm.offer_lost", printer=printer, reason=str(error), consequence="it is said again")
                except FarmError as error:
                    log.warning("farm.not_offered", printer=printer, reason=str(error))
                    await asyncio.sleep(self._times.tick)

    async def _offer(self, printer: str) -> None:
        known, revision = self._printers[printer], self._revision
        presence, lease = known.presence, self._times.lease
        offer = await self._jobs.call_quietly(lambda jobs: jobs.offer(printer, presence, lease))
        now = self._time()
        if offer is None:
            known.out, known.nothing, known.nothing_at = None, revision, now
            return
        if known.out is None or (known.out.copy, known.out.attempt) != (offer.copy, offer.attempt):
            log.info("farm.offered", printer=printer, copy=offer.copy, attempt=offer.attempt, job=offer.name)
        known.out, known.out_at = offer, now
        await self._end.offer(printer, offer)

    def _let_go(self, printer: str, copy: str) -> None:
        known = self._printers.get(printer)
        if known is not None:
            known.nothing = -1
            if known.out is not None and known.out.copy == copy:
                known.out = None

    # -- the list ------------------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Look at leases at each tick, and at the rest when something has changed; here, or by another server."""
        while True:
            changed = self._changed.is_set()
            self._changed.clear()
            try:
                changed |= await self._look_at_leases()
                if changed:
                    await self._look_at_copies()
            except FarmError as error:
                log.warning("farm.list_away", reason=str(error), consequence="nothing is offered meanwhile")
                self._changed.set()
                await asyncio.sleep(self._times.tick)
            except FarmUnreachable as error:
                log.warning("farm.not_withdrawn", reason=str(error), consequence="it is refused when it is claimed")
            if changed:
                self._consider_all()
            try:
                async with asyncio.timeout(self._times.tick):
                    await self._changed.wait()
            except TimeoutError:
                self._consider_all()

    async def _look_at_leases(self) -> bool:
        """Have copies wait again that nobody took; tell whether anything is otherwise than at the last look."""
        late = await self._jobs.call_quietly(lambda jobs: jobs.expire())
        for copy in late:
            log.warning("farm.offer_ended", printer=copy.printer, copy=copy.id, reason="nobody took it in time")
            self._let_go(copy.printer, copy.id)
        last = await self._jobs.call_quietly(lambda jobs: jobs.last_event())
        if late or last != self._last_event:
            self._last_event = last
            self._revision += 1
            return True
        return False

    async def _look_at_copies(self) -> None:
        """Take back offers that are not the list's any more, and see what people want ended."""
        copies, self._waiting = await self._jobs.call_quietly(
            lambda jobs: (jobs.outstanding(), jobs.anything_waiting())
        )
        self._see_cancels(copies)
        offered = {(copy.printer, copy.id, copy.attempt) for copy in copies if copy.state == "offered"}
        for printer, known in [*self._printers.items()]:
            if known.out is not None and (printer, known.out.copy, known.out.attempt) not in offered:
                known.out = None
                await self._end.withdraw(printer)

    def _see_cancels(self, copies: list[FarmCopy]) -> None:
        now = self._time()
        wanted = {copy.printer: copy.id for copy in copies if copy.wish == "cancel" and copy.state != "offered"}
        new = {printer for printer, copy in wanted.items() if self._cancels.get(printer) != copy}
        self._cancels = wanted
        for printer in new:
            if (known := self._printers.get(printer)) is not None:
                self._order_cancel(printer, known, now)

    def _order_cancel(self, printer: str, known: KnownPrinter, now: float) -> None:
        """Ask an agent to end a print; it is asked again at each presence, until it reports an end."""
        if now - known.cancelled_at >= CANCEL_AGAIN and len(self._tasks) < MOST_ORDERS:
            known.cancelled_at = now
            self._begin(self._cancel(printer, self._cancels[printer]))

    async def _cancel(self, printer: str, copy: str) -> None:
        try:
            answer = await self.order(printer, FarmOrder("cancel", copy=copy))
        except FarmUnreachable as error:
            log.warning("farm.cancel_unheard", printer=printer, copy=copy, reason=str(error))
        else:
            log.info("farm.cancel", printer=printer, copy=copy, ok=answer.ok, reason=answer.reason)

    def _consider_all(self) -> None:
        now = self._time()
        for printer, known in self._printers.items():
            self._consider(printer, known, now)

    def _note(self, printer: str, known: KnownPrinter, now: float) -> None:
        """Have the list remember a printer, for those who look while it is off."""
        if now - known.noted_at >= REMEMBER_EVERY and len(self._tasks) < MOST_ORDERS:
            known.noted, known.noted_at = matched_by(known.presence), now
            self._begin(self._remember(printer, known.presence))

    async def _remember(self, printer: str, presence: Presence) -> None:
        try:
            await self._jobs.call_quietly(lambda jobs: jobs.seen(printer, presence))
        except FarmError as error:
            log.warning("farm.printer_not_noted", printer=printer, reason=str(error))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
