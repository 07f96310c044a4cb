"""Pauses by the printer itself: Prusa's M601 and M602, on the simulated one, which answers as recorded."""

import asyncio

import pytest

from daemon.bridge.words import JobState as S
from hal.printer import FirmwareSaid
from hal.simulated.personalities import FIRMWARES
from support.job_host import job_host

HOT = ["G28", "M104 S210", "M109 S210", "M83"]
MOVES = [f"G1 X{n} E0.1 F1200" for n in range(10, 40)]
FILE = [*HOT, *MOVES[:15], "M601", *MOVES[15:]]


def warnings(host):
    texts = []
    host.connection.subscribe(lambda event: texts.append(event.text) if isinstance(event, FirmwareSaid) else None)
    return texts


@pytest.mark.parametrize("seconds", [1, 90])
async def test_a_prusa_paused_by_m601_resumes_hot_and_makes_each_move_once(tmp_path, seconds):
    async with job_host(tmp_path, firmware=FIRMWARES["prusa"]) as host:
        texts = warnings(host)
        host.start(FILE)
        await host.until(S.PAUSED)
        assert host.jobs.pause_reason == "the file asks for it: M601"
        await asyncio.sleep(seconds)
        assert host.board.hotend.target == 0
        host.jobs.resume()
        await host.until(S.COMPLETED)
        assert host.board.hotend.target == 210
        assert [command for command in host.accepted if command in MOVES] == MOVES
        assert not texts, "nothing was extruded cold, and M602 is known"


async def test_a_resume_during_the_pausing_is_carried_out(tmp_path):
    async with job_host(tmp_path, firmware=FIRMWARES["prusa"]) as host:
        texts = warnings(host)
        host.jobs.subscribe(lambda state: state is S.PAUSING and asyncio.get_running_loop().call_soon(host.jobs.resume))
        host.start(FILE)
        await host.until(S.COMPLETED)
        assert [command for command in host.accepted if command in MOVES] == MOVES
        assert not texts


async def test_a_printer_that_pauses_again_while_it_heats_gets_the_command_that_ends_its_pause(tmp_path):
    async with job_host(tmp_path, firmware=FIRMWARES["prusa"]) as host:
        host.start(FILE)
        await host.until(S.PAUSED)
        await asyncio.sleep(90)
        assert host.board.hotend.target == 0
        host.transport._firmware.say("//action:resumed")
        host.transport._run_soon()
        await host.until(S.RESUMING)
        await asyncio.sleep(5)
        host.transport._firmware.say("//action:paused")
        host.transport._run_soon()
        await host.until(S.PAUSED)
        host.jobs.resume()
        await host.until(S.COMPLETED)
        assert "M602" in host.accepted
        assert [command for command in host.accepted if command in MOVES] == MOVES
