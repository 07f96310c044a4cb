"""/api/settings: the configuration as clients see it, and the part of it that they can change."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from daemon.camera.addresses import FIRST, cameras_of
from daemon.config import CameraConfig, ProfileConfig, WebcamConfig
from daemon.errors import ConfigError, JobConflict
from daemon.front.access.scopes import Scope
from daemon.front.choices import MAX_NAME_LENGTH, MAX_PRESETS, HeatPreset, fixed_keys_of
from daemon.front.http import settings_shape
from daemon.front.http.base import CachedHandler
from daemon.front.http.differences import differences
from daemon.http.errors import Refused

CHANGEABLE = {
    "appearance.name": ("appearance", "name"),
    "webcam.streamUrl": ("webcam", "stream_url"),
    "webcam.snapshotUrl": ("webcam", "snapshot_url"),
    "webcam.flipH": ("webcam", "flip_horizontally"),
    "webcam.flipV": ("webcam", "flip_vertically"),
    "webcam.rotate90": ("webcam", "rotate_90"),
    "webcam.name": ("webcam", "name"),
    "webcam.webrtcUrl": ("webcam", "webrtc_url"),
    "webcam.hlsUrl": ("webcam", "hls_url"),
    "webcam.cameras": ("webcam", "cameras"),
}
"""The settings that POST changes, besides the presets, with section and key of the configuration."""

PRESETS = "temperature.profiles"
IGNORED = ("plugins", PRESETS, "nozzled")  # handled otherwise, or read-only
CAMERAS = "webcam.cameras"
MAX_CAMERAS = 8  # in addition to the first
MAX_LENGTH = 2000  # characters of a string
MAX_PRINTER_NAME = 200  # characters

_PLUGIN = "classicwebcam"
_PLUGIN_KEYS = {
    "stream": "streamUrl", "snapshot": "snapshotUrl", "flipH": "flipH", "flipV": "flipV", "rotate90": "rotate90",
}  # fmt: skip
_HOST = re.compile(r"[\w.-]+|[0-9A-Fa-f:.]+(?:%\w+)?")  # a name or an address, as it stands between // and :

_MAX_DIGITS = 9  # of a temperature that is sent as a string

_HEATERS = {
    "extruder": ("hotend", "max_hotend_c"),
    "bed": ("bed", "max_bed_c"),
    "chamber": ("chamber", "max_chamber_c"),
}


class SettingsHandler(CachedHandler):
    """/api/settings."""

    write_scope = Scope.ADMIN

    def get(self) -> None:
        """Show the settings, with all of OctoPrint's sections and keys."""
        self.write(self._settings())

    async def post(self) -> None:
        """Change all requested settings, or none. Unknown keys are ignored, as are those of plug-ins but the camera's.

        Raises:
            Refused: 400 for an invalid value.
            JobConflict: a setting is set in the configuration file, or cannot be changed here.
        """
        current = self._settings()
        settings = _merge_plugin(self.json_body(), current)
        sections: dict[str, dict[str, Any]] = {}
        configured_keys = self._configured_keys()
        for key, value in differences(settings, current, IGNORED):
            if key in CHANGEABLE and value == self._current_value(key):
                continue  # unchanged, but shown to clients in another form
            if key in configured_keys:
                section, name = CHANGEABLE[key]
                raise JobConflict(f"{key} is set in the configuration file, [{section}] {name}: change it there")
            if key not in CHANGEABLE:
                raise JobConflict(f"{key} cannot be changed over the API")
            section, name = CHANGEABLE[key]
            sections.setdefault(section, {})[name] = self._checked_value(key, value)
        presets = _presets(settings, current, self.service.core.profile)
        if sections or presets is not None:
            try:
                await self.service.choices.change(sections, presets)
            except ConfigError as error:
                raise Refused(500 if error.__cause__ else 400, str(error)) from error
            self.service.events.publish("SettingsUpdated", {})
        self.write(self._settings())

    def _current_value(self, key: str) -> object:
        """Return the current value; clients may be shown another address in its place."""
        section, name = CHANGEABLE[key]
        return getattr(getattr(self.service, section), name)

    def _checked_value(self, key: str, value: object) -> object:
        return _cameras(value, self.service.webcam) if key == CAMERAS else _checked(key, value)

    def _configured_keys(self) -> list[str]:
        """Return the settings that the configuration file sets, by OctoPrint's names."""
        config = self.service.config
        by_section = {"appearance": fixed_keys_of(config.appearance), "webcam": fixed_keys_of(config.webcam)}
        return [key for key, (section, name) in CHANGEABLE.items() if name in by_section[section]]

    def _settings(self) -> dict[str, Any]:
        service = self.service
        shown = settings_shape.sections(
            service.config,
            service.webcam,
            service.appearance.name,
            service.uuid,
            timelapse=service.folder / "companions/timelapse" if service.companions.is_on("timelapse") else None,
        )
        if self.identity is None or self.identity.scope < Scope.ADMIN:
            shown["server"]["commands"] = dict.fromkeys(shown["server"]["commands"])  # they may hold passwords
        presets = [_preset_as_json(each) for each in service.choices.presets(service.core.profile)]
        shown["temperature"] = {
            "profiles": presets,
            "cutoff": 30,
            "sendAutomatically": False,
            "sendAutomaticallyAfter": 1,
        }
        if (power := service.companions.state("power") or {}).get("printer"):
            shown["plugins"]["psucontrol"] = settings_shape.power(power)
        shown["nozzled"] = {
            "fixed": self._configured_keys(),
            "editable": [*CHANGEABLE, PRESETS],
            "profileFixed": service.core.profile_is_configured,
        }
        if self.identity is not None and self.identity.scope is Scope.ADMIN:
            shown["nozzled"]["webcam"] = _as_configured(service.webcam)  # with addresses that only this machine reaches
        return shown


