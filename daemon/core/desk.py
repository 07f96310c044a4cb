"""Desk: answers the front's questions. It does nothing for the front that it would not do for a user."""

import asyncio
import errno
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import structlog

from daemon import __version__
from daemon.bridge import questions as ask
from daemon.bridge.desk import MAX_OPEN, Listener
from daemon.bridge.events import JobChanged, SafetyBroken
from daemon.bridge.snapshot import JobSummary, PrinterSummary, Snapshot
from daemon.bridge.words import JobState, KeyedPrint, PastPrint, PrintRecord
from daemon.config import ProfileConfig, chosen_preset
from daemon.core import checks
from daemon.core.bed_watch import BedWatch
from daemon.core.connection.client_commands import LONG_COMMAND
from daemon.core.connection_figures import connection_figures
from daemon.core.core import Core
from daemon.core.core_tally import core_tally
from daemon.core.job.keyed import KeyedPrints
from daemon.core.record.store import JobRecord
from daemon.errors import FileError, JobConflict, StorageFull, TooLate
from gcode.errors import NozzledError, QueueFull
from gcode.outgoing import Counters, is_stop
from gcode.reader import clean
from hal.errors import NotConnected
from hal.printer import ActionRequested, CommandSink, Event, PositionRead, StateChanged

MAX_LINES = 1000  # of the conversation in one answer
MAX_PROMPT_ANSWERS = 4  # answers to prompts that the printer has not acknowledged yet
MAX_JOBS = 100  # in one answer
MAX_REASON = 500  # characters of why a job ended
COMMANDS_A_TURN = 4  # the most commands that are checked within one turn of the loop
SCAN_INTERVAL = 0.1  # s between two scans of the system (ports, presets), which cost a thread some milliseconds each

if TYPE_CHECKING:
    from daemon.config.presets import Preset

T = TypeVar("T")

# Not by `parse`, which refuses macros and takes longer: a client may send many commands at once.
_MOVE = re.compile(r"\s*(?:G0*(?:[0-35]|28|29|92)(?![\d.])|T\d|M(?:18|84)(?!\d))", re.IGNORECASE | re.ASCII)
"""Matches commands that change the position of the head or its coordinates."""

_EXTRUDES = re.compile(r"\s*(?:G0*[0-35](?![\d.]).*E|G26(?![\d.])|M(?:600|701)(?!\d))", re.IGNORECASE | re.ASCII)
"""Matches commands that may put something on the bed: moves with E, a test pattern (G26), and commands that load
filament."""

log = structlog.get_logger()


