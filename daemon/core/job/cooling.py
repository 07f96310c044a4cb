"""Cooling: a printer that a job left hot is made cold, at once or as soon as it is there again."""

import asyncio
from collections.abc import Callable

import structlog

from daemon.config import ProfileConfig
from daemon.core.job.calling_off import make_cold_and_rest
from daemon.core.safety.rules import make_cold
from gcode.errors import NozzledError
from hal.printer import ConnectionState, Printer

LEFT_HOT = "the last print was interrupted, and its heaters may still be on"

log = structlog.get_logger()


class Cooling:
    """What is known of heaters that may be on without a job."""

    def __init__(self, profile: Callable[[], ProfileConfig], on_cold: Callable[[], None]) -> None:
        """Prepare.

        Args:
            profile: tells which heaters there are now.
            on_cold: called when a printer has been made cold.
        """
        self.due = False  # some printer was left hot, and is to be made cold when it is READY
        self._profile = profile
        self._on_cold = on_cold
        self._left: Printer | None = None  # the last one that was made cold before it was left
        self._task: asyncio.Task[None] | None = None

    def begin(self, printer: Printer, reason: str = LEFT_HOT) -> None:
        """Make the printer cold in the background; the commands are on the wire in this turn of the loop."""
        self._task = asyncio.create_task(self.now(printer, reason))

    async def now(self, printer: Printer, reason: str = LEFT_HOT) -> None:
        """Make the printer cold; where that cannot be done, it stays due."""
        self.due = False
        log.warning("printer.cooling", reason=reason)
        try:
            cold = await make_cold(printer, self._profile(), reason)
        except NozzledError as error:  # lost again in the turn in which it was READY
            cold = False
            log.warning("printer.not_cooled", reason=str(error))
        self.due = self.due or not cold
        if cold:
            self._on_cold()

    async def at_rest(self, printer: Printer, reason: str, silence: float) -> None:
        """Make the printer cold, and wait for its last move; one that does not listen for `silence` s is stopped."""
        self.due = False
        log.warning("printer.cooling", reason=reason)
        cold = False
        try:
            await make_cold_and_rest(printer, self._profile(), silence)
            cold = True
        except TimeoutError:
            printer.emergency_stop(f"emergency stop: {reason}")
        except NozzledError as error:
            log.warning("printer.not_cooled", reason=str(error))
        self.due = self.due or not cold
        if cold:
            self._on_cold()

    async def before_leaving(self, printer: Printer) -> None:
        """Make the printer cold before its line is closed, once."""
        if printer.state is not ConnectionState.READY or printer is self._left:
            return
        self._left = printer  # what it reports may still show the targets of before
        if await make_cold(printer, self._profile()):
            self._on_cold()
        else:
            log.error("job.emergency_stop", reason="the printer did not acknowledge that its heaters are off")
