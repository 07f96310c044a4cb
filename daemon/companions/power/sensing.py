"""What contacts mean: debounced, and acted upon once. Pure; the time is passed in."""

from gcode.frozen import mutable

STEADY = 10.0  # s that filament has to be there again before it can run out again


@mutable
class Debounced:
    """A contact that has to say something for a while before it counts."""

    after: float
    state: bool
    _said: bool | None = None
    _since: float = 0.0

    def say(self, state: bool, now: float) -> None:
        """Take what it says."""
        if state != self._said:
            self._said, self._since = state, now

    def due(self) -> float | None:
        """Return when what it says will count; None: it says nothing new."""
        return self._since + self.after if self._said is not None and self._said != self.state else None

    def look(self, now: float) -> bool:
        """Tell whether it counts as another one since."""
        due = self.due()
        if due is None or now < due or self._said is None:
            return False
        self.state = self._said
        return True


@mutable
class Runout:
    """Filament that runs out: one pause for it, however often the contact bounces, or the print is gone on with."""

    present: bool
    _armed: bool = True
    _since: float = 0.0

    def begin(self) -> bool:
        """A print begins; tell whether it is to be paused, as there is no filament."""
        self._armed = self.present
        return not self.present

    def nothing(self) -> None:
        """There was no print that could have been paused: one that begins unseen still can be."""
        self._armed = True

    def change(self, present: bool, now: float, *, printing: bool) -> bool:
        """The sensor says something else; tell whether the print is to be paused."""
        if present and not self.present:
            self._since = now
        elif self.present and not present and not self._armed and now - self._since >= STEADY:
            self._armed = True
        acts = not present and self.present and self._armed and printing
        self.present = present
        if acts:
            self._armed = False
        return acts
