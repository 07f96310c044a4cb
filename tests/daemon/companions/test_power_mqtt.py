"""A switch behind a real MQTT broker; the plug follows Tasmota's documentation."""

import asyncio
from dataclasses import replace

import aiomqtt
import pytest

from daemon.companions.power.config import DeviceConfig
from daemon.companions.power.devices import make
from daemon.companions.power.errors import DeviceError
from support.mqtt import Mosquitto
from support.processes import free_port
from support.waiting import TIMEOUT, until

pytestmark = pytest.mark.real_time


class MqttPlug:
    """One relay."""

    def __init__(self, port):
        self.port, self.is_on, self.commands = port, False, []
        self.listens = asyncio.Event()

    async def run(self):
        will = aiomqtt.Will("tele/plug/LWT", "Offline", retain=True)
        async with aiomqtt.Client("127.0.0.1", self.port, will=will) as client:
            await client.subscribe("cmnd/plug/+")
            await client.publish("tele/plug/LWT", "Online", retain=True)
            self.listens.set()
            async for message in client.messages:
                payload = message.payload.decode()
                self.commands.append((payload, message.retain))
                self.is_on = {"ON": True, "OFF": False}.get(payload, self.is_on)
                state = "ON" if self.is_on else "OFF"
                await client.publish("stat/plug/RESULT", f'{{"POWER":"{state}"}}')
                await client.publish("stat/plug/POWER", state)


@pytest.fixture
def broker(tmp_path):
    server = Mosquitto(tmp_path).start()
    yield server.port
    server.end()


async def wait_for_broker(port):
    async with asyncio.timeout(TIMEOUT):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return


async def test_a_tasmota_plug_is_switched_over_mqtt(broker):
    await wait_for_broker(broker)
    plug = MqttPlug(broker)
    running = asyncio.create_task(plug.run())
    config = DeviceConfig(name="plug", type="mqtt", address=f"127.0.0.1:{broker}", topic="plug", timeout_s=TIMEOUT)
    device = make(config)
    other = make(DeviceConfig(
        name="plug", type="mqtt", address=f"mqtt://127.0.0.1:{broker}", command_topic="cmnd/plug/POWER",
        state_topic="stat/plug/POWER", available_topic="tele/plug/LWT", timeout_s=TIMEOUT,
    ))  # fmt: skip
    await plug.listens.wait()
    assert await device.sense() is False
    assert await other.sense() is None, "it has reported nothing, and has no query topic"
    await device.on()
    assert await device.sense() is True
    async with asyncio.timeout(TIMEOUT):
        while await other.sense() is not True:  # noqa: ASYNC110 - the broker delivers to one client after the other
            await asyncio.sleep(0.01)
    await other.off()
    await until(lambda: not plug.is_on)
    async with asyncio.timeout(TIMEOUT):  # an older state may still be on its way
        while await device.sense() is not False:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
    assert plug.commands[0] == ("", False)
    assert not any(retain for _, retain in plug.commands)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await device.close()
    device = make(config)._device
    await device._connect()
    device._config = replace(config, timeout_s=1.0)
    with pytest.raises(DeviceError, match=r"plug (has not answered|is offline)"):
        await device.sense()
    await device.close()
    await other.close()


async def test_a_state_that_is_neither_on_nor_off_is_reported(broker):
    await wait_for_broker(broker)
    plug = MqttPlug(broker)
    running = asyncio.create_task(plug.run())
    device = make(DeviceConfig(
        name="plug", type="mqtt", address=f"127.0.0.1:{broker}", command_topic="cmnd/plug/POWER",
        state_topic="stat/plug/RESULT", timeout_s=TIMEOUT,
    ))  # fmt: skip
    await plug.listens.wait()
    assert await device.sense() is None
    await device.on()

    async def reported_state():
        async with asyncio.timeout(TIMEOUT):
            while (state := await device.sense()) is None:  # noqa: ASYNC110 - other processes
                await asyncio.sleep(0.01)
        return state

    with pytest.raises(DeviceError, match=r'plug reported neither ON nor OFF: \{"POWER":"ON"\}'):
        await reported_state()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await device.close()


async def test_a_topic_with_a_wildcard_is_reported(broker):
    await wait_for_broker(broker)
    device = make(DeviceConfig(
        name="plug", type="mqtt", address=f"127.0.0.1:{broker}", command_topic="cmnd/+/POWER", timeout_s=TIMEOUT,
    ))  # fmt: skip
    try:
        with pytest.raises(DeviceError, match="wildcards"):
            await device.on()
    finally:
        await device.close()


async def test_a_missing_broker_is_reported():
    unused_port = free_port()
    device = make(DeviceConfig(name="plug", type="mqtt", address=f"127.0.0.1:{unused_port}", topic="p", timeout_s=0.2))
    with pytest.raises(DeviceError, match=rf"plug: no broker at 127.0.0.1:{unused_port}: .*refused"):
        await device.on()
    await device.close()
