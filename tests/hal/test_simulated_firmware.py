import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcode.framing import frame
from hal.simulated.firmware import Firmware, FirmwareConfig
from hal.simulated.oracle import Oracle


class Bench:
    """A booted firmware on a clock moved by hand."""

    def __init__(self, **config):
        self.oracle = Oracle(keep=None)
        self.firmware = Firmware(FirmwareConfig(noise=0.0, **config), self.oracle)
        self.firmware.reset(0.0)
        self.now = 0.0
        self.boot = self.run(1.0)

    def run(self, seconds):
        """Let time pass, event by event; return [(time, line)]."""
        end, replies = self.now + seconds, []
        while (due := self.firmware.next_event()) is not None and due <= end:
            replies += [(due, line) for line in self.firmware.advance(due).decode().splitlines()]
        self.firmware.advance(end)
        self.now = end
        return replies

    def send(self, *lines, seconds=0.0):
        self.firmware.receive("".join(f"{line}\n" for line in lines).encode(), self.now)
        return [line for _, line in self.run(seconds)]


def test_nothing_is_sent_before_it_is_switched_on():
    firmware = Firmware()
    firmware.receive(b"M105\n", 1.0)
    assert firmware.advance(100.0) == b""
    assert firmware.next_event() is None


def test_booting_sends_the_banner_and_no_ok():
    bench = Bench()
    assert bench.boot[0][1] == "start"
    assert not [line for _, line in bench.boot if line.startswith("ok")]
    assert bench.boot[-1][0] < 0.05


@pytest.mark.parametrize("meatpack", [True, False])
def test_m115_reports_whether_it_unpacks_lines(meatpack):
    assert f"Cap:MEATPACK:{meatpack:d}" in Bench(meatpack=meatpack).send("M115")


def test_bytes_received_while_booting_are_lost():
    firmware = Firmware()
    firmware.reset(0.0)
    firmware.receive(b"M105\n", 0.0)
    assert b"ok" not in firmware.advance(10.0)


def test_m109_waits_as_marlin_does():
    bench = Bench()
    bench.firmware.receive(b"M109 S200\n", bench.now)
    replies = bench.run(120)
    reports = [(at, line) for at, line in replies if line.startswith(" T:")]
    assert [at for at, _ in reports[:3]] == pytest.approx([1.0, 2.0, 3.0])
    assert reports[0][1] == " T:21.30 /200.00 B:21.30 /0.00 @:0 B@:0 W:?"  # the next reading switches it on
    assert [line.split("W:")[1] for _, line in reports[-10:]] == [str(n) for n in range(9, -1, -1)]
    busy = [at for at, line in replies if line == "echo:busy: processing"]
    assert busy[:2] == pytest.approx([3.0, 5.0])
    assert replies[-1][1] == "ok"
    assert [line for _, line in replies].count("ok") == 1
    assert 70 < replies[-1][0] < 100


def test_m109_s_does_not_wait_for_cooling_and_m109_r_does():
    bench = Bench()
    bench.send("M109 S200", seconds=120)
    assert bench.send("M109 S150") == ["ok"]
    assert bench.send("M109 R100", seconds=1)[-1].endswith("W:?")
    assert bench.send(seconds=200)[-1] == "ok"
    assert bench.firmware.board.hotend.temperature(bench.now) == pytest.approx(100, abs=1)


def test_m109_r_for_an_unreachable_temperature_gives_up():
    bench = Bench()
    bench.send("M104 S50", seconds=60)
    assert bench.send("M109 R5", seconds=900)[-1] == "ok"


@pytest.mark.parametrize("emergency_parser", [False, True])
def test_m108_ends_the_wait(emergency_parser):
    bench = Bench(emergency_parser=emergency_parser)
    bench.send("M109 S200", seconds=5.5)
    waiting = bench.send("M105", seconds=1.0)
    assert waiting
    assert not [line for line in waiting if line.startswith("ok")]
    assert [line[:4] for line in bench.send("M108")] == ["ok", "ok T", "ok"]


