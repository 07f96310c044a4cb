"""/api/printerprofiles: the one printer profile, as configured, or as changed over the API."""

from collections.abc import Mapping
from typing import Any

from daemon.config import ProfileConfig
from daemon.errors import ConfigError, JobConflict
from daemon.front.access.scopes import Scope
from daemon.front.http.base import CachedHandler
from daemon.front.http.connection import PROFILE
from daemon.front.http.differences import differences
from daemon.front.http.gcode import EXTRUDE_SPEED, JOG_SPEED
from daemon.http.errors import Refused

CHANGEABLE = {
    "name": "name",
    "model": "model",
    "volume.width": "width_mm",
    "volume.depth": "depth_mm",
    "volume.height": "height_mm",
    "volume.origin": "origin",
    "volume.formFactor": "shape",
    "heatedBed": "heated_bed",
    "heatedChamber": "heated_chamber",
    "extruder.count": "extruders",
    "extruder.nozzleDiameter": "nozzle_mm",
    "extruder.sharedNozzle": "shared_nozzle",
    "maxTemperatures.hotend": "max_hotend_c",
    "maxTemperatures.bed": "max_bed_c",
    "maxTemperatures.chamber": "max_chamber_c",
    "firmware": "firmware",
}
"""The keys that PATCH changes, and their keys in the configuration."""

MAX_LENGTH = 200  # characters of a string

IGNORED = ("id", "color", "default", "current", "resource", "sized", "preset", "extruder.offsets")
"""Keys that clients merely send back, and those that follow from other keys."""


class ProfilesHandler(CachedHandler):
    """/api/printerprofiles."""

    write_scope = Scope.ADMIN

    def get(self) -> None:
        """List the one profile."""
        self.write({"profiles": {PROFILE: _profile(self.service.core.profile, self.url(_RESOURCE))}})

    def post(self) -> None:
        """Refuse: there is one printer."""
        raise JobConflict("the only printer profile is _default: change that one")


class ProfileHandler(CachedHandler):
    """/api/printerprofiles/<id>."""

    write_scope = Scope.ADMIN

    def get(self, name: str) -> None:
        """Show the profile."""
        self._require(name)
        self.write(_profile(self.service.core.profile, self.url(_RESOURCE)))

    async def patch(self, name: str) -> None:
        """Change all requested keys, or none; takes effect at once.

        Raises:
            Refused: 400 for an invalid value.
            JobConflict: a print is in progress, the configuration describes the printer, or a key cannot be changed.
        """
        self._require(name)
        data = self.json_body()
        profile = data.get("profile")
        if not isinstance(profile, dict):
            raise Refused(400, "no profile included in request")
        core = self.service.core
        values = _changes(profile, _profile(core.profile, ""))
        if values:
            try:
                await core.change_profile(values)
            except ConfigError as error:
                raise Refused(400, str(error)) from error
        self.write({"profile": _profile(self.service.core.profile, self.url(_RESOURCE))})

    def delete(self, name: str) -> None:
        """Refuse: the one profile is in use."""
        self._require(name)
        raise JobConflict("the profile is in use, and it is the only one")

    def _require(self, name: str) -> None:
        if name != PROFILE:
            raise Refused(404, "there is no such printer profile")


def _changes(profile: Mapping[str, Any], current: Mapping[str, Any]) -> dict[str, bool | int | float | str]:
    """Return the values that differ from the current ones, by their keys in the configuration."""
    values: dict[str, bool | int | float | str] = {}
    for key, raw in differences(profile, current, IGNORED):
        if key not in CHANGEABLE:
            raise JobConflict(f"{key} of the printer profile cannot be changed over the API")
        value = "" if key == "firmware" and raw is None else raw
        if not isinstance(value, bool | int | float | str) or (isinstance(value, str) and len(value) > MAX_LENGTH):
            raise Refused(400, f"{key} of the printer profile cannot be {str(value)[:40]}")
        values[CHANGEABLE[key]] = value
    return values


DEFAULT_SIZE = 200.0  # mm; as in OctoPrint's default profile

_RESOURCE = f"/api/printerprofiles/{PROFILE}"


def _profile(profile: ProfileConfig, resource: str) -> dict[str, Any]:
    speeds = {**JOG_SPEED, "e": EXTRUDE_SPEED}
    return {
        "id": PROFILE,
        "name": profile.name,
        "model": profile.model,
        "color": "default",
        "default": True,
        "current": True,
        "resource": resource,
        "axes": {axis: {"speed": round(speed), "inverted": False} for axis, speed in speeds.items()},
        "extruder": {
            "count": profile.extruders,
            "offsets": [[0.0, 0.0]] * profile.extruders,
            "nozzleDiameter": profile.nozzle_mm,
            "sharedNozzle": profile.shared_nozzle,
            "defaultExtrusionLength": 5,
        },
        "heatedBed": profile.heated_bed,
        "heatedChamber": profile.heated_chamber,
        "volume": {
            "width": profile.width_mm or DEFAULT_SIZE,
            "depth": profile.depth_mm or DEFAULT_SIZE,
            "height": profile.height_mm or DEFAULT_SIZE,
            "origin": profile.origin,
            "formFactor": profile.shape,
            "custom_box": _custom_box(profile),
        },
        "preset": profile.preset or None,
        "sized": profile.has_size,
        "firmware": profile.firmware or None,
        "maxTemperatures": {
            "hotend": profile.max_hotend_c,
            "bed": profile.max_bed_c,
            "chamber": profile.max_chamber_c,
        },
    }


def _custom_box(profile: ProfileConfig) -> dict[str, float] | bool:
    """Return OctoPrint's `custom_box`, the reach of the nozzle in mm; False if it is the volume above the bed."""
    if not profile.has_size or not any((profile.x_min_mm, profile.x_max_mm, profile.y_min_mm, profile.y_max_mm,
                                     profile.z_min_mm, profile.z_max_mm)):  # fmt: skip
        return False
    centred = profile.origin == "center"
    box = {}
    for axis, size in (("x", profile.width_mm), ("y", profile.depth_mm), ("z", profile.height_mm)):
        low = -size / 2 if centred and axis != "z" else 0.0
        box[f"{axis}_min"] = getattr(profile, f"{axis}_min_mm") or low
        box[f"{axis}_max"] = getattr(profile, f"{axis}_max_mm") or low + size
    return box
