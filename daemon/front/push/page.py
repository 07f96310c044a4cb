"""Pages: what open pages are sent: a snapshot that they all share, its changes, and heartbeats.

A page that reads slowly needs no long queue: its feed stores which keys of the snapshot have changed, and the last few
states of the job and lines of the console.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import structlog

from daemon.bridge.events import JobChanged, SafetyBroken
from daemon.errors import CoreAway
from daemon.front.analysis.store import FileKey, LearntPace
from daemon.front.analysis.watch import key_of
from daemon.front.events import FrontEvent
from daemon.front.push.page_state import describe, figures_of, file_state, last_print
from hal.printer import ActionRequested, Event, PanelPrintChanged, StateChanged, StopEnded, TemperaturesRead

if TYPE_CHECKING:
    from daemon.bridge.words import Selection
    from daemon.front.front import Front

REFRESH_INTERVAL = 0.25  # s between two refreshes of the snapshot, except for transitions
SLOW_INTERVAL = 1.0  # s between two changes of the keys in FREQUENT

BEAT_INTERVAL = 2.0  # s between two heartbeats
FIGURES_INTERVAL = 10.0  # s between two requests for the figures of the connection
CORE_TIMEOUT = 1.5  # s after which a core that does not answer counts as hanging
PATIENT_INTERVAL = 5.0  # s instead of REFRESH_INTERVAL and PRINT_INTERVAL, if all feeds are patient
PRINT_INTERVAL = 1.0  # s between two refreshes during a print without events
CONSOLE_INTERVAL = 0.5  # s between two reads of the conversation, while a console is open
RETRY_INTERVAL = 5.0  # s until a missing analysis is looked up again
MAX_STATES = 16  # states of the job that wait to be sent to a page
STATE = "job.state"
MAX_LINES = 500  # lines of the console that wait to be sent to a page

TRANSITIONS = (StateChanged, JobChanged, SafetyBroken, StopEnded, PanelPrintChanged, ActionRequested)
"""Events that pages are sent at once."""

FREQUENT = frozenset(
    {"job.progress", "printer.heatersAt", "link.sent", "link.acknowledged", "link.resends", "link.timeouts"}
)

ConsoleLine = tuple[str, float, str]
"""`>` from the host or `<` from the printer, its Unix time in s, and its text."""

log = structlog.get_logger()


def _power() -> list[str] | None:
    """Return what is wrong with this machine's power supply now. Blocks."""
    from daemon.front.machine import power  # noqa: PLC0415 - only needed once a page is open

    now: list[str] | None = power()["now"]
    return now


async def _hash_of_files() -> str:
    """Return the hash of the page's files; reading them needs more than a MiB of memory."""
    from daemon.front.page_files import files  # noqa: PLC0415 - as above

    if not files().digest:
        await asyncio.to_thread(files().find, "index.html")
    return files().digest


