"""The companion `mqtt` beside the whole service, on the virtual clock: what it publishes, and commands to it."""

import asyncio
import json
from contextlib import suppress

import aiomqtt
import pytest

from daemon.companions.mqtt import config as settings
from daemon.companions.mqtt.broker import Broker
from daemon.companions.mqtt.commands import BadCommand, read
from daemon.companions.mqtt.config import MqttConfig
from daemon.companions.mqtt.outbox import MAX_EVENTS, MAX_TOPICS, BrokerOutbox, Outgoing
from daemon.companions.mqtt.rates import Rates
from daemon.companions.power.config import DeviceConfig, PowerConfig
from daemon.companions.power.power import Power
from daemon.companions.power.switch import Switch
from daemon.errors import ConfigError
from support.companions import FakeSwitch, beside
from support.http import NOW, api
from support.mqtt import publishing

PART = b"M104 S200\nG28\n" + b"G1 X50 F1200\nG1 X0\n" * 40 + b"M104 S0\n"
BASE = "nozzled/mk3"


async def print_it(server, name="a part.gcode"):
    await server.upload(("print", b"true"), ("file", name, PART))
    while not server.service.jobs.active:  # noqa: ASYNC110 - the clock is virtual
        await asyncio.sleep(0.2)


async def wait_for_end(server):
    while server.service.jobs.active:  # noqa: ASYNC110 - as above
        await asyncio.sleep(1)
    await asyncio.sleep(5)


async def test_a_print_is_published_from_start_to_end_at_a_limited_rate(tmp_path, monkeypatch):
    async with api(tmp_path, switched_on=["mqtt"]) as server, publishing(server, monkeypatch) as companion:
        sent = companion._broker
        assert sent.of(f"{BASE}/state")[-1]["connected"] is True
        began = asyncio.get_running_loop().time()
        await print_it(server)
        await wait_for_end(server)
        took = asyncio.get_running_loop().time() - began
        states = sent.of(f"{BASE}/state")
        assert any(each["printing"] for each in states)
        assert not states[-1]["active"]
        jobs = sent.of(f"{BASE}/job")
        assert jobs[-1]["outcome"] == "completed"
        assert jobs[-1]["file"] == "a part.gcode"
        percents = [each["progress"] for each in jobs if each["progress"] is not None]
        assert len(set(percents)) > 5
        assert percents == sorted(percents)
        assert all(isinstance(each, int) for each in percents)
        assert len(jobs) < 101 + took / 30 + 10
        temperatures = sent.of(f"{BASE}/temperatures")
        temperatures = [each for each in temperatures if each]  # none before the first report
        assert max(each["tool0"]["target"] for each in temperatures) == 200
        assert all(each["tool0"]["actual"] == round(each["tool0"]["actual"], 1) for each in temperatures)
        events = [each.topic.rpartition("/")[2] for each in sent.sent if "/event/" in each.topic]
        assert events.count("PrintStarted") == events.count("PrintDone") == 1
        [done] = sent.of(f"{BASE}/event/PrintDone")
        assert done["event_type"] == "print_done"
        assert all(not each.retain and each.qos == 1 for each in sent.sent if "/event/" in each.topic)
        assert all(each.retain for each in sent.sent if each.topic in (f"{BASE}/state", f"{BASE}/job"))
        topics = {each.topic for each in sent.sent}
        assert not any("part" in each for each in topics), "no topic is made of a file's name"


async def test_a_name_that_is_not_utf8_is_published(tmp_path, monkeypatch):
    async with api(tmp_path, switched_on=["mqtt"]) as server, publishing(server, monkeypatch) as companion:
        companion._front["job.file"] = {"name": "caf\udce9.gcode"}
        companion._publish()
        await asyncio.sleep(1)
        assert companion._broker.of(f"{BASE}/job")[-1]["file"] == "caf?.gcode"


async def test_a_command_whose_id_is_not_utf8_is_answered(tmp_path, monkeypatch):
    async with (
        api(tmp_path, switched_on=["mqtt"]) as server,
        publishing(server, monkeypatch, commands=True) as companion,
    ):
        result = await command(companion, b'{"verb": "power", "on": 1, "id": "\\ud800"}')
        assert (result["id"], result["ok"]) == ("?", False)


