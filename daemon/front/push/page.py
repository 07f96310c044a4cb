"""Pages: what open pages are told. One snapshot for all of them; each hears what has changed in it, and that we live.

A page that reads slowly costs no queue: of it is known which names of the snapshot it has not heard of.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import structlog

from daemon.bridge.events import JobChanged, SafetyBroken
from daemon.errors import CoreAway
from daemon.front.analysis.shelf import FileKey, Learnt
from daemon.front.analysis.watch import key_of
from daemon.front.events import Notice
from daemon.front.push.page_state import before, describe, figures_of, of_known
from hal.printer import ActionRequested, Event, PanelPrintChanged, StateChanged, StopEnded, TemperaturesRead

if TYPE_CHECKING:
    from daemon.bridge.words import Selection
    from daemon.front.front import Front

GAP = 0.25
SLOW = 1.0
"""Seconds between two messages to a page that are no transition, and between two about what changes all the time."""

BEAT = 2.0  # s between two signs of life
COUNT = 10.0  # s between two looks at the figures of the line
HANGS = 1.5  # s after which a core that has not answered is taken for one that hangs
PATIENT = 5.0  # s in the place of GAP and TICK, where only programs listen
TICK = 1.0  # s between two looks at a print that goes on, where nothing is heard of it
LISTEN = 0.5  # s between two looks at the conversation, while somebody has the console open
AGAIN = 5.0  # s after which a file of which nothing was known is looked at again
MAX_STATES = 16  # of the job, that wait for a page
STATE = "job.state"
MAX_LINES = 500  # of the console, that wait for a page

TRANSITIONS = (StateChanged, JobChanged, SafetyBroken, StopEnded, PanelPrintChanged, ActionRequested)
"""What a page is told of at once."""

ALL_THE_TIME = frozenset(
    {"job.progress", "printer.heatersAt", "link.sent", "link.acknowledged", "link.resends", "link.timeouts"}
)

Line = tuple[str, float, str]
"""`>` from the host or `<` from the printer, its date in s, and its text."""

log = structlog.get_logger()


def _power() -> list[str] | None:
    """Return what is wrong with this machine's power now. Blocks."""
    from daemon.front.machine import power  # noqa: PLC0415 - nobody has opened a page yet

    now: list[str] | None = power()["now"]
    return now


async def _hash_of_files() -> str:
    """Return the hash of what browsers get; to read that takes more than a MiB."""
    from daemon.front.page_files import files  # noqa: PLC0415 - as above

    if not files().digest:
        await asyncio.to_thread(files().find, "index.html")
    return files().digest


