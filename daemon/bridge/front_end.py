"""FrontEnd: the front's end of the bridge. It comes back by itself, and knows what it knew until then."""

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
from daemon.bridge.neighbours import answer_of, decode_from_core
from daemon.bridge.questions import Question, encode_question
from daemon.bridge.snapshot import PrinterSummary, Snapshot
from daemon.errors import CoreAway
from gcode.errors import NozzledError
from hal.printer import Event

PATIENCE = 30.0  # s for an answer; making a printer cold before it is disconnected takes 3
patience_of_client: ContextVar[float | None] = ContextVar("patience_of_client", default=None)
"""Seconds for which whoever is served now waits for what it asks for; None: nobody knows."""

AGAIN, SELDOM = 0.05, 0.5  # s between two tries to reach the core, and where it has been away for longer
RETURN = 5.0  # s that what was known last is told of a core that is away: its restart takes half a second
BEAT = 1.0  # s between two signs of life
AWAY = "the part of nozzled that has the printer is not there; it is waited for"

log = structlog.get_logger()


class FrontEnd:
    """The way to the core, over a socket; a `Channel`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._snapshot = Snapshot(printer=PrinterSummary(error=AWAY))
        self._seen = asyncio.Event()
        self._works = False
        self._asked = 0
        self._open: dict[int, tuple[Question, asyncio.Future[Any]]] = {}
        self._listeners: list[Listener] = []
        self._leaving: asyncio.TimerHandle | None = None
        self._beating: asyncio.TimerHandle | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._closed = False

    # -- coming and going ----------------------------------------------------------------------------------

    async def use(self, connected: socket.socket, on_end: Callable[[], None]) -> None:
        """Talk to the core at the other end of a pair of sockets; `on_end` is called when it is gone."""
        await self._loop.create_connection(lambda: _Wire(self, on_end), sock=connected)

    def keep_connected(self, path: Path) -> None:
        """Connect to the core's socket, and again whenever it is lost; a core that never comes is told of too."""
        self._leaving = self._loop.call_later(RETURN, self._on_away)
        self._keeping = self._loop.create_task(self._keep(path))

    async def _keep(self, path: Path) -> None:
        soon = self._loop.time() + RETURN
        while True:
            lost = asyncio.Event()
            try:
                await self._loop.create_unix_connection(partial(_Wire, self, lost.set), str(path))
            except OSError:
                await asyncio.sleep(AGAIN if self._loop.time() < soon else SELDOM)
            else:
                await lost.wait()
                soon = self._loop.time() + RETURN
                await asyncio.sleep(AGAIN)  # one that hangs up at once must not be met in a circle

    async def close(self) -> None:
        """Hang up."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
        for timer in (self._beating, self._leaving):
            if timer is not None:
                timer.cancel()
        self._closed = True

    async def first(self) -> None:
        """Wait for the first snapshot."""
        await self._seen.wait()

    # -- what is known -------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """There is a core at the other end."""
        return self._transport is not None

    def latest(self) -> Snapshot:
        """Return the newest snapshot that there is."""
        return self._snapshot

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with what happens."""
        self._listeners.append(listener)

    async def ask(self, question: Question) -> Any:
        """Return the core's answer.

        Raises:
            NozzledError: what the core raises.
            CommandError: it is too long for a question.
            CoreAway: there is no core now, or it does not answer.
        """
        if self._transport is None:
            raise CoreAway(AWAY)
        self._asked += 1
        number = self._asked
        patience = PATIENCE if (given := patience_of_client.get()) is None else min(PATIENCE, max(0.0, given))
        before = None if question.is_never_too_late else self._loop.time() + patience
        message = encode_question(number, question, before)
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._open[number] = question, answer
        self._transport.write(frame(message))
        try:
            async with asyncio.timeout(patience):
                return await answer
        except TimeoutError:
            raise CoreAway(
                f"the part of nozzled that has the printer has not answered within {patience:.3g} s"
            ) from None
        finally:
            self._open.pop(number, None)

    # -- what comes ----------------------------------------------------------------------------------------

    def on_connected(self, transport: asyncio.Transport) -> None:
        """Begin to talk."""
        self._transport = transport
        if self._works:
            self.say_hello()

    def say_hello(self) -> None:
        """Tell the core that the front works, now, whenever the core is another one, and from time to time."""
        self._works = True
        if self._beating is not None:
            self._beating.cancel()
        self._beating = self._loop.call_later(BEAT, self.say_hello)
        if self._transport is not None:
            self._transport.write(frame(encode(Hello(version=__version__))))

    def on_message(self, message: bytes) -> None:
        """Take what the core says; raises msgspec.DecodeError."""
        said = decode_from_core(message)
        match said:
            case SnapshotMessage():
                if self._leaving is not None:
                    self._leaving.cancel()
                    self._leaving = None
                self._snapshot = said.snapshot
                self._seen.set()
                self._tell(None)
            case EventMessage():
                if (event := event_of(said)) is not None:
                    self._tell(event)
            case AnswerMessage() | RefusalMessage():
                self._on_answer(said)

    def _on_answer(self, said: AnswerMessage | RefusalMessage) -> None:
        question, answer = self._open.get(said.id, (None, None))
        if question is None or answer is None or answer.done():
            return
        try:
            answer.set_result(answer_of(said, question))
        except NozzledError as error:
            answer.set_exception(error)

    def on_lost(self) -> None:
        """Tell those who wait; what is known holds for a while."""
        self._transport = None
        for _, answer in self._open.values():
            if not answer.done():
                answer.set_exception(CoreAway(AWAY))
        if self._leaving is None and not self._closed:
            self._leaving = self._loop.call_later(RETURN, self._on_away)

    def _on_away(self) -> None:
        self._snapshot = Snapshot(
            revision=self._snapshot.revision, printer=PrinterSummary(error=AWAY), profile=self._snapshot.profile
        )
        log.warning("core.away", consequence="the printer is shown as offline; a print may go on")
        self._tell(None)

    def _tell(self, event: Event | None) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception:  # it must cost neither the others nor the line to the core
                log.exception("bridge.listener_failed")


class _Wire(asyncio.Protocol):
    """One connection to the core."""

    def __init__(self, end: FrontEnd, on_end: Callable[[], None]) -> None:
        self._end = end
        self._on_end = on_end
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._end.on_connected(self._transport)

    def data_received(self, data: bytes) -> None:
        """Take what the core says; one that makes no sense is of another version, and waited for."""
        self._frames.add(data)
        try:
            while (message := self._frames.next()) is not None:
                self._end.on_message(message)
        except (msgspec.DecodeError, ValueError) as error:
            log.warning("core.not_understood", reason=str(error), consequence="the core is connected to anew")
            if self._transport is not None:
                self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        del exc
        self._end.on_lost()
        self._on_end()
