"""Discovery messages for Home Assistant: their form (2026.2), and traps that others have fallen into."""

import asyncio
import json
import re

import pytest

from daemon.companions.front_state import FrontState
from daemon.companions.mqtt import discovery
from daemon.companions.mqtt.discovery import PrinterDescription
from daemon.companions.mqtt.payloads import payloads
from daemon.companions.mqtt.topics import Topics, clean
from support.http import api
from support.mqtt import publishing

BASE = Topics("nozzled/mk3")
DISCOVERY_TOPIC = "homeassistant/device/nozzled_mk3/config"
PRINTER = PrinterDescription(
    "mk3", "MK3", "i3", "Marlin", "http://printer:5000", ("tool0", "bed"), commands=True, power=True
)

# Home Assistant's own schema, written down as data: keys of the root, of every entity, and of each platform
AVAILABILITY = {"availability", "availability_mode", "availability_topic", "availability_template",
                "payload_available", "payload_not_available"}  # fmt: skip
ROOT = AVAILABILITY | {"device", "origin", "components", "state_topic", "command_topic", "qos", "encoding"}
DEVICE = {"identifiers", "connections", "manufacturer", "model", "model_id", "name", "hw_version", "serial_number",
          "sw_version", "via_device", "suggested_area", "configuration_url"}  # fmt: skip
COMMON = AVAILABILITY | {
    "platform", "unique_id", "default_entity_id", "enabled_by_default", "entity_category", "entity_picture", "icon",
    "json_attributes_topic", "json_attributes_template", "qos", "encoding", "name", "device_class",
}  # fmt: skip
READS = {"state_topic", "value_template"}
PLATFORMS = {
    "sensor": READS | {"expire_after", "force_update", "options", "suggested_display_precision", "state_class",
                       "unit_of_measurement"},
    "binary_sensor": READS | {"expire_after", "force_update", "off_delay", "payload_on", "payload_off"},
    "event": READS | {"event_types"},
    "button": {"command_topic", "command_template", "payload_press", "retain"},
    "switch": READS | {"command_topic", "command_template", "payload_on", "payload_off", "state_on", "state_off",
                       "optimistic", "retain"},
    "number": READS | {"command_topic", "command_template", "min", "max", "mode", "step", "optimistic", "retain",
                       "payload_reset", "unit_of_measurement"},
}  # fmt: skip
NEEDED = {
    "sensor": {"state_topic"}, "binary_sensor": {"state_topic"}, "event": {"state_topic", "event_types"},
    "button": {"command_topic"}, "number": {"command_topic"}, "switch": {"command_topic"},
}  # fmt: skip
CLASSES = {
    "sensor": {"temperature", "duration", "timestamp", "data_size"}, "number": {"temperature"},
    "binary_sensor": {"connectivity", "running", "problem", "power"}, "switch": {"outlet", "switch"},
}  # fmt: skip


def test_the_message_has_the_form_of_home_assistant():
    message = discovery.describe_device(PRINTER, BASE)
    assert message.keys() <= ROOT
    assert "~" not in message, "refused at the root of a device"
    assert {"device", "origin", "components"} <= message.keys()
    assert message["device"].keys() <= DEVICE
    assert message["device"]["identifiers"] == ["nozzled_mk3"]
    assert message["origin"].keys() <= {"name", "sw_version", "support_url"}
    assert message["origin"]["name"]
    for key, each in message["components"].items():
        platform = each["platform"]
        assert each.keys() <= COMMON | PLATFORMS[platform], key
        assert each.keys() >= {"unique_id", "default_entity_id", "name"} | NEEDED[platform], key
        assert "object_id" not in each, "gone in 2026.4"
        assert each["default_entity_id"].startswith(f"{platform}.nozzled_mk3_")
        assert each.get("device_class", next(iter(CLASSES.get(platform, {None})))) in CLASSES.get(platform, {None})
        assert ("availability" in each) <= (each.get("availability_mode") == "all"), "else the last one counts"
    assert re.fullmatch(
        r"homeassistant/device/[a-zA-Z0-9_-]+/config", discovery.discovery_topic("homeassistant", "mk3")
    )


def test_availability_is_a_list_only():
    message = discovery.describe_device(PRINTER, BASE)
    assert "availability_topic" not in message
    assert not any("availability_topic" in each for each in message["components"].values())
    assert message["availability"] == [{"topic": "nozzled/mk3/availability"}]
    hotend = message["components"]["tool0"]
    assert [each["topic"] for each in hotend["availability"]] == ["nozzled/mk3/availability", "nozzled/mk3/state"]


def test_options_not_inherited_by_entities_are_not_at_the_root():
    assert not {"qos", "encoding", "command_topic", "state_topic"} & discovery.describe_device(PRINTER, BASE).keys()


def test_ids_are_unique_and_survive_renaming():
    message = discovery.describe_device(PRINTER, BASE)
    ids = [each["unique_id"] for each in message["components"].values()]
    assert len(ids) == len(set(ids))
    renamed = discovery.describe_device(
        PrinterDescription("mk3", "Another", heaters=("tool0", "bed"), commands=True, power=True), BASE
    )
    assert [each["unique_id"] for each in renamed["components"].values()] == ids