class Desk:
    """Gives snapshots of the core, and answers questions."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._revision = 0
        self._began = core.wall()
        self._message_at: int | None = None
        self._position: dict[str, float] | None = None  # the last answer to M114; None: the head has moved since
        self._listeners: list[Listener] = []
        self._prompt_answers: set[asyncio.Task[None]] = set()
        self._long_sends = 0  # long lists of commands that are being checked; later lists have to wait for them
        self._scan_lock = asyncio.Lock()
        self._profile_lock = asyncio.Lock()
        self._scanned_at = -SCAN_INTERVAL
        self._keyed = KeyedPrints(core.jobs, core.store, lambda: core.connection.address)
        self._bed = BedWatch(core)
        jobs = core.jobs
        self._job_requests: dict[type[ask.Question], Callable[[], None]] = {
            ask.Pause: jobs.pause,
            ask.Resume: jobs.resume,
            ask.Toggle: jobs.toggle,
            ask.Cancel: jobs.cancel,
        }
        core.connection.subscribe(self._on_printer)
        jobs.subscribe(self._on_job)
        core.store.on_ended = lambda: self._tell(None)
        core.guard.subscribe(lambda trouble: self._tell(SafetyBroken(trouble)))

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with each event, and with None for a change without one; return what unsubscribes it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    @property
    def printing(self) -> bool:
        """Something is being printed, so the next snapshot differs even without an event."""
        return self._core.jobs.active or self._core.connection.panel_print is not None

    def _on_printer(self, event: Event) -> None:
        if isinstance(event, ActionRequested) and event.name == "notification":
            self._message_at = int(self._core.wall())
        elif isinstance(event, PositionRead):
            self._position = dict(event.axes)
        elif isinstance(event, StateChanged):
            self._position = None
        self._tell(event)

    def _on_job(self, state: JobState) -> None:
        self._position = None  # a job moves the head
        self._tell(JobChanged(state))

    def _tell(self, event: Event | None) -> None:
        for listener in tuple(self._listeners):
            listener(event)

    # -- snapshots -----------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Return the core's present state."""
        core = self._core
        self._revision += 1
        return Snapshot(
            revision=self._revision,
            version=__version__,
            printer=self._printer(),
            job=self._job(),
            trouble=core.guard.trouble,
            record_trouble=core.store.trouble,
            records=core.store.revision,
            bed=self._bed.count,
            profile=core.connection.profile,
            profile_is_configured=core.profile_is_configured,
        )

    def _printer(self) -> PrinterSummary:
        connection = self._core.connection
        printer = connection.printer
        return PrinterSummary(
            state=connection.state,
            error=connection.error,
            address=connection.address,
            port=connection.port,
            baudrate=connection.baudrate if printer else None,
            connected=printer is not None,
            heaters=connection.heaters,
            modes=connection.modes,
            panel_print=connection.panel_print,
            message=connection.message,
            message_at=self._message_at,
            prompt=connection.prompt,
            firmware=printer.identity.name if printer else "",
            fields=printer.identity.fields if printer else {},
            counters=printer.counters if printer else Counters(),
            position=self._position,
            stop_confirmed=connection.stop_confirmed,
            commanded_at=connection.commands.queued_at,
        )

    def _job(self) -> JobSummary:
        jobs = self._core.jobs
        return JobSummary(
            state=jobs.state,
            active=jobs.active,
            id=jobs.job_id,
            key=jobs.job_key,
            selected=jobs.selected,
            error=jobs.error,
            warning=jobs.warning,
            pause_reason=jobs.pause_reason,
            progress=jobs.progress,
            paused_position=jobs.paused_position,
            offsets=jobs.offsets,
            protection=jobs.dead_man.protection,
        )

    # -- questions -----------------------------------------------------------------------------------------

    def answer(
        self, question: ask.Question, *, may_wait: bool = True, expires_at: float | None = None
    ) -> object | Awaitable[object]:
        """Return the answer, of the type that the question names; if answering takes longer, an awaitable for it.

        Args:
            question: to be answered.
            may_wait: the answer may take longer than this turn of the loop.
            expires_at: s of the loop after which a print no longer begins; None: it may always begin.

        Raises:
            QueueFull: the answer takes longer, and may not.
            NozzledError: why the question is refused.
        """
        if (answer_at_once := self._immediate_answer(question)) is None:
            if not may_wait:
                raise QueueFull(f"{MAX_OPEN} requests are not done yet; try again later")
            return self._answer_and_tell(self._deferred_answer(question, expires_at))
        result = answer_at_once()
        self._tell(None)
        return result

    async def _answer_and_tell(self, answering: Awaitable[object]) -> object:
        result = await answering
        self._tell(None)
        return result

    def _immediate_answer(self, question: ask.Question) -> Callable[[], object] | None:
        """Return the function that answers within this turn of the loop; None: answering takes longer."""
        if (request := self._job_request(question)) is not None:
            return request
        jobs = self._core.jobs
        match question:
            case ask.Select(file=file):
                return jobs.unselect if file is None else partial(jobs.select, checks.check_selection(file))
            case ask.SetOffset(heater=heater, offset=offset):
                return partial(jobs.set_offset, checks.check_heater(heater), checks.check_offset(offset))
            case ask.Send(commands=commands):
                return self._immediate_send(checks.check_commands(commands))
            case ask.AnswerPrompt():
                return partial(self._answer_prompt, question.choice)
            case ask.AskConversation():
                return partial(self._conversation, question.since)
            case ask.AskConnectionFigures():
                return partial(connection_figures, self._core.connection.printer, self._core.jobs.waits)
            case ask.AskTally():
                return partial(core_tally, self._core.connection.printer, jobs.tally, self._began)
            case ask.AskTraffic():
                return partial(self._traffic, question.since)
        return None

    def _job_request(self, question: ask.Question) -> Callable[[], None] | None:
        """Return the function that carries out a request about the job; None: the question is another one."""
        jobs = self._core.jobs
        match question:
            case ask.Start(checked_file=checked_file):
                return partial(jobs.start, checked_file=checks.check_file_mark(checked_file))
            case ask.Restart(checked_file=checked_file):
                return partial(jobs.restart, checks.check_file_mark(checked_file))
        return self._job_requests.get(type(question))

    def _immediate_send(self, commands: list[str]) -> Callable[[], None] | None:
        """Return the function that sends a few commands, or an emergency stop; None: checking them takes longer."""
        is_short = len(commands) <= COMMANDS_A_TURN and sum(map(len, commands)) <= LONG_COMMAND
        if any(map(is_stop, commands)) or (is_short and not self._long_sends):
            return partial(self._submit, commands)
        return None

    def _submit(self, commands: list[str]) -> None:
        self._core.connection.commands.submit(commands)
        self._note_moves(commands)

    async def _send(self, commands: list[str]) -> None:
        try:
            await self._core.connection.commands.send(commands)
            self._note_moves(commands)
        finally:
            self._long_sends -= 1

    def _note_moves(self, commands: list[str]) -> None:
        """Forget the position if a command moves the head; if one extrudes, the bed no longer counts as clear."""
        plain = [clean(command.encode("utf-8", "replace")).decode() for command in commands]  # as they were sent
        if any(map(_MOVE.match, plain)):
            self._position = None
        if any(map(_EXTRUDES.match, plain)):
            self._bed.mark_used()

    def _deferred_answer(self, question: ask.Question, expires_at: float | None) -> Awaitable[object]:
        core = self._core
        match question:
            case ask.Connect(port=port, baudrate=baudrate):
                connect = partial(core.connection.connect, find=question.find, save=question.save)
                return self._scan(connect, checks.check_port(port), baudrate)
            case ask.Send(commands=commands):
                self._long_sends += 1
                return self._send(commands)
            case ask.Disconnect():
                return self._disconnect()
            case ask.ListPorts():
                return self._scan(core.connection.options)
            case ask.AskLimits():
                return self._limits()
            case ask.UsePreset() | ask.ChangeProfile():
                return self._choose_profile(question)
        if (answering := self._from_record(question, expires_at)) is not None:
            return answering
        raise NozzledError(f"the core has no answer to {type(question).__name__}")

    async def _disconnect(self) -> None:
        await self._core.connection.disconnect()
        self._core.jobs.unselect_if_idle()

    def _from_record(self, question: ask.Question, expires_at: float | None) -> Awaitable[object] | None:
        store = self._core.store
        match question:
            case ask.AskStatistics(path=path):
                return store.statistics(checks.check_path(path))
            case ask.AskHistory(limit=limit):
                return self._history(limit)
            case ask.AskHistories(after=after):
                return store.histories(after)
            case ask.AskRecord(after=after, limit=limit):
                return self._print_records(after, limit)
            case ask.StartKeyed():
                return self._begin_print(question, expires_at)
            case ask.AskKey(key=key):
                return self._find_print(checks.check_job_key(key))
        return None

    def _begin_print(self, question: ask.StartKeyed, expires_at: float | None) -> Awaitable[object]:
        file = checks.check_selection(question.file) if question.file is not None else None
        key, mark = checks.check_job_key(question.key), checks.check_job_key(question.mark)
        checked_file = checks.check_file_mark(question.checked_file)

        def check() -> None:
            if (
                expires_at is not None and asyncio.get_running_loop().time() > expires_at
            ):  # recording the print took too long
                raise TooLate("the print was not started: it could not be recorded before its client gave up")
            self._bed.require_count(question.bed)

        return self._keyed.begin(file, key, mark, eject=question.eject, checked_file=checked_file, check=check)

    async def _find_print(self, key: str) -> KeyedPrint | None:
        keyed_print = await self._keyed.find(key)
        return replace(keyed_print, bed=self._bed.count_after(keyed_print.job)) if keyed_print is not None else None

    def _conversation(self, since: float) -> ask.ConversationLines:
        printer = self._core.connection.printer
        now = asyncio.get_running_loop().time()
        return ask.ConversationLines(
            lines=printer.flight_recorder.tail_since(since)[-MAX_LINES:] if printer else [], until=now
        )

    def _traffic(self, since: float) -> ask.Traffic:
        printer = self._core.connection.printer
        now = asyncio.get_running_loop().time()
        if printer is None:
            return ask.Traffic(lines=[], gap=False, sent=0, until=now)
        recorded, sent = printer.flight_recorder.complete_lines_since(since), printer.counters.lines_sent
        lines = recorded.lines[-MAX_LINES:]
        return ask.Traffic(lines=lines, gap=recorded.gap or len(lines) < len(recorded.lines), sent=sent, until=now)

    async def _history(self, limit: int) -> list[PastPrint]:
        jobs = await self._core.store.jobs(max(1, min(limit, MAX_JOBS)))
        return [_past_print(job) for job in jobs]

    async def _print_records(self, after: int, limit: int) -> list[PrintRecord]:
        jobs = await self._core.store.jobs_after(after, max(1, min(limit, MAX_JOBS)))
        return [_print_record(job) for job in jobs]

    async def _scan(self, work: Callable[..., Awaitable[T]], *args: object) -> T:
        """Do work that scans the system in a thread: one scan at a time, and at most one per SCAN_INTERVAL."""
        loop = asyncio.get_running_loop()
        async with self._scan_lock:
            await asyncio.sleep(self._scanned_at + SCAN_INTERVAL - loop.time())
            self._scanned_at = loop.time()
            return await work(*args)

    async def _limits(self) -> ask.Limits:
        settings = self._core.settings
        commands = await settings.ask()
        return ask.Limits(settings=commands, firmware=settings.firmware, area=settings.area)

    async def _choose_profile(self, question: ask.UsePreset | ask.ChangeProfile) -> None:
        """Change the printer's profile: to a preset, or in some of its values."""
        if isinstance(question, ask.ChangeProfile):
            values = question.values
            change = partial(chosen_preset.change, values=values)
            await self._change_profile(change, partial(chosen_preset.save_changes, values))
            return
        name = checks.check_preset(question.preset)
        preset = await self._scan(asyncio.to_thread, _preset, name) if name else None
        profile = preset.profile if preset is not None else ProfileConfig()
        await self._change_profile(lambda _: profile, partial(chosen_preset.save, preset))

    async def _change_profile(
        self, make: Callable[[ProfileConfig], ProfileConfig], save: Callable[[Path], None]
    ) -> None:
        """Use the profile that `make` returns for the present one, and save the change; one change at a time."""
        core = self._core
        async with self._profile_lock:
            if core.jobs.active:
                raise JobConflict("a print is in progress: choose the printer when it has ended")
            if core.profile_is_configured:
                raise JobConflict("the printer is described in the configuration file, [profile]; choose it there")
            before = core.connection.profile
            # no await between reading `active` and here, or a print might begin with one profile and go on with another
            core.connection.use_profile(make(before))
            try:
                await asyncio.to_thread(save, core.folder)
            except OSError as error:
                if not core.jobs.active:
                    core.connection.use_profile(before)
                raise make_save_error(error) from error

    def _answer_prompt(self, choice: int) -> None:
        """Begin to answer the printer's prompt, without waiting for the printer."""
        printer = self._core.connection.printer
        if printer is None:
            raise NotConnected("the printer is not connected")
        checks.check_choice(choice, printer.prompt)
        if len(self._prompt_answers) >= MAX_PROMPT_ANSWERS:
            raise QueueFull(f"{MAX_PROMPT_ANSWERS} answers are already waiting for the printer; try again later")
        task = asyncio.create_task(_answer(printer, choice))
        self._prompt_answers.add(task)
        task.add_done_callback(self._prompt_answers.discard)


