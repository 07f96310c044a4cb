"""Choices: settings that users have changed over the API, stored in the state directory.

The configuration file takes precedence: a key that it sets to a value other than the default is fixed. A choice for
that key takes effect only when the file no longer does so.
"""

import asyncio
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, field, fields, replace
from pathlib import Path
from typing import Any

import structlog

from daemon.config import AppearanceConfig, Config, ProfileConfig, WebcamConfig, merge
from daemon.errors import ConfigError, DamagedFile
from daemon.private_file import write_private
from daemon.set_aside import make_way, set_aside
from gcode.frozen import frozen

FILE = "settings.json"
SECTIONS = ("appearance", "webcam")
MAX_PRESETS = 50
MAX_NAME_LENGTH = 40  # characters of a preset's name
CONSEQUENCE = "name, webcam and temperature presets are those of the configuration"

log = structlog.get_logger()


@frozen
class HeatPreset:
    """A temperature preset, in °C; None leaves that heater unchanged, 0 turns it off."""

    name: str
    hotend: float | None = None
    bed: float | None = None
    chamber: float | None = None


DEFAULT_PRESETS = (HeatPreset("PLA", 205, 60), HeatPreset("PETG", 235, 80), HeatPreset("ABS", 240, 100))


@frozen
class ChosenValues:
    """All choices.

    Attributes:
        sections: values by key of the configuration, by section.
        presets: the temperature presets; None: never changed.
        file: the contents of the file, with the entries that this version does not know.
    """

    sections: Mapping[str, Mapping[str, Any]]
    presets: tuple[HeatPreset, ...] | None = None
    file: Mapping[str, Any] = field(default_factory=dict)


def fixed_keys_of(section: AppearanceConfig | WebcamConfig) -> frozenset[str]:
    """Return the keys of a section that the configuration file sets to values other than the defaults."""
    return frozenset(each.name for each in fields(section) if getattr(section, each.name) != each.default)


class Choices:
    """The choices, which the configuration file may override.

    Attributes:
        revision: increases with each `change`.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._chosen = ChosenValues({})
        self._lock = asyncio.Lock()
        self.revision = 0

    def load(self) -> None:
        """Read the file; a damaged file is set aside. Blocks."""
        make_way(self._path, CONSEQUENCE, os.R_OK)
        try:
            try:
                self._chosen = _parsed(self._path.read_bytes())
            except DamagedFile as error:
                set_aside(self._path, str(error), CONSEQUENCE)
        except FileNotFoundError:
            return
        except OSError as error:
            log.warning("settings.unreadable", reason=str(error), consequence=CONSEQUENCE)

    def appearance(self, config: Config) -> AppearanceConfig:
        """Return the appearance, as configured or chosen."""
        return replace(config.appearance, **self._effective_choices("appearance", config.appearance))

    def webcam(self, config: Config) -> WebcamConfig:
        """Return the cameras, as configured or chosen."""
        choices = self._effective_choices("webcam", config.webcam)  # checked when the file was read
        chosen = merge(Config(), {"webcam": choices}, FILE).webcam
        fixed_keys = fixed_keys_of(config.webcam)
        return replace(
            config.webcam,
            **{each.name: getattr(chosen, each.name) for each in fields(chosen) if each.name not in fixed_keys},
        )

    def _effective_choices(self, name: str, section: AppearanceConfig | WebcamConfig) -> dict[str, Any]:
        """Return the choices for a section, without the keys that the configuration file sets."""
        fixed_keys = fixed_keys_of(section)
        return {key: value for key, value in self._chosen.sections.get(name, {}).items() if key not in fixed_keys}

    def presets(self, profile: ProfileConfig) -> tuple[HeatPreset, ...]:
        """Return the temperature presets; if none were chosen, DEFAULT_PRESETS within the printer's limits."""
        if self._chosen.presets is not None:
            return self._chosen.presets
        return tuple(
            replace(each, hotend=_at_most(each.hotend, profile.max_hotend_c), bed=_at_most(each.bed, profile.max_bed_c))
            for each in DEFAULT_PRESETS
        )

    async def change(self, sections: Mapping[str, Mapping[str, Any]], presets: tuple[HeatPreset, ...] | None) -> None:
        """Change and store values; `presets` None: unchanged.

        Raises:
            ConfigError: a value has the wrong type, or the file cannot be written.
        """
        async with self._lock:
            current = self._chosen
            merged = {name: {**current.sections.get(name, {}), **sections.get(name, {})} for name in SECTIONS}
            merge(Config(), merged, "settings")
            chosen = ChosenValues(
                merged, current.presets if presets is None else presets, _file(current, merged, presets)
            )
            try:
                await asyncio.to_thread(
                    write_private, self._path, json.dumps(chosen.file, indent=1) + "\n", replace=True
                )
            except OSError as error:
                raise ConfigError(f"the settings cannot be stored in {self._path}: {error.strerror}") from error
            self._chosen = chosen
            self.revision += 1


def _at_most(value: float | None, limit: float) -> float | None:
    return value and min(value, limit)


def _file(
    current: ChosenValues, sections: Mapping[str, Mapping[str, Any]], presets: tuple[HeatPreset, ...] | None
) -> dict[str, Any]:
    """Return the contents of the new file: these values, and the unknown entries of the current file."""
    existing = current.file.get("sections", {})
    contents = {**current.file, "version": 1}
    contents["sections"] = {**existing, **{name: {**existing.get(name, {}), **sections[name]} for name in SECTIONS}}
    if presets is not None:
        contents["presets"] = [asdict(each) for each in presets]
    return contents


def _parsed(data: bytes) -> ChosenValues:
    """Return the valid choices in a file; others may have been written by a later version, or by hand."""
    try:
        file = json.loads(data)
        tables = {name: {**file["sections"].get(name, {})} for name in SECTIONS}
        sections = {
            name: {key: value for key, value in table.items() if _is_valid(name, key, value)}
            for name, table in tables.items()
        }
        presets = file.get("presets")
        return ChosenValues(sections, None if presets is None else tuple(_presets(presets)), file)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedFile(f"{FILE} does not contain settings: {error}") from error


def _is_valid(section: str, key: str, value: Any) -> bool:
    try:
        merge(Config(), {section: {key: value}}, FILE)
    except ConfigError as error:
        log.warning("settings.ignored", reason=str(error), consequence="this setting is ignored; the others apply")
        return False
    return True


def _presets(tables: list[Any]) -> Iterator[HeatPreset]:
    names = {each.name for each in fields(HeatPreset)}
    for each in tables[:MAX_PRESETS]:
        try:
            yield _preset({key: value for key, value in each.items() if key in names})
        except (ValueError, TypeError, AttributeError) as error:
            log.warning("settings.ignored", reason=f"{FILE}: {error}", consequence="that preset is left out")


def _preset(table: Mapping[str, Any]) -> HeatPreset:
    preset = HeatPreset(**table)
    values = (preset.hotend, preset.bed, preset.chamber)
    if not isinstance(preset.name, str) or any(isinstance(value, bool) for value in values):
        raise TypeError("a preset has a name and temperatures")
    if not all(value is None or (isinstance(value, int | float) and 0 <= value <= 1000) for value in values):  # noqa: PLR2004 - hotter than any printer
        raise ValueError("a preset has temperatures in °C")
    return preset
