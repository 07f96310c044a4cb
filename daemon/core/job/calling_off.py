"""Calling off a print: turn the heaters off at once, then wait for the moves in the planner, however long they take.

A printer may take its time as long as it is not silent: while it reports that it is busy, cools down or has made a
move, it is alive. A printer that does not listen gets an emergency stop.
"""

import asyncio
import re
from collections.abc import Coroutine
from typing import Any

from daemon.config import ProfileConfig
from daemon.core.safety.rules import heaters_off_commands
from gcode.heating import HYSTERESIS
from gcode.replies import Reading
from hal.printer import Event, Printer, TemperaturesRead

KNOB_TIMEOUT = 300.0
"""Seconds for which a printer may wait for its user to press the knob; until then it does not read heaters off."""

MOVES_TIMEOUT = 300.0
"""Seconds for which a printer may be silent during its moves once the heaters are off. A planner holds up to 60 moves,
and during M400 a firmware that does not say `busy` is silent (Marlin 1.0, Smoothieware, RepRapFirmware, Teacup)."""

CHECK_INTERVAL = 0.5  # s between two checks whether the printer has said anything

# Reads the flight recorder's text, in which lines have a direction and a number, so `parse` does not fit.
_HOMING = re.compile(r"^> (?:N\d+ )?G(?:28|29|3[0-4]|38|76|425)(?!\d)")


async def turn_heaters_off_and_rest(printer: Printer, profile: ProfileConfig, silence: float) -> None:
    """Turn the heaters off ahead of everything that waits; then wait until every move has been made or dropped.

    Raises:
        TimeoutError: the printer does not listen (see `while_it_lives`).
    """
    await while_it_lives(printer, _turn_heaters_off(printer, profile), silence)
    is_silent_until_rest = printer.dialect.ok_at == "execution"  # then M400 is silent until the last move
    await while_it_lives(printer, printer.wait_for_rest(), max(silence, MOVES_TIMEOUT if is_silent_until_rest else 0.0))


async def _turn_heaters_off(printer: Printer, profile: ProfileConfig) -> None:
    printer.feed(None)
    printer.probe_soon()
    commands = [*interrupting_commands(printer), *heaters_off_commands(profile, printer.heaters)]
    await asyncio.gather(*(printer.send(command, urgent=True) for command in commands))
    printer.probe_soon()  # M410 may have dropped lines in flight together with their oks


def interrupting_commands(printer: Printer) -> list[str]:
    """Return the commands that end a wait for heat (M108) and drop planned moves (M410), if they act on arrival.

    M410 is left out if one of the last lines on the wire homes or probes: that may not be over, and Marlin would miss
    its endstop and halt.
    """
    words = [word for word in ("M108", "M410") if acts_at_once(printer, word)]
    homes = any(map(_HOMING.match, printer.flight_recorder.tail()))
    return [word for word in words if word != "M410" or not homes]


def acts_at_once(printer: Printer, word: str) -> bool:
    """Tell whether the firmware acts on a command as it arrives, whatever it is doing."""
    dialect = printer.dialect
    parses = printer.identity.can("EMERGENCY_PARSER")
    return word in dialect.urgent_words or (parses and word in dialect.urgent_if_parser)


class _SignsOfLife:
    """When a printer last showed that it is alive and obeys."""

    def __init__(self, printer: Printer) -> None:
        self.last_sign_at = asyncio.get_running_loop().time()
        self._printer = printer
        self._began = self.last_sign_at
        self._hotter_at = 0.0  # when it last reported that it heats: in M109 it does not read heaters off

    def on_event(self, event: Event) -> None:
        if isinstance(event, TemperaturesRead) and any(map(_heats_up, event.heaters.values())):
            self._hotter_at = self._printer.heard_at

    def update(self) -> None:
        if self._printer.waits_for_user and asyncio.get_running_loop().time() - self._began > KNOB_TIMEOUT:
            return
        if self._printer.heard_at > max(self.last_sign_at, self._hotter_at):
            self.last_sign_at = self._printer.heard_at


def _heats_up(reading: Reading) -> bool:
    return bool(reading.target) and reading.actual < (reading.target or 0.0) - HYSTERESIS


async def while_it_lives(printer: Printer, work: Coroutine[Any, Any, object], silence: float) -> None:
    """Do the work, however long it takes, unless the printer is silent for `silence` seconds.

    A report that the printer still heats does not end a silence. After KNOB_TIMEOUT seconds, a report that it waits for
    its user does not end one either. Half-way through a silence the link probes the printer.

    Raises:
        TimeoutError: the printer was silent for too long; the text is for users.
    """
    life, probed_at = _SignsOfLife(printer), 0.0
    unsubscribe = printer.subscribe(life.on_event)
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            life.update()
            quiet = asyncio.get_running_loop().time() - life.last_sign_at
            if quiet >= silence:
                raise TimeoutError(f"the printer did not answer for {silence:g} s")
            if quiet >= silence / 2 and probed_at < life.last_sign_at:
                printer.probe_soon()
                probed_at = life.last_sign_at + quiet
            await asyncio.wait([task], timeout=CHECK_INTERVAL)
        task.result()
    finally:
        unsubscribe()
        task.cancel()
