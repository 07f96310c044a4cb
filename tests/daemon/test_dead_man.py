"""The firmware turns the heaters off when its host is dead, and only then."""

import asyncio
from dataclasses import replace

import pytest

from daemon.bridge.words import JobState as S
from daemon.config import Config, SafetyConfig
from daemon.core.job.dead_man import REPEATS
from hal.simulated.personalities import FIRMWARES
from support.http import api
from support.job_host import DEAD_MAN_COMMANDS, job_host
from support.mortal import HostLife, World

LIMIT, PAUSE_LIMIT = 600, 1800  # s
HEATED = ["M140 S60", "M104 S200", *(f"G1 X{n % 2 * 20} Y{n} F5400" for n in range(200))]


def dead_man_commands(host) -> list[str]:
    return [each.command for each in host.oracle.commands if each.command in DEAD_MAN_COMMANDS]


async def hot_print(world, host, *, pause: bool = False) -> None:
    host.jobs.select(world.write(HEATED))
    host.jobs.start()
    async with asyncio.timeout(600):
        while world.firmware.board.hotend.target < 200:  # noqa: ASYNC110 - as a user looks at the printer
            await asyncio.sleep(0.5)
        if pause:
            host.jobs.pause()
            while host.jobs.state is not S.PAUSED:  # noqa: ASYNC110 - as a client polls
                await asyncio.sleep(0.5)
            await asyncio.sleep(5)


def is_off(world) -> bool:
    board = world.firmware.board
    return board.hotend.target == board.bed.target == 0


@pytest.mark.parametrize(("pause", "bound"), [(False, LIMIT), (True, PAUSE_LIMIT)])
async def test_the_heaters_are_off_in_time_when_the_host_vanishes(tmp_path, pause, bound):
    world = World(tmp_path)
    async with world.host(life := HostLife()) as host:
        await hot_print(world, host, pause=pause)
        life.end()
    assert not is_off(world)
    await asyncio.sleep(bound / 2)
    world.firmware.advance(world.clock.now)
    assert not is_off(world), "a host that comes back in time finds a hot printer"
    await asyncio.sleep(bound / 2 + 30)  # queued moves continue for a while
    world.firmware.advance(world.clock.now)
    assert is_off(world)


async def test_a_pause_of_hours_does_not_trigger_it(tmp_path):
    async with job_host(tmp_path) as host:
        host.start(HEATED)
        await host.until(S.PRINTING)
        host.jobs.pause()
        await host.until(S.PAUSED)
        await asyncio.sleep(2 * 3600)
        assert host.connection.ready
        assert host.jobs.state is S.PAUSED
        assert dead_man_commands(host).count(f"M85 S{PAUSE_LIMIT}") == pytest.approx(
            2 * 3600 / (PAUSE_LIMIT / REPEATS), abs=2
        )
        host.jobs.resume()
        await host.until(S.COMPLETED)


async def test_heat_without_a_job_is_guarded_until_it_is_off(tmp_path):
    async with job_host(tmp_path) as host:
        await asyncio.sleep(10)
        assert dead_man_commands(host) == ["M85 S0"], "the dead man that the previous host may have armed is disarmed"
        await host.connection.commands.send(["M140 S60"])
        await asyncio.sleep(3 * LIMIT)
        assert set(dead_man_commands(host)[1:]) == {f"M85 S{LIMIT}"}
        assert host.board.bed.target == 60, "it is kept alive"
        await host.connection.commands.send(["M140 S0"])
        await asyncio.sleep(10)
        assert dead_man_commands(host)[-1] == "M85 S0"
        await asyncio.sleep(5 * LIMIT)
        assert dead_man_commands(host)[-1] == "M85 S0"
        assert host.connection.ready


async def test_the_end_of_a_print_disarms_it(tmp_path):
    async with job_host(tmp_path) as host:
        host.start([*HEATED[2:20], "M104 S0", "M140 S0"])
        await host.until(S.COMPLETED)
        await asyncio.sleep(5)
        assert dead_man_commands(host) == ["M85 S0", f"M85 S{LIMIT}", "M85 S0"]


