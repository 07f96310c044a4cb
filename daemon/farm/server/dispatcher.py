"""Dispatcher: offers copies to printers and answers their questions. Each decision is the list's, in SQL.

Theory of operation. When a printer reports that it is ready, the list picks a copy and stores the offer, which is then
sent. A lost message does no harm: while the printer reports that it is ready, its offer is sent again, until the offer
is claimed or its lease ends. A claimed copy stays with its printer until that printer's report or a user ends it:
nothing here ends it, and no timer does.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec
import structlog

from daemon.farm.carrier.ending import run_for_ever
from daemon.farm.carrier.ends import ORDER_TIMEOUT, ServerEnd
from daemon.farm.carrier.errors import FarmRefused, FarmUnreachable
from daemon.farm.errors import FarmError
from daemon.farm.list.values import FarmCopy
from daemon.farm.messages import (
    AWAY_AFTER_S,
    LEASE_S,
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
from daemon.farm.server.known_printer import KnownPrinter, match_key
from daemon.farm.server.list_thread import ListThread
from gcode.frozen import frozen

TICK_INTERVAL = 2.0  # between two checks of leases, and of changes by other servers
REPEAT_OFFER_INTERVAL = 5.0  # after which an offer is sent again to a printer that is still ready
RETRY_OFFER_INTERVAL = 30.0  # after which a printer that no copy fitted is tried again, even if the list is unchanged
REPEAT_CANCEL_INTERVAL = 8.0  # after which an agent is asked again to end a print
RENEW_INTERVAL = 10.0  # between two renewals of a lease by a download
STORE_INTERVAL = 60.0  # between two presences that the list stores of a printer
MAX_TASKS = 64  # orders, and presences to store, in progress at once

log = structlog.get_logger()


@frozen
class DispatcherTimes:
    """Times in s; tests and very slow networks need others."""

    lease: float = LEASE_S
    away: float = AWAY_AFTER_S
    tick: float = TICK_INTERVAL
    repeat_offer: float = REPEAT_OFFER_INTERVAL


class Dispatcher:
    """Offers copies to printers and answers their questions (the `Duties` of a ServerEnd)."""

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
            end: connects to the printers.
            files: of the jobs.
            wall: returns the Unix time in s.
            times: leases and pauses.
        """
        self._jobs = jobs
        self._end = end
        self._files = files
        self._wall = wall
        self._times = times or DispatcherTimes()
        self._printers: dict[str, KnownPrinter] = {}
        self._presences: dict[str, Presence] = {}
        self._ready_printers: dict[str, None] = {}  # printers to offer a copy to, in this order
        self._wake = asyncio.Event()
        self._check_soon = asyncio.Event()
        self._revision = 0
        self._has_waiting = True  # there may be copies to offer
        self._time = asyncio.get_running_loop().time
        self._started_at = self._time()
        self._last_event = -1
        self._renewed_at: dict[tuple[str, str, int], float] = {}
        self._cancels: dict[str, str] = {}  # printer → copy that a user has cancelled
        self._tasks: set[asyncio.Task[None]] = set()
        self.on_new_presence: Callable[[], None] = lambda: None  # called after each presence
        jobs.on_edit = self.check_list_soon

    async def run(self) -> None:
        """Offer copies until cancelled."""
        await self._load_presences()
        try:
            await run_for_ever(self._end.run(self), self._offer_all(), self._watch_list())
        finally:
            for task in [*self._tasks]:
                task.cancel()

    async def _load_presences(self) -> None:
        """Load the presences that an earlier process has stored."""
        try:
            presences = await self._jobs.call_quietly(lambda jobs: jobs.load_presences())
        except FarmError as error:
            log.warning("farm.list_away", reason=str(error), consequence="printers are unknown until they report")
            return
        for printer, presence in presences.items():
            self._presences.setdefault(printer, presence)

    # -- for the API ---------------------------------------------------------------------------------------------------

    @property
    def presences(self) -> Mapping[str, Presence]:
        """The last presence of each printer; `at` is when it arrived, by this computer's clock."""
        return self._presences

    @property
    def trouble(self) -> str:
        """Why nothing can be offered; empty: offers can be made."""
        return self._end.trouble or self._jobs.trouble

    def silence_of(self, printer: str) -> float | None:
        """Return the seconds since the last presence of a printer; None: it has sent none since the server started."""
        state = self._printers.get(printer)
        return None if state is None else self._time() - state.heard_at

    def is_away(self, printer: str) -> bool:
        """Tell whether a printer has been silent for too long; a claimed copy that it holds is then an orphan."""
        ago = self.silence_of(printer)
        if ago is None:
            ago = self._time() - self._started_at
        return ago > self._times.away

    def forget(self, printer: str) -> None:
        """Forget a printer that is away, until it reports again."""
        for by_printer in (self._printers, self._presences, self._ready_printers, self._cancels):
            by_printer.pop(printer, None)

    async def order(self, printer: str, order: FarmOrder, within: float = ORDER_TIMEOUT) -> OrderAnswer:
        """Send an order to a printer's agent and return its answer; raises FarmUnreachable."""
        state = self._printers.get(printer)
        may_be_late = order.verb in ("picture", "cancel")  # a picture changes nothing, and a cancel names its copy
        if not may_be_late and self._end.is_connected and (state is None or self.is_away(printer)):
            silence = (
                "has not reported yet" if state is None else f"was last heard {self._time() - state.heard_at:.0f} s ago"
            )
            raise FarmUnreachable(f"{printer} {silence}: is its agent running?")
        if state is not None:  # an agent that was held up refuses the order after this deadline
            until = state.reported_at + self._time() - state.heard_at + within
            order = msgspec.structs.replace(order, boot=state.presence.boot, until=until)
        return await self._end.order(printer, order, within)

    def check_list_soon(self) -> None:
        """Check the list soon: it has changed."""
        self._revision += 1
        self._check_soon.set()

    # -- messages from printers ----------------------------------------------------------------------------------------

    async def on_connected(self) -> None:
        """Send all offers again: messages were lost while NATS was away."""
        for state in self._printers.values():
            state.offered_at = -self._times.repeat_offer
        self.check_list_soon()

    async def on_presence(self, printer: str, presence: Presence) -> None:
        """Apply a printer's presence."""
        now = self._time()
        state = self._printers.get(printer)
        if state is None:
            state = self._printers[printer] = KnownPrinter(presence, presence.at, now)
        elif state.is_late(presence):
            return
        was_ready = state.presence.ready
        state.take(printer, presence, now, self._wall())
        self._presences[printer] = state.presence
        self.on_new_presence()
        if match_key(presence) != state.stored_key:
            state.no_fit_revision = -1
            self._store_soon(printer, state, now)
        if state.presence.ready and not was_ready:
            state.no_fit_revision = -1
        self._consider(printer, state, now)
        if printer in self._cancels:
            self._order_cancel(printer, state, now)

    async def renew(self, printer: str, question: CopyQuestion) -> YesOrNo:
        """Renew the lease of an offer, unless it was taken back."""
        copy, attempt, lease = question.copy, question.attempt, self._times.lease
        if await self._jobs.call_quietly(lambda jobs: jobs.renew(printer, copy, attempt, lease)):
            return YesOrNo(yes=True)
        return YesOrNo(yes=False, reason=f"this copy is no longer offered to {printer}")

    async def claim(self, printer: str, question: ClaimQuestion) -> YesOrNo:
        """Decide whether a printer may begin a copy."""
        copy, attempt, nonce = question.copy, question.attempt, question.nonce
        if not nonce:
            return YesOrNo(yes=False, reason="a claim needs a nonce")
        if await self._jobs.call_quietly(lambda jobs: jobs.claim(printer, copy, attempt, nonce)):
            log.info("farm.claimed", printer=printer, copy=copy, attempt=attempt)
            self._end_offer(printer, copy)
            return YesOrNo(yes=True)
        return YesOrNo(yes=False, reason=f"this copy is no longer offered to {printer}")

    async def find_holdings(self, printer: str) -> Holdings:
        """Return the copies that a printer holds, and send its offer again: it may have missed it."""
        if (state := self._printers.get(printer)) is not None:
            state.offered_at = -self._times.repeat_offer
        return Holdings(await self._jobs.call_quietly(lambda jobs: jobs.held_copies(printer)))

    async def read_chunk(self, printer: str, question: CopyQuestion) -> bytes:
        """Return a chunk of the file of a copy that the printer holds; raises FarmRefused."""
        copy, attempt = question.copy, question.attempt
        file = await self._jobs.call_quietly(lambda jobs: jobs.file_for(printer, copy, attempt))
        if file is None:
            raise FarmRefused(f"this copy is no longer offered to {printer}")
        now, key = self._time(), (printer, copy, attempt)
        if now - self._renewed_at.get(key, -RENEW_INTERVAL) >= min(RENEW_INTERVAL, self._times.lease / 3):
            self._renewed_at = {each: at for each, at in self._renewed_at.items() if now - at < self._times.lease}
            self._renewed_at[key] = now
            await self.renew(printer, question)
        return await self._files.read_chunk(file.sha256, question.offset)

    async def report(self, printer: str, report: Report) -> YesOrNo:
        """Store a report on a copy; when this returns, the report is on the disk."""
        agrees = await self._jobs.call_quietly(lambda jobs: jobs.report(printer, report))
        event = log.info if agrees else log.warning
        event("farm.reported", printer=printer, copy=report.copy, kind=report.kind, reason=report.reason, agrees=agrees)
        if report.kind != "printing":
            self._end_offer(printer, report.copy)
            self.check_list_soon()
            if agrees:
                await self._publish_failure(printer, report)
        return YesOrNo(yes=agrees, reason="" if agrees else "the list has another state for this copy")

    async def _publish_failure(self, printer: str, report: Report) -> None:
        copy, job = await self._jobs.call_quietly(lambda jobs: (stored := jobs.copy(report.copy), jobs.job(stored.job)))
        if copy.state == "failed":
            why = copy.reason or report.reason
            try:
                await self._end.store_failed(printer, FailedCopy(copy.id, job.id, self._wall(), job.name, why))
            except FarmUnreachable as error:  # not raised: the report is stored, and the agent must get its answer
                consequence = "only the list has it"
                log.warning("farm.failure_not_stored", copy=copy.id, reason=str(error), consequence=consequence)

    # -- offers --------------------------------------------------------------------------------------------------------

    def _consider(self, printer: str, state: KnownPrinter, now: float) -> None:
        """Queue a printer for an offer, if it is ready and a copy may fit."""
        if not state.presence.ready or now - state.heard_at > self._times.away:
            self._ready_printers.pop(printer, None)
            return
        if state.offer is not None and now - state.offered_at < self._times.repeat_offer:
            return
        if state.offer is None and not self._has_waiting:
            return
        if state.no_fit_revision == self._revision and now - state.no_fit_at < RETRY_OFFER_INTERVAL:
            return
        self._ready_printers[printer] = None
        self._wake.set()

    async def _offer_all(self) -> None:
        """Offer copies to the queued printers, one after the other."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._ready_printers and self._end.is_connected:
                printer = next(iter(self._ready_printers))
                self._ready_printers.pop(printer)
                try:
                    await self._offer(printer)
                except FarmUnreachable as error:
                    log.warning(
                        "farm.offer_lost", printer=printer, reason=str(error), consequence="it will be sent again"
                    )
                except FarmError as error:
                    log.warning("farm.not_offered", printer=printer, reason=str(error))
                    await asyncio.sleep(self._times.tick)

    async def _offer(self, printer: str) -> None:
        state, revision = self._printers[printer], self._revision
        presence, lease = state.presence, self._times.lease
        offer = await self._jobs.call_quietly(lambda jobs: jobs.offer(printer, presence, lease))
        now = self._time()
        if offer is None:
            state.offer, state.no_fit_revision, state.no_fit_at = None, revision, now
            return
        if state.offer is None or (state.offer.copy, state.offer.attempt) != (offer.copy, offer.attempt):
            log.info("farm.offered", printer=printer, copy=offer.copy, attempt=offer.attempt, job=offer.name)
        state.offer, state.offered_at = offer, now
        await self._end.offer(printer, offer)

    def _end_offer(self, printer: str, copy: str) -> None:
        """Forget an offer that was claimed, declined or taken back; the printer may get another one."""
        state = self._printers.get(printer)
        if state is not None:
            state.no_fit_revision = -1
            if state.offer is not None and state.offer.copy == copy:
                state.offer = None

    # -- the list ------------------------------------------------------------------------------------------------------

    async def _watch_list(self) -> None:
        """Check the leases at each tick; check the copies when this or another server has changed the list."""
        while True:
            changed = self._check_soon.is_set()
            self._check_soon.clear()
            try:
                changed |= await self._check_leases()
                if changed:
                    await self._check_copies()
            except FarmError as error:
                log.warning("farm.list_away", reason=str(error), consequence="nothing is offered meanwhile")
                self._check_soon.set()
                await asyncio.sleep(self._times.tick)
            except FarmUnreachable as error:
                log.warning("farm.not_withdrawn", reason=str(error), consequence="its claim will be refused")
            if changed:
                self._consider_all()
            try:
                async with asyncio.timeout(self._times.tick):
                    await self._check_soon.wait()
            except TimeoutError:
                self._consider_all()

    async def _check_leases(self) -> bool:
        """Take back offers whose lease has run out; tell whether the list has changed since the last check."""
        lease = self._times.lease
        late = await self._jobs.call_quietly(lambda jobs: jobs.expire(lease))
        for copy in late:
            log.warning("farm.offer_ended", printer=copy.printer, copy=copy.id, reason="nobody claimed it in time")
            self._end_offer(copy.printer, copy.id)
        last = await self._jobs.call_quietly(lambda jobs: jobs.last_event())
        if late or last != self._last_event:
            self._last_event = last
            self._revision += 1
            return True
        return False

    async def _check_copies(self) -> None:
        """Withdraw offers that are no longer in the list, and pass on the cancellations of users."""
        copies, self._has_waiting = await self._jobs.call_quietly(
            lambda jobs: (jobs.all_held_copies(), jobs.has_waiting_copies())
        )
        self._pass_on_cancels(copies)
        offered = {(copy.printer, copy.id, copy.attempt) for copy in copies if copy.state == "offered"}
        for printer, state in [*self._printers.items()]:
            if state.offer is not None and (printer, state.offer.copy, state.offer.attempt) not in offered:
                state.offer = None
                await self._end.withdraw(printer)

    def _pass_on_cancels(self, copies: list[FarmCopy]) -> None:
        now = self._time()
        cancels = {copy.printer: copy.id for copy in copies if copy.wish == "cancel" and copy.state != "offered"}
        new = {printer for printer, copy in cancels.items() if self._cancels.get(printer) != copy}
        self._cancels = cancels
        for printer in new:
            if (state := self._printers.get(printer)) is not None:
                self._order_cancel(printer, state, now)

    def _order_cancel(self, printer: str, state: KnownPrinter, now: float) -> None:
        """Ask an agent to end a print; ask again at its next presences, until it reports the end."""
        if now - state.cancelled_at >= REPEAT_CANCEL_INTERVAL and len(self._tasks) < MAX_TASKS:
            state.cancelled_at = now
            self._start(self._cancel(printer, self._cancels[printer]))

    async def _cancel(self, printer: str, copy: str) -> None:
        try:
            answer = await self.order(printer, FarmOrder("cancel", copy=copy))
        except FarmUnreachable as error:
            log.warning("farm.cancel_unheard", printer=printer, copy=copy, reason=str(error))
        else:
            log.info("farm.cancel", printer=printer, copy=copy, ok=answer.ok, reason=answer.reason)

    def _consider_all(self) -> None:
        now = self._time()
        for printer, state in self._printers.items():
            self._consider(printer, state, now)

    def _store_soon(self, printer: str, state: KnownPrinter, now: float) -> None:
        """Have the list store a printer's presence, which users see while the printer is off."""
        if now - state.stored_at >= STORE_INTERVAL and len(self._tasks) < MAX_TASKS:
            state.stored_key, state.stored_at = match_key(state.presence), now
            self._start(self._store(printer, state.presence))

    async def _store(self, printer: str, presence: Presence) -> None:
        try:
            await self._jobs.call_quietly(lambda jobs: jobs.store_presence(printer, presence))
        except FarmError as error:
            log.warning("farm.printer_not_noted", printer=printer, reason=str(error))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
