"""The planner on the device's clock: moves that begin and end, and a machine that is somewhere at any moment.

The arithmetic is `gcode.planner`'s. Nothing ticks: each method is told the time, and works through the moves that
have begun or ended since. A first move waits 100 ms for company, as in Marlin, so that two are not driven with a
stop between them.
"""

import math
from collections.abc import Callable
from dataclasses import replace

from gcode.planner import PLACES, Block, LookAhead, MotionLimits, Vector, travelled

FIRST_MOVE_DELAY = 0.1  # BLOCK_DELAY_FOR_1ST_MOVE: seconds to wait for company,
ENOUGH_COMPANY = 3  # unless this many moves are there
LONGEST_DRY_SPELL = 3.0  # s; a planner without moves for longer is no underrun but a pause


class Planner:
    """The queue of moves. Times must not go back.

    Args:
        limits: the machine's.
        moved: is told each move that was driven, and when it began.
        starved: is told when a move comes too late: since when there was none, and for how long.
    """

    def __init__(
        self,
        limits: MotionLimits,
        moved: Callable[[Block, float], None] | None = None,
        starved: Callable[[float, float], None] | None = None,
    ) -> None:
        self._moved = moved or _nobody
        self._starved = starved or _nobody
        self._ahead = LookAhead(limits)
        self._busy: Block | None = None  # the one that moves
        self._began = 0.0  # when it began
        self._next = math.inf  # when it ends, or the first one need wait for company no longer
        self._dry_since: float | None = None  # when the last move ended, unless someone waited for it

    @property
    def limits(self) -> MotionLimits:
        """What the machine may do; a change counts for moves that are added later."""
        return self._ahead.limits

    @limits.setter
    def limits(self, limits: MotionLimits) -> None:
        self._ahead.limits = limits

    def catch_up(self, now: float) -> None:
        """Let moves begin and end as they are due."""
        if self._next <= now:
            self._run(now)

    def free(self, now: float) -> int:
        """Return how many more moves have a place."""
        if self._next <= now:
            self._run(now)
        return PLACES - len(self._ahead.waiting) - (self._busy is not None)

    def next_free(self, now: float) -> float:
        """Return when a place will be free, if no move is added until then."""
        return now if self.free(now) else self._next

    def idle_at(self, now: float) -> float:
        """Return when all moves will be done, if none is added."""
        self._run(now)
        if self._next == math.inf:
            return now
        ahead = self._ahead.copy()
        return self._next + sum(ahead.fetch().seconds for _ in range(len(ahead.waiting)))

    def add(self, start: Vector, end: Vector, feedrate: float, now: float) -> Block | None:
        """Take a move, for which there must be a place; return it, None where nothing moves."""
        if self._next <= now:
            self._run(now)
        move = self._ahead.add(start, end, feedrate)
        if move is not None and self._busy is None:
            self._gather(now)
        return move

    def _gather(self, now: float) -> None:
        """Wait for company, or begin."""
        waiting = len(self._ahead.waiting)
        if waiting == 1:
            self._next = now + FIRST_MOVE_DELAY
            if self._dry_since is not None and 0 < now - self._dry_since < LONGEST_DRY_SPELL:
                self._starved(self._dry_since, now - self._dry_since)
        if waiting >= ENOUGH_COMPANY:
            self._next = now
            self._run(now)

    def synchronised(self) -> None:
        """Someone waited for the end of all moves: that the queue is empty is no underrun."""
        self._dry_since = None

    def stop(self, now: float) -> Vector | None:
        """Drop all moves at once; return where the machine stands, None if it did not move."""
        self._run(now)
        stopped = self.place(now)
        if self._busy is not None:
            share = travelled(self._busy, now - self._began)
            self._moved(_cut(self._busy, share, now - self._began), self._began)
        self._ahead.clear()
        self._busy, self._next, self._dry_since = None, math.inf, None
        return stopped

    def place(self, now: float) -> Vector | None:
        """Return where the machine is; None where it stands at the end of all moves."""
        if self._next <= now:
            self._run(now)
        if self._busy is not None:
            return _point(self._busy, travelled(self._busy, now - self._began))
        return _point(self._ahead.waiting[0], 0.0) if self._ahead.waiting else None

    def _run(self, now: float) -> None:
        while self._next <= now:
            at = self._next
            if self._busy is not None:
                self._moved(self._busy, self._began)
            self._begin(at)

    def _begin(self, at: float) -> None:
        if self._ahead.waiting:
            self._busy = self._ahead.fetch()
            self._began, self._next = at, at + self._busy.seconds
            self._dry_since = None
        else:
            self._busy, self._next, self._dry_since = None, math.inf, at


def _point(move: Block, share: float) -> Vector:
    """Return where a move is after a share of its way."""
    left = 1.0 - share
    (x, y, z, e), (dx, dy, dz, de) = move.end, move.delta
    return x - dx * left, y - dy * left, z - dz * left, e - de * left


def _cut(move: Block, share: float, seconds: float) -> Block:
    """Return the part of a move that was driven when it was stopped."""
    x, y, z, e = move.delta
    delta = (x * share, y * share, z * share, e * share)
    return replace(move, delta=delta, end=_point(move, share), length=move.length * share, seconds=seconds)


def _nobody(*_told: object) -> None:
    """Stand in where nobody listens."""