def _as_configured(webcam: WebcamConfig) -> dict[str, Any]:
    def keys(camera: CameraConfig | WebcamConfig) -> dict[str, Any]:
        return {ours: getattr(camera, key) for ours, key in settings_shape.CAMERA_KEYS.items()}

    return {**keys(webcam), "cameras": [keys(each) for each in webcam.cameras]}


def _cameras(entries: object, webcam: WebcamConfig) -> list[dict[str, Any]]:
    """Return the additional cameras for the configuration.

    Clients send back the public addresses that they were shown; those are replaced by the configured ones.

    Raises:
        Refused: the list is malformed.
    """
    fields = settings_shape.CAMERA_KEYS
    if not isinstance(entries, list) or len(entries) > MAX_CAMERAS:
        raise Refused(400, f"{CAMERAS} must be a list of at most {MAX_CAMERAS} cameras")
    configured = cameras_of(webcam)
    cameras = []
    for each in entries:
        name = each.get("name") if isinstance(each, dict) else None
        if not isinstance(each, dict) or not isinstance(name, str) or not 0 < len(name.strip()) <= MAX_NAME_LENGTH:
            raise Refused(400, f"{CAMERAS}: a camera is an object with a name of 1 to {MAX_NAME_LENGTH} characters")
        name = name.strip()
        if not name.isprintable() or name == FIRST or "/" in name:
            raise Refused(400, f"{CAMERAS}: {name[:40]!r} cannot be the name of a camera")
        shown = settings_shape.public_camera(name, configured[name]) if name in configured else {}
        camera: dict[str, Any] = {}
        for key in fields.keys() & each.keys():
            unchanged = key in shown and shown[key] == each[key]
            value = getattr(configured[name], fields[key]) if unchanged else _checked(f"{CAMERAS}: {key}", each[key])
            camera[fields[key]] = value
        cameras.append({**camera, "name": name})
    return cameras


def _preset_as_json(preset: HeatPreset) -> dict[str, Any]:
    return {"name": preset.name, "extruder": preset.hotend, "bed": preset.bed, "chamber": preset.chamber}