def test_auto_reports_come_in_the_middle_of_a_dwell():
    bench = Bench()
    assert bench.send("M155 S1", "G4 S3.5") == ["ok"]
    replies = bench.run(3.5)
    assert [line.split(":")[0] for _, line in replies] == [" T", " T", "echo", " T", "ok"]
    assert bench.send("M155 S0", seconds=10) == ["ok"]


def test_the_ok_of_a_move_is_held_back_while_the_planner_is_full():
    bench = Bench()
    for n in range(1, 16):
        assert bench.send(f"G1 X{10 * n} F600") == ["ok"]
    assert bench.send("G1 X160 F600") == []
    replies = bench.run(5)
    assert replies[0][1] == "ok"
    assert replies[0][0] == pytest.approx(2.0, abs=0.02)


def test_m400_waits_for_the_moves():
    bench = Bench()
    bench.send("G1 X100 F600")
    bench.firmware.receive(b"M400\n", bench.now)
    replies = bench.run(20)
    assert replies[-1][1] == "ok"
    assert replies[-1][0] - 1.0 == pytest.approx(10.1, abs=0.02)
    assert len([line for _, line in replies if "busy" in line]) == 5


def test_homing_takes_long_from_afar_and_short_from_near():
    bench = Bench()
    bench.firmware.receive(b"G28\n", bench.now)
    replies = bench.run(60)
    assert replies[-2][1] == "X:0.00 Y:0.00 Z:0.00 E:0.00 Count X:0 Y:0 Z:0"
    assert 15 < replies[-1][0] - 1 < 19
    began = bench.now
    bench.firmware.receive(b"G28\n", bench.now)
    assert bench.run(60)[-1][0] - began < 5


def test_positions_follow_the_modes():
    bench = Bench()
    bench.send("M302 P1", "G20", "G1 X1 Y2 E1", "G21", seconds=20)
    bench.send("G91", "G1 X1 E1", "G90", "M83", seconds=20)
    bench.send("G1 X30 E0.5", "G92 X0", "G1 X5", "M114", seconds=20)
    assert bench.send("M114")[0] == "X:5.00 Y:50.80 Z:0.00 E:26.90 Count X:2800 Y:4064 Z:0"


def test_cold_extrusion_is_prevented():
    bench = Bench()
    assert bench.send("G1 E5 F300") == ["echo: cold extrusion prevented", "ok"]
    bench.send("M109 S200", seconds=120)
    assert bench.send("G1 E10 F300") == ["ok"]


def test_arcs_move_and_invalid_ones_are_refused():
    bench = Bench()
    assert bench.send("G1 X10 F6000", "G2 X20 Y10 I10 J0", "G3 X10 Y0 R10", seconds=5) == ["ok"] * 3
    assert bench.send("G2 X5", "M114")[0] == "Error:G2/G3 bad parameters"
    assert bench.send("M114")[0].startswith("X:10.00 Y:0.00")


def test_m410_stops_the_head_where_it_is():
    bench = Bench()
    bench.send("G1 X100 F600", seconds=5.0)
    assert bench.send("M410", seconds=0.9) == []
    assert bench.send(seconds=0.2) == ["ok"]
    assert 40 < float(bench.send("M114")[0].split()[0][2:]) < 50


def test_marlin_2_1_drops_a_repeat_silently():
    bench = Bench(marlin21=True)
    lines = [frame(n, b"G4 P0").decode().strip() for n in range(1, 4)]
    assert bench.send(*lines) == ["ok"] * 3
    assert bench.send(lines[2], lines[1]) == []
    assert bench.send(lines[0]) == ["Error:Line Number is not Last Line Number+1, Last Line: 3", "Resend: 4", "ok"]


def test_a_reset_forgets_everything_but_the_heat():
    bench = Bench()
    bench.send("M104 S200", "G91", "M110 N50", seconds=10)
    bench.firmware.reset(bench.now)
    assert bench.run(1)[0][1] == "start"
    assert re.match(r"ok T:[3-9]\d\.\d\d /0\.00", bench.send(frame(1, b"M105").decode().strip())[0])


def test_m0_waits_for_the_user_if_prompts_are_supported():
    bench = Bench(host_actions=True, emergency_parser=True)
    assert bench.send("M0 Look here", seconds=2.5)[-1] == "echo:busy: paused for user"
    assert bench.send("M108") == ["ok", "ok"]
    assert Bench().send("M0") == ['echo:Unknown command: "M0"', "ok"]


