"""Subscriber: one client on a socket. However slowly it reads, it costs a bounded queue: the newest state wins.

One task writes: what waits meanwhile is a bounded number of events, and a mark that the state has changed.
"""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from daemon.front.access.access import Access
from daemon.front.access.sessions import Session
from daemon.front.events import Notice
from daemon.front.push.page import Feed
from daemon.front.push.statuses import Moment, Statuses
from gcode.frozen import mutable

if TYPE_CHECKING:
    from daemon.front.push.hub import Hub

RATE = 0.5
"""Seconds between two messages about the state; a client may ask for a multiple."""

MAX_THROTTLE = 3600
MAX_EVENTS = 256
MAX_TEMPERATURES = 60
MAX_LOG = 300
"""Events and temperature reports that wait for a slow reader, and lines of the log in one message."""

STALLED = 60.0
STRANGER = 30.0
"""Seconds after which a client is dropped that reads nothing, or that has shown no session."""

MAX_WORDS = 8
MAX_LETTERS = 4096
"""Frames, and bytes in all, that a client may send before it has shown a session: `auth` a few times."""

Send = Callable[[Sequence[str]], Awaitable[None]]


PRINT_ENDS = ("PrintDone", "PrintCancelled", "PrintFailed")
"""Events before which all states that have passed are told: a client that counts prints by both would take a state that
comes late for another print."""


@mutable
class Wishes:
    """What a client wants to hear; everything, where it has not said."""

    state: bool = True
    logs: bool = True
    events: bool | frozenset[str] = True
    plugins: bool | frozenset[str] = True