def _preset(name: str) -> "Preset":
    from daemon.config.presets import find  # noqa: PLC0415 - a printer is chosen once

    return find(name)


def _past_print(job: JobRecord) -> PastPrint:
    """Return a recorded job as the list of past prints shows it."""
    reason = job.reason and job.reason[:MAX_REASON]
    state = job.state.lower()
    return PastPrint(job.id, job.path, job.name, state, job.started_at, job.ended_at, job.print_time, reason)


def _print_record(job: JobRecord) -> PrintRecord:
    """Return a recorded job in full."""
    return PrintRecord(
        job.id,
        job.path,
        job.name,
        job.size,
        job.mtime_ns,
        job.state.lower(),
        job.started_at,
        job.printer,
        job.ended_at,
        job.print_time,
        job.reason and job.reason[:MAX_REASON],
        job.user,
        job.lines,
        job.offset,
        job.key,
        job.began,
        job.resends,
    )


def make_save_error(error: OSError) -> FileError:
    """Return the error for a choice of the printer that could not be saved."""
    kind = StorageFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else FileError
    return kind(f"the choice of the printer cannot be saved in the state directory: {error.strerror or error}")


async def _answer(printer: CommandSink, choice: int) -> None:
    try:
        await printer.answer_prompt(choice)
    except NozzledError as error:
        log.warning("printer.not_answered", choice=choice, reason=str(error))
