"""How often each printer may ask: what floods is dropped, and costs the others nothing."""

from gcode.frozen import mutable

MOST_KNOWN = 50_000


@mutable
class _Bucket:
    level: float
    at: float


class PrinterRates:
    """A bucket of tokens for each printer."""

    def __init__(self, rate: float, burst: float) -> None:
        """Admit `rate` a second in the long run, and `burst` at once."""
        self._rate = rate
        self._burst = burst
        self._buckets: dict[str, _Bucket] = {}

    def admits(self, printer: str, now: float) -> bool:
        """Tell whether one more is admitted at this time, in s."""
        bucket = self._buckets.get(printer)
        if bucket is None:
            if len(self._buckets) >= MOST_KNOWN:
                self._buckets.clear()
            bucket = self._buckets[printer] = _Bucket(self._burst, now)
        bucket.level = min(self._burst, bucket.level + (now - bucket.at) * self._rate)
        bucket.at = now
        if bucket.level < 1:
            return False
        bucket.level -= 1
        return True