async def test_a_silent_front_makes_the_printer_unreachable(tmp_path, monkeypatch):
    async with api(tmp_path, switched_on=["mqtt"]) as server, publishing(server, monkeypatch) as companion:
        monkeypatch.setattr(companion._front, "take", lambda _: None)
        server.application.settings["hub"].close()
        await asyncio.sleep(20)
        state = companion._broker.of(f"{BASE}/state")[-1]
        assert (state["text"], state["connected"], state["printing"]) == ("Unreachable", False, False)
        assert companion._broker.of(f"{BASE}/temperatures")[-1] == {}


def reading(actual, target=0.0):
    return {"temperatures": {"bed": {"actual": actual, "target": target}}}


def test_temperatures_are_published_after_half_a_degree_or_five_seconds():
    rates = Rates(0.5, 5.0)
    assert rates.choose(0, reading(20.0))
    assert not rates.choose(1, reading(20.4))
    assert not rates.choose(4.9, reading(20.4))
    assert rates.choose(5, reading(20.4))
    assert rates.choose(5.1, reading(20.9))
    assert rates.choose(5.2, reading(20.9, 60.0))
    assert not rates.choose(500, reading(20.9, 60.0)), "nothing has changed"
    assert rates.choose(501, {"temperatures": {}})


def job(**values):
    base = {"file": "a", "progress": 1, "elapsed": 5, "left": 100, "layer": 1, "finish": "2026-01-01T10:00:00+00:00"}
    return {"job": {**base, **values}}


def test_a_job_is_published_per_percent_and_when_its_end_moves():
    rates = Rates(0.5, 5.0)
    assert rates.choose(0, job())
    assert not rates.choose(1, job(elapsed=6, left=99, layer=2))
    assert rates.choose(2, job(progress=2, finish="2026-01-01T10:00:40+00:00"))["job"]["finish"].endswith(
        "10:00:00+00:00"
    )
    assert rates.choose(3, job(progress=3, finish="2026-01-01T10:01:40+00:00"))["job"]["finish"].endswith(
        "10:01:40+00:00"
    )
    assert rates.choose(34, job(progress=3, left=60, finish="2026-01-01T10:01:50+00:00"))
    assert rates.choose(35, job(progress=3, left=None, finish=None))


def test_the_queue_for_a_broker_is_bounded_and_keeps_the_newest():
    outbox = BrokerOutbox()
    for number in range(1000):
        outbox.put(Outgoing("a", str(number)))
        outbox.put_event(Outgoing("e", str(number), retain=False, qos=1))
    assert outbox.waiting == MAX_EVENTS + 1
    assert outbox.drop_count == 1000 - MAX_EVENTS
    taken = []
    while (message := outbox.take()) is not None:
        taken.append(message)
    assert taken[-1].payload == "999"
    outbox.give_back(taken[-1])
    outbox.put(Outgoing("a", "newer"))
    outbox.give_back(taken[-1])
    assert outbox.take().payload == "newer"
    assert outbox.take() is None
    outbox.requeue_retained()
    assert outbox.take().payload == "newer", "a broker that has forgotten is told again"
    for number in range(MAX_TOPICS - 1):
        outbox.put(Outgoing(f"t{number}", "x"))
    with pytest.raises(ValueError, match="too many topics"):
        outbox.put(Outgoing("one more", "x"))


# -- commands ----------------------------------------------------------------------------------------------------


async def command(companion, payload, *, retained=False):
    text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    await companion._broker.on_message(f"{BASE}/command", text, retained=retained)
    await asyncio.sleep(3)
    results = companion._broker.of(f"{BASE}/result")
    return results[-1] if results else None


async def test_nothing_is_subscribed_unless_commands_are_enabled(tmp_path, monkeypatch):
    async with api(tmp_path, switched_on=["mqtt"]) as server, publishing(server, monkeypatch) as companion:
        assert companion._broker.topics == ["homeassistant/status"]
        assert not any("command_topic" in each for each in description_of(companion)["components"].values())


def description_of(companion):
    return companion._broker.of("homeassistant/device/nozzled_mk3/config")[-1]


