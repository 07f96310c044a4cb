"""Companion: what these processes have in common: they find the front, say what is so, and do what they are asked.

Whatever becomes of the front, a companion waits for it: its restart, its update, its absence.
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

GAP = 0.25  # s between two messages to the front
AGAIN = 2.0  # s until a front that did not answer, or refused, is tried again
REPEAT = 20.0  # s after which the state is said again: a front that is new has not heard it
CLAIMED = 2.0  # s in which the front says that somebody still waits for what was asked; later it may not be so
MOST = 64  # events, messages and answers of each kind that wait for the front; the oldest go

log = structlog.get_logger()


class Refusal(Exception):
    """What was asked is not done: HTTP's status, and why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@frozen
class Answer:
    """What has come of it: HTTP's status, and JSON or None."""

    status: int = 204
    body: Any = None


DONE = Answer()


class Companion:
    """One of them; a subclass says its name, what it does (`run`), and what it does when asked (`handle`).

    Attributes:
        client: the front.
        folder: its own in the state directory; made by `serve`.
    """

    name: ClassVar[str] = ""

    def __init__(self, client: OctoPrintClient, folder: Path) -> None:
        self.client = client
        self.folder = folder
        self._state: Mapping[str, Any] | None = None
        self._wake = asyncio.Event()
        self._saying = asyncio.Lock()  # what is said later is heard later
        self._queues: dict[str, deque[dict[str, Any]]] = {
            kind: deque(maxlen=MOST) for kind in ("events", "plugins", "messages", "answers")
        }
        self._tasks: set[asyncio.Task[None]] = set()
        self._token, self._numbers = secrets.token_hex(6), count(1)

    # -- for the subclass ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Do what it is for, until it is cancelled."""
        await asyncio.Event().wait()

    async def handle(self, do: str, given: Mapping[str, Any], scope: str) -> Answer:  # noqa: ARG002 - for subclasses
        """Do what somebody asks for, whose key allows `scope`; never longer than 10 s.

        Raises:
            Refusal: it is not done.
        """
        raise Refusal(400, f"{self.name} cannot do {do!r}")

    def does(self) -> str:
        """Return what `systemctl status` shows."""
        return ""

    def tell(self, state: Mapping[str, Any]) -> None:
        """Say what is so; the whole of it."""
        if state != self._state:
            self._state = dict(state)
            self._wake.set()

    def event(self, name: str, payload: Mapping[str, Any]) -> None:
        """Have clients told of an event."""
        self._put("events", {"name": name, "payload": payload})

    def plugin(self, plugin: str, data: Mapping[str, Any]) -> None:
        """Have clients told what OctoPrint's plug-in of this name would say."""
        self._put("plugins", {"plugin": plugin, "data": data})

    def message(self, kind: str, payload: Mapping[str, Any]) -> None:
        """Have clients told something of a kind of its own, like `timelapse`."""
        self._put("messages", {"kind": kind, "payload": payload})

    async def say_now(self) -> bool:
        """Bring the state to the front at once; tell whether it has heard it."""
        try:
            async with asyncio.timeout(CLAIMED), self._saying:
                await self.client.post(f"/api/companions/{self.name}", {"state": self._state})
        except (ClientError, TimeoutError) as error:
            log.warning("companion.not_heard", reason=str(error) or "the front did not answer")
            return False
        return True

    async def messages(self, subscription: Mapping[str, Any] | None = None) -> AsyncIterator[Message]:
        """Yield what the front tells, for ever; `connected` comes again after each time that it was away."""
        while True:
            try:
                async for message in self.client.push(subscription=subscription):
                    yield message
            except ClientError as error:
                log.warning("companion.not_told", reason=str(error), again_s=AGAIN)
            await asyncio.sleep(AGAIN)

    # -- the process -----------------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Run until cancelled; whatever of it fails ends all of it, as the service manager restarts it."""
        async with asyncio.TaskGroup() as group:
            for part in (self.run(), self._say(), self._be_asked()):
                group.create_task(part)

    def _put(self, kind: str, what: dict[str, Any]) -> None:
        if kind != "answers":
            what["once"] = f"{self._token}-{next(self._numbers)}"  # said again, it is heard once
        self._queues[kind].append(what)
        self._wake.set()

    async def _say(self) -> None:
        """Bring to the front what there is to say."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(REPEAT):
                    await self._wake.wait()
            self._wake.clear()
            await self._say_once()
            await asyncio.sleep(GAP)

    async def _say_once(self) -> None:
        taken = {kind: [*queue] for kind, queue in self._queues.items()}
        for queue in self._queues.values():
            queue.clear()
        try:
            async with self._saying:
                said = {"state": self._state, **{kind: each for kind, each in taken.items() if each}}
                await self.client.post(f"/api/companions/{self.name}", said)
        except ClientError as error:
            log.warning("companion.not_heard", reason=str(error), again_s=AGAIN)
            if isinstance(error, RequestRefused) and error.status == HTTPStatus.BAD_REQUEST:
                return  # a front of another version does not take it the second time either
            for kind, each in taken.items():
                if kind != "answers":  # whoever waited has given up by then
                    room = MOST - len(self._queues[kind])  # what has come meanwhile is newer
                    self._queues[kind].extendleft(reversed(each[len(each) - min(room, len(each)) :]))
            self._wake.set()
            await asyncio.sleep(AGAIN)

    async def _be_asked(self) -> None:
        """Do what the front passes on; one thing does not wait for another."""
        while True:
            try:
                asked = (await self.client.get(f"/api/companions/{self.name}/requests"))["requests"]
            except ClientError as error:
                log.warning("companion.not_asked", reason=str(error), again_s=AGAIN)
                await asyncio.sleep(AGAIN)
                continue
            for request in asked:
                self._begin(self._answer(request))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, request: Mapping[str, Any]) -> None:
        """Do one thing, and say what has come of it; not what nobody waits for any more, as this process hung."""
        if not await self._is_waited_for(request["id"]):
            log.warning("companion.too_late", do=request["do"], consequence="it is not done")
            return
        try:
            answer = await self.handle(request["do"], request["with"], request["scope"])
        except Refusal as error:
            answer = Answer(error.status, {"error": error.text})
        except Exception:
            log.exception("companion.failed", do=request["do"])
            answer = Answer(500, {"error": f"{self.name} failed; its log says why"})
        self._put("answers", {"id": request["id"], "status": answer.status, "body": answer.body})

    async def _is_waited_for(self, number: int) -> bool:
        now = asyncio.get_running_loop().time
        began = now()
        try:
            async with asyncio.timeout(CLAIMED):
                await self.client.post(f"/api/companions/{self.name}/requests", {"id": number})
        except (ClientError, TimeoutError):
            return False
        return now() - began < CLAIMED
