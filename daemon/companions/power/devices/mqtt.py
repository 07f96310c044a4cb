"""A switch behind an MQTT broker: Tasmota's topics, or any others.

By Tasmota's documentation (MQTT): `cmnd/<topic>/POWER1` takes ON and OFF, and tells by an empty payload;
`stat/<topic>/POWER1` says ON or OFF, without the number where there is one relay; `tele/<topic>/LWT` is Online or
Offline, retained. Commands are never retained: a broker would give them to the plug again after each blackout.
"""

import asyncio
from contextlib import suppress

import aiomqtt

from daemon.companions.power.config import DeviceConfig
from daemon.companions.power.devices.words import excerpt
from daemon.companions.power.errors import DeviceError

PORT = 1883
PAUSE, LONGEST_PAUSE = 1.0, 30.0  # s until the broker is tried again
_LONGEST = 1024  # bytes of a payload that is looked at
_MOST_WAITING = 100  # messages that nobody has looked at yet


class Mqtt:
    """One switch and its own connection to the broker."""

    def __init__(self, config: DeviceConfig, password: str) -> None:
        """Prepare.

        Raises:
            DeviceError: the broker's address is none.
        """
        self._config, self._password = config, password
        self._host, self._port = _address(config)
        number = str(config.channel or "")
        tasmota = config.topic
        self._command = f"cmnd/{tasmota}/POWER{number}" if tasmota else config.command_topic
        self._query = self._command if tasmota else config.query_topic
        self._available = f"tele/{tasmota}/LWT" if tasmota else config.available_topic
        self._states = {f"stat/{tasmota}/POWER{number}"} if tasmota else {config.state_topic} - {""}
        if tasmota and config.channel <= 1:
            self._states |= {f"stat/{tasmota}/POWER", f"stat/{tasmota}/POWER1"}
        self._state: bool | None = None
        self._away = False
        self._why = "not connected yet"
        self._client: aiomqtt.Client | None = None
        self._told = asyncio.Event()
        self._connected = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def on(self) -> None:
        """Switch it on."""
        await self._publish(self._command, self._config.payload_on)

    async def off(self) -> None:
        """Switch it off."""
        await self._publish(self._command, self._config.payload_off)

    async def sense(self) -> bool | None:
        """Return what it says when it is asked, or has said where it cannot be asked."""
        if not self._states:
            return None
        if not self._query:
            await self._reach()
            self._refuse_away()
            return self._state
        self._told.clear()
        await self._publish(self._query, "")
        self._refuse_away()
        try:
            async with asyncio.timeout(self._config.timeout_s):
                await self._told.wait()
        except TimeoutError as error:
            raise DeviceError(f"{self._config.name} has not answered over MQTT") from error
        return self._state

    async def close(self) -> None:
        """Leave the broker."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def _refuse_away(self) -> None:
        if self._away:
            raise DeviceError(f"{self._config.name} is offline, as {self._available} says")

    async def _reach(self) -> aiomqtt.Client:
        if self._task is None:
            self._task = asyncio.create_task(self._keep())
        with suppress(TimeoutError):
            async with asyncio.timeout(self._config.timeout_s):
                await self._connected.wait()
        if self._client is None:
            raise DeviceError(f"{self._config.name}: no broker at {self._host}:{self._port}: {self._why}")
        return self._client

    async def _publish(self, topic: str, payload: str) -> None:
        client = await self._reach()
        try:
            await client.publish(topic, payload, qos=1, retain=False, timeout=self._config.timeout_s)
        except aiomqtt.MqttError as error:
            raise DeviceError(f"{self._config.name}: the broker does not take it: {excerpt(str(error))}") from error

    async def _keep(self) -> None:
        pause = PAUSE
        while True:
            try:
                await self._listen()
            except (aiomqtt.MqttError, OSError, ValueError) as error:
                self._why = excerpt(str(error)) or type(error).__name__
            if self._client is not None:
                pause = PAUSE
            self._client, self._state = None, None
            self._connected.clear()
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _listen(self) -> None:
        config = self._config
        async with aiomqtt.Client(
            self._host,
            self._port,
            username=config.user or None,
            password=self._password or None,
            timeout=config.timeout_s,
            keepalive=15,
            max_queued_incoming_messages=_MOST_WAITING,
        ) as client:
            for topic in sorted({*self._states, *([self._available] if self._available else [])}):
                await client.subscribe(topic, qos=1)
            self._client, self._away = client, False
            self._connected.set()
            async for message in client.messages:
                self._take(str(message.topic), message.payload)

    def _take(self, topic: str, payload: object) -> None:
        if not isinstance(payload, bytes | bytearray) or len(payload) > _LONGEST:
            return
        said = bytes(payload).decode("utf-8", "replace").strip().casefold()
        if topic == self._available:
            self._away = said in ("offline", "0", "false")
            self._state = None if self._away else self._state
            return
        if topic not in self._states:
            return
        words = {self._config.payload_on.casefold(): True, self._config.payload_off.casefold(): False}
        self._state = words.get(said)
        self._told.set()


def _address(config: DeviceConfig) -> tuple[str, int]:
    host, colon, port = config.address.removeprefix("mqtt://").rpartition(":")
    if not colon:
        return port, PORT
    if not host or not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 65536):  # noqa: PLR2004 - ports
        raise DeviceError(
            f"{config.name}: {excerpt(config.address)!r} is not a broker's address, like 192.168.1.5:1883"
        )
    return host.strip("[]"), int(port)
