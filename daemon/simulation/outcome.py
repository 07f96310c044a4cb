"""Outcome: the result of a simulated print, as plain data."""

from collections.abc import Iterable
from dataclasses import asdict, field
from typing import Any, Literal

from daemon.simulation.incidents import Incident
from daemon.simulation.series import Sample
from gcode.frozen import frozen, mutable

BottleneckCause = Literal["wire", "answers"]
PauseKind = Literal["paused", "waits for its user"]

BITS_A_BYTE = 10  # start bit, eight data bits, stop bit
MIN_FILL = 4  # moves in the planner; with fewer, each late line slows the machine down
_SAME_S = 1e-6  # s
WIRE_FULL = 0.8  # share of its capacity at which the wire counts as full


def describe_moves(count: int) -> str:
    """Return a number of moves, in words."""
    return "1 move" if count == 1 else f"{count} moves"


@frozen
class LayerTime:
    """A layer: height in mm, start in seconds of the print, duration, mm of filament."""

    z: float
    began_s: float
    duration_s: float
    filament_mm: float


@frozen
class UnderrunPlace:
    """An underrun, in which the planner was empty: start in seconds of the print, late line, duration."""

    time_s: float
    line: int | None
    duration_s: float


@frozen
class ScenarioFault:
    """A fault of the scenario: seconds of the print, kind, and the line that it hit or the line before."""

    time_s: float
    what: str
    line: int | None


@frozen
class Bottleneck:
    """A stretch in which the planner was nearly empty; times in seconds of the print.

    `cause` is "wire" if the wire was full, else "answers": the host had to wait for answers.
    """

    from_s: float
    to_s: float
    lines_per_s: float
    cause: BottleneckCause


@mutable
class HeaterSpan:
    """What a heater did, in °C; `reached_s` is when it came within 3 °C of its highest target."""

    highest: float
    target: float = 0.0
    reached_s: float | None = None


@frozen
class PauseSpan:
    """A pause, in seconds of the print."""

    from_s: float
    to_s: float
    kind: PauseKind


@frozen
class Outcome:
    """The result of a simulated print. Seconds count from its start; `lines` are the accepted lines of the file.

    Attributes:
        exact: the print completed, and the file's lines arrived exactly once, in order.
        clipped: moves that the firmware cut short at the end of an axis; `clipped_laying` of them laid material.
        prevented: moves along the bed whose filament was not extruded, `prevented_mm` in all.
        errors, warnings: what the analysis finds in the file for this printer.
        pauses: of the job, and of the firmware while it waited for its user (M0, M600).
    """

    exact: bool
    difference: str
    state: str
    reason: str | None
    lines: int
    file_lines: int
    duration_s: float
    moving_s: float
    paused_s: float
    layers: int
    layer_times: list[LayerTime]
    filament_mm: float
    filament_by_tool: dict[int, float]
    peak_lines_per_s: int
    peak_bytes_per_s: float
    peak_wire_share: float | None
    underruns: int
    underruns_s: float
    underrun_places: list[UnderrunPlace]
    bottlenecks: list[Bottleneck]
    temperatures: dict[str, HeaterSpan]
    resends: int
    faults: list[ScenarioFault]
    events: list[Incident]
    more_events: int = 0
    clipped: int = 0
    clipped_laying: int = 0
    prevented: int = 0
    prevented_mm: float = 0.0
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    pauses: list[PauseSpan] = field(default_factory=list)

    @property
    def flaws(self) -> list[str]:
        """The reasons, apart from lost lines, why the part is not what the file describes."""
        # M commands that are left out, or that store settings, do not harm the part
        reasons = [each for each in self.errors if not each.startswith("M")]
        if self.state != "COMPLETED":
            reasons.insert(0, f"the print ended {self.state.lower()}")
        if self.clipped_laying and any("outside" in each for each in reasons):
            reasons.append(f"cut short at the end of an axis: {describe_moves(self.clipped_laying)} with material")
        if self.prevented:
            reasons.append(
                f"nothing was laid by {describe_moves(self.prevented)}: "
                f"{self.prevented_mm:.1f} mm of filament were not extruded"
            )
        return reasons

    @property
    def good(self) -> bool:
        """Whether every line arrived exactly once and the part came out."""
        return self.exact and not self.flaws

    def as_json(self) -> dict[str, Any]:
        """Return the outcome as an object for JSON."""
        return {**asdict(self), "good": self.good, "against": self.flaws}


@mutable
class _Stretch:
    """Samples in a row in which the planner starved."""

    began: float
    ended: float
    samples: int = 0
    lines: int = 0
    sent: int = 0


def is_starved(sample: Sample) -> bool:
    """Tell whether the planner was nearly empty although lines came."""
    return sample.fill < MIN_FILL and sample.lines > 0


def find_bottlenecks(samples: Iterable[tuple[Sample, float]], baudrate: int | None) -> list[Bottleneck]:
    """Return the stretches, longer than one sample, in which the planner starved.

    Args:
        samples: as they were taken, not joined, each with the seconds since the sample before.
        baudrate: of the wire; None: bytes take no time.
    """
    stretches: list[_Stretch] = []
    for sample, interval in samples:
        if not is_starved(sample):
            continue
        began = sample.time - interval
        if not stretches or stretches[-1].ended < began - _SAME_S:
            stretches.append(_Stretch(began, began))
        last = stretches[-1]
        last.ended = sample.time
        last.samples += 1
        last.lines += sample.lines
        last.sent += sample.bytes
    return [_bottleneck(each, baudrate) for each in stretches if each.samples > 1]


def _bottleneck(stretch: _Stretch, baudrate: int | None) -> Bottleneck:
    seconds = stretch.ended - stretch.began
    full = baudrate is not None and stretch.sent * BITS_A_BYTE >= WIRE_FULL * baudrate * seconds
    rate = round(stretch.lines / seconds, 1)
    return Bottleneck(round(stretch.began, 3), round(stretch.ended, 3), rate, "wire" if full else "answers")


@mutable
class Thermometer:
    """Follows the heaters' readings."""

    spans: dict[str, HeaterSpan] = field(default_factory=dict)

    def read(self, time: float, name: str, actual: float, target: float) -> None:
        """Take one reading."""
        span = self.spans.setdefault(name, HeaterSpan(actual))
        span.highest = max(span.highest, actual)
        if target > span.target:
            span.target, span.reached_s = target, None
        if span.target and span.reached_s is None and abs(actual - span.target) <= TOLERANCE:
            span.reached_s = round(time, 1)


TOLERANCE = 3.0
"""°C within which a target counts as reached."""
