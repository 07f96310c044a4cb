"""Marlin's motion planner as arithmetic: what a move takes, and how fast it may be left for the next one.

A block is one straight move with a trapezoid of speeds: speed up, cruise, slow down. Where two of them meet, the
corner has a highest speed, by junction deviation or by classic jerk. The look-ahead finds the highest speeds with
which all moves that are known can still stop at their end; when a block is fetched for execution its exit speed is
fixed, and with it the next one's entry.

Simplified: lengths are not rounded to motor steps, moves of a few steps only are not left out, and to stop means
speed 0, where Marlin has 0.05 mm/s.

mm, mm/s, mm/s², s. Speeds at a block's ends are kept as squares, in which all of this is sums and minima.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace

from gcode.command import Command
from gcode.frozen import mutable

AXES = "XYZE"
BLOCKS = 16  # Marlin's BLOCK_BUFFER_SIZE
PLACES = BLOCKS - 1  # one block stays empty, to tell full from empty
SLOWEST = 0.05  # mm/s that a move aims at, so that every move ends

EXTRUDE_SHARE = 0.64 / (math.pi * 1.75**2 / 4)
"""Of the highest speed and acceleration, what Klipper allows the extruder alone, by default, with a 0.4 mm nozzle."""

_TINY = 1e-6  # mm, far below a motor step
FARTHEST = 1e6  # mm that a move may go; beyond it is a mistake
_LEAST_LIMIT, _HIGHEST_LIMIT = 1e-3, 1e9  # beyond them a limit is a mistake, and is passed over
_STRAIGHT = 0.999999  # cosine of an angle that counts as none
_SHORT = 1.0  # mm; below it a slight corner is taken for a piece of a circle
_SLIGHT = math.sqrt(0.5) + 1e-9  # cosine of the largest turn that is one: just under 45°, where no rounding decides
_ALIKE = 0.99 + 1e-9  # of both safe speeds: a corner that is slower is taken at these; no rounding decides
_FEW = range(2, BLOCKS // 2)  # moves in the queue with which short ones are slowed down

Vector = tuple[float, float, float, float]
"""X, Y, Z and E in mm, or a direction of them."""


@mutable
class MotionLimits:
    """What M201, M203, M204 and M205 set; lists are X, Y, Z, E.

    Attributes:
        feedrates: the highest of each axis (M203).
        accelerations: the highest of each axis (M201).
        printing: acceleration of a move that extrudes (M204 P).
        retract: acceleration of a move of the extruder alone (M204 R).
        travel: acceleration of a move that does not extrude (M204 T).
        jerk: change of speed that each axis may make at once (M205 X Y Z E), used with `classic_jerk`.
        junction_deviation: how far a corner may be cut in thought (M205 J), used without `classic_jerk`.
        classic_jerk: which of the two the firmware was built with.
        min_feedrate: of moves that extrude (M205 S).
        min_travel_feedrate: of moves that do not (M205 T).
        min_segment_time: to which a short move is slowed down where few are queued (M205 B); 0: never.
        square_corner: Klipper's square_corner_velocity; 0: the planner is not Klipper's.
        cruise_ratio: Klipper's minimum_cruise_ratio.
        to_decel: its max_accel_to_decel, as older versions have it; 0: by the ratio.
        loose: nobody has told them: what a file asks for is not limited by them.
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
    loose: bool = False

    def note(self, command: Command, unit: float = 1.0) -> bool:
        """Take over what M201, M203, M204 or M205 sets; return whether it is one of them.

        Args:
            command: any command.
            unit: mm in the command's unit of length (25.4 after G20).
        """
        if self.square_corner and command.code in ("M201", "M203", "M205"):
            return True  # Klipper does not know them
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
        """Take over what SET_VELOCITY_LIMIT sets: its words, in upper case, with their values."""
        if not self.square_corner:
            return
        if velocity := words.get("VELOCITY"):
            self.feedrates[:2] = [velocity, velocity]
        if acceleration := words.get("ACCEL"):
            self.accelerate(acceleration)
        self.square_corner = words.get("SQUARE_CORNER_VELOCITY") or self.square_corner
        if "MINIMUM_CRUISE_RATIO" in words:
            self.cruise_ratio, self.to_decel = min(words["MINIMUM_CRUISE_RATIO"], 0.99), 0.0
        self.to_decel = words.get("ACCEL_TO_DECEL") or self.to_decel

    def accelerate(self, most: float) -> None:
        """Set the one acceleration that Klipper has for all moves of the tool."""
        self.printing = self.travel = most
        if self.loose:  # its configuration is not known, and allows at least what a file asks for
            self.retract = max(self.retract, EXTRUDE_SHARE * most)

    def configure_extruder(self) -> None:
        """Set what Klipper allows the extruder alone, by its configuration: a file that moves slower leaves it so."""
        self.feedrates[3] = EXTRUDE_SHARE * self.feedrates[0]
        self.retract = EXTRUDE_SHARE * self.printing

    def _note_accelerations(self, command: Command, unit: float) -> None:
        """M204; S is printing and travel, as in older files."""
        both = _limit(command, "S", unit)
        if self.square_corner:
            parts = [each for each in (_limit(command, "P", unit), _limit(command, "T", unit)) if each]
            if both or len(parts) > 1:
                self.accelerate(both or min(parts))
            return
        self.printing = _limit(command, "P", unit) or both or self.printing
        self.travel = _limit(command, "T", unit) or both or self.travel
        self.retract = _limit(command, "R", unit) or self.retract
        if self.loose:
            asked = max(self.printing, self.travel)
            self.accelerations[:2] = [max(each, asked) for each in self.accelerations[:2]]

    def _note_advanced(self, command: Command, unit: float) -> None:
        _set_axes(self.jerk, command, unit)
        self.junction_deviation = _limit(command, "J", unit) or self.junction_deviation
        self.min_feedrate = _not_negative(command, "S", self.min_feedrate, unit)
        self.min_travel_feedrate = _not_negative(command, "T", self.min_travel_feedrate, unit)
        self.min_segment_time = _not_negative(command, "B", self.min_segment_time, 1e-6)


