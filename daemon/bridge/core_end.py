"""CoreEnd: the core's end of the bridge. Whatever the front does, the wire must not notice.

The time that a front may cost is limited per turn of the loop, and as a share of all time. While a front does not read,
nothing is written to it: events are dropped and counted, and questions wait. A front that does not catch up within
READ_TIMEOUT seconds, or sends what cannot be decoded, is cut off; it may connect again.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import msgspec
import structlog

from daemon.bridge.allowance import Allowance, await_charged
from daemon.bridge.desk import MAX_OPEN, AnyDesk, answer, refusal
from daemon.bridge.events import JobChanged, SafetyBroken, event_message
from daemon.bridge.frames import MAX_QUESTION, Frames, frame
from daemon.bridge.messages import FromFront, Hello, QuestionMessage, SnapshotMessage, decode_known, encode
from daemon.errors import TooLate
from daemon.log import LEVELS, Limiter
from daemon.set_aside import make_way
from hal.printer import Event, Severity, StateChanged

MAX_QUESTIONS = 16
MAX_TURN_S = 0.001
"""Limits per turn of the loop, in questions and in s; `allowance` limits the share of all time."""

WAKE_COST_S = 0.0001  # s charged for waking up and reading, in addition to the answers
THREAD_COST_S = 0.0005  # s charged for a question on which a thread works
CONNECT_COST_S = 0.002  # s charged for a new front

MAX_UNREAD = 512 * 1024  # bytes that the front has not read; if there are more, snapshots wait and events are dropped
READ_TIMEOUT = 5.0  # s after which a front that has not caught up is cut off
SNAPSHOT_INTERVAL = 0.05  # s between two snapshots without an event
PRINT_INTERVAL = 0.5  # s between two snapshots during a print
MAX_EVENTS = 50.0  # events per second, of the kinds with which a printer can flood the bridge
MAX_VERSION = 40  # characters of a version in the log
BACKLOG = 4  # fronts that wait to be accepted
ACCEPT_RETRY_DELAY = 1.0  # s for which no front is accepted when the process is out of descriptors

_RARE = (JobChanged, SafetyBroken, StateChanged)  # not counted in MAX_EVENTS

log = structlog.get_logger()


class CoreEnd:
    """Listens for fronts, and serves one at a time. A new front replaces the present one, which may be hanging."""

    def __init__(self, desk: AnyDesk, on_hello: Callable[[], None] = lambda: None) -> None:
        """Prepare.

        Args:
            desk: answers questions and gives snapshots.
            on_hello: called at each sign of life from a front.
        """
        self.desk = desk
        self.on_hello = on_hello
        self.allowance = Allowance()
        self.open_questions: set[asyncio.Task[None]] = set()  # questions that are being answered
        self._serve_tasks: set[asyncio.Task[None]] = set()  # fronts that have been accepted and are not served yet
        self._loop = asyncio.get_running_loop()
        self._log_limit = Limiter()
        self._listener: socket.socket | None = None
        self._path: Path | None = None
        self._resume_timer: asyncio.TimerHandle | None = None  # until fronts are accepted again
        self._front: _FrontConnection | None = None

    async def listen(self, path: Path) -> None:
        """Listen at a socket that only this user may open, in place of the previous socket. Blocks for a moment.

        Raises:
            OSError: the socket cannot be made.
        """
        try:
            path.unlink(missing_ok=True)  # noqa: ASYNC240 - a tmpfs
        except OSError:
            make_way(path, "a new socket is made there")
        listener = socket.socket(socket.AF_UNIX)
        old_mask = os.umask(0o177)
        try:
            listener.setblocking(False)  # noqa: FBT003 - the standard library's own signature
            listener.bind(str(path))
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
        finally:
            os.umask(old_mask)
        self._stop_listening()
        self._listener, self._path = listener, path
        self._loop.add_reader(listener, self._accept)

    def _stop_listening(self) -> None:
        if self._resume_timer is not None:
            self._resume_timer.cancel()
            self._resume_timer = None
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    async def serve(self, sock: socket.socket) -> None:
        """Serve the front at the other end of a connected socket."""
        await self._loop.create_connection(self._new_front, sock=sock)

    def close(self) -> None:
        """Hang up."""
        self._stop_listening()
        if self._path is not None:
            with suppress(OSError):  # something else is there by now
                self._path.unlink()
        if self._front is not None:
            self._front.cut_off()

    # -- accepting -----------------------------------------------------------------------------------------

    def _accept(self) -> None:
        """Accept a front. The next one has to wait until the allowance permits, so reconnecting costs no more time."""
        listener = cast("socket.socket", self._listener)
        try:
            accepted, _ = listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            self.say("error", "bridge.no_room", reason=error.strerror or str(error))
            self._pause_accepting(ACCEPT_RETRY_DELAY)
            return
        accepted.setblocking(False)  # noqa: FBT003 - as above
        if wait := self.allowance.spend(CONNECT_COST_S, self._loop.time()):
            self._pause_accepting(wait)
        if (user := user_of(accepted)) not in (os.geteuid(), 0):
            reason = f"the process at the other end belongs to user {user}"
            self.say("warning", "bridge.refused", reason=reason)
            accepted.close()
            return
        task = self._loop.create_task(self.serve(accepted))
        self._serve_tasks.add(task)
        task.add_done_callback(self._serve_tasks.discard)

    def _pause_accepting(self, seconds: float) -> None:
        self._loop.remove_reader(cast("socket.socket", self._listener))
        self._resume_timer = self._loop.call_later(seconds, self._accept_again)

    def _accept_again(self) -> None:
        self._loop.add_reader(cast("socket.socket", self._listener), self._accept)

    def _new_front(self) -> "_FrontConnection":
        if self._front is not None:
            self._front.cut_off()
        self._front = _FrontConnection(self)
        return self._front

    def say(self, severity: Severity, event: str, **more: Any) -> None:
        """Log something that a front can cause at will; if it does so too often, the rest is dropped."""
        if self._log_limit.admits(self._loop.time()):
            log.log(LEVELS[severity], event, **more)

    def on_bug(self, error: Exception) -> None:
        """Log an error of our own."""
        self.say("error", "bridge.question_failed", exc_info=error)


def user_of(sock: socket.socket) -> int:
    """Return the user id of the process at the other end, from the kernel (unix(7), SO_PEERCRED)."""
    size = struct.calcsize("3i")
    _, user, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(user)


class _FrontConnection(asyncio.Protocol):
    """The connection to one front."""

    def __init__(self, end: CoreEnd) -> None:
        self._end = end
        self._desk = end.desk
        self._loop = asyncio.get_running_loop()
        self._frames = Frames(MAX_QUESTION)
        self._transport: asyncio.Transport | None = None
        self._unsubscribe: Callable[[], None] = lambda: None
        self._work_timer: asyncio.TimerHandle | None = None  # until questions are answered again, within the limits
        self._snapshot_timer: asyncio.TimerHandle | None = None  # until the next snapshot
        self._cut_off_timer: asyncio.TimerHandle | None = None  # runs while the front does not read
        self._waiting_answers: list[bytes] = []  # they wait for the front to read
        self._has_said_hello = False
        self._sent_at = -SNAPSHOT_INTERVAL
        self._dropped = 0
        self._credit, self._credited_at = MAX_EVENTS, self._loop.time()  # how many events may be sent, and as of when

    # -- connecting ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first snapshot."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=MAX_UNREAD)
        self._unsubscribe = self._desk.subscribe(self._on_event)
        self._send_snapshot()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the front; questions that are being answered are carried out nevertheless."""
        del exc
        if self._transport is None:
            return
        self._transport = None
        self._unsubscribe()
        for timer in (self._work_timer, self._snapshot_timer, self._cut_off_timer):
            if timer is not None:
                timer.cancel()
        self._end.say("info", "bridge.lost")

    def cut_off(self, reason: str = "") -> None:
        """Hang up at once."""
        if reason:
            self._end.say("warning", "bridge.cut_off", reason=reason)
        if self._transport is not None:
            self._transport.abort()

    # -- questions -----------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take questions."""
        self._frames.add(data)
        if self._work_timer is None:
            self._answer_questions(has_read=True)

    def _answer_questions(self, *, has_read: bool = False) -> None:
        """Answer the questions that have been received, within the limits per turn and of all time."""
        self._work_timer = None
        transport, began = self._transport, self._loop.time()
        if transport is None or transport.is_closing():
            return
        if self._cut_off_timer is not None:
            transport.pause_reading()  # no answers for a front that does not read; `resume_writing` continues
            return
        answers: list[bytes] = []
        try:
            count, more = self._take_some(answers, began + MAX_TURN_S)
        except (msgspec.DecodeError, ValueError) as error:
            self.cut_off(f"the front's message cannot be decoded: {error}")
            return
        if answers:
            self._send_snapshot(*answers)  # the snapshot first, so a client that has its answer sees the effect
        now = self._loop.time()
        # a turn that neither read nor answered is free: otherwise a front in debt would never be read again
        wait = self._end.allowance.spend(now - began + WAKE_COST_S, now) if count or has_read else 0.0
        if more or wait:
            transport.pause_reading()
            self._work_timer = self._loop.call_later(wait, self._answer_questions)
        else:
            transport.resume_reading()

    def _take_some(self, answers: list[bytes], end: float) -> tuple[int, bool]:
        """Take as many messages as this turn allows; return their number, and whether there may be more.

        Raises:
            ValueError, msgspec.DecodeError: a message cannot be decoded.
        """
        count = 0
        while count < MAX_QUESTIONS:
            message = self._frames.next()
            if message is None:
                return count, False
            count += 1
            if (reply := self._take(message)) is not None:
                answers.append(reply)
            if self._loop.time() >= end:
                break
        return count, True

    def _take(self, message: bytes) -> bytes | None:
        """Take a message; return the answer, None: it comes later, or the message was not a question."""
        question: QuestionMessage | Hello | None = decode_known(message, FromFront)
        if isinstance(question, Hello):
            self._on_hello(question)
        if not isinstance(question, QuestionMessage):
            return None
        if question.before is not None and self._loop.time() > question.before:
            return refusal(question, TooLate("the request waited too long for the core, so nothing was done"))
        questions = self._end.open_questions
        # a disk that hangs fills the list; stop, cancel and pause need no disk, and are answered nevertheless
        answering = answer(self._desk, question, self._end.on_bug, may_wait=len(questions) < MAX_OPEN)
        if isinstance(answering, bytes):
            return answering
        self._end.allowance.spend(THREAD_COST_S, self._loop.time())
        task = self._loop.create_task(self._answer_later(answering))
        questions.add(task)
        task.add_done_callback(questions.discard)
        return None

    def _on_hello(self, hello: Hello) -> None:
        if not self._has_said_hello:
            self._has_said_hello = True
            self._end.say("info", "bridge.connected", front=hello.version[:MAX_VERSION])
        self._end.on_hello()

    def _spend(self, seconds: float) -> float:
        return self._end.allowance.spend(seconds, self._loop.time())

    async def _answer_later(self, answering: Awaitable[bytes]) -> None:
        reply = await await_charged(answering, self._spend)
        if self._cut_off_timer is not None:
            self._waiting_answers.append(reply)  # at most MAX_OPEN
        else:
            self._send_snapshot(reply)

    # -- snapshots and events ------------------------------------------------------------------------------

    def _on_event(self, event: Event | None) -> None:
        """Pass an event on; if a bug makes this fail, only the connection to the front is lost."""
        try:
            self._pass_on(event)
        except Exception as error:  # noqa: BLE001 - events come from the code that serves the wire
            self._end.on_bug(error)
            self.cut_off("an event could not be encoded")

    def _pass_on(self, event: Event | None) -> None:
        message = event_message(event, self._dropped) if event is not None else None
        if message is None:
            self._send_soon()
        elif self._cut_off_timer is not None or not (isinstance(event, _RARE) or self._admits_event()):
            self._dropped += 1
            self._send_soon()
        else:
            self._dropped = 0
            self._send_snapshot(encode(message))

    def _admits_event(self) -> bool:
        """Count an event; tell whether it is within MAX_EVENTS per second."""
        now = self._loop.time()
        self._credit = min(MAX_EVENTS, self._credit + (now - self._credited_at) * MAX_EVENTS)
        self._credited_at = now
        if self._credit < 1:
            return False
        self._credit -= 1
        return True

    def _send_soon(self) -> None:
        if self._snapshot_timer is None and self._transport is not None:
            self._snapshot_timer = self._loop.call_at(
                max(self._sent_at + SNAPSHOT_INTERVAL, self._loop.time()), self._send_due_snapshot
            )

    def _send_due_snapshot(self) -> None:
        self._snapshot_timer = None
        self._send_snapshot()

    def _send_snapshot(self, *messages: bytes) -> None:
        """Send a snapshot and then these messages, unless the front does not read."""
        if self._transport is None or self._transport.is_closing() or self._cut_off_timer is not None:
            return  # `resume_writing` sends them
        self._sent_at = self._loop.time()
        if self._snapshot_timer is not None:
            self._snapshot_timer.cancel()
            self._snapshot_timer = None
        try:
            snapshot = encode(SnapshotMessage(snapshot=self._desk.snapshot()))
        except Exception as error:  # noqa: BLE001 - as in `_on_event`
            self._end.on_bug(error)
            self.cut_off("the snapshot could not be encoded")
            return
        self._transport.write(b"".join(map(frame, (snapshot, *messages))))
        if self._desk.printing:
            self._snapshot_timer = self._loop.call_later(PRINT_INTERVAL, self._send_due_snapshot)

    def pause_writing(self) -> None:
        """Write no more until the front has read; after READ_TIMEOUT seconds cut it off."""
        self._cut_off_timer = self._loop.call_later(READ_TIMEOUT, self.cut_off, "the front does not read")

    def resume_writing(self) -> None:
        """Send what the front has missed, and begin to answer again."""
        if self._cut_off_timer is not None:
            self._cut_off_timer.cancel()
            self._cut_off_timer = None
        answers, self._waiting_answers = self._waiting_answers, []
        self._send_snapshot(*answers)
        if self._work_timer is None:
            self._answer_questions()


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected sockets, one for each end."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    return ours, theirs
