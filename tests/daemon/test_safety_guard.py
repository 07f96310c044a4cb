"""A broken safety rule fails the job, turns the heaters off and is reported; nothing else has an effect."""

import asyncio
from dataclasses import replace

import pytest

from daemon.bridge.words import JobState as S
from daemon.config import Config, JobConfig, SafetyConfig
from daemon.core.safety.guard import Guard
from daemon.core.safety.rules import HOTEND, MAX_WITHOUT_REPORT_S
from gcode.errors import CommandError
from hal.printer import ConnectionState
from hal.simulated.heat_protection import ProtectionLimits
from hal.simulated.heater import HeaterFault
from hal.simulated.personalities import FIRMWARES, MARLIN
from support.http import api
from support.job_host import SCRIPTS, job_host
from support.push import Listener

# a firmware without protections of its own: the rules are for such
BARE = ProtectionLimits(minimum=-100, maximum=1000, watch_near=1000, runaway_below=1000)
UNPROTECTED = replace(MARLIN, hotend=replace(MARLIN.hotend, limits=BARE), bed=replace(MARLIN.bed, limits=BARE))
MOVES = [f"G1 X{n % 2 * 20} Y{n / 10:g} F600" for n in range(100)]
HEAT = ["G28", "M140 S60", "M104 S200", "M190 S60", "M109 S200", *MOVES]
QUIET = replace(SCRIPTS, before_start=(), after_failure=())


def guarded(host, **safety) -> Guard:
    config = replace(Config(), safety=SafetyConfig(**safety))
    guard = Guard(config, host.connection, host.jobs)
    guard._begin(ready=True)
    return guard


def targets(host) -> tuple[float, float]:
    return host.board.hotend.target, host.board.bed.target


@pytest.mark.parametrize("heat_up", ["host", "firmware"])
async def test_a_hotend_that_does_not_heat_fails_the_job(tmp_path, heat_up):
    async with job_host(tmp_path, firmware=UNPROTECTED, scripts=QUIET, job=JobConfig(heat_up=heat_up)) as host:
        guard, troubles = guarded(host), []
        guard.subscribe(troubles.append)
        host.board.hotend.fail(HeaterFault.NO_HEAT, host.board.now)
        host.start(["G28", "M109 S200", *MOVES])
        began = asyncio.get_running_loop().time()
        await host.until(S.FAILED)
        assert asyncio.get_running_loop().time() - began < HOTEND.rise_within + 30
        await host.settle()
        assert "tool0 does not get warmer" in host.jobs.error
        assert troubles == [host.jobs.error] == [guard.trouble]
        board = host.board
        assert board.hotend.target == board.bed.target == 0
        host.board.hotend.fail(None, host.board.now)
        await asyncio.sleep(600)
        assert len(troubles) == 1, "once it is off nothing is told again"
        host.start(MOVES)
        await host.until(S.COMPLETED)
        assert guard.trouble is None, "a new print, though it heats nothing"


async def test_a_whole_print_with_a_pause_breaks_no_rule(tmp_path):
    async with job_host(tmp_path, scripts=QUIET) as host:
        guard = guarded(host)
        host.start([*HEAT, "M106 S255", *MOVES])
        await host.until(S.PRINTING)
        await asyncio.sleep(300)
        host.jobs.pause()
        await host.until(S.PAUSED)
        await asyncio.sleep(45 * 60)  # the hotend stands by meanwhile
        host.jobs.resume()
        await host.until(S.COMPLETED)
        assert guard.trouble is None


@pytest.mark.parametrize("name", sorted(FIRMWARES))
async def test_the_reports_of_each_firmware_break_no_rule(tmp_path, name):
    async with job_host(tmp_path, firmware=FIRMWARES[name], scripts=QUIET) as host:
        guard = guarded(host)
        await host.connection.commands.send(["M104 S200", "M140 S60"])
        await asyncio.sleep(600)
        assert guard.trouble is None


async def test_a_heater_that_stays_hot_after_heaters_off_causes_an_emergency_stop(tmp_path):
    async with job_host(tmp_path, firmware=UNPROTECTED, scripts=QUIET) as host:
        guard = guarded(host)
        printer = host.connection.printer
        await host.connection.commands.send(["M104 S200"])
        await asyncio.sleep(200)
        host.board.hotend.fail(HeaterFault.RUNAWAY, host.board.now)
        await asyncio.sleep(60)
        assert "drifted" in guard.trouble
        assert targets(host) == (0, 0)
        await asyncio.sleep(400)
        assert printer.state is not ConnectionState.READY
        assert any("M112" in line for line in printer.flight_recorder.tail())


