"""Subscriber: one client of the push messages. A slow reader takes a limited amount of memory.

A task writes to the client. While it is busy, at most MAX_EVENTS messages wait. That the state has changed is only
noted: the client then gets the newest state, after the texts of the last states before it (`statuses`).
"""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from daemon.front.access.access import Access
from daemon.front.access.sessions import Session
from daemon.front.events import FrontEvent
from daemon.front.push.page import Feed
from daemon.front.push.statuses import Moment, Statuses
from gcode.frozen import mutable

if TYPE_CHECKING:
    from daemon.front.push.hub import Hub

STATE_INTERVAL = 0.5  # s between two messages about the state; a client can choose a multiple

MAX_THROTTLE = 3600  # the largest multiple
MAX_EVENTS = 256  # messages that wait for a slow reader
MAX_TEMPERATURES = 60  # temperature reports that wait for a slow reader

STALL_TIMEOUT = 60.0  # s after which a client that reads nothing is dropped
SESSION_TIMEOUT = 30.0  # s after which a client that has shown no session is dropped

MAX_ANONYMOUS_FRAMES = 8
MAX_ANONYMOUS_BYTES = 4096
"""The most that a client may send before it has shown a session: enough for a few `auth`."""

Send = Callable[[Sequence[str]], Awaitable[None]]

PRINT_ENDS = ("PrintDone", "PrintCancelled", "PrintFailed")
"""Events that are sent only after all waiting states. Some clients count prints by events and by states; they would
take a state that arrives after its event for another print."""


