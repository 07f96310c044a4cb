"""/api/printer: state, temperatures, heaters, axes, commands.

Without a printer, requests that need one are answered with 409.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from daemon.front.http import gcode
from daemon.front.http.base import ApiHandler
from daemon.front.push.statuses import public_status
from daemon.front.views.panel import panel_as_json
from daemon.front.views.temperatures import TemperatureHistory, is_heater, readings
from daemon.http.errors import Refused
from gcode.dialect import is_revival
from gcode.outgoing import is_stop

if TYPE_CHECKING:
    from daemon.front.front import Front

# OctoPrint's words, then ours
_PRINTING = "Printer is currently printing: pause the print first, or wait until it ends"
_NOT_AT_REST = "Printer is not operational or currently printing: pause the print first, or wait until it ends"


class HeaterHandler(ApiHandler):
    """Base of the handlers that show temperatures."""

    def initialize(self, service: "Front", history: TemperatureHistory) -> None:  # type: ignore[override]  # Tornado passes the arguments of the route
        """Store the service and the past temperatures."""
        super().initialize(service)
        self.history = history

    def temperatures(self, selects: Callable[[str], bool]) -> dict[str, Any]:
        """Return the latest readings of the selected heaters, with their history if the query asks for it."""
        answer = readings(self.service.connection.heaters, selects)
        for name, reading in answer.items():
            reading["offset"] = self.service.jobs.offsets.get(name, 0)
        if self.query_flag("history"):
            answer["history"] = self.history.last(self._limit(), selects)
        return answer

    def _limit(self) -> int | None:
        text = self.get_query_argument("limit", "")
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None  # noqa: PLR2004 - an arbitrary bound


class PrinterHandler(HeaterHandler):
    """/api/printer."""

    async def get(self) -> None:
        """Show temperatures, SD card and state, without the parts named in `exclude`."""
        status = self.require_operational()
        excluded = self.get_query_argument("exclude", "").split(",")
        parts: dict[str, Callable[[], dict[str, Any]]] = {
            "temperature": lambda: self.temperatures(is_heater),
            "sd": lambda: {"ready": False},
            "state": lambda: {
                **public_status({"text": status.text, "error": status.error or "", "flags": status.flags})
            },
            "safety": self._safety,  # not in OctoPrint: see docs/safety.md
        }
        answer = {name: make() for name, make in parts.items() if name not in excluded}
        if "temperature" not in excluded:
            answer["age"] = self._age()  # not in OctoPrint: for clients that switch the printer off
        if panel := panel_as_json(self.service.connection):
            answer["panel"] = panel  # not in OctoPrint: the printer's messages and prompts
        self.write(answer)
        await self.compress()

    def _age(self) -> dict[str, float | None]:
        """Return the seconds since the last temperature report, and since the last command from a client."""
        command_age = asyncio.get_running_loop().time() - self.service.connection.summary.commanded_at
        temperature = self.history.age()
        return {
            "temperature": None if temperature is None else round(temperature, 2),
            "command": round(max(0.0, command_age), 2),
        }

    def _safety(self) -> dict[str, Any]:
        protection = self.service.jobs.protection
        dead_man = protection and {"afterSeconds": protection.after_s, "reason": protection.reason}
        return {"trouble": self.service.core.trouble, "deadMan": dead_man}


class TemperaturesHandler(HeaterHandler):
    """/api/printer/temperatures."""

    async def get(self) -> None:
        """Show past temperatures, even without a printer: they may show why the connection ended."""
        self.write({"history": self.history.last(self._limit(), is_heater)})
        await self.compress()


class ToolHandler(HeaterHandler):
    """/api/printer/tool."""

    async def get(self) -> None:
        """Show the hotends' temperatures."""
        self.require_operational()
        self.write(self.temperatures(lambda name: name.startswith("tool")))
        await self.compress()

    async def post(self) -> None:
        """Select a tool, set targets or offsets, extrude, or set the flow."""
        status = self.require_operational()
        command, data = self.command(
            {
                "select": ["tool"],
                "target": ["targets"],
                "offset": ["offsets"],
                "extrude": ["amount"],
                "flowrate": ["factor"],
            }
        )
        if command == "extrude" and status.flags["printing"]:
            raise Refused(409, _PRINTING)
        await self.service.connection.send(await self._commands(command, data))
        self.no_content()

    async def _commands(self, command: str, data: dict[str, Any]) -> list[str]:
        profile = self.service.core.profile
        if command == "select":
            return gcode.select_tool(data["tool"], profile, self.service.connection.heaters)
        if command == "target":
            return gcode.heat_tools(data["targets"], profile, self.service.connection.heaters)
        if command == "extrude":
            return gcode.extrude(data, self.service.connection.modes)
        if command == "flowrate":
            return gcode.set_factor("M221", data["factor"])
        offsets = data["offsets"]
        if not isinstance(offsets, dict):
            raise Refused(400, 'offsets must be an object like {"tool0": 0}')
        checked = {f"tool{gcode.tool_number(name, profile)}": _offset(value) for name, value in offsets.items()}
        for name, offset in checked.items():
            await self.service.jobs.set_offset(name, offset)
        return []


