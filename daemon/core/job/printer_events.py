"""PrinterEvents: what the printer's events mean for the job."""

import asyncio
from typing import TYPE_CHECKING

import structlog

from daemon.bridge.words import JobState
from daemon.core.job.pause_reason import text_before_pause
from daemon.core.job.runner import Kit, trigger_for
from daemon.errors import JobConflict, PrinterRefused
from daemon.log import Limiter
from gcode.errors import PrinterSilent
from gcode.replies import UnknownCommand, parse
from hal.errors import PortLost
from hal.printer import (
    ActionRequested,
    ConnectionState,
    Event,
    FirmwareSaid,
    LineRefused,
    StateChanged,
    TemperaturesRead,
)

if TYPE_CHECKING:
    from daemon.core.job.controller import JobController
    from daemon.core.job.job import Job

_LOST = (PortLost, PrinterSilent)
"""Errors after which the connection may come back."""

log = structlog.get_logger()


class PrinterEvents:
    """Changes the job's state when the printer or its connection changes."""

    def __init__(self, kit: Kit, jobs: "JobController") -> None:
        """Watch the connection; requests of the firmware go to `jobs`, like those of a user."""
        self._kit = kit
        self._jobs = jobs
        self._log_limit = Limiter()
        kit.connection.subscribe(self._on_event)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, ActionRequested):
            self._on_action(event)
        elif isinstance(event, StateChanged):
            self._on_connection(event)
        elif isinstance(event, LineRefused):
            self._on_refusal(event)
        elif (job := self._job) is None:
            return
        elif isinstance(event, TemperaturesRead):
            job.note_targets(event.heaters, asyncio.get_running_loop().time())
        elif isinstance(event, FirmwareSaid) and isinstance(reply := parse(event.text.encode()), UnknownCommand):
            job.unknown_words.add(reply.word)

    def _on_refusal(self, event: LineRefused) -> None:
        """Do what is configured when the firmware refuses a line of the job; the firmware itself continues."""
        job = self._job
        if job is None or not job.feeds_printer or job.state in (JobState.CANCELLING, JobState.REATTACHING):
            return
        text = f"the printer refused {event.command!r} (byte {event.offset} of the file): {event.text}"
        match self._kit.config.printer.on_error:
            case "ignore":
                job.warn(text)
            case "pause":
                job.warn(text)
                if job.machine.can("pause"):  # not again for each line that was in flight
                    job.snapshot.pause_reason = text
                    self._jobs.pause()
            case _:
                job.printer.hold()
                job.stop(PrinterRefused(text))

    def _on_action(self, event: ActionRequested) -> None:
        """Do what the firmware asks for; by `paused` and `resumed` it reports what it has already done."""
        if self._log_limit.admits(asyncio.get_running_loop().time()):
            suppressed = self._log_limit.take_suppressed()
            more = {"suppressed_before": suppressed} if suppressed else {}
            log.info("printer.action", action=event.name, argument=event.argument, **more)
        try:
            self._act(event)
        except JobConflict as error:
            log.warning("printer.action_refused", action=event.name, reason=str(error))

    def _act(self, event: ActionRequested) -> None:
        jobs, job = self._jobs, self._job
        if event.name == "start" and job is None and jobs.selected is not None:
            jobs.start()
        if job is None:
            return
        match event.name:
            case "pause" | "paused" if job.machine.can("pause"):
                job.snapshot.printer_paused, job.snapshot.resumed_by_firmware = event.name == "paused", False
                job.snapshot.pause_reason = text_before_pause(job.printer) or "the printer asks for it"
                log.info("job.pause", reason=job.snapshot.pause_reason)
                jobs.pause()
            case "resume" | "resumed" if job.machine.can("resume"):
                job.snapshot.resumed_by_firmware = event.name == "resumed"
                jobs.resume()
            case "pause" | "resume" | "resumed" if job.state is JobState.PAUSING:
                # the firmware answers M600 once the filament is changed; until then the job is PAUSING. `paused` is not
                # in this case: it only reports that the printer has parked, and must not cancel a resume
                job.snapshot.wish = "resume" if event.name.startswith("resume") else None
                job.snapshot.resumed_by_firmware = event.name == "resumed"
            case "paused" if job.state is JobState.PAUSING and job.snapshot.resumed_by_firmware:
                # the firmware had resumed by itself, and has paused again
                job.snapshot.wish, job.snapshot.resumed_by_firmware = None, False
            case "cancel" if job.machine.can("cancel"):
                jobs.cancel()

    @property
    def _job(self) -> "Job | None":
        """The job, if it has not ended."""
        runner = self._jobs.runner
        return runner.job if runner is not None and runner.active else None

    def _on_connection(self, event: StateChanged) -> None:
        job, heaters_off = self._job, self._kit.heaters_off
        if job is not None and job.state is JobState.REATTACHING:
            # the effect waits for the outcome; or it already has the printer, and now loses it again
            if job.may_reattach_again and event.new is ConnectionState.FAULT and isinstance(event.error, _LOST):
                if job.losses.add():
                    job.reattach_again()
                else:  # with a loose plug the print would stand still, hot, for ever
                    heaters_off.is_due = True
                    job.end(trigger_for(event.error), str(event.error))
            return
        if event.new is ConnectionState.FAULT and event.error is not None and job is not None:
            if isinstance(event.error, _LOST) and self._wait_for_connection(job):
                return
            heaters_off.is_due = True  # a board with its own power supply keeps heating without the cable
            job.end(trigger_for(event.error), str(event.error))
        elif event.new is ConnectionState.READY and (printer := self._kit.connection.printer) is not None:
            heaters_off.turn_off_if_due(printer, lambda: self._jobs.active)

    def _wait_for_connection(self, job: "Job") -> bool:
        """Make the job reattach when the connection is back; False: it cannot be reattached."""
        seconds = self._kit.config.printer.reattach_s
        if not seconds or self._kit.survival.obstacle(job):
            return False
        log.warning("job.line_lost", file=job.snapshot.selection.path, waiting_s=seconds)
        job.move("lose_connection")
        return True
