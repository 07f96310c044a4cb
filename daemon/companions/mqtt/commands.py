"""The commands over MQTT, if `[mqtt] commands` is on: a few verbs, none of which takes G-code."""

import json
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from daemon.client import ClientError, OctoPrintClient, RequestRefused

MAX_COMMAND = 1024  # bytes
MAX_ID = 64
MAX_RESULTS = 64  # remembered by id, for a command that the broker delivers twice
MAX_CELSIUS = 500.0
HEATERS = ("bed", "chamber", *(f"tool{number}" for number in range(16)))


class BadCommand(Exception):
    """The payload is not a valid command; the text says why."""


def read(payload: bytes) -> dict[str, Any]:
    """Return the command in a payload: `verb`, optionally `id`, and the verb's parameters.

    Raises:
        BadCommand: the payload is not a valid command.
    """
    if len(payload) > MAX_COMMAND:
        raise BadCommand(f"a command must have at most {MAX_COMMAND} bytes")
    try:
        command = json.loads(payload)
    except (ValueError, RecursionError):
        raise BadCommand("a command must be a JSON object") from None
    if not isinstance(command, dict) or not isinstance(command.get("verb"), str):
        raise BadCommand("a command must be a JSON object with a verb")
    identity = command.get("id")
    if identity is not None and not (isinstance(identity, str) and 0 < len(identity) <= MAX_ID):
        raise BadCommand(f"id must be a text of 1 to {MAX_ID} characters")
    if command["verb"] not in VERBS:
        raise BadCommand(f"unknown verb; known verbs: {', '.join(VERBS)}")
    return command


async def _heat(printer: OctoPrintClient, command: Mapping[str, Any]) -> None:
    heater, target = command.get("heater"), command.get("celsius")
    if heater not in HEATERS:
        raise BadCommand("heater must be bed, chamber, tool0, tool1, …")
    if isinstance(target, bool) or not isinstance(target, int | float) or not math.isfinite(target):
        raise BadCommand("celsius must be a number")
    if not 0 <= target <= MAX_CELSIUS:
        raise BadCommand(f"celsius must be a number from 0 to {MAX_CELSIUS:g}")
    await printer.printer.heat({str(heater): float(target)})


async def _power(printer: OctoPrintClient, command: Mapping[str, Any]) -> None:
    """Switch the printer's power. This never overrides the lock that keeps it on, for example during a print."""
    if not isinstance(on := command.get("on"), bool):
        raise BadCommand("on must be true or false")
    await printer.companions.ask("power", "on" if on else "off")


VERBS: dict[str, Callable[[OctoPrintClient, Mapping[str, Any]], Awaitable[None]]] = {
    "pause": lambda printer, _: printer.job.pause(),
    "resume": lambda printer, _: printer.job.resume(),
    "cancel": lambda printer, _: printer.job.cancel(),
    "stop": lambda printer, _: printer.printer.send("M112"),
    "heat": _heat,
    "power": _power,
}


class MqttCommands:
    """Carries out commands, once for each id."""

    def __init__(self, printer: OctoPrintClient) -> None:
        self._printer = printer
        self._results: OrderedDict[str, dict[str, Any]] = OrderedDict()

    async def carry_out(self, payload: bytes, *, is_late: bool = False) -> dict[str, Any]:
        """Carry out a command, unless it is late, and return the result."""
        try:
            command = read(payload)
        except BadCommand as error:
            return {"id": None, "verb": None, "ok": False, "error": str(error)}
        identity = command.get("id")
        if is_late:
            return {
                "id": identity,
                "verb": command["verb"],
                "ok": False,
                "error": "the command arrived too late: send it again",
            }
        if identity is not None and identity in self._results:
            return {**self._results[identity], "again": True}
        result = {"id": identity, "verb": command["verb"], **await self._do(command)}
        if identity is not None:
            self._results[identity] = result
            while len(self._results) > MAX_RESULTS:
                self._results.popitem(last=False)
        return result

    async def _do(self, command: Mapping[str, Any]) -> dict[str, Any]:
        try:
            await VERBS[command["verb"]](self._printer, command)
        except BadCommand as error:
            return {"ok": False, "error": str(error)}
        except RequestRefused as error:
            text = (error.text or str(error)).partition(' Send "force"')[0]  # MQTT has no force
            return {"ok": False, "error": text, "status": error.status}
        except ClientError as error:
            return {"ok": False, "error": str(error)}
        return {"ok": True, "error": None}
