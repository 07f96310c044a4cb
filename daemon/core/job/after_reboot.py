"""After a reboot: finds the place of a print by the line number that its printer wants, and checks the printer's state.

Theory of operation. The disk says which number the file's lines followed (`daemon.core.job.places`), and the printer
says which number it wants. The lines in between are counted off in the file, by the same code that sent them. Then the
printer is asked for its temperatures and, at rest, for its position, which has to be the end of the last accepted line.
If anything does not fit, the print ends.
"""

import asyncio
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import field, replace

import structlog

from daemon.core.job.job import Job
from daemon.core.job.parking import modes_of
from daemon.core.job.places import StoredPlace
from daemon.core.job.streamer import FileStream
from daemon.errors import CannotReattach
from gcode.command import Command, parse
from gcode.errors import CommandError
from gcode.frozen import mutable
from gcode.heating import HEATERS_BY_COMMAND
from gcode.host_commands import HeatAndWait
from gcode.modes import Modes
from gcode.outgoing import JobPlace
from gcode.reader import Reader
from hal.printer import Printer

MAX_LINES = 20_000
"""Maximum number of lines since the place was written: most often within 5 s, and no wire carries 4,000 lines/s."""

LOOKBACK = 1024 * 1024
LOOKBACK_FACTOR = 8
"""Number of bytes before the place that are read to find where the head has to be. If that is not enough,
LOOKBACK_FACTOR times as many are read, and so on, because a layer may have any size."""

# mm between where the head has to be and where it is; Marlin and Prusa-Firmware report two decimals
# (marlin-2.1-plain-motion.txt, prusa-3.13.3-motion.txt)
POSITION_TOLERANCE = 0.03
FILAMENT_TOLERANCE = 0.1  # mm; a larger difference means that the user has moved the filament
# °C between equal targets, as some firmwares have whole degrees (Prusa-Firmware, temperature.h, `target_temperature`)
TARGET_TOLERANCE = 1.0
MAX_COOLING = 15.0  # °C since the place was written

_MAX_COMMAND = 4096  # bytes within which a command ends
_MOVES = frozenset({"G0", "G1", "G2", "G3"})
_WITHOUT_MOTION = frozenset({"G4", "G10", "G11", "G17", "G18", "G19", "G20", "G21", "G61", "G64", "G80", "G90", "G91"})
_UNKNOWN_MOTION = frozenset({"M0", "M1", "M125", "M226", "M600", "M601", "M602", "M701", "M702", "M703"})

log = structlog.get_logger()


@mutable
class ReattachedPlace:
    """Where a print continues.

    Attributes:
        fed: the last line of the file that the printer has accepted.
        modes: those after that line.
        new_targets: the targets that lines after the place on the disk have set, in °C by heater; `tool` is the active
            tool's.
        barrier_offset: the offset of the last line for the host between the place on the disk and `fed`; None: there is
            none.
    """

    fed: JobPlace
    modes: Modes
    new_targets: dict[str, float] = field(default_factory=dict)
    barrier_offset: int | None = None


async def find_place(stream: FileStream, stored: StoredPlace, next_number: int) -> ReattachedPlace:
    """Return where the print continues, and advance the stream to it.

    Args:
        stream: the file, opened at the place on the disk.
        stored: the place on the disk.
        next_number: the number of the line that the printer wants.

    Raises:
        CannotReattach: that number does not fit.
        OSError, CommandError: the file cannot be read.
    """
    # a board that has just booted wants line 1 (`Resend: 1` in marlin-2.1-plain-basic.txt)
    if next_number <= stored.accepted_number:
        raise CannotReattach(
            f"the printer wants line {next_number}, but had accepted line {stored.accepted_number}: its board was reset"
        )
    count = stored.lines_before(next_number)
    if count > MAX_LINES:
        raise CannotReattach(
            f"the printer wants line {next_number}, which cannot have been sent: the last one noted is {stored.number}"
        )
    place = ReattachedPlace(stored.fed, modes_of(stored.modes))
    lines, offset = stored.lines, stored.offset
    for _ in range(count):
        offset, command, _checksum, changes = await _next_sent_line(stream, place)
        lines += 1
        if changes:
            place.modes.note(command)
            place.new_targets |= targets([command], place.modes)
    place.fed = JobPlace(lines, offset)
    return place


