"""Companion: the base class of companions. It reports its state to the front, and answers clients' requests.

A companion outlives the front: while the front restarts, is updated or is away, the companion waits for it.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import suppress
from http import HTTPStatus
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import structlog

from daemon.client import ClientError, OctoPrintClient
from daemon.client.errors import RequestRefused
from daemon.client.push import Message
from gcode.frozen import frozen

MIN_INTERVAL = 0.25  # between two messages to the front
RETRY_INTERVAL = 2.0  # after the front has not answered, or has refused
REPEAT_INTERVAL = 20.0  # after which the state is reported again, because a restarted front does not have it
CONFIRM_TIMEOUT = 2.0  # for the front to confirm that a client still waits; a later confirmation may be outdated
MAX_WAITING = 64  # events, messages and answers of each kind for the front; the oldest are dropped

log = structlog.get_logger()


class Refusal(Exception):
    """A request is refused, with an HTTP status and a reason."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@frozen
class Answer:
    """The answer to a request: an HTTP status, and JSON or None."""

    status: int = 204
    body: Any = None


DONE = Answer()


class Companion:
    """A companion. A subclass has a name, does its work in `run`, and answers requests in `handle`.

    Attributes:
        client: of the front.
        folder: its own folder in the state directory.
    """

    name: ClassVar[str] = ""

    def __init__(self, client: OctoPrintClient, folder: Path) -> None:
        self.client = client
        self.folder = folder
        self._state: Mapping[str, Any] | None = None
        self._wake = asyncio.Event()
        self._post_lock = asyncio.Lock()  # keeps the messages to the front in order
        self._queues: dict[str, deque[dict[str, Any]]] = {
            kind: deque(maxlen=MAX_WAITING) for kind in ("events", "plugins", "messages", "answers")
        }
        self._tasks: set[asyncio.Task[None]] = set()
        self._token, self._numbers = secrets.token_hex(6), count(1)

    # -- for the subclass ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Do the companion's work until cancelled."""
        await asyncio.Event().wait()

    async def handle(self, do: str, parameters: Mapping[str, Any], scope: str) -> Answer:  # noqa: ARG002 - for subclasses
        """Carry out a client's request within 10 s; the client's key has the scope `scope`.

        Raises:
            Refusal: the request is refused.
        """
        raise Refusal(400, f"{self.name} cannot do {do!r}")

    def describe_activity(self) -> str:
        """Return the line for `systemctl status`."""
        return ""

    def report_state(self, state: Mapping[str, Any]) -> None:
        """Report the whole state to the front."""
        if state != self._state:
            self._state = dict(state)
            self._wake.set()

    def send_event(self, name: str, payload: Mapping[str, Any]) -> None:
        """Send an event to clients."""
        self._queue("events", {"name": name, "payload": payload})

    def send_plugin_message(self, plugin: str, data: Mapping[str, Any]) -> None:
        """Send clients a message of OctoPrint's plugin of this name."""
        self._queue("plugins", {"plugin": plugin, "data": data})

    def send_message(self, kind: str, payload: Mapping[str, Any]) -> None:
        """Send clients a message of another kind, such as `timelapse`."""
        self._queue("messages", {"kind": kind, "payload": payload})

    async def report_state_now(self) -> bool:
        """Report the state at once; return whether the front has received it."""
        try:
            async with asyncio.timeout(CONFIRM_TIMEOUT), self._post_lock:
                await self.client.post(f"/api/companions/{self.name}", {"state": self._state})
        except (ClientError, TimeoutError) as error:
            log.warning("companion.not_reported", reason=str(error) or "the front did not answer")
            return False
        return True

    async def messages(self, subscription: Mapping[str, Any] | None = None) -> AsyncIterator[Message]:
        """Yield the front's messages, for ever. Each new connection begins with the message `connected`."""
        while True:
            try:
                async for message in self.client.push(subscription=subscription):
                    yield message
            except ClientError as error:
                log.warning("companion.no_messages", reason=str(error), again_s=RETRY_INTERVAL)
            await asyncio.sleep(RETRY_INTERVAL)

    # -- the process -----------------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Run until cancelled. Any failure ends the whole process, which the service manager restarts."""
        async with asyncio.TaskGroup() as group:
            for part in (self.run(), self._report(), self._take_requests()):
                group.create_task(part)

    def _queue(self, kind: str, document: dict[str, Any]) -> None:
        if kind != "answers":
            document["once"] = f"{self._token}-{next(self._numbers)}"  # the front drops a repetition
        self._queues[kind].append(document)
        self._wake.set()

    async def _report(self) -> None:
        """Send the front the state and all waiting messages."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(REPEAT_INTERVAL):
                    await self._wake.wait()
            self._wake.clear()
            await self._report_once()
            await asyncio.sleep(MIN_INTERVAL)

    async def _report_once(self) -> None:
        waiting = {kind: [*queue] for kind, queue in self._queues.items()}
        for queue in self._queues.values():
            queue.clear()
        try:
            async with self._post_lock:
                report = {"state": self._state, **{kind: each for kind, each in waiting.items() if each}}
                await self.client.post(f"/api/companions/{self.name}", report)
        except ClientError as error:
            log.warning("companion.not_reported", reason=str(error), again_s=RETRY_INTERVAL)
            if isinstance(error, RequestRefused) and error.status == HTTPStatus.BAD_REQUEST:
                return  # a front of another version would refuse it again
            for kind, each in waiting.items():
                if kind != "answers":  # when the front answers again, the clients will have given up
                    room = MAX_WAITING - len(self._queues[kind])  # newer ones may have been added in the meantime
                    self._queues[kind].extendleft(reversed(each[len(each) - min(room, len(each)) :]))
            self._wake.set()
            await asyncio.sleep(RETRY_INTERVAL)

    async def _take_requests(self) -> None:
        """Carry out the requests that the front passes on, concurrently."""
        while True:
            try:
                requests = (await self.client.get(f"/api/companions/{self.name}/requests"))["requests"]
            except ClientError as error:
                log.warning("companion.no_requests", reason=str(error), again_s=RETRY_INTERVAL)
                await asyncio.sleep(RETRY_INTERVAL)
                continue
            for request in requests:
                self._begin(self._answer(request))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, request: Mapping[str, Any]) -> None:
        """Carry out a request and answer it, unless its client has given up, for example because this process hung."""
        if not await self._has_waiting_client(request["id"]):
            log.warning("companion.too_late", do=request["do"], consequence="it is not done")
            return
        try:
            answer = await self.handle(request["do"], request["with"], request["scope"])
        except Refusal as error:
            answer = Answer(error.status, {"error": error.text})
        except Exception:
            log.exception("companion.failed", do=request["do"])
            answer = Answer(500, {"error": f"{self.name} failed; its log says why"})
        self._queue("answers", {"id": request["id"], "status": answer.status, "body": answer.body})

    async def _has_waiting_client(self, number: int) -> bool:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(CONFIRM_TIMEOUT):
                await self.client.post(f"/api/companions/{self.name}/requests", {"id": number})
        except (ClientError, TimeoutError):
            return False
        return loop.time() - began < CONFIRM_TIMEOUT
