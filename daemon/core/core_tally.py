"""The core's counters for the metrics, read when a question asks for them."""

import asyncio
import os
from bisect import bisect_left

from daemon.bridge.questions import TURNAROUNDS, CoreTally
from daemon.core.job.tally import Tally
from daemon.own_memory import read_memory
from gcode.histogram import WIDTH_S, Histogram
from hal.loop import STALL_CLASSES_S, WatchedLoop
from hal.printer import Conversation


def core_tally(printer: Conversation | None, tally: Tally, began: float) -> CoreTally:
    """Return the counters; `began` is the Unix time at which this process began, in s."""
    loop = asyncio.get_running_loop()
    watch = loop.watch if isinstance(loop, WatchedLoop) else None
    times = os.times()
    return CoreTally(
        began=began,
        processor=times.user + times.system,
        memory=read_memory(),
        underruns=tally.underruns,
        starved=tally.starved,
        reattachments=tally.reattachments,
        stall_bounds=[*STALL_CLASSES_S],
        stalls=[*watch.stalls] if watch is not None else [],
        stall_time=watch.stall_time if watch is not None else 0.0,
        turnarounds=_by_bounds(printer.turnaround) if printer is not None else [],
        window_lines=printer.flow_control.window_lines if printer is not None else None,
    )


def _by_bounds(histogram: Histogram) -> list[int]:
    """Return how many durations lie in each interval bounded by TURNAROUNDS; the last number is of all longer ones."""
    counts = [0] * (len(TURNAROUNDS) + 1)
    *buckets, late = histogram.counts
    for bucket, count in enumerate(buckets, 1):
        counts[bisect_left(TURNAROUNDS, bucket * WIDTH_S - WIDTH_S / 2)] += count
    counts[-1] += late
    return counts
