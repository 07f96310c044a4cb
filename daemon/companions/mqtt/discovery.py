"""The description by which Home Assistant finds the printer: one device with all of its entities.

Its form is that of "device discovery". The root has only those shared keys that Home Assistant passes on to the
entities. `~` is not accepted there, and `object_id` is no longer a key of an entity.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from daemon import __version__
from daemon.companions.mqtt.commands import MAX_CELSIUS
from daemon.companions.mqtt.topics import Topics
from gcode.frozen import frozen

Component = dict[str, Any]

EVENTS = {
    "PrintStarted": "print_started",
    "PrintPaused": "print_paused",
    "PrintResumed": "print_resumed",
    "PrintDone": "print_done",
    "PrintFailed": "print_failed",
    "PrintCancelled": "print_cancelled",
    "Connected": "connected",
    "Disconnected": "disconnected",
    "Error": "error",
}
"""Events of the API that are published → their names in Home Assistant."""

_DIAGNOSTIC = {"entity_category": "diagnostic"}
_CELSIUS = {"device_class": "temperature", "unit_of_measurement": "°C", "suggested_display_precision": 0}


@frozen
class PrinterDescription:
    """The printer to describe.

    Attributes:
        id: of the printer; it identifies the entities for ever.
        name: for users.
        model: make and model.
        firmware: its firmware.
        url: of its page.
        heaters: their names.
        commands: whether it accepts commands.
        power: whether it has a power switch.
    """

    id: str
    name: str
    model: str = ""
    firmware: str = ""
    url: str = ""
    heaters: tuple[str, ...] = ()
    commands: bool = False
    power: bool = False


def device_id(identity: str) -> str:
    """Return the identifier of the device."""
    return f"nozzled_{identity}"


def discovery_topic(prefix: str, identity: str) -> str:
    """Return the topic of a device's description."""
    return f"{prefix}/device/{device_id(identity)}/config"