def loose(limits: MotionLimits) -> MotionLimits:
    """Return limits of which nobody knows whether they are the printer's: they do not limit what a file asks for."""
    return replace(limits, feedrates=[_HIGHEST_LIMIT] * 4, accelerations=[*limits.accelerations], loose=True)


def klipper(limits: MotionLimits) -> MotionLimits:
    """Return limits as Klipper has them: one speed and one acceleration along the path, Z apart, and no jerk."""
    found = replace(
        limits,
        feedrates=[*limits.feedrates],
        accelerations=[_HIGHEST_LIMIT, _HIGHEST_LIMIT, limits.accelerations[2], _HIGHEST_LIMIT],
        square_corner=5.0,
    )
    found.accelerate(limits.printing)
    found.configure_extruder()
    return found


def _set_axes(values: list[float], command: Command, unit: float) -> None:
    for axis, letter in enumerate(AXES):
        values[axis] = _limit(command, letter, unit) or values[axis]


def _limit(command: Command, letter: str, unit: float) -> float | None:
    """Return a word's value if a machine can have it as a limit."""
    value = command.number(letter, 0.0) * unit
    return value if _LEAST_LIMIT <= value <= _HIGHEST_LIMIT else None


def _not_negative(command: Command, letter: str, default: float, unit: float) -> float:
    value = command.number(letter, -1.0) * unit
    return value if 0.0 <= value <= _HIGHEST_LIMIT else default


