"""The presets: the profiles of known printers, read from `presets.toml`."""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from daemon.config import ProfileConfig
from daemon.errors import ConfigError
from gcode.frozen import frozen

_FILE = Path(__file__).with_name("presets.toml")
_FILLERS = frozenset({"original", "prusa", "i3", "creality", "bambu", "lab", "3d", "printer"})
_MIN_PREFIX = 3  # characters; a name has to be longer to match the beginning of a printer's own name
_OTHER_MODEL = re.compile(r"v\d|max|mini|plus|pro|neo|se|ke|go|ultra|lite")
"""Suffixes that turn the name of a model into that of another model: an Ender-5 Max is larger than an Ender-5."""


@frozen
class Preset:
    """A known printer: its id, its name and other names for it, and its profile."""

    id: str
    name: str
    aliases: tuple[str, ...]
    profile: ProfileConfig


@cache
def presets() -> Mapping[str, Preset]:
    """Return all presets, by id."""
    tables = tomllib.loads(_FILE.read_text("utf-8"))
    return {name: Preset(name, table["name"], tuple(table.get("also", ())), _profile(name, table))
            for name, table in tables.items()}  # fmt: skip


def _profile(preset: str, table: Mapping[str, Any]) -> ProfileConfig:
    width, depth, height = (float(each) for each in table["bed"])
    (x_min, x_max), (y_min, y_max), (z_min, z_max) = (table.get(axis, (0.0, 0.0)) for axis in "xyz")
    return ProfileConfig(
        preset=preset,
        name=table["name"],
        model=table["name"],
        width_mm=width,
        depth_mm=depth,
        height_mm=height,
        origin=table.get("origin", "lowerleft"),
        shape=table.get("shape", "rectangular"),
        x_min_mm=float(x_min),
        x_max_mm=float(x_max),
        y_min_mm=float(y_min),
        y_max_mm=float(y_max),
        z_min_mm=float(z_min),
        z_max_mm=float(z_max),
        heated_chamber="max_chamber" in table,
        extruders=table.get("extruders", 1),
        shared_nozzle=table.get("shared_nozzle", False),
        max_hotend_c=float(table["max_hotend"]),
        max_bed_c=float(table["max_bed"]),
        max_chamber_c=float(table.get("max_chamber", ProfileConfig().max_chamber_c)),
        firmware=table["firmware"],
        motion=tuple(table.get("motion", ())),
    )


def find(name: str) -> Preset:
    """Return the preset of this id or name, ignoring case and punctuation.

    Raises:
        ConfigError: there is none; the text suggests similar names.
    """
    plain_name, words = _plain(name), _words(name)
    for each in presets().values():
        if plain_name in (_plain(each.id), *map(_plain, _names(each))):
            return each
    for each in presets().values():
        if words and words in map(_words, _names(each)):
            return each
    ids = list(presets())
    within = [each for each in ids if plain_name and plain_name in _plain(each)]
    import difflib  # noqa: PLC0415 - for mistakes alone

    close = within or difflib.get_close_matches(name.lower(), ids, n=3)
    hint = f"; did you mean {', '.join(close[:3])}?" if close else "."
    raise ConfigError(f"there is no preset {name[:60]!r}{hint} `nozzled config --preset list` shows all.")


def suggest(own_name: str) -> Preset | None:
    """Return the preset for a printer's own name (MACHINE_TYPE in its answer to M115); None: unknown.

    The longest matching name of a preset counts, so that an Ender-3 V2 is not taken for an Ender-3. If such a name
    is followed by the suffix of another model, no preset matches, because the sizes of the models differ.
    """
    plain_name = _plain(own_name)
    matches = [
        (len(plain), each)
        for each in presets().values()
        for plain in map(_plain, (each.id, *_names(each)))
        if plain == plain_name or _begins(plain_name, plain)
    ]
    return max(matches, key=lambda pair: pair[0])[1] if matches else None


def _begins(own_name: str, plain: str) -> bool:
    """Tell whether a printer's own name is this name with an addition, such as the version of its board.

    Names without a digit are too general for that: a Mini Kossel is no MINI, and a Kobra 3 is no Kobra.
    """
    if len(plain) <= _MIN_PREFIX or not own_name.startswith(plain) or not re.search(r"\d", plain):
        return False
    return not _OTHER_MODEL.match(own_name, len(plain))


def _names(preset: Preset) -> tuple[str, ...]:
    return (preset.name, *preset.aliases)


def _words(name: str) -> frozenset[str]:
    """Return the words of a name without those that users tend to leave out."""
    return frozenset(re.findall(r"[a-z0-9.+]+", name.lower())) - _FILLERS


def _plain(name: str) -> str:
    """Return only the letters, digits and plus signs of a name, as users spell the rest differently."""
    return re.sub(r"[^a-z0-9+]", "", name.lower())
