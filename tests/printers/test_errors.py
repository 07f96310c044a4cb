"""What ends a print, what does not, and how a printer becomes ready afterwards."""

import pytest

from daemon.bridge.words import JobState as S
from support.fake_firmware import KILLED, SQUARE, FakeFirmware, rig
from support.fake_printers import Klipper, Smoothie

MOVES = "".join(f"G1 X{n % 100} Y{n % 50} E{n}\n" for n in range(60))


class Says(FakeFirmware):
    """Answers one command of the file by `reply`, each time that it comes."""

    at = "G1 X5 "
    reply: tuple[str | float, ...] = ()

    def on(self, number, command, raw):
        return self.reply if command.startswith(self.at) and self.reply else None


def says(*reply, at="G1 X5 ", base=Says):
    return type("Replies", (base,), {"reply": reply, "at": at})


# -- what halts --


@pytest.mark.parametrize(
    "why",
    [
        "Heater extruder not heating at expected rate",
        "MCU 'mcu' shutdown: Timer too close",
        "Lost communication with MCU 'mcu'",
        'Internal error on command:"G1"',
    ],
)
async def test_a_klipper_that_shuts_down_fails_the_print_with_its_reason(tmp_path, why):
    class Shuts(Klipper):
        def on(self, number, command, raw):
            if command.startswith("G1 X20 ") and not self.shutdown_reason:
                self.shut_down(why)
                return "ok", "// Klipper state: Shutdown"
            return super().on(number, command, raw)

    async with rig(tmp_path, Shuts) as host:
        await host.print("M104 S200\n" + MOVES)
        await host.expect_end(S.FAILED)
        assert why in await host.error()
        assert len(host.firmware.arrival_times("G1")) < 40


async def test_after_a_shutdown_klipper_is_ready_once_restarted(tmp_path):
    class Shuts(Klipper):
        def on(self, number, command, raw):
            if (
                command.startswith("G1 X20 ")
                and not self.shutdown_reason
                and not self.arrival_times("FIRMWARE_RESTART")
            ):
                self.shut_down("Timer too close")
            return super().on(number, command, raw)

    async with rig(tmp_path, Shuts) as host:
        await host.print(MOVES)
        await host.expect_end(S.FAILED)
        await host.sleep(30)
        host.firmware.shutdown_reason = None  # a user has restarted it
        await host.until(lambda: host.ready, 60)
        await host.print(SQUARE)
        await host.expect_end(S.COMPLETED)


async def test_a_smoothieware_that_halts_fails_the_print(tmp_path):
    class Halts(Smoothie):
        def on(self, number, command, raw):
            if command.startswith("G1 X12 ") and not self.halted:
                self.stop("Limit switch +X was hit - reset or M999 required")
                return ("ok",)
            return super().on(number, command, raw)

    async with rig(tmp_path, Halts) as host:
        await host.print("M104 S200\n" + MOVES)
        await host.expect_end(S.FAILED)
        assert "Limit switch +X was hit" in await host.error()
        await host.sleep(20)
        host.firmware.halted = False  # M999 at its panel
        await host.until(lambda: host.ready, 60)
        await host.print(SQUARE)
        await host.expect_end(S.COMPLETED)


async def test_a_stopped_marlin_fails_the_print(tmp_path):
    """Marlin 1.1's STOPPED: each move is refused by an error and acknowledged all the same."""

    class Stops(FakeFirmware):
        stopped = False

        def on(self, number, command, raw):
            self.stopped = self.stopped or command.startswith("G1 X20 ")
            if self.stopped and command.startswith("G1"):
                return (
                    (
                        "Error:Printer stopped due to errors. Fix the error and use M999 to restart. "
                        "(Temperature is reset. Set it after restarting)"
                    ),
                    "ok",
                )
            return None

    async with rig(tmp_path, Stops) as host:
        await host.print("M104 S200\n" + MOVES)
        await host.expect_end(S.FAILED)
        assert "Printer stopped due to errors" in await host.error()
        assert host.firmware.heaters_are_off


@pytest.mark.parametrize(
    "why",
    [
        "Error:Heating failed, system stopped! Heater_ID: 0",
        "Error:Thermal Runaway, system stopped! Heater_ID: bed",
        "Error:MAXTEMP triggered, system stopped! Heater_ID: 0",
        "Error:0\n: Extruder switched off. MINTEMP triggered !",
        "echo:Homing Failed",
    ],
)
async def test_a_killed_marlin_fails_the_print_with_its_reason_and_is_ready_after_a_reset(tmp_path, why):
    class Kills(FakeFirmware):
        def on(self, number, command, raw):
            if command.startswith("G1 X20 "):
                self.halt(*why.split("\n"), KILLED)
                return ()
            return None

    async with rig(tmp_path, Kills) as host:
        await host.print("M104 S200\n" + MOVES)
        await host.expect_end(S.FAILED)
        assert why.split(":", 1)[1].split(",")[0].split("\n")[-1].strip(": ") in await host.error()
        await host.until(lambda: host.ready, 60)
        await host.print(SQUARE)
        await host.expect_end(S.COMPLETED)
        assert not await host.error()


async def test_a_halt_between_prints_is_shown_until_the_board_is_back(tmp_path):
    async with rig(tmp_path, FakeFirmware) as host:
        await host.sleep(5)
        host.firmware.halt("Error:MINTEMP triggered, system stopped! Heater_ID: bed", KILLED)
        await host.until(lambda: not host.ready)
        assert "MINTEMP" in await host.error()
        await host.until(lambda: host.ready, 60)
        status = await host.job_status()
        assert (status["state"], status.get("error")) == ("Operational", None)


# -- what answers a line of the job and does not halt --

