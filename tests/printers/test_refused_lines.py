"""A line that can never be acknowledged does not end the print: it is cleaned, cut, or left out."""

import pytest

from daemon.bridge.words import JobState as S
from support.fake_firmware import SQUARE, FakeFirmware, rig
from support.fake_printers import MARLIN_2, Klipper, Marlin1, Repetier

NAME = "bracket_for_the_left_side_with_rounded_edges_and_three_holes_version_12_final.stl id:0 copy 0"
OBJECT = "EXCLUDE_OBJECT_DEFINE NAME=cube CENTER=100,100 POLYGON=[{}]".format(
    ",".join(f"[{n}.123,{n}.456]" for n in range(12))
)


def moves(firmware):
    return [command for command in firmware.executed if command.startswith(("G1", "G28"))]


@pytest.mark.parametrize(
    "text",
    ["M117 Layer: 3", "M117 ** go **", "M118 echo: 1 * 2", "M117 a:b:c:d", "M117 *", "M117 :", "M486 Apart:1*2"],
)
async def test_a_text_with_special_characters_of_the_firmware_does_not_stop_the_print(tmp_path, text):
    async with rig(tmp_path, Marlin1) as host:
        await host.print(f"{SQUARE}{text}\n{SQUARE}")
        await host.expect_end(S.COMPLETED, within=40)
        assert moves(host.firmware) == (SQUARE * 2).split("\n")[:-1]


@pytest.mark.parametrize(
    "text", ["M117 Layer: 3 * 4", "M117 100% ; not a comment (here)", "M118 A1 P0 action:notification x"]
)
async def test_a_client_s_text_with_special_characters_does_not_stop_the_print(tmp_path, text):
    class Slow(Marlin1):
        def on(self, number, command, raw):
            return (0.1, "ok") if command.startswith("G1") else super().on(number, command, raw)

    async with rig(tmp_path, Slow) as host:
        await host.print(SQUARE * 10)
        await host.sleep(1)
        await host.gcode(text)
        await host.expect_end(S.COMPLETED, within=60)
        assert moves(host.firmware) == (SQUARE * 10).split("\n")[:-1]


@pytest.mark.parametrize("command", ["M117", "M118", "M486 A"])
async def test_a_text_that_is_refused_repeatedly_is_left_out(tmp_path, command):
    """Not everything that a firmware cannot read is known."""

    class Refuses(FakeFirmware):
        def transfer(self, raw):
            if f"{command} strange" in raw or f"{command}strange" in raw:
                self._bad("checksum mismatch")
                return None
            return raw

    async with rig(tmp_path, Refuses) as host:
        await host.print(f"{SQUARE}{command} strange\n{SQUARE}")
        await host.expect_end(S.COMPLETED, within=60)
        assert moves(host.firmware) == (SQUARE * 2).split("\n")[:-1]
        assert host.log_entries("strange"), "the user is told which line was left out"


async def test_a_move_that_is_refused_repeatedly_ends_the_print(tmp_path):
    class Refuses(FakeFirmware):
        def transfer(self, raw):
            if "G1 Y20*" in raw:
                self._bad("checksum mismatch")
                return None
            return raw

    async with rig(tmp_path, Refuses) as host:
        await host.print(SQUARE)
        assert await host.wait_for_end(within=120) in (S.FAILED, S.INTERRUPTED)
        assert "G1 X10" not in host.firmware.job_commands[3:]


@pytest.mark.parametrize("board", [FakeFirmware, Marlin1, Repetier])
@pytest.mark.parametrize("start", ["M486 A", "M117 ", "M118 E1 "])
async def test_a_text_longer_than_the_firmware_reads_is_cut(tmp_path, board, start):
    async with rig(tmp_path, board) as host:
        await host.print(f"{SQUARE * 3}M486 S0\n{start}{NAME}\n{SQUARE}")
        await host.expect_end(S.COMPLETED, within=60)
        assert moves(host.firmware) == (SQUARE * 4).split("\n")[:-1]


@pytest.mark.parametrize(
    "line",
    [
        f"{OBJECT}\nEXCLUDE_OBJECT_START NAME=cube",
        "SET_HEATER_TEMPERATURE HEATER=extruder TARGET=200" + " X=1" * 60,
        "PRINT_START " + " ".join(f"SOME_LONG_PARAMETER_{n}=value_{n}" for n in range(12)),
    ],
)
async def test_klipper_reads_lines_of_any_length(tmp_path, line):
    async with rig(tmp_path, Klipper) as host:
        await host.print(f"{line}\n{SQUARE}")
        await host.expect_end(S.COMPLETED)
        assert host.firmware.job_commands[: len(line.split("\n"))] == line.split("\n")


async def test_a_line_that_no_firmware_could_read_fails_the_print(tmp_path):
    """A macro with a list of points, say: cut, it would be another command."""
    async with rig(tmp_path, Klipper) as host:
        await host.print("EXCLUDE_OBJECT_DEFINE NAME=a POLYGON=[" + "[1.5,2.5]," * 1000 + "]\n" + SQUARE)
        await host.expect_end(S.COMPLETED)
        assert host.firmware.job_commands[0].endswith(",]")
        await host.print(f"{SQUARE}EXCLUDE_OBJECT_DEFINE NAME=a POLYGON=[" + "[1.5,2.5]," * 5000 + "]\n" + SQUARE)
        await host.expect_end(S.FAILED)
        assert "EXCLUDE_OBJECT_DEFINE" in await host.error()


async def test_a_file_with_a_name_of_an_object_that_is_too_long_may_be_started_without_force(tmp_path):
    text = f"{SQUARE * 3}M486 S0\nM486 A{NAME}\n{SQUARE}"
    async with rig(tmp_path, type("Plain", (FakeFirmware,), {"m115": (MARLIN_2,)})) as host:
        await host.print(text, force=False)
        await host.expect_end(S.COMPLETED)


@pytest.mark.parametrize("line", ["G1 X10 Y10 " + "E0.12345 " * 12, "M204 " + "P1000.00000 " * 9])
async def test_a_move_that_is_too_long_fails_the_print(tmp_path, line):
    """It cannot be cut without becoming another one."""
    async with rig(tmp_path, FakeFirmware) as host:
        await host.print(f"{SQUARE}{line.strip()}\n{SQUARE}")
        await host.expect_end(S.FAILED)
        assert f"has {len(line.strip())} characters, but the firmware reads 83" in await host.error()
        assert host.firmware.job_commands[:6] == [*SQUARE.splitlines(), "M104 S0"]
