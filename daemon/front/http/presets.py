"""/api/printerpresets: the known printer models, and the one that the printer seems to be."""

from typing import Any

from daemon.config.presets import Preset, presets, suggest
from daemon.errors import ConfigError
from daemon.front.access.scopes import Scope
from daemon.front.http.base import ApiHandler
from daemon.http.errors import Refused


class PresetsHandler(ApiHandler):
    """/api/printerpresets. Choosing a preset drops an admin's changes to the profile, such as temperature limits."""

    write_scope = Scope.ADMIN

    async def get(self) -> None:
        """List the presets; `suggested` is the one that fits the answer to M115, `area` is reported by the firmware."""
        machine = self.service.connection.summary.fields.get("MACHINE_TYPE", "")
        suggestion = suggest(machine)
        self.write(
            {
                "presets": [_as_json(each) for each in presets().values()],
                "current": self.service.core.profile.preset or None,
                "suggested": suggestion.id if suggestion is not None else None,
                "machineType": machine or None,
                "area": await self.service.analyses.area(),
            }
        )

    async def post(self) -> None:
        """Choose a preset (`use`, with `preset`; null: none); takes effect at once.

        Raises:
            Refused: 409 if the configuration describes the printer or a print is in progress; 400 for an unknown name.
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
        "also": list(preset.aliases),
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
