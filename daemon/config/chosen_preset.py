"""The profile that was chosen over the API, in the state directory; it is used if the configuration has none.

It consists of the name of a preset and of changes to it; if another preset is chosen, the changes are dropped.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from daemon.config import Config, ProfileConfig, merge
from daemon.errors import ConfigError
from daemon.set_aside import make_way, set_aside

if TYPE_CHECKING:
    from daemon.config.presets import Preset

FILE = "preset"
CHANGES = "profile.json"
CONSEQUENCE = "changes of the printer's profile are lost"

CHANGEABLE = frozenset({
    "name", "model", "width_mm", "depth_mm", "height_mm", "origin", "shape", "heated_bed", "heated_chamber",
    "extruders", "shared_nozzle", "nozzle_mm", "max_hotend_c", "max_bed_c", "max_chamber_c", "firmware",
})  # fmt: skip
"""Keys of the profile that can be changed over the API."""

log = structlog.get_logger()


def with_chosen_profile(config: Config, folder: Path) -> Config:
    """Return the configuration with the chosen profile, unless the configuration file has a profile. Blocks."""
    if config.profile != ProfileConfig():
        return config
    config = replace(config, profile=_chosen(folder))
    return replace(config, profile=_with_changes(config.profile, folder))


def _chosen(folder: Path) -> ProfileConfig:
    make_way(folder / FILE, "the printer's size is not known", os.R_OK)
    try:
        name = (folder / FILE).read_text("utf-8").strip()
        from daemon.config.presets import find  # noqa: PLC0415 - most users have chosen none

        return find(name).profile if name else ProfileConfig()
    except FileNotFoundError:
        return ProfileConfig()
    except (OSError, UnicodeDecodeError, ConfigError) as error:
        log.warning("preset.unreadable", reason=str(error), consequence="the printer's size is not known")
        return ProfileConfig()


def _with_changes(profile: ProfileConfig, folder: Path) -> ProfileConfig:
    path = folder / CHANGES
    make_way(path, CONSEQUENCE, os.R_OK)
    try:
        return _with_valid_changes(profile, json.loads(path.read_bytes()))
    except FileNotFoundError:
        return profile
    except OSError as error:
        log.warning("profile.unreadable", reason=str(error), consequence=CONSEQUENCE)
        return profile
    except (ValueError, RecursionError, ConfigError) as error:
        try:
            set_aside(path, str(error), CONSEQUENCE)
        except OSError as trouble:
            log.warning("profile.unreadable", reason=str(trouble), consequence=CONSEQUENCE)
        return profile


def _with_valid_changes(profile: ProfileConfig, values: Any) -> ProfileConfig:
    """Return the profile with every valid change: a limit of heat counts even if another change is invalid.

    Raises:
        ConfigError: the file holds no object.
    """
    for key, value in _mapping(values).items():
        try:
            profile = change(profile, {key: value})
        except ConfigError as error:
            log.warning("profile.ignored", reason=str(error), consequence="this change is ignored; the others count")
    return profile


def change(profile: ProfileConfig, values: Any) -> ProfileConfig:
    """Return the profile with these values, by configuration key.

    Raises:
        ConfigError: one of them cannot be changed, or is of the wrong type or out of range.
    """
    for key in _mapping(values):
        if key not in CHANGEABLE:
            raise ConfigError(f"{str(key)[:40]!r} cannot be changed in the printer's profile")
    return merge(Config(profile=profile), {"profile": values}, "the printer's profile").profile


def _mapping(values: Any) -> Mapping[str, Any]:
    if not isinstance(values, Mapping):
        raise ConfigError("changes of the profile must be an object")
    return values


def save(preset: "Preset | None", folder: Path) -> None:
    """Save the choice (None: no preset) for the next start, and drop earlier changes. Blocks; raises OSError."""
    path = folder / FILE
    if preset is None:
        path.unlink(missing_ok=True)
    else:
        path.write_text(f"{preset.id}\n", "utf-8")
    (folder / CHANGES).unlink(missing_ok=True)


def save_changes(values: Mapping[str, Any], folder: Path) -> None:
    """Save these changes in addition to earlier ones. Blocks; raises OSError."""
    from daemon.private_file import write_private  # noqa: PLC0415 - saves memory in a core without changes

    path = folder / CHANGES
    try:
        earlier_changes = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        earlier_changes = {}
    write_private(path, json.dumps({**earlier_changes, **values}, indent=1) + "\n", replace=True)
