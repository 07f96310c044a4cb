"""Heaters that a lost print may have left on, when the printer is connected again."""

import asyncio

import pytest

from daemon.config import ProfileConfig
from daemon.core.job.heaters_off import HeatersOff
from hal.errors import NotConnected
from hal.printer import ConnectionState, FirmwareIdentity, PanelPrint

OFF = ["M27", "M104 S0", "M140 S0"]


class Printer:
    """Answers everything at once; `never`: all but M27; `lost`: nothing, as its connection is lost."""

    state = ConnectionState.READY
    identity = FirmwareIdentity()
    busy = False

    def __init__(self, position=None, answers="at once", reads_on=False):
        self.position, self.reads_on, self.asked = position, reads_on, 0
        self.heaters = {}
        self.sent = []
        self.answers = answers

    @property
    def panel_print(self):
        if self.position is None:
            return None
        self.asked += 1
        return PanelPrint("CUBE.GCO", self.position + self.reads_on * self.asked, 3000)

    def forget_panel_print(self):
        self.position = None

    async def send(self, command, *, urgent=False):
        assert urgent
        self.sent.append(command)
        if command == "M27" and self.answers == "never":
            await asyncio.get_running_loop().create_future()
        if self.answers == "lost":
            raise NotConnected("the printer is not connected")
        return ["ok"]

    def hold(self):
        pass

    def feed(self, _source):
        pass

    def emergency_stop(self, _reason):
        pass


class MovingPrinter(Printer):
    """Reports one place after the other, each for 10 s."""

    def __init__(self, places):
        super().__init__()
        self.places, self.begins = places, asyncio.get_running_loop().time()
        self.is_forgotten = False

    @property
    def panel_print(self):
        place = self.places[min(int(asyncio.get_running_loop().time() - self.begins) // 10, len(self.places) - 1)]
        return PanelPrint(None, *place) if place and not self.is_forgotten else None

    def forget_panel_print(self):
        self.is_forgotten = True


@pytest.mark.parametrize(
    ("printer", "has_job", "sent", "still_due"),
    [
        (Printer(), False, OFF, False),
        (Printer(answers="never"), False, OFF, False),
        (Printer(answers="lost"), False, OFF, True),
        (Printer(position=0), False, OFF, False),  # the file may only have been selected
        (Printer(position=900, reads_on=True), False, ["M27"], False),
        (Printer(position=900), False, OFF, False),  # Marlin 1 reports the end of an earlier print
        (Printer(), True, ["M27"], False),  # the heat is that of a job that has begun meanwhile
    ],
)
async def test_due_heaters_off_spares_only_a_print_that_uses_the_heat(printer, has_job, sent, still_due):
    done = []
    heaters_off = HeatersOff(ProfileConfig, lambda: done.append(True))
    heaters_off.turn_off_if_due(printer, lambda: has_job)
    await asyncio.sleep(60)
    assert not printer.sent, "it was not due"
    heaters_off.is_due = True
    heaters_off.turn_off_if_due(printer, lambda: has_job)
    await asyncio.sleep(90)
    assert printer.sent == sent
    assert heaters_off.is_due is still_due
    assert bool(done) is (not still_due and not has_job)
    assert (printer.panel_print is None) is not printer.reads_on


@pytest.mark.parametrize(
    ("places", "spared"),
    [
        ([(2900, 3000), (0, 5000)], False),  # a client selects a file
        ([(2900, 3000), (0, 5000), (40, 5000)], True),  # and prints it
        ([(40, 3000), (900, 5000)], False),
        ([(2900, 3000), (40, 3000), (80, 3000)], True),  # the user prints the same file again
        ([(900, 3000), None], False),
        ([(0, 0, True)], True),  # a pause
        ([(900, 3000), (900, 3000, True)], True),
    ],
)
async def test_only_a_print_that_reads_on_in_its_file_is_spared(places, spared):
    printer = MovingPrinter(places)
    heaters_off = HeatersOff(ProfileConfig, lambda: None)
    heaters_off.is_due = True
    heaters_off.turn_off_if_due(printer, lambda: False)
    await asyncio.sleep(10 * 60)
    assert printer.sent == (["M27"] if spared else OFF)


async def test_a_printer_that_is_busy_is_given_more_than_a_minute_to_read_on():
    printer = Printer(position=900)
    printer.busy = True
    heaters_off = HeatersOff(ProfileConfig, lambda: None)
    heaters_off.is_due = True
    heaters_off.turn_off_if_due(printer, lambda: False)
    await asyncio.sleep(10 * 60)
    assert printer.sent == ["M27"]
    printer.busy = False
    await asyncio.sleep(70)
    assert printer.sent == OFF
