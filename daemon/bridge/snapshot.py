"""Snapshot: all that the front knows about the core, in some 2 kB."""

import msgspec

from daemon.bridge.words import JobProgress, JobState, Protection, Selection
from daemon.config import ProfileConfig
from gcode.modes import Modes
from gcode.outgoing import Counters
from gcode.replies import Heaters
from hal.printer import ConnectionState, PanelPrint, Prompt


class Struct(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the values that cross the bridge."""


class PrinterSummary(Struct, frozen=True):
    """The connection to the printer, and what the printer has reported.

    Attributes:
        state: of the connection.
        error: why the last connection failed.
        address: of the open, or last tried, connection.
        port: that address as clients name it: a path, or VIRTUAL.
        baudrate: of the open connection, in bits per second.
        connected: there is a connection, even if it is not READY yet or has failed.
        heaters: the last temperature report, in °C.
        modes: how the next coordinates will be read.
        panel_print: the print from the printer's own SD card, if any.
        message: the printer's last text for the user; not to be trusted.
        message_at: the Unix time of this text, in s.
        prompt: the question that the printer shows; not to be trusted.
        firmware: the name of the firmware, from M115.
        fields: all fields of the answer to M115, by key.
        counters: those of the connection.
        position: that of the nozzle, in mm by axis letter; None: it has moved since the last M114.
        stop_confirmed: whether the printer confirmed the last emergency stop; None: there has been no stop since a
            printer was READY, or its outcome is not known yet.
        commanded_at: when a client last sent a command, in s of the loop's clock.
    """

    state: ConnectionState = ConnectionState.OFFLINE
    error: str | None = None
    address: str | None = None
    port: str | None = None
    baudrate: int | None = None
    connected: bool = False
    heaters: Heaters = {}
    modes: Modes = msgspec.field(default_factory=Modes)
    panel_print: PanelPrint | None = None
    message: str | None = None
    message_at: int | None = None
    prompt: Prompt | None = None
    firmware: str = ""
    fields: dict[str, str] = {}
    counters: Counters = msgspec.field(default_factory=Counters)
    position: dict[str, float] | None = None
    stop_confirmed: bool | None = None
    commanded_at: float = 0.0


class JobSummary(Struct, frozen=True):
    """The job, and the file that is selected for the next one.

    Attributes:
        state: of the last job, also after its end; None before the first.
        active: there is a job that has not ended.
        id: its number in the record.
        key: its idempotency key, if any.
        selected: the file that `Start` prints.
        error: why the last job failed or was interrupted.
        warning: the problem of a print that continues in spite of it.
        pause_reason: why the job is pausing or paused, if that is known.
        progress: how far the job is.
        paused_position: where the head was when the print paused, in mm by axis letter.
        offsets: °C that are added to the targets of files, by heater.
        protection: what happens to the heaters if the host dies; None: not known yet.
    """

    state: JobState | None = None
    active: bool = False
    id: int | None = None
    selected: Selection | None = None
    error: str | None = None
    warning: str | None = None
    pause_reason: str | None = None
    progress: JobProgress = msgspec.field(default_factory=JobProgress)
    paused_position: dict[str, float] | None = msgspec.field(default=None, name="place")
    offsets: dict[str, float] = {}
    protection: Protection | None = None
    key: str | None = None


class Snapshot(Struct, frozen=True):
    """The state of the core.

    Attributes:
        revision: grows with each snapshot of one core.
        version: of the core.
        printer: the connection.
        job: the job.
        trouble: the safety rule that is broken.
        record_trouble: why jobs are not recorded, if they are not.
        records: changes whenever the end of a job has been recorded.
        bed: changes whenever something may have been put on the bed: with each print, each extrusion that a client
            sends, each change of the connection's state, and each run of the core.
        profile: the printer's.
        profile_is_configured: the profile comes from the configuration file, and was not chosen over the API.
    """

    revision: int = 0
    version: str = ""
    printer: PrinterSummary = msgspec.field(default_factory=PrinterSummary)
    job: JobSummary = msgspec.field(default_factory=JobSummary)
    trouble: str | None = None
    record_trouble: str | None = None
    records: int = 0
    bed: int = 0
    profile: ProfileConfig = msgspec.field(default_factory=ProfileConfig)
    profile_is_configured: bool = False
