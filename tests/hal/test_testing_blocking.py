"""A printer for programs without an event loop."""

import asyncio
import threading
from concurrent.futures import Future
from contextlib import contextmanager

import pytest

from gcode.errors import CommandError, NozzledError
from hal.errors import AddressError, NoSuchPort
from hal.simulated.config import FirmwareConfig
from hal.simulated.firmware import Firmware
from hal.simulated.heater import CHAMBER
from hal.testing.blocking import BackgroundLoop, BlockingPrinter
from hal.testing.device import SimulatedDevice
from support.hil_guide import pty_printer
from support.waiting import TIMEOUT


@contextmanager
def opened(address="sim"):
    printer = BlockingPrinter(address)
    printer.open()
    try:
        yield printer
    finally:
        printer.close()


def assert_works(printer):
    assert printer.identity.name == printer.identity.fields["FIRMWARE_NAME"]
    assert printer.send("M118 hello", timeout=60) == ["hello", "ok"]
    printer.print_lines([f"M118 line {number}" for number in range(20)], timeout=60)
    assert any("line 19" in line for line in printer.tail())
    assert 10 < printer.heaters["tool0"].actual < 40


def test_a_simulated_printer_is_used_by_plain_calls():
    with opened() as printer:
        assert_works(printer)


def test_a_printer_at_a_port_is_served_in_a_thread_and_can_be_opened_again(tmp_path):
    with pty_printer(tmp_path) as address:
        for _ in range(2):
            with opened(address) as printer:
                assert_works(printer)


def test_a_file_is_printed_without_host_commands(tmp_path):
    path = tmp_path / "part.gcode"
    path.write_text("; a comment\nG28\n@pause\nM110 N5\nG1 X20 F6000 ; there\nM118 the end")
    with opened() as printer:
        printer.print_file(path)
        dialogue = "".join(printer.tail())
        assert "the end" in dialogue
        assert "X:20.00" in "".join(printer.send("M114"))
        assert "@pause" not in dialogue


def test_a_print_that_takes_too_long_sends_nothing_more():
    with opened() as printer:
        with pytest.raises(TimeoutError):
            printer.print_lines(["G28", *["G1 X50 F600", "G1 X0"] * 50, "M104 S200"], timeout=60)
        printer.sleep(900)
        assert "M104 S200" not in printer._device.accepted()
        assert printer.send("M118 still there", timeout=60) == ["still there", "ok"]


def test_an_interrupted_call_ends_on_its_loop_too(monkeypatch):
    loop, began, ended = BackgroundLoop(), threading.Event(), threading.Event()

    async def work():
        try:
            began.set()
            await asyncio.sleep(TIMEOUT)
        finally:
            ended.set()

    def interrupted(_future):
        began.wait(TIMEOUT)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Future, "result", interrupted)
        with pytest.raises(KeyboardInterrupt):
            loop.run(work())
    loop.run(asyncio.sleep(0))
    assert ended.wait(TIMEOUT / 2)
    loop.close()


def test_print_file_returns_after_the_last_move(tmp_path):
    """Teacup does not know M400, and says ok to it at once."""
    path = tmp_path / "part.gcode"
    path.write_text("G28\nG1 X100 F600\n")
    with opened("sim?firmware=teacup") as printer:
        printer.print_file(path)
        firmware = printer._device.firmware
        assert firmware.board.planner.idle_at(firmware.now) == firmware.now


@pytest.mark.parametrize("connected", [True, False])
async def test_every_heater_is_off_at_the_end(connected):
    device = SimulatedDevice(Firmware(FirmwareConfig(extruders=2, chamber=CHAMBER)))
    printer = await device.open()
    for command in ("M104 T1 S200", "M141 S50"):
        await printer.send(command)
    if connected:
        await device.end(printer)
    else:
        await printer.close()
        await device.turn_heaters_off()
    assert device.heaters_are_off
    assert [each.target for each in device.firmware.heat.heaters] == [0, 0, 0, 0]


def test_simulated_time_passes_only_while_the_printer_is_used():
    with opened() as printer:
        printer.send("M104 S60")
        printer.sleep(120)
        assert printer.heaters["tool0"].actual == pytest.approx(60, abs=3)


def test_errors_are_raised():
    with pytest.raises(AddressError):
        BlockingPrinter("sim?speed=never")
    with opened() as printer:
        with pytest.raises(CommandError):
            printer.send("")
        with pytest.raises(TimeoutError):
            printer.send("G4 S10", timeout=1)


def test_after_an_emergency_stop_nothing_can_be_sent_and_closing_is_clean():
    with opened() as printer:
        printer.emergency_stop()
        with pytest.raises(NozzledError):
            printer.send("M105")


def test_a_missing_printer_leaves_nothing_behind(tmp_path):
    printer = BlockingPrinter(f"serial:{tmp_path / 'none'}")
    for _ in range(2):
        with pytest.raises(NoSuchPort):
            printer.open()
