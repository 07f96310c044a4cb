"""A firmware's own timer, which loses the place, does not end a print that waits; a dead host lets it."""

import asyncio
from dataclasses import replace

import pytest

from daemon.bridge.words import JobState as S
from daemon.config import PauseConfig
from hal.simulated.personalities import FIRMWARES
from support.house import house

KLIPPER = FIRMWARES["klipper"]
FILE = ["M140 S60", "M104 S200", "G28", *(f"G1 X{n % 2 * 20 + 5} Y{n} F5400" for n in range(200))]
SAID = "SET_IDLE_TIMEOUT"


def said(it) -> list[str]:
    return [each.command for each in it.oracle.commands if each.command.startswith(SAID)]


async def paused(it) -> None:
    it.start(FILE)
    await it.until(S.PRINTING)
    await asyncio.sleep(20)
    it.jobs.pause()
    await it.until(S.PAUSED)


@pytest.mark.parametrize("seconds", [600.0, 120.0])
async def test_a_long_pause_keeps_heat_and_place_on_klipper(tmp_path, seconds):
    own = replace(KLIPPER, speech=replace(KLIPPER.speech, idle_timeout=seconds))
    async with house(tmp_path, firmware=own) as it:
        await paused(it)
        await asyncio.sleep(1500)
        assert it.board.bed.target == 60
        assert it.board.modal.homed == {0, 1, 2}
        assert set(said(it)) == {SAID}, "the time that its user has set is left as it is"
        assert len(said(it)) == pytest.approx(1500 / (seconds / 4), abs=3)
        it.jobs.resume()
        await it.until(S.COMPLETED)
        before = len(said(it))
        await asyncio.sleep(300)
        assert len(said(it)) == before, "without a print it is left to itself"


async def test_the_time_runs_out_where_nobody_says_anything(tmp_path):
    async with house(tmp_path, firmware=KLIPPER, pause=PauseConfig()) as it:
        await paused(it)
        it.jobs._keep_awake._repeating.cancel()
        await asyncio.sleep(700)
        assert (it.board.hotend.target, it.board.bed.target) == (0, 0)
        assert not it.board.modal.homed
        it.jobs.resume()
        await it.until(S.RESUMING)
        await it.until(S.PAUSED)
        assert "Must home axis first" in it.jobs.pause_reason
        assert (it.board.hotend.target, it.board.bed.target) == (0, 0), "it is not heated for nothing"
        await it.connection.commands.send(["G28"])
        it.jobs.resume()
        await it.until(S.COMPLETED)
        assert it.board.modal.homed


async def test_heat_that_a_user_turned_off_in_a_pause_is_brought_back(tmp_path):
    async with house(tmp_path, firmware=KLIPPER, pause=PauseConfig()) as it:
        await paused(it)
        await it.connection.commands.send(["M104 S0", "M140 S0"])
        await asyncio.sleep(5)
        place = list(it.board.modal.position)
        it.jobs.resume()
        await it.until(S.PRINTING)
        assert (it.board.hotend.target, it.board.bed.target) == (200, 60)
        assert it.board.modal.position[2] <= place[2]
        await it.until(S.COMPLETED)


@pytest.mark.parametrize("name", ["marlin", "prusa", "repetier"])
async def test_others_are_told_nothing(tmp_path, name):
    async with house(tmp_path, firmware=FIRMWARES[name]) as it:
        await paused(it)
        await asyncio.sleep(60)
        assert not said(it)


async def test_a_klipper_that_does_not_know_it_is_asked_once(tmp_path):
    known = {word: act for word, act in KLIPPER.speech.commands.items() if word != SAID}
    own = replace(KLIPPER, speech=replace(KLIPPER.speech, commands=known, idle_timeout=0.0))
    async with house(tmp_path, firmware=own) as it:
        await paused(it)
        await asyncio.sleep(700)
        assert len(said(it)) == 1
        it.jobs.resume()
        await it.until(S.COMPLETED)
