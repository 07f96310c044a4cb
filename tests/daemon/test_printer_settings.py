"""The printer's own travel limits, as several firmwares report them."""

from types import SimpleNamespace

import pytest

from daemon.core.connection.printer_settings import PrinterSettings, area_in
from hal.errors import NotConnected

WHOLE = "area:{full:{min:{x:-1.00,y:-4.50,z:0.00},max:{x:255.00,y:212.50,z:210.00}}"


@pytest.mark.parametrize(
    "line",
    [
        "echo:Soft endstops: On  Min:  X-1.00 Y-4.50 Z0.00   Max:  X255.00 Y212.50 Z210.00",
        "Soft endstops: Off Min: X: -1.0 Y: -4.5 Z: 0 Max: X: 255 Y: 212.5 Z: 210",
        WHOLE + ",work:{min:{x:0.00,y:0.00,z:0.00},max:{x:250.00,y:210.00,z:210.00}}}",
        WHOLE + "}",
    ],
)
def test_the_print_area_is_read(line):
    assert area_in(["ok", line]) == {"min": [-1.0, -4.5, 0.0], "max": [255.0, 212.5, 210.0]}


@pytest.mark.parametrize("line", ["  M211 S1 ; ON", 'echo:Unknown command: "M211"', "area:{full:{min:{x:0}}}", ""])
def test_an_answer_without_an_area_is_ignored(line):
    assert area_in([line]) is None


@pytest.mark.parametrize(
    ("firmware", "commands"),
    [
        ("Prusa-Firmware 3.13.3 based on Marlin", ["M503", "M115"]),  # it would say that it does not know M211
        ("Marlin bugfix-2.0.x (Jun  5 2021 12:00:00)", ["M503", "M211", "M115"]),
    ],
)
async def test_only_commands_that_the_firmware_knows_are_sent(firmware, commands):
    sent = []

    async def send(command):
        sent.append(command)
        return ["ok"]

    printer = SimpleNamespace(identity=SimpleNamespace(name=firmware), send=send)
    await PrinterSettings(SimpleNamespace(printer=printer, ready=True), lambda: False).ask()
    assert sent == commands


@pytest.mark.parametrize(("firmware", "known"), [("Prusa-Firmware 3.13.3", False), ("Marlin 2.1.2", True)])
async def test_a_printer_that_does_not_answer_has_no_limits_of_another_firmware(firmware, known):
    async def send(command):
        if connection.printer is silent:
            raise NotConnected("lost")
        return ["echo:  M203 X500.00 Y500.00 Z5.00 E25.00"] if command == "M503" else ["ok"]

    first = SimpleNamespace(identity=SimpleNamespace(name="Marlin 2.1.2"), send=send)
    silent = SimpleNamespace(identity=SimpleNamespace(name=firmware), send=send)
    connection = SimpleNamespace(printer=first, ready=True)
    settings = PrinterSettings(connection, lambda: False)
    reported = await settings.ask()
    connection.printer = silent
    assert await settings.ask() == (reported if known else ())
    assert settings.firmware == firmware
    assert reported == ("M203 X500.00 Y500.00 Z5.00 E25.00",)
