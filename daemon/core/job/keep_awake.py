"""KeepAwake: keeps a firmware's idle timer from ending a print that waits.

Klipper turns heaters and motors off when nothing has moved for its `idle_timeout`, even while the host pauses or waits
for heat. Then the position is lost, and the print with it. So during a job the host repeats a command that restarts the
timer and changes nothing else. If the host dies, the timer runs out, as it should.
"""

import asyncio
import re
from collections.abc import Callable, Sequence

import structlog

from daemon.bridge.words import JobState
from daemon.core.connection.connection import Connection
from gcode.dialect import Dialect
from gcode.errors import NozzledError
from gcode.replies import UnknownCommand, parse
from hal.printer import ConnectionState, Event, Printer, StateChanged
from hal.registry import pace

REPEATS = 4
"""How often the command is sent within the timer's time: three of them may be held up by a slow command."""

FIRST_DELAY = 60.0
"""Seconds from the job's start to the first command: timers are longer than that, and most jobs begin with moves."""

MIN_INTERVAL = 1.0
"""Minimum number of seconds between two commands, however short the timer is."""

_TIMER_SET = re.compile(r"Timeout set to (\d{1,9}(?:\.\d{1,9})?)")

log = structlog.get_logger()


class KeepAwake:
    """Sends the command that restarts the timer during a job."""

    def __init__(self, connection: Connection, state: Callable[[], JobState | None]) -> None:
        """Watch the connection; `state` returns the state of the job."""
        self._connection = connection
        self._state = state
        self._repeat_task: asyncio.Task[None] | None = None
        connection.subscribe(self._on_event)

    def on_job(self, _state: JobState) -> None:
        """Start or stop repeating, depending on the job's new state."""
        self._adjust()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, StateChanged):
            self._adjust()

    def _adjust(self) -> None:
        state, printer = self._state(), self._connection.printer
        needed = (
            state is not None
            and not state.ended
            and printer is not None
            and printer.state is ConnectionState.READY
            and printer.dialect.idle.awake_command is not None
        )
        if not needed and self._repeat_task is not None:
            self._repeat_task.cancel()
            self._repeat_task = None
        elif needed and printer is not None and (self._repeat_task is None or self._repeat_task.done()):
            self._repeat_task = asyncio.create_task(self._repeat(printer))

    async def _repeat(self, printer: Printer) -> None:
        """Repeat the command until the job is over, or the firmware does not know it."""
        command = (printer.dialect.idle.awake_command or b"").decode()
        try:
            await asyncio.sleep(FIRST_DELAY / pace(printer.address))
            seconds = _timer_seconds(await printer.send(command), printer.dialect)
            while seconds:
                await asyncio.sleep(max(MIN_INTERVAL, seconds / REPEATS / pace(printer.address)))
                seconds = _timer_seconds(await printer.send(command), printer.dialect)
        except NozzledError as error:
            log.debug("printer.not_kept_awake", reason=str(error))  # lost; the next connection starts over
        else:
            log.warning("printer.not_kept_awake", reason=f"the firmware does not know {command}")
            await asyncio.get_running_loop().create_future()  # so that `_adjust` does not start over for this job


def _timer_seconds(answer: Sequence[str], dialect: Dialect) -> float | None:
    """Return the seconds of the timer in the answer, or the default; None: the firmware does not know the command."""
    if any(isinstance(parse(line.encode()), UnknownCommand) for line in answer):
        return None
    return next((float(match[1]) for line in answer if (match := _TIMER_SET.search(line))), dialect.idle.safety_timer)
