"""What the front sees of the core: the printer and the job. Asking takes a moment, seeing takes none."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Protocol

from daemon.bridge import questions as ask
from daemon.bridge.events import JobChanged, SafetyBroken
from daemon.bridge.snapshot import JobSummary, PrinterSummary, Snapshot
from daemon.bridge.words import (
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

MOST_HISTORIES = 20_000

_RESUMABLE = (JobState.PAUSED, JobState.REATTACHING)
"""The states in which a toggle may resume; a job that is reattached may have been paused before."""


class Channel(Protocol):
    """One end of the bridge, in memory or on a socket."""

    def latest(self) -> Snapshot:
        """Return the newest snapshot that there is."""

    async def ask(self, question: ask.Question) -> Any:
        """Return the core's answer.

        Raises:
            NozzledError: what the core raises.
            CoreAway: there is no core now.
        """

    def subscribe(self, listener: Callable[[Event | None], None]) -> None:
        """Call `listener` with each event, and with None where only the snapshot is another one."""


class RemoteCore:
    """The core, seen from the front.

    Attributes:
        connection: the printer's.
        jobs: the job.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.connection = RemoteConnection(channel)
        self.jobs = RemoteJobs(channel)

    @property
    def is_known(self) -> bool:
        """The core has told of itself; until then all that is seen is a printer that is offline."""
        return self._channel.latest().revision > 0

    @property
    def trouble(self) -> str | None:
        """The rule of safety that is broken, in a sentence."""
        return self._channel.latest().trouble

    @property
    def record_trouble(self) -> str | None:
        """Why jobs are not recorded, if they are not."""
        return self._channel.latest().record_trouble

    @property
    def records(self) -> int:
        """Another number whenever the end of a job has been recorded."""
        return self._channel.latest().records

    @property
    def bed(self) -> int:
        """Another number whenever something may have been put on the bed."""
        return self._channel.latest().bed

    @property
    def profile(self) -> ProfileConfig:
        """What the printer is taken to be."""
        return self._channel.latest().profile

    @property
    def profile_is_configured(self) -> bool:
        """The configuration file says it, and not a choice over the API."""
        return self._channel.latest().profile_is_configured

    def on_trouble(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with each rule of safety that is broken, in a sentence."""

        def tell(event: Event | None) -> None:
            if isinstance(event, SafetyBroken):
                listener(event.trouble)

        self._channel.subscribe(tell)

    def on_event(self, listener: Callable[[Event], None]) -> None:
        """Call `listener` with all that happens, to the printer and to the job."""

        def tell(event: Event | None) -> None:
            if event is not None:
                listener(event)

        self._channel.subscribe(tell)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever anything may be another than it was."""
        self._channel.subscribe(lambda _event: listener())

    async def use_preset(self, name: str | None) -> None:
        """Take the printer for one that is known by this name; None: for none.

        Raises:
            ConfigError: nobody has the name.
            JobConflict: a print is in progress, or the configuration describes the printer.
        """
        await self._channel.ask(ask.UsePreset(preset=name))

    async def change_profile(self, values: dict[str, bool | int | float | str]) -> None:
        """Take these values for what the printer is, by their keys in the section `profile` of the configuration.

        Raises:
            ConfigError: one of them cannot be changed, or is of the wrong type or out of range.
            JobConflict: a print is in progress, or the configuration describes the printer.
        """
        await self._channel.ask(ask.ChangeProfile(values=values))


class RemoteConnection:
    """The connection to the printer."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    @property
    def summary(self) -> PrinterSummary:
        """All that is known."""
        return self._channel.latest().printer

    @property
    def state(self) -> ConnectionState:
        """The connection's state."""
        return self.summary.state

    @property
    def ready(self) -> bool:
        """A printer is there and listens."""
        return self.state is ConnectionState.READY

    @property
    def error(self) -> str | None:
        """Why the last connection failed, if it did."""
        return self.summary.error

    @property
    def address(self) -> str | None:
        """The address of the open, or last tried, connection."""
        return self.summary.address

    @property
    def heaters(self) -> Heaters:
        """The last temperature report; empty before the first."""
        return self.summary.heaters

    @property
    def modes(self) -> Modes:
        """How the printer will read the next coordinates."""
        return self.summary.modes

    @property
    def panel_print(self) -> PanelPrint | None:
        """What the printer prints by itself, from its SD card."""
        return self.summary.panel_print

    @property
    def message(self) -> str | None:
        """The last text that the printer had for the user; not to be trusted."""
        return self.summary.message

    @property
    def prompt(self) -> Prompt | None:
        """The question that the printer shows; not to be trusted."""
        return self.summary.prompt

    @property
    def counters(self) -> dict[str, int]:
        """What went over the line since it was opened."""
        return asdict(self.summary.counters)

    def subscribe(self, listener: Callable[[Event], None]) -> None:
        """Call `listener` with every event of the printer."""

        def tell(event: Event | None) -> None:
            if event is not None and not isinstance(event, JobChanged | SafetyBroken):
                listener(event)

        self._channel.subscribe(tell)

    async def options(self) -> PortOptions:
        """List what may be connected to; opens nothing."""
        options: PortOptions = await self._channel.ask(ask.ListPorts())
        return options

    async def limits(self) -> ask.Limits:
        """Ask what the printer says of its limits."""
        limits: ask.Limits = await self._channel.ask(ask.AskLimits())
        return limits

    async def conversation(self, since: float) -> ask.Talk:
        """Return what went over the line since an earlier answer said `until`; 0: all that is kept."""
        talk: ask.Talk = await self._channel.ask(ask.ConversationSince(since=since))
        return talk

    async def overhear(self, since: float) -> ask.Overheard:
        """Return the lines that were complete since an earlier answer said `until`; 0: all that are kept."""
        heard: ask.Overheard = await self._channel.ask(ask.Listen(since=since))
        return heard

    async def line(self) -> ask.LineFigures:
        """Ask how the line does."""
        figures: ask.LineFigures = await self._channel.ask(ask.AskLine())
        return figures

    async def core_tally(self) -> ask.CoreTally:
        """Ask what the core has counted."""
        numbers: ask.CoreTally = await self._channel.ask(ask.AskTallied())
        return numbers

    async def connect(
        self, port: str | None = None, baudrate: int | None = None, *, find: bool = False, save: bool = False
    ) -> None:
        """Connect in the background; None: as configured. `ask.Connect` has what the others mean.

        Raises:
            PortNotAllowed: clients may not connect to that port, or none is named.
            AddressError: the port's address means nothing.
        """
        await self._channel.ask(ask.Connect(port=port, baudrate=baudrate, find=find, save=save))

    async def disconnect(self) -> None:
        """Close the line; a running job is ended and its heaters are turned off before."""
        await self._channel.ask(ask.Disconnect())

    async def send(self, commands: Sequence[str]) -> None:
        """Queue a client's commands, all or none. M112 among them stops the printer at once.

        Raises:
            NotConnected: no printer is there, or it does not listen yet; that is no matter to M112.
            CommandError, ForbiddenCommand: one of them may not be sent, or heats too much.
            QueueFull: too many wait already.
        """
        stops = [command for command in commands if is_stop(command)]
        if stops and len(commands) > ask.MOST_COMMANDS:
            commands = stops[:1]  # what stands beside it is dropped anyway
        await self._channel.ask(ask.Send(commands=[*commands]))

    async def answer_prompt(self, choice: int) -> None:
        """Have the question that the printer shows answered, by number from 0; does not wait for the printer."""
        await self._channel.ask(ask.AnswerPrompt(choice=choice))


class RemoteJobs:
    """The one job. What is asked of it raises JobConflict where it does not fit the job's state.

    Attributes:
        holds: returns why no print may begin or be resumed now; None: nothing speaks against it.
        beginning: prints that the core is asked to begin or resume at this moment.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.holds: Callable[[], str | None] = lambda: None
        self.beginning = 0

    @property
    def summary(self) -> JobSummary:
        """All that is known."""
        return self._channel.latest().job

    @property
    def state(self) -> JobState | None:
        """The state of the job, also after its end; None before the first one."""
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
        """Why the last job failed or was interrupted, if it was, until another file is chosen."""
        return self.summary.error

    @property
    def warning(self) -> str | None:
        """What is wrong with a print that goes on all the same."""
        return self.summary.warning

    @property
    def pause_reason(self) -> str | None:
        """Why the job pauses, or is paused, as far as that is known: the file, the printer, an error."""
        return self.summary.pause_reason

    @property
    def progress(self) -> JobProgress:
        """How far the job is, or was at its end; of the file that is selected now."""
        return self.summary.progress

    @property
    def place(self) -> dict[str, float] | None:
        """Where a pause has left the print: mm by axis letter; None where nobody knows, or it has gone on."""
        return self.summary.place

    @property
    def offsets(self) -> dict[str, float]:
        """What is added to the targets of files, in °C by heater."""
        return self.summary.offsets

    @property
    def protection(self) -> Protection | None:
        """What becomes of the heaters when the host dies."""
        return self.summary.protection

    def uses(self, path: str) -> bool:
        """Tell whether the active job prints this file, or one in this folder."""
        job = self.summary
        printed = job.selected.path if job.active and job.selected is not None else None
        return printed is not None and (printed == path or printed.startswith(f"{path}/"))

    def subscribe(self, listener: Callable[[JobState], None]) -> None:
        """Call `listener` with each new state of each job."""

        def tell(event: Event | None) -> None:
            if isinstance(event, JobChanged):
                listener(event.state)

        self._channel.subscribe(tell)

    async def select(self, selection: Selection) -> None:
        """Choose the file that `start` prints."""
        await self._channel.ask(ask.Select(file=selection))

    async def unselect(self) -> None:
        """Choose no file."""
        await self._channel.ask(ask.Select(file=None))

    async def start(self) -> None:
        """Print the selected file."""
        with self._begins():
            await self._channel.ask(ask.Start())

    async def begin(
        self, file: Selection | None, key: str, mark: str, *, eject: bool = False, bed: int | None = None
    ) -> KeyedPrint:
        """Print a file, None: the selected one, unless that was asked for with this key before; return its job.

        Args:
            file: becomes the selected one.
            key: of this print.
            mark: of what is asked for.
            eject: a print that completes is to clear the bed.
            bed: what `RemoteCore.bed` was when somebody has seen the bed clear; None: whatever is on it.

        Raises:
            JobConflict: it does not fit the state, or something may be on the bed.
            KeyReused: with another mark.
            NeverBegan: it was recorded, and its host died before it began.
        """
        with self._begins():
            begun: KeyedPrint = await self._channel.ask(ask.Begin(file=file, key=key, mark=mark, eject=eject, bed=bed))
        return begun

    async def of_key(self, key: str) -> KeyedPrint | None:
        """Return what became of the print that was asked for with this key; None: there was none."""
        begun: KeyedPrint | None = await self._channel.ask(ask.AskKey(key=key))
        return begun

    async def recorded(self, after: int, limit: int) -> list[PrintRecord]:
        """Return the jobs of the record behind one, oldest first, at most so many; raises StoreError."""
        jobs: list[PrintRecord] = await self._channel.ask(ask.AskRecord(after=after, limit=limit))
        return jobs

    async def restart(self) -> None:
        """Drop the paused job and print its file from the beginning."""
        with self._begins():
            await self._channel.ask(ask.Restart())

    async def pause(self) -> None:
        """Pause; does nothing to a job that is pausing, paused or on its way to its end, but forget a resume."""
        await self._channel.ask(ask.Pause())

    async def resume(self) -> None:
        """Go on with a paused job, or as soon as it is paused; does nothing to any other."""
        with self._begins():
            await self._channel.ask(ask.Resume())

    async def toggle(self) -> None:
        """Pause a running job, resume a paused one."""
        if self.holds() is None or self.state in _RESUMABLE:
            with self._begins():
                await self._channel.ask(ask.Toggle())
        else:
            await self.pause()  # whatever the job's state is by then, this resumes nothing

    async def cancel(self) -> None:
        """End the job and turn the heaters off; does nothing to one that is being cancelled."""
        await self._channel.ask(ask.Cancel())

    async def set_offset(self, heater: str, offset: float) -> None:
        """Have `offset` °C added to the targets that files set for `heater` from now on."""
        await self._channel.ask(ask.SetOffset(heater=heater, offset=offset))

    async def history(self, limit: int) -> list[PastPrint]:
        """Return the last jobs, newest first, at most so many.

        Raises:
            StoreError: the record cannot be read.
        """
        printed: list[PastPrint] = await self._channel.ask(ask.AskHistory(limit=limit))
        return printed

    async def statistics(self, path: str) -> FileStatistics:
        """Return how earlier prints of a file went.

        Raises:
            StoreError: the record cannot be read.
        """
        statistics: FileStatistics = await self._channel.ask(ask.AskStatistics(path=path))
        return statistics

    async def histories(self) -> dict[str, FileStatistics]:
        """Return how earlier prints went, by file: of all that were ever printed, up to MOST_HISTORIES.

        Raises:
            NozzledError: the record cannot be read, or not now.
        """
        found: dict[str, FileStatistics] = {}
        after = ""
        while len(found) < MOST_HISTORIES:
            some: dict[str, FileStatistics] = await self._channel.ask(ask.AskHistories(after=after))
            if not some:
                break
            found |= some
            after = max(some, key=str.encode)  # as SQLite compares
        return found

    @contextmanager
    def _begins(self) -> Iterator[None]:
        if (reason := self.holds()) is not None:
            raise JobConflict(reason)
        self.beginning += 1
        try:
            yield
        finally:
            self.beginning -= 1
