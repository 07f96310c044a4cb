"""OtherHost: finds out whether a printer works for another host: a touch screen, or a host at another port.

Over this connection we see only that the printer is hot. So it is asked for its position, its SD print and its
progress. If an answer changes, the printer is at work.
"""

import asyncio
from collections.abc import Sequence

from daemon.core.connection.connection import Connection
from gcode.dialect import recognise
from gcode.errors import NozzledError
from hal.printer import Event, PositionRead, Printer

QUERIES = 4
"""How often the printer is asked before it counts as at rest."""

QUERY_INTERVAL = 15.0
"""Seconds between two queries; a printer that does not answer one within that time is at work."""


class OtherHost:
    """Another host of the printer of one connection."""

    def __init__(self, connection: Connection, interval: float = QUERY_INTERVAL) -> None:
        """Prepare; `interval` is the seconds between two queries, at most QUERY_INTERVAL."""
        self._connection = connection
        self._interval = min(interval, QUERY_INTERVAL)
        self._positions: list[dict[str, float]] = []

    async def is_at_work(self) -> bool:
        """Tell whether the printer works for another host; takes about a minute."""
        printer = self._connection.printer
        if printer is None:
            return False
        self._positions.clear()
        unsubscribe = printer.subscribe(self._on_event)
        try:
            return await self._answers_change(printer)
        except NozzledError:
            return False  # the connection has ended, and the answer is no longer needed
        finally:
            unsubscribe()

    async def _answers_change(self, printer: Printer) -> bool:
        commands = ["M114", "M27"]
        if "M73" not in recognise(printer.identity.name).unknown_words:
            commands.append("M73")
        before: list[str] = []
        for turn in range(QUERIES):
            try:
                async with asyncio.timeout(QUERY_INTERVAL):
                    answers = [line for command in commands for line in await printer.send(command)]
            except TimeoutError:
                return True
            if printer.busy or printer.panel_print is not None or self._has_moved():
                return True
            progress = _progress(answers)
            if turn and progress != before:
                return True
            before = progress
            if turn < QUERIES - 1:
                await asyncio.sleep(self._interval)
        return self._has_moved()

    def _has_moved(self) -> bool:
        return any(position != self._positions[0] for position in self._positions)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, PositionRead) and len(self._positions) < 2 * QUERIES:
            self._positions.append(event.axes)


def _progress(lines: Sequence[str]) -> list[str]:
    """Return the lines about the progress of a print (M73) and about the motor steps made so far.

    The position that Marlin reports is the end of the last move that it has read. So during a long move only its count
    of steps changes.
    """
    return [line for line in lines if any(word in line.lower() for word in ("percent", "progress", "count"))]
