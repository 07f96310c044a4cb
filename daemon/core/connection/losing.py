"""Waiting until a printer is lost."""

import asyncio

from hal.printer import PrinterStatus, StateChanged


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
