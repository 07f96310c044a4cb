"""Connections that are slow, damaged, cut or lost; printers that are silent, or never stop sending."""

from time import process_time

import pytest

from daemon.bridge.words import JobState as S
from support.fake_firmware import MARLIN, FakeFirmware, cap, lines, rig
from support.fake_printers import Prusa, Repetier, Teacup

MOVES = [f"G1 X{n}" for n in range(400)]


# -- latency --


@pytest.mark.parametrize("round_trip", [0.0, 0.005, 0.02, 0.1, 0.5])
@pytest.mark.parametrize("takes", [0.0, 0.005, 0.03])
async def test_a_damaged_line_costs_one_repeat_whatever_the_latency(tmp_path, round_trip, takes):
    class Far(FakeFirmware):
        move_seconds = takes
        latency = round_trip / 2
        damaged = 0

        def transfer(self, raw):
            if "G1 X20*" in raw and not self.damaged:
                self.damaged += 1
                return raw.replace("X20", "X21")
            return raw

    async with rig(tmp_path, Far) as host:
        await host.print(lines(MOVES[:200]))
        began = host.now
        await host.expect_end(S.COMPLETED, within=300)
        assert host.firmware.moves == MOVES[:200]
        assert host.firmware.damaged
        sent = [each for each in host.firmware.arrivals if each.command.startswith("G1 X")]
        assert len(sent) <= 200 + 12, "the lines on their way are sent again, not all that follow"
        assert host.now - began < 3 + 200 * max(round_trip, takes) * 1.2


@pytest.mark.parametrize("round_trip", [0.0, 0.02, 0.1])
async def test_damage_all_the_time_costs_in_proportion(tmp_path, round_trip):
    class Noisy(FakeFirmware):
        latency = round_trip / 2
        rx_size = 128
        line_count = 0
        damaged = 0

        def transfer(self, raw):
            self.line_count += 1
            if self.line_count % 37 or "G1" not in raw:
                return raw
            self.damaged += 1
            return raw.replace("G1", "G9", 1)

    async with rig(tmp_path, Noisy) as host:
        await host.print_moves(MOVES, within=300)
        assert host.firmware.damaged > 5
        assert len([each for each in host.firmware.arrivals if "X" in each.command]) < 400 * 1.35


@pytest.mark.parametrize("seconds", [5, 20, 50])
async def test_a_print_continues_after_a_move_that_is_answered_late(tmp_path, seconds):
    """Nothing is sent meanwhile, not even a busy message."""

    class Late(FakeFirmware):
        move_seconds = 0.01
        resets = False
        was_late = False

        def on(self, number, command, raw):
            if command == "G1 X50" and not self.was_late:
                self.was_late = True
                return float(seconds), "ok"
            return None

    async with rig(tmp_path, Late) as host:
        await host.print_moves(MOVES[:100], within=seconds + 200)


@pytest.mark.parametrize("lost", ["to the board", "from the board", "both"])
@pytest.mark.parametrize("seconds", [10, 50])
async def test_a_print_continues_after_its_connection_has_lost_everything_for_a_while(tmp_path, lost, seconds):
    class Drops(FakeFirmware):
        move_seconds = 0.01
        resets = False
        until = 0.0
        hit = False

        def receive(self, data):
            if not (self.now < self.until and lost != "from the board"):
                super().receive(data)

        def _deliver(self, data):
            if not (self.now < self.until and lost != "to the board"):
                super()._deliver(data)

        def on(self, number, command, raw):
            if command == "G1 X50" and not self.hit:
                self.hit = True
                self.until = self.now + seconds

    async with rig(tmp_path, Drops) as host:
        await host.print_moves(MOVES[:100], within=seconds + 300)


# -- gone and back --


async def test_a_host_reattaches_to_a_board_whose_cable_is_back(tmp_path):
    class Keeps(FakeFirmware):
        move_seconds = 0.1
        resets = False

    async with rig(tmp_path, Keeps, printer={"reattach_s": 120.0}) as host:
        await host.print(lines(MOVES[:100]))
        await host.sleep(3)
        host.firmware.unplug()
        await host.sleep(20)
        host.firmware.plug()
        await host.expect_end(S.COMPLETED, within=120)
        assert host.firmware.moves == MOVES[:100]


