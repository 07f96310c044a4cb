"""Heating to 40 °C, which is harmless to touch, and off again."""

import pytest

from hal.printer import TemperaturesRead

pytestmark = [pytest.mark.heats, pytest.mark.timeout(300)]

WARM = 40.0


def target(printer, heater):
    return printer.heaters[heater].target if heater in printer.heaters else None


async def test_the_hotend_heats_to_its_target_and_is_turned_off(device):
    events = []
    async with device.ready(events.append) as printer:
        await printer.send("M104 S40")
        await device.until(lambda: target(printer, "tool0") == WARM)
        await device.until(lambda: printer.heaters["tool0"].actual >= WARM - 2)
        assert any(isinstance(each, TemperaturesRead) and each.heaters["tool0"].target == WARM for each in events)
        await printer.send("M104 S0")
        await device.until(lambda: target(printer, "tool0") == 0)


async def test_the_bed_accepts_a_target_and_is_turned_off(device):
    async with device.ready() as printer:
        await printer.send("M105")
        if "bed" not in printer.heaters:
            pytest.skip("NOT TESTED: this printer has no heated bed")
        await printer.send("M140 S40")
        await device.until(lambda: target(printer, "bed") == WARM)
        await printer.send("M140 S0")
        await device.until(lambda: target(printer, "bed") == 0)


async def test_m109_is_answered_when_the_hotend_is_warm(device):
    async with device.ready() as printer:
        answer = await printer.send("M109 S40")
        assert answer[-1].startswith("ok")
        assert printer.heaters["tool0"].actual >= WARM - 3
        await device.until(lambda: target(printer, "tool0") == WARM)  # some report none while they wait


async def test_heaters_are_off_after_a_failed_test(device):
    async def fail():
        async with device.ready() as printer:
            await printer.send("M104 S40")
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        await fail()
    assert device.heaters_are_off
    async with device.ready() as printer:
        await printer.send("M105")
        assert target(printer, "tool0") == 0


async def test_heaters_are_off_after_a_connection_that_ended_warm(device):
    async with device.ready() as printer:
        await printer.send("M104 S40")
        await printer.close()
    assert not device.heaters_are_off
    await device.turn_heaters_off()
    async with device.ready() as printer:
        await printer.send("M105")
        assert target(printer, "tool0") == 0