class Feed:
    """What one page has not heard yet."""

    def __init__(
        self, pages: "Pages", wake: Callable[[], None], *, console: bool, patient: bool = False, program: bool = False
    ) -> None:
        """Prepare.

        Args:
            pages: of which this is one.
            wake: called when there is something to take.
            console: it wants to hear what is said on the line.
            patient: nobody looks at it: only transitions are told at once.
            program: it is no browser, and needs no hash of the page's files.
        """
        self._pages = pages
        self.program = program or patient
        self._wake = wake
        self._seq = 0
        self._whole = True
        self._keys: dict[str, None] = {}
        self._beats = False
        self._lines: deque[Line] = deque(maxlen=MAX_LINES)
        self._states: deque[str] = deque(maxlen=MAX_STATES)  # of the job, that have passed already
        self._dropped = 0
        self.console = console
        self.patient = patient
        self.is_new = console  # it has not seen what was said before it came

    def begin_anew(self) -> None:
        """Have everything told from the beginning."""
        self._whole = True
        self._keys.clear()
        self._lines.clear()
        self._states.clear()
        self._dropped, self.is_new = 0, self.console

    def changed(self, keys: Iterable[str], passed: Sequence[str] = ()) -> None:
        """Note what is not what it was; `passed` are states of the job that it has had meanwhile, the last one too."""
        self._keys.update(dict.fromkeys(keys))
        if passed:
            self._states.extend(passed)
            self._keys[STATE] = None
        if self._keys or self._whole:
            self._wake()

    def beat(self) -> None:
        """Have it told that we live."""
        self._beats = True
        self._wake()

    def heard(self, lines: list[Line], dropped: int) -> None:
        """Note what was said on the line, and how many lines before that nobody has kept."""
        over = max(0, len(self._lines) + len(lines) - MAX_LINES)
        self._dropped += dropped + over
        self._lines.extend(lines)
        if lines or dropped:
            self._wake()

    def take(self) -> list[str]:
        """Return the messages that are to be sent now."""
        if self._whole:
            if not (self._pages.ready and self._pages.lives):
                return []
            self._whole = self._beats = False
            self._keys.clear()
            self._states.clear()
            bodies = [f'"all": {self._pages.everything()}']
        else:
            if self._states and self._states[-1] == self._pages.state():
                self._states.pop()  # it is among the keys
            bodies = [f'"set": {{"{STATE}": {json.dumps(state)}}}' for state in self._states]
            bodies += [f'"set": {self._pages.of(self._keys)}'] if self._keys else []
            self._keys.clear()
            self._states.clear()
        if self._beats:
            self._beats = False
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
    """All open pages, and the snapshot that they share. Costs nothing while there are none."""

    def __init__(self, service: "Front") -> None:
        self._service = service
        self._feeds: set[Feed] = set()
        self._values: dict[str, Any] = {}
        self._texts: dict[str, str] = {}
        self._known: dict[str, Any] = of_known(None, None, Learnt())
        self._files = ""  # their hash, once there was a browser
        self._known_of: tuple[FileKey | None, float] = (None, 0.0)  # until when that counts
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._dirty = self._urgent = False
        self._passed: deque[str] = deque(maxlen=MAX_STATES)  # states of the job since the last look
        self._looked = self._told_slow = self._beaten = self._listened = 0.0
        self._figures: dict[str, Any] = {"link.figures": None, "server.power": None}
        self._heat_at: int | None = None  # the date of the last temperature report
        self._before_at = -AGAIN
        self._before: dict[str, Any] = {}  # what is known of the last print of an earlier core
        self._counted = -COUNT
        self._since, self._sent = 0.0, 0  # what is known of the conversation
        self.lives = False  # the core has answered when it was asked last, or is known to be away
        self.ready = False
        service.core.on_change(self._on_change)
        service.core.on_event(self._on_event)
        service.analyses.subscribe(self._on_analysis)
        service.watch.on_refused(lambda _: self._at_once())
        service.queue.subscribe(self._at_once)
        service.last_fault.subscribe(self._at_once)
        service.events.subscribe(self._on_notice)
        service.companions.on_change(self._on_change)

    # -- who listens ---------------------------------------------------------------------------------------

    def join(self, feed: Feed) -> None:
        """Tell this page, too."""
        self._feeds.add(feed)
        self.ready = self.ready and (feed.program or self._files != "")
        self._at_once()
        if self._task is None:
            self.ready = self.lives = False
            self._task = asyncio.create_task(self._run())

    def leave(self, feed: Feed) -> None:
        """Forget a page; idempotent."""
        self._feeds.discard(feed)
        self._wake.set()

    def close(self) -> None:
        """End."""
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
                self._passed.append(event.state.value)
            self._at_once()

    def _on_notice(self, notice: Notice) -> None:
        if notice.name == "SettingsUpdated":
            self._at_once()

    def _at_once(self) -> None:
        self._urgent = True
        self._wake.set()

    def _on_change(self) -> None:
        if not self._dirty:
            self._dirty = True
            self._wake.set()

    def _on_analysis(self, key: FileKey, _: object) -> None:
        if key == self._known_of[0]:
            self._known_of = (None, 0.0)
            self._on_change()

    async def _run(self) -> None:
        """Look, tell and listen when it is time for that, as long as there is a page."""
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
                await asyncio.sleep(AGAIN)
        self._task = None

    def _due(self) -> float:
        times = [self._beaten + BEAT]
        if self._dirty:
            times.append(self._looked + self._every(GAP))
        elif self._service.jobs.active:
            times.append(self._looked + self._every(TICK))
        if self._has_console():
            times.append(self._listened + LISTEN)
        return 0.0 if self._urgent else min(times)

    def _every(self, usual: float) -> float:
        return PATIENT if all(feed.patient for feed in self._feeds) else usual

    def _has_console(self) -> bool:
        return any(feed.console for feed in self._feeds)

    async def _work(self, now: float) -> None:
        if not self.lives:
            self.lives = self._urgent = await self._core_lives()
        if not self.lives:
            self._beaten = now
            return
        ticks = self._service.jobs.active and now >= self._looked + self._every(TICK)
        if self._urgent or ticks or (self._dirty and now >= self._looked + self._every(GAP)):
            await self._look(now)
        if self._has_console() and now >= self._listened + LISTEN:
            self._listened = now
            await self._listen()
        if now >= self._beaten + BEAT:
            self._beaten = now
            self.lives = await self._core_lives()
            for feed in self._feeds if self.lives else ():
                feed.beat()
            if self.lives and now >= self._counted + COUNT:
                self._counted = now
                await self._count()

    async def _core_lives(self) -> bool:
        """Tell whether the core answers; what we know of one that hangs is old, and a page has to see that.

        One that is away is no secret: what is told says so.
        """
        try:
            async with asyncio.timeout(HANGS):
                await self._service.connection.traffic(float("inf"))
        except CoreAway:
            return True
        except TimeoutError:
            return False
        return True

    async def _count(self) -> None:
        """Ask for the figures of the line."""
        found = {"link.figures": await figures_of(self._service), "server.power": await asyncio.to_thread(_power)}
        if found != self._figures:
            self._figures = found
            self._on_change()

    async def _look(self, now: float) -> None:
        """Compare with what was told, and tell what has changed."""
        transition, self._urgent, self._dirty = self._urgent, False, False
        self._looked = now
        if not all(feed.program for feed in self._feeds):
            self._files = await _hash_of_files()
        await self._find(now)
        if self._service.jobs.state is None and now >= self._before_at + AGAIN:
            self._before_at, self._before = now, await before(self._service)
        heat = {"printer.heatersAt": self._heat_at if self._service.connection.heaters else None}
        last = self._before if self._service.jobs.state is None else {}
        values = describe(self._service, self._known | self._figures | last | heat, self._files)
        passed = [*self._passed]  # also one that lasted a moment is told
        self._passed.clear()
        if not transition and now < self._told_slow + SLOW:
            values |= {key: self._values[key] for key in ALL_THE_TIME if key in self._values}
        else:
            self._told_slow = now
        changed = [key for key, value in values.items() if key not in self._values or self._values[key] != value]
        if passed and passed[-1] == values[STATE] and STATE not in changed:
            passed.pop()  # it was told before its event came
        self._values = values
        self._texts.update((key, json.dumps(values[key])) for key in changed)
        self.ready = True
        for feed in self._feeds:
            feed.changed(changed, passed)

    async def _find(self, now: float) -> None:
        """Find out what is known of the selected file, if that is another one."""
        selected: Selection | None = self._service.jobs.selected
        key = key_of(selected) if selected is not None else None
        if key is not None and key == self._known_of[0] and now < self._known_of[1]:
            return
        watch = self._service.watch
        found = await watch.findings(selected) if selected is not None else None
        learnt = await watch.learnt() if found is not None else Learnt()
        self._known = of_known(found, selected, learnt)
        self._known_of = (key, now + AGAIN if found is None else float("inf"))

    async def _listen(self) -> None:
        """Tell those who have the console open what was said; who has just opened it what is still kept."""
        new = any(feed.is_new for feed in self._feeds)
        since = self._since
        try:
            heard = await self._service.connection.traffic(0.0 if new else since)
        except CoreAway:
            return
        ahead = self._service.wall() - heard.until
        lines = [(arrow, round(at + ahead, 3), text) for arrow, at, text in heard.lines]
        latest = [line for line, (_, at, _) in zip(lines, heard.lines, strict=True) if at > since]
        dropped = 0
        if heard.gap and latest and len(latest) == len(lines):
            dropped = max(1, 2 * (heard.sent - self._sent) - len(lines))  # each line that is sent is answered
        self._since, self._sent = heard.until, heard.sent
        for feed in [each for each in self._feeds if each.console]:
            feed.heard(*((lines, 0) if feed.is_new else (latest, dropped)))
            feed.is_new = False

    # -- what is told --------------------------------------------------------------------------------------

    def date(self) -> float:
        """Return the server's date, in s."""
        return round(self._service.wall(), 3)

    def state(self) -> str | None:
        """Return the state of the job, as it was when we looked."""
        found: str | None = self._values[STATE]
        return found

    def of(self, keys: Iterable[str]) -> str:
        """Return these parts of the snapshot as JSON."""
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