async def test_heaters_without_reports_are_turned_off(tmp_path):
    async with job_host(tmp_path, scripts=QUIET) as host:
        guard = guarded(host)
        await host.connection.commands.send(["M104 S200"])
        await asyncio.sleep(10)
        host.connection.printer._reports._take_temperatures = lambda _heaters: None  # whatever it says, it says no heat
        await asyncio.sleep(MAX_WITHOUT_REPORT_S / 2)
        assert guard.trouble is None
        await asyncio.sleep(MAX_WITHOUT_REPORT_S)
        assert "no temperature was reported for 60 s" in guard.trouble
        assert targets(host) == (0, 0)


async def test_heat_that_was_left_on_is_turned_off(tmp_path):
    async with job_host(tmp_path, scripts=QUIET) as host:
        guard = guarded(host)
        await host.connection.commands.send(["M104 S200"])
        await asyncio.sleep(29 * 60)
        await host.connection.commands.send(["M117 still here"])
        await asyncio.sleep(29 * 60)
        assert targets(host) == (200, 0)
        host.transport._firmware.inject("M140 S50")  # at the panel
        await asyncio.sleep(29 * 60)
        assert (targets(host), guard.trouble) == ((200, 50), None)
        await asyncio.sleep(2 * 60)
        assert "left on for 30 min" in guard.trouble
        assert targets(host) == (0, 0)
        await host.connection.commands.send(["M104 S100"])
        await asyncio.sleep(10)
        assert guard.trouble is None, "a user heats again"


@pytest.mark.parametrize("minutes", [0, 45])
async def test_the_time_that_heat_may_be_left_on_is_configurable(tmp_path, minutes):
    async with job_host(tmp_path, scripts=QUIET) as host:
        guarded(host, idle_heat_min=minutes)
        await host.connection.commands.send(["M104 S200"])
        await asyncio.sleep(44 * 60)
        assert targets(host) == (200, 0)
        await asyncio.sleep(600)
        assert targets(host) == ((200, 0) if not minutes else (0, 0))


@pytest.mark.parametrize(
    "line",
    ["M104 S301", "M109 S999", "M140 S130", "M190 R500", "M104 S1e3", "G10 P0 R999", "g10 p0 s999", "T0 m104 s999",
     "G26 H999", "M145 S0 H999", "SET_HEATER_TEMPERATURE HEATER=extruder TARGET=999"],
)  # fmt: skip
async def test_a_file_that_heats_too_much_fails_at_that_line(tmp_path, line):
    async with job_host(tmp_path, scripts=QUIET) as host:
        host.start(["G1 X1", line, "G1 X2"])
        await host.until(S.FAILED)
        assert host.jobs.error.startswith(f"the line at byte 6: {line} asks for")
        assert line not in host.accepted
        assert "G1 X2" not in host.accepted


async def test_clients_that_heat_too_much_are_refused_and_heat_left_on_is_reported(tmp_path):
    async with api(tmp_path) as server:
        answer = await server.post("/api/printer/command", {"commands": ["G28", "M104 S999"]})
        assert answer.status == 400
        assert "asks for 999 °C, but the profile allows 300 °C" in answer.json["error"]
        client = Listener(server)
        await client.login()
        await server.post("/api/printer/command", {"command": "M104 S200"})
        await asyncio.sleep(31 * 60)
        [event] = client.events("Error")
        assert event["reason"] == "safety"
        assert "left on" in event["error"]
        shown = (await server.get("/api/printer")).json
        assert "left on" in shown["safety"]["trouble"]
        assert shown["safety"]["deadMan"] == {"afterSeconds": 600, "reason": None}
        assert "left on" in (await server.get("/api/printer/error")).json["error"]
        assert server.service.connection.heaters["tool0"].target == 0


async def test_a_new_profile_applies_at_once_to_every_check_of_heat(tmp_path):
    async with job_host(tmp_path, firmware=UNPROTECTED, scripts=QUIET, max_hotend_c=300.0) as host:
        guard = guarded(host)
        await host.connection.commands.send(["M104 S250"])
        await asyncio.sleep(300)
        assert guard.trouble is None
        host.connection.use_profile(replace(host.connection.profile, max_hotend_c=200.0, extruders=2))
        with pytest.raises(CommandError, match="200"):
            await host.connection.commands.send(["M104 S250"])
        await asyncio.sleep(10)
        assert "above its maximum of 200" in guard.trouble
        assert targets(host) == (0, 0)
        assert any(each.command == "M104 T1 S0" for each in host.oracle.commands), "the new profile has two heaters"
        host.start(["M104 S250", *MOVES])
        await host.until(S.FAILED)
        assert "200" in host.jobs.error


async def test_a_failed_connection_turns_off_the_heaters_of_the_new_profile(tmp_path):
    async with job_host(tmp_path, scripts=QUIET) as host:
        host.connection.use_profile(replace(host.connection.profile, extruders=3, heated_chamber=True))
        host.connection.printer._fail(CommandError("an end"))
        lines = "".join(host.connection.printer.flight_recorder.tail()[-8:])
        assert "M104 T2 S0" in lines
        assert "M141 S0" in lines
