"""/api/printer/preheat: heat by a temperature preset."""

import re
from collections.abc import Collection
from typing import Any

from daemon.config import ProfileConfig
from daemon.front.choices import HeatPreset
from daemon.front.http import gcode
from daemon.front.http.base import ApiHandler
from daemon.http.errors import Refused


class PreheatHandler(ApiHandler):
    """/api/printer/preheat."""

    async def post(self) -> None:
        """Heat by a preset (`preheat`), or turn all heaters off (`cooldown`), without waiting."""
        status = self.require_operational()
        command, data = self.command({"preheat": ["preset"], "cooldown": []})
        if command == "preheat" and status.flags["printing"]:
            raise Refused(409, "a print is in progress; its file sets the temperatures")
        profile, reported = self.service.core.profile, self.service.connection.heaters
        if command == "cooldown":
            commands = off_commands(profile, reported)
        else:
            commands = preset_commands(self._preset(data["preset"]), [self._tool(data)], profile, reported)
        if commands:
            await self.service.connection.send(commands)
        self.no_content()

    def _preset(self, name: object) -> HeatPreset:
        presets = self.service.choices.presets(self.service.core.profile)
        if isinstance(name, str):
            for each in presets:
                if each.name.casefold() == name.strip().casefold():
                    return each
        names = ", ".join(each.name for each in presets) or "none"
        raise Refused(404, f"there is no temperature preset {str(name)[:40]!r}; the presets are: {names}")

    def _tool(self, data: dict[str, Any]) -> str:
        tool = data.get("tool")
        if tool is not None:
            return f"tool{gcode.tool_number(tool, self.service.core.profile, self.service.connection.heaters)}"
        return f"tool{self.service.connection.modes.tool or 0}"


def off_commands(profile: ProfileConfig, reported: Collection[str]) -> list[str]:
    """Return the commands that turn off all heaters that the profile has or the printer reports."""
    tools = dict.fromkeys([f"tool{number}" for number in range(profile.hotends)], 0)
    tools |= {name: 0 for name in reported if re.fullmatch(r"tool\d{1,2}", name)}
    commands = gcode.heat_tools(tools, profile, reported)
    for heater, command, heated in (("bed", "M140", profile.heated_bed), ("chamber", "M141", profile.heated_chamber)):
        if heated or heater in reported:
            commands.append(f"{command} S0")
    return commands


def preset_commands(
    preset: HeatPreset, tools: list[str], profile: ProfileConfig, reported: Collection[str]
) -> list[str]:
    """Return the commands that set a preset's targets, for those heaters that the printer has.

    Raises:
        Refused: a target is above the profile's limit.
    """
    commands: list[str] = []
    if preset.hotend is not None:
        commands += gcode.heat_tools(dict.fromkeys(tools, preset.hotend), profile, reported)
    if preset.bed is not None and profile.heated_bed:
        commands += gcode.heat("M140", preset.bed, profile.max_bed_c)
    if preset.chamber is not None and profile.heated_chamber:
        commands += gcode.heat("M141", preset.chamber, profile.max_chamber_c)
    return commands
