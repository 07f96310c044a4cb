"""The board as its commands see it: the machine's state, the clock, and a way to say something."""

import copy
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from hal.simulated.config import FirmwareConfig
from hal.simulated.motion import Planner, Vector
from hal.simulated.oracle import Counters
from hal.simulated.sd_card import SdCard
from hal.simulated.thermal import Heater

Wait = Iterator[float]
"""A command that takes time: yields each time until which nothing is to be done. It may be resumed earlier."""

_LONGEST_DRY_SPELL = 1.0  # s; a planner without moves for longer is no underrun but a pause


@dataclass(slots=True)
class Modal:
    """What G-code sets once for all lines that follow."""

    relative: bool = False
    relative_e: bool = False
    unit: float = 1.0  # mm
    feedrate: float = 25.0  # mm/s
    speed_percent: float = 100.0
    flow_percent: float = 100.0
    cold_extrusion: bool = False
    position: list[float] = field(default_factory=lambda: [0.0] * 4)  # X, Y, Z, E where all moves will end
    offset: list[float] = field(default_factory=lambda: [0.0] * 4)  # of G92: logical is position + offset
    homed: set[int] = field(default_factory=set)
    steps: list[float] = field(default_factory=lambda: [80.0, 80.0, 400.0, 93.0])  # per mm


class Board:
    """Everything that a reset forgets, but the serial side.

    Attributes:
        now: the device's time in seconds.
        waiting: a command may wait for a temperature or the user; M108 takes it away.
        busy_reason: what the busy lines say.
        answered: the running command has given its own `ok`.
        report_interval: of M155, in s; 0 is none.
        report_at: when the next report is due.
    """

    def __init__(self, config: FirmwareConfig, say: Callable[[str], None], counters: Counters) -> None:
        self.config = config
        self.counters = counters
        self.say = say
        self.now = 0.0
        self.modal = Modal()
        self.limits = copy.deepcopy(config.limits)
        self.planner = Planner(self.limits)
        self.hotend = Heater(config.hotend)
        self.bed = Heater(config.bed)
        self.fan = 0
        self.sd = SdCard(say)
        self.waiting = False
        self.busy_reason = "processing"
        self.busy_interval = config.busy_interval if config.busy else 0.0
        self.answered = False
        self.stopped_at = -math.inf  # by M410
        self.report_interval = 0.0
        self.report_at = math.inf
        self.resend: Callable[[], None]  # asks for the next line again, as after an error
        self.set_line_number: Callable[[int], None]
        self.kill: Callable[[], None]
        self._random = random.Random(config.seed)  # noqa: S311 (thermistor noise, to be repeated at will)

    def answer(self, text: str) -> None:
        """Say the command's own `ok` line."""
        self.say(text)
        self.answered = True

    def act(self, text: str) -> None:
        """Tell the host to do something, where this firmware does."""
        if self.config.host_actions:
            self.say(f"//action:{text}")

    def synchronise(self) -> Wait:
        """Wait until all moves are done."""
        while (done := self.planner.idle_at(self.now)) > self.now:
            yield done
        self.planner.synchronised()

    def quick_stop(self) -> None:
        """Drop all moves; the machine stands still at once."""
        stopped = self.planner.stop(self.now)
        self.stopped_at = self.now
        if stopped is not None:
            self.modal.position[:3] = stopped[:3]

    def note_underrun(self) -> None:
        """A move came: had the planner run dry while it waited for it?"""
        dry = self.planner.dry_since
        if dry is not None and 0 < self.now - dry < _LONGEST_DRY_SPELL:
            self.counters.underruns += 1

    def place(self) -> Vector:
        """Return where all moves will end, in mm from the endstops."""
        x, y, z, e = self.modal.position
        return x, y, z, e

    def temperatures(self) -> str:
        """Return the part that all temperature reports share."""
        readings = " ".join(
            f"{name}:{heater.temperature(self.now) + self._noise():.2f} /{heater.target:.2f}"
            for name, heater in (("T", self.hotend), ("B", self.bed))
        )
        return f" {readings} @:{self.hotend.power(self.now)} B@:{self.bed.power(self.now)}"

    def _noise(self) -> float:
        return self._random.gauss(0.0, self.config.noise) if self.config.noise else 0.0

    def tell_position(self) -> None:
        """Say the position as M114 does."""
        modal = self.modal
        logical = [at + shift for at, shift in zip(modal.position, modal.offset, strict=True)]
        axes = " ".join(f"{axis}:{value + 0.0:.2f}" for axis, value in zip("XYZE", logical, strict=True))
        steps = [round(at * per) for at, per in zip(modal.position[:3], modal.steps[:3], strict=True)]
        self.say(f"{axes} Count X:{steps[0]} Y:{steps[1]} Z:{steps[2]}")
