"""Motion: how long moves take, and a planner's queue of them, as arithmetic on the device's clock.

As a firmware's planner: trapezoids, limits per axis, junction deviation, look-ahead over the queue, and 100 ms
of waiting for company before a first move. Simplified: an arc is one block; a junction's speed is limited by the
smaller acceleration of its two moves instead of per axis; there are no classic jerk and no soft limits.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

AXES = "XYZE"
PLANNER_BLOCKS = 16  # Marlin's BLOCK_BUFFER_SIZE; one stays empty to tell full from empty
FIRST_MOVE_DELAY = 0.1  # BLOCK_DELAY_FOR_1ST_MOVE: seconds to wait for company,
ENOUGH_COMPANY = 3  # unless this many moves are there

_TINY = 1e-6  # mm, far below a motor step
_STRAIGHT = 0.999999  # cosine of an angle that counts as none
_MIN_SPEED = 0.05  # mm/s, MINIMUM_PLANNER_SPEED: so that every move ends

Vector = tuple[float, float, float, float]
"""X, Y, Z and E in mm, or a direction of them."""


@dataclass(slots=True)
class Limits:
    """What M201, M203, M204 and M205 set: mm, seconds; lists are X, Y, Z, E."""

    feedrates: list[float] = field(default_factory=lambda: [300.0, 300.0, 5.0, 25.0])
    accelerations: list[float] = field(default_factory=lambda: [3000.0, 3000.0, 100.0, 10000.0])
    printing: float = 3000.0
    retract: float = 3000.0
    travel: float = 3000.0
    junction_deviation: float = 0.013


@dataclass(frozen=True, slots=True)
class Path:
    """A path for one block: start and end in mm, its length, and its direction at both ends."""

    start: Vector
    end: Vector
    length: float
    entry: Vector
    exit: Vector
    radius: float = math.inf


@dataclass(slots=True)
class Block:
    """A move in the planner. Speeds along the path in mm/s."""

    path: Path
    cruise: float
    acceleration: float
    max_entry: float = 0.0
    entry: float = 0.0
    exit: float = 0.0
    begins: float = 0.0
    ends: float = 0.0


def line(start: Vector, end: Vector) -> Path | None:
    """Return the straight path; None where nothing moves."""
    delta = [b - a for a, b in zip(start, end, strict=True)]
    length = math.hypot(*delta[:3]) or abs(delta[3])
    if length < _TINY:
        return None
    direction = _vector([each / length for each in delta])
    return Path(start, end, length, direction, direction)


def arc(start: Vector, end: Vector, centre: tuple[float, float], *, clockwise: bool) -> Path | None:
    """Return the arc in the XY plane around `centre`; a full circle where start and end are one."""
    from_x, from_y = start[0] - centre[0], start[1] - centre[1]
    to_x, to_y = end[0] - centre[0], end[1] - centre[1]
    sign = -1.0 if clockwise else 1.0
    turn = (sign * (math.atan2(to_y, to_x) - math.atan2(from_y, from_x))) % math.tau or math.tau
    radius = math.hypot(from_x, from_y)
    flat, rise, extruded = radius * turn, end[2] - start[2], end[3] - start[3]
    length = math.hypot(flat, rise)
    if radius < _TINY or length < _TINY:
        return line(start, end)
    share = sign * flat / (length * radius)
    along = (rise / length, extruded / length)
    entry = (-from_y * share, from_x * share, *along)
    exit_ = (-to_y * share, to_x * share, *along)
    return Path(start, end, length, entry, exit_, radius)


def _vector(values: Sequence[float]) -> Vector:
    x, y, z, e = values
    return x, y, z, e


def block(path: Path, feedrate: float, limits: Limits) -> Block:
    """Return the block for a path at `feedrate` mm/s, held within the limits of each axis."""
    share = [max(abs(a), abs(b)) for a, b in zip(path.entry, path.exit, strict=True)]
    if path.radius < math.inf:  # somewhere on the arc each of the two axes moves alone
        share[0] = share[1] = math.hypot(path.entry[0], path.entry[1])
    moving = [axis for axis in range(4) if share[axis] > _TINY]
    acceleration = min(_wanted_acceleration(path, limits), *_per_axis(limits.accelerations, share, moving))
    speed = min(feedrate, *_per_axis(limits.feedrates, share, moving))
    if path.radius < math.inf:
        speed = min(speed, math.sqrt(acceleration * path.radius))
    return Block(path, max(speed, _MIN_SPEED), acceleration)


def _per_axis(limits: Sequence[float], share: Sequence[float], moving: Sequence[int]) -> list[float]:
    return [limits[axis] / share[axis] for axis in moving] + [math.inf]


def _wanted_acceleration(path: Path, limits: Limits) -> float:
    if path.entry[3] == 0:
        return limits.travel
    return limits.printing if any(path.entry[:3]) else limits.retract


def junction_speed(before: Block, after: Block, deviation: float) -> float:
    """Return how fast the corner between two moves may be taken (junction deviation).

    https://onehossshay.wordpress.com/2011/09/24/improving_grbl_cornering_algorithm/
    """
    slower = min(before.cruise, after.cruise)
    cosine = -sum(a * b for a, b in zip(_unit(before.path.exit), _unit(after.path.entry), strict=True))
    if cosine < -_STRAIGHT:
        return slower
    if cosine > _STRAIGHT:
        return 0.0  # straight back
    half = math.sqrt((1 - cosine) / 2)
    limit = min(before.acceleration, after.acceleration)
    return min(slower, math.sqrt(limit * deviation * half / (1 - half)))


def _unit(direction: Vector) -> Vector:
    length = math.hypot(*direction)
    return _vector([each / length for each in direction])


def duration(length: float, entry: float, cruise: float, leave: float, acceleration: float) -> float:
    """Return the seconds of a trapezoid: speed up from `entry`, cruise, slow down to `leave`."""
    peak = _peak(length, entry, cruise, leave, acceleration)
    ramps = (2 * peak**2 - entry**2 - leave**2) / (2 * acceleration)
    return (2 * peak - entry - leave) / acceleration + max(0.0, length - ramps) / peak


def _peak(length: float, entry: float, cruise: float, leave: float, acceleration: float) -> float:
    reached = math.sqrt((2 * acceleration * length + entry**2 + leave**2) / 2)
    return max(min(cruise, reached), entry, leave)


def travelled(part: Block, elapsed: float) -> float:
    """Return the mm of its path that a started block has behind it after `elapsed` seconds."""
    length, rate = part.path.length, part.acceleration
    peak = _peak(length, part.entry, part.cruise, part.exit, rate)
    speeding = (peak - part.entry) / rate
    braking_at = (part.ends - part.begins) - (peak - part.exit) / rate
    if elapsed >= part.ends - part.begins:
        return length
    if elapsed < speeding:
        return part.entry * elapsed + rate * elapsed**2 / 2
    begun = (peak**2 - part.entry**2) / (2 * rate)
    if elapsed < braking_at:
        return begun + peak * (elapsed - speeding)
    left = part.ends - part.begins - elapsed
    return length - (part.exit * left + rate * left**2 / 2)


class Planner:
    """The queue of moves. Each method is told the time, which never goes back."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._blocks: deque[Block] = deque()  # the first one moves, or waits for company until `begins`
        self._moving = False
        self._exit = 0.0  # speed at which the last block ended
        self.dry_since: float | None = None  # when the last move ended, unless someone waited for it

    def free(self, now: float) -> int:
        """Return how many more moves have a place."""
        self._run(now)
        return PLANNER_BLOCKS - 1 - len(self._blocks)

    def next_free(self, now: float) -> float:
        """Return when a place will be free, if no move is added until then."""
        return now if self.free(now) else self._settle(self._blocks[0])

    def idle_at(self, now: float) -> float:
        """Return when all moves will be done, if none is added."""
        self._run(now)
        return max(now, self._dry_run())

    def add(self, path: Path, feedrate: float, now: float) -> None:
        """Take a move; there must be a free place."""
        self._run(now)
        new = block(path, feedrate, self.limits)
        if self._blocks:
            new.max_entry = junction_speed(self._blocks[-1], new, self.limits.junction_deviation)
        else:
            new.begins = now + FIRST_MOVE_DELAY
        self._blocks.append(new)
        if len(self._blocks) >= ENOUGH_COMPANY and not self._moving:
            self._blocks[0].begins = min(self._blocks[0].begins, now)
            self._run(now)
        self.dry_since = None

    def synchronised(self) -> None:
        """Someone waited for the end of all moves: that the queue is empty is no underrun."""
        self.dry_since = None

    def stop(self, now: float) -> Vector | None:
        """Drop all moves at once; return where the machine stands, None if it did not move."""
        self._run(now)
        if not self._blocks:
            return None
        first = self._blocks[0]
        share = travelled(first, now - first.begins) / first.path.length if self._moving else 0.0
        self._blocks.clear()
        self._moving, self._exit = False, 0.0
        ends = zip(first.path.start, first.path.end, strict=True)
        return _vector([a + (b - a) * share for a, b in ends])

    def _run(self, now: float) -> None:
        """Let moves begin and end as they are due."""
        while self._blocks and self._blocks[0].begins <= now:
            first = self._blocks[0]
            self._settle(first)
            if first.ends > now:
                return
            self._blocks.popleft()
            self._moving, self._exit = False, first.exit
            if self._blocks:
                self._blocks[0].begins = first.ends
            else:
                self.dry_since = first.ends

    def _settle(self, first: Block) -> float:
        """Fix the profile of the first block, which begins now; return when it ends."""
        if not self._moving:
            self._look_ahead(first)
            length, rate = first.path.length, first.acceleration
            first.ends = first.begins + duration(length, first.entry, first.cruise, first.exit, rate)
            self._moving = True
        return first.ends

    def _look_ahead(self, first: Block) -> None:
        """Choose the first block's speeds such that all moves known now can stop at their end."""
        allowed = 0.0
        for each in reversed(self._blocks):
            if each is first:
                break
            reach = math.sqrt(allowed**2 + 2 * each.acceleration * each.path.length)
            allowed = min(each.max_entry, reach)
        first.entry = min(self._exit, first.cruise)
        reach = math.sqrt(first.entry**2 + 2 * first.acceleration * first.path.length)
        first.exit = min(allowed, reach, first.cruise)

    def _dry_run(self) -> float:
        """Return when the last block will end, on a copy."""
        if not self._blocks:
            return -math.inf
        copy = Planner(self.limits)
        copy._blocks = deque(replace(each) for each in self._blocks)
        copy._moving, copy._exit = self._moving, self._exit
        copy._run(math.inf)
        return copy.dry_since if copy.dry_since is not None else -math.inf