async def _next_sent_line(stream: FileStream, place: ReattachedPlace) -> tuple[int, bytes, int, bool]:
    """Return the next line of the file that was sent; the barriers before it were dealt with before the reboot."""
    while (line := stream.next_line()) is None:
        if stream.error is not None:
            raise stream.error
        if stream.ended:
            raise CannotReattach("the printer has accepted more lines than the file has")
        if stream.barrier is not None:
            if isinstance(stream.barrier, HeatAndWait):
                place.new_targets[stream.barrier.heater] = stream.barrier.target
            place.barrier_offset = stream.barrier_offset
            stream.proceed()
        else:
            await asyncio.sleep(0.001)  # the next block is being read
    return line


def targets(commands: Iterable[bytes], modes: Modes) -> dict[str, float]:
    """Return the targets that these commands set, in °C by heater."""
    by_heater: dict[str, float] = {}
    for command in commands:
        try:
            parsed = parse(command)
        except CommandError:
            continue
        heater, value = HEATERS_BY_COMMAND.get(parsed.code), parsed.get("S", parsed.get("R"))
        if heater is not None and value is not None:
            tool = parsed.number("T", modes.tool or 0)
            by_heater[f"tool{tool:.0f}" if heater == "tool" else heater] = value
    return by_heater


async def check_printer(
    job: Job, stream: FileStream, stored: StoredPlace, place: ReattachedPlace, executor: Executor
) -> None:
    """Check that the printer is in the state in which the previous host left it.

    Raises:
        CannotReattach: it is not.
    """
    printer = job.printer
    fd = stream.duplicate()
    try:
        loop = asyncio.get_running_loop()
        expected = await loop.run_in_executor(executor, find_head, fd, place) if place.fed.lines else {}
        next_ = await loop.run_in_executor(executor, _next_targets, fd, place)
    finally:
        await loop.run_in_executor(executor, os.close, fd)
    await printer.send("M105")
    _check_heat(printer, stored, place, next_)
    reported = await printer.wait_for_rest()
    if reported is None:
        raise CannotReattach("the printer does not report its position")
    _check_position(expected, reported)
    await _correct_filament(printer, place.modes, expected, reported)
    log.info("job.place_found", expected=expected, reported=reported, lines=place.fed.lines, offset=place.fed.offset)


def _check_heat(printer: Printer, stored: StoredPlace, place: ReattachedPlace, ahead: Mapping[str, float]) -> None:
    """Check that each heater has its target and has not cooled much.

    Args:
        printer: has just reported its temperatures.
        stored: the place on the disk, with the temperatures at that time.
        place: has the targets that lines have set since.
        ahead: the targets that the next line sets: a host that waits for heat itself may already have set them.
    """
    new_targets = {_reported_name(printer, name): target for name, target in place.new_targets.items()}
    next_targets = {_reported_name(printer, name): target for name, target in ahead.items()}
    for name in stored.heat.keys() | new_targets.keys():
        before, target = stored.heat.get(name, (0.0, 0.0))
        target, reading = new_targets.get(name, target), printer.heaters.get(name)
        if reading is None and name not in stored.heat:
            continue  # the printer does not report this heater
        reported = None if reading is None else reading.target or 0.0
        if (
            reading is not None
            and reported is not None
            and min(abs(reported - target), abs(reported - next_targets.get(name, target))) <= TARGET_TOLERANCE
        ):
            if reading.actual < min(before, reported) - MAX_COOLING:
                raise CannotReattach(f"{name} has cooled from {before:.0f} to {reading.actual:.0f} °C")
        elif not reported:
            raise CannotReattach(f"the printer has turned {name} off: its target was {target:g} °C")
        else:
            raise CannotReattach(f"the target of {name} has changed from {target:g} to {reported:g} °C")


def _reported_name(printer: Printer, name: str) -> str:
    """Return the name under which the printer reports a heater that a command has set."""
    if name == "tool":
        return printer.hotend(printer.modes.tool or 0)
    return printer.hotend(int(name[4:])) if name.startswith("tool") else name


def _next_targets(fd: int, place: ReattachedPlace) -> dict[str, float]:
    """Return the targets that the next command of the file sets. Blocks."""
    reader = Reader(place.fed.offset)
    content = os.pread(fd, _MAX_COMMAND, place.fed.offset)
    reader.feed(content)
    offsets_and_commands = [*reader]
    if len(content) < _MAX_COMMAND:  # the file ends here, and its last line may have no line end
        reader.finish()
        offsets_and_commands += reader
    commands = [command for at, command in offsets_and_commands if at > place.fed.offset or not place.fed.lines]
    return targets(commands[:1], place.modes)