REFUSALS = [
    ("!! Move out of range: 310.000 20.000 0.200 [0.000]", Klipper),
    ("!! Must home axis first: 10.000 10.000 0.000 [0.000]", Klipper),
    ("!! Extrude below minimum temp", Klipper),
    ("!! Move exceeds maximum extrusion (3.000mm^2 vs 0.640mm^2)", Klipper),
    ("Error:Homing failed", FakeFirmware),
    ("Error:Nozzle offset out of range", FakeFirmware),
]


@pytest.mark.parametrize(("text", "board"), REFUSALS)
async def test_an_error_that_answers_a_line_of_the_job_fails_it_and_keeps_the_connection(tmp_path, text, board):
    class Refuses(board):
        def on(self, number, command, raw):
            return (text, "ok") if command.startswith("G1 X5 ") else super().on(number, command, raw)

    async with rig(tmp_path, Refuses) as host:
        await host.print("M104 S200\n" + MOVES)
        await host.expect_end(S.FAILED)
        assert text.split(":", 1)[-1].strip("! ") in await host.error()
        assert host.ready
        assert host.firmware.open_count == 1
        await host.sleep(5)
        assert host.firmware.heaters_are_off
        assert not host.firmware.arrival_times("M112")


@pytest.mark.parametrize(("choice", "how"), [("ignore", S.COMPLETED), ("pause", S.PAUSED)])
async def test_the_consequence_of_an_error_is_configurable(tmp_path, choice, how):
    firmware = says("!! Move out of range: 310.000 20.000 0.200 [0.000]", "ok", base=Says)
    async with rig(tmp_path, firmware, printer={"on_error": choice}) as host:
        await host.print(MOVES)
        await host.reach(how)
        assert host.log_entries("Move out of range")


async def test_an_error_while_nothing_is_printed_is_a_warning(tmp_path):
    async with rig(tmp_path, FakeFirmware) as host:
        await host.sleep(2)
        host.firmware.say("echo:Invalid mesh.", "Error:Failed to enable Bed Leveling")
        await host.sleep(10)
        status = await host.job_status()
        assert (status["state"], status.get("error")) == ("Operational", None)
        assert host.log_entries("Failed to enable Bed Leveling")
        assert host.firmware.open_count == 1


async def test_an_error_that_answers_a_command_of_a_client_does_not_end_the_print(tmp_path):
    class Refuses(FakeFirmware):
        move_seconds = 0.1

        def on(self, number, command, raw):
            if command.startswith("M851"):
                return "Error:Z out of range", "ok"
            return None

    async with rig(tmp_path, Refuses) as host:
        await host.print(MOVES)
        await host.until(lambda: host.firmware.arrival_times("G1 X5 "))
        await host.gcode("M851 Z-99")
        await host.expect_end(S.COMPLETED)
        assert host.log_entries("Z out of range")


async def test_moves_that_marlin_leaves_out_before_homing_fail_the_print(tmp_path):
    """NO_MOTION_BEFORE_HOMING: an echo and an ok for each of them, and nothing moves."""
    async with rig(tmp_path, says("echo:Home XYZ First", "ok", at="G1")) as host:
        await host.print("M104 S200\n" + MOVES)
        await host.expect_end(S.FAILED)
        assert "Home XYZ First" in await host.error()
        assert host.firmware.heaters_are_off


async def test_a_client_s_move_that_marlin_leaves_out_does_not_end_the_print(tmp_path):
    async with rig(tmp_path, says("echo:Home Z First", "ok", at="G27")) as host:
        await host.print(MOVES)
        await host.gcode("G27")
        await host.expect_end(S.COMPLETED)
        assert host.log_entries("Home Z First")


# -- what is harmless, though it says Error --


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("G29", ("Error:Probing Failed", 3.0, "echo:busy: processing", 2.0, "Bilinear Leveling Grid:", "ok")),
        ("M420 S1", ("echo:Invalid mesh.", "Error:Failed to enable Bed Leveling", "echo:Bed Leveling OFF", "ok")),
        ("M501", ("Error:EEPROM datasize error.", "echo:Hardcoded Default Settings Loaded", "ok")),
        ("M501", ("echo:EEPROM version mismatch (EEPROM=? Marlin=V83)", "ok")),
        ("M501", ("Error:EEPROM CRC mismatch - (stored) 0 != 1 (calculated)!", "ok")),
        ("M302 S0", ("echo: cold extrusion prevented", "ok")),
        ("M21", ("echo:SD init fail", "ok")),
        ("M21", ("Error:volume.init failed", "ok")),
        ("M118 Error: this is only text", ("Error: this is only text", "ok")),
        ("M117 fatal: no", ("echo:fatal: no", "ok")),
    ],
)
async def test_errors_from_which_the_firmware_recovers_do_not_end_the_print(tmp_path, command, reply):
    async with rig(tmp_path, says(*reply, at=command)) as host:
        await host.print(f"{command}\n{SQUARE}")
        await host.expect_end(S.COMPLETED)
        assert host.firmware.open_count == 1
        assert not await host.error()


async def test_a_probing_that_fails_for_good_fails_the_print(tmp_path):
    """G29_RETRY_AND_RECOVER gives up: it halts."""

    class Probes(FakeFirmware):
        def on(self, number, command, raw):
            if command.startswith("G29"):
                self.say("Error:Probing Failed")
                self.later(3.0, lambda: self.halt("Error:Probing Failed", KILLED))
                return 60.0, "ok"
            return None

    async with rig(tmp_path, Probes) as host:
        await host.print("M104 S200\nG29\n" + SQUARE)
        await host.expect_end(S.FAILED)
        assert "Probing Failed" in await host.error()
