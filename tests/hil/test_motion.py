"""Homing and small moves, within 30 mm of the origin."""

import asyncio

import pytest

from gcode.outgoing import job_line
from gcode.replies import PositionReply, parse

pytestmark = [pytest.mark.moves, pytest.mark.timeout(300)]

SQUARE = [(30, 10), (30, 30), (10, 30), (10, 10)]


class Moves:
    """A job of moves."""

    def __init__(self, positions):
        self._lines = [f"G1 X{x} Y{y} F3000".encode() for x, y in positions]
        self.empty = asyncio.Event()
        self._given = 0

    def next_line(self):
        if self._given == len(self._lines):
            self.empty.set()
            return None
        self._given += 1
        return job_line(self._given, self._lines[self._given - 1])


async def position(printer):
    replies = [parse(line.encode()) for line in await printer.send("M114")]
    return next(reply.axes for reply in replies if isinstance(reply, PositionReply))


async def duration(printer, *commands):
    """Return the seconds until the last command is answered."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for command in commands:
        await printer.send(command)
    return loop.time() - began


async def prepare(printer):
    """Home, and stand a little above the bed at 10, 10."""
    for command in ("G21", "G90", "G28", "G1 Z5 F600", "G1 X10 Y10 F3000", "M400"):
        await printer.send(command)


async def test_after_homing_a_move_ends_where_it_was_sent(device):
    async with device.ready() as printer:
        await prepare(printer)
        at = await position(printer)
        assert (at["X"], at["Y"], at["Z"]) == pytest.approx((10, 10, 5), abs=0.05)


async def test_a_relative_move_starts_at_the_current_position(device):
    async with device.ready() as printer:
        await prepare(printer)
        await printer.send("G91")
        await printer.send("G1 X5 F3000")
        await printer.send("G90")
        await printer.send("M400")
        assert (await position(printer))["X"] == pytest.approx(15, abs=0.05)


async def test_m400_is_answered_when_the_moves_are_done(device):
    async with device.ready() as printer:
        await prepare(printer)
        second = min(
            [await duration(printer, "G4 S1") for _ in range(3)]
        )  # a simulated second may be shorter than a real one
        assert await duration(printer, "G1 X30 F600", "M400") > second  # 20 mm at 10 mm/s: two of them


async def test_a_job_of_moves_ends_where_its_last_line_says(device):
    moves = Moves(SQUARE)
    async with device.ready() as printer:
        await prepare(printer)
        printer.feed(moves)
        await moves.empty.wait()
        await printer.wait_until_acknowledged()
        assert printer.place.lines == len(SQUARE)
        await printer.send("M400")
        at = await position(printer)
        assert (at["X"], at["Y"]) == pytest.approx(SQUARE[-1], abs=0.05)
