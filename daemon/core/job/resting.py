"""Coming to rest in a pause, and returning from it: sends the commands that `parking` computes."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import structlog

from daemon.config import Config
from daemon.core.job.calling_off import acts_at_once
from daemon.core.job.heat_wait import Goal, wait_for_heat
from daemon.core.job.parking import ParkedPosition, can_move_filament, modes_of, park, plain_modes
from daemon.core.job.steps import Steps
from gcode.answers import code_word
from gcode.errors import QueueFull
from hal.printer import Printer

log = structlog.get_logger()

_TARGET_COMMANDS = {"bed": "M140", "chamber": "M141"}  # those that set targets of heaters other than hotends

_WAITS = {"M104": "M109", "M140": "M190", "M141": "M191"}

_TINY_MOVE = 0.01  # mm; a move too short to leave a mark


async def come_to_rest(printer: Printer, steps: Steps, config: Config) -> ParkedPosition:
    """Wait for the last move, note the position and every mode, and park; return what was noted."""
    await printer.wait_until_acknowledged()
    state = steps.recall(lambda: _state_before_parking(printer, config))
    modes = modes_of(state["modes"])
    at = await steps.measure(lambda: _position_at_rest(printer))
    # before homing M114 reports no real position (zeros in marlin-2.1-plain-basic.txt and klipper.txt), and after G20
    # perhaps inches
    moves = config.pause.park != "none" and modes.homed and not modes.inches
    axes = at if moves else None
    parked = ParkedPosition(axes, modes, state["retracted"] if axes else 0.0, state["targets"])
    for command in park(parked, config.pause, config.profile):
        await steps.send(printer, command)
    # otherwise the motors go off: in Marlin after 2 min (MarlinCore.cpp, DEFAULT_STEPPER_TIMEOUT_SEC)
    if axes and (keep := printer.dialect.idle.motors_on_command):
        await steps.send(printer, keep.decode())
    return parked


def _state_before_parking(printer: Printer, config: Config) -> dict[str, Any]:
    """Return what `unpark` has to restore, and how much parking retracts, as JSON has it."""
    hotend = printer.heaters.get(printer.hotend(printer.modes.tool or 0))
    can_retract = hotend is not None and can_move_filament(hotend, printer.dialect)
    return {
        "modes": plain_modes(printer.modes),
        "targets": {name: reading.target for name, reading in printer.heaters.items() if reading.target},
        "retracted": config.pause.retract_mm if can_retract else 0.0,
    }


def continue_at_printer(printer: Printer) -> None:
    """If the firmware waits for its user, end the wait by a command that acts on arrival, such as M108."""
    usable = (
        command.decode() for command in printer.dialect.continue_commands if acts_at_once(printer, code_word(command))
    )
    if printer.waits_for_user and (command := next(usable, None)) is not None:
        log.info("job.continue_at_printer", command=command)
        with suppress(QueueFull):  # the queue already has several such commands
            printer.submit(command)


def parked_by_printer(printer: Printer, targets: dict[str, float]) -> ParkedPosition:
    """Return what to restore if the printer paused by itself: it returns the head, but may not heat again."""
    return ParkedPosition(None, replace(printer.modes), 0.0, targets)


async def _position_at_rest(printer: Printer) -> dict[str, float] | None:
    """Wait for the last move; return X, Y, Z, and E if reported; None: the firmware does not report its position."""
    axes = await printer.wait_for_rest()
    return axes if axes and {"X", "Y", "Z"} <= axes.keys() else None


async def stand_by(printer: Printer, parked: ParkedPosition, config: Config) -> None:
    """Let the hotends cool to standby; the bed stays hot, or the part would come off."""
    for name in parked.targets:
        reading = printer.heaters.get(name)
        if name.startswith("tool") and reading is not None and (reading.target or 0.0) > config.pause.standby_c:
            await printer.send(_target_command(printer, name, config.pause.standby_c, config))


async def has_gone_cold(printer: Printer, parked: ParkedPosition) -> bool:
    """Tell whether a heater that was on is off, or its target too low to print: a firmware may change it in a pause."""
    if parked.axes is None or not parked.targets.keys() <= printer.heaters.keys():
        await printer.send("M105")  # the last report may be too old, or there is none yet
    return bool(_cold_heaters(printer, parked))


def timer_has_run_out(printer: Printer, parked: ParkedPosition) -> bool:
    """Tell whether the firmware's idle timer has run out, so that every heater is off, and the motors are off too."""
    # only Klipper's timer: TURN_OFF_HEATERS, then M84 (klippy/extras/idle_timeout.py, DEFAULT_IDLE_GCODE)
    targets = [printer.heaters[name].target for name in parked.targets if name in printer.heaters]
    return (
        parked.axes is not None
        and printer.dialect.idle.unhomed_reply is not None
        and bool(targets)
        and not any(targets)
    )


