"""Board: what commands act on: the machine's state, the clock, and a way to send messages."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import field
from typing import Protocol

from gcode.command import Command
from gcode.frozen import mutable
from gcode.planner import CAPACITY, Block, Vector
from hal.simulated.config import FirmwareConfig
from hal.simulated.eeprom import DEFAULT_STEPS, Eeprom
from hal.simulated.heater import Heater
from hal.simulated.heating import Heating
from hal.simulated.inactivity import Inactivity
from hal.simulated.motion import Planner
from hal.simulated.oracle import Oracle, Underrun
from hal.simulated.sd_card import SdCard

Wait = Iterator[float]
"""A command that takes time: it yields the time at which it wants to continue, and may be resumed earlier."""

_MAX_INTERVAL = 60.0  # s between two reports

Handler = Callable[["Board", Command], Wait | None]
"""Executes a command: at once, or, if the command takes time, by the `Wait` that it returns."""


def no_effect(_board: "Board", _command: Command) -> None:
    """Accept a command that has no visible effect here."""


def read_interval(command: Command) -> float:
    """Return the S of a command in whole seconds, up to a minute, as Marlin reads an interval (`value_byte`)."""
    return float(int(min(_MAX_INTERVAL, max(0.0, command.number("S", 0.0)))))


@mutable
class ModalState:
    """The state that G-code sets for all lines that follow."""

    relative: bool = False
    relative_e: bool = False
    m83: bool = False  # the last of M82 and M83 was M83
    unit: float = 1.0  # mm
    feedrate: float = 25.0  # mm/s
    speed_percent: float = 100.0
    saved_speed_percent: float = 100.0  # by M220 B
    flow_percent: float = 100.0
    cold_extrusion: bool = False
    min_extrude: float = 170.0  # °C; a colder hotend does not extrude
    soft_endstops: bool = True
    tool: int = 0
    tool_offsets: dict[int, tuple[float, float, float]] = field(default_factory=dict)  # of M218
    position: list[float] = field(default_factory=lambda: [0.0] * 4)  # X, Y, Z, E after all moves
    offset: list[float] = field(default_factory=lambda: [0.0] * 4)  # set by G92: logical is position + offset
    homed: set[int] = field(default_factory=set)
    retracted: bool = False  # by G10
    retraction: float = 3.0  # mm of G10 (RETRACT_LENGTH)
    retract_feedrate: float = 45.0  # mm/s
    retract_lift: float = 0.0  # mm
    recover_extra: float = 0.0  # mm that G11 adds
    recover_feedrate: float = 8.0  # mm/s
    steps: list[float] = field(default_factory=lambda: list(DEFAULT_STEPS))  # per mm

    def tool_offset(self, tool: int) -> tuple[float, float, float]:
        """Return the offset of a tool's nozzle from the first tool's, in mm."""
        return self.tool_offsets.get(tool, (0.0, 0.0, 0.0))


class CommandRunner(Protocol):
    """Runs the commands: `hal.simulated.firmware.Firmware`."""

    def say(self, line: str) -> None:
        """Send a line to the host."""

    def kill(self, *reasons: str) -> None:
        """Stop everything because of an error that the firmware has detected."""

    def halt(self, text: str) -> None:
        """Stop the machine; the firmware still answers."""

    def end_halt(self) -> None:
        """End a halt, as M999 does."""

    def set_line_number(self, number: int) -> None:
        """Count lines from here (M110)."""

    def resend(self) -> None:
        """Send a resend request for the next line, as after an error."""

    def acknowledge(self) -> None:
        """Send the `ok` of the running command, before its end."""

    def forget_lines(self) -> None:
        """Forget the lines after the running command, and all moves."""

    def resend_forgotten(self) -> None:
        """Send a resend request for the forgotten lines."""


class Board:
    """What commands act on. A reset makes a new one, which gets those parts of the old one that outlive a reset.

    Attributes:
        now: the device's time in seconds.
        counts_as_move: the running command counts as a move for M85, although nothing moves.
        is_waiting: the running command waits for a temperature or the user; M108 ends the wait by clearing this.
        busy_reason: the text of the busy lines.
        answer_line: the running command's answer in place of its `ok`.
        restart_due: the firmware restarts once the running command has been answered.
        report_interval: of M155, in s; 0: no reports.
        report_at: when the next report is due.
        position_interval: of M154, in s; 0: no reports.
        position_at: when the next position is due.
        user_delay: seconds until the user answers the printer's question; infinite: there is no user.
        resume_at: when the user chooses Resume at the printer.
        heat_before_move: the next move waits until all heaters are hot (Teacup).
        runout_sensor: the filament sensor is on.
        message: the text of M117 (Prusa).
        progress: of M73, by parameter letter.
        pause_state: X, Y, Z, E and the hotend's target in the firmware's own pause (Prusa); None: no pause.
        broken_endstops: axes whose endstop does not trigger; they outlive a reset.
        line: the number of the line whose command is running; None: it has none.
        command: the text of the last command begun.
        stop_count: how often all moves were dropped.
        moved_at: when the last finished move ended.
        heat: heaters and fans; they outlive a reset.
        runner: runs the commands.
        inactivity: the timers M85, M86 and `idle_timeout`.
    """

    def __init__(self, config: FirmwareConfig, runner: CommandRunner, oracle: Oracle, heat: Heating) -> None:
        self.config = config
        self.runner = runner
        self.oracle = oracle
        self.line: int | None = None
        self.command = ""
        self.say = runner.say
        self.now = 0.0
        self.modal = ModalState(min_extrude=config.speech.reports.min_extrude)
        self.limits = copy.deepcopy(config.limits)
        self.planner = Planner(self.limits, self.record_move, self._on_underrun)
        self.heat = heat
        self.inactivity = Inactivity(config.speech.idle_timeout)
        self.moved_at = 0.0
        self.sd = SdCard(runner.say)
        self.counts_as_move = False
        self.is_waiting = False
        self.busy_reason = "processing"
        self.busy_interval = config.busy_interval if config.busy else 0.0
        self.answer_line: str | None = None
        self.restart_due = False
        self.stopped_at = -math.inf  # by M410
        self.stop_count = 0
        self.report_interval = 0.0
        self.report_at = math.inf
        self.position_interval = 0.0
        self.position_at = math.inf
        self.user_delay = self.resume_at = math.inf
        self.broken_endstops: set[int] = set()
        self.heat_before_move = False
        self.runout_sensor = True
        self.message = ""
        self.progress: dict[str, int] = {}
        self.pause_state: tuple[float, float, float, float, float] | None = None
        self.eeprom: Eeprom  # outlives a reset

    @property
    def hotend(self) -> Heater:
        """The first hotend."""
        return self.heat.hotends[0]

    @property
    def active_hotend(self) -> Heater:
        """The hotend of the tool in use."""
        return self.heat.hotend(self.modal.tool)

    @property
    def bed(self) -> Heater:
        """The heated bed."""
        return self.heat.bed

    @property
    def fan(self) -> int:
        """Speed of the part fan, 0 to 255."""
        return self.heat.fans[0]

    @property
    def due(self) -> float:
        """When `advance` has something to do."""
        return min(self.report_at, self.position_at, self.sd.due, self.heat.due, self.inactivity.due, self.resume_at)

    def advance(self) -> None:
        """Do what is due now, whatever command is running."""
        if self.heat.due <= self.now and (error := self.heat.check(self.now)):
            self.runner.kill(error)
        if self.inactivity.due <= self.now:
            self._check_inactivity()
        if self.report_at <= self.now:
            self.say(self.temperatures())
            self.report_at += self.report_interval
        if self.position_at <= self.now:
            self.report_position()
            self.position_at += self.position_interval
        if self.sd.due <= self.now:
            self.sd.advance(self.now)
        if self.resume_at <= self.now:
            self.resume_at = math.inf
            self.send_action("resume")

    def _check_inactivity(self) -> None:
        """M85, M86, `idle_timeout`: halt, or turn heaters and motors off, after too long without a move."""
        if self.counts_as_move:
            self.inactivity.note_activity(self.now)
        moves_end = self.planner.idle_at(self.now)
        moved_at = moves_end if moves_end > self.now else self.moved_at
        if self.inactivity.is_idle_over(self.now if self.counts_as_move else moved_at, self.now):
            self.heat.turn_off(self.now)
            self.modal.homed.clear()
        if self.inactivity.is_halt_due(moved_at, self.now):
            self.runner.kill(f"Error:KILL caused by too much inactive time - current command: {self.command}")
        elif self.inactivity.is_cooling_due(max(moved_at, self.heat.hot_since(self.now)), self.now):
            self.say("Hotend Idle Timeout")
            self.heat.cool_to(self.inactivity.hotend_idle.hotend, self.inactivity.hotend_idle.bed, self.now)

    def end_wait(self) -> None:
        """Forget the wait of the running command: it ends early."""
        self.is_waiting = self.counts_as_move = False
        self.busy_reason = "processing"

    def answer(self, text: str) -> None:
        """Answer the command by this line instead of a plain `ok`."""
        self.answer_line = text

    def turn_heaters_off(self) -> None:
        """Turn all heaters off: the firmware has stopped."""
        self.heat.halt(self.now)
        self.inactivity = Inactivity(self.config.speech.idle_timeout)

    def send_action(self, text: str) -> None:
        """Send an `//action:` line, if the firmware has this action."""
        speech = self.config.speech
        if self.config.host_actions and (not speech.actions or text.partition(" ")[0] in speech.actions):
            self.say(speech.action.format(text=text))

    def change_display(self) -> None:
        """Change the text on the display; some firmwares report that to the host."""
        if self.config.speech.status:
            self.say(self.config.speech.status)

    def synchronise(self) -> Wait:
        """Wait until all moves are done."""
        while (done := self.planner.idle_at(self.now)) > self.now:
            yield done
        self.planner.note_synchronisation()

    def quick_stop(self) -> None:
        """Drop all moves; the machine stands still at once."""
        stopped = self.planner.stop(self.now)
        self.stopped_at = self.now
        self.stop_count += 1
        if stopped is not None:
            self.modal.position[:3] = stopped[:3]

    def forget_moves(self) -> int:
        """Drop all moves, including the extruder's; return their number."""
        count = CAPACITY - self.planner.count_free(self.now)
        stopped = self.planner.stop(self.now)
        self.stop_count += 1
        if stopped is not None:
            self.modal.position[:] = stopped
        return count

    def record_move(self, move: Block, began: float) -> None:
        """Record a move that was made."""
        self.moved_at = began + move.seconds
        self.oracle.record_move(move, began, self.modal.tool)

    def _on_underrun(self, since: float, seconds: float) -> None:
        self.oracle.record_underrun(Underrun(since, self.line, seconds))

    def at_endstop(self, axis: int) -> bool:
        """Tell whether an axis' endstop is triggered."""
        modal = self.modal
        return axis in modal.homed and modal.position[axis] == 0 and axis not in self.broken_endstops

    def position(self) -> Vector:
        """Return the position after all moves, in mm from the endstops."""
        x, y, z, e = self.modal.position
        return x, y, z, e

    def temperatures(self) -> str:
        """Return the part that all temperature reports share."""
        if template := self.config.speech.reports.temperatures:
            return template.format(**self._readings())
        return self.heat.report(self.modal.tool, self.now)

    def _readings(self) -> dict[str, float]:
        """Return the values for a report of the active hotend and the bed."""
        values: dict[str, float] = {}
        for name, heater in (("t", self.active_hotend), ("b", self.bed)):
            values[name] = heater.temperature(self.now)
            values[f"{name}_target"], values[f"{name}_power"] = heater.target, heater.power(self.now)
        return values

    def answer_temperatures(self) -> None:
        """Answer M105: in Marlin and others on the line of the `ok`, also with ADVANCED_OK."""
        if self.config.speech.reports.temperatures_on_ok:
            ok = self.config.speech.ok_with_data.format(number_or_0=self.line or 0)
            self.answer(f"{ok} {self.temperatures().lstrip()}")
        else:
            self.say(self.temperatures())

    def report_wait(self, seconds: int | str) -> None:
        """Report on a wait for heat that ends in `seconds`; `?`: it is not known when."""
        values = {"report": self.temperatures(), "seconds": seconds, **self._readings()}
        self.say(self.config.speech.reports.wait_line.format(**values))

    def report_position(self, *, real: bool = False) -> None:
        """Send the position as M114 does: after all moves, or (`real`) where the machine is now."""
        modal, present = self.modal, self.planner.position(self.now) or self.position()
        reported = present if real else modal.position
        x, y, z, e = (at + shift + 0.0 for at, shift in zip(reported, modal.offset, strict=True))
        steps = [round(at * per) for at, per in zip(present[:3], modal.steps[:3], strict=True)]
        counts = {"steps_x": steps[0], "steps_y": steps[1], "steps_z": steps[2]}
        self.say(self.config.speech.reports.position.format(x=x, y=y, z=z, e=e, f=modal.feedrate * 60, **counts))
