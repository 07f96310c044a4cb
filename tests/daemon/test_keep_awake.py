"""The firmware's own idle timer does not end a waiting print, unless the host is dead."""

import asyncio
from dataclasses import replace

import pytest

from daemon.bridge.words import JobState as S
from daemon.config import PauseConfig
from hal.simulated.personalities import FIRMWARES
from support.job_host import job_host

KLIPPER = FIRMWARES["klipper"]
FILE = ["M140 S60", "M104 S200", "G28", *(f"G1 X{n % 2 * 20 + 5} Y{n} F5400" for n in range(200))]
IDLE_TIMEOUT = "SET_IDLE_TIMEOUT"


def commands(host) -> list[str]:
    return [each.command for each in host.oracle.commands if each.command.startswith(IDLE_TIMEOUT)]


async def pause_print(host) -> None:
    host.start(FILE)
    await host.until(S.PRINTING)
    await asyncio.sleep(20)
    host.jobs.pause()
    await host.until(S.PAUSED)


@pytest.mark.parametrize("seconds", [600.0, 120.0])
async def test_a_long_pause_keeps_heat_and_position_on_klipper(tmp_path, seconds):
    own = replace(KLIPPER, speech=replace(KLIPPER.speech, idle_timeout=seconds))
    async with job_host(tmp_path, firmware=own) as host:
        await pause_print(host)
        await asyncio.sleep(1500)
        assert host.board.bed.target == 60
        assert host.board.modal.homed == {0, 1, 2}
        assert set(commands(host)) == {IDLE_TIMEOUT}, "the time that its user has set is left as it is"
        assert len(commands(host)) == pytest.approx(1500 / (seconds / 4), abs=3)
        host.jobs.resume()
        await host.until(S.COMPLETED)
        before = len(commands(host))
        await asyncio.sleep(300)
        assert len(commands(host)) == before, "without a print it is left to itself"


async def test_the_idle_timeout_runs_out_without_the_command(tmp_path):
    async with job_host(tmp_path, firmware=KLIPPER, pause=PauseConfig()) as host:
        await pause_print(host)
        host.jobs._keep_awake._repeat_task.cancel()
        await asyncio.sleep(700)
        assert (host.board.hotend.target, host.board.bed.target) == (0, 0)
        assert not host.board.modal.homed
        host.jobs.resume()
        await host.until(S.RESUMING)
        await host.until(S.PAUSED)
        assert "Must home axis first" in host.jobs.pause_reason
        assert (host.board.hotend.target, host.board.bed.target) == (0, 0), "it is not heated for nothing"
        await host.connection.commands.send(["G28"])
        host.jobs.resume()
        await host.until(S.COMPLETED)
        assert host.board.modal.homed


async def test_heat_turned_off_by_a_user_in_a_pause_is_restored(tmp_path):
    async with job_host(tmp_path, firmware=KLIPPER, pause=PauseConfig()) as host:
        await pause_print(host)
        await host.connection.commands.send(["M104 S0", "M140 S0"])
        await asyncio.sleep(5)
        position = list(host.board.modal.position)
        host.jobs.resume()
        await host.until(S.PRINTING)
        assert (host.board.hotend.target, host.board.bed.target) == (200, 60)
        assert host.board.modal.position[2] <= position[2]
        await host.until(S.COMPLETED)


@pytest.mark.parametrize("name", ["marlin", "prusa", "repetier"])
async def test_other_firmwares_get_no_such_command(tmp_path, name):
    async with job_host(tmp_path, firmware=FIRMWARES[name]) as host:
        await pause_print(host)
        await asyncio.sleep(60)
        assert not commands(host)


async def test_a_klipper_without_the_command_gets_it_once(tmp_path):
    known = {word: act for word, act in KLIPPER.speech.commands.items() if word != IDLE_TIMEOUT}
    own = replace(KLIPPER, speech=replace(KLIPPER.speech, commands=known, idle_timeout=0.0))
    async with job_host(tmp_path, firmware=own) as host:
        await pause_print(host)
        await asyncio.sleep(700)
        assert len(commands(host)) == 1
        host.jobs.resume()
        await host.until(S.COMPLETED)
