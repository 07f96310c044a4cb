"""Oks that are glued, doubled, early or missing, and unknown commands: each line is executed once, without delay."""

import pytest

from daemon.bridge.words import JobState as S
from support.fake_firmware import MARLIN, SQUARE, FakeFirmware, cap, lines, rig
from support.fake_printers import Klipper, Malyan, Marlin1, Prusa, Repetier, Smoothie, Teacup

MOVES = [f"G1 X{n}" for n in range(100)]


def slow(base, seconds=0.05):
    """Return that firmware with moves that take time."""
    return type("Slow", (base,), {"move_seconds": seconds})


@pytest.mark.parametrize("board", [FakeFirmware, Marlin1, Klipper, Malyan, Prusa, Repetier, Smoothie, Teacup])
async def test_each_firmware_makes_each_move_once_and_in_order(tmp_path, board):
    async with rig(tmp_path, slow(board)) as host:
        await host.print(f"M104 S200\nM105\n{lines(MOVES)}")
        await host.reach(S.COMPLETED, S.FAILED)
        assert (host.state, await host.error()) == (S.COMPLETED, "")
        assert host.firmware.moves == MOVES
        assert host.firmware.executed_at[-1] - host.firmware.executed_at[0] < 15


# -- unknown commands --

UNKNOWN = {
    "as Marlin 1.0 echoes it, number and all": lambda raw, command: f'echo:Unknown command: "{raw}"',
    "as Marlin 2 does": lambda raw, command: f'echo:Unknown command: "{command}"',
    "as Repetier does, by its parts": lambda raw, command: f"Unknown command:{raw.split('*')[0]}.00 ",
    "as Prusa does": lambda raw, command: f"Unknown M code: {command}",
    "as Klipper does": lambda raw, command: f'// Unknown command:"{command.split()[0]}"',
    "as Teacup does": lambda raw, command: f"E: Bad M-code {command[1:].split()[0]}",
    "as RepRapFirmware does": lambda raw, command: f"Warning: {command.split()[0]}: Command is not supported",
}


@pytest.mark.parametrize("form", UNKNOWN)
@pytest.mark.parametrize("command", ["M73 P10 R5", "M862.3 P MK3S"])
async def test_an_unknown_command_costs_no_time(tmp_path, form, command):
    class Unknowing(FakeFirmware):
        def on(self, number, text, raw):
            return (UNKNOWN[form](raw, text), "ok") if text == command else None

    async with rig(tmp_path, Unknowing) as host:
        await host.print(f"{SQUARE}{command}\n{SQUARE}{command}\n{SQUARE}")
        began = host.now
        await host.expect_end(S.COMPLETED)
        assert host.now - began < 2
        assert host.firmware.job_commands[:17] == f"{SQUARE}{command}\n{SQUARE}{command}\n{SQUARE}".splitlines()


@pytest.mark.parametrize("says_wait", [True, False])
async def test_unknown_commands_do_not_slow_a_print_down(tmp_path, says_wait):
    board = slow(type("Waits", (Repetier,), {"says_wait": says_wait}), 0.01)
    text = "".join(f"G1 X{n}\n" + (f"M73 P{n}\n" if n % 10 == 0 else "") for n in range(100))
    async with rig(tmp_path, board) as host:
        await host.print(text)
        began = host.now
        await host.expect_end(S.COMPLETED)
        assert host.now - began < 6
        assert host.firmware.moves == MOVES


async def test_an_older_repetier_sends_wait_and_ok_after_the_echo(tmp_path):
    class Old(FakeFirmware):
        banner = ("start", "Info:External Reset")
        m115 = (
            (
                "FIRMWARE_NAME:Repetier_0.92.9 FIRMWARE_URL:https://x PROTOCOL_VERSION:1.0 MACHINE_TYPE:Mendel "
                "EXTRUDER_COUNT:1 REPETIER_PROTOCOL:3"
            ),
        )
        at = 0.0

        def boot(self):
            super().boot()
            self.every(1.0, lambda: self.now - self.at > 1 and self.say("wait"))

        def on(self, number, command, raw):
            self.at = self.now
            if command.startswith("M73"):
                return f"Unknown command:N{number} M73 P1.00 ", f"ok {number}"
            return (f"ok {number}",) if number and command != "M105" else None

    text = "".join(f"G1 X{n}\n" + (f"M73 P{n}\n" if n % 20 == 0 else "") for n in range(100))
    async with rig(tmp_path, Old) as host:
        await host.print(text)
        began = host.now
        await host.expect_end(S.COMPLETED)
        assert host.now - began < 6
        assert host.firmware.moves == MOVES