class Feed:
    """The changes that one page has not been sent yet."""

    def __init__(
        self, pages: "Pages", wake: Callable[[], None], *, console: bool, patient: bool = False, program: bool = False
    ) -> None:
        """Prepare.

        Args:
            pages: the snapshot.
            wake: called when `take` has messages.
            console: the page shows the conversation with the printer.
            patient: no user watches the page: only transitions are sent at once.
            program: the client is not a browser, and needs no hash of the page's files.
        """
        self._pages = pages
        self.program = program or patient
        self._wake = wake
        self._seq = 0
        self._is_whole_due = True
        self._changed_keys: dict[str, None] = {}
        self._beat_due = False
        self._lines: deque[ConsoleLine] = deque(maxlen=MAX_LINES)
        self._states: deque[str] = deque(maxlen=MAX_STATES)  # earlier states of the job
        self._dropped = 0
        self.console = console
        self.patient = patient
        self.is_new = console  # it has not been sent the earlier lines of the console

    def restart(self) -> None:
        """Begin again with the whole snapshot."""
        self._is_whole_due = True
        self._changed_keys.clear()
        self._lines.clear()
        self._states.clear()
        self._dropped, self.is_new = 0, self.console

    def note_changes(self, keys: Iterable[str], recent_states: Sequence[str] = ()) -> None:
        """Note changed keys; `recent_states` are the job's states since the last refresh, including the current one."""
        self._changed_keys.update(dict.fromkeys(keys))
        if recent_states:
            self._states.extend(recent_states)
            self._changed_keys[STATE] = None
        if self._changed_keys or self._is_whole_due:
            self._wake()

    def beat(self) -> None:
        """Queue a heartbeat."""
        self._beat_due = True
        self._wake()

    def add_lines(self, lines: list[ConsoleLine], dropped: int) -> None:
        """Queue lines of the console; `dropped` is the number of lines lost before them."""
        excess = max(0, len(self._lines) + len(lines) - MAX_LINES)
        self._dropped += dropped + excess
        self._lines.extend(lines)
        if lines or dropped:
            self._wake()

    def take(self) -> list[str]:
        """Take the messages to send now."""
        if self._is_whole_due:
            if not (self._pages.ready and self._pages.is_core_alive):
                return []
            self._is_whole_due = self._beat_due = False
            self._changed_keys.clear()
            self._states.clear()
            bodies = [f'"all": {self._pages.everything()}']
        else:
            if self._states and self._states[-1] == self._pages.state():
                self._states.pop()  # it is sent with the changed keys
            bodies = [f'"set": {{"{STATE}": {json.dumps(state)}}}' for state in self._states]
            bodies += [f'"set": {self._pages.encoded(self._changed_keys)}'] if self._changed_keys else []
            self._changed_keys.clear()
            self._states.clear()
        if self._beat_due:
            self._beat_due = False
            bodies.append(f'"beat": {self._pages.date()}')
        if self._lines or self._dropped:
            bodies.append(f'"console": {json.dumps({"lines": [*self._lines], "dropped": self._dropped})}')
            self._lines.clear()
            self._dropped = 0
        return [self._message(body) for body in bodies]

    def _message(self, body: str) -> str:
        self._seq += 1
        return f'{{"page": {{"seq": {self._seq}, {body}}}}}'


