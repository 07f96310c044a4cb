"""Emergency stop. It comes last: a board that was stopped may have to be reset by hand."""

import asyncio

import pytest

from gcode.errors import FirmwareHalted
from hal.printer import ConnectionState, FirmwareSaid, StateChanged

pytestmark = [pytest.mark.heats, pytest.mark.moves, pytest.mark.timeout(300)]


async def test_emergency_stop_ends_the_connection_at_once_and_the_printer_confirms_it(device):
    events = []
    async with device.ready(events.append) as printer:
        await printer.send("M104 S40")
        for command in ("G28 X", "G91", "G1 X20 F600"):  # 2 s
            await printer.send(command)
        waiting = asyncio.create_task(printer.send("M400"))
        await asyncio.sleep(0)
        printer.emergency_stop()
        assert printer.state is ConnectionState.FAULT
        assert isinstance(printer.error, FirmwareHalted)
        with pytest.raises(FirmwareHalted):
            await waiting
        await device.until(lambda: any(isinstance(each, FirmwareSaid) for each in events))
        message = next(each for each in events if isinstance(each, FirmwareSaid))
        assert message.severity == "info", message.text
        device.heaters_are_off = True  # the firmware said that it has stopped, and with that its heaters
        fault = next(each for each in events if isinstance(each, StateChanged) and each.new is ConnectionState.FAULT)
        assert fault.error is printer.error
