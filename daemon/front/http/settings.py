"""/api/settings: what clients read of the configuration, and the part of it that can be changed over the API."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from daemon.camera.addresses import FIRST, all_of
from daemon.config import CameraConfig, ProfileConfig, WebcamConfig
from daemon.errors import ConfigError, JobConflict
from daemon.front.access.scopes import Scope
from daemon.front.choices import LONGEST_NAME, MOST_PRESETS, HeatPreset, fixed
from daemon.front.http import settings_shape
from daemon.front.http.base import Cached
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
"""What POST takes besides the presets, and the key of the configuration that it stands for."""

PRESETS = "temperature.profiles"
CAMERAS = "webcam.cameras"
MOST_CAMERAS = 8  # besides the first
LONGEST = 2000  # characters of a text
LONGEST_OF_PRINTER = 200  # characters of the printer's name

_CAMERA = "classicwebcam"
_OF_CAMERA = {
    "stream": "streamUrl", "snapshot": "snapshotUrl", "flipH": "flipH", "flipV": "flipV", "rotate90": "rotate90",
}  # fmt: skip
_HOST = re.compile(r"[\w.-]+|[0-9A-Fa-f:.]+(?:%\w+)?")  # a name or an address, as it stands between // and :

_HEATERS = {
    "extruder": ("hotend", "max_hotend_c"),
    "bed": ("bed", "max_bed_c"),
    "chamber": ("chamber", "max_chamber_c"),
}


class SettingsHandler(Cached):
    """/api/settings."""

    writes = Scope.ADMIN

    def get(self) -> None:
        """Tell what clients look for; all of OctoPrint's sections and keys are there."""
        self.write(self._settings())

    async def post(self) -> None:
        """Change what can be changed: all that is asked for, or nothing. Unknown keys, and plug-ins', are ignored.

        Raises:
            Refused: 400 for a value that cannot be.
            JobConflict: a key that the configuration file decides, or that cannot be changed here.
        """
        now = self._settings()
        wanted = _with_plugin(self.json_body(), now)
        sections: dict[str, dict[str, Any]] = {}
        decided = self._decided()
        for key, value in _differences(wanted, now):
            if key in CHANGEABLE and value == self._configured(key):
                continue  # what nobody is told, known all the same
            if key in decided:
                section, name = CHANGEABLE[key]
                raise JobConflict(f"{key} is set in the configuration file, [{section}] {name}: change it there")
            if key not in CHANGEABLE:
                raise JobConflict(f"{key} cannot be changed over the API")
            section, name = CHANGEABLE[key]
            sections.setdefault(section, {})[name] = self._checked(key, value)
        presets = _presets(wanted, now, self.service.core.profile)
        if sections or presets is not None:
            try:
                await self.service.choices.change(sections, presets)
            except ConfigError as error:
                raise Refused(500 if error.__cause__ else 400, str(error)) from error
            self.service.events.publish("SettingsUpdated", {})
        self.write(self._settings())

    def _configured(self, key: str) -> object:
        """Return the value itself, where clients are told another address."""
        section, name = CHANGEABLE[key]
        return getattr(getattr(self.service, section), name)

    def _checked(self, key: str, value: object) -> object:
        return _cameras(value, self.service.webcam) if key == CAMERAS else _checked(key, value)

    def _decided(self) -> list[str]:
        """Return the keys that the configuration file decides, in OctoPrint's words."""
        config = self.service.config
        by_section = {"appearance": fixed(config.appearance), "webcam": fixed(config.webcam)}
        return [key for key, (section, name) in CHANGEABLE.items() if name in by_section[section]]

    def _settings(self) -> dict[str, Any]:
        service = self.service
        shown = settings_shape.sections(
            service.config,
            service.webcam,
            service.appearance.name,
            service.uuid,
            timelapse=service.folder / "companions/timelapse" if service.companions.on("timelapse") else None,
        )
        if self.identity is None or self.identity.scope < Scope.ADMIN:
            shown["server"]["commands"] = dict.fromkeys(shown["server"]["commands"])  # there may be passwords in them
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
            "fixed": self._decided(),
            "editable": [*CHANGEABLE, PRESETS],
            "profileFixed": service.core.profile_is_configured,
        }
        if self.identity is not None and self.identity.scope is Scope.ADMIN:
            shown["nozzled"]["webcam"] = _as_configured(service.webcam)  # with addresses that only we can open
        return shown


def _as_configured(webcam: WebcamConfig) -> dict[str, Any]:
    def keys(camera: CameraConfig | WebcamConfig) -> dict[str, Any]:
        return {ours: getattr(camera, key) for ours, key in settings_shape.CAMERA_KEYS.items()}

    return {**keys(webcam), "cameras": [keys(each) for each in webcam.cameras]}


