"""Planner: the queue of moves on the device's clock: when each begins and ends, and where the machine is.

The arithmetic is `gcode.planner`'s. Nothing ticks: each method gets the time, and works through the moves that have
begun or ended since. A first move waits 100 ms for others, as in Marlin (planner.h, BLOCK_DELAY_FOR_1ST_MOVE), so that
there is no stop between it and the second.
"""

import math
from collections.abc import Callable
from dataclasses import replace

from gcode.planner import CAPACITY, Block, LookAhead, MotionLimits, Vector, share_travelled

FIRST_MOVE_DELAY = 0.1  # s that a first move waits for others
ENOUGH_MOVES = 3  # once this many moves wait, the first begins at once
MAX_UNDERRUN_S = 3.0  # a planner that is empty for longer is idle


class Planner:
    """The queue of moves. Times must not go back.

    Args:
        limits: those of the machine.
        on_move: called with each move that was made, and the time when it began.
        on_underrun: called when a move comes too late, with the start and the duration of the gap before it.
    """

    def __init__(
        self,
        limits: MotionLimits,
        on_move: Callable[[Block, float], None] | None = None,
        on_underrun: Callable[[float, float], None] | None = None,
    ) -> None:
        self._on_move = on_move or _ignore
        self._on_underrun = on_underrun or _ignore
        self._ahead = LookAhead(limits)
        self._current: Block | None = None  # the move that is being made
        self._began = 0.0  # when it began
        self._next = math.inf  # when it ends, or when the first move has waited long enough
        self._empty_since: float | None = None  # when the last move ended, unless a command waited for that end

    @property
    def limits(self) -> MotionLimits:
        """The machine's limits; a change counts for moves that are added later."""
        return self._ahead.limits

    @limits.setter
    def limits(self, limits: MotionLimits) -> None:
        self._ahead.limits = limits

    def catch_up(self, now: float) -> None:
        """Let moves begin and end as they are due."""
        if self._next <= now:
            self._run(now)

    def count_free(self, now: float) -> int:
        """Return the number of moves for which there is room."""
        if self._next <= now:
            self._run(now)
        return CAPACITY - len(self._ahead.waiting) - (self._current is not None)

    def next_free_at(self, now: float) -> float:
        """Return when there will be room for a move, if none is added until then."""
        return now if self.count_free(now) else self._next

    def idle_at(self, now: float) -> float:
        """Return when all moves will be made, if none is added."""
        self._run(now)
        if self._next == math.inf:
            return now
        ahead = self._ahead.copy()
        return self._next + sum(ahead.fetch().seconds for _ in range(len(ahead.waiting)))

    def add(self, start: Vector, end: Vector, feedrate: float, now: float) -> Block | None:
        """Add a move, for which there must be room; return it; None: nothing moves."""
        if self._next <= now:
            self._run(now)
        move = self._ahead.add(start, end, feedrate)
        if move is not None and self._current is None:
            self._gather(now)
        return move

    def _gather(self, now: float) -> None:
        """Wait for further moves, or begin."""
        waiting = len(self._ahead.waiting)
        if waiting == 1:
            self._next = now + FIRST_MOVE_DELAY
            if self._empty_since is not None and 0 < now - self._empty_since < MAX_UNDERRUN_S:
                self._on_underrun(self._empty_since, now - self._empty_since)
        if waiting >= ENOUGH_MOVES:
            self._next = now
            self._run(now)

    def note_synchronisation(self) -> None:
        """Note that a command waited for the end of all moves, so that the empty queue is no underrun."""
        self._empty_since = None

    def stop(self, now: float) -> Vector | None:
        """Drop all moves at once; return the position of the machine; None: it did not move."""
        self._run(now)
        stopped = self.position(now)
        if self._current is not None:
            share = share_travelled(self._current, now - self._began)
            self._on_move(_cut(self._current, share, now - self._began), self._began)
        self._ahead.clear()
        self._current, self._next, self._empty_since = None, math.inf, None
        return stopped

    def position(self, now: float) -> Vector | None:
        """Return the present position of the machine; None: at the end of all moves."""
        if self._next <= now:
            self._run(now)
        if self._current is not None:
            return _point(self._current, share_travelled(self._current, now - self._began))
        return _point(self._ahead.waiting[0], 0.0) if self._ahead.waiting else None

    def _run(self, now: float) -> None:
        while self._next <= now:
            at = self._next
            if self._current is not None:
                self._on_move(self._current, self._began)
            self._begin(at)

    def _begin(self, at: float) -> None:
        if self._ahead.waiting:
            self._current = self._ahead.fetch()
            self._began, self._next = at, at + self._current.seconds
            self._empty_since = None
        else:
            self._current, self._next, self._empty_since = None, math.inf, at


def _point(move: Block, share: float) -> Vector:
    """Return the position after a share of a move."""
    remaining = 1.0 - share
    (x, y, z, e), (dx, dy, dz, de) = move.end, move.delta
    return x - dx * remaining, y - dy * remaining, z - dz * remaining, e - de * remaining


def _cut(move: Block, share: float, seconds: float) -> Block:
    """Return the part of a move that was made before it was stopped."""
    x, y, z, e = move.delta
    delta = (x * share, y * share, z * share, e * share)
    return replace(move, delta=delta, end=_point(move, share), length=move.length * share, seconds=seconds)


def _ignore(*_arguments: object) -> None:
    """Stand in for a callback."""
