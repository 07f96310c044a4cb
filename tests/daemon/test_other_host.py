"""Whether a printer works for another host: each sign of it alone."""

import asyncio
from types import SimpleNamespace

import pytest

from daemon.core.connection.other_host import QUERIES, QUERY_INTERVAL, OtherHost
from gcode.errors import CommandError
from hal.errors import NotConnected
from hal.printer import PanelPrint, PositionRead

AT_REST = "X:1.00 Y:2.00 Z:3.00 E:0.00 Count X:80 Y:160 Z:1200"


class Quiet:
    """A printer that does nothing, and answers the same each time."""

    def __init__(self):
        self.identity = SimpleNamespace(name="Marlin")
        self.busy = False
        self.panel_print = None
        self.asked = []
        self.listeners = []

    def subscribe(self, listener):
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    async def send(self, command):
        self.asked.append(command)
        if command == "M114":
            self.move(1.0)
        return [AT_REST if command == "M114" else "Not SD printing", "ok"]

    def move(self, x):
        for listener in self.listeners:
            listener(PositionRead({"X": x}))


async def is_at_work(printer):
    at_work = await OtherHost(SimpleNamespace(printer=printer)).is_at_work()
    assert printer is None or printer.listeners == [], "nothing is left behind"
    return at_work


async def test_a_printer_that_does_nothing_is_asked_some_times_and_is_not_at_work():
    printer, began = Quiet(), asyncio.get_running_loop().time()
    assert not await is_at_work(printer)
    assert printer.asked.count("M114") == QUERIES
    assert asyncio.get_running_loop().time() - began == (QUERIES - 1) * QUERY_INTERVAL


async def test_without_a_printer_nothing_is_at_work():
    assert not await is_at_work(None)


async def test_a_busy_printer_is_at_work():
    printer = Quiet()
    printer.busy = True
    assert await is_at_work(printer)


async def test_a_printer_that_prints_from_its_card_is_at_work():
    printer = Quiet()
    printer.panel_print = PanelPrint("a.g", 1, 2)
    assert await is_at_work(printer)


async def test_a_printer_that_does_not_answer_in_time_is_at_work():
    class Deaf(Quiet):
        async def send(self, _command):
            await asyncio.sleep(3600)

    assert await is_at_work(Deaf())


@pytest.mark.parametrize("turn", range(1, QUERIES + 1))
async def test_a_position_that_changes_shows_work(turn):
    class Moving(Quiet):
        async def send(self, command):
            answer = await super().send(command)
            if self.asked.count("M114") == turn and command == "M114":
                self.move(1.5)
            return answer

    assert await is_at_work(Moving())


@pytest.mark.parametrize("line", ["Count X:%d", "M73 Progress: %d%%", "NORMAL MODE: Percent done: %d"])
async def test_steps_and_progress_that_change_show_work(line):
    class Progressing(Quiet):
        async def send(self, command):
            await super().send(command)
            return [line % len(self.asked), "ok"]

    assert await is_at_work(Progressing())


@pytest.mark.parametrize("error", [NotConnected("gone"), CommandError("no")])
async def test_a_lost_connection_ends_the_queries(error):
    class Lost(Quiet):
        async def send(self, _command):
            raise error

    assert not await is_at_work(Lost())
