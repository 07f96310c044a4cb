"""Incidents: what went wrong in a simulated print, and how the host reacted, in order."""

from collections.abc import Callable

from daemon.bridge.words import JobState
from daemon.core.connection.connection import Connection
from daemon.core.job.controller import JobController
from gcode.frozen import frozen
from hal.printer import ActionRequested, ConnectionState, Event, FirmwareSaid, StateChanged

MAX_INCIDENTS = 1000
"""The first incidents, up to this many, are recorded; further ones are only counted."""

_USUAL = {JobState.STARTING, JobState.PRINTING, JobState.FINISHING, JobState.COMPLETED}


@frozen
class Incident:
    """What happened `time` seconds after the print began; `who`: "printer", "connection" or "job"."""

    time: float
    who: str
    what: str


class Incidents:
    """Listens to the printer's events and the job's states."""

    def __init__(self, now: Callable[[], float]) -> None:
        """Prepare; `now` returns the time of the print."""
        self.records: list[Incident] = []
        self.further_count = 0
        self._now = now
        self._unusual = False  # the job is in a state that an undisturbed print never has

    def listen(self, connection: Connection, jobs: JobController) -> None:
        """Record incidents from now on."""
        connection.subscribe(self._on_event)
        jobs.subscribe(lambda state: self._on_job(state, jobs))

    def _on_event(self, event: Event) -> None:
        if isinstance(event, FirmwareSaid) and event.severity != "info":
            self._note("printer", f"says {event.text}")
        elif isinstance(event, ActionRequested):
            self._note("printer", f"asks for {event.name} {event.argument}".rstrip())
        elif isinstance(event, StateChanged) and event.new is ConnectionState.FAULT:
            self._note("connection", f"lost: {event.error}")
        elif isinstance(event, StateChanged) and event.new is ConnectionState.READY:
            self._note("connection", "ready again")

    def _on_job(self, state: JobState, jobs: JobController) -> None:
        if state not in _USUAL or self._unusual:
            because = f": {jobs.error}" if jobs.error else ""
            self._note("job", f"{state.name}{because}")
        self._unusual = state not in _USUAL

    def _note(self, who: str, what: str) -> None:
        if len(self.records) < MAX_INCIDENTS:
            self.records.append(Incident(round(self._now(), 3), who, what))
        else:
            self.further_count += 1
