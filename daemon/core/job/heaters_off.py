"""HeatersOff: turns off the heaters that a job left on, at once or as soon as the printer is connected again."""

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
    """Turns off a printer's heaters, and remembers while that is still due."""

    def __init__(self, profile: Callable[[], ProfileConfig], on_done: Callable[[], None]) -> None:
        """Prepare.

        Args:
            profile: returns the printer's profile, which names its heaters.
            on_done: called when a printer's heaters are off.
        """
        self.due = False  # heaters may be on: turn them off when a printer is READY
        self._profile = profile
        self._on_done = on_done
        self._left_printer: Printer | None = None  # the last one whose heaters `before_leaving` has turned off
        self._task: asyncio.Task[None] | None = None

    def begin(self, printer: Printer, reason: str = LEFT_HOT) -> None:
        """Turn its heaters off in the background; the commands are written as soon as the task runs."""
        self._task = asyncio.create_task(self.now(printer, reason))

    async def now(self, printer: Printer, reason: str = LEFT_HOT) -> None:
        """Turn its heaters off; if that fails, it stays due."""
        self.due = False
        log.warning("printer.heaters_off", reason=reason)
        try:
            off = await turn_heaters_off(printer, self._profile(), reason)
        except NozzledError as error:  # lost again in the turn in which it was READY
            off = False
            log.warning("printer.still_hot", reason=str(error))
        self.due = self.due or not off
        if off:
            self._on_done()

    async def at_rest(self, printer: Printer, reason: str, silence: float) -> None:
        """Turn its heaters off, and wait for its last move; after `silence` seconds of deafness, an emergency stop."""
        self.due = False
        log.warning("printer.heaters_off", reason=reason)
        off = False
        try:
            await turn_heaters_off_and_rest(printer, self._profile(), silence)
            off = True
        except TimeoutError:
            printer.emergency_stop(f"emergency stop: {reason}")
        except NozzledError as error:
            log.warning("printer.still_hot", reason=str(error))
        self.due = self.due or not off
        if off:
            self._on_done()

    async def before_leaving(self, printer: Printer) -> None:
        """Turn its heaters off before its line is closed; does nothing the second time."""
        if printer.state is not ConnectionState.READY or printer is self._left_printer:
            return
        self._left_printer = printer  # its last report may still show the old targets
        if await turn_heaters_off(printer, self._profile()):
            self._on_done()
        else:
            log.error("job.emergency_stop", reason="the printer did not acknowledge that its heaters are off")
