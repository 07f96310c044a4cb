"""/api/settings and /api/printerprofiles: what clients read of the configuration. It is changed in its file alone."""

from typing import Any

from daemon.config import Config, ProfileConfig
from daemon.front.http.base import Cached
from daemon.front.http.connection import PROFILE
from daemon.front.http.errors import Refused
from daemon.front.http.gcode import EXTRUDE_SPEED, JOG_SPEED
from daemon.front.uploads.filenames import EXTENSIONS


class SettingsHandler(Cached):
    """/api/settings."""

    def get(self) -> None:
        """Tell what clients look for; all of OctoPrint's sections are there."""
        self.write(_settings(self.service.config, self.service.uuid))


def _settings(config: Config, uuid: str) -> dict[str, Any]:
    return {
        "accessControl": {},
        "api": {"key": None, "allowCrossOrigin": bool(config.http.allow_origins)},
        "appearance": {"name": config.appearance.name, "color": "default", "colorTransparent": False},
        "controls": [],
        "devel": {},
        "feature": {"sdSupport": False, "temperatureGraph": True, "modelSizeDetection": False},
        "folder": {},
        "gcodeAnalysis": {"runAt": "always"},
        "plugins": {"discovery": {"upnpUuid": uuid}, "action_command_notification": {}, "action_command_prompt": {}},
        "scripts": {},
        "serial": {"baudrate": config.printer.baudrate, "autoconnect": bool(config.printer.address)},
        "server": {"allowedExtensions": list(EXTENSIONS)},
        "slicing": {"defaultSlicer": None},
        "system": {},
        "temperature": {"profiles": [], "cutoff": 30, "sendAutomatically": False},
        "terminalFilters": [],
        "webcam": _webcam(config),
    }  # fmt: skip


def _webcam(config: Config) -> dict[str, Any]:
    webcam = config.webcam
    return {
        "webcamEnabled": bool(webcam.stream_url or webcam.snapshot_url),
        "timelapseEnabled": False,
        "streamUrl": webcam.stream_url,
        "snapshotUrl": webcam.snapshot_url,
        "snapshotSslValidation": True,
        "streamRatio": "16:9",
        "streamTimeout": 5,
        "flipH": webcam.flip_horizontally,
        "flipV": webcam.flip_vertically,
        "rotate90": webcam.rotate_90,
        "bitrate": "10000k",
    }


class ProfilesHandler(Cached):
    """/api/printerprofiles."""

    def get(self) -> None:
        """List the one profile, which is that of the configuration."""
        self.write({"profiles": {PROFILE: _profile(self.service.core.profile, self.url(_RESOURCE))}})


class ProfileHandler(Cached):
    """/api/printerprofiles/<id>."""

    def get(self, name: str) -> None:
        """Tell about the profile."""
        if name != PROFILE:
            raise Refused(404, "there is no such printer profile")
        self.write(_profile(self.service.core.profile, self.url(_RESOURCE)))


USUAL = 200.0
"""mm that OctoPrint's profile says of a printer that nobody has described."""

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
            "width": profile.width_mm or USUAL,
            "depth": profile.depth_mm or USUAL,
            "height": profile.height_mm or USUAL,
            "origin": profile.origin,
            "formFactor": profile.shape,
            "custom_box": _reach(profile),
        },
        "preset": profile.preset or None,
        "sized": profile.sized,
        "firmware": profile.firmware or None,
        "maxTemperatures": {
            "hotend": profile.max_hotend_c,
            "bed": profile.max_bed_c,
            "chamber": profile.max_chamber_c,
        },
    }


def _reach(profile: ProfileConfig) -> dict[str, float] | bool:
    """Return how far the nozzle gets, in OctoPrint's words, where that is not the bed alone."""
    if not profile.sized or not any((profile.x_min_mm, profile.x_max_mm, profile.y_min_mm, profile.y_max_mm,
                                     profile.z_min_mm, profile.z_max_mm)):  # fmt: skip
        return False
    middle = profile.origin == "center"
    box = {}
    for axis, size in (("x", profile.width_mm), ("y", profile.depth_mm), ("z", profile.height_mm)):
        low = -size / 2 if middle and axis != "z" else 0.0
        box[f"{axis}_min"] = getattr(profile, f"{axis}_min_mm") or low
        box[f"{axis}_max"] = getattr(profile, f"{axis}_max_mm") or low + size
    return box
