"""Guard: watches the printer's heaters by the rules in `rules`, and acts when one is broken."""

import asyncio
from collections.abc import Callable

import structlog

from daemon.bridge.words import JobState
from daemon.config import Config
from daemon.core.connection.connection import Connection
from daemon.core.connection.other_host import QUERIES, OtherHost
from daemon.core.job.controller import JobController
from daemon.core.safety.rules import HeaterWatch, has_target, longest_silence
from daemon.errors import Unsafe
from gcode.replies import Heaters
from hal.printer import ConnectionState, Event, StateChanged, TemperaturesRead

GRACE_PERIOD = 60.0
"""Seconds after heaters off in which broken rules do not count. If a rule is broken after that although no heater has
a target, an emergency stop follows."""

MIN_CHECK, MAX_CHECK = 5.0, 30.0
"""Minimum and maximum number of seconds between two checks that reports still come."""

log = structlog.get_logger()


class Guard:
    """Watches the connected printer.

    Attributes:
        trouble: the last broken rule, in a sentence; None after a print has started or a target was raised.
    """

    def __init__(self, config: Config, connection: Connection, jobs: JobController) -> None:
        """Begin to watch the connection; needs a running loop."""
        self.trouble: str | None = None
        self._config = config
        self._connection = connection
        self._jobs = jobs
        self._loop = asyncio.get_running_loop()
        self._watches: dict[str, HeaterWatch] = {}
        self._targets: dict[str, float] = {}
        self._used_at = 0.0  # when a job or a changed target last showed that the heat is in use
        self._read_at = 0.0  # when the last report came
        self._acted_at: float | None = None  # when a broken rule last turned the heaters off
        self._timer: asyncio.TimerHandle | None = None  # of `_check_silence`
        self._query_task: asyncio.Task[None] | None = None  # asks whether the printer works for another host
        self._listeners: list[Callable[[str], None]] = []
        connection.subscribe(self._on_event)
        connection.on_profile(self._watches.clear)  # with new limits the watches start over
        jobs.subscribe(self._on_job)

    def subscribe(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with each broken rule, in a sentence."""
        self._listeners.append(listener)

    # -- reports -------------------------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        if isinstance(event, TemperaturesRead):
            self._take_report(event.heaters)
        elif isinstance(event, StateChanged):
            self._begin(ready=event.new is ConnectionState.READY)

    def _begin(self, *, ready: bool) -> None:
        """Start over with a new connection."""
        self._stop_timer()
        self._watches.clear()
        self._targets.clear()
        self._acted_at = None
        if self._query_task is not None:
            self._query_task.cancel()
        if ready:
            self._used_at = self._read_at = self._loop.time()
            self._schedule_check()

    def _on_job(self, state: JobState) -> None:
        self._used_at = self._loop.time()
        if state is JobState.STARTING:
            self.trouble = None

    def _take_report(self, heaters: Heaters) -> None:
        now = self._read_at = self._loop.time()
        if not self._connection.ready:
            return
        self._note_targets(heaters, now)
        if self._acted_at is not None and now - self._acted_at < GRACE_PERIOD:
            return
        for name, reading in heaters.items():
            if name not in self._watches:
                if not name.startswith(("tool", "bed", "chamber")):
                    continue  # a sensor without a heater: a board, a probe
                self._watches[name] = HeaterWatch(name, self._connection.profile)
            if trouble := self._watches[name].find_broken_rule(reading, now):
                self._act(trouble)
                return
        self._check_left_on(now)

    def _note_targets(self, heaters: Heaters, now: float) -> None:
        targets = {name: reading.target or 0.0 for name, reading in heaters.items()}
        if targets != self._targets:
            if any(target > self._targets.get(name, 0.0) for name, target in targets.items()):
                self.trouble = self._acted_at = None  # the user heats again
            self._targets, self._used_at = targets, now

    def _check_left_on(self, now: float) -> None:
        minutes = self._config.safety.idle_heat_min
        if self._jobs.active or self._connection.panel_print is not None:
            self._used_at = now
        used_at = max(self._used_at, self._connection.commands.queued_at)
        if minutes and any(self._targets.values()) and now - used_at >= minutes * 60 and self._query_task is None:
            self._query_task = asyncio.create_task(self._turn_off_unless_used(used_at))
            self._query_task.add_done_callback(self._on_query_end)

    async def _turn_off_unless_used(self, used_at: float) -> None:
        """Turn off the heaters that were left on, unless the printer works for another host."""
        # the queries take about a minute, but never longer than a heater may be left on
        is_at_work = await OtherHost(self._connection, self._config.safety.idle_heat_min * 60 / QUERIES).is_at_work()
        if is_at_work:
            self._used_at = self._loop.time()
            log.info("safety.works_elsewhere", consequence="heaters stay on: the printer works for another host")
        elif max(self._used_at, self._connection.commands.queued_at) == used_at and self._connection.ready:
            minutes = self._config.safety.idle_heat_min
            self._act(f"a heater was left on for {minutes:g} min without a print or a command")

    def _on_query_end(self, task: "asyncio.Task[None]") -> None:
        self._query_task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("safety.bug", exc_info=error)

    # -- missing reports -----------------------------------------------------------------------------------

    def _schedule_check(self) -> None:
        now = self._loop.time()
        due = min(self._read_at + self._silence(), now + MAX_CHECK)  # MAX_CHECK, as the limit may become shorter
        self._timer = self._loop.call_at(max(due, now + MIN_CHECK), self._check_silence)

    def _check_silence(self) -> None:
        """Act if no report has come for too long. The timer is not restarted at each report, which would cost more."""
        printer = self._connection.printer
        late = self._loop.time() - self._read_at >= self._silence()
        if late and printer is not None and has_target(printer):
            self._act(f"no temperature was reported for {self._silence():g} s while a heater is on")
        if late:
            self._read_at = self._loop.time()
        self._schedule_check()

    def _silence(self) -> float:
        """Return the maximum number of seconds without a report."""
        printer = self._connection.printer
        if printer is None:
            return GRACE_PERIOD
        # at least twice the configured interval of reports, which may be long
        return max(longest_silence(printer), 2 * self._config.printer.poll_active_s)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- acting --------------------------------------------------------------------------------------------

    def _act(self, trouble: str) -> None:
        """Turn the heaters off and notify the user; if turning them off did not help before, send an emergency stop."""
        printer = self._connection.printer
        # a heater breaks a rule although its target is 0: its switch may be stuck on
        without_effect = self._acted_at is not None and printer is not None and not has_target(printer)
        self._acted_at = self._loop.time()
        self._watches.clear()
        self.trouble = trouble
        log.error("safety.heaters_off", reason=trouble, emergency_stop=without_effect)
        self._jobs.turn_heaters_off(Unsafe(trouble))
        if without_effect and printer is not None:
            printer.emergency_stop(f"emergency stop: {trouble}")
        for listener in self._listeners:
            listener(trouble)
