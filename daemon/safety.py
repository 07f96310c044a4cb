"""Making the printer cold. Heaters off is never behind a lock, a disk or a queue."""

import asyncio

from daemon.config import ProfileConfig
from gcode.errors import NozzledError
from gcode.heating import heaters_off
from hal.printer import Printer

PATIENCE = 3.0
"""Seconds in which a printer has to acknowledge that its heaters are off before it is stopped the hard way."""


STOPPING = 0.5
"""Seconds that an emergency stop is given before the line may be closed: it is said three times."""


def all_off(profile: ProfileConfig) -> list[str]:
    """Return the commands that turn every heater of this printer off."""
    return heaters_off(profile.extruders, chamber=profile.heated_chamber)


def is_hot(printer: Printer) -> bool:
    """Tell whether some heater has a target."""
    return any(reading.target for reading in printer.heaters.values())


async def make_cold(printer: Printer, profile: ProfileConfig) -> bool:
    """Turn the heaters off; return False where that took an emergency stop.

    The commands are on the wire when this first awaits. A firmware that sits in M109 or behind slow moves does
    not read them in time: then it is halted, which turns heaters off too.
    """
    printer.hold()
    printer.feed(None)
    commands = all_off(profile)
    if printer.identity.capabilities.get("EMERGENCY_PARSER"):
        commands.insert(0, "M108")  # ends a wait for temperature; read even while the firmware waits
    answers = asyncio.gather(*(printer.send(command, urgent=True) for command in commands))
    try:
        await asyncio.wait_for(answers, PATIENCE)
    except (NozzledError, TimeoutError):
        printer.emergency_stop()
        await asyncio.sleep(STOPPING)
        return False
    return True