def _cameras(given: object, webcam: WebcamConfig) -> list[dict[str, Any]]:
    """Return the further cameras as the configuration has them; an address that was told for another stays what it is.

    Raises:
        Refused: they are none.
    """
    known = settings_shape.CAMERA_KEYS
    if not isinstance(given, list) or len(given) > MOST_CAMERAS:
        raise Refused(400, f"{CAMERAS} must be a list of at most {MOST_CAMERAS}")
    there = all_of(webcam)
    found = []
    for each in given:
        name = each.get("name") if isinstance(each, dict) else None
        if not isinstance(each, dict) or not isinstance(name, str) or not 0 < len(name.strip()) <= LONGEST_NAME:
            raise Refused(400, f"{CAMERAS}: a camera is an object with a name of 1 to {LONGEST_NAME} characters")
        name = name.strip()
        if not name.isprintable() or name == FIRST or "/" in name:
            raise Refused(400, f"{CAMERAS}: {name[:40]!r} cannot be the name of a camera")
        shown = settings_shape.public_camera(name, there[name]) if name in there else {}
        made: dict[str, Any] = {}
        for key in known.keys() & each.keys():
            told_again = key in shown and shown[key] == each[key]
            value = getattr(there[name], known[key]) if told_again else _checked(f"{CAMERAS}: {key}", each[key])
            made[known[key]] = value
        found.append({**made, "name": name})
    return found


def _preset_as_json(preset: HeatPreset) -> dict[str, Any]:
    return {"name": preset.name, "extruder": preset.hotend, "bed": preset.bed, "chamber": preset.chamber}


def _with_plugin(wanted: dict[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is wanted, with what is changed of the plug-in that has the camera since OctoPrint 1.9."""
    plugins = wanted.get("plugins")
    given = plugins.get(_CAMERA) if isinstance(plugins, dict) else None
    webcam = wanted.get("webcam", {})
    if not isinstance(given, dict) or not isinstance(webcam, dict):
        return wanted
    there = now["plugins"][_CAMERA]
    changed = {ours: given[theirs] for theirs, ours in _OF_CAMERA.items() if theirs in given}
    changed = {ours: "" if value is None and ours.endswith("Url") else value for ours, value in changed.items()}
    same = {ours: there[theirs] for theirs, ours in _OF_CAMERA.items()}
    lifted = {ours: value for ours, value in changed.items() if value != same[ours]}
    kept = {name: value for name, value in webcam.items() if name not in lifted or value != now["webcam"].get(name)}
    return {**wanted, "webcam": {**lifted, **kept}}


def _differences(wanted: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what is asked to be another value than it is, by its path; what nobody knows is left out."""
    for name, value in wanted.items():
        key = f"{path}{name}"
        if name not in now or key in ("plugins", PRESETS, "nozzled"):
            continue
        if isinstance(now[name], dict) and isinstance(value, dict):
            yield from _differences(value, now[name], f"{key}.")
        elif value != now[name] or isinstance(value, bool) is not isinstance(now[name], bool):
            yield key, value


def _checked(key: str, value: object) -> object:
    """Return the value; refuse an address that no browser would take for one of a picture."""
    longest = LONGEST_OF_PRINTER if key == "appearance.name" else LONGEST
    if isinstance(value, str) and len(value) > longest:
        raise Refused(400, f"{key} may have {longest} characters")
    if key.endswith("Url") and isinstance(value, str) and value:
        value = value.strip()
        if not value.startswith(("http://", "https://", "webrtc://", "webrtcs://", "rtsp://", "/")):
            raise Refused(400, f"{key} must be an address that begins with http://, https:// or /")
        if not _is_address(value):
            raise Refused(400, f"{key} is not an address that a browser can open: {value[:100]}")
    return value


def _is_address(text: str) -> bool:
    """Tell whether a browser takes it; what it has blanks for is written as %20."""
    if not text.isprintable() or set(text) & set(" \"'<>\\^`{|}"):
        return False
    try:
        parts = urlsplit(text)
        return text.startswith("/") or (parts.port != 0 and _HOST.fullmatch(parts.hostname or "") is not None)
    except ValueError:
        return False


def _presets(
    wanted: Mapping[str, Any], now: Mapping[str, Any], profile: ProfileConfig
) -> tuple[HeatPreset, ...] | None:
    """Return the presets of temperatures that are asked for; None: they stay."""
    temperature = wanted.get("temperature")
    given = temperature.get("profiles") if isinstance(temperature, dict) else None
    if given is None or given == now["temperature"]["profiles"]:
        return None
    if not isinstance(given, list) or len(given) > MOST_PRESETS:
        raise Refused(400, f"{PRESETS} must be a list of at most {MOST_PRESETS}")
    presets = tuple(_preset(each, profile) for each in given)
    names = [each.name.casefold() for each in presets]
    for preset, name in zip(presets, names, strict=True):
        if names.count(name) > 1:
            raise Refused(400, f"{PRESETS}: there are two called {preset.name}")
    return presets


def _preset(given: object, profile: ProfileConfig) -> HeatPreset:
    if not isinstance(given, dict):
        raise Refused(400, f'{PRESETS} must be a list of objects like {{"name": "PLA", "extruder": 205, "bed": 60}}')
    name = given.get("name")
    name = name.strip() if isinstance(name, str) else ""
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise Refused(400, f"{PRESETS}: a name has 1 to {LONGEST_NAME} characters, on one line")
    values: dict[str, float | None] = {}
    for key, (heater, limit) in _HEATERS.items():
        values[heater] = _degrees(given.get(key), f"{PRESETS}: {key} of {name}", getattr(profile, limit))
    return HeatPreset(name, **values)


def _degrees(value: object, what: str, limit: float) -> float | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.strip().isdecimal() and value.isascii():
        value = int(value[:9])  # OctoPrint's own page sends what was typed
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= limit:
        raise Refused(400, f"{what} must be from 0 to {limit:g} °C, or null")
    return value