def _merge_plugin(settings: dict[str, Any], current: Mapping[str, Any]) -> dict[str, Any]:
    """Return the wanted settings, with the camera's in `webcam`; since 1.9, OctoPrint has those in a plug-in."""
    plugins = settings.get("plugins")
    plugin = plugins.get(_PLUGIN) if isinstance(plugins, dict) else None
    webcam = settings.get("webcam", {})
    if not isinstance(plugin, dict) or not isinstance(webcam, dict):
        return settings
    current_plugin = current["plugins"][_PLUGIN]
    changed = {ours: plugin[theirs] for theirs, ours in _PLUGIN_KEYS.items() if theirs in plugin}
    changed = {ours: "" if value is None and ours.endswith("Url") else value for ours, value in changed.items()}
    current_webcam = {ours: current_plugin[theirs] for theirs, ours in _PLUGIN_KEYS.items()}
    from_plugin = {ours: value for ours, value in changed.items() if value != current_webcam[ours]}
    own = {
        name: value for name, value in webcam.items() if name not in from_plugin or value != current["webcam"].get(name)
    }
    return {**settings, "webcam": {**from_plugin, **own}}


def _checked(key: str, value: object) -> object:
    """Return the value; refuse a string that is too long, and an address that browsers cannot open."""
    max_length = MAX_PRINTER_NAME if key == "appearance.name" else MAX_LENGTH
    if isinstance(value, str) and len(value) > max_length:
        raise Refused(400, f"{key} may have at most {max_length} characters")
    if key.endswith("Url") and isinstance(value, str) and value:
        value = value.strip()
        if not value.startswith(("http://", "https://", "webrtc://", "webrtcs://", "rtsp://", "/")):
            raise Refused(
                400,
                f"{key} must be an address that begins with http://, https://, webrtc://, webrtcs://, rtsp:// or /",
            )
        if not _is_address(value):
            raise Refused(400, f"{key} is not an address that a browser can open: {value[:100]}")
    return value


def _is_address(text: str) -> bool:
    """Tell whether a browser can open this address; spaces must be written as %20."""
    if not text.isprintable() or set(text) & set(" \"'<>\\^`{|}"):
        return False
    try:
        parts = urlsplit(text)
        return text.startswith("/") or (parts.port != 0 and _HOST.fullmatch(parts.hostname or "") is not None)
    except ValueError:
        return False


def _presets(
    settings: Mapping[str, Any], current: Mapping[str, Any], profile: ProfileConfig
) -> tuple[HeatPreset, ...] | None:
    """Return the requested temperature presets; None: no change."""
    temperature = settings.get("temperature")
    profiles = temperature.get("profiles") if isinstance(temperature, dict) else None
    if profiles is None or profiles == current["temperature"]["profiles"]:
        return None
    if not isinstance(profiles, list) or len(profiles) > MAX_PRESETS:
        raise Refused(400, f"{PRESETS} must be a list of at most {MAX_PRESETS} presets")
    presets = tuple(_preset(each, profile) for each in profiles)
    names = [each.name.casefold() for each in presets]
    for preset, name in zip(presets, names, strict=True):
        if names.count(name) > 1:
            raise Refused(400, f"{PRESETS}: two presets are called {preset.name}")
    return presets


def _preset(entry: object, profile: ProfileConfig) -> HeatPreset:
    if not isinstance(entry, dict):
        raise Refused(400, f'{PRESETS} must be a list of objects like {{"name": "PLA", "extruder": 205, "bed": 60}}')
    name = entry.get("name")
    name = name.strip() if isinstance(name, str) else ""
    if not name or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise Refused(400, f"{PRESETS}: a name must have 1 to {MAX_NAME_LENGTH} characters, on one line")
    values: dict[str, float | None] = {}
    for key, (heater, limit) in _HEATERS.items():
        values[heater] = _degrees(entry.get(key), f"{PRESETS}: {key} of {name}", getattr(profile, limit))
    return HeatPreset(name, **values)


def _degrees(value: object, what: str, limit: float) -> float | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.isascii() and value.strip().isdecimal() and len(value) <= _MAX_DIGITS:
        value = int(value)  # OctoPrint's page sends strings
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= limit:
        raise Refused(400, f"{what} must be from 0 to {limit:g} °C, or null")
    return value
