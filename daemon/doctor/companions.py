"""Checks of the companions: whether they run, reach their devices, and deliver their messages."""

from collections.abc import Iterator, Mapping
from typing import Any

from daemon.config.sections import unit_of
from daemon.doctor.finding import Finding, Subject, good, note
from daemon.doctor.view import View
from daemon.systemd.installed import InstalledService

_WORDS = {True: "on", False: "off"}


def companions(_: View, subject: Subject) -> Iterator[Finding]:
    """Whether the companions that are switched on are running, and the problems that they report."""
    for name, answer in subject.companions.items():
        state = answer.get("state")
        if answer.get("away") is not False or not isinstance(state, Mapping):
            yield note(f"the companion {name} is switched on, but not running", _start(name, subject.service))
        elif (check := _CHECKS.get(name)) is not None:
            yield from check(state)


def _start(name: str, service: InstalledService | None) -> str:
    if service is None:
        return "nozzled farm agent" if name == "farm" else f"nozzled {name} serve"
    return f"sudo systemctl enable --now {unit_of(name)}{f'@{service.printer}' if service.printer else ''}"


def _power(state: Mapping[str, Any]) -> Iterator[Finding]:
    devices = state.get("devices", [])
    for each in devices:
        if each["error"]:
            yield note(f"power: {each['error']}", f"check the switch {each['name']!r} and its section: docs/power.md")
        elif each["on"] is None:
            yield note(
                f"power: the state of {each['name']} is unknown: nothing reads it",
                "add state_url, state_topic or state_command to its [[power.devices]]",
            )
        else:
            yield good(f"power: {each['name']} is {_WORDS[each['on']]}")
    if devices and not any(each["printer"] for each in devices):
        yield note(
            "power: no switch has the role of the printer, so none is protected during a print",
            'add role = "printer" to the [[power.devices]] that powers the printer',
        )
    yield from _sensors(state.get("sensors", {}))


def _sensors(sensors: Mapping[str, Any]) -> Iterator[Finding]:
    for each in sensors.get("filament", []):
        if each["present"]:
            yield good(f"sensors: {each['name']} detects filament")
        else:
            yield note(f"sensors: {each['name']} detects no filament", "load filament, or check the wire")
    if (stop := sensors.get("stop")) is None:
        return
    if stop["pushed"]:
        yield note(
            "sensors: the stop button is pushed, or its wire is broken",
            "release it, and check the wire: the contact must be closed",
        )
    elif not stop["direct"]:
        yield note(
            "sensors: the stop button reaches the core only through the front", "start core and power as the same user"
        )
    else:
        yield good("sensors: the stop button is ready")


def _notify(state: Mapping[str, Any]) -> Iterator[Finding]:
    if state.get("problem"):
        yield note(f"notify: {state['problem']}", "docs/notifications.md")
    latest: dict[str, Mapping[str, Any]] = {}
    for each in state.get("results", []):  # the newest first
        latest.setdefault(each["target"], each)
    for target in state.get("targets", []):
        name = target["name"]
        if (last := latest.get(name)) is None:
            yield note(f"notify: no message was sent to {name} yet", f"nozzled notify test {name}")
        elif last["reason"] is None:
            yield good(f"notify: the last message to {name} was delivered")
        else:
            yield note(
                f"notify: the last message to {name} was not delivered: {last['text']}", f"nozzled notify test {name}"
            )
    if (spoolman := state.get("spoolman")) is not None:
        if spoolman["away"]:
            yield note(f"notify: Spoolman: {spoolman['away']}", "correct url in [spoolman]")
        else:
            yield good("notify: Spoolman answers")
    if state.get("dropped"):
        yield note(f"notify: {state['dropped']} messages were dropped: too many were waiting", "check the targets")


def _timelapse(state: Mapping[str, Any]) -> Iterator[Finding]:
    if state.get("trouble"):
        yield note(f"timelapse: {state['trouble']}", "docs/camera.md")


def _mqtt(state: Mapping[str, Any]) -> Iterator[Finding]:
    if state.get("connected"):
        yield good(f"mqtt: connected to {state.get('broker')}")
    else:
        yield note(
            f"mqtt: not connected to {state.get('broker')}: {state.get('trouble') or 'no answer'}",
            "check [mqtt] and the broker: docs/mqtt.md",
        )


def _farm(state: Mapping[str, Any]) -> Iterator[Finding]:
    if state.get("trouble"):
        yield note(f"farm: {state['trouble']}", "docs/farm.md")
    else:
        yield good(f"farm: connected as {state.get('id')}")


_CHECKS = {"farm": _farm, "power": _power, "notify": _notify, "timelapse": _timelapse, "mqtt": _mqtt}

CHECKS = (companions,)
