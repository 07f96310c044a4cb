"""How long a print still takes: its plan, measured against the time it has taken so far.

Heating and homing are no measure of how fast a printer moves, so the measuring begins with the first layer. Until much
of the print is behind, the pace is mostly what earlier prints of this printer have shown.
"""

import asyncio
from dataclasses import replace

from daemon.bridge.words import JobProgress, TimeLeftOrigin
from daemon.errors import StoreError
from daemon.front.analysis.findings import Plan
from daemon.front.analysis.shelf import Learnt, Shelf
from gcode.frozen import frozen

TRUST = 0.1  # share of the plan, and no less than so many seconds, after which the measured pace weighs as much
TRUST_S = 120.0  # as the learnt one
SHORTEST = 120.0  # s of a plan from which something can be learnt
PLAUSIBLE = (0.25, 4.0)  # pace; beyond it something else was wrong


@frozen
class Outlook:
    """What a plan says of a print under way.

    Attributes:
        left: seconds.
        origin: where that comes from, in OctoPrint's words.
        layer: number of the layer; 1 is the first.
        layers: how many there are.
        time_share: how much of the print's time is over, 0 to 1.
        planned: seconds of the plan that are behind.
        pace: real seconds for each planned one.
        m73_percent: what the file itself told the printer last, as is `m73_left` (s).
    """

    left: float
    origin: TimeLeftOrigin
    layer: int
    layers: int
    time_share: float
    planned: float
    pace: float
    m73_percent: float | None = None
    m73_left: float | None = None


class Pace:
    """The pace of one print: measured seconds for each planned one."""

    def __init__(self, plan: Plan, learnt: Learnt) -> None:
        self.plan = plan
        self.learnt = learnt
        self._anchor: tuple[float, float] | None = None  # (planned, measured) when the first layer was seen to begin
        self._last = (0.0, 0.0)
        self._reached = (-1, 0.0)  # the last place, and the seconds at which it was seen first

    def outlook(self, offset: int, elapsed: float) -> Outlook:
        """Return how it goes on, from a place in the file and the seconds that it took to get there."""
        plan = self.plan
        planned = self._planned(offset, elapsed)
        self._measure(offset, planned, elapsed)
        left = (plan.duration - planned) * self.factor
        percent, told = plan.m73_at(offset)
        share = elapsed / (elapsed + left) if elapsed + left > 0 else 0.0
        origin: TimeLeftOrigin = "analysis" if self._anchor is None else "mixed-analysis"
        return Outlook(
            max(0.0, left), origin, plan.layer_at(offset), len(plan.layers), share, planned, self.factor, percent, told
        )

    def _planned(self, offset: int, elapsed: float) -> float:
        """Return the planned time that is behind; it goes on between two lines, of which a long move is one."""
        if self._reached[0] != offset:
            self._reached = (offset, elapsed)
        since = max(0.0, elapsed - self._reached[1]) / self.factor
        return min(self.plan.seconds_at(offset) + since, self.plan.seconds_after(offset))

    @property
    def factor(self) -> float:
        """Seconds for each planned one, from here on."""
        trust = max(TRUST * self.plan.duration, TRUST_S)
        planned, measured = self.measured
        return (self.learnt.factor * trust + measured) / (trust + planned)

    @property
    def measured(self) -> tuple[float, float]:
        """Planned and real seconds since the first layer began."""
        if self._anchor is None:
            return 0.0, 0.0
        return self._last[0] - self._anchor[0], self._last[1] - self._anchor[1]

    def _measure(self, offset: int, planned: float, elapsed: float) -> None:
        if self._anchor is None and offset > self.plan.first_layer:
            self._anchor = (planned, elapsed)
        self._last = (planned, elapsed)

    def lesson(self, elapsed: float) -> tuple[float, float] | None:
        """Return planned and real seconds of a print that is complete; None if it teaches nothing."""
        if self._anchor is None:
            return None
        planned, actual = self.plan.duration - self._anchor[0], elapsed - self._anchor[1]
        low, high = PLAUSIBLE
        if planned < SHORTEST or not low <= actual / planned <= high:
            return None
        return planned, actual


def with_outlook(progress: JobProgress, outlook: Outlook | None) -> JobProgress:
    """Return the progress with the better time left, if there is one."""
    if outlook is None:
        return progress
    return replace(progress, print_time_left=outlook.left, left_origin=outlook.origin)


async def learnt(shelf: Shelf, printer: str, patience: float) -> Learnt:
    """Return what is known of a printer's pace; nothing when that is not known in time."""
    try:
        async with asyncio.timeout(patience):
            return await shelf.learnt(printer)
    except (StoreError, TimeoutError):
        return Learnt()
