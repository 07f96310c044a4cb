"""A connection to NATS that is made anew for ever, and says in a sentence why there is none.

nats-py's own reconnecting is not used: it ends for good at an error like a revoked key, and sends late what was
published meanwhile. Here each connection is a new client, and everything is subscribed anew.
"""

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import AuthorizationError, Error, NoRespondersError, NoServersError, SlowConsumerError

from daemon.errors import ConfigError
from daemon.farm.carrier.ending import for_ever, in_time
from daemon.farm.carrier.ends import PATIENCE
from daemon.farm.carrier.errors import FarmUnreachable
from daemon.log import Limiter
from gcode.frozen import frozen

CONNECTING = 15.0  # s for TCP, TLS, greeting and all subscriptions
PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0)  # s between attempts; times 0.5 to 1.5, so that a farm does not come at once
STEADY = 30.0  # s after which a connection counts as good
PING = 10.0  # s between two; two without an answer, and the connection is over
CLOSING = 2.0  # s
UNSENT = 2 << 20  # bytes that may wait for the socket
MOST_WAITING = 4096  # messages, and …
MOST_WAITING_BYTES = 32 << 20  # … bytes of a subscription that wait to be looked at; beyond, they are dropped
FAILURES = (Error, OSError, TimeoutError, ssl.SSLError)
"""What the client raises when a connection, or an answer, does not come about."""

log = structlog.get_logger()

SetUp = Callable[[Client], Awaitable[None]]
Hear = Callable[[Msg], Awaitable[None]]


@frozen
class NatsAddress:
    """Where NATS is, and who we are.

    Attributes:
        urls: of the servers, `tls://host:4222` or `nats://host:4222`.
        seed: of the user's NKey; empty: none.
        tls: how the servers' certificates are checked; None: not encrypted.
        inbox: what answers' subjects begin with.
    """

    urls: tuple[str, ...]
    seed: str = ""
    tls: ssl.SSLContext | None = None
    inbox: str = "_INBOX"

    def checked(self) -> "NatsAddress":
        """Return it, or raise ConfigError."""
        if not self.urls:
            raise ConfigError("nats: the address of a server is needed, like tls://farm.local:4222")
        for url in self.urls:
            parts = urlsplit(url)
            if parts.scheme not in ("nats", "tls") or not parts.hostname or parts.username or parts.password:
                raise ConfigError(f"nats: {url[:100]!r} must be tls://HOST:PORT or nats://HOST:PORT")
            if parts.scheme == "tls" and self.tls is None:
                raise ConfigError(f"nats: {url} needs the certificate that it is checked with (ca_file)")
        return self


