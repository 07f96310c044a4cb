"""Faults of the firmware itself; tests/daemon/test_scenarios.py has what host and user see of each."""

import asyncio
import errno
import gzip
import io
import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcode.framing import frame
from hal.driver import LinePrinter
from hal.errors import NoSuchPort
from hal.recorder import RecordingTransport
from hal.session_file import SessionHeader
from hal.simulated.config import FirmwareConfig
from hal.simulated.firmware import Firmware
from hal.simulated.memory import SimulatedTransport
from hal.simulated.oracle import Oracle
from hal.simulated.personalities import FIRMWARES
from hal.simulated.recording import SessionWriter
from hal.simulated.scenario import Fault, Scenario


class Bench:
    """A booted board on a clock moved by hand."""

    def __init__(self, *faults, **config):
        self.oracle = Oracle(keep=None)
        self.firmware = Firmware(FirmwareConfig(scenario=Scenario(faults), flow_control=True, **config), self.oracle)
        self.firmware.reset(0.0)
        self.firmware.advance(1.0)

    @property
    def now(self):
        return self.firmware.now

    def send(self, *lines, seconds=0.0):
        for line in lines:
            self.firmware.receive(line if isinstance(line, bytes) else line.encode() + b"\n", self.now)
        return self.run(seconds)

    def run(self, seconds):
        return self.firmware.advance(self.now + seconds).decode("latin-1").splitlines()

    @property
    def accepted(self):
        return [each.command for each in self.oracle.commands]


def lines(count):
    return [frame(n, b"G4 P%d" % n) for n in range(1, count + 1)]


def test_the_named_line_is_damaged():
    bench = Bench(Fault("flip", line=3))
    replies = bench.send(*lines(4), seconds=1)
    assert bench.accepted == ["G4 P1", "G4 P2"]
    assert next(line for line in replies if line.startswith("Resend")) == "Resend: 3"
    assert bench.send(*lines(4)[2:], seconds=1) == ["ok", "ok"]  # once means once


def test_a_fault_repeats_as_often_as_configured():
    bench = Bench(Fault("resend", line=1, count=3))
    replies = [line for _ in range(4) for line in bench.send(lines(1)[0], seconds=0.1)]
    assert replies.count("Resend: 1") == 3
    assert bench.accepted == ["G4 P1"]


def test_lines_without_numbers_are_counted():
    bench = Bench(Fault("lose_ok", line=2))
    assert bench.send("M400", "M400", "M400") == ["ok", "ok"]


def test_times_are_those_of_the_printer():
    bench = Bench(Fault("text", time=5.0, text="hello", count=2))
    assert bench.run(3.9) == []
    assert bench.run(0.2) == ["hello", "hello"]
    assert bench.run(100) == []


def test_a_fault_can_wait_for_a_temperature():
    bench = Bench(Fault("text", temperature=60, heater="bed", text="warm"))
    bench.send("M140 S70", seconds=20)
    replies = bench.run(200)
    assert replies == ["warm"]
    assert bench.firmware.board.bed.temperature(bench.now) >= 60


def test_a_hung_firmware_neither_sends_nor_reads_until_it_continues():
    bench = Bench(Fault("hang", line=1, seconds=10))
    assert bench.send("M400", "M400", seconds=9.9) == []
    assert bench.run(0.2) == ["ok", "ok"]


def test_a_hung_firmware_is_freed_by_a_reset():
    bench = Bench(Fault("hang", line=1))
    bench.send("M400", seconds=100)
    bench.firmware.reset(bench.now)
    assert bench.run(1)[0] == "start"


def test_a_board_without_power_is_silent_and_comes_back_with_its_heater_off():
    bench = Bench(Fault("reset", line=2, by="power", seconds=5))
    bench.send("M104 S200", "M105")
    assert bench.run(4.9) == []
    assert bench.run(0.2)[0] == "start"
    assert bench.firmware.board.hotend.target == 0


def test_a_late_ok_comes_without_a_busy_message():
    bench = Bench(Fault("late_ok", line=1, seconds=30))
    assert bench.send("M400", "M105", seconds=29.9) == []
    assert [line[:2] for line in bench.run(0.2)] == ["ok", "ok"]


