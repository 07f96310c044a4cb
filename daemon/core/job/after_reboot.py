"""After a reboot: finds the place of a print by the number that its printer wants next, and checks the printer's state.

The disk says behind which number the file went on (`daemon.core.job.places`), and the printer says which number it
wants: the lines in between are counted off in the file, by the same code that sent them. Then the printer is asked for
its temperatures and, at rest, for its position, which has to be where the last line that it accepted leads. Whatever
does not fit ends the print.
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
from daemon.errors import CannotGoOn
from gcode.command import Command, parse
from gcode.errors import CommandError
from gcode.frozen import mutable
from gcode.heating import SETS_TARGET
from gcode.host_commands import HeatAndWait
from gcode.modes import Modes
from gcode.outgoing import JobPosition
from gcode.reader import Reader
from hal.printer import Printer

MOST = 20_000
"""More lines cannot have been sent since the place was written: that is done every few seconds, and no wire carries
1000 lines/s."""

BACK = 1024 * 1024
FURTHER = 8
"""Bytes of the file before the place that are read to find out where the head has to be; FURTHER times as many each
time that they do not tell, as a layer may have any size."""

NEAR = 0.03
"""mm by which the reported position, which has two decimals, may differ from that."""

MOVED = 0.1  # mm of filament
RETARGETED = 1.0  # °C by which two equal targets may differ, as some firmwares report whole degrees
COOLED = 15.0
"""°C by which a heater may have cooled since the place was written."""

_AHEAD = 4096  # bytes in which a command ends
_MOVES = frozenset({"G0", "G1", "G2", "G3"})
_STAY = frozenset({"G4", "G10", "G11", "G17", "G18", "G19", "G20", "G21", "G61", "G64", "G80", "G90", "G91"})
_MOVE_TOO = frozenset({"M0", "M1", "M125", "M226", "M600", "M601", "M602", "M701", "M702", "M703"})

log = structlog.get_logger()


@mutable
class PlaceFound:
    """Where a print goes on.

    Attributes:
        fed: the last line of the file that the printer has accepted.
        modes: those that hold behind that line.
        heated: the targets in °C that lines after the place on the disk have set; `tool` is the active one.
    """

    fed: JobPosition
    modes: Modes
    heated: dict[str, float] = field(default_factory=dict)


async def find(job: Job, stream: FileStream, stored: StoredPlace, wanted: int) -> PlaceFound:
    """Return where the print goes on; the stream goes on there.

    Args:
        job: that goes on.
        stream: opened behind the place that is on the disk.
        stored: what is on the disk.
        wanted: the line that the printer wants next.

    Raises:
        CannotGoOn: that number does not fit.
        OSError, CommandError: of the file.
    """
    if wanted <= stored.least:
        raise CannotGoOn(f"the printer wants line {wanted}, but had accepted line {stored.least}: its board was reset")
    count = stored.lines_before(wanted)
    if count > MOST:
        raise CannotGoOn(
            f"the printer wants line {wanted}, which cannot have been sent: the last one noted is {stored.number}"
        )
    found = PlaceFound(stored.fed, modes_of(stored.modes))
    lines, offset = stored.lines, stored.offset
    for _ in range(count):
        offset, command, _checksum, changes = await _next(job, stream, found)
        lines += 1
        if changes:
            found.modes.note(command)
            found.heated |= targets([command], found.modes)
    found.fed = JobPosition(lines, offset)
    return found


async def _next(job: Job, stream: FileStream, found: PlaceFound) -> tuple[int, bytes, int, bool]:
    """Return the next line of the file that was sent; barriers on the way to it were dealt with before the reboot."""
    while (line := stream.next_line()) is None:
        if stream.error is not None:
            raise stream.error
        if stream.ended:
            raise CannotGoOn("the printer has accepted more lines than the file has")
        if stream.barrier is not None:
            if isinstance(stream.barrier, HeatAndWait):
                found.heated[stream.barrier.heater] = stream.barrier.target
            job.snapshot.passed = stream.barrier_offset
            stream.proceed()
        else:
            await asyncio.sleep(0.001)  # the next block is being read
    return line


def targets(commands: Iterable[bytes], modes: Modes) -> dict[str, float]:
    """Return what these commands set, °C by heater; `tool` is the active one."""
    found: dict[str, float] = {}
    for command in commands:
        try:
            asked = parse(command)
        except CommandError:
            continue
        heater, value = SETS_TARGET.get(asked.code), asked.get("S", asked.get("R"))
        if heater is not None and value is not None:
            tool = asked.number("T", modes.tool or 0)
            found[f"tool{tool:.0f}" if heater == "tool" else heater] = value
    return found


async def check(job: Job, stream: FileStream, stored: StoredPlace, found: PlaceFound, executor: Executor) -> None:
    """See whether the printer is as it was left.

    Raises:
        CannotGoOn: it is not.
    """
    printer = job.printer
    fd = stream.duplicate()
    try:
        loop = asyncio.get_running_loop()
        wanted = await loop.run_in_executor(executor, head, fd, found) if found.fed.lines else {}
        next_ = await loop.run_in_executor(executor, _targets_behind, fd, found)
    finally:
        await loop.run_in_executor(executor, os.close, fd)
    await printer.send("M105")
    _check_heat(printer, stored, found, next_)
    told = await printer.finished()
    if told is None:
        raise CannotGoOn("the printer does not report its position")
    _check_place(wanted, told)
    await _put_filament_right(printer, found.modes, wanted, told)
    log.info("job.place_found", wanted=wanted, told=told, lines=found.fed.lines, offset=found.fed.offset)


def _check_heat(printer: Printer, stored: StoredPlace, found: PlaceFound, behind: Mapping[str, float]) -> None:
    """See whether each heater aims at what it has to, and has not cooled much.

    Args:
        printer: has just told its heat.
        stored: what the disk knows, with the heat.
        found: what lines have set since.
        behind: what the line sets behind which nothing was accepted; a host that waits for heat has set that already.
    """
    since = {_heater(printer, name): target for name, target in found.heated.items()}
    soon = {_heater(printer, name): target for name, target in behind.items()}
    for name in stored.heat.keys() | since.keys():
        before, target = stored.heat.get(name, (0.0, 0.0))
        target, now = since.get(name, target), printer.heaters.get(name)
        if now is None and name not in stored.heat:
            continue  # a heater that the printer does not tell of
        aim = None if now is None else now.target or 0.0
        if (
            now is not None
            and aim is not None
            and min(abs(aim - target), abs(aim - soon.get(name, target))) <= RETARGETED
        ):
            if now.actual < min(before, aim) - COOLED:
                raise CannotGoOn(f"{name} has cooled from {before:.0f} to {now.actual:.0f} °C")
        elif not aim:
            raise CannotGoOn(f"the printer has turned {name} off: its target was {target:g} °C")
        else:
            raise CannotGoOn(f"the target of {name} has changed from {target:g} to {aim:g} °C")


def _heater(printer: Printer, name: str) -> str:
    """Return the name by which a printer tells of a heater that a command has set."""
    if name == "tool":
        return printer.hotend(printer.modes.tool or 0)
    return printer.hotend(int(name[4:])) if name.startswith("tool") else name


def _targets_behind(fd: int, found: PlaceFound) -> dict[str, float]:
    """Return what the next command of the file sets. Blocks."""
    reader = Reader(found.fed.offset)
    reader.feed(os.pread(fd, _AHEAD, found.fed.offset))
    commands = [command for at, command in reader if at > found.fed.offset or not found.fed.lines]
    return targets(commands[:1], found.modes)


def _check_place(wanted: dict[str, float], told: dict[str, float]) -> None:
    for axis, at in wanted.items():
        if axis != "E" and axis in told and abs(told[axis] - at) > NEAR:
            raise CannotGoOn(
                f"the head is at {axis}{told[axis]:.2f}, but the last accepted line of the file leads to {axis}{at:.2f}"
            )


async def _put_filament_right(
    printer: Printer, modes: Modes, wanted: Mapping[str, float], told: Mapping[str, float]
) -> None:
    """Have the firmware count filament as the file does, where somebody has moved some meanwhile.

    The next line would move it back, by as much.
    """
    at, counted = wanted.get("E"), told.get("E")
    if at is not None and counted is not None and abs(at - counted) > MOVED:
        log.warning("job.filament_moved", counted_mm=counted, of_file_mm=at)
        await printer.send(f"G92 E{at / modes.unit:.5f}")


def head(fd: int, found: PlaceFound) -> dict[str, float]:
    """Return where the file has led the head by then, in mm, as far as that can be known; E if it is absolute. Blocks.

    Args:
        fd: of the file.
        found: the place.
    """
    back = BACK
    while None in [(axes := _followed(fd, found, back))[axis] for axis in "XYZ"] and back < found.fed.offset:
        back *= FURTHER
    if found.modes.relative_e:
        axes["E"] = None
    return {axis: at for axis, at in axes.items() if at is not None}


def _followed(fd: int, found: PlaceFound, back: int) -> dict[str, float | None]:
    """Return where so many bytes of the file have led the head."""
    start = max(0, found.fed.offset - back)
    track, reader = _Track(start > 0, found.modes), Reader(start)
    for at in range(start, found.fed.offset + _AHEAD, BACK):
        content = os.pread(fd, min(BACK, found.fed.offset + _AHEAD - at), at)
        if at == start and start:  # its first line is not whole
            skipped = content.index(b"\n") + 1 if b"\n" in content else len(content)
            reader = Reader(start + skipped)
            content = content[skipped:]
        reader.feed(content)
        track.follow(command for place, command in reader if place <= found.fed.offset)
    return track.axes


class _Track:
    """Follows the axes; None: not known."""

    def __init__(self, in_the_middle: bool, modes: Modes) -> None:
        self.axes: dict[str, float | None] = dict.fromkeys("XYZE")
        # in the middle of a file they are most likely what they are in the end
        self._modes = replace(modes) if in_the_middle else Modes(e_mode=modes.e_mode)

    def follow(self, commands: Iterable[bytes]) -> None:
        for command in commands:
            try:
                asked = parse(command)
            except CommandError:
                self._forget("XYZE")  # a macro's line may do anything
                continue
            self._modes.note(command)
            self._note(asked)

    def _note(self, asked: Command) -> None:
        code = asked.code
        if code in _MOVES:
            self._move(asked)
        elif code == "G92":
            self._set(asked)
        elif code == "G28":
            self._forget([axis for axis in "XYZ" if axis in asked] or "XYZ")
        elif (code[0] == "G" and code not in _STAY) or code in _MOVE_TOO or code[0] == "T":
            self._forget("XYZE")

    def _move(self, asked: Command) -> None:
        modes = self._modes
        for axis in "XYZE":
            if (value := asked.get(axis)) is not None:
                relative = modes.relative_e if axis == "E" else modes.relative
                before = self.axes[axis] if relative else 0.0
                self.axes[axis] = None if before is None else before + value * self._unit

    def _set(self, asked: Command) -> None:
        for axis in "XYZE":
            if (value := asked.get(axis)) is not None:
                self.axes[axis] = value * self._unit

    @property
    def _unit(self) -> float:
        return self._modes.unit

    def _forget(self, axes: Iterable[str]) -> None:
        for axis in axes:
            self.axes[axis] = None