class Pages:
    """All open pages, and the snapshot that they share. Does nothing while there are none."""

    def __init__(self, service: "Front") -> None:
        self._service = service
        self._feeds: set[Feed] = set()
        self._values: dict[str, Any] = {}
        self._texts: dict[str, str] = {}
        self._file_state: dict[str, Any] = file_state(None, None, LearntPace())
        self._files = ""  # the hash of the page's files, once a browser has joined
        self._file_key: FileKey | None = None  # the file of `_file_state`
        self._file_until = 0.0  # by the loop's clock: when the file is looked up again
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._dirty = self._urgent = False
        self._recent_states: deque[str] = deque(maxlen=MAX_STATES)  # states of the job since the last refresh
        self._refreshed_at = self._slow_at = self._beat_at = self._console_at = 0.0
        self._figures: dict[str, Any] = {"link.figures": None, "server.power": None}
        self._heat_at: int | None = None  # Unix time of the last temperature report, in s
        self._last_print_at = -RETRY_INTERVAL
        self._last_print: dict[str, Any] = {}  # the last print of an earlier core
        self._figures_at = -FIGURES_INTERVAL
        self._console_until, self._sent_lines = 0.0, 0  # end of the lines read so far, and lines sent until then
        self.is_core_alive = False  # the core answered the last check, or is known to be away
        self.ready = False
        service.core.on_change(self._on_change)
        service.core.on_event(self._on_event)
        service.analyses.subscribe(self._on_analysis)
        service.watch.on_refused(lambda _: self._on_urgent())
        service.queue.subscribe(self._on_urgent)
        service.last_fault.subscribe(self._on_urgent)
        service.events.subscribe(self._on_front_event)
        service.companions.on_change(self._on_change)

    # -- the feeds -----------------------------------------------------------------------------------------

    def join(self, feed: Feed) -> None:
        """Add a page."""
        self._feeds.add(feed)
        self.ready = self.ready and (feed.program or self._files != "")
        self._on_urgent()
        if self._task is None:
            self.ready = self.is_core_alive = False
            self._task = asyncio.create_task(self._run())

    def leave(self, feed: Feed) -> None:
        """Remove a page; idempotent."""
        self._feeds.discard(feed)
        self._wake.set()

    def close(self) -> None:
        """Stop."""
        self._feeds.clear()
        if self._task is not None:
            self._task.cancel()
            self._task = None

    # -- what happens --------------------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        if isinstance(event, TemperaturesRead):
            self._heat_at = int(self._service.wall())
        if isinstance(event, TRANSITIONS):
            if isinstance(event, JobChanged) and self._feeds:
                self._recent_states.append(event.state.value)
            self._on_urgent()

    def _on_front_event(self, event: FrontEvent) -> None:
        if event.name == "SettingsUpdated":
            self._on_urgent()

    def _on_urgent(self) -> None:
        self._urgent = True
        self._wake.set()

    def _on_change(self) -> None:
        if not self._dirty:
            self._dirty = True
            self._wake.set()

    def _on_analysis(self, key: FileKey, _: object) -> None:
        if key == self._file_key:
            self._file_key = None
            self._on_change()

    async def _run(self) -> None:
        """Refresh the snapshot, read the console and beat when each is due, while there is a page."""
        loop = asyncio.get_running_loop()
        while self._feeds:
            try:
                async with asyncio.timeout_at(self._due()):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self._work(loop.time())
            except Exception:
                log.exception("push.page_failed")
                await asyncio.sleep(RETRY_INTERVAL)
        self._task = None

    def _due(self) -> float:
        times = [self._beat_at + BEAT_INTERVAL]
        if self._dirty:
            times.append(self._refreshed_at + self._interval(REFRESH_INTERVAL))
        elif self._service.jobs.active:
            times.append(self._refreshed_at + self._interval(PRINT_INTERVAL))
        if self._has_console():
            times.append(self._console_at + CONSOLE_INTERVAL)
        return 0.0 if self._urgent else min(times)

    def _interval(self, usual: float) -> float:
        return PATIENT_INTERVAL if all(feed.patient for feed in self._feeds) else usual

    def _has_console(self) -> bool:
        return any(feed.console for feed in self._feeds)

    async def _work(self, now: float) -> None:
        if not self.is_core_alive:
            self.is_core_alive = self._urgent = await self._check_core()
        if not self.is_core_alive:
            self._beat_at = now
            return
        is_print_due = self._service.jobs.active and now >= self._refreshed_at + self._interval(PRINT_INTERVAL)
        is_change_due = self._dirty and now >= self._refreshed_at + self._interval(REFRESH_INTERVAL)
        if self._urgent or is_print_due or is_change_due:
            await self._refresh(now)
        if self._has_console() and now >= self._console_at + CONSOLE_INTERVAL:
            self._console_at = now
            await self._read_console()
        if now >= self._beat_at + BEAT_INTERVAL:
            self._beat_at = now
            self.is_core_alive = await self._check_core()
            for feed in self._feeds if self.is_core_alive else ():
                feed.beat()
            if self.is_core_alive and now >= self._figures_at + FIGURES_INTERVAL:
                self._figures_at = now
                await self._read_figures()

    async def _check_core(self) -> bool:
        """Tell whether the core answers. While it hangs, heartbeats stop, so that pages know that the snapshot is old.

        A core that is away counts as alive: the snapshot says that it is away.
        """
        try:
            async with asyncio.timeout(CORE_TIMEOUT):
                await self._service.connection.traffic(float("inf"))
        except CoreAway:
            return True
        except TimeoutError:
            return False
        return True

    async def _read_figures(self) -> None:
        """Read the figures of the connection, and the state of the power supply."""
        figures = {"link.figures": await figures_of(self._service), "server.power": await asyncio.to_thread(_power)}
        if figures != self._figures:
            self._figures = figures
            self._on_change()

    async def _refresh(self, now: float) -> None:
        """Make a new snapshot, and pass its changes to the feeds."""
        transition, self._urgent, self._dirty = self._urgent, False, False
        self._refreshed_at = now
        if not all(feed.program for feed in self._feeds):
            self._files = await _hash_of_files()
        await self._refresh_file(now)
        if self._service.jobs.state is None and now >= self._last_print_at + RETRY_INTERVAL:
            self._last_print_at, self._last_print = now, await last_print(self._service)
        heat = {"printer.heatersAt": self._heat_at if self._service.connection.heaters else None}
        last = self._last_print if self._service.jobs.state is None else {}
        values = describe(self._service, self._file_state | self._figures | last | heat, self._files)
        recent_states = [*self._recent_states]  # pages are to see even short states
        self._recent_states.clear()
        if not transition and now < self._slow_at + SLOW_INTERVAL:
            values |= {key: self._values[key] for key in FREQUENT if key in self._values}
        else:
            self._slow_at = now
        changed = [key for key, value in values.items() if key not in self._values or self._values[key] != value]
        if recent_states and recent_states[-1] == values[STATE] and STATE not in changed:
            recent_states.pop()  # the last refresh had this state before its event arrived
        self._values = values
        self._texts.update((key, json.dumps(values[key])) for key in changed)
        self.ready = True
        for feed in self._feeds:
            feed.note_changes(changed, recent_states)

    async def _refresh_file(self, now: float) -> None:
        """Look up the analysis of the selected file if another file is selected, or if there was no analysis yet."""
        selected: Selection | None = self._service.jobs.selected
        key = key_of(selected) if selected is not None else None
        if key is not None and key == self._file_key and now < self._file_until:
            return
        watch = self._service.watch
        findings = await watch.findings(selected) if selected is not None else None
        learnt = await watch.printer_pace() if findings is not None else LearntPace()
        self._file_state = file_state(findings, selected, learnt)
        self._file_key, self._file_until = key, now + RETRY_INTERVAL if findings is None else float("inf")

    async def _read_console(self) -> None:
        """Pass new lines to open consoles; a console that has just opened gets all stored lines."""
        new = any(feed.is_new for feed in self._feeds)
        since = self._console_until
        try:
            talk = await self._service.connection.traffic(0.0 if new else since)
        except CoreAway:
            return
        clock_difference = self._service.wall() - talk.until
        lines = [(arrow, round(at + clock_difference, 3), text) for arrow, at, text in talk.lines]
        latest = [line for line, (_, at, _) in zip(lines, talk.lines, strict=True) if at > since]
        dropped = 0
        if talk.gap and latest and len(latest) == len(lines):
            dropped = max(1, 2 * (talk.sent - self._sent_lines) - len(lines))  # each line that was sent has an answer
        self._console_until, self._sent_lines = talk.until, talk.sent
        for feed in [each for each in self._feeds if each.console]:
            feed.add_lines(*((lines, 0) if feed.is_new else (latest, dropped)))
            feed.is_new = False

    # -- the snapshot as JSON ------------------------------------------------------------------------------

    def date(self) -> float:
        """Return the server's Unix time, in s."""
        return round(self._service.wall(), 3)

    def state(self) -> str | None:
        """Return the job's state in the snapshot."""
        state: str | None = self._values[STATE]
        return state

    def encoded(self, keys: Iterable[str]) -> str:
        """Return these keys of the snapshot as JSON."""
        return "{" + ", ".join(f'"{key}": {self._texts[key]}' for key in keys) + "}"

    def everything(self) -> str:
        """Return the whole snapshot as JSON."""
        whole: dict[str, Any] = {"server": {"time": self.date()}}
        for key, value in self._values.items():
            part, _, name = key.partition(".")
            if name:
                whole.setdefault(part, {})[name] = value
            else:
                whole[part] = value
        return json.dumps(whole)