def test_a_delay_holds_up_everything_after_it():
    bench = Bench(Fault("delay", line=2, seconds=3))
    assert bench.send("M400", "M400", "M400", seconds=2.9) == ["ok"]
    assert bench.run(0.2) == ["ok", "ok"]


def test_an_overrun_is_counted():
    bench = Bench(Fault("overrun", line=1, bytes=4))
    bench.send(lines(1)[0])
    assert bench.oracle.counters.overruns == 4


def test_a_broken_endstop_stays_broken_after_a_reset():
    bench = Bench(Fault("endstop", time=2, axis="X"))
    bench.run(2)
    bench.firmware.reset(bench.now)
    bench.run(1)
    assert bench.send("G28 X", seconds=60)[-2:] == ["echo:Homing Failed", "Error:Printer halted. kill() called!"]


def test_a_filament_runout_waits_for_an_answer():
    bench = Bench(Fault("runout", line=2, seconds=20), host_actions=True)
    replies = bench.send("M400", "M400", "M400", seconds=19)
    assert "//action:paused" in replies
    assert "echo:busy: paused for user" in replies
    assert replies.count("ok") == 1
    assert bench.run(2) == ["//action:prompt_end", "//action:resumed", "ok", "ok"]


def test_a_line_waits_for_its_end_only_until_the_fault_has_happened():
    bench = Bench(Fault("drop", line=1))
    assert bench.send(b"N1 G4", seconds=1) == []
    assert not bench.firmware._receiver.is_incomplete
    bench.send(b" P1*78\n", seconds=1)
    bench.send(b"N1 G4", seconds=1)
    assert bench.firmware._receiver.is_incomplete


def test_a_blank_line_is_not_the_first_line():
    bench = Bench(Fault("flip", line=1))
    replies = bench.send(b"\n" + frame(0, b"M110 N0"), *lines(2), seconds=1)
    assert "Resend: 1" in replies
    assert bench.accepted == ["M110 N0"]


def test_lines_that_the_host_did_not_send_are_not_counted():
    bench = Bench(
        Fault("touch_print", time=2, seconds=5), Fault("lose_ok", line=2), Fault("text", line=3, text="third")
    )
    bench.run(300)
    assert len(bench.accepted) > 5
    assert bench.send("M105", "M400", seconds=1)[0].startswith("ok T:")
    assert bench.send("M400", seconds=1) == ["third", "ok"]


def test_the_print_of_a_touch_screen_does_not_start_another_one():
    bench = Bench(Fault("touch_print", probability=1, seconds=1))
    bench.send("M105", seconds=60)
    assert len(bench.accepted) < 50


@pytest.mark.parametrize(
    ("fault", "lines"),
    [
        (Fault("text", time=0, text="hello"), ["hello", "start"]),
        (Fault("hang", time=0, seconds=5), []),
        (Fault("kill", time=0), ["Error:Printer halted. kill() called!"]),
        (Fault("runout", time=0, seconds=0), ["start", "PowerUp"]),
    ],
)
def test_a_fault_may_happen_at_once(fault, lines):
    bench = Bench(fault)
    firmware = Firmware(bench.firmware.config)
    firmware.reset(0.0)
    assert firmware.advance(2.0).decode().splitlines()[:2] == lines


@pytest.mark.parametrize("name", FIRMWARES)
@pytest.mark.parametrize("fault", [Fault("runout", time=3, seconds=0), Fault("self_pause", time=3)])
@pytest.mark.parametrize("end", [Fault("kill", time=2), Fault("halt", time=2), Fault("sensor_short", time=2)])
def test_a_halted_firmware_begins_nothing(name, fault, end):
    firmware = Firmware(replace(FIRMWARES[name], scenario=Scenario((end, fault))))
    firmware.reset(0.0)
    firmware.advance(2.9)
    firmware.advance(20.0)
    assert firmware.now == 20.0


def test_a_fault_may_be_as_good_as_impossible():
    bench = Bench(Fault("flip", probability=1e-18), Fault("drop", probability=5e-324))
    assert bench.send(*lines(3), seconds=1) == ["ok"] * 3


NOISY = (
    Fault("flip", probability=0.01),
    Fault("drop", probability=0.003),
    Fault("duplicate", probability=0.005, bytes=3),
    Fault("lose_ok", probability=0.1),
)


