"""HeatersOff: turns off the heaters that a job has left on, at once or as soon as the printer is connected again."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from daemon.config import ProfileConfig
from daemon.core.job.calling_off import turn_heaters_off_and_rest
from daemon.core.safety.rules import turn_heaters_off
from gcode.errors import NozzledError
from hal.printer import ConnectionState, Printer

LEFT_HOT = "the last print was interrupted, and its heaters may still be on"

CARD_TIMEOUT = 3.0
"""Seconds in which a printer that is connected again has to say whether it prints from its SD card."""

CARD_PRINT_TIMEOUT = 60.0
"""Seconds in which such a print has to read on in its file. Marlin 1 reports a place whenever a card is in, also the
one at which an earlier print ended."""

log = structlog.get_logger()


class HeatersOff:
    """Turns off a printer's heaters.

    Attributes:
        is_due: heaters may be on; they are turned off when a printer is READY.
    """

    def __init__(self, profile: Callable[[], ProfileConfig], on_done: Callable[[], None]) -> None:
        """Prepare.

        Args:
            profile: returns the printer's profile, which names its heaters.
            on_done: called when a printer's heaters are off, or are those of another print.
        """
        self.is_due = False
        self._profile = profile
        self._on_done = on_done
        self._printer_made_safe: Printer | None = None  # the last one for which `turn_off_before_leaving` was called
        self._task: asyncio.Task[None] | None = None

    def turn_off_soon(self, printer: Printer, reason: str = LEFT_HOT) -> None:
        """Turn the heaters off in the background; the commands are written within the next two turns of the loop."""
        self._task = asyncio.create_task(self.turn_off_now(printer, reason))

    def turn_off_if_due(self, printer: Printer, has_job: Callable[[], bool]) -> None:
        """If heaters may still be on, turn them off in the background, unless another print uses them by now.

        Args:
            printer: READY again.
            has_job: tells whether a job is active.
        """
        if self.is_due:
            self._task = asyncio.create_task(self._turn_off_unless_used(printer, has_job))

    async def _turn_off_unless_used(self, printer: Printer, has_job: Callable[[], bool]) -> None:
        prints_from_card = await _prints_from_card(printer, has_job)
        if has_job() or not prints_from_card:
            printer.forget_panel_print()  # otherwise it would keep jobs from being started or resumed
        if has_job():
            self.is_due = False  # the heat belongs to the job that has begun meanwhile
        elif prints_from_card and self.is_due:
            self.is_due = False
            self._on_done()  # otherwise each later start of nozzled would ask again
            log.warning("printer.stays_hot", reason="the printer prints from its SD card")
        elif self.is_due:
            await self.turn_off_now(printer)

    async def turn_off_now(self, printer: Printer, reason: str = LEFT_HOT) -> None:
        """Turn the heaters off; if that fails, set `is_due`."""
        self.is_due = False
        log.warning("printer.heaters_off", reason=reason)
        try:
            off = await turn_heaters_off(printer, self._profile(), reason)
        except NozzledError as error:  # the printer was lost again in the turn in which it was READY
            off = False
            log.warning("printer.still_hot", reason=str(error))
        self.is_due = self.is_due or not off
        if off:
            self._on_done()

    async def turn_off_and_rest(self, printer: Printer, reason: str, silence: float) -> None:
        """Turn the heaters off and wait for the last move; M112 follows if the printer is silent for `silence` s."""
        self.is_due = False
        log.warning("printer.heaters_off", reason=reason)
        off = False
        try:
            await turn_heaters_off_and_rest(printer, self._profile(), silence)
            off = True
        except TimeoutError:
            printer.emergency_stop(f"emergency stop: {reason}")
        except NozzledError as error:
            log.warning("printer.still_hot", reason=str(error))
        self.is_due = self.is_due or not off
        if off:
            self._on_done()

    async def turn_off_before_leaving(self, printer: Printer) -> None:
        """Turn the heaters off before the connection is closed; a second call for this printer does nothing."""
        if printer.state is not ConnectionState.READY or printer is self._printer_made_safe:
            return
        self._printer_made_safe = printer  # noted here, because its last report may still show the old targets
        if await turn_heaters_off(printer, self._profile()):
            self.is_due = False
            self._on_done()
        else:
            log.error("job.emergency_stop", reason="the printer did not acknowledge that its heaters are off")


async def _prints_from_card(printer: Printer, has_job: Callable[[], bool]) -> bool:
    """Tell whether the printer prints from its SD card: it reads on in a file, or reports a pause of such a print.

    This takes up to CARD_PRINT_TIMEOUT; a job that begins meanwhile ends it. While the host was away, a user may have
    begun a print at the panel, which only an answer to M27 shows.
    """
    with suppress(NozzledError, TimeoutError):
        async with asyncio.timeout(CARD_TIMEOUT):
            await printer.send("M27", urgent=True)
    first = printer.panel_print
    if first is None or not (first.position or first.is_paused):  # a file at byte 0 may only have been selected
        return False
    loop = asyncio.get_running_loop()
    end = loop.time() + CARD_PRINT_TIMEOUT
    while loop.time() < end and printer.state is ConnectionState.READY and not has_job():
        if (now := printer.panel_print) is None:
            return False
        if now.is_paused or (now.total == first.total and now.position > first.position):
            return True
        first = now  # another file may have been selected, or the same one been begun again
        if printer.busy:  # it heats, homes or probes, and reads on afterwards
            end = loop.time() + CARD_PRINT_TIMEOUT
        await asyncio.sleep(1)
    return False