async def test_commands_are_few_verbs_and_their_results_are_published(tmp_path, monkeypatch):
    async with (
        api(tmp_path, switched_on=["mqtt"]) as server,
        publishing(server, monkeypatch, commands=True) as companion,
    ):
        assert f"{BASE}/command" in companion._broker.topics
        await print_it(server)
        await asyncio.sleep(60)
        assert await command(companion, {"verb": "pause"}, retained=True) is None, "a retained one is an old one"
        result = await command(companion, {"verb": "pause", "id": "1"})
        assert result == {"id": "1", "verb": "pause", "ok": True, "error": None}
        while server.service.jobs.state.value != "paused":  # noqa: ASYNC110 - the clock is virtual
            await asyncio.sleep(1)
        assert (await command(companion, {"verb": "pause", "id": "1"}))["again"] is True
        assert (await command(companion, {"verb": "heat", "heater": "bed", "celsius": 50}))["ok"] is True
        await asyncio.sleep(5)
        assert server.service.connection.heaters["bed"].target == 50
        assert (await command(companion, {"verb": "cancel"}))["ok"] is True
        await wait_for_end(server)
        assert server.service.jobs.state.value == "cancelled"
        refused = await command(companion, {"verb": "cancel", "id": "2"})
        assert (refused["ok"], refused["status"]) == (False, 409)
        assert (await command(companion, {"verb": "stop"}))["ok"] is True
        await asyncio.sleep(5)
        assert not server.service.connection.ready


async def test_the_power_is_published_and_switched_unless_locked(tmp_path, monkeypatch):
    switch = FakeSwitch()

    def power(client, folder):
        switches = [Switch(DeviceConfig(name="Printer", type="relay", role="printer"), switch)]
        return Power(client, folder, PowerConfig(poll_s=2.0), switches, lambda: NOW)

    async with (
        api(tmp_path, switched_on=["mqtt", "power"]) as server,
        beside(server, power, "power"),
        publishing(server, monkeypatch, commands=True) as companion,
    ):
        await asyncio.sleep(5)
        assert companion._broker.of(f"{BASE}/state")[-1]["power"] is True
        assert description_of(companion)["components"]["power_switch"]["platform"] == "switch"
        await print_it(server)
        result = await command(companion, {"verb": "power", "on": False, "force": True})
        assert (result["ok"], result["status"]) == (False, 409)
        assert result["error"] == "the printer is busy (Printing): Printer stays on."
        await command(companion, {"verb": "cancel"})
        await wait_for_end(server)
        await asyncio.sleep(300)  # until it is cold
        assert (await command(companion, {"verb": "power", "on": False}))["ok"] is True
        await asyncio.sleep(2)
        assert (switch.commands, companion._broker.of(f"{BASE}/state")[-1]["power"]) == ([False], False)
        assert (await command(companion, {"verb": "power", "on": "no"}))["ok"] is False


async def test_a_command_older_than_a_hang_is_not_carried_out(tmp_path, monkeypatch):
    """A late cancel would end another print."""
    async with (
        api(tmp_path, switched_on=["mqtt"]) as server,
        publishing(server, monkeypatch, commands=True) as companion,
    ):
        await print_it(server)
        companion._ticked_at -= 60
        result = await command(companion, {"verb": "cancel", "id": "1"})
        assert (result["id"], result["ok"], "too late" in result["error"]) == ("1", False, True)
        companion._ticked_at -= 60
        await asyncio.sleep(1.5)  # the companion detects its hang before the command comes
        companion._command_queue.put_nowait((0.0, b'{"verb": "cancel"}'))  # it has waited behind other commands
        assert "too late" in (await command(companion, {"verb": "cancel"}))["error"]
        assert server.service.jobs.active
        await asyncio.sleep(5)
        assert (await command(companion, {"verb": "cancel", "id": "1"}))["ok"] is True


async def test_waiting_commands_are_bounded(tmp_path, monkeypatch):
    async with (
        api(tmp_path, switched_on=["mqtt"]) as server,
        publishing(server, monkeypatch, commands=True) as companion,
    ):
        for _ in range(100):
            await companion._broker.on_message(f"{BASE}/command", b'{"verb": "pause"}', retained=False)
        await asyncio.sleep(10)
        assert 0 < len(companion._broker.of(f"{BASE}/result")) <= 17


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"pause", "a JSON object"),
        (b"[1]", "with a verb"),
        (b'{"verb": "G28"}', "unknown verb"),
        (b'{"verb": "gcode", "commands": ["M112"]}', "unknown verb"),
        (b'{"verb": "pause", "id": 5}', "id must be a text"),
        (b'{"verb": "pause", "id": "' + b"x" * 65 + b'"}', "id must be a text"),
        (b'{"verb": "pause", "x": "' + b"x" * 2000 + b'"}', "1024 bytes"),
        (b"[" * 1000, "a JSON object"),
        (b"\xff", "a JSON object"),
    ],
)
def test_an_invalid_command_is_refused(payload, reason):
    with pytest.raises(BadCommand, match=reason):
        read(payload)