def test_a_probability_is_that_of_each_answer():
    bench = Bench(Fault("lose_ok", probability=0.1))
    assert 850 < len(bench.send(*["M400"] * 1000, seconds=1)) < 950


ONCE = Fault("flip", line=2), Fault("drop", line=13, bytes=3), Fault("duplicate", time=1)


@given(st.lists(st.integers(1, 40), max_size=30), st.integers(0, 3), st.sampled_from([NOISY, ONCE]))
def test_the_result_is_the_same_however_the_bytes_are_split(sizes, seed, faults):
    data = b"".join(lines(20))
    whole, pieces = Bench(*faults, seed=seed).firmware._faults, Bench(*faults, seed=seed).firmware._faults
    damaged = b"".join(piece for piece, _ in whole.damage_to_printer(data))
    output = b""
    for size in [*sizes, len(data)]:
        output += b"".join(piece for piece, _ in pieces.damage_to_printer(data[:size]))
        data = data[size:]
    assert output == damaged


def test_a_printer_without_faults_has_no_fault_machinery():
    assert Firmware(FirmwareConfig())._faults is None


async def session(seed, *faults):
    """Print over a poor connection; return the recording."""
    config = FirmwareConfig(seed=seed, baudrate=115200, latency=0.001, jitter=0.002, scenario=Scenario(faults))
    firmware, file = Firmware(config), io.BytesIO()
    transport = SimulatedTransport(firmware)
    writer = SessionWriter(file, SessionHeader("2026-01-01T00:00:00", "sim"), lambda: transport.now)
    printer = LinePrinter(RecordingTransport(transport, writer, lambda: 0.0))
    await printer.open()
    for n in range(150):
        await printer.send(f"G1 X{n % 20} F6000")
    await printer.close()
    writer.end()
    return file.getvalue()


async def test_the_same_seed_gives_the_same_bytes():
    first = await session(1, *NOISY)
    assert await session(1, *NOISY) == first
    assert await session(2, *NOISY) != first
    assert gzip.decompress(first).count(b"\n") > 300


async def test_without_faults_the_bytes_depend_on_the_seed_too():
    assert await session(1) == await session(1) != await session(2)


class FullDisk(io.BytesIO):
    """Takes so many bytes, at most 50 at a time, and then none."""

    room = 10**6

    def write(self, data):
        if not (taken := min(len(data), self.room, 50)):
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= taken
        return super().write(data[:taken])


async def test_a_nearly_full_disk_takes_the_recording_in_pieces():
    firmware, file = Firmware(FirmwareConfig()), FullDisk()
    writer = SessionWriter(file, SessionHeader("2026-01-01T00:00:00", "sim"), lambda: firmware.now)
    transport = RecordingTransport(SimulatedTransport(firmware), writer, lambda: 0.0)
    heard = []
    await transport.open(heard.append, print)
    await asyncio.sleep(1)
    file.room = 60
    for _ in range(5):
        transport.write(b"M105\n")
        await asyncio.sleep(1)
    transport.close()
    assert b"".join(heard).count(b"ok T:") == 5, "the printer is not disturbed"
    with pytest.raises(OSError, match="No space left"):
        writer.end()
    assert b"PowerUp" in zlib.decompressobj(31).decompress(file.getvalue())


def test_a_full_disk_of_the_oracle_does_not_stop_the_printer():
    file = FullDisk()
    file.room = 0
    bench = Bench()
    bench.oracle._file = io.TextIOWrapper(file, line_buffering=True)
    assert len(bench.send("M105", "M105", seconds=1)) == 2
    file.room = 10**6  # for what the text still buffers


async def test_a_pulled_cable_is_missing_until_it_is_plugged_in_again():
    firmware = Firmware(FirmwareConfig(scenario=Scenario((Fault("unplug", line=1, seconds=10),))))
    lost = []
    transport = SimulatedTransport(firmware)
    await transport.open(lambda _: None, lost.append)
    await asyncio.sleep(1)
    transport.write(b"M400\n")
    await asyncio.sleep(1)
    assert "was unplugged" in str(lost[0])
    again = SimulatedTransport(firmware, clock=transport._clock)
    with pytest.raises(NoSuchPort, match="its cable is pulled"):
        await again.open(lambda _: None, lost.append)
    await asyncio.sleep(10)
    await again.open(lambda _: None, lost.append)
    again.close()
