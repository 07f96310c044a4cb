"""The companion `mqtt` and a real mosquitto: killed, stopped, restarted, slow; and the companion killed."""

import asyncio
import signal
import ssl
import subprocess
import sys
from contextlib import suppress

import aiomqtt
import pytest

from daemon.client import OctoPrintClient
from daemon.companions.mqtt.companion import MqttCompanion
from daemon.companions.mqtt.config import MqttConfig
from daemon.front.access.companion_keys import key_path
from support.client import listening
from support.mqtt import broker, listener
from support.processes import NOZZLED, Child, program
from support.waiting import TIMEOUT

pytestmark = pytest.mark.real_time

BASE = "nozzled/mk3"
AVAILABILITY = f"{BASE}/availability"
DISCOVERY_TOPIC = "homeassistant/device/nozzled_mk3/config"


def process(folder, url, port, number):
    """Begin `nozzled mqtt serve`."""
    path = folder / "nozzled.toml"
    state = folder / "state"
    path.write_text(
        f'[paths]\nstate_dir = "{state}"\n[mqtt]\nhost = "127.0.0.1"\nport = {port}\nid = "mk3"\nkeepalive_s = 5\n'
    )
    command = [NOZZLED, "mqtt", "serve", "--config", path, "--url", url]
    return Child(command, folder / f"mqtt{number}.log")


def connected(messages):
    return (
        messages.get(AVAILABILITY) == "online"
        and f"{BASE}/state" in messages
        and messages.json(f"{BASE}/state")["connected"]
    )


async def test_the_broker_publishes_offline_after_a_kill_and_the_companion_at_a_clean_end(tmp_path):
    async with (
        broker(tmp_path) as mosquitto,
        listening(tmp_path / "state", switched_on=["mqtt"]) as (_, url),
        listener(mosquitto.port) as payloads,
    ):
        first = process(tmp_path, url, mosquitto.port, 1)
        try:
            await payloads.until(lambda it: connected(it) and DISCOVERY_TOPIC in it, "the first words")
            first.signal(signal.SIGKILL)
            await payloads.until(lambda it: it[AVAILABILITY] == "offline", "the last will")
        finally:
            first.end()
        second = process(tmp_path, url, mosquitto.port, 2)
        try:
            await payloads.until(connected, "the words of another process")
            second.signal(signal.SIGTERM)
            await payloads.until(lambda it: it[AVAILABILITY] == "offline", "its own last word")
            assert await asyncio.to_thread(second.wait, TIMEOUT) == 0
        finally:
            second.end()
        async with listener(mosquitto.port) as latecomer:
            await latecomer.until(
                lambda it: DISCOVERY_TOPIC in it and f"{BASE}/temperatures" in it, "what is kept for who comes late"
            )
            assert all(retained for _, _, retained in latecomer.all)


async def in_process(folder, url, port, **config):
    """Return the running companion, as a task."""
    settings = MqttConfig(**{"host": "127.0.0.1", "port": port, "id": "mk3", "keepalive_s": 5, **config})
    own = folder / "mqtt"
    own.mkdir(exist_ok=True)
    client = OctoPrintClient(url, key_path(folder / "state", "mqtt").read_text().strip())
    one = MqttCompanion(client, own, config=settings, environ={}, wall=lambda: 0.0)
    return one, asyncio.create_task(one.serve())


async def stop(one, task):
    task.cancel()
    await asyncio.wait([task])
    one.client.close()


async def test_a_restarted_broker_gets_everything_again_and_commands_work(tmp_path):
    async with broker(tmp_path) as mosquitto, listening(tmp_path / "state", switched_on=["mqtt"]) as (service, url):
        one, task = await in_process(tmp_path, url, mosquitto.port, commands=True)
        try:
            async with listener(mosquitto.port) as payloads:
                await payloads.until(connected, "the first words")
            mosquitto.signal(signal.SIGKILL)
            mosquitto.end()
            await asyncio.sleep(0.5)
            mosquitto.start()
            async with listener(mosquitto.port) as payloads:
                await payloads.until(lambda it: connected(it) and DISCOVERY_TOPIC in it, "all of it again")
                await payloads.client.publish(f"{BASE}/command", '{"verb": "heat", "heater": "bed", "celsius": 40}')
                await payloads.until(lambda it: f"{BASE}/result" in it, "the result")
                assert payloads.json(f"{BASE}/result")["ok"] is True
                await payloads.until(
                    lambda it: it.json(f"{BASE}/temperatures").get("bed", {}).get("target") == 40, "the new target"
                )
                payloads.clear()
                await payloads.client.publish("homeassistant/status", "online")
                await payloads.until(lambda it: DISCOVERY_TOPIC in it, "the description for a restarted Home Assistant")
        finally:
            await stop(one, task)
        assert service.connection.ready


async def test_user_and_password_are_sent_and_a_wrong_one_is_reported(tmp_path):
    passwords = tmp_path / "passwords"
    passwords.touch()
    program = "/usr/bin/mosquitto_passwd"
    async with broker(tmp_path, "allow_anonymous false", f"password_file {passwords}") as mosquitto:
        await asyncio.to_thread(
            subprocess.run, [program, "-b", passwords, "mk3", "secret"], check=True, capture_output=True
        )
        passwords.chmod(0o644)
        mosquitto.end()
        mosquitto.start()
        (tmp_path / "right").write_text("secret\n")
        (tmp_path / "wrong").write_text("guess\n")
        async with listener(mosquitto.port, username="mk3", password="secret"):
            pass  # it has begun
        async with listening(tmp_path / "state", "", switched_on=["mqtt"]) as (_, url):
            for name, error in (("wrong", "authori"), ("right", None)):
                one, task = await in_process(
                    tmp_path, url, mosquitto.port, username="mk3", password_file=str(tmp_path / name)
                )
                try:
                    async with asyncio.timeout(TIMEOUT):
                        while not (it := one._broker) or not (it.is_connected if error is None else it.trouble):  # noqa: ASYNC110 - there is no event
                            await asyncio.sleep(0.05)
                    assert error is None or error in one._broker.trouble.lower()
                finally:
                    await stop(one, task)


