"""Histogram: how long something took, hundreds of times a second, for a list access each."""

from dataclasses import field

from gcode.frozen import mutable

WIDTH = 50e-6  # s
PER_SECOND = 1 / WIDTH
BUCKETS = 400  # up to 20 ms; the last one takes what is longer


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
        """How many durations were counted."""
        return sum(self.counts)

    def quantile(self, share: float) -> float:
        """Return a duration, in s, that this share of all did not exceed; 0 where nothing was counted."""
        wanted, seen = max(1.0, share * self.total), 0
        for bucket, count in enumerate(self.counts[:-1]):
            seen += count
            if seen >= wanted:
                return min((bucket + 1) * WIDTH, self.longest)
        return self.longest
