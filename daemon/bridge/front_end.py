"""FrontEnd: the front's end of the bridge. It can reconnect by itself. Meanwhile the last snapshot counts for 5 s."""

import asyncio
import socket
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any, cast

import msgspec
import structlog

from daemon import __version__
from daemon.bridge.desk import Listener
from daemon.bridge.events import event_of
from daemon.bridge.frames import Frames, frame
from daemon.bridge.messages import AnswerMessage, EventMessage, Hello, RefusalMessage, SnapshotMessage, encode
from daemon.bridge.other_version import answer_of, decode_from_core
from daemon.bridge.questions import Question, encode_question
from daemon.bridge.snapshot import PrinterSummary, Snapshot
from daemon.errors import CoreAway
from gcode.errors import NozzledError
from hal.printer import Event

ANSWER_TIMEOUT = 30.0  # s for an answer; to disconnect takes 3 s, as the heaters are turned off first
patience_of_client: ContextVar[float | None] = ContextVar("patience_of_client", default=None)
"""Seconds for which the client of the present request waits for its answer; None: unknown."""

CORE_RETURN_TIMEOUT = 5.0  # s for which the last snapshot of a lost core is shown; a restart takes half a second
RETRY_INTERVAL = 0.05  # s between two tries to reach the core
LATE_RETRY_INTERVAL = 0.5  # s between two tries after CORE_RETURN_TIMEOUT
MAX_UNREAD = 4 * 1024 * 1024  # bytes that the core has not read; if there are more, it only gets emergency stops
HEARTBEAT_INTERVAL = 1.0  # s between two signs of life
CORE_AWAY_TEXT = "the process that controls the printer (nozzled core) is not running; waiting for it"
CORE_HANGS_TEXT = "the process that controls the printer (nozzled core) does not read what it is asked"

log = structlog.get_logger()


