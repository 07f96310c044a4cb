"""An error that answers a line of the job: the print fails, pauses or continues, and the connection stays."""

import asyncio

import pytest

from daemon.bridge.words import JobState as S
from hal.printer import ConnectionState, LineRefused
from support.job_host import job_host

TEXT = "!! Must home axis first: 10.000 10.000 0.000 [0.000]"
HOT = ["M140 S60", "M104 S200", *(f"G1 X{n % 100} F600" for n in range(200))]


async def refused(host):
    host.start(HOT)
    await host.until(S.PRINTING)
    await asyncio.sleep(8)
    host.connection.printer._publish(LineRefused(TEXT, "G1 X5", 123))


async def test_a_refused_line_fails_the_print_with_its_text_and_heaters_off(tmp_path):
    async with job_host(tmp_path) as host:
        await refused(host)
        await host.until(S.FAILED)
        await host.settle()
        assert TEXT in host.jobs.error
        assert "G1 X5" in host.jobs.error
        assert host.board.hotend.target == host.board.bed.target == 0
        assert host.connection.state is ConnectionState.READY
        host.jobs.select(host.jobs.selected)
        assert host.jobs.error is None, "an error that the user has seen is not shown beside a working printer"


@pytest.mark.parametrize(("choice", "state"), [("ignore", S.PRINTING), ("pause", S.PAUSED)])
async def test_a_refused_line_can_cause_a_pause_or_a_warning(tmp_path, choice, state):
    async with job_host(tmp_path, printer={"on_error": choice}) as host:
        await refused(host)
        await host.until(state)
        assert TEXT in host.jobs.warning
        assert host.jobs.error is None
        assert host.board.bed.target == 60


async def test_a_refused_line_during_a_cancel_changes_nothing(tmp_path):
    async with job_host(tmp_path) as host:
        host.start(HOT)
        await host.until(S.PRINTING)
        await asyncio.sleep(8)
        host.jobs.cancel()
        host.connection.printer._publish(LineRefused(TEXT, "G1 X5", 123))
        await host.until(S.CANCELLED)


@pytest.mark.parametrize(("choice", "state"), [("fail", S.FAILED), ("pause", S.PAUSED)])
async def test_the_first_of_many_refused_lines_is_named(tmp_path, choice, state):
    async with job_host(tmp_path, printer={"on_error": choice}) as host:
        await refused(host)
        for n in range(6, 9):
            host.connection.printer._publish(LineRefused(TEXT, f"G1 X{n}", 123 + n))
        await host.until(state)
        assert "'G1 X5'" in (host.jobs.error or host.jobs.pause_reason)
        assert not host.jobs.error or "'G1 X8'" not in host.jobs.error