@mutable
class Subscription:
    """The messages that a client wants; by default all."""

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
        self._was_authenticated = False  # it has shown a session before
        self._anonymous_frames = self._anonymous_bytes = 0  # received without a session
        self._subscription = Subscription()
        self._interval = STATE_INTERVAL
        self._waiting: deque[str | Moment] = deque(maxlen=MAX_EVENTS)
        self._temperatures: deque[str] = deque(maxlen=MAX_TEMPERATURES)
        self._statuses = Statuses()
        self._line_count = hub.line_count
        self._needs_history = self._dirty = False
        self._page: Feed | None = None
        self._due = 0.0
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._task = asyncio.create_task(self._run())
        self._grace = self._loop.call_later(SESSION_TIMEOUT, self._drop_anonymous)

    # -- messages from the hub -----------------------------------------------------------------------------

    def offer(self, message: str) -> None:
        """Queue a message, as JSON; if too many wait, the oldest is dropped."""
        self._waiting.append(message)
        self._wake.set()

    def publish(self, event: FrontEvent, message: str) -> None:
        """Queue the message of an event, if this client has a session and wants the event."""
        subscribed = self._subscription.plugins if event.kind == "plugin" else self._subscription.events
        if event.kind == "message":  # sent to all
            subscribed = True
        if self._session is not None and (subscribed is True or (subscribed and event.name in subscribed)):
            if event.name in PRINT_ENDS and self._subscription.state:
                self._waiting.extend(self._statuses.drain())
            self.offer(message)

    def add_temperatures(self, report: str) -> None:
        """Store a report, as JSON, for the next message about the state."""
        if self._session is not None:
            self._temperatures.append(report)

    def add_moment(self, moment: Moment) -> None:
        """Queue a state; it is sent even if the next state comes before a message is due."""
        if self._session is not None:
            self._statuses.add(moment)

    def note_change(self) -> None:
        """Send the state when the next message is due: it has changed."""
        if self._session is None or not self._subscription.state or self._dirty:
            return
        self._dirty = True
        if self._loop.time() >= self._due:
            self._wake.set()
        elif self._timer is None:
            self._timer = self._loop.call_at(self._due, self._wake_up)

    def wake(self) -> None:
        """Check now whether there is something to write, and whether the key is still valid."""
        self._wake.set()

    def _wake_up(self) -> None:
        self._timer = None
        self._wake.set()

    def _drop_anonymous(self) -> None:
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

    # -- messages from the client --------------------------------------------------------------------------

    @property
    def wants_lines(self) -> bool:
        """Whether the client wants the lines exchanged with the printer."""
        return self._session is not None and self._subscription.state and self._subscription.logs

    @property
    def is_anonymous(self) -> bool:
        """Whether the client has no session."""
        return self._session is None

    def admits(self, size: int) -> bool:
        """Count a frame by its size in bytes; False: the client has sent too much without a session, and is dropped."""
        if self._session is not None:
            return True
        self._anonymous_frames += 1
        self._anonymous_bytes += size
        if self._anonymous_frames <= MAX_ANONYMOUS_FRAMES and self._anonymous_bytes <= MAX_ANONYMOUS_BYTES:
            return True
        self.drop()
        return False

    def receive(self, text: str | bytes) -> None:
        """Take a message from the client; like OctoPrint, ignore what is malformed."""
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
            self._interval = STATE_INTERVAL * throttle
        if isinstance(message.get("subscribe"), dict):
            self._subscribe(message["subscribe"])

    def _authenticate(self, auth: str) -> None:
        user, _, session_id = auth.rpartition(":")
        self._session = self._access.find_session(session_id, user)
        if self._session is None:
            self.offer(_reauthenticate("stale"))
            return
        self._anonymous_frames = self._anonymous_bytes = 0
        if not self._was_authenticated:
            self._was_authenticated = True
            self._hub.on_authenticated(self)
        if self._page is not None:
            self._hub.pages.join(self._page)
        self._needs_history = True
        self._wake.set()

    def _subscribe(self, fields: Mapping[str, Any]) -> None:
        """Set which messages the client wants. A regex for log lines counts as all of them: it could hang us."""
        state = fields.get("state", False)
        self._subscription.state = bool(state)
        self._subscription.logs = state is True or (isinstance(state, dict) and bool(state.get("logs", False)))
        self._subscription.events = _names(fields.get("events", False))
        self._subscription.plugins = _names(fields.get("plugins", False))
        self._show_page(fields.get("page", False))
        self.note_change()

    def _show_page(self, options: object) -> None:
        """Start or stop sending the page's snapshot."""
        if self._page is not None:
            self._hub.pages.leave(self._page)
            self._page = None
        if options is True or isinstance(options, dict):
            console = isinstance(options, dict) and options.get("console") is True
            patient = isinstance(options, dict) and options.get("patient") is True
            program = isinstance(options, dict) and options.get("program") is True
            self._page = Feed(self._hub.pages, self.wake, console=console, patient=patient, program=program)
            if self._session is not None:
                self._hub.pages.join(self._page)

    # -- writing -------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Write messages until the client disconnects or stalls."""
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
            async with asyncio.timeout(STALL_TIMEOUT):  # Python 3.11's wait_for may swallow a cancellation
                await self._send(messages)

    async def _take(self) -> list[str]:
        """Take the messages to write now; if the session has ended, drop them."""
        if self._session is not None:
            await self._access.refresh()
            self._check_session(self._session)
        waiting = [*self._waiting]
        self._waiting.clear()
        messages = [
            each if isinstance(each, str) else (await self._hub.snapshot()).message_of(each) for each in waiting
        ]
        if self._session is None:
            return messages
        if self._needs_history and self._page is not None and not self._subscription.state:
            self._needs_history = False  # the page gets a snapshot of its own
        elif self._needs_history:
            messages += [await self._first(), self._hub.timelapse()]
        elif self._dirty and self._loop.time() >= self._due:
            messages += await self._current()
        elif self._dirty and self._timer is None:
            self._timer = self._loop.call_at(self._due, self._wake_up)
        return messages

    def _check_session(self, session: Session) -> None:
        """Make the client anonymous again if its session has ended or its key was revoked."""
        if self._access.sessions.is_open(session) and self._access.is_still_valid(session.identity):
            return
        reason = "removed" if self._access.sessions.is_open(session) else "logout"
        self._session = None
        self._grace.cancel()
        self._grace = self._loop.call_later(SESSION_TIMEOUT, self._drop_anonymous)
        self._dirty = self._needs_history = False
        self._waiting.clear()
        self._temperatures.clear()
        if self._page is not None:
            self._hub.pages.leave(self._page)
            self._page.restart()
        self._waiting.append(_reauthenticate(reason))

    async def _first(self) -> str:
        self._needs_history = False
        self._temperatures.clear()
        self._restart_interval()
        snapshot = await self._hub.snapshot()
        self._statuses.begin(snapshot.status)
        return snapshot.first()

    async def _current(self) -> list[str]:
        self._restart_interval()
        temperatures = [*self._temperatures]
        self._temperatures.clear()
        snapshot = await self._hub.snapshot()
        count, self._line_count = self._line_count, snapshot.line_count if self._subscription.logs else self._line_count
        earlier, now = self._statuses.take(snapshot.status)
        messages = [snapshot.message_of(moment) for moment in earlier]
        return [*messages, snapshot.current(temperatures, count if self._subscription.logs else None, now)]

    def _restart_interval(self) -> None:
        self._dirty = False
        self._due = self._loop.time() + self._interval


def _reauthenticate(reason: str) -> str:
    return json.dumps({"reauthRequired": {"reason": reason}})


def _names(value: object) -> bool | frozenset[str]:
    """Return the events or plug-ins that a client wants: all, none, or the named ones."""
    if isinstance(value, list):
        return frozenset(name for name in value if isinstance(name, str))
    return bool(value)
