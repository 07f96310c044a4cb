"""The state of an emergency stop by the button: when to repeat it, and when to cut the power. Pure."""

from gcode.frozen import mutable

PAUSES_S = (0.2, 0.5, 1.0, 2.0)
"""Between two attempts; the last one repeats."""

MAX_S = 60.0  # for all attempts


@mutable
class Stopping:
    """One push of the button.

    Attributes:
        began: time of the push.
        cut_after: s after which the power is cut without a confirmation; None: never.
        confirmed: the printer has confirmed the stop.
        cut: the power was cut.
        by_core: the core itself has accepted the stop, and answers whether the printer has confirmed it.
    """

    began: float
    cut_after: float | None
    confirmed: bool = False
    cut: bool = False
    by_core: bool = False
    attempts: int = 0

    def pause(self) -> float:
        """Return the seconds until the next attempt."""
        self.attempts += 1
        return PAUSES_S[min(self.attempts, len(PAUSES_S)) - 1]

    def goes_on(self, now: float) -> bool:
        """Return whether to make another attempt."""
        return not self.confirmed and now - self.began < MAX_S

    def must_cut(self, now: float) -> bool:
        """Return whether to cut the power now."""
        return not self.confirmed and not self.cut and self.cut_after is not None and now >= self.began + self.cut_after
