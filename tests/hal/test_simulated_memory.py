import asyncio
import json
from pathlib import Path

import pytest

from gcode.framing import frame
from hal.errors import PortLost
from hal.simulated.firmware import Firmware, FirmwareConfig
from hal.simulated.memory import SimulatedTransport
from hal.simulated.oracle import Oracle
from support.reading import read_whole

_CUBE = Path(__file__).parents[2] / "examples" / "cube20.gcode"


class PingPong:
    """The simplest host there is: one line, one ok."""

    def __init__(self, firmware, commands, **options):
        self.transport = SimulatedTransport(firmware, **options)
        self.commands = iter(commands)
        self.number = 0
        self.buffer = b""
        self.lines = []
        self.lost = []
        self.done = asyncio.Event()

    async def print(self):
        await self.transport.open(self.on_data, self.lost.append)
        await self.done.wait()

    def on_data(self, data):
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        self.lines += lines
        for line in lines:
            if line.startswith((b"ok", b"echo:  M301")):
                self.send()

    def send(self):
        command = next(self.commands, None)
        if command is None:
            self.done.set()
        else:
            self.number += 1
            self.transport.write(frame(self.number, command))


def _ignore(_value):
    pass


def _commands(path):
    return [command for _, command in read_whole(path.read_bytes())]


async def test_the_example_arrives_command_for_command():
    oracle, commands = Oracle(keep=None), _commands(_CUBE)
    host = PingPong(Firmware(FirmwareConfig(), oracle), commands)
    await host.print()
    assert len(commands) > 6000
    assert [each.command.encode() for each in oracle.commands] == commands
    assert [each.number for each in oracle.commands] == list(range(1, len(commands) + 1))
    assert oracle.counters.resends == oracle.counters.overruns == oracle.counters.underruns == 0
    assert 900 < host.transport.now < 2400  # the slicer says 19 minutes, heating aside
    host.transport.close()


async def test_the_oracle_streams_to_a_file(tmp_path):
    with (tmp_path / "oracle.jsonl").open("w") as file:
        host = PingPong(Firmware(FirmwareConfig(), Oracle(file, keep=1)), [b"G1 X1", b"M105"])
        await host.print()
    first, second = map(json.loads, (tmp_path / "oracle.jsonl").read_text().splitlines())
    assert first == {"n": 1, "command": "G1 X1", "t": pytest.approx(0.03)}
    assert second["command"] == "M105"
    assert len(host.transport._firmware.oracle.commands) == 1
    host.transport.close()


async def test_speed_scales_the_time_of_the_device():
    loop = asyncio.get_running_loop()
    host = PingPong(Firmware(), [b"G4 S100"], speed=20)
    began = loop.time()
    await host.print()
    assert loop.time() - began == pytest.approx(100.03 / 20)
    host.transport.close()


async def test_two_runs_give_the_same_bytes():
    runs = []
    for _ in range(2):
        host = PingPong(Firmware(FirmwareConfig(seed=7)), _commands(_CUBE)[:300])
        await host.print()
        host.transport.close()
        runs.append(host.lines)
    assert runs[0] == runs[1]
    assert len(runs[0]) > 300


async def test_data_never_comes_from_within_write():
    transport, inside = SimulatedTransport(Firmware()), []
    writing = False
    await transport.open(lambda _data: inside.append(writing), _ignore)
    await asyncio.sleep(1)
    writing = True
    transport.write(b"M105\n")
    writing = False
    await asyncio.sleep(1)
    assert len(inside) == 2
    assert not any(inside)
    transport.close()


async def test_unplugging_is_reported_once_and_nothing_follows():
    host = PingPong(Firmware(), [b"M155 S1", b"G4 S1000"])
    await host.transport.open(host.on_data, host.lost.append)
    await asyncio.sleep(5)
    host.transport.unplug()
    host.transport.unplug()
    await asyncio.sleep(0)
    count = len(host.lines)
    host.transport.write(b"M105\n")
    await asyncio.sleep(10)
    assert [type(error) for error in host.lost] == [PortLost]
    assert len(host.lines) == count > 0


async def test_closing_is_silent_and_idempotent():
    host = PingPong(Firmware(), [b"M155 S1", b"G4 S1000"])
    await host.transport.open(host.on_data, host.lost.append)
    await asyncio.sleep(5)
    host.transport.unplug()
    host.transport.close()
    host.transport.close()
    count = len(host.lines)
    await asyncio.sleep(10)
    assert host.lost == []
    assert len(host.lines) == count


async def test_a_reset_boots_the_board_in_the_middle():
    host = PingPong(Firmware(), [b"G4 S1000"])
    await host.transport.open(host.on_data, host.lost.append)
    await asyncio.sleep(5)
    host.lines.clear()
    host.transport.reset()
    await asyncio.sleep(1)
    assert host.lines[0] == b"start"
    host.transport.close()


async def test_the_next_host_finds_the_board_as_it_was_left():
    firmware = Firmware()
    first = PingPong(firmware, [b"G1 X1", b"G1 X2"])
    await first.print()
    first.transport.close()
    second = PingPong(firmware, [], reset_on_open=False)
    await second.transport.open(second.on_data, second.lost.append)
    second.transport.write(b"N99999999 M105*23\n")
    await asyncio.sleep(1)
    assert second.lines == [
        b"Error:Line Number is not Last Line Number+1, Last Line: 2", b"Resend: 3", b"ok",
    ]  # fmt: skip
    second.transport.close()


async def test_an_idle_printer_costs_no_timer():
    loop = asyncio.get_running_loop()
    transport = SimulatedTransport(Firmware())
    await transport.open(_ignore, _ignore)
    await asyncio.sleep(1)
    assert transport._timer is None
    assert not [timer for timer in loop._scheduled if not timer.cancelled()]
    transport.close()
