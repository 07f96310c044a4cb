"""Keeps a connection to the broker, and sends the messages in the outbox. Nothing else waits for the broker."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import aiomqtt
import structlog

from daemon.companions.mqtt.config import MqttConfig
from daemon.companions.mqtt.outbox import BrokerOutbox, Outgoing

PAUSES_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before each attempt to reconnect; the last one repeats."""

STEADY_S = 60.0  # duration of a connection that counts as good, so that the pauses start over
PUBLISH_TIMEOUT = 5.0
GOODBYE_TIMEOUT = 2.0  # for the last message, `offline`

log = structlog.get_logger()


class MessageHandler(Protocol):
    """Receives a message."""

    def __call__(self, topic: str, payload: bytes, *, retained: bool) -> Awaitable[None]:
        """Receive topic and payload; `retained`: the broker had stored it."""


class Broker:
    """Stays connected, sends waiting messages, and passes on those that arrive.

    Attributes:
        is_connected: there is a connection.
        trouble: why there is none.
    """

    def __init__(
        self,
        config: MqttConfig,
        outbox: BrokerOutbox,
        *,
        availability: str,
        topics: Sequence[str],
        on_message: MessageHandler,
        **options: Any,
    ) -> None:
        """Prepare.

        Args:
            config: the section [mqtt].
            outbox: messages to send.
            availability: topic with `online` or `offline`; the broker publishes the latter if this process dies.
            topics: those to listen to.
            on_message: receives messages.
            options: `password`, `tls_context` and `identifier` of the connection.
        """
        self.is_connected = False
        self.trouble: str | None = None
        self.on_change: Callable[[], None] = lambda: None
        self._config = config
        self._outbox = outbox
        self._availability = availability
        self._topics = topics
        self._on_message = on_message
        self._options = options

    async def run(self) -> None:
        """Stay connected until cancelled, then say goodbye to the broker.

        aiomqtt waits with `asyncio.wait_for`, which in Python 3.11 loses a cancellation that comes together with the
        result. So the connection is cancelled again until it has ended (see also `_check_cancelled`).
        """
        connection = asyncio.create_task(self._stay_connected())
        try:
            await asyncio.wait({connection})
            connection.result()  # it ends only with an error
        finally:
            while not connection.done():
                connection.cancel()
                await asyncio.wait({connection}, timeout=GOODBYE_TIMEOUT + PUBLISH_TIMEOUT)

    async def _stay_connected(self) -> None:
        loop, failures = asyncio.get_running_loop(), 0
        while True:
            began = loop.time()
            try:
                await self._connect_once()
            except* (aiomqtt.MqttError, OSError, TimeoutError) as group:
                failures = 0 if self.is_connected and loop.time() - began > STEADY_S else failures
                self._set_state(is_connected=False, trouble=_reason(group))
            pause = PAUSES_S[min(failures, len(PAUSES_S) - 1)]
            failures += 1
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - so that the printers of a farm do not all reconnect at once

    async def _connect_once(self) -> None:
        config = self._config
        client = aiomqtt.Client(
            config.host,
            config.broker_port,
            username=config.username or None,
            will=aiomqtt.Will(self._availability, "offline", qos=1, retain=True),
            keepalive=config.keepalive_s,
            timeout=PUBLISH_TIMEOUT,
            max_queued_incoming_messages=64,
            **self._options,
        )
        async with client:
            try:
                await self._exchange_messages(client)
            except asyncio.CancelledError:  # after a clean end the broker does not send the will
                with suppress(aiomqtt.MqttError, TimeoutError):
                    async with asyncio.timeout(GOODBYE_TIMEOUT):
                        await client.publish(self._availability, "offline", qos=1, retain=True)
                raise

    async def _exchange_messages(self, client: aiomqtt.Client) -> None:
        for each in self._topics:
            await client.subscribe(each, qos=1)
        self._outbox.requeue_retained()
        # from here on `_connect_once` has to publish `offline`, even if this is cancelled before the broker answers
        await client.publish(self._availability, "online", qos=1, retain=True)
        self._set_state(is_connected=True, trouble=None)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._send(client))
            group.create_task(self._receive(client))

    async def _send(self, client: aiomqtt.Client) -> None:
        while True:
            await self._outbox.wake.wait()
            while (message := self._outbox.take()) is not None:
                await self._send_one(client, message)

    async def _send_one(self, client: aiomqtt.Client, message: Outgoing) -> None:
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT):
                await client.publish(message.topic, message.payload, qos=message.qos, retain=message.retain)
                _check_cancelled()
        except BaseException:  # the message was not sent, for any reason
            self._outbox.give_back(message)
            raise

    async def _receive(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            payload = message.payload if isinstance(message.payload, bytes) else b""
            await self._on_message(message.topic.value, payload, retained=message.retain)
        raise aiomqtt.MqttError("the broker closed the connection")

    def _set_state(self, *, is_connected: bool, trouble: str | None) -> None:
        if (is_connected, trouble) == (self.is_connected, self.trouble):
            return
        self.is_connected, self.trouble = is_connected, trouble
        if is_connected:
            log.info("mqtt.connected", host=self._config.host, port=self._config.broker_port)
        else:
            log.warning("mqtt.not_connected", reason=trouble, consequence="trying again; prints are not affected")
        self.on_change()


def _check_cancelled() -> None:
    """Raise a cancellation that aiomqtt has swallowed: a task group cancels each of its tasks only once."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _reason(group: BaseExceptionGroup[BaseException]) -> str:
    """Return the first cause, in a sentence."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__
