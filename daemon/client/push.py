"""The server's push messages over its WebSocket, with reconnection."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.iostream import UnsatisfiableReadError
from tornado.websocket import WebSocketClientConnection, WebSocketClosedError, WebSocketError, websocket_connect

from daemon.client.caller import Caller
from daemon.client.errors import BadAnswer, ClientError, RequestRefused, Unreachable, refusal

PING_INTERVAL = 20.0  # a vanished peer is detected after two of them
CONNECT_TIMEOUT = 10.0
CLOSE_TIMEOUT = 1.0
PAUSES_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before each attempt to reconnect; the last one repeats."""

MAX_MESSAGE = 4 * 1024 * 1024  # bytes; half an hour of temperatures in a history are some 100,000

_NO_ANSWER = 599  # Tornado's status where there was none


@dataclass(frozen=True, slots=True)
class Message:
    """A message: `kind` is connected, history, current, event, plugin, …; `payload` is what OctoPrint sends with it."""

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
        """Yield the messages, for ever.

        Raises:
            ClientError: the first connection failed, or the server refuses.
        """
        socket = await self._open()
        while True:
            try:
                while (text := await socket.read_message()) is not None:
                    for message in _messages(text):
                        yield message
                        await self._log_in_again(socket, message)
            except BaseException:  # whatever ends the iteration, close the connection properly
                await _close(socket)
                raise
            socket.close()
            socket = await self._reopen()

    async def _reopen(self) -> WebSocketClientConnection:
        for pause in _endless(PAUSES_S):
            await asyncio.sleep(pause)
            try:
                return await self._open()
            except ClientError as error:
                if not _is_temporary(error):
                    raise
        raise AssertionError("there is always another pause")

    async def _open(self) -> WebSocketClientConnection:
        """Connect, log in, and subscribe."""
        proof = await self._log_in()
        url = "ws" + self._caller.url.removeprefix("http") + "/sockjs/websocket"
        request = HTTPRequest(
            url, headers=self._caller.headers, connect_timeout=CONNECT_TIMEOUT, request_timeout=CONNECT_TIMEOUT
        )
        try:
            socket = await websocket_connect(request, ping_interval=PING_INTERVAL, max_message_size=MAX_MESSAGE)
        except HTTPClientError as error:
            raise _client_error(url, error) from error
        except WebSocketError as error:
            raise BadAnswer(f"{url} is not a WebSocket: {error}") from error
        except (UnsatisfiableReadError, OSError) as error:
            raise Unreachable(f"no answer from {url}: {error}") from error
        for message in (proof, *self._greeting):
            await _send(socket, message)
        return socket

    async def _log_in(self) -> dict[str, str]:
        """Log in with the key; return the message that authenticates the socket."""
        user = await self._caller.post("/api/login", {"passive": True})
        try:
            return {"auth": f"{user['name']}:{user['session']}"}
        except (KeyError, TypeError) as error:
            raise BadAnswer("the answer to /api/login has no session: is the key right?") from error

    async def _log_in_again(self, socket: WebSocketClientConnection, message: Message) -> None:
        """Log in again if the server has lost the session, unless it also refuses a new one ("stale")."""
        reason = message.payload.get("reason") if isinstance(message.payload, dict) else None
        if message.kind != "reauthRequired" or reason == "stale":
            return
        try:
            proof = await self._log_in()
        except ClientError as error:
            if not _is_temporary(error):
                raise
            socket.close()  # to reconnect, which repeats the login until it succeeds
        else:
            await _send(socket, proof)


async def _close(socket: WebSocketClientConnection) -> None:
    """Close the connection, and wait for the peer for up to CLOSE_TIMEOUT."""
    socket.close()
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT):
            while await socket.read_message() is not None:
                pass


async def _send(socket: WebSocketClientConnection, message: dict[str, Any]) -> None:
    with suppress(WebSocketClosedError):  # reading raises it
        await socket.write_message(json.dumps(message))


def _messages(text: str | bytes) -> Iterator[Message]:
    try:
        messages = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadAnswer("the socket's message is not JSON") from error
    if not isinstance(messages, dict):
        raise BadAnswer("the socket's message is not a JSON object")
    for kind, payload in messages.items():
        yield Message(kind, payload)


def _is_temporary(error: ClientError) -> bool:
    """Tell whether another attempt may succeed: the server, or the one behind a proxy, is not up yet."""
    refused = isinstance(error, RequestRefused) and error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return refused or isinstance(error, Unreachable)


def _endless(pauses: tuple[float, ...]) -> Iterator[float]:
    yield from pauses
    while True:
        yield pauses[-1]


def _client_error(url: str, error: HTTPClientError) -> ClientError:
    if error.code == _NO_ANSWER:
        return Unreachable(f"no answer from {url}: {error.message}")
    return refusal(f"GET {url}", error.code, error.message or "")
