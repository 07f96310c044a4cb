"""Waiting until a printer is lost."""

import asyncio

from hal.printer import PrinterStatus, StateChanged


async def lost_after(printer: PrinterStatus) -> float:
    """Wait until the printer is not READY any more; return for how many seconds it was, from now."""
    loop = asyncio.get_running_loop()
    began, gone = loop.time(), asyncio.Event()
    unsubscribe = printer.subscribe(lambda event: gone.set() if isinstance(event, StateChanged) else None)
    try:
        await gone.wait()
    finally:
        unsubscribe()
    return loop.time() - began
