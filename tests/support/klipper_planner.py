"""Klipper's look-ahead, move by move, as its documentation describes it: the reference for the analysis."""

import math
from dataclasses import dataclass

from gcode.planner import EXTRUDE_SHARE, MotionLimits


@dataclass
class Move:
    axes: tuple[float, ...]
    length: float
    cruise2: float
    accel: float
    reach: float
    smooth: float
    deviation: float
    along: bool
    start2: float = 0.0
    smoothed2: float = 0.0
    seconds: float = 0.0


def seconds(moves: list[tuple[tuple[float, float, float, float], float]], limits: MotionLimits) -> list[float]:
    """Return the seconds of each move; a move is (X, Y, Z, E in mm, requested speed)."""
    queue: list[Move] = []
    for delta, speed in moves:
        move = _move(delta, speed, limits)
        if queue:
            _junction(move, queue[-1])
        queue.append(move)
    _plan(queue)
    return [each.seconds for each in queue]


def _move(delta, speed, limits):
    path = math.dist(delta[:3], (0, 0, 0))
    along = path > 1e-9
    length = path if along else abs(delta[3])
    axes = tuple(each / length for each in delta)
    accel = limits.printing if along else EXTRUDE_SHARE * limits.printing
    cruise = min(speed, limits.feedrates[0] if along else limits.feedrates[3])
    if axes[2]:
        cruise = min(cruise, limits.feedrates[2] / abs(axes[2]))
        accel = min(accel, limits.accelerations[2] / abs(axes[2]))
    decel = limits.printing * (1 - limits.cruise_ratio)
    deviation = limits.square_corner**2 * (math.sqrt(2) - 1) / limits.printing
    smooth = min(decel, accel)
    return Move(axes, length, cruise**2, accel, 2 * accel * length, 2 * smooth * length, deviation, along)


def _junction(move, before):
    if not (move.along and before.along):
        return
    limit2 = min(move.cruise2, before.cruise2, before.start2 + before.reach)
    bend = abs(move.axes[3] - before.axes[3])
    if bend > 1e-6:
        limit2 = min(limit2, (1.0 / bend) ** 2)
    cosine = max(-1.0, min(1.0, -sum(a * b for a, b in zip(move.axes[:3], before.axes[:3], strict=True))))
    sine2, cosine2 = math.sqrt(0.5 * (1 - cosine)), math.sqrt(0.5 * (1 + cosine))
    if 1 - sine2 > 1e-12 and cosine2 > 1e-9:
        for each in (move, before):
            limit2 = min(limit2, sine2 / (1 - sine2) * each.deviation * each.accel, 0.25 * sine2 / cosine2 * each.reach)
    elif sine2 < 1e-9:
        limit2 = 0.0
    move.start2 = limit2
    move.smoothed2 = min(limit2, before.smoothed2 + before.smooth)


def _plan(queue):
    """Plan from the last move to the first: a move that only slows down waits until its peak speed is known."""
    waiting, end2, smooth_end2, peak2 = [], 0.0, 0.0, 0.0
    for move in reversed(queue):
        reachable, smooth_reachable = end2 + move.reach, smooth_end2 + move.smooth
        start2, smoothed2 = min(move.start2, reachable), min(move.smoothed2, smooth_reachable)
        if smoothed2 < smooth_reachable * (1 - 1e-9) - 1e-9:
            if smoothed2 + move.smooth > smooth_end2 * (1 + 1e-9) + 1e-9 or waiting:
                peak2 = min(move.cruise2, (smoothed2 + smooth_reachable) / 2)
                cap = peak2
                for other, other_start, other_end in reversed(waiting):
                    cap = min(cap, other_start)
                    _set(other, min(other_start, cap), cap, min(other_end, cap))
                waiting.clear()
            cruise2 = min((start2 + reachable) / 2, move.cruise2, peak2)
            _set(move, min(start2, cruise2), cruise2, min(end2, cruise2))
        else:
            waiting.append((move, start2, end2))
        end2, smooth_end2 = start2, smoothed2
    for move, start2, end2_ in waiting:
        _set(move, start2, max(start2, end2_), end2_)


def _set(move, start2, cruise2, end2):
    up, down = (cruise2 - start2) / (2 * move.accel), (cruise2 - end2) / (2 * move.accel)
    cruise = math.sqrt(cruise2)
    move.seconds = (
        (cruise - math.sqrt(start2)) / move.accel
        + (cruise - math.sqrt(end2)) / move.accel
        + max(0.0, move.length - up - down) / cruise
    )
