"""A connection to NATS that is always restored, and has a sentence about why it is down.

The reconnecting of nats-py is not used: it gives up for good after an error such as a revoked key, and it publishes old
messages late. Here each connection has a new client and new subscriptions.
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
from daemon.farm.carrier.ending import run_for_ever, run_in_time
from daemon.farm.carrier.ends import ANSWER_TIMEOUT
from daemon.farm.carrier.errors import FarmUnreachable
from daemon.log import Limiter
from gcode.frozen import frozen

CONNECT_TIMEOUT = 15.0  # for TCP, TLS, greeting and all subscriptions
PAUSES_S = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0)  # between attempts; a random factor of 0.5 to 1.5 spreads out the printers
STEADY_S = 30.0  # after which a connection counts as good
PING_INTERVAL = 10.0  # after two pings without an answer, the connection counts as lost
CLOSE_TIMEOUT = 2.0
MAX_UNSENT = 2 << 20  # bytes that may wait for the socket
MAX_WAITING = 4096  # messages of a subscription that may wait for their handler; more are dropped
MAX_WAITING_BYTES = 32 << 20  # the same in bytes
FAILURES = (Error, OSError, TimeoutError, ssl.SSLError)
"""Exceptions of the client when it gets no connection, or no answer."""

log = structlog.get_logger()

SetUp = Callable[[Client], Awaitable[None]]
MessageHandler = Callable[[Msg], Awaitable[None]]


@frozen
class NatsAddress:
    """The addresses of NATS, and the key and settings to connect with.

    Attributes:
        urls: of the servers, `tls://host:4222` or `nats://host:4222`.
        seed: of the user's NKey; empty: none.
        tls: checks the servers' certificates; None: not encrypted.
        inbox: prefix of the subjects of answers.
    """

    urls: tuple[str, ...]
    seed: str = ""
    tls: ssl.SSLContext | None = None
    inbox: str = "_INBOX"

    def check(self) -> "NatsAddress":
        """Return the address itself; raise ConfigError if it is not valid."""
        if not self.urls:
            raise ConfigError("nats: name the address of a server, such as tls://farm.local:4222")
        for url in self.urls:
            parts = urlsplit(url)
            if parts.scheme not in ("nats", "tls") or not parts.hostname or parts.username or parts.password:
                raise ConfigError(f"nats: {url[:100]!r} must be tls://HOST:PORT or nats://HOST:PORT")
            if parts.scheme == "tls" and self.tls is None:
                raise ConfigError(
                    f"nats: {url} needs ca_file, the certificate of the authority that signed the server's"
                )
        return self


def tls_context(ca_file: str) -> ssl.SSLContext | None:
    """Return a context that checks the server's certificate; None without a file.

    Raises:
        ConfigError: the file is not a certificate.
    """
    if not ca_file:
        return None
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"nats: cannot use the certificate {ca_file}: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class NatsConnection:
    """A connection that is always restored.

    Attributes:
        trouble: why there is no connection, a sentence for users; empty while there is one.
        on_change: called when a connection is made, is lost, or cannot be made.
    """

    def __init__(self, address: NatsAddress, name: str, set_up: SetUp) -> None:
        """Prepare.

        Args:
            address: of NATS.
            name: our name in the log of NATS.
            set_up: makes the subscriptions of each new connection.
        """
        self.trouble = "not connected to NATS yet"
        self.on_change: Callable[[], None] = lambda: None
        self._address = address.check()
        self._name = name
        self._set_up = set_up
        self._client: Client | None = None
        self._last_error: Exception | None = None
        self._limit = Limiter(limit=5, period=60)

    @property
    def client(self) -> Client:
        """The connected client; raises FarmUnreachable without a connection."""
        if self._client is None:
            raise FarmUnreachable(self.trouble)
        return self._client

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection."""
        return self._client is not None

    async def run(self) -> None:
        """Stay connected until cancelled."""
        await run_for_ever(self._run())

    async def _run(self) -> None:
        loop, failures = asyncio.get_running_loop(), 0
        while True:
            began = loop.time()
            try:
                await self._connect_once()
                self._note_loss("the connection to NATS was lost")
            except FAILURES as error:
                self._note_loss(self._explain(error))
            failures = 0 if loop.time() - began > STEADY_S else failures + 1
            pause = PAUSES_S[min(failures, len(PAUSES_S) - 1)]
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - no secret

    async def ask(
        self, subject: str, body: bytes, within: float = ANSWER_TIMEOUT, headers: Mapping[str, str] | None = None
    ) -> Msg:
        """Return the answer to a message; raises FarmUnreachable."""
        copied = None if headers is None else {**headers}
        try:
            return await run_in_time(self.client.request(subject, body, timeout=within, headers=copied), within + 0.1)
        except NoRespondersError as error:
            raise FarmUnreachable(f"{subject}: no server answers; is `nozzled farm serve` running?") from error
        except FAILURES as error:
            raise FarmUnreachable(f"{subject}: no answer within {within:g} s ({_text(error)})") from error

    async def publish(self, subject: str, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Send a message; raises FarmUnreachable if it cannot be sent."""
        copied = None if headers is None else {**headers}
        try:
            await run_in_time(self.client.publish(subject, body, headers=copied), ANSWER_TIMEOUT)
        except FAILURES as error:
            raise FarmUnreachable(f"{subject}: not sent ({_text(error)})") from error

    # -- one connection ----------------------------------------------------------------------------------------------

    async def _connect_once(self) -> None:
        """Connect, and return when the connection is lost."""
        client, lost = Client(), asyncio.Event()
        self._last_error = None

        async def on_closed() -> None:
            lost.set()

        try:
            await run_in_time(self._connect(client, on_closed), CONNECT_TIMEOUT)
            if client.is_connected:
                self._client, self.trouble = client, ""
                log.info("nats.connected", server=_server_of(client))
                self.on_change()
                await lost.wait()
        finally:
            self._client = None
            await self._close(client)
        if self._last_error is not None:
            raise self._last_error

    async def _connect(self, client: Client, on_closed: Callable[[], Awaitable[None]]) -> None:
        await client.connect(closed_cb=on_closed, **self._options())
        await self._set_up(client)
        # The PING of nats-py's flush overtakes commands that its flusher task has not written yet, so the first PONG
        # does not prove that the last subscriptions were sent. The task has run by the time that this PONG arrives, so
        # a second PING is sent after the subscriptions.
        for _ in range(2):
            await client.flush()

    def _options(self) -> dict[str, Any]:
        address = self._address
        return {
            "servers": [*address.urls],
            "name": self._name,
            "error_cb": self._on_error,
            "allow_reconnect": False,
            "connect_timeout": CONNECT_TIMEOUT / 3,
            "reconnect_time_wait": 0.2,
            "max_reconnect_attempts": 1,
            "ping_interval": PING_INTERVAL,
            "max_outstanding_pings": 2,
            "pending_size": MAX_UNSENT,
            "flush_timeout": ANSWER_TIMEOUT,
            "inbox_prefix": address.inbox,
            "nkeys_seed_str": address.seed or None,
            "tls": address.tls,
        }

    async def _close(self, client: Client) -> None:
        with suppress(*FAILURES, AssertionError):  # nats-py asserts fields that a failed attempt has not set
            await run_in_time(client.close(), CLOSE_TIMEOUT)

    async def _on_error(self, error: Exception) -> None:
        """Log an error of nats-py, within a limit: a peer that floods us may cause many."""
        if isinstance(error, AuthorizationError) or not self.is_connected:
            self._last_error = error
            return
        if self._limit.admits(asyncio.get_running_loop().time()):
            event = "nats.too_slow" if isinstance(error, SlowConsumerError) else "nats.error"
            log.warning(event, reason=_text(error), not_shown=self._limit.take_suppressed())

    def _note_loss(self, why: str) -> None:
        if why != self.trouble:
            log.warning("nats.away", reason=why)
        self.trouble = why
        self.on_change()

    def _explain(self, error: Exception) -> str:
        """Return the cause of an error, for users."""
        cause = self._last_error if isinstance(error, NoServersError) and self._last_error is not None else error
        where = " and ".join(urlsplit(url).netloc for url in self._address.urls)
        text = _text(cause)
        if "authorization" in text.lower():
            return f"NATS at {where} refuses this key: it is not enrolled, or it was revoked"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"NATS at {where}: its certificate is not from this farm ({cause.verify_message})"
        return f"cannot reach NATS at {where}: {text}"


async def subscribe(client: Client, subject: str, handler: MessageHandler, queue: str = "") -> None:
    """Call `handler` with each message, one at a time; the client's error callback logs its exceptions."""
    await client.subscribe(
        subject, queue=queue, cb=handler, pending_msgs_limit=MAX_WAITING, pending_bytes_limit=MAX_WAITING_BYTES
    )


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _server_of(client: Client) -> str:
    url = client.connected_url
    return url.netloc if url is not None else ""
