"""CoreEnd: the core's end of the bridge. It trusts nobody: whatever the front does, the wire does not notice.

What a front may cost is capped per turn of the loop, in questions and in time; what it does not read is not written
but counted; one that reads nothing at all, or says what makes no sense, is cut off and may come back.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import msgspec
import structlog

from daemon.bridge.desk import Desk, answer
from daemon.bridge.frames import Frames, frame
from daemon.bridge.happenings import JobChanged, SafetyBroken, happened
from daemon.bridge.messages import Asked, FromFront, Hello, Refused, Seen, decode, encode
from gcode.errors import QueueFull
from hal.printer import Event, StateChanged

MOST_QUESTIONS = 16
MOST_TIME = 0.001
REST = 0.01
"""What is answered in one turn of the loop, in questions and in s; and for how long nothing more is read then."""

MOST_OPEN = 32  # questions whose answers take longer
MOST_UNREAD = 512 * 1024  # bytes that the front has not read: beyond, snapshots and happenings wait or are dropped
STALLED = 5.0  # s for which it may read nothing then
EVERY = 0.05  # s between two snapshots without a happening
TICK = 0.25  # s between two snapshots of a print that goes on
HAPPENINGS = 50.0  # in a second, of those that a printer may make too many of

_RARE = (JobChanged, SafetyBroken, StateChanged)  # always told

log = structlog.get_logger()


class CoreEnd:
    """Waits for fronts, and serves one at a time: one that comes anew takes the place of one that may hang."""

    def __init__(self, desk: Desk, on_hello: Callable[[], None] = lambda: None) -> None:
        """Prepare.

        Args:
            desk: tells and does.
            on_hello: is called when a front has said its first words.
        """
        self._desk = desk
        self._on_hello = on_hello
        self._server: asyncio.Server | None = None
        self._front: _Conversation | None = None

    async def listen(self, path: Path) -> None:
        """Wait for fronts at a socket for this user alone; blocks for a moment. Raises OSError."""
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - a tmpfs
        before = os.umask(0o177)
        try:
            self._server = await asyncio.get_running_loop().create_unix_server(self._meet_stranger, str(path))
        finally:
            os.umask(before)

    async def serve(self, connected: socket.socket) -> None:
        """Serve the front at the other end of a pair of sockets."""
        await asyncio.get_running_loop().create_connection(self._meet, sock=connected)

    def close(self) -> None:
        """Hang up."""
        if self._server is not None:
            self._server.close()
        if self._front is not None:
            self._front.cut_off()

    def _meet(self) -> "_Conversation":
        if self._front is not None:
            self._front.cut_off()
        self._front = _Conversation(self._desk, self._on_hello)
        return self._front

    def _meet_stranger(self) -> asyncio.Protocol:
        return _Stranger(self._meet)


def user_of(connected: socket.socket) -> int:
    """Return the user id of the process at the other end, as the kernel knows it (unix(7), SO_PEERCRED)."""
    size = struct.calcsize("3i")
    _, user, _ = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(user)


class _Stranger(asyncio.Protocol):
    """Whoever connects to the socket, until its user is known."""

    def __init__(self, meet: Callable[[], "_Conversation"]) -> None:
        self._meet = meet

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let in who is this user, or root."""
        if (user := user_of(transport.get_extra_info("socket"))) not in (os.geteuid(), 0):
            log.warning("bridge.refused", reason=f"the process at the other end belongs to user {user}, not to ours")
            transport.close()
            return
        front = self._meet()
        cast("asyncio.Transport", transport).set_protocol(front)
        front.connection_made(transport)


