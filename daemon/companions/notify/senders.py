"""Senders: deliver one notification to one target, in bounded time. Their reasons for a failure contain no address."""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.client.errors import Unreachable
from daemon.client.exchange import Exchange, Request
from daemon.companions.notify.targets import Target

MEMORY_LIMIT = 512 * 1024 * 1024
"""Limit of the address space of apprise's process, in bytes; it uses some 50 MB."""

MAX_PROCESSES = 2  # of apprise, at the same time
MAX_ANSWER = 4096  # bytes
KILL_TIMEOUT = 2.0  # for a killed process to end

_OK = range(200, 300)
_INHERITED_VARIABLES = (
    "PATH", "LANG", "LC_ALL", "HOME", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "HTTP_PROXY",
    "NO_PROXY", "https_proxy", "http_proxy", "no_proxy",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Notification:
    """A message to users, as it is sent.

    Attributes:
        identity: id of the message, the same for all attempts.
        kind: its class.
        title: one line.
        body: a few lines.
        about: values that describe the event.
        date: Unix time of this attempt, in s.
        picture: a JPEG.
        picture_file: the same as a file, for the process of apprise.
    """

    identity: str
    kind: str
    title: str
    body: str
    about: Mapping[str, Any]
    date: int
    picture: bytes | None = None
    picture_file: Path | None = None


Send = Callable[[Target, Notification], Awaitable[str | None]]
"""Sends a notification; returns None, or why that failed."""


class Apprise:
    """Sends by apprise, in a process for each message, which gets the address on its standard input."""

    def __init__(self, seconds: float, program: tuple[str, ...] = ()) -> None:
        """Prepare.

        Args:
            seconds: how long a message may take.
            program: replaces ours in tests.
        """
        self._seconds = seconds
        self._program = program or (sys.executable, "-m", "daemon.companions.notify.child")
        self._turn = asyncio.Semaphore(MAX_PROCESSES)

    async def send(self, target: Target, notification: Notification) -> str | None:
        """Send a notification; return None, or why that failed."""
        request = {
            "url": target.url,
            "title": notification.title,
            "body": notification.body,
            "kind": notification.kind,
            "picture": str(notification.picture_file) if notification.picture_file is not None else None,
            "memory": MEMORY_LIMIT,
            "seconds": int(self._seconds) + 1,
        }
        async with self._turn:
            return await self._run(json.dumps(request).encode())

    async def _run(self, request: bytes) -> str | None:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._program,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={name: os.environ[name] for name in _INHERITED_VARIABLES if name in os.environ} | _python_path(),
                limit=MAX_ANSWER,
            )
        except OSError as error:
            return f"cannot start apprise's process: {error.strerror}"
        try:
            async with asyncio.timeout(self._seconds):
                return await _ask(process, request)
        except TimeoutError:
            return f"it took longer than {self._seconds:g} s"
        finally:
            await _end(process)


def _python_path() -> dict[str, str]:
    """Return the variables with which the process finds this package if it is not installed."""
    return {"PYTHONPATH": str(Path(__file__).parents[3]), "PYTHONDONTWRITEBYTECODE": "1"}


async def _ask(process: asyncio.subprocess.Process, request: bytes) -> str | None:
    assert process.stdin is not None  # noqa: S101 - pipes were asked for
    assert process.stdout is not None  # noqa: S101 - as above
    with suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(request)
        await process.stdin.drain()
        process.stdin.close()
    output = b""
    while piece := await process.stdout.read(MAX_ANSWER):
        output = (output + piece)[:MAX_ANSWER]
    await process.wait()
    try:
        answer = json.loads(output)
        sent, reason = answer["sent"] is True, str(answer.get("reason", ""))[:100]
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"apprise's process died ({process.returncode})"
    return None if sent else reason or "refused"


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        with suppress(TimeoutError):
            async with asyncio.timeout(KILL_TIMEOUT):
                await process.wait()
    process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - a grandchild could keep the pipes open


class Webhook:
    """Sends signed JSON. Follows no redirects."""

    def __init__(self, exchange: Exchange, seconds: float) -> None:
        self._exchange = exchange
        self._seconds = seconds

    async def send(self, target: Target, notification: Notification) -> str | None:
        """Send a notification; return None, or why that failed."""
        body = json.dumps(document(notification)).encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "nozzled",
            **sign(target.key, notification, body),
        }
        try:
            async with asyncio.timeout(self._seconds):
                answer = await self._exchange.send(Request("POST", target.url, headers, body, self._seconds))
        except TimeoutError:
            return f"it took longer than {self._seconds:g} s"
        except Unreachable:  # its text has the address in it
            return "cannot be reached"
        except (OSError, ValueError):
            return "its answer is not valid HTTP"
        return None if answer.status in _OK else str(answer.status)


def document(notification: Notification) -> dict[str, Any]:
    """Return the JSON for a webhook."""
    data: dict[str, Any] = {
        "id": notification.identity,
        "kind": notification.kind,
        "title": notification.title,
        "body": notification.body,
        "date": notification.date,
        "about": dict(notification.about),
    }
    if notification.picture is not None:
        data["picture"] = {"type": "image/jpeg", "base64": base64.b64encode(notification.picture).decode()}
    return data


def sign(key: str, notification: Notification, body: bytes) -> dict[str, str]:
    """Return the headers that prove sender and date: HMAC-SHA256 over `DATE.BODY`."""
    date = str(notification.date)
    signature = hmac.new(key.encode(), date.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {
        "Nozzled-Delivery": notification.identity,
        "Nozzled-Date": date,
        "Nozzled-Signature": f"sha256={signature}",
    }