@mutable
class Block:
    """One straight move in the planner.

    Attributes:
        delta: mm that each axis goes.
        end: where it ends, in mm from the endstops.
        length: mm of its path; of the extruder's turn where nothing else moves.
        direction: speed of each axis, as a share of the speed.
        nominal: the speed that it aims at.
        acceleration: along the path.
        reach: by how much the square of the speed can change on the way.
        safe: the speed to which it may jump from rest (classic jerk).
        max_entry: square of the corner's highest speed.
        entry: square of the speed at its start, once fetched.
        exit: square of the speed at its end, once fetched.
        seconds: how long it takes, once fetched.
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


def block(start: Vector, end: Vector, feedrate: float, limits: MotionLimits, queued: int = PLACES) -> Block | None:
    """Return the move at `feedrate`, within the limits of each axis; None where nothing moves, or over a kilometre.

    Args:
        start: where it starts.
        end: where it ends.
        feedrate: along its path.
        limits: the machine's.
        queued: moves that wait in the planner.
    """
    delta = dx, dy, dz, de = end[0] - start[0], end[1] - start[1], end[2] - start[2], end[3] - start[3]
    extruded = abs(de)
    length = math.sqrt(dx * dx + dy * dy + dz * dz)
    if length < _TINY:
        length, acceleration, lowest = extruded, limits.retract, limits.min_feedrate
    elif extruded < _TINY:
        acceleration, lowest = limits.travel, limits.min_travel_feedrate
    else:
        acceleration, lowest = limits.printing, limits.min_feedrate
    if not (_TINY <= length <= FARTHEST and extruded <= FARTHEST):
        return None
    direction = (dx / length, dy / length, dz / length, de / length)
    nominal = _slowed(length, max(feedrate, lowest, SLOWEST), queued, limits.min_segment_time)
    for share, top, rate in zip(direction, limits.feedrates, limits.accelerations, strict=True):
        part = abs(share)
        if nominal * part > top:
            nominal = top / part
        if acceleration * part > rate:
            acceleration = rate / part
    return Block(delta, end, length, direction, nominal, acceleration, 2 * acceleration * length)


def _slowed(length: float, speed: float, queued: int, min_segment_time: float) -> float:
    """Return the speed of a move that may be too short for a planner that is running dry (SLOWDOWN)."""
    missing = min_segment_time - length / speed
    if missing <= 0 or queued not in _FEW:
        return speed
    return length / (length / speed + 2 * missing / queued)


def corner(before: Block, after: Block, limits: MotionLimits) -> float:
    """Return the square of the speed at which the corner between two moves may be taken."""
    if limits.classic_jerk:
        return _corner_by_jerk(before, after, limits.jerk) ** 2
    slower = min(before.nominal, after.nominal)
    return min(slower**2, _corner_by_deviation(before, after, limits))


def safe_speed(move: Block, jerk: Sequence[float]) -> float:
    """Return the highest speed to which a move may jump from rest by classic jerk."""
    speed = move.nominal
    for share, most in zip(move.direction, jerk, strict=True):
        if speed * abs(share) > most:
            speed = most / abs(share)
    return speed


def _corner_by_jerk(before: Block, after: Block, jerk: Sequence[float]) -> float:
    """Return the speed at which no axis changes its own by more than its jerk.

    As Marlin has it, the second move is compared at its full speed, even if the first one is slower, and an axis
    that turns back changes by the larger of its two speeds, not by their sum.
    """
    slower, share = min(before.nominal, after.nominal), 1.0
    for leaving, entering, most in zip(before.direction, after.direction, jerk, strict=True):
        speed, next_speed = leaving * slower, entering * after.nominal
        change = abs(next_speed - speed) if speed * next_speed > 0 else max(abs(speed), abs(next_speed))
        if change * share > most:
            share = most / change
    if min(before.safe, after.safe) > _ALIKE * share * slower:
        return min(after.safe, slower)
    return slower * share


def _corner_by_deviation(before: Block, after: Block, limits: MotionLimits) -> float:
    """Return the square of the speed at which a circle that leaves the corner by the deviation can be driven.

    https://onehossshay.wordpress.com/2011/09/24/improving_grbl_cornering_algorithm/
    """
    one, two = _unit(before.direction), _unit(after.direction)
    cosine = one[0] * two[0] + one[1] * two[1] + one[2] * two[2] + one[3] * two[3]  # of the turn; 1 is straight on
    if cosine > _STRAIGHT:
        return math.inf
    if cosine < -_STRAIGHT:
        return 0.0  # straight back
    turned = (two[0] - one[0], two[1] - one[1], two[2] - one[2], two[3] - one[3])
    size = math.hypot(*turned)
    acceleration = after.acceleration
    for part, rate in zip(turned, limits.accelerations, strict=True):
        if acceleration * abs(part) > rate * size:
            acceleration = rate * size / abs(part)
    half = math.sqrt((1 + cosine) / 2)  # sine of half the angle between the two
    speed = acceleration * limits.junction_deviation * half / (1 - half)
    if after.length < _SHORT and cosine > _SLIGHT:
        speed = min(speed, acceleration * after.length / math.acos(cosine))
    return speed


def _unit(direction: Vector) -> Vector:
    """Return a direction with the extruder counted in, as Marlin does where there is an angle to it."""
    x, y, z, e = direction
    if not e:
        return direction
    size = math.sqrt(x * x + y * y + z * z + e * e)
    return (x / size, y / size, z / size, e / size)


class LookAhead:
    """The moves that wait, in their order; the first one's speeds are fixed when it is fetched."""

    __slots__ = ("_leaving", "limits", "waiting")

    def __init__(self, limits: MotionLimits) -> None:
        self.limits = limits
        self.waiting: deque[Block] = deque()
        self._leaving = 0.0  # square of the speed at which the last move fetched ends

    def add(self, start: Vector, end: Vector, feedrate: float) -> Block | None:
        """Take a move; return it, None where nothing moves."""
        new = block(start, end, feedrate, self.limits, len(self.waiting))
        if new is None:
            return None
        if self.limits.classic_jerk:
            new.safe = safe_speed(new, self.limits.jerk)
        if self.waiting:
            new.max_entry = corner(self.waiting[-1], new, self.limits)
        self.waiting.append(new)
        return new

    def fetch(self) -> Block:
        """Take out the first move: it begins, and how it ends no longer changes."""
        first = self.waiting.popleft()
        first.entry = self._leaving
        first.exit = min(self._highest_exit(), first.entry + first.reach)
        first.seconds = duration(first)
        self._leaving = first.exit
        return first

    def _highest_exit(self) -> float:
        """Return the highest square of speed from which all corners ahead, and the end, can be met.

        Looks no further than it takes to stop.
        """
        highest, reach = math.inf, 0.0
        for each in self.waiting:
            highest = min(highest, each.max_entry + reach)
            reach += each.reach
            if reach >= highest:
                return highest
        return min(highest, reach)

    def clear(self) -> None:
        """Forget all moves: the machine stands."""
        self.waiting.clear()
        self._leaving = 0.0

    def copy(self) -> "LookAhead":
        """Return the same moves, to see how they would go on."""
        other = LookAhead(self.limits)
        other.waiting = deque(replace(each) for each in self.waiting)
        other._leaving = self._leaving
        return other


