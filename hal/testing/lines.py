"""CommandLines: a job of a few commands, for tests."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from gcode.outgoing import Line, job_line
from hal.errors import NotConnected
from hal.printer import ConnectionState, Event, Printer, StateChanged


class CommandLines:
    """A `hal.printer.LineSource` over commands in memory; a command's offset is its index.

    Attributes:
        count: number of commands taken so far.
        empty: set once all have been taken, or no more can be: the connection has ended.
    """

    def __init__(self, commands: Iterable[str]) -> None:
        self.count = 0
        self.empty = asyncio.Event()
        self._commands = [command.encode("ascii") for command in commands]

    def next_line(self) -> Line | None:
        """Return the next command; None after the last one."""
        if self.count == len(self._commands):
            self.empty.set()
            return None
        self.count += 1
        return job_line(self.count - 1, self._commands[self.count - 1])


async def print_lines(printer: Printer, commands: Iterable[str]) -> None:
    """Print commands as a job, and wait until the last one has been acknowledged; if cancelled, no more are sent.

    Raises:
        NozzledError: the connection ended first.
    """
    lines = CommandLines(commands)

    def on_event(event: Event) -> None:
        if isinstance(event, StateChanged) and event.new is not ConnectionState.READY:
            lines.empty.set()  # the rest will not be taken

    unsubscribe = printer.subscribe(on_event)
    try:
        printer.feed(lines)
        await lines.empty.wait()
        await printer.wait_until_acknowledged()
    finally:
        unsubscribe()
        with suppress(NotConnected):
            printer.feed(None)