async def test_a_host_does_not_reattach_to_a_board_that_was_switched_off(tmp_path):
    class Restarts(FakeFirmware):
        move_seconds = 0.1
        resets = False

    async with rig(tmp_path, Restarts, printer={"reattach_s": 120.0}) as host:
        await host.print(lines(MOVES[:100]))
        await host.sleep(3)
        host.firmware.unplug()
        await host.sleep(5)
        host.firmware.boot()
        host.firmware.plug()
        assert await host.wait_for_end(within=120) in (S.INTERRUPTED, S.FAILED)
        count = len(host.firmware.moves)
        await host.until(lambda: host.ready, 60)
        await host.sleep(30)
        assert len(host.firmware.moves) == count


async def test_a_board_that_resets_itself_ends_the_print_and_is_ready_again(tmp_path):
    class Browns(FakeFirmware):
        move_seconds = 0.05

        def on(self, number, command, raw):
            if command == "G1 X50":
                self.boot()
                return ()
            return None

    async with rig(tmp_path, Browns) as host:
        await host.print(lines(MOVES[:100]))
        assert await host.wait_for_end(within=30) in (S.INTERRUPTED, S.FAILED)
        assert "restart" in await host.error() or "reset" in await host.error()
        await host.until(lambda: host.ready, 60)


# -- connecting --


async def test_a_printer_heating_for_another_host_is_connected_once_it_answers(tmp_path):
    class Heats(FakeFirmware):
        banner = ()
        resets = False
        free_at = 0.0

        def boot(self):
            super().boot()
            self.free_at = self.now + 45
            self._steps = iter(())
            self._tell()

        def _tell(self):
            if self.now < self.free_at:
                self.say(" T:59.1 /200.0 B:60.0 /60.0 @:127 B@:0 W:?", "echo:busy: processing")
                self.later(1.0, self._tell)
            else:
                self._steps = None
                self._read()

    async with rig(tmp_path, Heats, printer={"connect": False}) as host:
        await host.until(lambda: host.ready, 75)
        assert not host.log_entries("unreachable")
        assert len(host.log_entries("the printer is busy")) == 1
        await host.print(lines(MOVES[:20]))
        await host.expect_end(S.COMPLETED)


@pytest.mark.parametrize("noise", [b"\x00\xff\xfe\x80garbage\xf0", b"\n\n\n", b"?" * 300, b"\x1b[2J\x07"])
async def test_garbage_before_the_banner_is_ignored(tmp_path, noise):
    class Noisy(FakeFirmware):
        @property
        def banner(self):
            return (noise, "", "start", "echo:Marlin 2.0.9")

    async with rig(tmp_path, Noisy) as host:
        await host.print_moves(MOVES[:20])


@pytest.mark.parametrize("delay", [0.0, 1.5, 4.0, 9.0])
async def test_a_board_that_boots_for_long_is_waited_for(tmp_path, delay):
    class Boots(FakeFirmware):
        def boot(self):
            super().boot()
            self._steps = iter(())
            self._rx.clear()
            self.later(delay, self._up)

        def _up(self):
            self._steps = None
            self._rx.clear()
            self.say("start", "echo:SD init fail")

        banner = ()

    async with rig(tmp_path, Boots) as host:
        await host.print_moves(MOVES[:20])


# -- alarms --


async def test_a_teacup_that_heats_in_silence_is_no_alarm(tmp_path):
    class Heats(Teacup):
        def on(self, number, command, raw):
            if command == "G1 X1":
                return 90.0, "ok"
            return super().on(number, command, raw)

    async with rig(tmp_path, Heats) as host:
        await host.print("M104 S200\n" + lines(MOVES[:50]))
        await host.expect_end(S.COMPLETED, within=600)
        assert not host.log_entries("no temperature")


class Waits(Teacup):
    """Teacup's M116: acknowledged at once; the next move waits, and nothing is read meanwhile (recorded)."""

    m115 = (*Teacup.m115, "cap:AUTOREPORT_TEMP:1")
    heat_rate = 0.2
    waits = False

    def on(self, number, command, raw):
        if command.startswith("M116"):
            self.waits = True
            return ("ok",)
        return self._move() if command.startswith("G1") else super().on(number, command, raw)

    def _move(self):
        while self.waits and abs(self.read("T")[0] - self.read("T")[1]) > 5:
            yield "Waiting for target temp"
            yield 2.0
        self.waits = False
        yield "ok"