def tls_context(ca_file: str) -> ssl.SSLContext | None:
    """Return what checks the server's certificate; None without a file.

    Raises:
        ConfigError: the file is no certificate.
    """
    if not ca_file:
        return None
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"nats: the certificate {ca_file} cannot be used: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class NatsConnection:
    """Keeps a connection.

    Attributes:
        trouble: why there is none; empty while there is one.
        on_change: called when it is made, and when it is lost.
    """

    def __init__(self, address: NatsAddress, name: str, set_up: SetUp) -> None:
        """Prepare.

        Args:
            address: where to.
            name: ours, for the server's log.
            set_up: subscribes what has to be heard, on each new connection.
        """
        self.trouble = "not connected to NATS yet"
        self.on_change: Callable[[], None] = lambda: None
        self._address = address.checked()
        self._name = name
        self._set_up = set_up
        self._client: Client | None = None
        self._last_error: Exception | None = None
        self._limit = Limiter(most=5, period=60)

    @property
    def client(self) -> Client:
        """The client that is connected; raises FarmUnreachable when none is."""
        if self._client is None:
            raise FarmUnreachable(self.trouble)
        return self._client

    @property
    def connected(self) -> bool:
        """Whether there is one."""
        return self._client is not None

    async def run(self) -> None:
        """Stay connected until cancelled."""
        await for_ever(self._run())

    async def _run(self) -> None:
        loop, failures = asyncio.get_running_loop(), 0
        while True:
            began = loop.time()
            try:
                await self._once()
                self._lost("the connection to NATS was lost")
            except FAILURES as error:
                self._lost(self._sentence(error))
            failures = 0 if loop.time() - began > STEADY else failures + 1
            pause = PAUSES[min(failures, len(PAUSES) - 1)]
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - no secret

    async def ask(
        self, subject: str, body: bytes, within: float = PATIENCE, headers: Mapping[str, str] | None = None
    ) -> Msg:
        """Return the answer to a message; raises FarmUnreachable."""
        given = None if headers is None else {**headers}
        try:
            return await in_time(self.client.request(subject, body, timeout=within, headers=given), within + 0.1)
        except NoRespondersError as error:
            raise FarmUnreachable(f"nobody answers {subject}: does `nozzled farm serve` run?") from error
        except FAILURES as error:
            raise FarmUnreachable(f"{subject}: no answer within {within:g} s ({_text(error)})") from error

    async def publish(self, subject: str, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Send a message; raises FarmUnreachable where it cannot even be sent."""
        given = None if headers is None else {**headers}
        try:
            await in_time(self.client.publish(subject, body, headers=given), PATIENCE)
        except FAILURES as error:
            raise FarmUnreachable(f"{subject}: not sent ({_text(error)})") from error

    # -- one connection ----------------------------------------------------------------------------------------------

    async def _once(self) -> None:
        """Connect, and return when the connection is over."""
        client, gone = Client(), asyncio.Event()
        self._last_error = None

        async def closed() -> None:
            gone.set()

        try:
            await in_time(self._connect(client, closed), CONNECTING)
            if client.is_connected:
                self._client, self.trouble = client, ""
                log.info("nats.connected", server=_shown(client))
                self.on_change()
                await gone.wait()
        finally:
            self._client = None
            await self._end(client)
        if self._last_error is not None:
            raise self._last_error

    async def _connect(self, client: Client, closed: Callable[[], Awaitable[None]]) -> None:
        await client.connect(closed_cb=closed, **self._options())
        await self._set_up(client)
        await client.flush()

    def _options(self) -> dict[str, Any]:
        address = self._address
        return {
            "servers": [*address.urls],
            "name": self._name,
            "error_cb": self._hear_error,
            "allow_reconnect": False,
            "connect_timeout": CONNECTING / 3,
            "reconnect_time_wait": 0.2,
            "max_reconnect_attempts": 1,
            "ping_interval": PING,
            "max_outstanding_pings": 2,
            "pending_size": UNSENT,
            "flush_timeout": PATIENCE,
            "inbox_prefix": address.inbox,
            "nkeys_seed_str": address.seed or None,
            "tls": address.tls,
        }

    async def _end(self, client: Client) -> None:
        with suppress(*FAILURES, AssertionError):  # it asserts what an attempt that was cut short has not set
            await in_time(client.close(), CLOSING)

    async def _hear_error(self, error: Exception) -> None:
        """Log what the client has to say; not without end, as whoever floods us may cause it."""
        if isinstance(error, AuthorizationError) or not self.connected:
            self._last_error = error
            return
        if self._limit.admits(asyncio.get_running_loop().time()):
            event = "nats.too_slow" if isinstance(error, SlowConsumerError) else "nats.error"
            log.warning(event, reason=_text(error), not_shown=self._limit.take_suppressed())

    def _lost(self, why: str) -> None:
        if why != self.trouble:
            log.warning("nats.away", reason=why)
        self.trouble = why
        self.on_change()

    def _sentence(self, error: Exception) -> str:
        """Return what is wrong, for people."""
        cause = self._last_error if isinstance(error, NoServersError) and self._last_error is not None else error
        where = " and ".join(urlsplit(url).netloc for url in self._address.urls)
        text = _text(cause)
        if "authorization" in text.lower():
            return f"NATS at {where} does not let this key in: enrol it (again), or it was revoked"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"NATS at {where}: its certificate is not the one of this farm ({cause.verify_message})"
        return f"NATS at {where} is not reached: {text}"


async def subscribe(client: Client, subject: str, hear: Hear, queue: str = "") -> None:
    """Have messages heard, one after the other; what `hear` raises is logged by the client's error callback."""
    await client.subscribe(
        subject, queue=queue, cb=hear, pending_msgs_limit=MOST_WAITING, pending_bytes_limit=MOST_WAITING_BYTES
    )


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _shown(client: Client) -> str:
    url = client.connected_url
    return url.netloc if url is not None else ""
