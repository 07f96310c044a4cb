"""Losses of a printer: waits for the next one, and counts those of a reattachment."""

import asyncio

from hal.printer import PrinterStatus, StateChanged

MAX_LOSSES = 5


class LossCount:
    """Counts how often a print that reattaches loses its printer again; with a loose plug it would do so for ever."""

    def __init__(self) -> None:
        self._count = 0

    def add(self) -> bool:
        """Count a loss; tell whether the print waits for its printer once more: at most MAX_LOSSES times."""
        self._count += 1
        return self._count <= MAX_LOSSES


async def wait_until_lost(printer: PrinterStatus) -> float:
    """Wait until the printer is no longer READY; return how long that took, in s."""
    loop = asyncio.get_running_loop()
    began, gone = loop.time(), asyncio.Event()
    unsubscribe = printer.subscribe(lambda event: gone.set() if isinstance(event, StateChanged) else None)
    try:
        await gone.wait()
    finally:
        unsubscribe()
    return loop.time() - began
