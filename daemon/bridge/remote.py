"""RemoteCore: printer and job as the front sees them. Properties read the newest snapshot; methods ask the core."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Protocol

from daemon.bridge import questions as ask
from daemon.bridge.events import JobChanged, SafetyBroken
from daemon.bridge.snapshot import JobSummary, PrinterSummary, Snapshot
from daemon.bridge.words import (
    FileMark,
    FileStatistics,
    JobProgress,
    JobState,
    KeyedPrint,
    PastPrint,
    PortOptions,
    PrintRecord,
    Protection,
    Selection,
)
from daemon.config import ProfileConfig
from daemon.errors import JobConflict
from gcode.modes import Modes
from gcode.outgoing import is_stop
from gcode.replies import Heaters
from hal.printer import ConnectionState, Event, PanelPrint, Prompt

MAX_HISTORIES = 20_000  # files

_RESUMABLE = (JobState.PAUSED, JobState.REATTACHING)
"""The states in which a toggle may resume a job: one that is being reattached may have been paused before."""


class Channel(Protocol):
    """One end of the bridge, in memory or on a socket."""

    def latest(self) -> Snapshot:
        """Return the newest snapshot."""

    async def ask(self, question: ask.Question) -> Any:
        """Return the core's answer.

        Raises:
            NozzledError: what the core raises.
            CoreAway: the core is not connected.
        """

    def subscribe(self, listener: Callable[[Event | None], None]) -> None:
        """Call `listener` with each event, and with None for a new snapshot without an event."""


class RemoteCore:
    """The core as the front sees it.

    Attributes:
        connection: the connection to the printer.
        jobs: the job.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.connection = RemoteConnection(channel)
        self.jobs = RemoteJobs(channel)

    @property
    def is_known(self) -> bool:
        """A snapshot has come; before that the printer is shown as offline."""
        return self._channel.latest().revision > 0

    @property
    def trouble(self) -> str | None:
        """The safety rule that is broken, in a sentence."""
        return self._channel.latest().trouble

    @property
    def record_trouble(self) -> str | None:
        """Why jobs are not recorded, if they are not."""
        return self._channel.latest().record_trouble

    @property
    def records(self) -> int:
        """A number that changes whenever the end of a job has been recorded."""
        return self._channel.latest().records

    @property
    def bed(self) -> int:
        """A number that changes whenever something may have been put on the bed."""
        return self._channel.latest().bed

    @property
    def profile(self) -> ProfileConfig:
        """The printer's profile."""
        return self._channel.latest().profile

    @property
    def profile_is_configured(self) -> bool:
        """The profile comes from the configuration file, and was not chosen over the API."""
        return self._channel.latest().profile_is_configured

    def on_trouble(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with each safety rule that is broken, in a sentence."""

        def forward(event: Event | None) -> None:
            if isinstance(event, SafetyBroken):
                listener(event.trouble)

        self._channel.subscribe(forward)

    def on_event(self, listener: Callable[[Event], None]) -> None:
        """Call `listener` with every event, of the printer and of the job."""

        def forward(event: Event | None) -> None:
            if event is not None:
                listener(event)

        self._channel.subscribe(forward)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever anything may have changed."""
        self._channel.subscribe(lambda _event: listener())

    async def use_preset(self, name: str | None) -> None:
        """Use the profile of a preset; None: the default profile.

        Raises:
            ConfigError: there is no preset of this name.
            JobConflict: a print is in progress, or the configuration describes the printer.
        """
        await self._channel.ask(ask.UsePreset(preset=name))

    async def change_profile(self, values: dict[str, bool | int | float | str]) -> None:
        """Change values of the profile, by their keys in the section `profile` of the configuration.

        Raises:
            ConfigError: a value cannot be changed, or is of the wrong type or out of range.
            JobConflict: a print is in progress, or the configuration describes the printer.
        """
        await self._channel.ask(ask.ChangeProfile(values=values))


class RemoteConnection:
    """The connection to the printer."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    @property
    def summary(self) -> PrinterSummary:
        """The connection's part of the newest snapshot."""
        return self._channel.latest().printer

    @property
    def state(self) -> ConnectionState:
        """The connection's state."""
        return self.summary.state

    @property
    def ready(self) -> bool:
        """A printer is connected and takes commands."""
        return self.state is ConnectionState.READY

    @property
    def error(self) -> str | None:
        """Why the last connection failed; None: it did not."""
        return self.summary.error

    @property
    def address(self) -> str | None:
        """The address of the open, or last tried, connection."""
        return self.summary.address

    @property
    def heaters(self) -> Heaters:
        """The last temperature report; empty before the first, and while the printer is not READY."""
        return self.summary.heaters

    @property
    def modes(self) -> Modes:
        """The modes in which the printer will read the next coordinates."""
        return self.summary.modes

    @property
    def panel_print(self) -> PanelPrint | None:
        """The print from the printer's own SD card, if any."""
        return self.summary.panel_print

    @property
    def message(self) -> str | None:
        """The printer's last text for the user; not to be trusted."""
        return self.summary.message

    @property
    def prompt(self) -> Prompt | None:
        """The question that the printer shows; not to be trusted."""
        return self.summary.prompt

    @property
    def counters(self) -> dict[str, int]:
        """The counters of the connection, since it was opened."""
        return asdict(self.summary.counters)

    def subscribe(self, listener: Callable[[Event], None]) -> None:
        """Call `listener` with every event of the printer."""

        def forward(event: Event | None) -> None:
            if event is not None and not isinstance(event, JobChanged | SafetyBroken):
                listener(event)

        self._channel.subscribe(forward)

    async def options(self) -> PortOptions:
        """List what a client may connect to; opens nothing."""
        options: PortOptions = await self._channel.ask(ask.ListPorts())
        return options

    async def limits(self) -> ask.Limits:
        """Return the printer's limits of motion, as it reports them."""
        limits: ask.Limits = await self._channel.ask(ask.AskLimits())
        return limits

    async def conversation(self, since: float) -> ask.ConversationLines:
        """Return the conversation since `since`, which is `until` of an earlier answer; 0: its last lines."""
        conversation: ask.ConversationLines = await self._channel.ask(ask.AskConversation(since=since))
        return conversation

    async def traffic(self, since: float) -> ask.Traffic:
        """Return the lines between host and printer since `since`, `until` of an earlier answer; 0: the last lines."""
        traffic: ask.Traffic = await self._channel.ask(ask.AskTraffic(since=since))
        return traffic

    async def figures(self) -> ask.ConnectionFigures:
        """Return the figures of the connection."""
        figures: ask.ConnectionFigures = await self._channel.ask(ask.AskConnectionFigures())
        return figures

    async def core_tally(self) -> ask.CoreTally:
        """Return the core's counters."""
        tally: ask.CoreTally = await self._channel.ask(ask.AskTally())
        return tally

    async def connect(
        self, port: str | None = None, baudrate: int | None = None, *, find: bool = False, save: bool = False
    ) -> None:
        """Connect in the background; None: as configured. For `find` and `save` see `ask.Connect`.

        Raises:
            PortNotAllowed: clients may not connect to that port, or no port is named.
            AddressError: the port's address is invalid.
        """
        await self._channel.ask(ask.Connect(port=port, baudrate=baudrate, find=find, save=save))

    async def disconnect(self) -> None:
        """Close the connection, after ending a running job and turning its heaters off."""
        await self._channel.ask(ask.Disconnect())

    async def send(self, commands: Sequence[str]) -> None:
        """Queue a client's commands, all or none. An M112 among them stops the printer at once.

        Raises:
            NotConnected: no printer is connected, or it is not ready; for M112 it need not be ready.
            CommandError, ForbiddenCommand: a command must not be sent, or asks for too much heat.
            QueueFull: too many commands are waiting.
        """
        stops = [command for command in commands if is_stop(command)]
        if stops and len(commands) > ask.MAX_COMMANDS:
            commands = stops[:1]  # the stop drops the others anyway
        await self._channel.ask(ask.Send(commands=[*commands]))

    async def answer_prompt(self, choice: int) -> None:
        """Answer the question that the printer shows, by number from 0; does not wait for the printer."""
        await self._channel.ask(ask.AnswerPrompt(choice=choice))


class RemoteJobs:
    """The one job. A request that does not fit the job's state raises JobConflict.

    Attributes:
        reason_not_to_print: returns why no print may begin or resume now; None: prints may.
        open_starts: the number of requests to begin or resume a print that the core has not answered yet.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.reason_not_to_print: Callable[[], str | None] = lambda: None
        self.open_starts = 0

    @property
    def summary(self) -> JobSummary:
        """The job's part of the newest snapshot."""
        return self._channel.latest().job

    @property
    def state(self) -> JobState | None:
        """The state of the job, also after its end; None before the first job."""
        return self.summary.state

    @property
    def active(self) -> bool:
        """There is a job that has not ended."""
        return self.summary.active

    @property
    def selected(self) -> Selection | None:
        """The file that `start` prints."""
        return self.summary.selected

    @property
    def error(self) -> str | None:
        """Why the last job failed or was interrupted; None: it was not, or another file has been selected since."""
        return self.summary.error

    @property
    def warning(self) -> str | None:
        """The problem of a print that continues in spite of it; a record that cannot be written comes first."""
        if (trouble := self._channel.latest().record_trouble) is None:
            return self.summary.warning
        return (
            f"the print continues, but is not recorded: {trouble}"
            if self.active
            else f"prints are not recorded: {trouble}"
        )

    @property
    def pause_reason(self) -> str | None:
        """Why the job is pausing or paused, if that is known: the file, the printer, an error."""
        return self.summary.pause_reason

    @property
    def progress(self) -> JobProgress:
        """How far the job is, or was at its end; empty if another file is selected now."""
        return self.summary.progress

    @property
    def paused_position(self) -> dict[str, float] | None:
        """Where the head was when the print paused, in mm by axis letter; None: not known, or it is not paused."""
        return self.summary.paused_position

    @property
    def offsets(self) -> dict[str, float]:
        """What is added to the targets of files, in °C by heater."""
        return self.summary.offsets

    @property
    def protection(self) -> Protection | None:
        """What happens to the heaters if the host dies."""
        return self.summary.protection

    def uses(self, path: str) -> bool:
        """Tell whether the active job prints this file, or one in this folder."""
        job = self.summary
        printed = job.selected.path if job.active and job.selected is not None else None
        return printed is not None and (printed == path or printed.startswith(f"{path}/"))

    def subscribe(self, listener: Callable[[JobState], None]) -> None:
        """Call `listener` with each new state of each job."""

        def forward(event: Event | None) -> None:
            if isinstance(event, JobChanged):
                listener(event.state)

        self._channel.subscribe(forward)

    async def select(self, selection: Selection) -> None:
        """Select the file that `start` prints."""
        await self._channel.ask(ask.Select(file=selection))

    async def unselect(self) -> None:
        """Unselect the file."""
        await self._channel.ask(ask.Select(file=None))

    async def start(self, checked_file: FileMark | None = None) -> None:
        """Print the selected file, if it is still the one that was checked; None: whichever it is."""
        with self._beginning():
            await self._channel.ask(ask.Start(checked_file=checked_file))

    async def begin(
        self,
        file: Selection | None,
        key: str,
        mark: str,
        *,
        eject: bool = False,
        bed: int | None = None,
        checked_file: FileMark | None = None,
    ) -> KeyedPrint:
        """Print a file (None: the selected one), unless a print with this key has begun before; return its job.

        Args:
            file: becomes the selected one.
            key: of this print.
            mark: identifies what the request asks for.
            eject: run the script that clears the bed when the print completes.
            bed: `RemoteCore.bed` when the user saw that the bed was clear; None: print in any case.
            checked_file: the file that was checked, the only one to print; None: whichever file it is.

        Raises:
            JobConflict: the request does not fit the state, or something may be on the bed.
            KeyReused: the key belongs to a request with another mark.
            NeverBegan: the print was recorded, but its host died before it began.
        """
        with self._beginning():
            keyed_print: KeyedPrint = await self._channel.ask(
                ask.StartKeyed(file=file, key=key, mark=mark, eject=eject, bed=bed, checked_file=checked_file)
            )
        return keyed_print

    async def print_of_key(self, key: str) -> KeyedPrint | None:
        """Return the job of the print with this key; None: there is none."""
        keyed_print: KeyedPrint | None = await self._channel.ask(ask.AskKey(key=key))
        return keyed_print

    async def print_records(self, after: int, limit: int) -> list[PrintRecord]:
        """Return the recorded jobs after job `after`, oldest first, at most `limit`; raises StoreError."""
        jobs: list[PrintRecord] = await self._channel.ask(ask.AskRecord(after=after, limit=limit))
        return jobs

    async def restart(self, checked_file: FileMark | None = None) -> None:
        """Drop the paused job and print its file from the beginning, if it is the one that was checked; None: any."""
        with self._beginning():
            await self._channel.ask(ask.Restart(checked_file=checked_file))

    async def pause(self) -> None:
        """Pause the job. If it is pausing, forget a request to resume; if it is paused or ending, do nothing."""
        await self._channel.ask(ask.Pause())

    async def resume(self) -> None:
        """Resume the job if it is paused; if it is pausing or reattaching, do so afterwards; otherwise do nothing."""
        with self._beginning():
            await self._channel.ask(ask.Resume())

    async def toggle(self) -> None:
        """Pause a running job, resume a paused one."""
        if self.reason_not_to_print() is None or self.state in _RESUMABLE:
            with self._beginning():
                await self._channel.ask(ask.Toggle())
        else:
            await self.pause()  # in whatever state the job is by then, this does not resume it

    async def cancel(self) -> None:
        """End the job and turn the heaters off; do nothing if it is already being cancelled."""
        await self._channel.ask(ask.Cancel())

    async def set_offset(self, heater: str, offset: float) -> None:
        """Add `offset` °C to the targets that files set for `heater` from now on."""
        await self._channel.ask(ask.SetOffset(heater=heater, offset=offset))

    async def history(self, limit: int) -> list[PastPrint]:
        """Return the last jobs, newest first, at most `limit`.

        Raises:
            StoreError: the record cannot be read.
        """
        prints: list[PastPrint] = await self._channel.ask(ask.AskHistory(limit=limit))
        return prints

    async def statistics(self, path: str) -> FileStatistics:
        """Return how earlier prints of a file ended.

        Raises:
            StoreError: the record cannot be read.
        """
        statistics: FileStatistics = await self._channel.ask(ask.AskStatistics(path=path))
        return statistics

    async def histories(self) -> dict[str, FileStatistics]:
        """Return how earlier prints ended, by file, for about MAX_HISTORIES files at most.

        Raises:
            NozzledError: the record cannot be read, or not now.
        """
        histories: dict[str, FileStatistics] = {}
        after = ""
        while len(histories) < MAX_HISTORIES:
            page: dict[str, FileStatistics] = await self._channel.ask(ask.AskHistories(after=after))
            if not page:
                break
            histories |= page
            after = max(page, key=str.encode)  # as SQLite compares
        return histories

    @contextmanager
    def _beginning(self) -> Iterator[None]:
        if (reason := self.reason_not_to_print()) is not None:
            raise JobConflict(reason)
        self.open_starts += 1
        try:
            yield
        finally:
            self.open_starts -= 1
