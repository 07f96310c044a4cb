"""The result of an analysis."""

from dataclasses import asdict, field
from typing import Any

from gcode.analysis.about import FileMetadata
from gcode.frozen import frozen

Point = tuple[float, float, float]


@frozen
class Box:
    """A box around positions of the nozzle, in mm."""

    min: Point
    max: Point


@frozen
class Bounds:
    """The boxes of printing moves and of all moves; None: there are none."""

    printing: Box | None = None
    travel: Box | None = None


@frozen
class Layer:
    """One layer.

    Attributes:
        z: in mm.
        height: in mm.
        offset: byte offset of its start in the file.
        start_s: when the layer starts, in s since the start of the print.
        duration_s: its duration, in s.
    """

    z: float | None
    height: float | None
    offset: int
    start_s: float
    duration_s: float


@frozen
class ToolUse:
    """The filament that a tool uses."""

    tool: int
    length_mm: float
    volume_mm3: float


@frozen
class Thumbnail:
    """A picture from the file, in its original format."""

    format: str  # png, jpg, qoi
    width: int
    height: int
    data: bytes


@frozen
class Analysis:
    """The analysis of a file, in s, mm and °C.

    Attributes:
        size: bytes of the file.
        commands: number of commands.
        duration_s: of the whole print: the sum of motion, heating, homing, dwells, probing and changes.
        before_first_layer_s: the part of `duration_s` before the first layer; 0: no layers are known.
        layers: in order.
        filament_mm: of all tools.
        max_speed: of a printing move, in mm/s.
        max_flow: of a printing move of at least 1 mm, in mm³/s.
        temperatures: targets in the file, by heater (`tool0`, `bed`, `chamber`).
        objects: names of the marked objects, each once.
        slicer: name and version; None: the file does not name it.
        slicer_estimate_s: the time that the slicer estimates.
        about: further metadata of the file.
        settings: of the slicer, as written in the file.
        limits_from: the source of the motion limits: `printer`, `file`, `profile` or `defaults`.
        planner: the firmware by whose rules the motion is planned: `Marlin` or `Klipper`.
        timeline: (offset, seconds): when the firmware takes the command at this offset into its queue.
        used: for each tool, (offset, mm): the filament used by the lines before this offset.
        m73: (offset, percent, seconds left) of the file's M73 commands; None: the command does not have that value.
        warnings: sentences about what may go wrong.
        errors: sentences about what keeps the file from being printed.
    """

    size: int = 0
    commands: int = 0
    duration_s: float = 0.0
    motion_s: float = 0.0
    heating_s: float = 0.0
    homing_s: float = 0.0
    dwell_s: float = 0.0
    probing_s: float = 0.0
    changes_s: float = 0.0
    before_first_layer_s: float = 0.0
    layers: tuple[Layer, ...] = ()
    filament_mm: float = 0.0
    tools: tuple[ToolUse, ...] = ()
    bounds: Bounds = field(default_factory=Bounds)
    max_speed: float = 0.0
    max_flow: float = 0.0
    temperatures: dict[str, list[float]] = field(default_factory=dict)
    objects: tuple[str, ...] = ()
    slicer: str | None = None
    slicer_estimate_s: float | None = None
    about: FileMetadata = field(default_factory=FileMetadata)
    settings: dict[str, str] = field(default_factory=dict)
    limits_from: str = "profile"
    planner: str = "Marlin"
    thumbnails: tuple[Thumbnail, ...] = ()
    timeline: tuple[tuple[int, float], ...] = ()
    used: tuple[tuple[int, tuple[tuple[int, float], ...]], ...] = ()
    m73: tuple[tuple[int, float | None, float | None], ...] = ()
    warnings: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the analysis for `json.dumps`, with the sizes of thumbnails but not their pictures."""
        result = asdict(self)
        result["thumbnails"] = [
            {"format": each.format, "width": each.width, "height": each.height} for each in self.thumbnails
        ]
        return result
