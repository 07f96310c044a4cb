"""KnownPrinter: the server's state for one printer."""

from dataclasses import field
from typing import Any

import msgspec

from daemon.farm.messages import Offer, Presence
from gcode.frozen import mutable

MAX_DELAY = 30.0  # by which a message may be late; an older one means that the agent's clock was set back
TWIN_PAUSE_S = 60.0  # for which a printer with two agents gets no offers
MIN_RETURNS = 2  # messages of a replaced agent that prove that it still runs; a single one may be late


@mutable
class KnownPrinter:
    """The state of one printer; times are the loop's, in s, unless stated otherwise.

    Attributes:
        presence: the last one; its `at` is when it arrived, by this computer's wall clock.
        reported_at: `at` of the last presence, by the agent's wall clock.
        heard_at: when it arrived.
        offer: its offer, last sent at `offered_at`.
        no_fit_revision: revision of the list that had no copy for it, at `no_fit_at`; -1: none.
        stored_key: `match_key` of the presence that the list has stored, at `stored_at`.
        cancelled_at: when it was last asked to end a print.
    """

    presence: Presence
    reported_at: float
    heard_at: float
    offer: Offer | None = None
    offered_at: float = 0.0
    no_fit_revision: int = -1
    no_fit_at: float = 0.0
    stored_key: tuple[Any, ...] = ()
    stored_at: float = float("-inf")
    cancelled_at: float = float("-inf")
    _boots: dict[str, float] = field(default_factory=dict)
    _returns: int = 0
    _twins_until: float = float("-inf")

    def is_late(self, presence: Presence) -> bool:
        """Tell whether a newer presence came before it; a much older one means that the agent's clock was set back."""
        return presence.boot == self.presence.boot and 0 < self.reported_at - presence.at < MAX_DELAY

    def take(self, printer: str, presence: Presence, now: float, date: float) -> None:
        """Apply a presence. If two agents have one name, the printer is not ready: either may be the wrong one."""
        self._detect_twins(presence.boot, now)
        self.reported_at, self.heard_at = presence.at, now
        self.presence = msgspec.structs.replace(presence, at=date)
        if now < self._twins_until:
            why = f"two agents have the name {printer}: revoke it, and enrol each under its own name"
            self.presence = msgspec.structs.replace(self.presence, ready=False, reason=why)

    def _detect_twins(self, boot: str, now: float) -> None:
        """Detect two agents of one name. After a restart of a single agent, its earlier process never reports again."""
        self._boots = {each: at for each, at in self._boots.items() if now - at < TWIN_PAUSE_S}
        if boot != self.presence.boot and boot in self._boots:
            self._returns += 1
            if self._returns >= MIN_RETURNS:
                self._twins_until = now + TWIN_PAUSE_S
        elif not self._boots.keys() - {boot}:
            self._returns = 0
        self._boots[boot] = now


def match_key(presence: Presence) -> tuple[Any, ...]:
    """Return the parts of a presence that decide which copies fit, or that users see while the printer is off."""
    tools = tuple((tool.material, tool.colour, tool.nozzle_mm) for tool in presence.tools)
    return (presence.name, presence.group, tools, presence.size, presence.hottest, presence.url)
