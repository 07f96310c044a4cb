"""Debounces contacts, and decides when filament has run out. Pure; the time is passed in."""

from gcode.frozen import mutable

REARM_S = 10.0  # for which filament must be present before another runout counts


@mutable
class DebouncedContact:
    """A contact whose state counts once it has been stable for `after` s."""

    after: float
    state: bool
    _momentary: bool | None = None
    _since: float = 0.0

    def update(self, state: bool, now: float) -> None:
        """Take in the contact's momentary state."""
        if state != self._momentary:
            self._momentary, self._since = state, now

    def due(self) -> float | None:
        """Return when the momentary state will count; None: it counts already."""
        return self._since + self.after if self._momentary is not None and self._momentary != self.state else None

    def settle(self, now: float) -> bool:
        """Let the momentary state count if it is stable by now; return whether the state has changed."""
        due = self.due()
        if due is None or now < due or self._momentary is None:
            return False
        self.state = self._momentary
        return True


@mutable
class Runout:
    """Decides when a runout pauses the print: once, however often the contact bounces or the print is resumed."""

    has_filament: bool
    _is_armed: bool = True
    _since: float = 0.0

    def begin(self) -> bool:
        """Note that a print starts; return whether it must be paused for lack of filament."""
        self._is_armed = self.has_filament
        return not self.has_filament

    def note_no_print(self) -> None:
        """Note that there was no print to pause, so that a print whose start is missed can still be paused."""
        self._is_armed = True

    def change(self, present: bool, now: float, *, printing: bool) -> bool:
        """Note a change of the sensor; return whether the print must be paused."""
        if present and not self.has_filament:
            self._since = now
        elif self.has_filament and not present and not self._is_armed and now - self._since >= REARM_S:
            self._is_armed = True
        must_pause = not present and self.has_filament and self._is_armed and printing
        self.has_filament = present
        if must_pause:
            self._is_armed = False
        return must_pause