def _offset(value: object) -> float:
    """Return the offset that is added to a file's targets, in °C."""
    return gcode.number(value, "offset", -50, 50)


class BedHandler(HeaterHandler):
    """/api/printer/bed, and the base of the chamber's handler."""

    heater = "bed"
    target_code = "M140"
    absence = "Printer does not have a heated bed: if it has one, set heated_bed in [profile]"

    def has_heater(self) -> bool:
        """Tell whether the printer has this heater."""
        return self.service.core.profile.heated_bed

    async def get(self) -> None:
        """Show its temperature."""
        self._require_heater()
        self.write(self.temperatures(lambda name: name == self.heater))
        await self.compress()

    async def post(self) -> None:
        """Set its target or offset; a heater that the printer reports can always be turned off."""
        self.require_operational()
        command, data = self.command({"target": ["target"], "offset": ["offset"]})
        if not (command == "target" and data["target"] == 0 and self.heater in self.service.connection.heaters):
            self._require_heater()
        if command == "offset":
            await self.service.jobs.set_offset(self.heater, _offset(data["offset"]))
        else:
            profile = self.service.core.profile
            limit = profile.max_chamber_c if self.heater == "chamber" else profile.max_bed_c
            await self.service.connection.send(gcode.heat(self.target_code, data["target"], limit))
        self.no_content()

    def _require_heater(self) -> None:
        self.require_operational()
        if not self.has_heater():
            raise Refused(409, self.absence)


class ChamberHandler(BedHandler):
    """/api/printer/chamber."""

    heater = "chamber"
    target_code = "M141"
    absence = "Printer does not have a heated chamber: if it has one, set heated_chamber in [profile]"

    def has_heater(self) -> bool:
        """Tell whether the printer has this heater."""
        return self.service.core.profile.heated_chamber


class PrintheadHandler(ApiHandler):
    """/api/printer/printhead."""

    async def post(self) -> None:
        """Move or home the head unless a print is running, or set the speed of a print."""
        status = self.require_operational()
        command, data = self.command({"jog": [], "home": ["axes"], "feedrate": ["factor"]})
        if command != "feedrate" and status.flags["printing"]:
            raise Refused(409, _NOT_AT_REST)
        if command == "jog":
            commands = gcode.jog(data, self.service.connection.modes)
        elif command == "home":
            commands = gcode.home(data["axes"])
        else:
            commands = gcode.set_factor("M220", data["factor"])
        await self.service.connection.send(commands)
        publish_homing(self.service, commands)
        self.no_content()


class SdHandler(ApiHandler):
    """/api/printer/sd: not supported; the answers are those of OctoPrint with SD support disabled."""

    def get(self) -> None:
        """Refuse."""
        raise Refused(404, "SD support is disabled")

    def post(self) -> None:
        """Refuse."""
        raise Refused(404, "SD support is disabled")


class PrinterErrorHandler(ApiHandler):
    """/api/printer/error."""

    def get(self) -> None:
        """Show the error that ended the connection or the last print, or else the safety rule that is broken."""
        status = self.status()
        error = status.error or self.service.core.trouble or ""
        self.write({"error": error, "reason": "error" if status.flags["error"] else ""})


class CommandHandler(ApiHandler):
    """/api/printer/command."""

    ignores_gone_client = True  # an emergency stop is one of its commands

    async def post(self) -> None:
        """Send G-code unchanged; if one command is refused, none is sent."""
        if not self._works_without_printer():
            self.require_operational()
        data = self.json_body()
        if "script" in data:
            raise Refused(404, "no such script")  # scripts run only around a print, as configured
        commands = gcode.commands(data)
        await self.service.connection.send(commands)
        publish_homing(self.service, commands)
        self.no_content()

    def _works_without_printer(self) -> bool:
        """Tell whether a command works without an operational printer: M112, or a command that ends a halt."""
        with suppress(Refused):
            return any(is_stop(command) or is_revival(command) for command in gcode.commands(self.json_body()))
        return False


def publish_homing(service: "Front", commands: Sequence[str]) -> None:
    """Publish the event Home if a client's commands home axes; for files, `push.motion` does."""
    if any(map(gcode.is_homing, commands)):
        service.events.publish("Home", {})


class CustomControlsHandler(ApiHandler):
    """/api/printer/command/custom."""

    def get(self) -> None:
        """Show that there are no custom controls."""
        self.write({"controls": []})
