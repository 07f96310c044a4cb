"""Simulation: a whole print on one virtual clock: streamer, job, link, firmware, motion."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, field, replace
from pathlib import Path

from daemon import __version__
from daemon.bridge.words import JobState, Selection
from daemon.config import Config
from daemon.core.connection.connection import Connection
from daemon.core.connection.making import settings_of
from daemon.core.job.controller import JobController
from daemon.core.job.survival import Survival
from daemon.errors import JobConflict, ServiceError
from daemon.simulation import outcome
from daemon.simulation.incidents import MAX_INCIDENTS, Incidents
from daemon.simulation.outcome import (
    LayerTime,
    Outcome,
    PauseKind,
    PauseSpan,
    ScenarioFault,
    Thermometer,
    UnderrunPlace,
)
from daemon.simulation.series import Sample, Series
from daemon.simulation.stand_ins import FileWithoutLink, InlineExecutor, NoStore, ReportingPrinter
from daemon.simulation.witness import PrintCheck, Witness
from gcode.frozen import frozen
from gcode.planner import CAPACITY
from gcode.unknown import unknown_to
from hal.link_settings import LinkSettings
from hal.printer import Printer
from hal.recorder import RecordingTransport, describe
from hal.registry import Address
from hal.simulated.config import FirmwareConfig
from hal.simulated.firmware import Firmware
from hal.simulated.memory import DeviceClock, SimulatedTransport
from hal.tape import Tape

CONNECT_TIMEOUT = 120.0
"""Time within which the printer has to be ready."""

ATTEND_DELAY = 60.0
"""Time until the simulated user comes to a paused print, or to a printer that asks for its user."""

WATCH_PERIOD = 30.0
"""How long the printer is watched after a print that did not complete."""

MAX_DURATION_S = 60 * 86400.0
"""The longest print."""


class SimulationError(ServiceError):
    """The print could not be simulated, or never ends."""


@frozen
class SimulationPlan:
    """What to simulate.

    Attributes:
        file: the G-code.
        firmware: the simulated printer.
        address: the printer's address.
        recording: the file for a recording of the session; None: it is not recorded.
        keep_path: record the tool's path.
        config: the host's configuration.
    """

    file: Path
    firmware: FirmwareConfig = field(default_factory=FirmwareConfig)
    address: str = "sim"
    recording: Path | None = None
    keep_path: bool = False
    config: Config = field(default_factory=Config)


@frozen
class SimulationProgress:
    """How far the print is: in seconds, in bytes of the file, and in layers begun."""

    time: float
    offset: int
    layers: int


class MeteredTransport(SimulatedTransport):
    """The transport, which also counts the bytes sent to the printer."""

    sent_bytes = 0

    def write(self, data: bytes) -> None:
        """Put bytes on the wire."""
        self.sent_bytes += len(data)
        super().write(data)


def _tape(plan: SimulationPlan, clock: Callable[[], float]) -> Tape | None:
    """Begin the recording of the session; nothing in it depends on when or where it is made.

    Raises:
        SimulationError: the file cannot be written.
    """
    if plan.recording is None:
        return None
    try:
        settings = asdict(settings_of(plan.config))  # without settings, a replay takes the defaults of old versions
        return Tape(plan.recording, describe(plan.address, plan.firmware.baudrate, 0.0, __version__, settings), clock)
    except OSError as error:
        raise SimulationError(f"{plan.recording} cannot be written: {error.strerror}") from error


class Simulation:
    """One print, from connecting to disconnecting."""

    def __init__(self, plan: SimulationPlan, on_progress: Callable[[SimulationProgress], None]) -> None:
        """Make everything; needs a running loop.

        Args:
            plan: what to simulate.
            on_progress: called with each sample: once for each second of the print, less often in a long print.
        """
        self._plan = plan
        self._on_progress = on_progress
        self._loop = asyncio.get_running_loop()
        inline = InlineExecutor()
        self._loop.set_default_executor(inline)
        self.witness = Witness(keep_path=plan.keep_path)
        self.firmware = Firmware(plan.firmware, self.witness)
        self.series = Series()
        self._clock = DeviceClock(self.firmware)
        self._tape = _tape(plan, self._loop.time)
        self._transport: MeteredTransport | None = None
        config = replace(plan.config, printer=replace(plan.config.printer, address="sim"))
        self._connection = Connection(config, make=self._make_printer)
        folder, logbook = plan.file.parent, self._connection.logbook
        survival = Survival(self._connection, logbook, FileWithoutLink(folder))
        self._jobs = JobController(config, self._connection, NoStore(), folder, inline, survival)
        self._incidents = Incidents(lambda: self._time)
        self._heat = Thermometer()
        self._config = config
        self._began = self._loop.time()
        self._device_began = 0.0
        self._asked_at: float | None = None  # since when the printer waits for its user
        self._paused_at: float | None = None
        self._paused_s = 0.0
        self._pauses: list[PauseSpan] = []
        self._starved_samples: list[tuple[Sample, float]] = []
        self._sampled = (0, 0)  # lines and bytes up to the last sample
        self._peak_bytes = 0.0

    @property
    def _time(self) -> float:
        """Seconds of the print."""
        return self._loop.time() - self._began

    def _make_printer(self, _address: Address, settings: LinkSettings, _wrap: object) -> Printer:
        """Make a printer; its new transport leads to the same firmware as the previous transport."""
        metered = self._transport = MeteredTransport(self.firmware, self._plan.address, clock=self._clock)
        transport: MeteredTransport | RecordingTransport = metered
        if self._tape is not None:
            transport = RecordingTransport(metered, self._tape, self._loop.time)
        return ReportingPrinter(transport, settings, self._connection.logbook, self.witness.note_extra)

    async def run(self) -> Outcome:
        """Print; return the outcome.

        Raises:
            SimulationError: the printer is never ready, the print never ends, or its recording is not complete.
        """
        try:
            await self._connect()
            self._start()
            async with asyncio.timeout(MAX_DURATION_S):
                duration = await self._print()
        except TimeoutError:
            raise SimulationError(f"the print has not ended after {MAX_DURATION_S / 86400:g} days") from None
        finally:
            await self._connection.disconnect()
            self._end_recording()
        return self._outcome(duration)

    def _end_recording(self) -> None:
        try:
            if self._tape is not None:
                self._tape.end()
        except OSError as error:
            raise SimulationError(f"{self._plan.recording} cannot be written: {error.strerror}") from error

    async def _connect(self) -> None:
        self._connection.keep_connected()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                while not self._connection.ready:  # noqa: ASYNC110 - the state is what clients poll
                    await asyncio.sleep(0.1)
        except TimeoutError:
            reason = self._connection.error or "it sends nothing"
            problem = f"the simulated printer was not ready after {CONNECT_TIMEOUT:g} s"
            raise SimulationError(f"{problem}: {reason}") from None

    def _start(self) -> None:
        printer = self._connection.printer
        if printer is None:
            raise AssertionError("a connection that is ready has a printer")
        no_parser = not printer.identity.can("EMERGENCY_PARSER")
        choice = self._config.job.heat_up
        file, size = self._plan.file, self._plan.file.stat().st_size
        waits = choice == "host" or (choice == "auto" and no_parser)
        self.witness.check = PrintCheck(
            file, host_waits=waits, unknown=unknown_to(printer.dialect, printer.identity.capabilities)
        )
        self._began, self._device_began = self._loop.time(), self._clock.now
        self._incidents.listen(self._connection, self._jobs)
        self._jobs.select(Selection(file.name, file.name, size, 0))
        self._jobs.start()

    async def _print(self) -> float:
        """Watch until the print has ended; return its duration in s."""
        while self._jobs.active:
            await asyncio.sleep(self.series.interval)
            self._sample()
            self._attend()
        ended = self._duration()
        if self._jobs.state is not JobState.COMPLETED:
            await asyncio.sleep(WATCH_PERIOD)
        return ended

    def _duration(self) -> float:
        """Return the job's own duration plus its pauses: the last sample is from some time after the end of the job."""
        printed = self._jobs.progress.print_time
        return self._time if printed is None else printed + self._paused_s

    def _sample(self) -> None:
        """Take a sample."""
        lines, sent = self.witness.counters.accepted, self._transport.sent_bytes if self._transport else 0
        heaters = self._connection.heaters.items()
        sample = Sample(
            self._time,
            lines - self._sampled[0],
            sent - self._sampled[1] if sent >= self._sampled[1] else sent,
            CAPACITY - self.firmware.board.planner.count_free(self.firmware.now),
            {name: reading.actual for name, reading in heaters},
            {name: reading.target or 0.0 for name, reading in heaters},
        )
        self._sampled = (lines, sent)
        if outcome.is_starved(sample):
            self._starved_samples.append((sample, self.series.interval))
        self._peak_bytes = max(self._peak_bytes, sample.bytes / self.series.interval)
        for name, reading in heaters:
            self._heat.read(sample.time, name, reading.actual, reading.target or 0.0)
        self.series.add(sample)
        self._on_progress(SimulationProgress(sample.time, self._jobs.progress.offset or 0, len(self.witness.layers)))

    def _attend(self) -> None:
        """Do what a user would do after ATTEND_DELAY seconds: answer the printer, resume a paused print."""
        now = self._loop.time()
        if self._asked_at is not None and not self.firmware.asks_user:
            self._note_pause(self._asked_at, now, "waits for its user")
        self._asked_at = (self._asked_at or now) if self.firmware.asks_user else None
        if self._asked_at is not None and now - self._asked_at >= ATTEND_DELAY and self._transport is not None:
            self._transport.press_knob()
        if self._jobs.state not in (JobState.PAUSED, JobState.RESUMING):
            if self._paused_at is not None:
                self._paused_s += now - self._paused_at
                self._note_pause(self._paused_at, now, "paused")
            self._paused_at = None
        elif self._paused_at is None:
            self._paused_at = now
        elif now - self._paused_at >= ATTEND_DELAY and self._jobs.state is JobState.PAUSED:
            with suppress(JobConflict):
                self._jobs.resume()

    def _note_pause(self, began: float, ended: float, kind: PauseKind) -> None:
        if len(self._pauses) < MAX_INCIDENTS:
            self._pauses.append(PauseSpan(round(began - self._began, 3), round(ended - self._began, 3), kind))

    # -- outcome -------------------------------------------------------------------------------------------

    def _outcome(self, duration: float) -> Outcome:
        witness, baudrate = self.witness, self._plan.firmware.baudrate
        verdict = witness.print_verdict()
        state = self._jobs.state
        wire_share = self._peak_bytes * outcome.BITS_A_BYTE / baudrate if baudrate else None
        return Outcome(
            exact=verdict.exact and state is JobState.COMPLETED,
            difference=verdict.difference,
            state=state.name if state else "",
            reason=self._jobs.error,
            lines=verdict.lines,
            file_lines=verdict.total,
            duration_s=round(duration, 3),
            moving_s=round(witness.moving_seconds, 3),
            paused_s=round(self._paused_s, 3),
            layers=len(witness.layers),
            layer_times=self._layer_times(),
            filament_mm=round(sum(witness.extruded.values()), 3),
            filament_by_tool={tool: round(length, 3) for tool, length in witness.extruded.items()},
            peak_lines_per_s=witness.peak_lines,
            peak_bytes_per_s=round(self._peak_bytes, 1),
            peak_wire_share=None if wire_share is None else round(min(1.0, wire_share), 3),
            underruns=witness.counters.underruns,
            underruns_s=round(witness.counters.underruns_s, 3),
            underrun_places=self._underruns(),
            bottlenecks=outcome.find_bottlenecks(self._starved_samples, baudrate),
            temperatures=self._heat.spans,
            resends=witness.counters.resends,
            faults=[
                ScenarioFault(self._print_time(each.time), each.what, each.line) for each in self.firmware.fault_records
            ],
            events=self._incidents.records,
            more_events=self._incidents.further_count,
            clipped=witness.counters.clipped,
            clipped_laying=witness.counters.clipped_laying,
            prevented=witness.counters.prevented,
            prevented_mm=round(witness.counters.prevented_mm, 1),
            pauses=self._pauses,
        )

    def _layer_times(self) -> list[LayerTime]:
        return [
            LayerTime(round(each.z, 3), self._print_time(each.began), round(each.seconds, 3), round(each.extruded, 3))
            for each in self.witness.layers
        ]

    def _underruns(self) -> list[UnderrunPlace]:
        return [
            UnderrunPlace(self._print_time(each.time), each.line, round(each.seconds, 4))
            for each in self.witness.underruns
        ]

    def _print_time(self, device_time: float) -> float:
        """Return a time of the device in seconds of the print."""
        return round(device_time - self._device_began, 3)