async def find_lost_position(printer: Printer, parked: ParkedPosition) -> list[str]:
    """Find out by a tiny move whether the firmware has lost its position; return why, or nothing if it has not."""
    refusals: list[str] = []
    # Klipper refuses to move an axis that is not homed: `!! Must home axis first` (klipper.txt)
    words = printer.dialect.idle.unhomed_reply or ""
    for command in (
        "G91",
        f"G1 Z{_TINY_MOVE:g} F600",
        f"G1 Z-{_TINY_MOVE:g} F600",
        *parked.modes.commands_to_restore_motion(),
    ):
        answer = await printer.send(command)
        refusals += [line for line in answer if words and words in line.lower()]
    return [
        f"the firmware's idle timer turned heaters and motors off, and the position is lost: {line!r}. "
        "Home X and Y, set the height of the head (SET_KINEMATIC_POSITION Z=…), then resume"
        for line in refusals[:1]
    ]


def _cold_heaters(printer: Printer, parked: ParkedPosition) -> list[str]:
    # Prusa's safety timer turns heaters off after 30 min (Marlin_main.cpp, DEFAULT_SAFETYTIMER_TIME_MINS)
    minimum = printer.dialect.heat.min_extrude or 0.0
    cold = []
    for name, target in parked.targets.items():
        current = printer.heaters[name].target if name in printer.heaters else None
        if current == 0 or (current is not None and name.startswith("tool") and current < minimum <= target):
            cold.append(name)
    return cold


async def heat_again(printer: Printer, parked: ParkedPosition, config: Config) -> None:
    """Heat the hotends that are in standby and all heaters that are off, and wait for them before anything moves.

    A heater that the firmware does not report may be off too, and only the firmware itself can wait for it.
    """
    cold = [*_cold_heaters(printer, parked), *(parked.targets.keys() - printer.heaters.keys())]
    targets = {name: target for name, target in parked.targets.items() if name.startswith("tool") or name in cold}
    for name, target in targets.items():
        await printer.send(_target_command(printer, name, target, config))
    for name, target in targets.items():
        if not await wait_for_heat(printer, Goal(name, target), config.job.heat_report_s, _warn):
            await printer.send(_wait_command(_target_command(printer, name, target, config)))


def _warn(reason: str) -> None:
    log.warning("job.warning", reason=reason)


def _target_command(printer: Printer, heater: str, target: float, config: Config) -> str:
    if heater in _TARGET_COMMANDS:
        return f"{_TARGET_COMMANDS[heater]} S{target:g}"
    # the hotend of the active tool may be reported as tool0, whatever its number; a command without T sets its target
    in_use = heater == printer.hotend(printer.modes.tool or 0)
    number = f" T{heater.removeprefix('tool')}" if config.profile.hotends > 1 and not in_use else ""
    return f"M104{number} S{target:g}"


def _wait_command(command: str) -> str:
    """Return the command that sets a target and has the firmware wait for it."""
    return _WAITS[command[:4]] + command[4:]
