"""Allowance: a share of the loop's time, and a little that may be spent in advance."""

SHARE = 0.1
SAVED = 0.02  # s that are at hand after a while of rest


class Allowance:
    """Counts what was spent. Times are the loop's, in s."""

    def __init__(self, share: float = SHARE, saved: float = SAVED) -> None:
        """Allow `share` of all time, and `saved` at once."""
        self._share = share
        self._saved = self._left = saved
        self._at = 0.0

    def spend(self, seconds: float, now: float) -> float:
        """Spend time; return for how long nothing more may be spent, 0: there is some left."""
        self._left = min(self._saved, self._left + max(0.0, now - self._at) * self._share) - seconds
        self._at = now
        return max(0.0, -self._left / self._share)

    def wait(self, now: float) -> float:
        """Return for how long nothing may be spent."""
        return self.spend(0.0, now)
