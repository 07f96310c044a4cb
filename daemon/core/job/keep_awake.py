"""KeepAwake: a firmware's own timer does not end a print that is waiting.

Klipper turns heaters and motors off when nothing has moved for its `idle_timeout`, also in a pause of the host's and in
its waits for heat; what was printed cannot be gone on with then, as the place is lost. So while there is a job, the
command is said again and again that begins the time anew and changes nothing. A host that is dead says nothing more:
then the timer does what it is for.
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

OFTEN = 4
"""Times that it is said within the timer: three may be late behind a slow command."""

FIRST = 60.0
"""Seconds of a job before it is said: nobody makes the timer shorter, and most jobs begin with moves."""

MORE_OFTEN = 1.0
"""Seconds between two of them at least, however short somebody has made the timer."""

_SET_TO = re.compile(r"Timeout set to (\d{1,9}(?:\.\d{1,9})?)")

log = structlog.get_logger()


class KeepAwake:
    """Says it while a job is going on."""

    def __init__(self, connection: Connection, state: Callable[[], JobState | None]) -> None:
        """Watch the connection; `state` tells that of the job."""
        self._connection = connection
        self._state = state
        self._saying: asyncio.Task[None] | None = None
        connection.subscribe(self._on_event)

    def on_job(self, _state: JobState) -> None:
        """Take note of a job's new state."""
        self._adjust()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, StateChanged):
            self._adjust()

    def _adjust(self) -> None:
        state, printer = self._state(), self._connection.printer
        wanted = (
            state is not None
            and not state.ended
            and printer is not None
            and printer.state is ConnectionState.READY
            and printer.dialect.idle.awake_by is not None
        )
        if not wanted and self._saying is not None:
            self._saying.cancel()
            self._saying = None
        elif wanted and printer is not None and (self._saying is None or self._saying.done()):
            self._saying = asyncio.create_task(self._say(printer))

    async def _say(self, printer: Printer) -> None:
        """Say it until the job is over, or the firmware does not know it."""
        command = (printer.dialect.idle.awake_by or b"").decode()
        try:
            await asyncio.sleep(FIRST / pace(printer.address))
            seconds = _set_to(await printer.send(command), printer.dialect)
            while seconds:
                await asyncio.sleep(max(MORE_OFTEN, seconds / OFTEN / pace(printer.address)))
                seconds = _set_to(await printer.send(command), printer.dialect)
        except NozzledError as error:
            log.debug("printer.not_kept_awake", reason=str(error))  # the line is gone: the next one is told anew
        else:
            log.warning("printer.not_kept_awake", reason=f"the firmware does not know {command}")
            await asyncio.get_running_loop().create_future()  # it is not asked again for this job


def _set_to(answer: Sequence[str], dialect: Dialect) -> float | None:
    """Return the seconds of the timer, as the firmware tells them or by default; None: it does not know the command."""
    if any(isinstance(parse(line.encode()), UnknownCommand) for line in answer):
        return None
    return next((float(found[1]) for line in answer if (found := _SET_TO.search(line))), dialect.idle.safety_timer)
