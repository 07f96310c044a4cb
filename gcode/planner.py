"""Marlin's motion planner as arithmetic: how long a move takes, and at which speed the next one follows.

Theory of operation. A block is one straight move: it accelerates, cruises and brakes. The corner between two blocks has
a maximum speed, by junction deviation or by classic jerk. The look-ahead finds the highest corner speeds from which the
printer can still stop at the end of the last known move. When a block is fetched for execution, its exit speed becomes
final, and with it the next block's entry speed. The rules are those of Marlin 2.1's planner.cpp (`_populate_block`,
`recalculate_trapezoids`). Of Klipper, only the limits are here; `gcode/analysis/klipper.py` plans as Klipper's
toolhead.py does.

Simplified: lengths are not rounded to motor steps, moves of only a few steps are not left out, and a stop means
0 mm/s, where Marlin has 0.05 mm/s (MINIMUM_PLANNER_SPEED).

Units are mm, mm/s, mm/s² and s. Speeds at the ends of a block are squared (mm²/s²): v² = v0² + 2·a·s turns the
look-ahead into sums and minima.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace

from gcode.command import Command
from gcode.frozen import mutable

AXES = "XYZE"
BLOCKS = 16  # Marlin's BLOCK_BUFFER_SIZE
CAPACITY = BLOCKS - 1  # moves that fit: one block stays empty, to tell full from empty
MIN_SPEED = 0.05  # mm/s; a lower feedrate counts as this, so that every move ends

EXTRUDE_SHARE = 0.64 / (math.pi * 1.75**2 / 4)
"""Share of the maximum speed and acceleration that Klipper allows the extruder alone by default with a 0.4 mm nozzle:
4 · nozzle² over the filament's cross-section (extruder.py, `max_extrude_only_velocity`)."""

