"""The agent of one printer: reports the state, handles offers and orders, and compares its diary with the list."""

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path

import msgspec
import structlog

from daemon.companions.farm.diary import Diary, DiaryEntry
from daemon.companions.farm.loading import FileLoader
from daemon.companions.farm.printer import PrinterApi, PrinterDeclined, PrinterUnreachable
from daemon.companions.farm.steps import RETRY_DELAY, CopySteps
from daemon.farm.carrier.ends import AgentEnd
from daemon.farm.carrier.errors import FarmUnreachable
from daemon.farm.messages import BEAT_INTERVAL, FarmOrder, HeldCopy, OrderAnswer, Presence, Tool

MIN_INTERVAL = 1.0  # between two presences, at least
COMPARE_INTERVAL = 60.0  # between two comparisons with the list
MAX_PICTURE = 512 * 1024  # bytes

log = structlog.get_logger()


class Agent:
    """The agent of one printer.

    Attributes:
        on_change: called when something has changed that users see.
        doubt: a sentence for users about a copy that is here according to the list, but not according to this printer;
            empty: there is none.
    """

    def __init__(
        self,
        end: AgentEnd,
        printer: PrinterApi,
        folder: Path,
        wall: Callable[[], float],
        *,
        url: str = "",
        group: str = "",
        tools: tuple[Tool, ...] = (),
    ) -> None:
        """Read the diary; raises OSError.

        Args:
            end: connects to the farm's server.
            printer: its printer.
            folder: its own, on a disk.
            wall: returns the Unix time in s.
            url: of the printer's page, for users.
            group: the group that the printer belongs to.
            tools: the configured filaments and nozzles; the printer's service fills the gaps.
        """
        self.on_change: Callable[[], None] = lambda: None
        self.doubt = ""
        self._end, self._printer, self._wall = end, printer, wall
        self._url, self._group, self._configured_tools = url, group, tools
        self._diary = Diary(folder)
        if self._diary.damaged_file is not None:
            log.warning(
                "farm.notes_damaged",
                kept_as=str(self._diary.damaged_file),
                consequence="the printer is asked what it has printed",
            )
        self._steps = CopySteps(
            end, printer, self._diary, FileLoader(end, printer, self._diary, folder), wall, self._tools
        )
        self._steps.on_change = self._on_change
        self._boot = secrets.token_hex(4)
        self._changed, self._compare_soon = asyncio.Event(), asyncio.Event()
        self._last_view: tuple[object, ...] = ()
        self._is_reconnected = False  # True: the presence must be sent again

    @property
    def entry(self) -> DiaryEntry | None:
        """The copy that is being claimed, started, printed or reported."""
        return self._diary.entry

    @property
    def on_hold(self) -> bool:
        """Whether a user has put the printer on hold."""
        return self._diary.notes.on_hold

    @property
    def trouble(self) -> str:
        """Why the agent cannot work, in a sentence for users; empty: it can."""
        return self._end.trouble if not self._end.is_connected else self._steps.trouble or self.doubt

    @property
    def why_not_ready(self) -> str:
        """Why the printer takes no offer now; empty: it waits for one."""
        return self._steps.why_not_ready()

    async def run(self) -> None:
        """Run all parts until cancelled."""
        self._end.on_connect = self._on_connect
        self._printer.on_change = self._on_printer_change
        self._end.set_order_handler(self._carry_out)
        async with asyncio.TaskGroup() as group:
            for part in (
                self._end.run(),
                self._printer.run(),
                self._send_presences(),
                self._listen(),
                self._reconcile(),
                self._steps.run(),
            ):
                group.create_task(part)

    def make_presence(self) -> Presence:
        """Return the printer's presence now."""
        view, entry, offer_in_preparation = self._printer.look(), self.entry, self._steps.offer_in_preparation
        copy = (
            entry.copy if entry is not None else offer_in_preparation.copy if offer_in_preparation is not None else ""
        )
        reason = self._steps.why_not_ready()
        return Presence(
            at=self._wall(),
            boot=self._boot,
            ready=not reason,
            reason=reason,
            state=view.state,
            name=view.name,
            url=self._url,
            group=self._group,
            version=view.version,
            on_hold=self.on_hold,
            bed_clear=view.bed_clear,
            copy=copy,
            file=entry.name if entry is not None and entry.key == view.key else view.file,
            progress=view.progress,
            remaining_s=view.remaining_s,
            heaters=dict(view.heaters),
            tools=self._tools(),
            size=view.size,
            hottest=view.hottest,
            camera=view.camera,
        )

    def _tools(self) -> list[Tool]:
        """Return the mounted filaments and nozzles: as configured, else as the printer's service reports them."""
        return [
            Tool(
                configured.material or detected.material,
                configured.colour or detected.colour,
                configured.nozzle_mm or detected.nozzle_mm,
            )
            for configured, detected in zip_longest(
                self._configured_tools, self._printer.look().tools, fillvalue=Tool()
            )
        ]

    # -- the connection to the server ---------------------------------------------------------------------------------

    def _on_connect(self) -> None:
        self._compare_soon.set()
        self._is_reconnected = True
        self._on_change()

    def _on_printer_change(self) -> None:
        """Wake the steps if something has changed that matters to them; temperatures do not."""
        view = self._printer.look()
        relevant = (view.is_known, view.is_idle, view.bed_clear, view.key)
        if relevant != self._last_view:
            self._last_view = relevant
            self._steps.wake()
        self._changed.set()

    def _on_change(self) -> None:
        self._changed.set()
        self.on_change()

    async def _send_presences(self) -> None:
        """Send the presence when it has changed, but not within MIN_INTERVAL, and at least every BEAT_INTERVAL."""
        before, sent_at = None, float("-inf")
        loop = asyncio.get_running_loop()
        while True:
            presence = self.make_presence()
            lasting = _without_volatile_values(presence)
            if lasting != before or self._is_reconnected or loop.time() - sent_at >= BEAT_INTERVAL:
                self._is_reconnected = False
                with suppress(FarmUnreachable):
                    await self._end.report_presence(presence)
                    before, sent_at = lasting, loop.time()
                self.on_change()
            await asyncio.sleep(MIN_INTERVAL)
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_INTERVAL - MIN_INTERVAL):
                    await self._changed.wait()
            self._changed.clear()

    async def _listen(self) -> None:
        async for offer in self._end.receive_offers():
            self._steps.set_offer(offer)

    async def _reconcile(self) -> None:
        """Ask the list which copies this printer holds, and report what the list has missed."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(COMPARE_INTERVAL):
                    await self._compare_soon.wait()
            self._compare_soon.clear()
            try:
                doubts = [await self._compare(held) for held in (await self._end.fetch_holdings()).copies]
                self.doubt = next(filter(None, doubts), "")
            except (FarmUnreachable, PrinterUnreachable, PrinterDeclined, OSError) as error:
                log.info("farm.not_compared", reason=str(error), again_s=RETRY_DELAY)
                await asyncio.sleep(RETRY_DELAY)
                self._compare_soon.set()

    async def _compare(self, held: HeldCopy) -> str:
        """Compare one of the list's copies with the diary; return a problem that only a user can solve, or nothing."""
        entry = self.entry
        if entry is not None and entry.is_of(held.copy, held.attempt):
            if held.cancel:
                self._steps.cancel(entry)
            return ""
        if held.state == "offered":
            return ""
        if (report := self._diary.final_report(held.copy, held.attempt)) is not None:
            await self._end.report(report)
            return ""
        entry = DiaryEntry(held.copy, held.attempt, held.nonce, "printing", name=held.copy, cancel=held.cancel)
        outcome = await self._printer.get_outcome(entry.key, None)
        if outcome is None or outcome.state == "doubtful":
            return f"the list says that this printer has claimed copy {held.copy}, which is unknown here"
        if outcome.state == "printing":
            self._steps.adopt(entry)
        else:
            if outcome.state == "done":
                self._steps.turn_heaters_off_after(entry.key)
            await self._end.report(self._steps.make_final_report(entry, outcome))
        return ""

    # -- orders ---------------------------------------------------------------------------------------------------

    async def _carry_out(self, order: FarmOrder) -> OrderAnswer:
        log.info("farm.order", verb=order.verb, copy=order.copy, by=order.by)
        if self._is_late(order):
            log.warning("farm.order_late", verb=order.verb, consequence="it is ignored")
            return OrderAnswer(ok=False, reason="the request came too late: check the printer, then try again")
        try:
            return await self._execute(order)
        except (PrinterDeclined, PrinterUnreachable) as error:
            return OrderAnswer(ok=False, reason=str(error))
        except OSError as error:
            return OrderAnswer(ok=False, reason=f"the agent cannot write its notes: {error.strerror or error}")

    def _is_late(self, order: FarmOrder) -> bool:
        """Tell whether the server has given up on an order: its user may have done something else by now.

        `until` is a date by this computer's clock: the server counts from the date in this agent's last presence.
        """
        if order.verb == "cancel" and order.copy:
            return False  # a cancel names its copy, so it is right however late it is
        return bool(order.boot) and (order.boot != self._boot or self._wall() > order.until)

    async def _execute(self, order: FarmOrder) -> OrderAnswer:
        entry = self.entry
        if order.verb == "picture":
            picture = await self._printer.take_picture()
            if len(picture) > MAX_PICTURE:
                return OrderAnswer(ok=False, reason=f"the picture has more than {MAX_PICTURE // 1024} KiB")
            return OrderAnswer(ok=True, data=picture)
        if order.verb == "bed_clear":
            await self._printer.confirm_bed_clear()
        elif order.verb in ("hold", "release"):
            self._diary.note(on_hold=order.verb == "hold")
        elif order.verb == "cancel":
            return self._cancel(order)
        elif entry is None or (order.copy and entry.copy != order.copy) or self._printer.look().key != entry.key:
            return OrderAnswer(ok=False, reason="the printer is not printing this copy")
        elif order.verb == "pause":
            await self._printer.pause()
        else:
            await self._printer.resume()
        self._on_change()
        return OrderAnswer(ok=True)

    def _cancel(self, order: FarmOrder) -> OrderAnswer:
        """Cancel a copy that is being printed or loaded."""
        entry, offer_in_preparation = self.entry, self._steps.offer_in_preparation
        if entry is not None and order.copy in ("", entry.copy):
            self._steps.cancel(entry)
        elif offer_in_preparation is not None and order.copy in ("", offer_in_preparation.copy):
            self._steps.set_offer(None)
        else:
            return OrderAnswer(ok=False, reason="the printer does not hold this copy")
        return OrderAnswer(ok=True)


def _without_volatile_values(presence: Presence) -> Presence:
    """Return a presence without the values that change all the time: they can wait for the next BEAT_INTERVAL."""
    return msgspec.structs.replace(presence, at=0, progress=None, remaining_s=None, heaters={})