def _check_position(expected: dict[str, float], reported: dict[str, float]) -> None:
    for axis, at in expected.items():
        if axis != "E" and axis in reported and abs(reported[axis] - at) > POSITION_TOLERANCE:
            raise CannotReattach(
                f"the head is at {axis}{reported[axis]:.2f}, "
                f"but the last accepted line of the file leads to {axis}{at:.2f}"
            )


async def _correct_filament(
    printer: Printer, modes: Modes, expected: Mapping[str, float], reported: Mapping[str, float]
) -> None:
    """If the user has moved filament meanwhile, set the firmware's E to the file's.

    Otherwise the next line would move the filament back.
    """
    at, counted = expected.get("E"), reported.get("E")
    if at is not None and counted is not None and abs(at - counted) > FILAMENT_TOLERANCE:
        log.warning("job.filament_moved", counted_mm=counted, of_file_mm=at)
        await printer.send(f"G92 E{at / modes.unit:.5f}")


def find_head(fd: int, place: ReattachedPlace) -> dict[str, float]:
    """Return where the file has led the head: mm by axis, for the axes that are known; E only if absolute. Blocks.

    Args:
        fd: a descriptor of the file.
        place: where the print continues.
    """
    back = LOOKBACK
    axes = _axes_after(fd, place, back)
    while back < place.fed.offset and None in (axes[axis] for axis in "XYZ"):
        back *= LOOKBACK_FACTOR
        axes = _axes_after(fd, place, back)
    if place.modes.relative_e:
        axes["E"] = None
    return {axis: at for axis, at in axes.items() if at is not None}


def _axes_after(fd: int, place: ReattachedPlace, back: int) -> dict[str, float | None]:
    """Return where the last `back` bytes before the place have led the head."""
    start = max(0, place.fed.offset - back)
    track, reader = _Track(start > 0, place.modes), Reader(start)
    for at in range(start, place.fed.offset + _MAX_COMMAND, LOOKBACK):
        content = os.pread(fd, min(LOOKBACK, place.fed.offset + _MAX_COMMAND - at), at)
        if at == start and start:  # the first line is cut off
            skipped = content.index(b"\n") + 1 if b"\n" in content else len(content)
            reader = Reader(start + skipped)
            content = content[skipped:]
        reader.feed(content)
        track.follow(command for at, command in reader if at <= place.fed.offset)
    reader.finish()  # the file's last line may have no line end
    track.follow(command for at, command in reader if at <= place.fed.offset)
    return track.axes


class _Track:
    """Follows the position of each axis; None: unknown."""

    def __init__(self, in_the_middle: bool, modes: Modes) -> None:
        self.axes: dict[str, float | None] = dict.fromkeys("XYZE")
        # the modes in the middle of a file are not known: most likely they are those at the place
        self._modes = replace(modes) if in_the_middle else Modes(e_mode=modes.e_mode)

    def follow(self, commands: Iterable[bytes]) -> None:
        for command in commands:
            try:
                parsed = parse(command)
            except CommandError:
                self._forget("XYZE")  # a macro may move anything
                continue
            self._modes.note(command)
            self._note(parsed)

    def _note(self, command: Command) -> None:
        code = command.code
        if code in _MOVES:
            self._move(command)
        elif code == "G92":
            self._set(command)
        elif code == "G28":
            self._forget([axis for axis in "XYZ" if axis in command] or "XYZ")
        elif (code[0] == "G" and code not in _WITHOUT_MOTION) or code in _UNKNOWN_MOTION or code[0] == "T":
            self._forget("XYZE")

    def _move(self, command: Command) -> None:
        modes = self._modes
        for axis in "XYZE":
            if (value := command.get(axis)) is not None:
                relative = modes.relative_e if axis == "E" else modes.relative
                before = self.axes[axis] if relative else 0.0
                self.axes[axis] = None if before is None else before + value * self._unit

    def _set(self, command: Command) -> None:
        for axis in "XYZE":
            if (value := command.get(axis)) is not None:
                self.axes[axis] = value * self._unit

    @property
    def _unit(self) -> float:
        return self._modes.unit

    def _forget(self, axes: Iterable[str]) -> None:
        for axis in axes:
            self.axes[axis] = None
