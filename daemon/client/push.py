"""What the server tells by itself, over its WebSocket; a lost line is opened again."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, WebSocketClosedError, WebSocketError, websocket_connect

from daemon.client.caller import Caller
from daemon.client.errors import BadAnswer, ClientError, RequestRefused, Unreachable, refusal

PING = 20.0  # seconds; a peer that has vanished is noticed after two of them
CONNECT = 10.0
PARTING = 1.0
PAUSES = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before the line is opened again; the last one from then on."""

MAX_MESSAGE = 4 * 1024 * 1024  # bytes; half an hour of temperatures in a history are some 100,000

_NO_ANSWER = 599  # Tornado's status where there was none


@dataclass(frozen=True, slots=True)
class Message:
    """One message: `kind` is connected, history, current, event, plugin, …; `payload` what OctoPrint sends with it."""

    kind: str
    payload: Any


class Push:
    """The messages of one server."""

    def __init__(self, caller: Caller, throttle: int | None, subscription: Mapping[str, Any] | None) -> None:
        self._caller = caller
        self._greeting: list[dict[str, Any]] = []
        if throttle is not None:
            self._greeting.append({"throttle": throttle})
        if subscription is not None:
            self._greeting.append({"subscribe": dict(subscription)})

    async def messages(self) -> AsyncIterator[Message]:
        """Yield what comes, for ever.

        Raises:
            ClientError: there was no connection from the beginning, or the server refuses.
        """
        socket = await self._open()
        while True:
            try:
                while (text := await socket.read_message()) is not None:
                    for message in _messages(text):
                        yield message
                        await self._prove_again(socket, message)
            except BaseException:  # whatever ends the iteration: the peer is to know
                await _part(socket)
                raise
            socket.close()
            socket = await self._reopen()

    async def _reopen(self) -> WebSocketClientConnection:
        for pause in _endless(PAUSES):
            await asyncio.sleep(pause)
            try:
                return await self._open()
            except Unreachable:
                continue
            except RequestRefused as error:
                if error.status < HTTPStatus.INTERNAL_SERVER_ERROR:  # a server or its proxy that is not up yet
                    raise
        raise AssertionError("there is always another pause")

    async def _open(self) -> WebSocketClientConnection:
        """Open the line and say who we are, and what we want."""
        proof = await self._proof()
        url = "ws" + self._caller.url.removeprefix("http") + "/sockjs/websocket"
        request = HTTPRequest(url, headers=self._caller.headers, connect_timeout=CONNECT, request_timeout=CONNECT)
        try:
            socket = await websocket_connect(request, ping_interval=PING, max_message_size=MAX_MESSAGE)
        except HTTPClientError as error:
            raise _refused(url, error) from error
        except WebSocketError as error:
            raise BadAnswer(f"{url} is no WebSocket: {error}") from error
        except OSError as error:
            raise Unreachable(f"no answer from {url}: {error}") from error
        for message in (proof, *self._greeting):
            await _tell(socket, message)
        return socket

    async def _proof(self) -> dict[str, str]:
        """Log in by the key; return what shows the socket who we are."""
        user = await self._caller.post("/api/login", {"passive": True})
        try:
            return {"auth": f"{user['name']}:{user['session']}"}
        except (KeyError, TypeError) as error:
            raise BadAnswer("the answer to /api/login names no session: is the key right?") from error

    async def _prove_again(self, socket: WebSocketClientConnection, message: Message) -> None:
        """Log in again where the server has forgotten the session; `stale` is its answer to a session that is new."""
        if message.kind == "reauthRequired" and (message.payload or {}).get("reason") != "stale":
            await _tell(socket, await self._proof())


async def _part(socket: WebSocketClientConnection) -> None:
    """Close the line, and wait until the peer has; not for long."""
    socket.close()
    with suppress(TimeoutError):
        async with asyncio.timeout(PARTING):
            while await socket.read_message() is not None:
                pass


async def _tell(socket: WebSocketClientConnection, message: dict[str, Any]) -> None:
    with suppress(WebSocketClosedError):  # whoever reads is told
        await socket.write_message(json.dumps(message))


def _messages(text: str | bytes) -> Iterator[Message]:
    try:
        told = json.loads(text)
    except ValueError as error:
        raise BadAnswer("the socket's message is not JSON") from error
    if not isinstance(told, dict):
        raise BadAnswer("the socket's message is no JSON object")
    for kind, payload in told.items():
        yield Message(kind, payload)


def _endless(pauses: tuple[float, ...]) -> Iterator[float]:
    yield from pauses
    while True:
        yield pauses[-1]


def _refused(url: str, error: HTTPClientError) -> ClientError:
    if error.code == _NO_ANSWER:
        return Unreachable(f"no answer from {url}: {error.message}")
    return refusal(f"GET {url}", error.code, error.message or "")