def _peak(move: Block) -> float:
    """Return the highest speed that a fetched move reaches."""
    reached = (move.reach + move.entry + move.exit) / 2
    return min(move.nominal, math.sqrt(reached))


def duration(move: Block) -> float:
    """Return the seconds of a fetched move: speed up, cruise, slow down."""
    peak = _peak(move)
    ramps = (2 * peak - math.sqrt(move.entry) - math.sqrt(move.exit)) / move.acceleration
    cruise = (move.reach + move.entry + move.exit - 2 * peak * peak) / (2 * move.acceleration * peak)
    return ramps + cruise


def travelled(move: Block, elapsed: float) -> float:
    """Return the share of its way that a fetched move has behind it after `elapsed` seconds."""
    if elapsed >= move.seconds:
        return 1.0
    rate, peak = move.acceleration, _peak(move)
    entry, leave = math.sqrt(move.entry), math.sqrt(move.exit)
    speeding, left = (peak - entry) / rate, move.seconds - elapsed
    if elapsed < speeding:
        way = entry * elapsed + rate * elapsed**2 / 2
    elif left < (peak - leave) / rate:
        way = move.length - (leave * left + rate * left**2 / 2)
    else:
        way = (peak**2 - move.entry) / (2 * rate) + peak * (elapsed - speeding)
    return min(1.0, max(0.0, way / move.length))


def fetched(moves: Iterable[tuple[Vector, Vector, float]], limits: MotionLimits) -> Iterator[Block]:
    """Yield the moves as they are driven one after the other, by a planner that is always full.

    Args:
        moves: start, end and feedrate of each.
        limits: the machine's.
    """
    planner = LookAhead(limits)
    for start, end, feedrate in moves:
        if len(planner.waiting) == PLACES - 1:  # a move under way has the last place
            yield planner.fetch()
        planner.add(start, end, feedrate)
    while planner.waiting:
        yield planner.fetch()
