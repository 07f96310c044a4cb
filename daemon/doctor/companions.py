"""Checks of what runs beside the daemon: whether it runs, reaches its devices, and gets its messages through."""

from collections.abc import Iterator, Mapping
from typing import Any

from daemon.doctor.finding import Finding, Subject, good, note
from daemon.doctor.view import View
from daemon.systemd.installed import Installed

_WORDS = {True: "on", False: "off"}
_WANTS_BROKER = "look at [mqtt] and at the broker: docs/mqtt.md"


def companions(_: View, subject: Subject) -> Iterator[Finding]:
    """Whether those that are switched on run, and what they say is wrong."""
    for name, answer in subject.companions.items():
        state = answer.get("state")
        if answer.get("away") is not False or not isinstance(state, Mapping):
            yield note(f"{name} is switched on, but does not run", _start(name, subject.service))
        elif (check := _CHECKS.get(name)) is not None:
            yield from check(state)


def _start(name: str, service: Installed | None) -> str:
    if service is None:
        return f"nozzled {name} serve"
    return f"sudo systemctl enable --now nozzled-{name}{f'@{service.printer}' if service.printer else ''}"


def _power(state: Mapping[str, Any]) -> Iterator[Finding]:
    devices = state.get("devices", [])
    for each in devices:
        if each["error"]:
            yield note(f"power: {each['error']}", f"mend the switch {each['name']!r} or its section: docs/power.md")
        elif each["on"] is None:
            yield note(
                f"power: nobody knows whether {each['name']} is on, as it has no word of its own",
                "state_url, state_topic or state_command below its [[power.devices]]",
            )
        else:
            yield good(f"power: {each['name']} is {_WORDS[each['on']]}")
    if devices and not any(each["printer"] for each in devices):
        yield note(
            "power: no switch is the printer's, so nothing keeps one on in a print",
            'role = "printer" below the [[power.devices]] that the printer hangs on',
        )
    yield from _sensors(state.get("sensors", {}))


def _sensors(sensors: Mapping[str, Any]) -> Iterator[Finding]:
    for each in sensors.get("filament", []):
        if each["present"]:
            yield good(f"sensors: {each['name']} has filament")
        else:
            yield note(f"sensors: {each['name']} says that there is no filament", "load some, or look at its wire")
    if (stop := sensors.get("stop")) is None:
        return
    if stop["pushed"]:
        yield note(
            "sensors: the stop button is pushed, or its wire is broken", "release it; it is a contact that opens"
        )
    elif not stop["direct"]:
        yield note("sensors: the stop button goes through the front alone", "start core and power as the same user")
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
            yield note(f"notify: nothing was sent to {name} yet", f"nozzled notify test {name}")
        elif last["reason"] is None:
            yield good(f"notify: the last message to {name} was delivered")
        else:
            yield note(
                f"notify: the last message to {name} was not delivered: {last['text']}", f"nozzled notify test {name}"
            )
    if (spoolman := state.get("spoolman")) is not None:
        if spoolman["away"]:
            yield note(f"notify: Spoolman: {spoolman['away']}", "mend the url of [spoolman]")
        else:
            yield good("notify: Spoolman answers")
    if state.get("dropped"):
        yield note(f"notify: {state['dropped']} messages were dropped, as too many waited", "mend the target")


def _timelapse(state: Mapping[str, Any]) -> Iterator[Finding]:
    if state.get("trouble"):
        yield note(f"timelapse: {state['trouble']}", "docs/camera.md")


def _mqtt(state: Mapping[str, Any]) -> Iterator[Finding]:
    if state.get("connected"):
        yield good(f"mqtt: connected to {state.get('broker')}")
    else:
        yield note(
            f"mqtt: not connected to {state.get('broker')}: {state.get('trouble') or 'no answer'}", _WANTS_BROKER
        )


_CHECKS = {"power": _power, "notify": _notify, "timelapse": _timelapse, "mqtt": _mqtt}

CHECKS = (companions,)
