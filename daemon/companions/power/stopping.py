"""ButtonStop: the state of an emergency stop by the button. Decides when to repeat it or cut the power. Pure."""

from gcode.frozen import mutable

PAUSES_S = (0.2, 0.5, 1.0, 2.0)
"""Seconds between two attempts; the last value repeats."""

MAX_S = 60.0  # for all attempts


@mutable
class ButtonStop:
    """The emergency stop that one push of the button requests.

    Attributes:
        began: time of the push.
        cut_after: s after which the power is cut without a confirmation; None: never.
        is_confirmed: the printer has confirmed the stop.
        is_cut: the power was cut.
        is_accepted_by_core: the core has accepted the stop, and will answer whether the printer has confirmed it.
    """

    began: float
    cut_after: float | None
    is_confirmed: bool = False
    is_cut: bool = False
    is_accepted_by_core: bool = False
    attempts: int = 0

    def pause(self) -> float:
        """Return the seconds until the next attempt."""
        self.attempts += 1
        return PAUSES_S[min(self.attempts, len(PAUSES_S)) - 1]

    def may_repeat(self, now: float) -> bool:
        """Return whether to make another attempt."""
        return not self.is_confirmed and now - self.began < MAX_S

    def must_cut(self, now: float) -> bool:
        """Return whether to cut the power now."""
        return (
            not self.is_confirmed
            and not self.is_cut
            and self.cut_after is not None
            and now >= self.began + self.cut_after
        )
