"""Elsewhere: finding out whether a printer works for somebody who is not on this line: a touch screen, another port.

Heaters are on then, and nothing else is to be seen from here. So it is asked where its head is, whether it prints from
its card, and how far a print is; what changes is work.
"""

import asyncio
from collections.abc import Sequence

from daemon.core.connection.connection import Connection
from gcode.dialect import recognise
from gcode.errors import NozzledError
from hal.printer import Event, PositionRead, Printer

ASKED = 4
"""Times that it is asked before it counts as at rest."""

APART = 15.0
"""Seconds between two of them; one that does not answer in that time is at work."""


class Elsewhere:
    """Asks the printer of one connection."""

    def __init__(self, connection: Connection, apart: float = APART) -> None:
        """Prepare; `apart` is the seconds between two questions, where fewer than APART are wanted."""
        self._connection = connection
        self._apart = min(apart, APART)
        self._places: list[dict[str, float]] = []

    async def at_work(self) -> bool:
        """Tell whether the printer works for somebody else; takes up to a minute."""
        printer = self._connection.printer
        if printer is None:
            return False
        self._places.clear()
        unsubscribe = printer.subscribe(self._on_event)
        try:
            return await self._changes(printer)
        except NozzledError:
            return False  # the connection has ended, and with it what was asked for
        finally:
            unsubscribe()

    async def _changes(self, printer: Printer) -> bool:
        questions = ["M114", "M27"]
        if "M73" not in recognise(printer.identity.name).unknown:
            questions.append("M73")
        before: list[str] = []
        for turn in range(ASKED):
            try:
                async with asyncio.timeout(APART):
                    told = [line for question in questions for line in await printer.send(question)]
            except TimeoutError:
                return True
            if printer.busy or printer.panel_print is not None or self._moved():
                return True
            progress = _progress(told)
            if turn and progress != before:
                return True
            before = progress
            if turn < ASKED - 1:
                await asyncio.sleep(self._apart)
        return self._moved()

    def _moved(self) -> bool:
        return any(place != self._places[0] for place in self._places)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, PositionRead) and len(self._places) < 2 * ASKED:
            self._places.append(event.axes)


def _progress(lines: Sequence[str]) -> list[str]:
    """Return what is said of the progress of a print (M73), and of the steps made so far.

    The place that Marlin tells is where the last move that it has read ends; a long one changes only its steps.
    """
    return [line for line in lines if any(word in line.lower() for word in ("percent", "progress", "count"))]
