"""Forecast: the remaining time of a print, from its plan and the time that it has taken so far.

The pace is measured from the first layer on, since heating and homing do not show how fast a printer moves. Early in
the print, the pace is mostly that of earlier prints on this printer.
"""

import asyncio
from dataclasses import replace

from daemon.bridge.words import JobProgress, TimeLeftOrigin
from daemon.errors import StoreError
from daemon.front.analysis.findings import Plan
from daemon.front.analysis.store import AnalysisStore, LearntPace
from gcode.frozen import frozen

TRUST = 0.1  # share of the plan after which the measured pace counts as much as the learnt one
MIN_TRUST_S = 120.0  # of the plan; replaces the share TRUST where that is shorter
MIN_PLAN_S = 120.0  # the pace is not learnt from shorter prints
PLAUSIBLE_PACES = (0.25, 4.0)  # a pace outside of this range is not learnt


@frozen
class Outlook:
    """The forecast of a running print.

    Attributes:
        time_left: remaining time in s.
        origin: how it was computed, in OctoPrint's terms.
        layer: number of the current layer; the first is 1, and 0 is before it.
        layers: the number of layers.
        time_share: the elapsed share of the print's time, 0 to 1.
        planned: planned time up to here, in s.
        pace: actual seconds per planned one.
        m73_percent: percentage done, from the file's last M73.
        m73_time_left: remaining time in s, from the file's last M73.
    """

    time_left: float
    origin: TimeLeftOrigin
    layer: int
    layers: int
    time_share: float
    planned: float
    pace: float
    m73_percent: float | None = None
    m73_time_left: float | None = None


class Pace:
    """The pace of one print: actual seconds per planned one."""

    def __init__(self, plan: Plan, learnt: LearntPace) -> None:
        self.plan = plan
        self.learnt = learnt
        self._anchor: tuple[float, float] | None = None  # (planned, actual) at the beginning of the first layer
        self._last = (0.0, 0.0)  # (planned, actual) at the last forecast
        self._reached_offset = -1
        self._reached_at = 0.0  # elapsed s when that offset was reached

    def outlook(self, offset: int, elapsed: float) -> Outlook:
        """Return the forecast at an offset in the file, which was reached after `elapsed` s."""
        plan = self.plan
        planned = self._planned(offset, elapsed)
        self._measure(offset, planned, elapsed)
        time_left = (plan.duration - planned) * self.factor
        percent, m73_time_left = plan.m73_at(offset)
        share = elapsed / (elapsed + time_left) if elapsed + time_left > 0 else 0.0
        origin: TimeLeftOrigin = "analysis" if self._anchor is None else "mixed-analysis"
        return Outlook(
            max(0.0, time_left),
            origin,
            plan.layer_at(offset),
            len(plan.layers),
            share,
            planned,
            self.factor,
            percent,
            m73_time_left,
        )

    def _planned(self, offset: int, elapsed: float) -> float:
        """Return the planned time up to now; it advances even during one long move."""
        if self._reached_offset != offset:
            self._reached_offset, self._reached_at = offset, elapsed
        since = max(0.0, elapsed - self._reached_at) / self.factor
        return min(self.plan.seconds_at(offset) + since, self.plan.seconds_after(offset))

    @property
    def factor(self) -> float:
        """The expected pace from here on."""
        trust = max(TRUST * self.plan.duration, MIN_TRUST_S)
        planned, measured = self.measured
        return (self.learnt.factor * trust + measured) / (trust + planned)

    @property
    def measured(self) -> tuple[float, float]:
        """Planned and actual seconds since the first layer began."""
        if self._anchor is None:
            return 0.0, 0.0
        (planned, actual), (planned_before, actual_before) = self._last, self._anchor
        return planned - planned_before, actual - actual_before

    def _measure(self, offset: int, planned: float, elapsed: float) -> None:
        if self._anchor is None and offset > self.plan.first_layer_offset:
            self._anchor = (planned, elapsed)
        self._last = (planned, elapsed)

    def lesson(self, elapsed: float) -> tuple[float, float] | None:
        """Return planned and actual seconds of a completed print since its first layer began.

        None: the print was too short, or its pace is not plausible.
        """
        if self._anchor is None:
            return None
        planned_before, actual_before = self._anchor
        planned, actual = self.plan.duration - planned_before, elapsed - actual_before
        low, high = PLAUSIBLE_PACES
        if planned < MIN_PLAN_S or not low <= actual / planned <= high:
            return None
        return planned, actual


def with_outlook(progress: JobProgress, outlook: Outlook | None) -> JobProgress:
    """Return the progress with the forecast's remaining time, if there is one."""
    if outlook is None:
        return progress
    return replace(progress, print_time_left=outlook.time_left, left_origin=outlook.origin)


async def learnt_pace(store: AnalysisStore, printer: str, patience: float) -> LearntPace:
    """Return a printer's learnt pace; the default if it is not available in time."""
    try:
        async with asyncio.timeout(patience):
            return await store.pace_of(printer)
    except (StoreError, TimeoutError):
        return LearntPace()
