"""What is known of a file."""

from dataclasses import asdict, field
from typing import Any

from gcode.analysis.about import About
from gcode.frozen import frozen

Point = tuple[float, float, float]


@frozen
class Box:
    """A box around places of the nozzle, in mm from the endstops."""

    min: Point
    max: Point


@frozen
class Bounds:
    """Where the nozzle goes: while it extrudes, and at all. None: it does not."""

    printing: Box | None = None
    travel: Box | None = None


@frozen
class Layer:
    """One layer: `z` and `height` in mm, where it starts in the file (bytes) and in time, how long it takes."""

    z: float | None
    height: float | None
    offset: int
    start_s: float
    duration_s: float


@frozen
class ToolUse:
    """Filament that a tool uses."""

    tool: int
    length_mm: float
    volume_mm3: float


@frozen
class Thumbnail:
    """A picture from the file, as it stands there."""

    format: str  # png, jpg, qoi
    width: int
    height: int
    data: bytes


@frozen
class Analysis:
    """What is known of a file. Seconds, mm, °C.

    Attributes:
        size: bytes.
        commands: how many.
        duration_s: of the whole print: motion, heating, homing, dwelling, probing and changes together.
        before_first_layer_s: of it, what comes before the first layer; 0 where no layers are known.
        layers: in their order.
        filament_mm: of all tools.
        max_speed: of a printing move.
        max_flow: mm³/s, of a printing move of a millimetre or more.
        temperatures: targets that are asked for, by heater (`tool0`, `bed`, `chamber`).
        objects: names of those that are marked, each once.
        slicer: its name and version, None if it does not say.
        slicer_estimate_s: its own estimate.
        about: what else the file says about itself.
        settings: of the slicer, as it writes them.
        limits_from: where the limits of motion come from: `printer`, `file`, `profile` or `defaults`.
        planner: whose rules they are driven by: Marlin's or Klipper's.
        timeline: (offset, seconds): when the firmware takes the command that stands there; some moves are queued then.
        used: of each tool, (offset, mm): the filament that the lines before this place use.
        m73: (offset, percent, seconds left) as the file itself tells the printer; None where it says nothing.
        warnings: what may go wrong, in sentences.
        errors: what keeps the file from being printed, in sentences.
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
    about: About = field(default_factory=About)
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
        """Return it for `json.dumps`; of thumbnails the size and not the picture."""
        found = asdict(self)
        found["thumbnails"] = [
            {"format": each.format, "width": each.width, "height": each.height} for each in self.thumbnails
        ]
        return found
