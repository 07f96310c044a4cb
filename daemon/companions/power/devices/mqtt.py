"""A switch behind an MQTT broker: with Tasmota's topics, or any others.

By Tasmota's documentation (MQTT): `cmnd/<topic>/POWER1` takes ON and OFF, and an empty payload asks for the state;
`stat/<topic>/POWER1` is ON or OFF, without the number if there is only one relay; `tele/<topic>/LWT` is Online or
Offline, retained. Commands are never retained: the broker would repeat them to the plug after each blackout.
"""

import asyncio
from contextlib import suppress

import aiomqtt

from daemon.companions.power.config import DeviceConfig
from daemon.companions.power.devices.answers import excerpt
from daemon.companions.power.errors import DeviceError

DEFAULT_PORT = 1883
RETRY_INTERVAL, MAX_RETRY_INTERVAL = 1.0, 30.0  # between attempts to reach the broker
_KEEPALIVE_S = 15
_MAX_PAYLOAD = 1024  # bytes; longer payloads are ignored
_MAX_UNREAD = 100  # messages


class MqttSwitch:
    """One switch, with its own connection to the broker.

    The connection is opened by the first call, and a task keeps it open until `close`.
    """

    def __init__(self, config: DeviceConfig, password: str) -> None:
        """Prepare.

        Raises:
            DeviceError: the broker's address is not valid.
        """
        self._config, self._password = config, password
        self._host, self._port = _broker_address(config)
        number = str(config.channel or "")
        tasmota = config.topic
        self._command_topic = f"cmnd/{tasmota}/POWER{number}" if tasmota else config.command_topic
        self._query_topic = self._command_topic if tasmota else config.query_topic
        self._available_topic = f"tele/{tasmota}/LWT" if tasmota else config.available_topic
        self._state_topics = {f"stat/{tasmota}/POWER{number}"} if tasmota else {config.state_topic} - {""}
        if tasmota and config.channel <= 1:
            self._state_topics |= {f"stat/{tasmota}/POWER", f"stat/{tasmota}/POWER1"}
        self._state: bool | None = None
        self._unreadable = ""  # the last state, if it was neither payload_on nor payload_off
        self._is_offline = False
        self._connection_error = "not connected yet"
        self._client: aiomqtt.Client | None = None  # while connected
        self._state_received = asyncio.Event()
        self._connected = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def on(self) -> None:
        """Switch it on."""
        await self._publish(self._command_topic, self._config.payload_on)

    async def off(self) -> None:
        """Switch it off."""
        await self._publish(self._command_topic, self._config.payload_off)

    async def sense(self) -> bool | None:
        """Ask for the state and return it; without a query topic, return the last one received."""
        if not self._state_topics:
            return None
        if not self._query_topic:
            await self._connect()
            self._check_online()
            return self._readable_state()
        self._state_received.clear()
        await self._publish(self._query_topic, "")
        self._check_online()
        try:
            async with asyncio.timeout(self._config.timeout_s):
                await self._state_received.wait()
        except TimeoutError as error:
            raise DeviceError(f"{self._config.name} has not answered over MQTT") from error
        return self._readable_state()

    async def close(self) -> None:
        """Disconnect from the broker."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def _check_online(self) -> None:
        if self._is_offline:
            raise DeviceError(f"{self._config.name} is offline, according to {self._available_topic}")

    def _readable_state(self) -> bool | None:
        if self._unreadable:
            states = f"{self._config.payload_on} nor {self._config.payload_off}"
            raise DeviceError(f"{self._config.name} reported neither {states}: {self._unreadable}")
        return self._state

    async def _connect(self) -> aiomqtt.Client:
        if self._task is None:
            self._task = asyncio.create_task(self._stay_connected())
        with suppress(TimeoutError):
            async with asyncio.timeout(self._config.timeout_s):
                await self._connected.wait()
        if self._client is None:
            raise DeviceError(f"{self._config.name}: no broker at {self._host}:{self._port}: {self._connection_error}")
        return self._client

    async def _publish(self, topic: str, payload: str) -> None:
        client = await self._connect()
        try:
            await client.publish(topic, payload, qos=1, retain=False, timeout=self._config.timeout_s)
        except (aiomqtt.MqttError, ValueError) as error:  # the latter for a topic with a wildcard
            raise DeviceError(f"{self._config.name}: cannot publish to the broker: {excerpt(str(error))}") from error

    async def _stay_connected(self) -> None:
        retry_s = RETRY_INTERVAL
        while True:
            try:
                await self._listen()
            except (aiomqtt.MqttError, OSError, ValueError) as error:
                self._connection_error = excerpt(str(error)) or type(error).__name__
            if self._client is not None:
                retry_s = RETRY_INTERVAL
            self._client, self._state, self._unreadable = None, None, ""
            self._connected.clear()
            await asyncio.sleep(retry_s)
            retry_s = min(2 * retry_s, MAX_RETRY_INTERVAL)

    async def _listen(self) -> None:
        config = self._config
        async with aiomqtt.Client(
            self._host,
            self._port,
            username=config.user or None,
            password=self._password or None,
            timeout=config.timeout_s,
            keepalive=_KEEPALIVE_S,
            max_queued_incoming_messages=_MAX_UNREAD,
        ) as client:
            for topic in sorted({*self._state_topics, *([self._available_topic] if self._available_topic else [])}):
                await client.subscribe(topic, qos=1)
            self._client, self._is_offline = client, False
            self._connected.set()
            async for message in client.messages:
                self._receive(str(message.topic), message.payload)

    def _receive(self, topic: str, payload: object) -> None:
        if not isinstance(payload, bytes | bytearray) or len(payload) > _MAX_PAYLOAD:
            return
        text = bytes(payload).decode("utf-8", "replace").strip().casefold()
        if topic == self._available_topic:
            self._is_offline = text in ("offline", "0", "false")
            self._state = None if self._is_offline else self._state
        elif topic in self._state_topics:
            states = {self._config.payload_on.casefold(): True, self._config.payload_off.casefold(): False}
            self._state = states.get(text)
            self._unreadable = "" if text in states else excerpt(bytes(payload)) or "an empty text"
            self._state_received.set()


def _broker_address(config: DeviceConfig) -> tuple[str, int]:
    host, colon, port = config.address.removeprefix("mqtt://").rpartition(":")
    if not colon:
        return port, DEFAULT_PORT
    if not host or not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 65536):  # noqa: PLR2004 - ports
        raise DeviceError(
            f"{config.name}: {excerpt(config.address)!r} is not a broker's address such as 192.168.1.5:1883"
        )
    return host.strip("[]"), int(port)