@pytest.mark.parametrize(
    "values",
    [
        {"heater": "bed\nM112", "celsius": 50}, {"heater": "bed", "celsius": "50"}, {"heater": "bed", "celsius": True},
        {"heater": "bed", "celsius": -1}, {"heater": "bed", "celsius": 1e9}, {"heater": ["bed"], "celsius": 50}, {},
    ],
)  # fmt: skip
async def test_heating_needs_a_heater_and_a_number(tmp_path, monkeypatch, values):
    async with (
        api(tmp_path, switched_on=["mqtt"]) as server,
        publishing(server, monkeypatch, commands=True) as companion,
    ):
        result = await command(companion, {"verb": "heat", **values})
        assert result["ok"] is False
        assert result["error"].startswith(("heater must be", "celsius must be"))


# -- configuration -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "name or address of the broker"),
        ({"host": "b", "id": "a/b"}, r"mqtt\.id"),
        ({"host": "b", "id": "a" * 65}, "at most 64"),
        ({"host": "b", "prefix": "a/#"}, r"mqtt\.prefix"),
        ({"host": "b", "prefix": ""}, r"mqtt\.prefix"),
        ({"host": "b", "discovery_prefix": "a//b"}, r"mqtt\.discovery_prefix"),
        ({"host": "b", "migrate_from": ("a/#",)}, r"mqtt\.migrate_from"),
        ({"host": "b", "migrate_from": ("a",) * 33}, r"mqtt\.migrate_from"),
        ({"host": "b", "cert_file": "x"}, "set both"),
    ],
)
def test_an_unusable_configuration_is_refused(options, reason):
    with pytest.raises(ConfigError, match=reason):
        settings.check(MqttConfig(**options))


def test_the_password_comes_from_a_file_a_credential_or_the_environment(tmp_path):
    (tmp_path / "pw").write_text("secret \n")
    config = MqttConfig(host="b", password_file=str(tmp_path / "pw"))
    assert settings.password(config, {}) == "secret "
    credentials = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    (tmp_path / settings.CREDENTIAL).write_text("given\n")
    assert settings.password(MqttConfig(host="b"), credentials) == "given"
    (tmp_path / settings.CREDENTIAL).write_text("#")
    assert settings.password(MqttConfig(host="b"), {**credentials, settings.PASSWORD_VARIABLE: "env"}) == "env"
    assert settings.password(MqttConfig(host="b"), {}) is None
    with pytest.raises(ConfigError, match="cannot read"):
        settings.password(MqttConfig(host="b", password_file=str(tmp_path / "none")), {})
    with pytest.raises(ConfigError, match="certificate"):
        settings.tls_context(MqttConfig(host="b", tls=True, ca_file=str(tmp_path / "none")))
    assert settings.tls_context(MqttConfig(host="b")) is None
    assert MqttConfig(tls=True).broker_port == 8883


class LossyClient:
    """An aiomqtt client whose first publish returns a result instead of being cancelled, as `asyncio.wait_for` may."""

    def __init__(self):
        self.published = []

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def publish(self, _topic, payload, **_):
        self.published.append(payload)
        if payload == "online":
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    @property
    async def messages(self):
        await asyncio.Event().wait()
        yield


async def test_a_lost_cancellation_does_not_keep_the_connection_alive(monkeypatch):
    client = LossyClient()
    monkeypatch.setattr(aiomqtt, "Client", lambda *_, **__: client)
    broker = Broker(MqttConfig(host="broker"), BrokerOutbox(), availability="availability", topics=(), on_message=None)
    running = asyncio.create_task(broker.run())
    await asyncio.sleep(1)
    running.cancel()
    await asyncio.wait([running], timeout=60)
    assert running.cancelled()
    assert client.published == ["online", "offline"]
