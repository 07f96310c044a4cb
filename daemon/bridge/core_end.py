"""CoreEnd: the core's end of the bridge. It trusts nobody: whatever the front does, the wire does not notice.

What a front may cost is capped: per turn of the loop, and as a share of all time. What it does not read is not written
but counted, and it gets no answers meanwhile; one that reads nothing at all, or says what makes no sense, is cut off
and may come back.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import structlog

from daemon.bridge.allowance import Allowance, counted
from daemon.bridge.desk import AnyDesk, answer, refused
from daemon.bridge.events import JobChanged, SafetyBroken, event_message
from daemon.bridge.frames import MAX_QUESTION, Frames, frame
from daemon.bridge.messages import FromFront, Hello, QuestionMessage, SnapshotMessage, decode_known, encode
from daemon.errors import TooLate
from daemon.log import LEVELS, Limiter
from daemon.set_aside import make_way
from gcode.errors import QueueFull
from hal.printer import Event, LogLevel, StateChanged

MOST_QUESTIONS = 16
MOST_TIME = 0.001
"""What is answered in one turn of the loop, in questions and in s; `allowance` has the share of all time."""

AROUND = 0.0001  # s that it costs to wake up and to read, besides the answers
SLOW = 0.0005  # s that a question costs which somebody else works on: threads are no gift either
BESIDE = 0.002  # s that a new conversation costs

MOST_OPEN = 32  # questions whose answers take longer, of all fronts together
MOST_UNREAD = 512 * 1024  # bytes that the front has not read: beyond, snapshots and events wait or are dropped
STALLED = 5.0  # s for which it may read nothing then
EVERY = 0.05  # s between two snapshots without an event
TICK = 0.5  # s between two snapshots of a print that goes on
MOST_EVENTS = 50.0  # in a second, of those that a printer may make too many of
MOST_VERSION = 40  # characters of a version in the log
BACKLOG = 4  # fronts that wait to be let in
CROWDED = 1.0  # s for which nobody is let in where there are no descriptors left

_RARE = (JobChanged, SafetyBroken, StateChanged)  # always told

log = structlog.get_logger()


class CoreEnd:
    """Waits for fronts, and serves one at a time: one that comes anew takes the place of one that may hang."""

    def __init__(self, desk: AnyDesk, on_hello: Callable[[], None] = lambda: None) -> None:
        """Prepare.

        Args:
            desk: tells and does.
            on_hello: is called when a front says that it works.
        """
        self.desk = desk
        self.on_hello = on_hello
        self.allowance = Allowance()
        self.open: set[asyncio.Task[None]] = set()  # questions whose answers take longer
        self._loop = asyncio.get_running_loop()
        self._saying = Limiter()
        self._door: socket.socket | None = None
        self._path: Path | None = None
        self._opening: asyncio.TimerHandle | None = None
        self._front: _FrontConnection | None = None

    async def listen(self, path: Path) -> None:
        """Wait for fronts at a socket for this user alone, and no longer at one before; blocks for a moment.

        Raises:
            OSError: there can be no socket.
        """
        try:
            path.unlink(missing_ok=True)  # noqa: ASYNC240 - a tmpfs
        except OSError:
            make_way(path, "fronts are waited for anew")
        door = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)
        try:
            door.setblocking(False)  # noqa: FBT003 - the standard library's own signature
            door.bind(str(path))
            door.listen(BACKLOG)
        except OSError:
            door.close()
            raise
        finally:
            os.umask(before)
        self._shut()
        self._door, self._path = door, path
        self._loop.add_reader(door, self._on_visitor)

    def _shut(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None
        if self._door is not None:
            self._loop.remove_reader(self._door)
            self._door.close()
            self._door = None

    async def serve(self, connected: socket.socket) -> None:
        """Serve the front at the other end of a pair of sockets."""
        await self._loop.create_connection(self._meet, sock=connected)

    def close(self) -> None:
        """Hang up."""
        self._shut()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        if self._front is not None:
            self._front.cut_off()

    # -- the door ------------------------------------------------------------------------------------------

    def _on_visitor(self) -> None:
        """Let one in, and the next one when that is paid for: who comes again and again costs no more."""
        door = cast("socket.socket", self._door)
        try:
            visitor, _ = door.accept()
        except BlockingIOError:
            return
        except OSError as error:
            self.say("error", "bridge.no_room", reason=error.strerror or str(error))
            self._shut_for(CROWDED)
            return
        visitor.setblocking(False)  # noqa: FBT003 - as above
        if wait := self.allowance.spend(BESIDE, self._loop.time()):
            self._shut_for(wait)
        if (user := user_of(visitor)) not in (os.geteuid(), 0):
            reason = f"the process at the other end belongs to user {user}, not to ours"
            self.say("warning", "bridge.refused", reason=reason)
            visitor.close()
            return
        task = self._loop.create_task(self.serve(visitor))
        self.open.add(task)
        task.add_done_callback(self.open.discard)

    def _shut_for(self, seconds: float) -> None:
        self._loop.remove_reader(cast("socket.socket", self._door))
        self._opening = self._loop.call_later(seconds, self._open_door)

    def _open_door(self) -> None:
        self._loop.add_reader(cast("socket.socket", self._door), self._on_visitor)

    def _meet(self) -> "_FrontConnection":
        if self._front is not None:
            self._front.cut_off()
        self._front = _FrontConnection(self)
        return self._front

    def say(self, level: LogLevel, event: str, **more: Any) -> None:
        """Log something that a front may have happen as often as it likes."""
        if self._saying.admits(self._loop.time()):
            log.log(LEVELS[level], event, **more)

    def on_bug(self, error: Exception) -> None:
        """Log what should not have happened."""
        self.say("error", "bridge.question_failed", exc_info=error)


def user_of(connected: socket.socket) -> int:
    """Return the user id of the process at the other end, as the kernel knows it (unix(7), SO_PEERCRED)."""
    size = struct.calcsize("3i")
    _, user, _ = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(user)


class _FrontConnection(asyncio.Protocol):
    """One front, from its first to its last word."""

    def __init__(self, end: CoreEnd) -> None:
        self._end = end
        self._desk = end.desk
        self._loop = asyncio.get_running_loop()
        self._frames = Frames(MAX_QUESTION)
        self._transport: asyncio.Transport | None = None
        self._forget: Callable[[], None] = lambda: None
        self._resting: asyncio.TimerHandle | None = None
        self._due: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._held: list[bytes] = []  # answers that came while it did not read
        self._works = False
        self._told_at = -EVERY
        self._dropped = 0
        self._credit, self._credited_at = MOST_EVENTS, self._loop.time()

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
        self._end.say("info", "bridge.lost")

    def cut_off(self, reason: str = "") -> None:
        """Hang up at once."""
        if reason:
            self._end.say("warning", "bridge.cut_off", reason=reason)
        if self._transport is not None:
            self._transport.abort()

    # -- what it asks --------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take questions."""
        self._frames.add(data)
        if self._resting is None:
            self._work()

    def _work(self) -> None:
        """Answer what has come, as far as a turn of the loop and the share of its time allow."""
        self._resting = None
        transport, began = self._transport, self._loop.time()
        if transport is None or transport.is_closing():
            return
        if self._stalled is not None:
            transport.pause_reading()  # who does not read its answers gets none; `resume_writing` goes on
            return
        answers: list[bytes] = []
        try:
            taken, more = self._take_some(answers, began + MOST_TIME)
        except (msgspec.DecodeError, ValueError) as error:
            self.cut_off(f"the front says what makes no sense: {error}")
            return
        if answers:
            self._tell_snapshot(*answers)  # it comes first: whoever has the answer sees what came of it
        now = self._loop.time()
        # a look that has found nothing costs nothing: else who is in debt would never be read again
        wait = self._end.allowance.spend(now - began + AROUND, now) if taken else 0.0
        if more or wait:
            transport.pause_reading()
            self._resting = self._loop.call_later(wait, self._work)
        else:
            transport.resume_reading()

    def _take_some(self, answers: list[bytes], end: float) -> tuple[int, bool]:
        """Take what this turn allows; return how many that were, and whether there may be more.

        Raises:
            ValueError, msgspec.DecodeError: it makes no sense.
        """
        taken = 0
        while taken < MOST_QUESTIONS:
            message = self._frames.next()
            if message is None:
                return taken, False
            taken += 1
            if (reply := self._take(message)) is not None:
                answers.append(reply)
            if self._loop.time() >= end:
                break
        return taken, True

    def _take(self, message: bytes) -> bytes | None:
        """Take a message; return the answer, unless that takes longer or is not due."""
        said: QuestionMessage | Hello | None = decode_known(message, FromFront)
        if isinstance(said, Hello):
            self._on_hello(said)
        if not isinstance(said, QuestionMessage):
            return None
        open_ = self._end.open
        if len(open_) >= MOST_OPEN:
            return refused(said, QueueFull(f"{MOST_OPEN} requests of the front are not done yet; try again later"))
        if said.before is not None and self._loop.time() > said.before:
            return refused(said, TooLate("the core was held up; whoever asked waits no longer, so nothing was done"))
        answering = answer(self._desk, said, self._end.on_bug)
        if isinstance(answering, bytes):
            return answering
        self._end.allowance.spend(SLOW, self._loop.time())
        task = self._loop.create_task(self._answer_later(answering))
        open_.add(task)
        task.add_done_callback(open_.discard)
        return None

    def _on_hello(self, hello: Hello) -> None:
        if not self._works:
            self._works = True
            self._end.say("info", "bridge.connected", front=hello.version[:MOST_VERSION])
        self._end.on_hello()

    def _spend(self, seconds: float) -> float:
        return self._end.allowance.spend(seconds, self._loop.time())

    async def _answer_later(self, answering: Awaitable[bytes]) -> None:
        reply = await counted(answering, self._spend)
        if self._stalled is not None:
            self._held.append(reply)  # as many as may be open, at most
        else:
            self._tell_snapshot(reply)

    # -- what it is told -----------------------------------------------------------------------------------

    def _on_event(self, event: Event | None) -> None:
        """Pass on what happens; a mistake of ours here costs the front its line, and nothing else."""
        try:
            self._pass_on(event)
        except Exception as error:  # noqa: BLE001 - whoever tells of an event is in the middle of serving the wire
            self._end.on_bug(error)
            self.cut_off("what happens cannot be told")

    def _pass_on(self, event: Event | None) -> None:
        message = event_message(event, self._dropped) if event is not None else None
        if message is None:
            self._tell_soon()
        elif self._stalled is not None or not (isinstance(event, _RARE) or self._affords()):
            self._dropped += 1
            self._tell_soon()
        else:
            self._dropped = 0
            self._tell_snapshot(encode(message))

    def _affords(self) -> bool:
        """Count an event against what a printer may say in a second."""
        now = self._loop.time()
        self._credit = min(MOST_EVENTS, self._credit + (now - self._credited_at) * MOST_EVENTS)
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

    def _tell_snapshot(self, *behind: bytes) -> None:
        """Tell all that is known, and then these messages; not to one that does not read."""
        if self._transport is None or self._transport.is_closing() or self._stalled is not None:
            return  # `resume_writing` tells it then
        self._told_at = self._loop.time()
        if self._due is not None:
            self._due.cancel()
            self._due = None
        try:
            seen = encode(SnapshotMessage(snapshot=self._desk.snapshot()))
        except Exception as error:  # noqa: BLE001 - as in `_on_event`
            self._end.on_bug(error)
            self.cut_off("what is known cannot be told")
            return
        self._transport.write(b"".join(map(frame, (seen, *behind))))
        if self._desk.printing:
            self._due = self._loop.call_later(TICK, self._tell_due)

    def pause_writing(self) -> None:
        """Tell nothing more until the front has read what there is; not for ever."""
        self._stalled = self._loop.call_later(STALLED, self.cut_off, "the front does not read what it is told")

    def resume_writing(self) -> None:
        """Tell what it has missed, and go on answering."""
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        held, self._held = self._held, []
        self._tell_snapshot(*held)
        if self._resting is None:
            self._work()


def pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected sockets, one for each end."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    return ours, theirs
