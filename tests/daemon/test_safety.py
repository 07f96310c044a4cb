import asyncio
from dataclasses import replace

import pytest

from daemon.config import ProfileConfig
from daemon.core.safety.rules import HEATERS_OFF_TIMEOUT, STOP_S, heaters_off_commands, turn_heaters_off
from gcode.outgoing import job_line
from gcode.replies import Reading
from hal.driver import LinePrinter
from hal.errors import PortLost
from hal.printer import ConnectionState
from hal.simulated.firmware import Firmware, FirmwareConfig
from hal.simulated.memory import SimulatedTransport
from hal.simulated.oracle import Oracle


class FreezingTransport(SimulatedTransport):
    """The printer answers until it is `frozen`."""

    frozen = False

    def _run(self, due=0.0):
        if not self.frozen:
            super()._run(due)


async def connect(**options):
    oracle = Oracle(keep=None)
    transport = FreezingTransport(Firmware(FirmwareConfig(**options), oracle))
    printer = LinePrinter(transport)
    await printer.open()
    oracle.commands.clear()
    return printer, transport, oracle


def accepted(oracle):
    return [each.command for each in oracle.commands]


@pytest.mark.parametrize(
    ("profile", "commands"),
    [
        ({}, ["M104 S0", "M140 S0"]),
        ({"extruders": 3}, ["M104 T0 S0", "M104 T1 S0", "M104 T2 S0", "M140 S0"]),
        ({"heated_chamber": True}, ["M104 S0", "M140 S0", "M141 S0"]),
    ],
)
def test_heaters_off_names_every_heater(profile, commands):
    assert heaters_off_commands(replace(ProfileConfig(), **profile)) == commands


@pytest.mark.parametrize(
    ("heaters", "commands"),
    [
        ({"tool0": Reading(200, 200), "bed": Reading(60, 60)}, ["M104 S0", "M140 S0"]),
        ({"tool0": Reading(20, 0), "tool2": Reading(200, 200)}, ["M104 T0 S0", "M104 T1 S0", "M104 T2 S0", "M140 S0"]),
        ({"tool1": Reading(30, 0), "chamber": Reading(40, 50)}, ["M104 S0", "M140 S0", "M141 S0"]),
        ({"toolX": Reading(30, 5), "P": Reading(40, None)}, ["M104 S0", "M140 S0"]),
    ],
)
def test_heaters_off_names_reported_heaters_too(heaters, commands):
    assert heaters_off_commands(ProfileConfig(), heaters) == commands


async def test_a_listening_printer_turns_its_heaters_off_at_once():
    printer, transport, oracle = await connect()
    await printer.send("M104 S200")
    await printer.send("M140 S60")
    began = asyncio.get_running_loop().time()
    assert await turn_heaters_off(printer, replace(ProfileConfig(), extruders=1))
    assert asyncio.get_running_loop().time() - began < 0.1
    assert accepted(oracle)[-2:] == ["M104 S0", "M140 S0"]
    board = transport._firmware.board
    assert (board.hotend.target, board.bed.target) == (0, 0)
    assert printer.state is ConnectionState.READY
    await printer.close()


async def test_every_extruder_is_turned_off():
    printer, _, oracle = await connect()
    await turn_heaters_off(printer, replace(ProfileConfig(), extruders=2))
    assert accepted(oracle) == ["M104 T0 S0", "M104 T1 S0", "M140 S0"]
    await printer.close()


async def test_the_commands_are_on_the_wire_before_anything_is_awaited():
    printer, transport, _ = await connect()
    printer.feed(_Endless())
    written, write = [], transport.write
    transport.write = lambda data: (written.append(data), write(data))
    turning_off = asyncio.create_task(turn_heaters_off(printer, replace(ProfileConfig(), extruders=1)))
    await asyncio.sleep(0)  # the task begins, and its two sends
    await asyncio.sleep(0)
    wire = b"".join(written)
    assert b"M104 S0" in wire
    assert b"M140 S0" in wire
    assert b"G1" not in wire[wire.index(b"M104 S0") :], "no move follows"
    await turning_off
    await printer.close()


class _Endless:
    def next_line(self):
        return job_line(0, b"G1 X1")


async def test_a_wait_for_temperature_is_ended_if_the_firmware_can():
    printer, transport, oracle = await connect(emergency_parser=True)
    printer.submit("M109 S250")
    await asyncio.sleep(5)
    assert await turn_heaters_off(printer, replace(ProfileConfig(), extruders=1))
    assert accepted(oracle)[1:] == ["M108", "M104 S0", "M140 S0"]
    assert transport._firmware.board.hotend.target == 0
    await printer.close()


async def test_a_deaf_printer_is_stopped_after_three_seconds():
    printer, transport, _ = await connect()
    printer.submit("M109 S250")
    await asyncio.sleep(5)
    began = asyncio.get_running_loop().time()
    assert not await turn_heaters_off(printer, replace(ProfileConfig(), extruders=1))
    assert asyncio.get_running_loop().time() - began == pytest.approx(HEATERS_OFF_TIMEOUT + STOP_S) == 3.5
    assert printer.state is ConnectionState.FAULT
    await asyncio.sleep(1)
    assert transport._firmware.board.hotend.target == 0
    await printer.close()


async def test_a_silent_printer_is_sent_an_emergency_stop():
    printer, transport, _ = await connect()
    transport.frozen, written = True, []
    transport.write = written.append
    assert not await turn_heaters_off(printer, replace(ProfileConfig(), extruders=1))
    assert b"\nM112\n" in b"".join(written)
    await printer.close()


async def test_a_printer_that_is_lost_meanwhile_is_not_reported_as_cold():
    printer, transport, _ = await connect()
    transport.frozen = True
    turning_off = asyncio.create_task(turn_heaters_off(printer, replace(ProfileConfig(), extruders=1)))
    await asyncio.sleep(1)
    printer._fail(PortLost("the cable was pulled"))
    assert not await turning_off
    await printer.close()
