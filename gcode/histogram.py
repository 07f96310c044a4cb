"""Histogram: counts durations hundreds of times a second, at the cost of a list access each."""

from dataclasses import field

from gcode.frozen import mutable

WIDTH_S = 50e-6  # s
PER_SECOND = 1 / WIDTH_S
BUCKETS = 400  # up to 20 ms; the last one counts longer durations


@mutable
class Histogram:
    """Durations in s, counted in buckets of 50 µs."""

    counts: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    longest: float = 0.0

    def add(self, duration: float) -> None:
        """Count one duration."""
        try:
            self.counts[int(duration * PER_SECOND)] += 1
        except IndexError:
            self.counts[-1] += 1
        if duration > self.longest:  # noqa: PLR1730 - once a line: a comparison costs half of a call to max
            self.longest = duration

    @property
    def total(self) -> int:
        """The number of durations counted."""
        return sum(self.counts)

    def quantile(self, share: float) -> float:
        """Return the duration, in s, that this share of all durations did not exceed; 0 if none was counted."""
        rank, counted = max(1.0, share * self.total), 0
        for bucket, count in enumerate(self.counts[:-1]):
            counted += count
            if counted >= rank:
                return min((bucket + 1) * WIDTH_S, self.longest)
        return self.longest