TINY = 1e-6  # mm, far below a motor step
MAX_LENGTH = 1e6  # mm; a longer move is a mistake
_MIN_LIMIT, _MAX_LIMIT = 1e-3, 1e9  # a limit outside this range is a mistake, and ignored
STRAIGHT_COSINE = 0.999999  # cosine of a turn that counts as none
SHORT_LENGTH = 1.0  # mm; a slight corner before a shorter move is treated as part of a circle
# cosine of the largest slight turn: just under 45°, so that rounding decides nothing
SLIGHT_COSINE = math.sqrt(0.5) + 1e-9
# if both safe speeds are above this share of the corner's speed, the corner is taken at the safe speed
ALIKE_SHARE = 0.99 + 1e-9
_FEW = range(2, BLOCKS // 2)  # short moves are slowed down while one of these numbers of moves waits

Vector = tuple[float, float, float, float]
"""X, Y, Z and E in mm, or a direction of them."""


@mutable
class MotionLimits:
    """The limits that M201, M203, M204 and M205 set; lists are X, Y, Z, E.

    Attributes:
        feedrates: maximum of each axis (M203), in mm/s.
        accelerations: maximum of each axis (M201), in mm/s².
        printing: acceleration of a move that extrudes (M204 P), in mm/s².
        retract: acceleration of a move of the extruder alone (M204 R), in mm/s².
        travel: acceleration of a move that does not extrude (M204 T), in mm/s².
        jerk: instant change of speed allowed to each axis (M205 X Y Z E), in mm/s; used with `classic_jerk`.
        junction_deviation: virtual distance by which a corner may be cut (M205 J), in mm; used without `classic_jerk`.
        classic_jerk: the firmware was built with CLASSIC_JERK.
        min_feedrate: of moves that extrude (M205 S), in mm/s.
        min_travel_feedrate: of moves that do not (M205 T), in mm/s.
        min_segment_time: duration to which a short move is slowed down if few moves wait (M205 B), in s; 0: never.
        square_corner: Klipper's square_corner_velocity, in mm/s; 0: the planner is not Klipper's.
        cruise_ratio: Klipper's minimum_cruise_ratio.
        to_decel: max_accel_to_decel of older Klippers, in mm/s²; 0: it follows from `cruise_ratio`.
        are_guesses: these limits are guesses, and do not restrict what a file sets.
    """

    feedrates: list[float] = field(default_factory=lambda: [300.0, 300.0, 5.0, 25.0])
    accelerations: list[float] = field(default_factory=lambda: [3000.0, 3000.0, 100.0, 10000.0])
    printing: float = 3000.0
    retract: float = 3000.0
    travel: float = 3000.0
    jerk: list[float] = field(default_factory=lambda: [10.0, 10.0, 0.3, 5.0])
    junction_deviation: float = 0.013
    classic_jerk: bool = False
    min_feedrate: float = 0.0
    min_travel_feedrate: float = 0.0
    min_segment_time: float = 0.02
    square_corner: float = 0.0
    cruise_ratio: float = 0.5
    to_decel: float = 0.0
    are_guesses: bool = False

    def note(self, command: Command, unit: float = 1.0) -> bool:
        """Apply M201, M203, M204 or M205; return whether the command is one of them.

        Args:
            command: any command.
            unit: mm in the command's unit of length (25.4 after G20).
        """
        if self.square_corner and command.code in ("M201", "M203", "M205"):
            return True  # unknown to Klipper
        if command.code == "M201":
            _set_axes(self.accelerations, command, unit)
        elif command.code == "M203":
            _set_axes(self.feedrates, command, unit)
        elif command.code == "M204":
            self._note_accelerations(command, unit)
        elif command.code == "M205":
            self._note_advanced(command, unit)
        else:
            return False
        return True

    def note_words(self, words: Mapping[str, float]) -> None:
        """Apply Klipper's SET_VELOCITY_LIMIT, given its parameters by name in upper case."""
        if not self.square_corner:
            return
        if velocity := plausible_limit(words.get("VELOCITY")):
            self.feedrates[:2] = [velocity, velocity]
        if acceleration := plausible_limit(words.get("ACCEL")):
            self.set_acceleration(acceleration)
        self.square_corner = plausible_limit(words.get("SQUARE_CORNER_VELOCITY")) or self.square_corner
        if "MINIMUM_CRUISE_RATIO" in words:
            self.cruise_ratio, self.to_decel = max(0.0, min(words["MINIMUM_CRUISE_RATIO"], 0.99)), 0.0
        self.to_decel = plausible_limit(words.get("ACCEL_TO_DECEL")) or self.to_decel

    def set_acceleration(self, acceleration: float) -> None:
        """Set the one acceleration that Klipper has for all moves of the tool, in mm/s²."""
        self.printing = self.travel = acceleration
        if self.are_guesses:  # the printer's configuration is unknown, and allows at least what a file sets
            self.retract = max(self.retract, EXTRUDE_SHARE * acceleration)

    def configure_extruder(self) -> None:
        """Set the limits of the extruder alone by those of Klipper's configuration, which a file does not change."""
        self.feedrates[3] = EXTRUDE_SHARE * self.feedrates[0]
        self.retract = EXTRUDE_SHARE * self.printing

    def _note_accelerations(self, command: Command, unit: float) -> None:
        """Apply M204, whose S stands for both P and T, as in older files."""
        both = _limit(command, "S", unit)
        if self.square_corner:
            parts = [each for each in (_limit(command, "P", unit), _limit(command, "T", unit)) if each]
            if both or len(parts) > 1:
                self.set_acceleration(both or min(parts))
            return
        self.printing = _limit(command, "P", unit) or both or self.printing
        self.travel = _limit(command, "T", unit) or both or self.travel
        self.retract = _limit(command, "R", unit) or self.retract
        if self.are_guesses:
            fastest = max(self.printing, self.travel)
            self.accelerations[:2] = [max(each, fastest) for each in self.accelerations[:2]]

    def _note_advanced(self, command: Command, unit: float) -> None:
        _set_axes(self.jerk, command, unit)
        self.junction_deviation = _limit(command, "J", unit) or self.junction_deviation
        self.min_feedrate = _not_negative(command, "S", self.min_feedrate, unit)
        self.min_travel_feedrate = _not_negative(command, "T", self.min_travel_feedrate, unit)
        self.min_segment_time = _not_negative(command, "B", self.min_segment_time, 1e-6)


def treat_as_guesses(limits: MotionLimits) -> MotionLimits:
    """Return limits that are guesses about the printer, and so do not restrict what a file sets."""
    return replace(limits, feedrates=[_MAX_LIMIT] * 4, accelerations=[*limits.accelerations], are_guesses=True)


def convert_to_klipper(limits: MotionLimits) -> MotionLimits:
    """Return limits in Klipper's form: no jerk, and one speed and one acceleration along the path, but others for Z."""
    result = replace(
        limits,
        feedrates=[*limits.feedrates],
        accelerations=[_MAX_LIMIT, _MAX_LIMIT, limits.accelerations[2], _MAX_LIMIT],
        square_corner=5.0,
    )
    result.set_acceleration(limits.printing)
    result.configure_extruder()
    return result


def _set_axes(values: list[float], command: Command, unit: float) -> None:
    for axis, letter in enumerate(AXES):
        values[axis] = _limit(command, letter, unit) or values[axis]


def _limit(command: Command, letter: str, unit: float) -> float | None:
    """Return a parameter's value if it is a plausible limit."""
    return plausible_limit(command.number(letter, 0.0) * unit)


def plausible_limit(limit: float | None) -> float | None:
    """Return a limit of motion; None: it is missing, or no printer has such a limit."""
    return limit if limit is not None and _MIN_LIMIT <= limit <= _MAX_LIMIT else None


def _not_negative(command: Command, letter: str, default: float, unit: float) -> float:
    value = command.number(letter, -1.0) * unit
    return value if 0.0 <= value <= _MAX_LIMIT else default


@mutable
class Block:
    """One straight move in the planner.

    Attributes:
        delta: travel of each axis, in mm.
        end: position at its end, in mm.
        length: of its path in mm; of the filament if only the extruder moves.
        direction: speed of each axis as a share of the speed along the path.
        nominal: cruising speed, in mm/s.
        acceleration: along the path, in mm/s².
        reach: maximum change of the squared speed from start to end, in mm²/s².
        safe: speed to which it may jump from rest (classic jerk), in mm/s.
        max_entry: squared maximum speed of the corner at its start, in mm²/s².
        entry: squared speed at its start, in mm²/s², once fetched.
        exit: squared speed at its end, in mm²/s², once fetched.
        seconds: duration, once fetched.
    """

    delta: Vector
    end: Vector
    length: float
    direction: Vector
    nominal: float
    acceleration: float
    reach: float
    safe: float = 0.0
    max_entry: float = 0.0
    entry: float = 0.0
    exit: float = 0.0
    seconds: float = 0.0


def make_block(
    start: Vector, end: Vector, feedrate: float, limits: MotionLimits, queued: int = CAPACITY
) -> Block | None:
    """Return a move as a block within the limits of each axis; None: nothing moves, or more than MAX_LENGTH.

    Args:
        start: position at its start.
        end: position at its end.
        feedrate: along its path, in mm/s.
        limits: of the printer.
        queued: moves that wait in the planner.
    """
    delta = dx, dy, dz, de = end[0] - start[0], end[1] - start[1], end[2] - start[2], end[3] - start[3]
    extruded = abs(de)
    length = math.sqrt(dx * dx + dy * dy + dz * dz)
    if length < TINY:
        length, acceleration, lowest = extruded, limits.retract, limits.min_feedrate
    elif extruded < TINY:
        acceleration, lowest = limits.travel, limits.min_travel_feedrate
    else:
        acceleration, lowest = limits.printing, limits.min_feedrate
    if not (TINY <= length <= MAX_LENGTH and extruded <= MAX_LENGTH):
        return None
    direction = (dx / length, dy / length, dz / length, de / length)
    nominal = _slow_down(length, max(feedrate, lowest, MIN_SPEED), queued, limits.min_segment_time)
    for share, top, rate in zip(direction, limits.feedrates, limits.accelerations, strict=True):
        part = abs(share)
        if nominal * part > top:
            nominal = top / part
        if acceleration * part > rate:
            acceleration = rate / part
    return Block(delta, end, length, direction, nominal, acceleration, 2 * acceleration * length)


def _slow_down(length: float, speed: float, queued: int, min_segment_time: float) -> float:
    """Return the speed of a move that may be too short for a planner with few moves (Marlin's SLOWDOWN)."""
    missing = min_segment_time - length / speed
    if missing <= 0 or queued not in _FEW:
        return speed
    return length / (length / speed + 2 * missing / queued)


def squared_corner_speed(before: Block, after: Block, limits: MotionLimits) -> float:
    """Return the squared maximum speed of the corner between two moves."""
    if limits.classic_jerk:
        return _corner_speed_by_jerk(before, after, limits.jerk) ** 2
    slower = min(before.nominal, after.nominal)
    return min(slower**2, _squared_speed_by_deviation(before, after, limits))


def safe_speed(move: Block, jerk: Sequence[float]) -> float:
    """Return the maximum speed to which a move may jump from rest by classic jerk, in mm/s."""
    speed = move.nominal
    for share, limit in zip(move.direction, jerk, strict=True):
        if speed * abs(share) > limit:
            speed = limit / abs(share)
    return speed


def _corner_speed_by_jerk(before: Block, after: Block, jerk: Sequence[float]) -> float:
    """Return the maximum speed, in mm/s, at which no axis changes its speed by more than its jerk.

    As in planner.cpp (CLASSIC_JERK), the second move counts at its full speed, even if the first one is slower, and an
    axis that reverses changes by the larger of its two speeds, not by their sum.
    """
    slower, share = min(before.nominal, after.nominal), 1.0
    for leaving, entering, limit in zip(before.direction, after.direction, jerk, strict=True):
        speed, next_speed = leaving * slower, entering * after.nominal
        change = abs(next_speed - speed) if speed * next_speed > 0 else max(abs(speed), abs(next_speed))
        if change * share > limit:
            share = limit / change
    if min(before.safe, after.safe) > ALIKE_SHARE * share * slower:
        return min(after.safe, slower)
    return slower * share


def _squared_speed_by_deviation(before: Block, after: Block, limits: MotionLimits) -> float:
    """Return the squared maximum speed of a corner by junction deviation.

    The corner is replaced by a circle that touches both moves and passes the corner at the deviation; its centripetal
    acceleration is the limit (https://onehossshay.wordpress.com/2011/09/24/improving_grbl_cornering_algorithm/).
    """
    one, two = _normalise(before.direction), _normalise(after.direction)
    cosine = one[0] * two[0] + one[1] * two[1] + one[2] * two[2] + one[3] * two[3]  # of the turn; 1 is straight on
    if cosine > STRAIGHT_COSINE:
        return math.inf
    if cosine < -STRAIGHT_COSINE:
        return 0.0  # a full reversal
    turned = (two[0] - one[0], two[1] - one[1], two[2] - one[2], two[3] - one[3])
    size = math.hypot(*turned)
    acceleration = after.acceleration
    for part, rate in zip(turned, limits.accelerations, strict=True):
        if acceleration * abs(part) > rate * size:
            acceleration = rate * size / abs(part)
    half = math.sqrt((1 + cosine) / 2)  # sine of half the angle between the two
    squared = acceleration * limits.junction_deviation * half / (1 - half)
    if after.length < SHORT_LENGTH and cosine > SLIGHT_COSINE:  # radius = length / angle
        squared = min(squared, acceleration * after.length / math.acos(cosine))
    return squared


def _normalise(direction: Vector) -> Vector:
    """Return a direction normalised over all four axes, as Marlin does for the angle of a corner."""
    x, y, z, e = direction
    if not e:
        return direction
    size = math.sqrt(x * x + y * y + z * z + e * e)
    return (x / size, y / size, z / size, e / size)


class LookAhead:
    """The waiting moves, in order; a move's speeds become final when it is fetched."""

    __slots__ = ("_leaving", "limits", "waiting")

    def __init__(self, limits: MotionLimits) -> None:
        self.limits = limits
        self.waiting: deque[Block] = deque()
        self._leaving = 0.0  # squared speed at the end of the last move fetched, in mm²/s²

    def add(self, start: Vector, end: Vector, feedrate: float) -> Block | None:
        """Append a move; return its block; None: there is none, as in `make_block`."""
        new = make_block(start, end, feedrate, self.limits, len(self.waiting))
        if new is None:
            return None
        if self.limits.classic_jerk:
            new.safe = safe_speed(new, self.limits.jerk)
        if self.waiting:
            new.max_entry = squared_corner_speed(self.waiting[-1], new, self.limits)
        self.waiting.append(new)
        return new

    def fetch(self) -> Block:
        """Remove the first move and return its block, with final speeds."""
        first = self.waiting.popleft()
        first.entry = self._leaving
        first.exit = min(self._highest_exit(), first.entry + first.reach)
        first.seconds = duration(first)
        self._leaving = first.exit
        return first

    def _highest_exit(self) -> float:
        """Return the squared maximum speed from which all corner speeds, and the stop at the end, can be reached.

        It looks no further ahead than the braking distance.
        """
        highest, reach = math.inf, 0.0
        for each in self.waiting:
            highest = min(highest, each.max_entry + reach)
            reach += each.reach
            if reach >= highest:
                return highest
        return min(highest, reach)

    def clear(self) -> None:
        """Drop all moves: the printer stands still."""
        self.waiting.clear()
        self._leaving = 0.0

    def copy(self) -> "LookAhead":
        """Return a copy, whose moves can be fetched without changing this planner."""
        other = LookAhead(self.limits)
        other.waiting = deque(replace(each) for each in self.waiting)
        other._leaving = self._leaving
        return other


def _peak(move: Block) -> float:
    """Return the maximum speed that a fetched move reaches, in mm/s."""
    reached = (move.reach + move.entry + move.exit) / 2
    return min(move.nominal, math.sqrt(reached))


def duration(move: Block) -> float:
    """Return the seconds that a fetched move takes to accelerate, cruise and brake."""
    peak = _peak(move)
    ramps = (2 * peak - math.sqrt(move.entry) - math.sqrt(move.exit)) / move.acceleration
    cruise = (move.reach + move.entry + move.exit - 2 * peak * peak) / (2 * move.acceleration * peak)
    return ramps + cruise


def share_travelled(move: Block, elapsed: float) -> float:
    """Return the share of its path that a fetched move has covered after `elapsed` seconds."""
    if elapsed >= move.seconds:
        return 1.0
    rate, peak = move.acceleration, _peak(move)
    entry, leave = math.sqrt(move.entry), math.sqrt(move.exit)
    ramp, remaining = (peak - entry) / rate, move.seconds - elapsed
    if elapsed < ramp:
        distance = entry * elapsed + rate * elapsed**2 / 2
    elif remaining < (peak - leave) / rate:
        distance = move.length - (leave * remaining + rate * remaining**2 / 2)
    else:
        distance = (peak**2 - move.entry) / (2 * rate) + peak * (elapsed - ramp)
    return min(1.0, max(0.0, distance / move.length))


def plan_blocks(moves: Iterable[tuple[Vector, Vector, float]], limits: MotionLimits) -> Iterator[Block]:
    """Yield the blocks of moves that pass through a planner which is always full.

    Args:
        moves: start, end and feedrate (mm/s) of each.
        limits: of the printer.
    """
    planner = LookAhead(limits)
    for start, end, feedrate in moves:
        if len(planner.waiting) == CAPACITY - 1:  # a move under way has the last block
            yield planner.fetch()
        planner.add(start, end, feedrate)
    while planner.waiting:
        yield planner.fetch()