@pytest.mark.parametrize("name", ["MK3", "Hotend", "bed", "State", "P"])
def test_no_entity_has_the_name_of_its_device(name):
    message = discovery.describe_device(PrinterDescription("a", name, heaters=("tool0", "bed")), BASE)
    device = message["device"]["name"].casefold()
    assert not any(each["name"].casefold().startswith(device) for each in message["components"].values())


def test_a_removed_entity_is_sent_once_with_only_its_platform():
    message = discovery.describe_device(PRINTER, BASE, {"chamber": "sensor", "bed": "sensor"})
    assert message["components"]["chamber"] == {"platform": "sensor"}
    assert len(message["components"]["bed"]) > 1
    assert "chamber" not in discovery.platforms_of(message)


def test_single_entities_are_marked_for_migration():
    [(topic, text)] = discovery.migration_messages(["homeassistant/sensor/old/config"])
    assert topic == "homeassistant/sensor/old/config"
    assert json.loads(text) == {"migrate_discovery": True}


def test_templates_use_published_fields():
    state = FrontState()
    state.take({"all": {"printer": {"state": "ready", "heaters": {"tool0": {"actual": 1, "target": 2}}}}})
    published = payloads(state, {}, 0.0, current=True)
    for each in discovery.describe_device(PrinterDescription("mk3", "MK3", heaters=("tool0",), commands=True), BASE)[
        "components"
    ].values():
        if "state_topic" not in each or each["platform"] == "event":
            continue  # a button shows nothing; each event has a topic of its own
        value = published[each["state_topic"].rpartition("/")[2]]
        for name in re.search(r"value_json\.([\w.]+)", each["value_template"])[1].split("."):
            assert name in value, each
            value = value[name]


@pytest.mark.parametrize("text", ["a/b", "a+b", "#", "ä b", "\0", "", "x" * 300])
def test_no_name_puts_special_characters_into_a_topic(text):
    assert re.fullmatch(r"[A-Za-z0-9_-]{0,64}", clean(text))


# -- beside the service -----------------------------------------------------------------------------------------


async def test_the_device_is_described_once_and_again_at_the_birth_of_home_assistant(tmp_path, monkeypatch):
    async with api(tmp_path, switched_on=["mqtt"]) as server, publishing(server, monkeypatch) as companion:
        await asyncio.sleep(60)
        described = companion._broker.of(DISCOVERY_TOPIC)
        assert len(described) <= 2, "again when the printer has told of its heaters"
        assert {"tool0", "bed", "tool0_target"} <= described[-1]["components"].keys()
        await companion._broker.on_message("homeassistant/status", b"offline", retained=True)
        await asyncio.sleep(10)
        assert len(companion._broker.of(DISCOVERY_TOPIC)) == len(described)
        companion._broker.sent.clear()
        await companion._broker.on_message("homeassistant/status", b"online", retained=False)
        await asyncio.sleep(6)
        assert {DISCOVERY_TOPIC, "nozzled/mk3/state", "nozzled/mk3/temperatures"} <= {
            each.topic for each in companion._broker.sent
        }


async def test_entities_of_commands_are_removed_when_commands_are_off(tmp_path, monkeypatch):
    async with api(tmp_path, switched_on=["mqtt"]) as server:
        async with publishing(server, monkeypatch, commands=True) as companion:
            assert "pause" in companion._broker.of(DISCOVERY_TOPIC)[-1]["components"]
        async with publishing(server, monkeypatch) as companion:
            first, last = companion._broker.of(DISCOVERY_TOPIC)[:2]
            assert first["components"]["pause"] == {"platform": "button"}
            assert "pause" not in last["components"]


async def test_a_new_id_removes_the_topics_of_the_old_one(tmp_path, monkeypatch):
    async with api(tmp_path, switched_on=["mqtt"]) as server:
        async with publishing(server, monkeypatch):
            pass
        async with publishing(server, monkeypatch, id="mk4") as companion:
            sent = {each.topic: each.payload for each in companion._broker.sent}
            for topic in (DISCOVERY_TOPIC, "nozzled/mk3/availability", "nozzled/mk3/state", "nozzled/mk3/job"):
                assert sent[topic] == ""
            assert sent["homeassistant/device/nozzled_mk4/config"]
        async with publishing(server, monkeypatch, id="mk4", home_assistant=False) as companion:
            assert companion._broker.of("homeassistant/device/nozzled_mk4/config") == [None]
        async with publishing(server, monkeypatch, id="mk5", home_assistant=False) as companion:
            assert companion._broker.of("nozzled/mk4/state") == [None]


async def test_single_entities_are_migrated_and_removed(tmp_path, monkeypatch):
    old = "homeassistant/sensor/old/config"
    async with (
        api(tmp_path, switched_on=["mqtt"]) as server,
        publishing(server, monkeypatch, migrate_from=(old,)) as companion,
    ):
        order = [(each.topic, each.payload) for each in companion._broker.sent if each.topic in (old, DISCOVERY_TOPIC)]
        assert [topic for topic, _ in order][:3] == [old, DISCOVERY_TOPIC, old]
        assert order[0][1] == '{"migrate_discovery": true}'
        assert order[2][1] == ""
