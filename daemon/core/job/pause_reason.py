"""Why a printer pauses by itself: what it said just before, in its own words."""

import asyncio

from gcode.replies import FirmwareError, Text, parse
from hal.printer import Printer

WITHIN = 5.0
"""Seconds before the pause in which it may have said so."""

LONGEST = 200
"""Characters of it that are kept."""

_NO_REASON = ("echo:enqueueing", "echo:busy", "lcd status changed", "active extruder")


def said_before(printer: Printer) -> str | None:
    """Return the last text of the printer's own, if it has just said one."""
    lines = printer.tail_since(asyncio.get_running_loop().time() - WITHIN)
    sent = " ".join(line for line in lines if line.startswith("> "))
    for line in reversed(lines):
        if line.startswith("< ") and (reason := _reason(line[2:])) and reason not in sent:
            return reason[:LONGEST]
    return None


def _reason(line: str) -> str | None:
    """Return a line as a reason; None: it is an answer, a report, or a remark."""
    if line.lower().startswith(_NO_REASON) or not isinstance(parse(line.encode()), Text | FirmwareError):
        return None
    return line.removeprefix("echo:").strip() or None
