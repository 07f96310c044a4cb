"""Series: regular samples of a print, in a bounded number."""

from dataclasses import field

from gcode.frozen import mutable

MAX_SAMPLES = 4096
"""When there are this many samples, each pair is joined into one; an even number."""


@mutable
class Sample:
    """The state of the print at one moment.

    Attributes:
        time: seconds since the print began.
        lines: accepted since the last sample.
        bytes: sent to the printer since the last sample.
        fill: moves in the planner.
        temperatures: °C by heater.
        targets: °C by heater; 0: the heater is off.
    """

    time: float
    lines: int
    bytes: int
    fill: int
    temperatures: dict[str, float] = field(default_factory=dict)
    targets: dict[str, float] = field(default_factory=dict)


class Series:
    """Samples at a regular interval, which doubles as the print grows long.

    Attributes:
        interval: seconds between two samples.
    """

    def __init__(self, interval: float = 1.0) -> None:
        self.interval = interval
        self.samples: list[Sample] = []

    def add(self, sample: Sample) -> None:
        """Take the newest sample."""
        self.samples.append(sample)
        if len(self.samples) == MAX_SAMPLES:
            self._thin_out()

    def _thin_out(self) -> None:
        """Join each pair of samples into one: counts are added, and the lower of the two fills is kept."""
        pairs = zip(self.samples[::2], self.samples[1::2], strict=True)
        self.samples = [_join(first, second) for first, second in pairs]
        self.interval *= 2


def _join(first: Sample, second: Sample) -> Sample:
    return Sample(
        second.time,
        first.lines + second.lines,
        first.bytes + second.bytes,
        min(first.fill, second.fill),
        second.temperatures,
        second.targets,
    )
