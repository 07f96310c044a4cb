"""A real mosquitto with a client that listens, and the companion `mqtt` beside the service in memory."""

import asyncio
import json
import shutil
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import aiomqtt

from daemon.companions.mqtt import companion as companion_module
from daemon.companions.mqtt.companion import MqttCompanion
from daemon.companions.mqtt.config import MqttConfig
from support.client import in_memory
from support.companions import HubMessages, companion_key, running
from support.http import NOW
from support.processes import Child, cannot_run, free_port
from support.waiting import TIMEOUT


class Mosquitto:
    """A broker that forgets everything when it is restarted."""

    def __init__(self, folder: Path, *more: str):
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        if program is None:
            cannot_run("mosquitto is missing: apt-get install mosquitto")
        self.port = free_port()
        self._program = program
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            "\n".join([f"listener {self.port} 127.0.0.1", "user root", *(more or ["allow_anonymous true"]), ""])
        )
        self._log = folder / "mosquitto.log"
        self.child = None

    def start(self):
        self.child = Child([self._program, "-c", self._config], self._log)
        return self

    def signal(self, number):
        self.child.signal(number)

    def end(self):
        self.child.end()


@asynccontextmanager
async def broker(folder, *more):
    running = Mosquitto(folder, *more).start()
    try:
        yield running
    finally:
        running.end()


class Payloads(dict):
    """The last payload of each topic; `all` has every message."""

    def __init__(self):
        super().__init__()
        self.all = []
        self.client = None

    async def until(self, condition, what, seconds=TIMEOUT):
        try:
            async with asyncio.timeout(seconds):
                while not condition(self):  # noqa: ASYNC110 - a listener without a queue
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"waited in vain for {what}; there is {dict(self)}") from None

    def json(self, topic):
        return json.loads(self[topic])


@asynccontextmanager
async def listener(port, topic="#", **options):
    payloads = Payloads()

    async def listen():
        async for message in payloads.client.messages:
            payloads[message.topic.value] = message.payload.decode()
            payloads.all.append((message.topic.value, message.payload.decode(), message.retain))

    connection = AsyncExitStack()
    for _ in range(100):  # the broker is still starting
        with suppress(aiomqtt.MqttError):
            payloads.client = await connection.enter_async_context(aiomqtt.Client("127.0.0.1", port, **options))
            break
        await asyncio.sleep(0.05)
    else:
        raise AssertionError("the broker does not answer")
    await payloads.client.subscribe(topic)
    task = asyncio.create_task(listen())
    try:
        yield payloads
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, aiomqtt.MqttError):
            await task
        with suppress(aiomqtt.MqttError):  # the broker may have ended
            await connection.aclose()


class FakeBroker:
    """Replaces the connection: sends the messages of the outbox at once, to `sent`."""

    def __init__(self, config, outbox, *, availability, topics, on_message, **options):
        self.is_connected, self.trouble = True, None
        self.outbox, self.on_message, self.topics, self.options = outbox, on_message, topics, options
        self.sent = []

    async def run(self):
        while True:
            await self.outbox.wake.wait()
            while (message := self.outbox.take()) is not None:
                self.sent.append(message)

    def of(self, topic):
        return [json.loads(each.payload) if each.payload else None for each in self.sent if each.topic == topic]


class MqttBeside(HubMessages, MqttCompanion):
    """The companion beside a service in memory."""


@asynccontextmanager
async def publishing(server, monkeypatch, **config):
    """Run the companion beside a service, without a broker; yields it, with the connection as `_broker`."""
    monkeypatch.setattr(companion_module, "Broker", FakeBroker)
    folder = server.service.folder / "companions/mqtt"
    folder.mkdir(parents=True, exist_ok=True)
    key = companion_key(server, "mqtt")
    settings = MqttConfig(**{"host": "broker", "id": "mk3", **config})
    companion = MqttBeside(in_memory(server, key), folder, config=settings, environ={}, wall=lambda: NOW)
    companion.server, companion.key = server, key
    async with running(companion, start=2):
        yield companion