def describe_device(
    printer: PrinterDescription, topics: Topics, former_entities: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the description of a device.

    Args:
        printer: the device.
        topics: of the printer.
        former_entities: those of the last description, with their platforms; the description removes missing ones.
    """
    components = {key: _entity(key, each, printer, topics) for key, each in _components(printer, topics).items()}
    removed = {
        key: {"platform": platform} for key, platform in (former_entities or {}).items() if key not in components
    }
    about = {
        "identifiers": [device_id(printer.id)],
        "name": device_name(printer.name, [each["name"] for each in components.values()]),
        "manufacturer": "nozzled",
        "model": printer.model,
        "hw_version": printer.firmware,
        "sw_version": __version__,
        "configuration_url": printer.url,
    }
    return {
        "device": {key: value for key, value in about.items() if value},
        "origin": {"name": "nozzled", "sw_version": __version__},
        # a list, because `_entity` overrides it with a list; a single topic beside a list would be refused
        "availability": [{"topic": topics.availability}],
        "components": {**components, **removed},
    }


def device_name(name: str, entities: Iterable[str]) -> str:
    """Return the device's name, which Home Assistant puts before each entity's: no entity's name may begin with it."""
    if any(each.casefold().startswith(name.casefold()) for each in entities):
        return f"{name} printer"
    return name


def platforms_of(description: Mapping[str, Any]) -> dict[str, str]:
    """Return the entities of a description, with their platforms."""
    return {key: each["platform"] for key, each in description["components"].items() if len(each) > 1}


def migration_messages(old: Iterable[str]) -> list[tuple[str, str]]:
    """Return the messages to the topics of single entities, to be sent before the device replaces the entities."""
    return [(each, '{"migrate_discovery": true}') for each in old]


def _entity(key: str, component: Component, printer: PrinterDescription, topics: Topics) -> Component:
    """Complete an entity. One that needs the printer is unavailable while no printer is connected."""
    needs = component.pop("needs_printer", False)
    identity = device_id(printer.id)
    completion: Component = {
        "unique_id": f"{identity}_{key}",
        "default_entity_id": f"{component['platform']}.{identity}_{key}",
    }
    if needs:
        connected = "{{ 'online' if value_json.connected else 'offline' }}"
        completion["availability"] = [
            {"topic": topics.availability},
            {"topic": topics.of_part("state"), "value_template": connected},
        ]
        completion["availability_mode"] = "all"
    return {**component, **completion}


def _components(printer: PrinterDescription, topics: Topics) -> dict[str, Component]:
    components = {**_sensors(topics), **_binary_sensors(topics), "event": _event(topics)}
    for heater in printer.heaters:
        components |= _heater_sensors(heater, topics)
    if printer.power:
        components |= _switch(topics) if printer.commands else _power(topics)
    if printer.commands:
        components |= _buttons(topics)
        for heater in printer.heaters:
            components |= _number(heater, topics)
    return components


def _sensor(part: str, field: str, name: str, topics: Topics, **more: Any) -> Component:
    return {
        "platform": "sensor",
        "name": name,
        "state_topic": topics.of_part(part),
        "value_template": f"{{{{ value_json.{field} }}}}",
        **more,
    }


def _sensors(topics: Topics) -> dict[str, Component]:
    percent = {"unit_of_measurement": "%"}
    measured = {"state_class": "measurement"}
    seconds = {"device_class": "duration", "unit_of_measurement": "s"}
    size = {"device_class": "data_size", "unit_of_measurement": "B"}
    return {
        "state": _sensor("state", "text", "State", topics),
        "error": _sensor("state", "error", "Last error", topics, **_DIAGNOSTIC),
        "file": _sensor("job", "file", "File", topics),
        "progress": _sensor("job", "progress", "Progress", topics, **percent, **measured),
        "left": _sensor("job", "left", "Time left", topics, **seconds),
        "elapsed": _sensor("job", "elapsed", "Time printing", topics, **seconds),
        "finish": _sensor("job", "finish", "Finish", topics, device_class="timestamp"),
        "layer": _sensor("job", "layer", "Layer", topics),
        "layers": _sensor("job", "layers", "Layers", topics, **_DIAGNOSTIC),
        "resends": _sensor("link", "resend_percent", "Lines sent again", topics, **percent, **measured, **_DIAGNOSTIC),
        "host_temperature": _sensor("host", "temperature", "Processor", topics, **_CELSIUS, **measured, **_DIAGNOSTIC),
        "disk_free": _sensor("host", "disk_free", "Free disk", topics, **size, **measured, **_DIAGNOSTIC),
    }


def _binary_sensors(topics: Topics) -> dict[str, Component]:
    def binary(part: str, field: str, name: str, **more: Any) -> Component:
        on = f"{{{{ 'ON' if value_json.{field} else 'OFF' }}}}"
        return {**_sensor(part, field, name, topics), "platform": "binary_sensor", "value_template": on, **more}

    return {
        "connected": binary("state", "connected", "Connected", device_class="connectivity"),
        "printing": binary("state", "printing", "Printing", device_class="running"),
        "paused": binary("state", "paused", "Paused"),
        "problem": binary("state", "problem", "Problem", device_class="problem"),
        "undervoltage": binary("host", "undervoltage", "Undervoltage", device_class="problem", **_DIAGNOSTIC),
    }


def _power(topics: Topics) -> dict[str, Component]:
    template = (
        "{{ 'ON' if value_json.power == true else 'OFF' if value_json.power == false else None }}"  # None is unknown
    )
    return {
        "power": {
            **_sensor("state", "power", "Power", topics),
            "platform": "binary_sensor",
            "value_template": template,
            "device_class": "power",
        }
    }


def _switch(topics: Topics) -> dict[str, Component]:
    """Describe the power switch: a separate entity, since its platform is not that of the sensor."""
    return {
        "power_switch": {
            **_power(topics)["power"],
            "platform": "switch",
            "command_topic": topics.command,
            "payload_on": '{"verb": "power", "on": true}',
            "payload_off": '{"verb": "power", "on": false}',
            "state_on": "ON",
            "state_off": "OFF",
            "device_class": "switch",
        }
    }


def _event(topics: Topics) -> Component:
    return {
        "platform": "event",
        "name": "Event",
        "state_topic": f"{topics.base}/event/+",
        "event_types": [*EVENTS.values()],
    }


def _heater_sensors(heater: str, topics: Topics) -> dict[str, Component]:
    name, measured = name_of(heater), {**_CELSIUS, "state_class": "measurement", "needs_printer": True}

    def sensor(field: str, name: str) -> Component:
        return _sensor("temperatures", "", name, topics, **measured) | {
            "value_template": _template_if_known(heater, field)
        }

    return {heater: sensor("actual", name), f"{heater}_target": sensor("target", f"{name} target")}


def _template_if_known(heater: str, field: str) -> str:
    """Return a template that yields None (unknown) instead of an error if the printer reports no such heater."""
    return f"{{{{ value_json.{heater}.{field} if '{heater}' in value_json else None }}}}"


def _buttons(topics: Topics) -> dict[str, Component]:
    def button(verb: str, name: str, **more: Any) -> Component:
        return {
            "platform": "button",
            "name": name,
            "command_topic": topics.command,
            "payload_press": f'{{"verb": "{verb}"}}',
            "needs_printer": True,
            **more,
        }

    return {
        "pause": button("pause", "Pause"),
        "resume": button("resume", "Resume"),
        "cancel": button("cancel", "Cancel"),
        "stop": button("stop", "Emergency stop", enabled_by_default=False),
    }


def _number(heater: str, topics: Topics) -> dict[str, Component]:
    return {
        f"{heater}_set": {
            "platform": "number",
            "name": f"Set {name_of(heater).lower()}",
            "command_topic": topics.command,
            "command_template": f'{{"verb": "heat", "heater": "{heater}", "celsius": {{{{ value }}}}}}',
            "state_topic": topics.of_part("temperatures"),
            "value_template": _template_if_known(heater, "target"),
            "device_class": "temperature",
            "unit_of_measurement": "°C",
            "min": 0,
            "max": MAX_CELSIUS,
            "step": 1,
            "mode": "box",
            "enabled_by_default": False,
            "needs_printer": True,
        }
    }


def name_of(heater: str) -> str:
    """Return the name of a heater for users."""
    if heater.startswith("tool"):
        number = heater.removeprefix("tool")
        return "Hotend" if number == "0" else f"Hotend {number}"
    return heater.capitalize()