@pytest.mark.parametrize("wait", [True, False])
async def test_a_repetier_that_answers_before_its_ok_ends_a_print_at_once(tmp_path, wait):
    """0.92 and its kin: an answer, then a bare ok; 1.0 says its ok first."""

    class Old(FakeFirmware):
        banner = ("start", "Info:External Reset")
        m115 = ("FIRMWARE_NAME:Repetier_0.92.9 FIRMWARE_URL:https://x PROTOCOL_VERSION:1.0 EXTRUDER_COUNT:1",)

        def boot(self):
            super().boot()
            if wait:
                self.every(1.0, lambda: self.say("wait"))

        def on(self, number, command, raw):
            if command.startswith("M73"):
                return f"Unknown command:N{number} M73 P10.00 R5.00 ", "ok"
            return None

    async with rig(tmp_path, Old) as host:
        await host.print(f"{SQUARE}M73 P10 R5\n{SQUARE}")
        began = host.now
        await host.expect_end(S.COMPLETED)
        assert host.now - began < 3
        await host.print("M105\nM114\n" + SQUARE * 3)
        await host.expect_end(S.COMPLETED, within=10)


# -- glued, doubled, missing --


@pytest.mark.parametrize("tool", ["T0", "M83\nT0"])
async def test_an_ok_glued_to_a_message_about_a_tool_is_found(tmp_path, tool):
    async with rig(tmp_path, slow(Prusa)) as host:
        await host.print(f"{tool}\n" * 4 + lines(MOVES))
        began = host.now
        await host.expect_end(S.COMPLETED)
        assert host.now - began < 10
        assert host.firmware.moves == MOVES


async def test_the_second_answer_to_an_m105_answers_no_other_command(tmp_path):
    async with rig(tmp_path, slow(Prusa, 0.2)) as host:
        await host.print(lines(f"{move}\nM105" if n % 5 == 0 else move for n, move in enumerate(MOVES)))
        ahead = 0
        for n in range(8):
            await host.sleep(2)
            await host.gcode("M105", "M105", f"M118 here-{n}")
            sent = len([each for each in host.firmware.arrivals if each.raw.startswith("N")])
            ahead = max(ahead, sent - len(host.firmware.executed))
        await host.expect_end(S.COMPLETED)
        assert ahead <= 5, "no more lines are on their way than the board holds"
        assert host.firmware.moves == MOVES


@pytest.mark.parametrize("ok", ["okok", "ok ok", "ok\r", " ok", "ok T:22.0 /0.0", "OK", "ok\0", "\0ok", "ok 12"])
async def test_odd_forms_of_ok_are_oks(tmp_path, ok):
    class Odd(FakeFirmware):
        def on(self, number, command, raw):
            return (0.01, f"{ok}\n".encode()) if command == "G1 X50" else None

    async with rig(tmp_path, Odd) as host:
        await host.print_moves(MOVES, within=8)


@pytest.mark.parametrize("lost", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "noise",
    [
        "",
        "T:22.0 /0.0 B:22.0 /0.0",
        "X:1.00 Y:2.00 Z:0.30 E:0.00 Count X:80 Y:160 Z:40",
        "E0:4320 RPM PRN1:0 RPM E0@:128 PRN1@:0",
    ],
)
async def test_lost_oks_are_found_despite_automatic_reports(tmp_path, lost, noise):
    class Loses(FakeFirmware):
        move_seconds = 0.02
        m115 = (MARLIN, *cap(AUTOREPORT_TEMP=1, AUTOREPORT_POS=1))
        loses = frozenset(f"G1 X{40 + n}" for n in range(lost))

        def on(self, number, command, raw):
            if command == "G1 X0" and noise:
                self.every(1.0, lambda: self.say(noise))
            if command in self.loses:
                return ()
            return None

    async with rig(tmp_path, Loses) as host:
        await host.print_moves(MOVES, within=120)


