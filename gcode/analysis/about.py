"""The metadata of a file, from the pairs of key and value in its comments."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, TypeVar

from gcode.analysis.slicers import OTHER, Slicer
from gcode.frozen import frozen
from gcode.texts import number, seconds_of

if TYPE_CHECKING:
    from gcode.analysis.result import Layer, ToolUse

T = TypeVar("T")

MAX_TOOLS = 64
_MAX_DENSITY = 100.0  # g/cm³

_QUANTITY = re.compile(r"(?<![a-zA-Z])([-+]?(?:\d+(?:\.\d*)?|\.\d+))\s?([a-zA-Z%]*)")
_LENGTH = {"": 1.0, "mm": 1.0, "cm": 10.0, "m": 1000.0}
_WEIGHT = {"": 1.0, "g": 1.0, "kg": 1000.0}
_ANY = {"": 1.0, "c": 1.0, "mm": 1.0}
_TEXT = re.compile(r'"((?:\\.|[^"\\])*)"|([^";]+)')
_ESCAPED = re.compile(r"\\(.)")
_LIST = re.compile(r"[,;|]")
_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}(?:[0-9A-Fa-f]{2})?$")


@frozen
class Filament:
    """The filament of one tool; None: not in the file.

    Attributes:
        colour: `#RRGGBB` or `#RRGGBBAA`.
        weight: in g.
        cost: in the slicer's currency.
    """

    type: str | None = None
    name: str | None = None
    colour: str | None = None
    weight: float | None = None
    cost: float | None = None


@frozen
class FileMetadata:
    """The metadata of a file, in mm, s and °C; None: not in the file.

    Attributes:
        slicer: its name.
        version: of the slicer.
        estimate: the time that the slicer estimates for the whole print.
        filaments: by tool.
        densities: of the filaments, in g/cm³.
    """

    slicer: str | None = None
    version: str | None = None
    estimate: float | None = None
    layer_height: float | None = None
    first_layer_height: float | None = None
    first_layer_hotend: float | None = None
    first_layer_bed: float | None = None
    chamber: float | None = None
    nozzle: float | None = None
    printer: str | None = None
    filaments: tuple[Filament, ...] = ()
    densities: tuple[float | None, ...] = ()


def read_metadata(row: Slicer | None, version: str, facts: Mapping[str, str]) -> FileMetadata:
    """Return the metadata in `facts`, by the keys of the slicer in `row`; None: the slicer is unknown."""
    fields = _Fields(row or OTHER, facts)
    layer = fields.number("layer height", _LENGTH)
    return FileMetadata(
        slicer=row.name if row else None,
        version=version or (fields.text("version") if row else None),
        estimate=fields.estimate(),
        layer_height=layer,
        first_layer_height=fields.length_or_share("first layer height", layer),
        first_layer_hotend=fields.number("first layer hotend", _ANY),
        first_layer_bed=fields.number("first layer bed", _ANY),
        chamber=fields.number("chamber", _ANY) or None,
        nozzle=fields.number("nozzle", _LENGTH),
        printer=fields.text("printer"),
        filaments=fields.filaments(),
        densities=tuple(fields.densities()),
    )


class _Fields:
    """Looks up the fields of a file by the keys of its slicer."""

    def __init__(self, row: Slicer, facts: Mapping[str, str]) -> None:
        self._row = row
        self._facts = facts

    def _values(self, name: str) -> list[str]:
        """Return the values of the first key that the file has: one, or one for each tool."""
        for key in self._row.fields.get(name, ()):
            keys = key.split("|") if "|" in key else [key.format(tool) for tool in range(MAX_TOOLS)]
            if values := [self._facts[each] for each in dict.fromkeys(keys) if self._facts.get(each)]:
                return values
        return []

    def _texts(self, name: str) -> list[str]:
        values = self._values(name)
        if len(values) == 1:
            quoted = (_ESCAPED.sub(r"\1", match[1] or "") or match[2] or "" for match in _TEXT.finditer(values[0]))
            values = [value.strip() for value in quoted]
        return [value for value in values if value.strip("- ")][:MAX_TOOLS]

    def _numbers(self, name: str, units: Mapping[str, float]) -> list[float | None]:
        values = self._values(name)
        if len(values) == 1:
            values = _LIST.split(values[0].strip("[] "))
        return [_quantity(value, units) for value in values[:MAX_TOOLS]]

    def text(self, name: str) -> str | None:
        texts = self._texts(name)
        return texts[0] if texts else None

    def number(self, name: str, units: Mapping[str, float]) -> float | None:
        return next((each for each in self._numbers(name, units) if each is not None and each >= 0), None)

    def length_or_share(self, name: str, whole: float | None) -> float | None:
        """Return a length, which the file may give as a percentage of `whole`."""
        key = next((key for key in self._row.fields.get(name, ()) if self._facts.get(key)), "")
        value = self._facts.get(key, "")
        if not value.rstrip().endswith("%") and "percentage" not in key:
            return self.number(name, _LENGTH)
        percent = _quantity(value, {"": 1.0, "%": 1.0})
        return round(whole * percent / 100, 6) if whole is not None and percent is not None else None

    def estimate(self) -> float | None:
        for key in self._row.fields.get("estimate", ()):
            value = self._facts.get(key, "")
            plain = number(value)
            seconds = seconds_of(value) if plain is None else plain
            if seconds is not None and (seconds > 0 or plain is None):
                return seconds
        return None

    def filaments(self) -> tuple[Filament, ...]:
        types, names = self._texts("filament type"), self._texts("filament name")
        types = [] if all(number(each) is not None for each in types) else types  # Ultimaker 2: `MATERIAL:` is mm³
        colours = [text if _COLOUR.match(text) else None for text in self._texts("filament colour")]
        weights = self._weights()
        costs = self._costs(weights)
        count = max(len(types), len(names), len(colours), len(weights), len(costs))

        def at(values: Sequence[T], tool: int) -> T | None:
            return values[tool] if tool < len(values) else None

        return tuple(
            Filament(at(types, tool), at(names, tool), at(colours, tool), at(weights, tool), at(costs, tool))
            for tool in range(count)
        )

    def densities(self) -> list[float | None]:
        """Return densities in g/cm³; a number too high for any filament is in kg/m³."""
        densities = self._numbers("filament density", {"": 1.0})
        return [each / 1000 if each is not None and each > _MAX_DENSITY else each for each in densities]

    def _weights(self) -> list[float | None]:
        weights = self._numbers("filament weight", _WEIGHT)
        return weights if any(weights) else []  # all are 0 if the slicer does not know the density

    def _costs(self, weights: list[float | None]) -> list[float | None]:
        costs = self._numbers("filament cost", {"": 1.0})
        if any(each is not None for each in costs):
            return costs
        prices = self._numbers("filament price", {"": 1.0})
        return [
            round(weight * price / 1000, 4) if weight is not None and price else None
            for weight, price in zip(weights, prices, strict=False)
        ]


def complete(
    about: FileMetadata, layers: "Sequence[Layer]", tools: "Sequence[ToolUse]", targets: Mapping[str, float]
) -> FileMetadata:
    """Return metadata completed by the commands of the file.

    Args:
        about: the metadata.
        layers: of the file.
        tools: the filament that each tool uses.
        targets: of the heaters at the first extrusion, in °C.
    """
    heights = [layer.height for layer in layers[1:] if layer.height is not None]
    first = layers[0].height if layers else None
    hotends = [targets[name] for name in sorted(targets) if name.startswith("tool") and targets[name] > 0]

    def first_of(stated: float | None, actual: float | None) -> float | None:
        return stated if stated is not None else actual

    return replace(
        about,
        layer_height=first_of(about.layer_height, round(median(heights), 3) if heights else first),
        first_layer_height=first_of(about.first_layer_height, first),
        first_layer_hotend=first_of(about.first_layer_hotend, hotends[0] if hotends else None),
        first_layer_bed=first_of(about.first_layer_bed, targets.get("bed")),
        chamber=first_of(about.chamber, targets.get("chamber")),
        filaments=_with_weights(about, tools),
    )


def _with_weights(about: FileMetadata, tools: "Sequence[ToolUse]") -> tuple[Filament, ...]:
    """Return the filaments; if none has a weight, compute it from volume and density."""
    if any(each.weight is not None for each in about.filaments):
        return about.filaments
    filaments = [*about.filaments]
    for use in tools:
        density = about.densities[use.tool] if use.tool < len(about.densities) else None
        if density is not None:
            filaments += [Filament()] * (use.tool + 1 - len(filaments))
            filaments[use.tool] = replace(filaments[use.tool], weight=round(use.volume_mm3 * density / 1000, 4))
    return tuple(filaments)


def _quantity(text: str, units: Mapping[str, float]) -> float | None:
    """Return the first number in a text whose unit is one of these."""
    for match in _QUANTITY.finditer(text):
        if (factor := units.get(match[2].lower())) is not None:
            return number(match[1], factor)
    return None
