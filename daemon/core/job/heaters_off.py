"""HeatersOff: turns off the heaters that a job has left on, at once or as soon as the printer is connected again."""

import asyncio
from collections.abc import Callable

import structlog

from daemon.config import ProfileConfig
from daemon.core.job.calling_off import turn_heaters_off_and_rest
from daemon.core.safety.rules import turn_heaters_off
from gcode.errors import NozzledError
from hal.printer import ConnectionState, Printer

LEFT_HOT = "the last print was interrupted, and its heaters may still be on"

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
            on_done: called when a printer's heaters are off.
        """
        self.is_due = False
        self._profile = profile
        self._on_done = on_done
        self._printer_left: Printer | None = None  # the last one for which `turn_off_before_leaving` was called
        self._task: asyncio.Task[None] | None = None

    def turn_off_soon(self, printer: Printer, reason: str = LEFT_HOT) -> None:
        """Turn the heaters off in the background; the commands are written in the next turn of the loop."""
        self._task = asyncio.create_task(self.turn_off_now(printer, reason))

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
        if printer.state is not ConnectionState.READY or printer is self._printer_left:
            return
        self._printer_left = printer  # noted here, because its last report may still show the old targets
        if await turn_heaters_off(printer, self._profile()):
            self._on_done()
        else:
            log.error("job.emergency_stop", reason="the printer did not acknowledge that its heaters are off")
