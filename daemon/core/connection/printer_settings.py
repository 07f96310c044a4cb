"""PrinterSettings: the limits of motion that the printer reports (M503); it is asked once, when it does not print."""

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from daemon.core.connection.connection import Connection
from gcode.dialect import MARLIN, PRUSA, recognise
from gcode.errors import NozzledError

if TYPE_CHECKING:
    from hal.printer import Printer

ANSWER_TIMEOUT = 10.0  # s for the answer

_AXIS = re.compile(r"[XYZ]:?\s*(-?\d{1,6}(?:\.\d{1,6})?)")
_FULL_RANGE = re.compile(r"[xyz]:\s*(-?\d{1,6}(?:\.\d{1,6})?)")
_LIMITS = re.compile(r"(?:echo:)?\s*(M20[1345]\b[^;]*)")


class PrinterSettings:
    """The printer's limits of motion, as the commands that would set them: M201, M203, M204 and M205.

    Attributes:
        commands: those of the last printer that answered, if it has the same firmware as the one asked last.
        firmware: the firmware's name, from M115, of the printer asked last.
        area: that printer's reach: `min` and `max` of X, Y, Z, in mm; None: not reported.
    """

    def __init__(self, connection: Connection, busy: Callable[[], bool]) -> None:
        """Prepare.

        Args:
            connection: to the printer.
            busy: tells whether a print is in progress.
        """
        self._connection = connection
        self._busy = busy
        self._asked_printer: Printer | None = None
        self.commands: tuple[str, ...] = ()
        self.firmware = ""
        self.area: dict[str, list[float]] | None = None

    async def ask(self) -> tuple[str, ...]:
        """Return the printer's commands; if it cannot be asked now, those known so far."""
        printer = self._connection.printer
        if printer is None or not self._connection.ready or printer is self._asked_printer or self._busy():
            return self.commands
        self._asked_printer = printer
        if printer.identity.name != self.firmware:
            self.commands = ()  # until this printer answers: those known so far are of another one
        self.firmware, self.area = printer.identity.name, None
        dialect = recognise(printer.identity.name)
        if dialect not in (MARLIN, PRUSA):
            return self.commands  # this firmware reports no limits in this form
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                self.commands = limits_in(await printer.send("M503"))
                ends = [] if "M211" in dialect.unknown_words else await printer.send("M211")
                self.area = area_in(ends) or area_in(await printer.send("M115"))
        except (NozzledError, TimeoutError):
            self._asked_printer = None
        return self.commands


def area_in(answer: Sequence[str]) -> dict[str, list[float]] | None:
    """Return the reach of X, Y and Z from an answer to M211 or M115: `min` and `max`; None: not reported."""
    for line in answer:
        _, area, full = line.partition("area:{full:")  # M115; the area of work follows
        values = [float(each) for each in (_FULL_RANGE.findall(full)[:6] if area else _AXIS.findall(line))]
        if len(values) == 6 and "min" in line.lower():  # noqa: PLR2004 - three axes from and to
            return {"min": values[:3], "max": values[3:]}
    return None


def limits_in(answer: Sequence[str]) -> tuple[str, ...]:
    """Return the commands for limits of motion in an answer to M503."""
    return tuple(match[1].strip() for line in answer if (match := _LIMITS.match(line)))
