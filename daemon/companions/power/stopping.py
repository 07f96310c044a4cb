"""An emergency stop by the button: told until it is confirmed, and what is done where it is not. Pure."""

from gcode.frozen import mutable

AGAIN = (0.2, 0.5, 1.0, 2.0)
"""Seconds between two attempts; the last one from then on."""


LONGEST = 60.0  # s; a printer that is not there by then is not there


@mutable
class Stopping:
    """One push of the button.

    Attributes:
        began: when.
        confirmed: the printer has.
        cut: the power was, or was to be, switched off.
    """

    began: float
    cut_after: float | None
    confirmed: bool = False
    cut: bool = False
    attempts: int = 0

    def pause(self) -> float:
        """Return the seconds until the next attempt."""
        self.attempts += 1
        return AGAIN[min(self.attempts, len(AGAIN)) - 1]

    def goes_on(self, now: float) -> bool:
        """Tell whether it is still worth another attempt."""
        return not self.confirmed and now - self.began < LONGEST

    def must_cut(self, now: float) -> bool:
        """Tell whether the power is to be switched off now."""
        return not self.confirmed and not self.cut and self.cut_after is not None and now - self.began >= self.cut_after
