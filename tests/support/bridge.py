"""Both ends of the bridge over pipes in memory and on the virtual clock, with a fake core or a fake front."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from daemon.bridge import questions as ask
from daemon.bridge.core_end import CoreEnd
from daemon.bridge.frames import Frames, frame
from daemon.bridge.front_end import FrontEnd, _CoreConnection
from daemon.bridge.messages import QuestionMessage, encode
from daemon.bridge.snapshot import JobSummary, Snapshot
from daemon.bridge.words import JobState
from gcode.errors import QueueFull

PIECE = 256 * 1024  # bytes that a pipe passes on at once


class PipeEnd(asyncio.Transport):
    """One end of a pipe, with a buffer of the bytes that the other end has not read yet."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.other: PipeEnd
        self.written = bytearray()
        self.max_unread = 0  # the largest buffer so far, in bytes
        self.reading = True
        self.closing = False
        self.paused = False
        self.high, self.low = 64 * 1024, 16 * 1024

    def set_write_buffer_limits(self, high=None, low=None):
        self.high, self.low = high, high // 4

    def get_write_buffer_size(self):
        return len(self.written)

    def is_closing(self):
        return self.closing

    def write(self, data):
        if self.closing:
            return
        self.written += data
        self.max_unread = max(self.max_unread, len(self.written))
        if len(self.written) > self.high and not self.paused:
            self.paused = True
            self.protocol.pause_writing()
        asyncio.get_running_loop().call_soon(self._carry)

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        if not self.reading:
            self.reading = True
            asyncio.get_running_loop().call_soon(self.other._carry)

    def _carry(self):
        while self.written and self.other.reading and not self.other.closing:
            data = bytes(self.written[:PIECE])
            del self.written[:PIECE]
            self.other.protocol.data_received(data)
        if self.paused and len(self.written) <= self.low and not self.closing:
            self.paused = False
            self.protocol.resume_writing()

    def abort(self):
        for end in (self, self.other):
            if not end.closing:
                end.closing = True
                asyncio.get_running_loop().call_soon(end.protocol.connection_lost, None)

    close = abort


def connect_by_pipe(one: asyncio.Protocol, other: asyncio.Protocol) -> tuple[PipeEnd, PipeEnd]:
    """Connect two protocols by a pipe; return its ends."""
    first, second = PipeEnd(one), PipeEnd(other)
    first.other, second.other = second, first
    one.connection_made(first)
    other.connection_made(second)
    return first, second


class FakeFront(asyncio.Protocol):
    """A front that sends and receives single messages."""

    def __init__(self) -> None:
        self.frames = Frames()
        self.received: list[dict[str, Any]] = []
        self.lost = False
        self.pipe_end: PipeEnd

    def connection_made(self, transport):
        self.pipe_end = transport

    def data_received(self, data):
        self.frames.add(data)
        while (message := self.frames.next()) is not None:
            self.received.append(msgspec.msgpack.decode(message))

    def connection_lost(self, exc):
        self.lost = True

    def say(self, *messages: Any) -> None:
        self.pipe_end.write(b"".join(frame(encode(each)) for each in messages))

    def messages(self, kind: str) -> list[dict[str, Any]]:
        return [each for each in self.received if each["type"] == kind]


def question_message(number: int, question: ask.Question) -> QuestionMessage:
    return QuestionMessage(id=number, question=msgspec.Raw(encode(question)))


class FakeDesk:
    """A core whose answers are those of a function; records the questions."""

    def __init__(self) -> None:
        self.printing = False
        self.state = JobState.COMPLETED
        self.snapshots = 0
        self.questions: list[ask.Question] = []
        self.listeners: list[Callable[[Any], None]] = []
        self.answers: Callable[[ask.Question], Any] = lambda _: None
        self.snapshot_fields: dict[str, Any] = {}  # beside revision and job state

    def subscribe(self, listener):
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    def snapshot(self):
        self.snapshots += 1
        return Snapshot(**{"revision": self.snapshots, "job": JobSummary(state=self.state), **self.snapshot_fields})

    def answer(self, question, *, may_wait=True, expires_at=None):
        result = self.answers(question)
        if asyncio.iscoroutine(result) and not may_wait:
            result.close()
            raise QueueFull("too many")
        self.questions.append(question)
        self.tell(None)
        return result

    def tell(self, event):
        for listener in tuple(self.listeners):
            listener(event)


def fake_front(end: CoreEnd) -> FakeFront:
    """Connect a fake front to the core's end; return it."""
    front = FakeFront()
    connect_by_pipe(end._new_front(), front)
    return front


def connected(end: CoreEnd, front: FrontEnd, on_end: Callable[[], None] = lambda: None) -> tuple[PipeEnd, PipeEnd]:
    """Connect both ends; return the core's end of the pipe, and the front's."""
    return connect_by_pipe(end._new_front(), _CoreConnection(front, on_end))
