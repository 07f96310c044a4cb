"""What the server knows of one printer."""

from dataclasses import field
from typing import Any

import msgspec

from daemon.farm.messages import Offer, Presence
from gcode.frozen import mutable

LATE = 30.0  # s that a message may be
TWINS = 60.0  # s for which two agents of one name are spoken of
RETURNS = 2  # of an agent that was replaced already: one may be a late message


@mutable
class KnownPrinter:
    """What is known of it.

    Attributes:
        presence: its last word; `at` is when it came, by our clock.
        said_at: by its own clock.
        heard: when it came, in loop time.
        out: what is held out to it, since `out_at`.
        nothing: the revision at which it found nothing, at `nothing_at`.
        noted: what the list remembers of it, since `noted_at`.
        cancelled_at: when it was last asked to end a print.
    """

    presence: Presence
    said_at: float
    heard: float
    out: Offer | None = None
    out_at: float = 0.0
    nothing: int = -1
    nothing_at: float = 0.0
    noted: tuple[Any, ...] = ()
    noted_at: float = float("-inf")
    cancelled_at: float = float("-inf")
    _boots: dict[str, float] = field(default_factory=dict)
    _returns: int = 0
    _twins_until: float = float("-inf")

    def is_late(self, presence: Presence) -> bool:
        """Tell whether a newer one has come already; where it is older by much, its clock was set."""
        return presence.boot == self.presence.boot and 0 < self.said_at - presence.at < LATE

    def take(self, printer: str, presence: Presence, now: float, date: float) -> None:
        """Take its word; two agents of one name are ready for nothing, as nobody knows which is meant."""
        self._look_for_twins(presence.boot, now)
        self.said_at, self.heard = presence.at, now
        self.presence = msgspec.structs.replace(presence, at=date)
        if now < self._twins_until:
            why = f"two agents call themselves {printer}: revoke it, and enrol each under a name of its own"
            self.presence = msgspec.structs.replace(self.presence, ready=False, reason=why)

    def _look_for_twins(self, boot: str, now: float) -> None:
        """An agent that was replaced by one that began later never speaks again, if there is one at a time."""
        self._boots = {each: at for each, at in self._boots.items() if now - at < TWINS}
        if boot != self.presence.boot and boot in self._boots:
            self._returns += 1
            if self._returns >= RETURNS:
                self._twins_until = now + TWINS
        elif not self._boots.keys() - {boot}:
            self._returns = 0
        self._boots[boot] = now


def matched_by(presence: Presence) -> tuple[Any, ...]:
    """Return what decides which copies a printer can have, and what people know it by."""
    tools = tuple((tool.material, tool.colour, tool.nozzle_mm) for tool in presence.tools)
    return (presence.name, presence.group, tools, presence.size, presence.hottest, presence.url)