@pytest.mark.parametrize("from_file", [True, False])
async def test_a_teacup_whose_move_waits_for_heat_is_no_alarm(tmp_path, from_file):
    async with rig(tmp_path, Waits) as host:
        if from_file:
            await host.print("M104 S200\nM116\n" + lines(MOVES[:50]))
            await host.expect_end(S.COMPLETED, within=1200)
        else:
            await host.gcode("M104 S200", "M116")
            await host.print_moves(MOVES[:50], within=1200)
        assert not host.log_entries("no temperature")


async def test_a_wait_for_all_heat_can_be_cancelled(tmp_path):
    async with rig(tmp_path, Waits) as host:
        await host.print("M104 S200\nM140 S60\nM116\n" + lines(MOVES[:50]))
        await host.sleep(60)
        await host.command_job("cancel")
        await host.expect_end(S.CANCELLED, within=10)
        assert host.firmware.heat["T"][1] == host.firmware.heat["B"][1] == 0
        assert not host.firmware.moves


@pytest.mark.parametrize("first", ["M155 S0", "M105"])
async def test_a_long_command_that_is_busy_is_no_alarm(tmp_path, first):
    class Long(FakeFirmware):
        m115 = (MARLIN, *cap(AUTOREPORT_TEMP=1, EMERGENCY_PARSER=0))

        def on(self, number, command, raw):
            return self._level() if command.startswith("G29") else None

        def _level(self):
            for _ in range(100):
                yield 2.0
                yield "echo:busy: processing"
            yield "ok"

    async with rig(tmp_path, Long) as host:
        await host.print(f"{first}\nM140 S60\nG29\n" + lines(MOVES[:50]))
        await host.expect_end(S.COMPLETED, within=400)
        assert not host.log_entries("no temperature")
        assert host.firmware.open_count == 1


async def test_a_move_that_is_never_acknowledged_ends_the_print_with_a_reason(tmp_path):
    """Reports come, so the connection works; but nothing is acknowledged, and nothing explains that."""

    class Stuck(FakeFirmware):
        m115 = (MARLIN, *cap(AUTOREPORT_TEMP=1, EMERGENCY_PARSER=0))

        def on(self, number, command, raw):
            return (1e6,) if command == "G1 X40" else None

    async with rig(tmp_path, Stuck) as host:
        await host.print("M140 S60\n" + lines(MOVES[:100]))
        await host.until(lambda: host.firmware.arrival_times("G1 X40"))
        await host.expect_end(S.INTERRUPTED, within=600)
        assert "no answer to 'G1 X40'" in await host.error()


@pytest.mark.parametrize("board", [Prusa, Repetier])
async def test_a_firmware_that_turns_its_heaters_off_by_itself_is_no_alarm(tmp_path, board):
    async with rig(tmp_path, board) as host:
        await host.print("M104 S200\n" + lines(MOVES[:50]))
        await host.expect_end(S.COMPLETED)
        assert not host.log_entries("not_protected")


# -- bounds --


async def test_an_endless_answer_is_not_stored_completely(tmp_path):
    class Talks(FakeFirmware):
        def on(self, number, command, raw):
            return (*["echo:something about it"] * 20_000, "ok") if command.startswith("M503") else None

    async with rig(tmp_path, Talks) as host:
        answer = await host.api.service.connection.printer.send("M503")
        assert len(answer) < 5000
        assert answer[-1] == "ok"


async def test_a_print_continues_after_text_without_a_line_end(tmp_path):
    class Talks(FakeFirmware):
        def on(self, number, command, raw):
            return (*[b"x" * 4000] * 200, b"\n", "ok") if command == "G1 X5" else None

    async with rig(tmp_path, Talks) as host:
        await host.print_moves(MOVES[:50], within=120)


async def test_a_line_with_a_thousand_blanks_is_read_quickly(tmp_path):
    class Blanks(FakeFirmware):
        def on(self, number, command, raw):
            if command == "G1 X5":
                return "ok T:" + " " * 1000, "T:2 /" + " " * 1000 + "B", " " * 3000, "echo:" + "Resend: " * 300, "ok"
            return None

    async with rig(tmp_path, Blanks) as host:
        began = process_time()
        await host.print_moves(MOVES[:50], within=120)
        assert process_time() - began < 5