class _Conversation(asyncio.Protocol):
    """One front, from its first to its last word."""

    def __init__(self, desk: Desk, on_hello: Callable[[], None]) -> None:
        self._desk = desk
        self._on_hello = on_hello
        self._loop = asyncio.get_running_loop()
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._forget: Callable[[], None] = lambda: None
        self._open: set[asyncio.Task[None]] = set()
        self._resting: asyncio.TimerHandle | None = None
        self._due: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._told_at = -EVERY
        self._dropped = 0
        self._credit, self._credited_at = HAPPENINGS, self._loop.time()

    # -- coming and going ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Tell what is."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=MOST_UNREAD)
        self._forget = self._desk.subscribe(self._on_event)
        self._tell_snapshot()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it; what it has asked for and takes longer goes on."""
        del exc
        if self._transport is None:
            return
        self._transport = None
        self._forget()
        for timer in (self._resting, self._due, self._stalled):
            if timer is not None:
                timer.cancel()
        log.info("bridge.lost")

    def cut_off(self, reason: str = "") -> None:
        """Hang up at once."""
        if reason:
            log.warning("bridge.cut_off", reason=reason)
        if self._transport is not None:
            self._transport.abort()

    # -- what it asks --------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take questions."""
        self._frames.add(data)
        if self._resting is None:
            self._work()

    def _work(self) -> None:
        """Answer what has come, as far as a turn of the loop allows."""
        self._resting = None
        began, questions = self._loop.time(), 0
        try:
            while self._transport is not None and (message := self._frames.next()) is not None:
                self._take(message)
                questions += 1
                if questions >= MOST_QUESTIONS or self._loop.time() - began >= MOST_TIME:
                    self._rest(self._transport)
                    return
        except (msgspec.MsgspecError, ValueError) as error:
            self.cut_off(f"the front says what makes no sense: {error}")
            return
        if self._transport is not None:
            self._transport.resume_reading()

    def _rest(self, transport: asyncio.Transport) -> None:
        transport.pause_reading()
        self._resting = self._loop.call_later(REST, self._work)

    def _take(self, message: bytes) -> None:
        said: Asked | Hello = decode(message, FromFront)
        if isinstance(said, Hello):
            log.info("bridge.connected", front=said.version)
            self._on_hello()
            return
        if len(self._open) >= MOST_OPEN:
            full = QueueFull(f"{MOST_OPEN} requests of the front are not done yet; try again later")
            self._write(encode(Refused(id=said.id, error=type(full).__name__, text=str(full))))
            return
        answering = answer(self._desk, said)
        if isinstance(answering, bytes):
            self._tell_snapshot()  # first: whoever has the answer sees what came of it
            self._write(answering)
        else:
            task = self._loop.create_task(self._answer_later(answering))
            self._open.add(task)
            task.add_done_callback(self._open.discard)

    async def _answer_later(self, answering: Awaitable[bytes]) -> None:
        reply = await answering
        self._tell_snapshot()
        self._write(reply)

    # -- what it is told -----------------------------------------------------------------------------------

    def _on_event(self, event: Event | None) -> None:
        message = happened(event, self._dropped) if event is not None else None
        if message is None:
            self._tell_soon()
        elif not self._has_room() or not (isinstance(event, _RARE) or self._affords()):
            self._dropped += 1
            self._tell_soon()
        else:
            self._dropped = 0
            self._tell_snapshot()
            self._write(encode(message))

    def _affords(self) -> bool:
        """Count an event against what a printer may say in a second."""
        now = self._loop.time()
        self._credit = min(HAPPENINGS, self._credit + (now - self._credited_at) * HAPPENINGS)
        self._credited_at = now
        if self._credit < 1:
            return False
        self._credit -= 1
        return True

    def _tell_soon(self) -> None:
        if self._due is None and self._transport is not None:
            self._due = self._loop.call_at(max(self._told_at + EVERY, self._loop.time()), self._tell_due)

    def _tell_due(self) -> None:
        self._due = None
        self._tell_snapshot()

    def _tell_snapshot(self) -> None:
        if self._transport is None or not self._has_room():
            return  # `resume_writing` tells it then
        self._told_at = self._loop.time()
        if self._due is not None:
            self._due.cancel()
            self._due = None
        self._write(encode(Seen(snapshot=self._desk.snapshot())))
        if self._desk.goes_on:
            self._due = self._loop.call_later(TICK, self._tell_due)

    def _has_room(self) -> bool:
        return self._stalled is None

    def _write(self, message: bytes) -> None:
        if self._transport is not None:
            self._transport.write(frame(message))

    def pause_writing(self) -> None:
        """Tell nothing more until the front has read what there is; not for ever."""
        self._stalled = self._loop.call_later(STALLED, self.cut_off, "the front does not read what it is told")

    def resume_writing(self) -> None:
        """Tell what it has missed."""
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        self._tell_snapshot()


def pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected sockets, one for each end."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    return ours, theirs
