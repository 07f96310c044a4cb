"""/api/printerpresets: printers that are known by name, and the one that the printer seems to be."""

from typing import Any

from daemon.config.presets import Preset, presets, suggested
from daemon.errors import ConfigError
from daemon.front.access.scopes import Scope
from daemon.front.http.base import ApiHandler
from daemon.http.errors import Refused


class PresetsHandler(ApiHandler):
    """/api/printerpresets. Choosing one drops what an admin has changed of the profile, limits of heat among it."""

    writes = Scope.ADMIN

    async def get(self) -> None:
        """List the printers that are known; `suggested` is the one that M115 names, `area` what the firmware tells."""
        machine = self.service.connection.summary.fields.get("MACHINE_TYPE", "")
        found = suggested(machine)
        self.write(
            {
                "presets": [_as_json(each) for each in presets().values()],
                "current": self.service.core.profile.preset or None,
                "suggested": found.id if found is not None else None,
                "machineType": machine or None,
                "area": await self.service.analyses.area(),
            }
        )

    async def post(self) -> None:
        """Choose one (`use`, with `preset`; null: none). It holds at once for everything.

        Raises:
            Refused: 409 where the configuration describes the printer, or a print is in progress; 400 for a name that
                nobody has.
        """
        _, data = self.command({"use": ["preset"]})
        service, name = self.service, data["preset"]
        if name is not None and not isinstance(name, str):
            raise Refused(400, "preset must be a name, or null")
        try:
            await service.core.use_preset(name)
        except ConfigError as error:
            raise Refused(400, str(error)) from error
        self.no_content()


def _as_json(preset: Preset) -> dict[str, Any]:
    profile = preset.profile
    return {
        "id": preset.id,
        "name": preset.name,
        "also": list(preset.also),
        "width": profile.width_mm,
        "depth": profile.depth_mm,
        "height": profile.height_mm,
        "origin": profile.origin,
        "formFactor": profile.shape,
        "extruders": profile.extruders,
        "sharedNozzle": profile.shared_nozzle,
        "heatedChamber": profile.heated_chamber,
        "firmware": profile.firmware,
    }