async def test_a_lost_line_is_sent_again(tmp_path):
    class Deafened(FakeFirmware):
        missed = 0

        def transfer(self, raw):
            if "G1 X30*" in raw and not self.missed:
                self.missed += 1
                return None
            return raw

    async with rig(tmp_path, Deafened) as host:
        await host.print_moves(MOVES)
        assert host.firmware.missed


@pytest.mark.parametrize("board", [Marlin1, Smoothie, FakeFirmware])
async def test_a_line_without_its_beginning_costs_only_seconds(tmp_path, board):
    """The line is then an unknown command or an error; if it was alone in flight, no resend request follows."""

    class Cut(slow(board)):
        cut = 0

        def transfer(self, raw):
            if raw.startswith("N") and "G1 X30*" in raw and not self.cut:
                self.cut += 1
                return raw.partition("G1 ")[2]
            return raw

        def on(self, number, command, raw):
            if command.startswith("X30"):
                return 'echo:Unknown command: "X30"', "ok"
            return super().on(number, command, raw)

    async with rig(tmp_path, Cut) as host:
        await host.print(lines(MOVES))
        began = host.now
        await host.expect_end(S.COMPLETED, within=60)
        assert host.firmware.cut
        assert host.firmware.moves == MOVES
        assert host.now - began < 100 * 0.05 + 5


# -- ok on receipt --


async def test_a_print_ends_when_the_head_is_at_rest_even_if_ok_means_received(tmp_path):
    async with rig(tmp_path, slow(Repetier, 5.0)) as host:
        await host.print(lines(MOVES[:8]))
        await host.expect_end(S.COMPLETED, within=120)
        rest = host.firmware.executed_at[host.firmware.executed.index("G1 X7")] + 5.0
        assert host.now >= rest - 0.1


async def test_a_pause_is_reached_when_the_head_is_at_rest(tmp_path):
    async with rig(tmp_path, slow(Repetier, 2.0)) as host:
        await host.print(lines(MOVES))
        await host.until(lambda: len(host.firmware.executed) > 8)
        await host.command_job("pause", "pause")
        await host.reach(S.PAUSED, within=120)
        count = len(host.firmware.moves)
        assert not host.firmware._queue
        await host.sleep(30)
        assert len(host.firmware.moves) == count


async def test_repeated_resend_requests_for_a_damaged_line_are_one(tmp_path):
    class Damaged(slow(Repetier, 0.02)):
        hits = 0

        def transfer(self, raw):
            if "G1 X30*" in raw and self.hits < 1:
                self.hits += 1
                return raw.replace("X30", "X31")
            return raw

    async with rig(tmp_path, Damaged) as host:
        await host.print_moves(MOVES)
        assert host.firmware.hits


async def test_many_resend_requests_at_once_are_one(tmp_path):
    """Twelve of them had piled up: they count as one request."""

    class Piled(slow(Repetier, 0.02)):
        piled = False

        def transfer(self, raw):
            if "G1 X30*" in raw and not self.piled:
                self.piled = True
                number = self.last + 1
                self.say(f"\r\nResend:{number}\r\nok\r\n".encode() * 12)
                return None
            return raw

    async with rig(tmp_path, Piled) as host:
        await host.print_moves(MOVES)
        assert host.firmware.piled


async def test_the_greeting_ignores_the_answer_to_a_cut_hello(tmp_path):
    """Marlin 2.1 boots while the host says hello: its tail is an unknown command that gets an ok."""

    class Cut(FakeFirmware):
        greeted = 0

        def transfer(self, raw):
            if "M110" in raw and not self.greeted:
                self.greeted += 1
                self.say('echo:Unknown command: "125"', "ok")
                return None
            return raw

    async with rig(tmp_path, Cut) as host:
        await host.print_moves(MOVES)
        assert host.firmware.greeted


async def test_a_resend_request_with_a_damaged_number_is_probed(tmp_path):
    class Garbled(FakeFirmware):
        hit = False

        def transfer(self, raw):
            if "G1 X30*" in raw and not self.hit:
                self.hit = True
                self._rx.clear()
                self.say(f"Error:checksum mismatch, Last Line: {self.last}", "Resend: 99\x1a4", "ok")
                return None
            return raw

    async with rig(tmp_path, Garbled) as host:
        await host.print_moves(MOVES, within=90)
        assert host.firmware.hit
