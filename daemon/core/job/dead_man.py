"""DeadMan: sets the firmware's own timer, which turns everything off when the host is dead.

A dead host cannot turn heaters off, so the firmware must be told in advance. M85 makes Marlin halt when nothing has
moved for a given time. Homing and the firmware's own waits for heat count as moves. Nothing moves in a pause or while
the host waits for heat, so M85 is repeated, which restarts the timer. A host that is stopped turns the timer off,
unless it leaves its print to the next host.

Repetier restarts its timer at any G command and at no M command (its Commands.cpp), so a G command that changes nothing
is sent before each M85. Prusa's firmware and Klipper turn their heaters off by themselves, so nothing is sent to them.
A build that does not know M85 does not protect the printer, whatever the name of the firmware.
"""

import asyncio
import re
from collections.abc import Callable

import structlog

from daemon.bridge.words import JobState, Protection
from daemon.config import SafetyConfig
from daemon.core.connection.connection import Connection
from daemon.core.safety.rules import has_target
from gcode.dialect import recognise
from gcode.errors import NozzledError
from gcode.replies import UnknownCommand, parse
from hal.printer import ConnectionState, Event, FirmwareIdentity, Printer, StateChanged, TemperaturesRead
from hal.registry import pace

REPEATS = 4
"""How often M85 is sent within the time that it sets: three of them may be held up by a slow command."""

RELEASE_TIMEOUT = 1.0
"""Seconds for which the end of the connection waits for the printer to acknowledge that the timer is off."""

# Not Marlin 1: with M85, 1.0 stops in the middle of its own waits for heat, 1.1 while it waits for its user, and 1.1.9
# at once when M85 follows a long rest.
_MARLIN_2 = re.compile(r"Marlin (?:bugfix-)?[2-9]\.")

_REPETIER = re.compile(r"Repetier")  # its Commands.cpp: processGCode notes the time, processMCode does not

log = structlog.get_logger()


class DeadMan:
    """Keeps the firmware's timer set to what the job and the heaters need."""

    def __init__(self, config: SafetyConfig, connection: Connection, state: Callable[[], JobState | None]) -> None:
        """Watch the connection.

        Args:
            config: has the times.
            connection: to the printer.
            state: returns the state of the job.
        """
        self._config = config
        self._connection = connection
        self._state = state
        self._printer: Printer | None = None  # the printer that the attributes below are about
        self._sent_seconds: int | None = None  # the seconds sent last; None: only an earlier host may have sent some
        self._m85_is_unknown = False  # the firmware has answered that it does not know M85
        self._sending: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        connection.subscribe(self._on_event)

    @property
    def protection(self) -> Protection | None:
        """How the connected printer protects itself; None: no printer is connected."""
        printer = self._connection.printer
        if printer is None or not self._connection.ready:
            return None
        by_itself = recognise(printer.identity.name).idle.safety_timer
        if by_itself is not None and not _knows_m85(printer.identity):
            return Protection(by_itself)
        if not self._config.dead_man_min:
            return Protection(None, "the printer's own timer is turned off by safety.dead_man_min = 0")
        if not _knows_m85(printer.identity):
            return Protection(None, f"this firmware has no known timer that turns heaters off: {printer.identity.name}")
        if self._m85_is_unknown:
            return Protection(None, f"this build of the firmware does not know M85: {printer.identity.name}")
        paused = self._state() in (JobState.PAUSED, JobState.PAUSING)
        return Protection(60 * (self._config.dead_man_paused_min if paused else self._config.dead_man_min))

    def on_job(self, _state: JobState) -> None:
        """Adjust the timer to the job's new state."""
        self._adjust()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, StateChanged):
            self._begin(ready=event.new is ConnectionState.READY)
        elif isinstance(event, TemperaturesRead):
            self._adjust()

    def _begin(self, *, ready: bool) -> None:
        self._printer = self._connection.printer if ready else None
        self._sent_seconds = None
        self._m85_is_unknown = False
        self._stop_timer()
        if ready:
            self._warn()
        self._adjust()

    def _warn(self) -> None:
        """Warn the user if nothing protects the printer."""
        if (protection := self.protection) is not None and protection.reason is not None:
            log.warning(
                "printer.not_protected", reason=protection.reason, consequence="if this computer dies, heaters stay on"
            )

    # -- setting the timer ---------------------------------------------------------------------------------

    def _adjust(self) -> None:
        """Send M85 if the time that is needed differs from the one that was set last."""
        if self._can_set_timer() and self._needed_seconds() != self._sent_seconds:
            self._send()

    def _can_set_timer(self) -> bool:
        printer = self._printer
        ready = printer is not None and printer.state is ConnectionState.READY and self._sending is None
        return (
            ready
            and not self._m85_is_unknown
            and self._config.dead_man_min > 0
            and printer is not None
            and _knows_m85(printer.identity)
        )

    def _needed_seconds(self) -> int:
        """Return the seconds that are needed now; 0: no timer is needed."""
        state, printer = self._state(), self._printer
        printing = state is not None and not state.ended
        if not printing and (printer is None or self._connection.panel_print is not None or not has_target(printer)):
            return 0
        paused = state in (JobState.PAUSED, JobState.PAUSING)
        return round(60 * (self._config.dead_man_paused_min if paused else self._config.dead_man_min))

    def _send(self) -> None:
        printer, seconds = self._printer, self._needed_seconds()
        if printer is not None:
            self._sent_seconds = seconds
            self._stop_timer()
            self._sending = asyncio.create_task(self._set_timer(printer, seconds))
            self._sending.add_done_callback(self._on_sent)

    async def _set_timer(self, printer: Printer, seconds: int) -> None:
        try:
            if _REPETIER.match(printer.identity.name):
                await printer.send("G20" if printer.modes.inches else "G21")  # sets the units that are set already
            answer = await printer.send(f"M85 S{round(seconds * pace(printer.address))}")
        except NozzledError as error:
            log.debug("printer.dead_man_not_set", reason=str(error))  # lost; the next connection sets its own timer
            return
        if printer is self._printer and any(isinstance(parse(line.encode()), UnknownCommand) for line in answer):
            self._m85_is_unknown, self._sent_seconds = True, None
            self._warn()

    def _on_sent(self, _task: asyncio.Task[None]) -> None:
        self._sending = None
        if self._can_set_timer():
            if self._sent_seconds:
                self._timer = asyncio.get_running_loop().call_later(self._sent_seconds / REPEATS, self._repeat)
            self._adjust()

    def _repeat(self) -> None:
        if self._can_set_timer():
            self._send()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- the end -------------------------------------------------------------------------------------------

    async def turn_off(self) -> None:
        """Turn the timer off before the connection is closed on purpose, so that the printer does not halt later."""
        printer = self._printer
        self._stop_timer()
        self._printer = None
        if printer is None or not self._sent_seconds or printer.state is not ConnectionState.READY:
            return
        try:
            async with asyncio.timeout(RELEASE_TIMEOUT):
                await self._set_timer(printer, 0)
        except TimeoutError:
            log.warning(
                "printer.dead_man_left", consequence=f"the printer stops {self._sent_seconds} s after its last move"
            )


def _knows_m85(identity: FirmwareIdentity) -> bool:
    return any(pattern.match(identity.name) for pattern in (_MARLIN_2, _REPETIER))
