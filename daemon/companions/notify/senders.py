"""Senders: get one message to one target. Each ends in time, and says why it failed in words without an address."""

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

MEMORY = 512 * 1024 * 1024
"""Bytes of address space that the process of apprise may have; some 50 MB of it are in use."""

AT_ONCE = 2  # processes of apprise
LARGEST_ANSWER = 4096
PARTING = 2.0  # s until a process that was killed is gone

_OK = range(200, 300)
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "HOME", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "HTTP_PROXY",
              "NO_PROXY", "https_proxy", "http_proxy", "no_proxy")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Notification:
    """What is sent.

    Attributes:
        identity: of the message, the same over all tries.
        kind: its class.
        title: one line.
        body: a few lines.
        about: what was told of the event.
        date: now, in s since 1970.
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
"""Sends; returns None, or why that failed."""


class Apprise:
    """Sends by apprise, in a process for each message. The address goes to its standard input."""

    def __init__(self, seconds: float, program: tuple[str, ...] = ()) -> None:
        """Prepare.

        Args:
            seconds: how long a message may take.
            program: run in the place of our own, for tests.
        """
        self._seconds = seconds
        self._program = program or (sys.executable, "-m", "daemon.companions.notify.child")
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def send(self, target: Target, notification: Notification) -> str | None:
        """Send; return None, or why that failed."""
        asked = {
            "url": target.url,
            "title": notification.title,
            "body": notification.body,
            "kind": notification.kind,
            "picture": str(notification.picture_file) if notification.picture_file is not None else None,
            "memory": MEMORY,
            "seconds": int(self._seconds) + 1,
        }
        async with self._turn:
            return await self._run(json.dumps(asked).encode())

    async def _run(self, asked: bytes) -> str | None:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._program,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={name: os.environ[name] for name in _PASSED_ON if name in os.environ} | _python_path(),
                limit=LARGEST_ANSWER,
            )
        except OSError as error:
            return f"apprise's process cannot be started: {error.strerror}"
        try:
            async with asyncio.timeout(self._seconds):
                return await _ask(process, asked)
        except TimeoutError:
            return f"it took longer than {self._seconds:g} s"
        finally:
            await _end(process)


def _python_path() -> dict[str, str]:
    """Return what lets the process find this package where it is not installed."""
    return {"PYTHONPATH": str(Path(__file__).parents[3]), "PYTHONDONTWRITEBYTECODE": "1"}


async def _ask(process: asyncio.subprocess.Process, asked: bytes) -> str | None:
    assert process.stdin is not None  # noqa: S101 - pipes were asked for
    assert process.stdout is not None  # noqa: S101 - as above
    with suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(asked)
        await process.stdin.drain()
        process.stdin.close()
    said = b""
    while piece := await process.stdout.read(LARGEST_ANSWER):
        said = (said + piece)[:LARGEST_ANSWER]
    await process.wait()
    try:
        answer = json.loads(said)
        sent, reason = answer["sent"] is True, str(answer.get("reason", ""))[:100]
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"apprise's process died ({process.returncode})"
    return None if sent else reason or "it was refused"


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        with suppress(TimeoutError):
            async with asyncio.timeout(PARTING):
                await process.wait()
    process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - else pipes stay open that a grandchild holds


class Webhook:
    """Sends our own messages: JSON, signed. No redirect is followed."""

    def __init__(self, exchange: Exchange, seconds: float) -> None:
        self._exchange = exchange
        self._seconds = seconds

    async def send(self, target: Target, notification: Notification) -> str | None:
        """Send; return None, or why that failed."""
        body = json.dumps(document(notification)).encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "nozzled",
            **signed(target.key, notification, body),
        }
        try:
            async with asyncio.timeout(self._seconds):
                answer = await self._exchange.send(Request("POST", target.url, headers, body, self._seconds))
        except TimeoutError:
            return f"it took longer than {self._seconds:g} s"
        except Unreachable:  # its text has the address in it
            return "it could not be reached"
        except (OSError, ValueError):
            return "its answer cannot be understood"
        return None if answer.status in _OK else str(answer.status)


def document(notification: Notification) -> dict[str, Any]:
    """Return what a webhook is sent."""
    told: dict[str, Any] = {
        "id": notification.identity,
        "kind": notification.kind,
        "title": notification.title,
        "body": notification.body,
        "date": notification.date,
        "about": dict(notification.about),
    }
    if notification.picture is not None:
        told["picture"] = {"type": "image/jpeg", "base64": base64.b64encode(notification.picture).decode()}
    return told


def signed(key: str, notification: Notification, body: bytes) -> dict[str, str]:
    """Return the headers that show who has sent this, and when: HMAC-SHA256 over `DATE.BODY`."""
    date = str(notification.date)
    signature = hmac.new(key.encode(), date.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {
        "Nozzled-Delivery": notification.identity,
        "Nozzled-Date": date,
        "Nozzled-Signature": f"sha256={signature}",
    }