class Subscriber:
    """One client; made by `Hub.join`."""

    def __init__(self, hub: "Hub", access: Access, send: Send, close: Callable[[], None]) -> None:
        self._hub = hub
        self._access = access
        self._send = send
        self._close = close
        self._loop = asyncio.get_running_loop()
        self._session: Session | None = None
        self._known = False  # it has shown one
        self._words = self._letters = 0  # said without a session
        self._wishes = Wishes()
        self._interval = RATE
        self._waiting: deque[str | Moment] = deque(maxlen=MAX_EVENTS)
        self._temperatures: deque[str] = deque(maxlen=MAX_TEMPERATURES)
        self._statuses = Statuses()
        self._heard = hub.said
        self._new = self._dirty = False
        self._page: Feed | None = None
        self._due = 0.0
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._task = asyncio.create_task(self._run())
        self._grace = self._loop.call_later(STRANGER, self._drop_stranger)

    # -- what the hub tells --------------------------------------------------------------------------------

    def offer(self, message: str) -> None:
        """Have a message sent, as JSON; where too many wait the oldest is dropped."""
        self._waiting.append(message)
        self._wake.set()

    def note(self, notice: Notice, told: str) -> None:
        """Pass on what happened, in these words, if this client may and wants to hear of it."""
        wanted = self._wishes.plugins if notice.kind == "plugin" else self._wishes.events
        if notice.kind == "message":  # nobody can be without it
            wanted = True
        if self._session is not None and (wanted is True or (wanted and notice.name in wanted)):
            if notice.name in PRINT_ENDS and self._wishes.state:
                self._waiting.extend(self._statuses.drain())
            self.offer(told)

    def add_temperatures(self, report: str) -> None:
        """Keep a report, as JSON, for the next message about the state."""
        if self._session is not None:
            self._temperatures.append(report)

    def passed(self, moment: Moment) -> None:
        """Say that there is another state; it is told, also where the next one comes before a message is due."""
        if self._session is not None:
            self._statuses.passed(moment)

    def changed(self) -> None:
        """Say that the state is not what it was; told when it is due."""
        if self._session is None or not self._wishes.state or self._dirty:
            return
        self._dirty = True
        if self._loop.time() >= self._due:
            self._wake.set()
        elif self._timer is None:
            self._timer = self._loop.call_at(self._due, self._wake_up)

    def wake(self) -> None:
        """Have it looked at now whether there is something to write, and whether its key is still good."""
        self._wake.set()

    def _wake_up(self) -> None:
        self._timer = None
        self._wake.set()

    def _drop_stranger(self) -> None:
        if self._session is None:
            self.end()

    def drop(self) -> None:
        """End the connection."""
        self._close()
        self.end()

    def end(self) -> None:
        """Stop; idempotent."""
        self._hub.leave(self)
        self._show_page(None)
        self._grace.cancel()
        self._task.cancel()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- what the client says ------------------------------------------------------------------------------

    @property
    def wants_lines(self) -> bool:
        """It is to be told of the conversation with the printer."""
        return self._session is not None and self._wishes.state and self._wishes.logs

    @property
    def is_stranger(self) -> bool:
        """It has shown no session."""
        return self._session is None

    def may_speak(self, size: int) -> bool:
        """Count a frame of so many bytes; who is a stranger and says too much is dropped."""
        if self._session is not None:
            return True
        self._words += 1
        self._letters += size
        if self._words <= MAX_WORDS and self._letters <= MAX_LETTERS:
            return True
        self.drop()
        return False

    def receive(self, text: str | bytes) -> None:
        """Take a message of the client; what makes no sense is ignored, as OctoPrint does."""
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            return
        if not isinstance(message, dict):
            return
        if isinstance(message.get("auth"), str):
            self._authenticate(message["auth"])
        throttle = message.get("throttle")
        if isinstance(throttle, int) and not isinstance(throttle, bool) and 1 <= throttle <= MAX_THROTTLE:
            self._interval = RATE * throttle
        if isinstance(message.get("subscribe"), dict):
            self._subscribe(message["subscribe"])

    def _authenticate(self, given: str) -> None:
        user, _, session_id = given.rpartition(":")
        self._session = self._access.find_session(session_id, user)
        if self._session is None:
            self.offer(_reauthenticate("stale"))
            return
        self._words = self._letters = 0
        if not self._known:
            self._known = True
            self._hub.on_known(self)
        if self._page is not None:
            self._hub.pages.join(self._page)
        self._new = True
        self._wake.set()

    def _subscribe(self, wanted: Mapping[str, Any]) -> None:
        """Take what the client wants to hear; a pattern for log lines counts as all: it could be made to hang."""
        state = wanted.get("state", False)
        self._wishes.state = bool(state)
        self._wishes.logs = state is True or (isinstance(state, dict) and bool(state.get("logs", False)))
        self._wishes.events = _names(wanted.get("events", False))
        self._wishes.plugins = _names(wanted.get("plugins", False))
        self._show_page(wanted.get("page", False))
        self.changed()

    def _show_page(self, wanted: object) -> None:
        """Begin to tell what the page shows, from the beginning; or no longer."""
        if self._page is not None:
            self._hub.pages.leave(self._page)
            self._page = None
        if wanted is True or isinstance(wanted, dict):
            console = isinstance(wanted, dict) and wanted.get("console") is True
            patient = isinstance(wanted, dict) and wanted.get("patient") is True
            program = isinstance(wanted, dict) and wanted.get("program") is True
            self._page = Feed(self._hub.pages, self.wake, console=console, patient=patient, program=program)
            if self._session is not None:
                self._hub.pages.join(self._page)

    # -- writing -------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Write what there is, until the client is gone or reads nothing any more."""
        try:
            with suppress(OSError, TimeoutError):
                while True:
                    await self._write()
        finally:
            self._close()
            self.end()

    async def _write(self) -> None:
        await self._wake.wait()
        self._wake.clear()
        messages = await self._take()
        if self._page is not None and self._session is not None:
            messages += self._page.take()
        if messages:
            async with asyncio.timeout(STALLED):  # Python 3.11's wait_for swallows a cancellation now and then
                await self._send(messages)

    async def _take(self) -> list[str]:
        """Return what is to be written now; what a client has no right to any more is dropped."""
        if self._session is not None:
            await self._access.refresh()
            self._check_session(self._session)
        waiting = [*self._waiting]
        self._waiting.clear()
        messages = [each if isinstance(each, str) else (await self._hub.look()).passed(each) for each in waiting]
        if self._session is None:
            return messages
        if self._new and self._page is not None and not self._wishes.state:
            self._new = False  # the page has a snapshot of its own
        elif self._new:
            messages += [await self._first(), self._hub.timelapse()]
        elif self._dirty and self._loop.time() >= self._due:
            messages += await self._current()
        elif self._dirty and self._timer is None:
            self._timer = self._loop.call_at(self._due, self._wake_up)
        return messages

    def _check_session(self, session: Session) -> None:
        """Take back what a session allowed when it has ended, or its key is gone."""
        if self._access.sessions.is_open(session) and self._access.still_valid(session.identity):
            return
        reason = "removed" if self._access.sessions.is_open(session) else "logout"
        self._session = None
        self._grace.cancel()
        self._grace = self._loop.call_later(STRANGER, self._drop_stranger)
        self._dirty = self._new = False
        self._waiting.clear()
        self._temperatures.clear()
        if self._page is not None:
            self._hub.pages.leave(self._page)
            self._page.begin_anew()
        self._waiting.append(_reauthenticate(reason))

    async def _first(self) -> str:
        self._new = False
        self._temperatures.clear()
        self._sent()
        look = await self._hub.look()
        self._statuses.begin(look.status)
        return look.first()

    async def _current(self) -> list[str]:
        self._sent()
        temperatures = [*self._temperatures]
        self._temperatures.clear()
        look = await self._hub.look()
        heard, self._heard = self._heard, look.said if self._wishes.logs else self._heard
        before, now = self._statuses.take(look.status)
        messages = [look.passed(moment) for moment in before]
        return [*messages, look.current(temperatures, heard if self._wishes.logs else None, now)]

    def _sent(self) -> None:
        self._dirty = False
        self._due = self._loop.time() + self._interval


def _reauthenticate(reason: str) -> str:
    return json.dumps({"reauthRequired": {"reason": reason}})


def _names(wanted: object) -> bool | frozenset[str]:
    """Return which events or plug-ins a client wants: all, none, or those that it names."""
    if isinstance(wanted, list):
        return frozenset(name for name in wanted if isinstance(name, str))
    return bool(wanted)