async def test_a_host_that_disconnects_disarms_it(tmp_path):
    async with job_host(tmp_path) as host:
        await host.connection.commands.send(["M104 S200"])
        await asyncio.sleep(10)
        await host.connection.disconnect()
        assert dead_man_commands(host)[-1] == "M85 S0"


async def test_the_next_host_arms_it_again(tmp_path):
    world = World(tmp_path)
    async with world.host(life := HostLife()) as host:
        await hot_print(world, host)
        life.end()
    before = len(dead_man_commands(world))
    async with world.host() as host:
        async with asyncio.timeout(600):
            while host.jobs.active:  # noqa: ASYNC110 - as a client polls
                await asyncio.sleep(0.5)
        assert host.jobs.state is S.COMPLETED
        assert dead_man_commands(world)[before] == f"M85 S{LIMIT}"


@pytest.mark.parametrize("name", sorted(FIRMWARES))
async def test_only_firmwares_known_to_halt_are_called_protected(tmp_path, name):
    async with job_host(tmp_path, firmware=FIRMWARES[name]) as host:
        await host.connection.commands.send(["M104 S60"])
        await asyncio.sleep(10)
        protection = host.jobs.dead_man.protection
        if name in ("marlin", "marlin-advok", "marlin2.1", "marlin21", "marlin21-meatpack", "repetier"):
            assert dead_man_commands(host)[-1] == f"M85 S{LIMIT}"
            assert (protection.after_s, protection.reason) == (LIMIT, None)
        elif name.startswith(("prusa", "klipper")):
            assert not dead_man_commands(host), "it turns them off by itself"
            assert protection.after_s == (1800 if name.startswith("prusa") else 600)
        else:
            assert not dead_man_commands(host)
            assert protection.after_s is None
            assert host.connection.printer.identity.name in protection.reason


async def test_repetier_s_time_restarts_with_a_g_command_only(tmp_path):
    async with job_host(tmp_path, firmware=FIRMWARES["repetier"]) as host:
        await host.connection.commands.send(["M104 S60"])
        await asyncio.sleep(LIMIT)
        commands = [each.command for each in host.oracle.commands if each.command.startswith(("G2", "M85"))]
        assert commands[-4:] == ["G21", f"M85 S{LIMIT}"] * 2


async def test_it_can_be_switched_off(tmp_path):
    off = replace(Config(), safety=SafetyConfig(dead_man_min=0))
    async with job_host(tmp_path) as host:
        host.jobs.dead_man._config = off.safety
        host.oracle.commands.clear()
        await host.connection.commands.send(["M104 S60"])
        await asyncio.sleep(30)
        assert not dead_man_commands(host)
        assert "dead_man_min" in host.jobs.dead_man.protection.reason


async def test_a_printer_that_is_simulated_faster_survives_a_print_and_its_pause(tmp_path):
    """The walkthrough of docs/using.md: there, ten minutes of ours are hours of the printer's."""
    body = "\n".join([*HEATED, *HEATED[2:] * 30, "M104 S0", "M140 S0", ""]).encode()
    async with api(tmp_path, "sim?speed=20") as client:
        await client.settle(5)
        assert (await client.upload(("print", b"true"), ("file", "a.gcode", body))).json["effectivePrint"]
        await client.settle(5)
        assert (await client.post("/api/job", {"command": "pause", "action": "pause"})).status == 204
        await client.settle(100)  # 33 min of the printer, which stops after 30
        assert (await client.get("/api/job")).json["state"] == "Paused"
        assert (await client.post("/api/job", {"command": "pause", "action": "resume"})).status == 204
        await client.settle(120)
        job = (await client.get("/api/job")).json
        assert (job["state"], job["progress"]["completion"]) == ("Operational", 100.0)
