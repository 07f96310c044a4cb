"""KnownPrinter: the server's state for one printer."""

from dataclasses import field
from typing import Any

import msgspec

from daemon.farm.messages import Offer, Presence
from gcode.frozen import mutable

MAX_DELAY = 30.0  # s that a message may be late; a larger step back means that the clock was set
TWINS_FOR = 60.0  # s for which a printer with two agents takes no offers
MAX_RETURNS = 2  # of an agent that was replaced; one may be a late message


@mutable
class KnownPrinter:
    """State for one printer; times are the loop's, in s, unless stated otherwise.

    Attributes:
        presence: the last one; its `at` is when it arrived, by our wall clock.
        said_at: `at` of the last presence, by the printer's own wall clock.
        heard: when it arrived.
        out: its offer, last sent at `out_at`.
        nothing: the revision of the list that had no copy for it, at `nothing_at`; -1: none.
        noted: what the list has stored of it, at `noted_at`.
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
        """Tell whether a newer presence has arrived before; one that is much older means that the clock was set."""
        return presence.boot == self.presence.boot and 0 < self.said_at - presence.at < MAX_DELAY

    def take(self, printer: str, presence: Presence, now: float, date: float) -> None:
        """Take a presence; with two agents of one name the printer is not ready, as either may be the wrong one."""
        self._look_for_twins(presence.boot, now)
        self.said_at, self.heard = presence.at, now
        self.presence = msgspec.structs.replace(presence, at=date)
        if now < self._twins_until:
            why = f"two agents call themselves {printer}: revoke it, and enrol each under a name of its own"
            self.presence = msgspec.structs.replace(self.presence, ready=False, reason=why)

    def _look_for_twins(self, boot: str, now: float) -> None:
        """Find two agents of one name: of a single one, the earlier processes never report again after a restart."""
        self._boots = {each: at for each, at in self._boots.items() if now - at < TWINS_FOR}
        if boot != self.presence.boot and boot in self._boots:
            self._returns += 1
            if self._returns >= MAX_RETURNS:
                self._twins_until = now + TWINS_FOR
        elif not self._boots.keys() - {boot}:
            self._returns = 0
        self._boots[boot] = now


def matched_by(presence: Presence) -> tuple[Any, ...]:
    """Return the parts of a presence that decide which copies fit, or that users see while the printer is off."""
    tools = tuple((tool.material, tool.colour, tool.nozzle_mm) for tool in presence.tools)
    return (presence.name, presence.group, tools, presence.size, presence.hottest, presence.url)