class FrontEnd:
    """A `Channel` to the core, over a socket."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._snapshot = Snapshot(printer=PrinterSummary(error=CORE_AWAY_TEXT))
        self._has_snapshot = asyncio.Event()
        self._has_said_hello = False
        self._number = 0  # of the last question
        self._open_questions: dict[int, tuple[Question, asyncio.Future[Any]]] = {}
        self._listeners: list[Listener] = []
        self._away_timer: asyncio.TimerHandle | None = None
        self._beat_timer: asyncio.TimerHandle | None = None
        self._connect_task: asyncio.Task[None] | None = None
        self._closed = False

    # -- connecting ----------------------------------------------------------------------------------------

    async def use(self, sock: socket.socket, on_end: Callable[[], None]) -> None:
        """Use the core at the other end of a pair of sockets; `on_end` is called when the connection ends."""
        await self._loop.create_connection(lambda: _CoreConnection(self, on_end), sock=sock)

    def keep_connected(self, path: Path) -> None:
        """Connect to the core's socket, and connect again whenever the connection is lost."""
        self._away_timer = self._loop.call_later(CORE_RETURN_TIMEOUT, self._on_away)
        self._connect_task = self._loop.create_task(self._reconnect(path))

    async def _reconnect(self, path: Path) -> None:
        late_at = self._loop.time() + CORE_RETURN_TIMEOUT
        while True:
            loss = asyncio.Event()
            try:
                await self._loop.create_unix_connection(partial(_CoreConnection, self, loss.set), str(path))
            except OSError:
                await asyncio.sleep(RETRY_INTERVAL if self._loop.time() < late_at else LATE_RETRY_INTERVAL)
            else:
                await loss.wait()
                late_at = self._loop.time() + CORE_RETURN_TIMEOUT
                await asyncio.sleep(RETRY_INTERVAL)  # so that a core that hangs up at once costs little

    async def close(self) -> None:
        """Hang up."""
        if self._connect_task is not None:
            self._connect_task.cancel()
            await asyncio.wait([self._connect_task])
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
        for timer in (self._beat_timer, self._away_timer):
            if timer is not None:
                timer.cancel()
        self._closed = True

    async def wait_for_snapshot(self) -> None:
        """Wait for the first snapshot."""
        await self._has_snapshot.wait()

    # -- the channel ---------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """The core is connected."""
        return self._transport is not None

    def latest(self) -> Snapshot:
        """Return the newest snapshot."""
        return self._snapshot

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with each event, and with None for a change without one."""
        self._listeners.append(listener)

    async def ask(self, question: Question) -> Any:
        """Return the core's answer.

        Raises:
            NozzledError: what the core raises.
            CommandError: the question is too long.
            CoreAway: the core is not connected, does not answer, or has not read what it was asked before.
        """
        if self._transport is None:
            raise CoreAway(CORE_AWAY_TEXT)
        if self._transport.get_write_buffer_size() > MAX_UNREAD and not question.is_never_too_late:
            raise CoreAway(CORE_HANGS_TEXT)
        self._number += 1
        number = self._number
        limit = patience_of_client.get()
        patience = ANSWER_TIMEOUT if limit is None else min(ANSWER_TIMEOUT, max(0.0, limit))
        before = None if question.is_never_too_late else self._loop.time() + patience
        message = encode_question(number, question, before)
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._open_questions[number] = question, answer
        self._transport.write(frame(message))
        try:
            async with asyncio.timeout(patience):
                return await answer
        except TimeoutError:
            raise CoreAway(
                f"the process that controls the printer (nozzled core) has not answered within {patience:.3g} s"
            ) from None
        finally:
            self._open_questions.pop(number, None)

    # -- messages ------------------------------------------------------------------------------------------

    def on_connected(self, transport: asyncio.Transport) -> None:
        """Use this connection."""
        self._transport = transport
        if self._has_said_hello:
            self.say_hello()

    def say_hello(self) -> None:
        """Send the core a sign of life: now, at each new connection, and every HEARTBEAT_INTERVAL."""
        self._has_said_hello = True
        if self._beat_timer is not None:
            self._beat_timer.cancel()
        self._beat_timer = self._loop.call_later(HEARTBEAT_INTERVAL, self.say_hello)
        if self._transport is not None:
            self._transport.write(frame(encode(Hello(version=__version__))))

    def on_message(self, message: bytes) -> None:
        """Take a message from the core; raises msgspec.DecodeError."""
        received = decode_from_core(message)
        match received:
            case SnapshotMessage():
                if self._away_timer is not None:
                    self._away_timer.cancel()
                    self._away_timer = None
                self._snapshot = received.snapshot
                self._has_snapshot.set()
                self._tell(None)
            case EventMessage():
                if (event := event_of(received)) is not None:
                    self._tell(event)
            case AnswerMessage() | RefusalMessage():
                self._on_answer(received)

    def _on_answer(self, reply: AnswerMessage | RefusalMessage) -> None:
        question, answer = self._open_questions.get(reply.id, (None, None))
        if question is None or answer is None or answer.done():
            return
        try:
            answer.set_result(answer_of(reply, question))
        except NozzledError as error:
            answer.set_exception(error)

    def on_lost(self) -> None:
        """Refuse the open questions; the last snapshot is shown for another CORE_RETURN_TIMEOUT seconds."""
        self._transport = None
        for _, answer in self._open_questions.values():
            if not answer.done():
                answer.set_exception(CoreAway(CORE_AWAY_TEXT))
        if self._away_timer is None and not self._closed:
            self._away_timer = self._loop.call_later(CORE_RETURN_TIMEOUT, self._on_away)

    def _on_away(self) -> None:
        self._snapshot = Snapshot(
            revision=self._snapshot.revision,
            printer=PrinterSummary(error=CORE_AWAY_TEXT),
            profile=self._snapshot.profile,
        )
        log.warning("core.away", consequence="the printer is shown as offline; a print may continue")
        self._tell(None)

    def _tell(self, event: Event | None) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception:  # the other listeners and the connection to the core must not suffer
                log.exception("bridge.listener_failed")


class _CoreConnection(asyncio.Protocol):
    """One connection to the core."""

    def __init__(self, end: FrontEnd, on_end: Callable[[], None]) -> None:
        self._end = end
        self._on_end = on_end
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Use this connection."""
        self._transport = cast("asyncio.Transport", transport)
        self._end.on_connected(self._transport)

    def data_received(self, data: bytes) -> None:
        """Take bytes from the core; hang up if they cannot be decoded, as from a core of another version."""
        self._frames.add(data)
        try:
            while (message := self._frames.next()) is not None:
                self._end.on_message(message)
        except (msgspec.DecodeError, ValueError) as error:
            log.warning("core.not_understood", reason=str(error), consequence="connecting to the core again")
            if self._transport is not None:
                self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the end that this connection is lost."""
        del exc
        self._end.on_lost()
        self._on_end()
