"""Rate limits: how often each printer may ask. A printer that floods the server costs the others nothing."""

from gcode.frozen import mutable

MAX_PRINTERS = 50_000


@mutable
class _Bucket:
    level: float
    filled_at: float


class PrinterRates:
    """A token bucket for each printer."""

    def __init__(self, rate: float, burst: float) -> None:
        """Admit `rate` messages a second in the long run, and `burst` at once."""
        self._rate = rate
        self._burst = burst
        self._buckets: dict[str, _Bucket] = {}

    def admits(self, printer: str, now: float) -> bool:
        """Tell whether one more message is admitted at the time `now`, in s."""
        bucket = self._buckets.get(printer)
        if bucket is None:
            if len(self._buckets) >= MAX_PRINTERS:
                self._buckets.clear()
            bucket = self._buckets[printer] = _Bucket(self._burst, now)
        bucket.level = min(self._burst, bucket.level + (now - bucket.filled_at) * self._rate)
        bucket.filled_at = now
        if bucket.level < 1:
            return False
        bucket.level -= 1
        return True
