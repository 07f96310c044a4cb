"""The figures about the connection that users see, read from the counters when a question asks for them."""

import asyncio

from daemon.bridge.questions import ConnectionFigures
from daemon.own_memory import read_memory
from hal.loop import WatchedLoop
from hal.printer import Conversation


def connection_figures(printer: Conversation | None, waits: int) -> ConnectionFigures:
    """Return the figures; `waits` is how often the last print waited for its file."""
    loop = asyncio.get_running_loop()
    stall = loop.watch.longest if isinstance(loop, WatchedLoop) else None
    figures = ConnectionFigures(stall=stall, waits=waits, memory=read_memory())
    if printer is None:
        return figures
    turnaround, limits, counters = printer.turnaround, printer.flow_control, printer.counters
    answers = turnaround.total
    return ConnectionFigures(
        answers=answers,
        p50=turnaround.quantile(0.5) if answers else None,
        p99=turnaround.quantile(0.99) if answers else None,
        late=turnaround.counts[-1],
        longest=turnaround.longest if answers else None,
        stall=stall,
        waits=waits,
        planner_empty=counters.planner_empty if counters.planner_reports else None,
        window_lines=limits.window_lines,
        window_bytes=limits.window_bytes,
        memory=figures.memory,
    )