def make_certificate(folder):
    """Make a self-signed certificate for 127.0.0.1."""
    openssl = program("openssl")
    files = [folder / "broker.pem", folder / "broker.key"]
    subprocess.run(
        [
            openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=broker", "-addext", "subjectAltName=IP:127.0.0.1", "-out", files[0], "-keyout", files[1],
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return files


# paho leaves the socket of a handshake that failed to the collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_the_certificate_of_the_broker_is_checked(tmp_path):
    certificate, key = await asyncio.to_thread(make_certificate, tmp_path)
    more = ("allow_anonymous true", f"certfile {certificate}", f"keyfile {key}")
    async with (
        broker(tmp_path, *more) as mosquitto,
        listener(mosquitto.port, tls_context=ssl.create_default_context(cafile=certificate)) as payloads,
        listening(tmp_path / "state", "", switched_on=["mqtt"]) as (_, url),
    ):
        one, task = await in_process(tmp_path, url, mosquitto.port, tls=True, ca_file=str(certificate))
        try:
            await payloads.until(lambda it: it.get(AVAILABILITY) == "online", "the first word")
        finally:
            await stop(one, task)
        stranger, task = await in_process(tmp_path, url, mosquitto.port, tls=True)
        try:
            async with asyncio.timeout(TIMEOUT):
                while not (it := stranger._broker) or not it.trouble:  # noqa: ASYNC110 - there is no event
                    await asyncio.sleep(0.05)
            assert "certificate verify failed" in stranger._broker.trouble
        finally:
            await stop(stranger, task)


@pytest.mark.nightly
async def test_a_hanging_broker_costs_bounded_memory_and_then_gets_the_newest(tmp_path):
    async with (
        broker(tmp_path) as mosquitto,
        listening(tmp_path / "state", "sim?speed=20", switched_on=["mqtt"]) as (service, url),
    ):
        one, task = await in_process(tmp_path, url, mosquitto.port, temperature_every_s=1.0)
        try:
            async with listener(mosquitto.port) as payloads:
                await payloads.until(connected, "the first words")
                mosquitto.signal(signal.SIGSTOP)
                await service.connection.commands.send(["M140 S60"])
                await asyncio.sleep(25)  # longer than the connection lives without an answer
                assert not one._broker.is_connected
                assert one._outbox.waiting < 80
                assert service.connection.ready
                mosquitto.signal(signal.SIGCONT)
            async with listener(mosquitto.port) as payloads:
                await payloads.until(
                    lambda it: connected(it) and it.json(f"{BASE}/temperatures").get("bed", {}).get("target") == 60,
                    "the newest",
                    60,
                )
        finally:
            await stop(one, task)


async def test_an_end_during_the_first_message_still_publishes_offline(tmp_path, monkeypatch):
    payloads = []

    class Slow(aiomqtt.Client):
        async def publish(self, topic, payload=None, *more, **options):
            await super().publish(topic, payload, *more, **options)
            payloads.append(payload)
            if payload == "online":
                await asyncio.sleep(60)  # the broker's acknowledgement does not come

    monkeypatch.setattr(aiomqtt, "Client", Slow)
    async with broker(tmp_path) as mosquitto, listening(tmp_path / "state", "", switched_on=["mqtt"]) as (_, url):
        one, task = await in_process(tmp_path, url, mosquitto.port)
        async with asyncio.timeout(TIMEOUT):
            while not payloads:  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0.02)
        await stop(one, task)
    assert payloads == ["online", "offline"]


@pytest.mark.parametrize("losing", ["connect", "message", "disconnect"])
async def test_an_end_is_not_lost_though_aiomqtt_loses_it(tmp_path, monkeypatch, losing):
    published, reached = [], asyncio.Event()

    async def lose(call):
        """Lose a cancellation as `asyncio.wait_for` of Python 3.11 does if the result comes at the same time."""
        if call == losing and not reached.is_set():
            reached.set()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(600)

    class Losing(aiomqtt.Client):
        async def __aenter__(self):
            await super().__aenter__()
            await lose("connect")
            return self

        async def __aexit__(self, *error):
            await super().__aexit__(*error)
            await lose("disconnect")

        async def publish(self, topic, payload=None, *more, **options):
            await super().publish(topic, payload, *more, **options)
            published.append(payload)
            if payload not in ("online", "offline"):
                await lose("message")

    monkeypatch.setattr(aiomqtt, "Client", Losing)
    async with broker(tmp_path) as mosquitto, listening(tmp_path / "state", "", switched_on=["mqtt"]) as (_, url):
        one, task = await in_process(tmp_path, url, mosquitto.port, commands=True)
        async with asyncio.timeout(TIMEOUT):
            if losing == "disconnect":
                while not one._broker or not one._broker.is_connected:  # noqa: ASYNC110 - there is no event
                    await asyncio.sleep(0.02)
                mosquitto.signal(signal.SIGKILL)
                mosquitto.end()
            await reached.wait()
            await stop(one, task)
    assert losing == "disconnect" or published[-1] == "offline"


def test_core_and_front_load_no_mqtt_module():
    code = "import daemon.front.main, daemon.core.main, sys; print([m for m in sys.modules if 'mqtt' in m])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
