"""Pause, resume and the host's own waits: the head and the heaters return to where they were."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import ClassVar

import pytest

from daemon.config import JobConfig, PauseConfig, ScriptsConfig
from daemon.core.job.calling_off import MOVES_TIMEOUT, while_it_lives
from daemon.core.job.parking import ParkedPosition
from daemon.core.job.resting import has_gone_cold
from gcode.dialect import MARLIN
from gcode.modes import Modes
from gcode.replies import Reading
from hal.simulated.config import FirmwareConfig
from hal.simulated.personalities import FIRMWARES
from hal.simulated.scenario import Fault, Scenario
from support.job_host import DEAD_MAN_COMMANDS, SCRIPTS, S, job_host

PLAIN = ScriptsConfig()
DEAF = FirmwareConfig(noise=0.0)
KEEP = "M84 S43200"  # motors stay on
LISTENING = FirmwareConfig(noise=0.0, emergency_parser=True)
PART = ["G28", "M82", "G92 E0", "M104 S200", "M109 S200", "M106 S77", "G1 X10 Y20 Z5 E1 F3000"]
PART += [f"G1 X{10 + n % 2 * 30} Y{20 + n} E{1 + n / 10:g}" for n in range(200)]


def where(host) -> tuple[float, ...]:
    """X, Y, Z and logical E that the firmware has."""
    modal = host.board.modal
    return tuple(round(at + shift, 3) for at, shift in zip(modal.position, modal.offset, strict=True))


async def in_the_middle(host, lines=PART) -> None:
    host.start(lines)
    await host.until(S.PRINTING)
    while host.jobs.progress.lines < 40:  # noqa: ASYNC110 - as a client polls
        await asyncio.sleep(0.5)
    host.jobs.pause()
    await host.until(S.PAUSED)


def since(host, command: str) -> list[str]:
    accepted = [each.command for each in host.oracle.commands if each.command not in DEAD_MAN_COMMANDS]
    return accepted[len(accepted) - accepted[::-1].index(command) :]


async def test_the_head_is_lifted_and_returns_to_its_exact_position(tmp_path):
    async with job_host(tmp_path, firmware=DEAF, scripts=PLAIN, pause=PauseConfig()) as host:
        await in_the_middle(host)
        parked = where(host)
        assert since(host, "M114") == ["G91", "M83", "G1 E-1 F2100", "G1 Z5 F600", "G90", "M82", "G1 F3000", KEEP]
        await host.connection.commands.send(
            ["G91", "G0 X33 F9000", "G90", "M83", "G1 E20", "T0", "M107"]
        )  # a user plays with the knob
        await asyncio.sleep(60)
        host.jobs.resume()
        await host.until(S.PRINTING)
        back = since(host, "M107")[:10]
        x, y, z, e = parked[0], parked[1], parked[2] - 5, parked[3] + 1
        assert back == [
            "G90", "M83", f"G1 X{x:g} Y{y:g} F6000", f"G1 Z{z:g} F600", "G1 E1 F2100", f"G92 E{e:g}",
            "G90", "M82", "G1 F3000", "M106 S77",
        ]  # fmt: skip
        await host.until(S.COMPLETED)
        assert [each.command for each in host.oracle.commands if each.command in PART[7:]] == PART[7:]
        assert where(host)[:3] == (40.0, 200.0, 5.0)
        assert host.board.fan == 77


RELATIVE_E = ["G28", "G90", "M83", "G92 E0", "M104 S200", "M109 S200", "G1 X10 Y20 Z5 E1 F3000"]
RELATIVE_E += ["G91", "G1 Z1", "G90"]  # as a slicer lifts the nozzle
RELATIVE_E += [f"G1 X{10 + n % 2 * 30} Y{20 + n} E0.1" for n in range(100)]


@pytest.mark.parametrize("name", ["marlin1", "prusa", "repetier", "smoothie", "marlin2.1"])
async def test_g90_affects_the_extruder_as_in_each_firmware(tmp_path, name):
    """To Marlin 2 and Smoothieware E is absolute from the last G90 on; to the others it stays relative."""
    firmware = replace(FIRMWARES[name], noise=0.0)
    async with job_host(tmp_path, firmware=firmware, scripts=PLAIN, pause=PauseConfig()) as host:
        await in_the_middle(host, RELATIVE_E)
        await host.connection.commands.send(["M82" if host.board.modal.relative_e else "M83"])
        host.jobs.resume()
        await host.until(S.COMPLETED)
        assert host.board.modal.relative_e == (firmware.e_mode != "last")


@pytest.mark.parametrize("doubled", [1, 2])
async def test_a_surplus_ok_does_not_leave_the_hot_nozzle_on_the_part(tmp_path, doubled):
    faults = tuple(Fault("double_ok", line=40 + number) for number in range(doubled))
    async with job_host(
        tmp_path, firmware=replace(DEAF, scenario=Scenario(faults)), scripts=PLAIN, pause=PauseConfig()
    ) as host:
        await in_the_middle(host)
        assert host.connection.printer.counters.stray_oks > 0
        await asyncio.sleep(60)
        assert where(host)[2] == 10.0
        host.jobs.resume()
        await host.until(S.COMPLETED)
        assert [each.command for each in host.oracle.commands if each.command in PART[7:]] == PART[7:]
        assert where(host)[:3] == (40.0, 200.0, 5.0)


async def test_the_nozzle_is_lifted_and_parked_in_a_corner(tmp_path):
    pause = PauseConfig(park="corner", park_x_mm=5, park_y_mm=150, lift_mm=10, retract_mm=0)
    async with job_host(tmp_path, firmware=DEAF, scripts=PLAIN, pause=pause) as host:
        await in_the_middle(host)
        assert since(host, "M114") == [
            "G91",
            "M83",
            "G1 Z10 F600",
            "G90",
            "G1 X5 Y150 F6000",
            "G90",
            "M82",
            "G1 F3000",
            KEEP,
        ]
        host.jobs.resume()
        await host.until(S.COMPLETED)
        assert where(host)[:3] == (40.0, 200.0, 5.0)


async def test_the_lift_stays_within_the_printer(tmp_path):
    async with job_host(tmp_path, firmware=DEAF, scripts=PLAIN, pause=PauseConfig(), height_mm=7.0) as host:
        await in_the_middle(host)
        assert "G1 Z2 F600" in since(host, "M114")


async def test_cold_filament_is_not_pulled(tmp_path):
    lines = [line for line in PART if not line.startswith(("M104", "M109"))]
    async with job_host(tmp_path, firmware=DEAF, scripts=PLAIN, pause=PauseConfig()) as host:
        await in_the_middle(host, lines)
        assert since(host, "M114") == ["G91", "M83", "G1 Z5 F600", "G90", "M82", "G1 F3000", KEEP]


@pytest.mark.parametrize("command", ["restart", "cancel"])
async def test_the_modes_of_the_file_are_restored_after_a_pause(tmp_path, command):
    """A file without a G90 of its own would be printed in relative mode: it would extrude metres."""
    async with job_host(tmp_path, firmware=DEAF, scripts=PLAIN, pause=PauseConfig()) as host:
        await in_the_middle(host)
        getattr(host.jobs, command)()
        await host.until(S.PRINTING, S.CANCELLED)
        modal = host.board.modal
        assert (modal.relative, modal.relative_e) == (False, False)


async def test_a_pause_script_runs_in_the_modes_of_the_file(tmp_path):
    scripts = replace(PLAIN, after_pause=("G1 X0 Y200 F6000",))
    async with job_host(tmp_path, firmware=DEAF, scripts=scripts, pause=PauseConfig()) as host:
        await in_the_middle(host)
        await asyncio.sleep(5)
        assert where(host)[:2] == (0.0, 200.0)


async def test_a_machine_that_has_not_homed_is_not_moved(tmp_path):
    async with job_host(tmp_path, firmware=DEAF, scripts=PLAIN, pause=PauseConfig(park="corner")) as host:
        await in_the_middle(host, PART[6:])
        assert not [each for each in since(host, "M400") if each.startswith(("G0", "G1", "G91"))]


async def test_a_print_cancelled_in_a_pause_leaves_no_heater_on(tmp_path):
    lines = ["G28", "M104 T0 S200", "M140 S60", *PART[6:]]
    scripts = replace(PLAIN, after_cancel=())
    async with job_host(tmp_path, firmware=DEAF, scripts=scripts, extruders=2, heated_chamber=True) as host:
        await in_the_middle(host, lines)
        host.jobs.cancel()
        await host.until(S.CANCELLED)
        assert [each.command for each in host.oracle.commands if each.command not in DEAD_MAN_COMMANDS][-6:] == [
            "M104 T0 S0",
            "M104 T1 S0",
            "M140 S0",
            "M141 S0",
            "M400",
            "M114",
        ]


async def test_relative_modes_are_put_back(tmp_path):
    lines = ["G28", "G91", "M83", *("G1 X0.5 E0.1" for _ in range(200))]
    async with job_host(tmp_path, firmware=DEAF, scripts=PLAIN, pause=PauseConfig()) as host:
        await in_the_middle(host, lines)
        host.jobs.resume()
        await host.until(S.COMPLETED)
        assert where(host)[0] == pytest.approx(100.0)


async def test_hotends_stand_by_in_a_long_pause_and_are_hot_before_anything_moves(tmp_path):
    pause = PauseConfig(standby_after_min=30, standby_c=100)
    async with job_host(tmp_path, firmware=DEAF, scripts=PLAIN, pause=pause) as host:
        await in_the_middle(host, ["M140 S60", *PART])
        await asyncio.sleep(29 * 60)
        assert host.board.hotend.target == 200
        await asyncio.sleep(2 * 60)
        assert (host.board.hotend.target, host.board.bed.target) == (100, 60)
        await asyncio.sleep(20 * 60)
        host.jobs.resume()
        await asyncio.sleep(10)
        assert host.jobs.state is S.RESUMING
        assert since(host, "M104 S100") == ["M104 S200"], "nothing moves before it is hot"
        await host.until(S.PRINTING)
        assert host.board.hotend.temperature(host.board.now) == pytest.approx(200, abs=2)
        await host.until(S.COMPLETED)


async def test_heaters_that_the_firmware_turned_off_in_a_pause_are_hot_before_anything_moves(tmp_path):
    idle = replace(DEAF, hotend_idle_timeout=True)
    async with job_host(tmp_path, firmware=idle, scripts=PLAIN, pause=PauseConfig()) as host:
        await host.connection.commands.send(["M86 S300 T180 E0 B0"])
        await in_the_middle(host, ["M140 S60", *PART])
        await asyncio.sleep(20 * 60)
        assert (host.board.hotend.target, host.board.bed.target) == (0, 0)
        assert host.board.hotend.temperature(host.board.now) < 100
        host.jobs.resume()
        await asyncio.sleep(5)
        assert host.jobs.state is S.RESUMING
        assert set(host.accepted[-2:]) == {"M104 S200", "M140 S60"}, "nothing moves before it is hot"
        await host.until(S.PRINTING)
        assert host.board.hotend.temperature(host.board.now) == pytest.approx(200, abs=2)
        assert host.board.bed.temperature(host.board.now) == pytest.approx(60, abs=2)
        await host.until(S.COMPLETED)


async def test_values_set_in_a_pause_are_kept(tmp_path):
    async with job_host(tmp_path, firmware=DEAF, scripts=PLAIN, pause=PauseConfig()) as host:
        await in_the_middle(host)
        await host.connection.commands.send(["M104 S215"])
        await asyncio.sleep(60)
        host.jobs.resume()
        await host.until(S.COMPLETED)
        assert host.board.hotend.target == 215


async def test_a_pause_works_while_a_deaf_firmware_heats(tmp_path):
    async with job_host(tmp_path, firmware=DEAF, scripts=PLAIN, pause=PauseConfig()) as host:
        host.start(PART)
        while "M104 S200" not in host.accepted:  # noqa: ASYNC110 - as a client polls
            await asyncio.sleep(1)
        await asyncio.sleep(20)  # it homes meanwhile
        assert "M109 S200" not in host.accepted
        assert host.board.hotend.temperature(host.board.now) < 150
        host.jobs.pause()
        began = asyncio.get_running_loop().time()
        await host.until(S.PAUSED)
        assert asyncio.get_running_loop().time() - began < 5
        assert host.board.hotend.target == 200, "a pause leaves the heat on"
        host.jobs.resume()
        await host.until(S.COMPLETED)
        printed = [each for each in host.oracle.commands if each.command == PART[6]]
        assert len(printed) == 1
        assert host.board.hotend.temperature(host.board.now) == pytest.approx(200, abs=2)


async def test_no_line_overtakes_the_hosts_wait_for_heat(tmp_path):
    async with job_host(tmp_path, firmware=DEAF, scripts=PLAIN) as host:
        host.start(["M104 S50", "M109 S200", "G1 X1"])
        await host.until(S.COMPLETED)
        at = {each.command: each.time for each in host.oracle.commands}
        heated = host.board.hotend
        assert at["G1 X1"] - at["M104 S200"] > 50
        assert heated.target == 200


async def test_a_listening_firmware_waits_by_itself_and_m108_ends_it(tmp_path):
    async with job_host(tmp_path, firmware=LISTENING, scripts=replace(PLAIN, after_cancel=("M104 S0",))) as host:
        host.start(PART)
        while "M109 S200" not in host.accepted:  # noqa: ASYNC110 - as a client polls
            await asyncio.sleep(1)
        await asyncio.sleep(5)
        began = asyncio.get_running_loop().time()
        host.jobs.cancel()
        await host.until(S.CANCELLED)
        assert asyncio.get_running_loop().time() - began < 2
        assert host.board.hotend.target == 0


async def test_a_firmware_stuck_in_m109_is_stopped_at_the_deadline(tmp_path):
    job = JobConfig(heat_up="firmware", cancel_deadline_s=20)
    async with job_host(tmp_path, firmware=DEAF, scripts=SCRIPTS, job=job) as host:
        host.start(["M109 S200", "G1 X1"])
        while "M109 S200" not in host.accepted:  # noqa: ASYNC110 - as a client polls
            await asyncio.sleep(1)
        await asyncio.sleep(5)
        began = asyncio.get_running_loop().time()
        board = host.board
        host.jobs.cancel()
        await host.until(S.CANCELLED)
        assert asyncio.get_running_loop().time() - began == pytest.approx(20, abs=1)
        await host.settle()
        assert host.records.outcomes[-1][2] == "the printer did not answer for 20 s and was stopped by M112"
        assert board.hotend.target == 0


async def test_the_error_of_a_printer_that_is_silent_in_moves_names_their_time_limit():
    """Moves may take longer than `cancel_deadline_s`."""
    printer = SimpleNamespace(heard_at=0.0, waits_for_user=False, subscribe=lambda _: lambda: None, probe_soon=int)
    with pytest.raises(TimeoutError, match="the printer did not answer for 300 s"):
        await while_it_lives(printer, asyncio.sleep(1000), MOVES_TIMEOUT)


@pytest.mark.parametrize("line", ["M0", "M1 Insert nut", "M25", "@pause"])
async def test_a_file_can_pause_itself(tmp_path, line):
    async with job_host(tmp_path, scripts=PLAIN) as host:
        host.start(["G1 X1", line, "G1 X2"])
        await host.until(S.PAUSED)
        assert host.file_moves == ["G1 X1"]
        host.jobs.resume()
        await host.until(S.COMPLETED)
        assert host.file_moves == ["G1 X1", "G1 X2"]


async def test_a_file_can_cancel_itself(tmp_path):
    async with job_host(tmp_path) as host:
        host.start(["G1 X1", "@cancel", "G1 X2"])
        await host.until(S.CANCELLED)
        assert host.file_moves == ["G1 X1"]


async def test_the_printer_can_pause_resume_and_cancel(tmp_path):
    async with job_host(tmp_path) as host:
        host.start()
        await host.until(S.PRINTING)
        say(host, "//action:pause")
        await host.until(S.PAUSED)
        assert host.jobs.pause_reason == "the printer asks for it"
        assert "M117 after pause" in host.accepted
        say(host, "// action:resume")
        await host.until(S.PRINTING)
        say(host, "//action:cancel")
        await host.until(S.CANCELLED)


async def test_no_moves_are_sent_to_a_printer_that_paused_itself(tmp_path):
    async with job_host(tmp_path, pause=PauseConfig()) as host:
        host.start()
        await host.until(S.PRINTING)
        say(host, "//action:paused")
        await host.until(S.PAUSED)
        before = [each.command for each in host.oracle.commands if each.command not in DEAD_MAN_COMMANDS]
        assert before[-1].startswith("G1 X"), "no G-code: the firmware parks by itself"
        say(host, "//action:resumed")
        await host.until(S.COMPLETED)
        assert host.jobs.error is None


@pytest.mark.parametrize(("then", "state"), [("resumed", S.COMPLETED), ("resume", S.COMPLETED), ("paused", S.PAUSED)])
async def test_a_resume_by_the_printer_before_it_was_at_rest_is_followed(tmp_path, then, state):
    async with job_host(tmp_path, firmware=LISTENING, pause=PauseConfig()) as host:
        host.start(["G28", "G4 S5", *PART])
        await host.until(S.PRINTING)
        say(host, "//action:paused")
        await host.until(S.PAUSING)
        say(host, "//action:resumed")
        say(host, f"//action:{then}")
        await host.until(state)
        assert host.jobs.error is None


def say(host, text: str) -> None:
    """Have the firmware send an unrequested line."""
    host.transport._firmware.say(text)
    host.transport._run_soon()


async def test_a_line_longer_than_the_firmware_reads_fails_the_job(tmp_path):
    async with job_host(tmp_path) as host:
        host.start(
            ["G1 X1", "M117 " + "a long text " * 20, "G1 X2", "EXCLUDE_OBJECT_DEFINE NAME=" + "x" * 100, "G1 X3"]
        )
        await host.until(S.FAILED)
        await host.settle()
        assert "has 127 characters, but the firmware reads 83" in host.jobs.error
        assert host.file_moves == ["G1 X1", "G1 X2"]
        [text] = [each for each in host.accepted if each.startswith("M117 a long")]
        assert len(text) <= 83
        assert host.accepted[-3:] == list(SCRIPTS.after_failure)


async def test_without_a_job_a_stop_of_the_service_leaves_nothing_hot(tmp_path):
    async with job_host(tmp_path) as host:
        await host.connection.commands.send(["M104 S200"])
        await asyncio.sleep(10)
        await host.jobs.abandon("the service was stopped")
        assert host.accepted[-2:] == ["M104 S0", "M140 S0"]


@pytest.mark.parametrize(("target", "cold"), [(0.0, True), (195.0, False)])
async def test_a_host_without_temperatures_queries_them_before_it_moves_back(target, cold):
    class Printer:
        heaters: ClassVar = {}
        dialect = MARLIN

        async def send(self, command):
            assert command == "M105"
            self.heaters = {"tool0": Reading(80.0, target)}
            return ["ok"]

    assert await has_gone_cold(Printer(), ParkedPosition(None, Modes(), 0.0, {"tool0": 200.0})) is cold