def test_a_baudrate_delays_both_ways():
    bench = Bench(baudrate=9600)
    bench.firmware.receive(b"G4 P0\n", bench.now)
    replies = bench.run(1)
    assert replies == [(pytest.approx(1.0 + (6 + 3) * 10 / 9600), "ok")]


def test_commands_take_time_if_configured():
    bench = Bench(execution_time=0.002)
    bench.firmware.receive(b"G4 P0\nG4 P0\n", bench.now)
    assert [at for at, _ in bench.run(1)] == pytest.approx([1.002, 1.004])


def test_underruns_are_counted_but_not_pauses():
    bench = Bench()
    bench.send("G1 X1 F6000", seconds=0.5)
    bench.send("G1 X2 F6000", seconds=5)
    assert bench.oracle.counters.underruns == 1
    bench.send("G1 X3 F6000", "M400", seconds=0.5)
    bench.send("G1 X4 F6000", seconds=5)
    assert bench.oracle.counters.underruns == 1


def test_a_line_is_cut_at_95_characters():
    bench = Bench()
    bench.send("M117 " + "x" * 120)
    assert bench.oracle.commands[-1].command == "M117 " + "x" * 90


def test_the_oracle_counts_errors():
    bench = Bench()
    bench.send("N1 G4 P0*1", "N7 G4 P0*111", "x" * 300)
    counters = bench.oracle.counters
    assert (counters.bad_checksums, counters.resends) == (1, 1)
    assert counters.overruns > 0
    bench.send(seconds=1)
    bench.send("N7 M105*32")
    assert counters.out_of_order == 1


@given(st.lists(st.binary(max_size=60), max_size=20), st.booleans())
def test_no_bytes_break_or_hang_it(pieces, plain):
    bench = Bench(emergency_parser=not plain, host_actions=not plain, advanced_ok=not plain)
    for piece in pieces:
        bench.firmware.receive(piece, bench.now)
        bench.run(0.01)
    bench.firmware.reset(bench.now)
    bench.run(1)
    assert bench.send("G4 P0")[-1].startswith("ok")


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_the_result_is_the_same_however_the_bytes_are_split(seed, size):
    dialogue = b"".join(frame(n, b"G1 X%d F6000" % n) for n in range(1, 6)) + b"\nM114\n"
    cuts = random.Random(seed)
    whole, cut = Bench(), Bench()
    whole.firmware.receive(dialogue, whole.now)
    at = 0
    while at < len(dialogue):
        step = cuts.randint(1, size)
        cut.firmware.receive(dialogue[at : at + step], cut.now)
        at += step
    assert [line for _, line in cut.run(5)] == [line for _, line in whole.run(5)]


_COMMANDS = st.sampled_from(
    ["G1 X10 F3000", "G1 X20", "M105", "G4 P50", "M104 S50", "M155 S1", "G28", "M400", "M9999", "M114", "N5 M105*1"]
)


@given(st.lists(st.tuples(_COMMANDS, st.floats(0, 3)), max_size=30), st.integers(0, 5))
def test_the_same_input_and_seed_give_the_same_bytes(script, seed):
    def play():
        firmware = Firmware(FirmwareConfig(seed=seed))
        firmware.reset(0.0)
        now, output = 1.0, firmware.advance(1.0)
        for line, pause in script:
            firmware.receive(line.encode() + b"\n", now)
            now += pause
            output += firmware.advance(now)
        return output

    assert play() == play()


@given(st.lists(st.tuples(_COMMANDS, st.floats(0, 3)), max_size=20), st.floats(0.001, 0.5))
def test_advancing_more_often_changes_nothing(script, step):
    def play(step):
        firmware = Firmware(FirmwareConfig())
        firmware.reset(0.0)
        now, output = 1.0, firmware.advance(1.0)
        for line, pause in script:
            firmware.receive(line.encode() + b"\n", now)
            end = now + pause
            while step is not None and now + step < end:
                now += step
                output += firmware.advance(now)
            now = end
            output += firmware.advance(now)
        return output

    assert play(step) == play(None)
