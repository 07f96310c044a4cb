"""An error that answers a line of the job: the print fails, pauses or goes on; firmware and line stay as they are."""

import asyncio

import pytest

from daemon.bridge.words import JobState as S
from hal.printer import ConnectionState, LineRefused
from support.house import house

TEXT = "!! Must home axis first: 10.000 10.000 0.000 [0.000]"
HOT = ["M140 S60", "M104 S200", *(f"G1 X{n % 100} F600" for n in range(200))]


async def refused(it):
    it.start(HOT)
    await it.until(S.PRINTING)
    await asyncio.sleep(8)
    it.connection.printer._publish(LineRefused(TEXT, "G1 X5", 123))


async def test_the_print_fails_with_the_text_and_the_printer_is_cold_and_ready(tmp_path):
    async with house(tmp_path) as it:
        await refused(it)
        await it.until(S.FAILED)
        await it.settle()
        assert TEXT in it.jobs.error
        assert "G1 X5" in it.jobs.error
        assert it.board.hotend.target == it.board.bed.target == 0
        assert it.connection.state is ConnectionState.READY
        it.jobs.select(it.jobs.selected)
        assert it.jobs.error is None, "what somebody has taken note of does not stay beside a working printer"


@pytest.mark.parametrize(("choice", "state"), [("ignore", S.PRINTING), ("pause", S.PAUSED)])
async def test_it_may_be_a_pause_or_a_warning(tmp_path, choice, state):
    async with house(tmp_path, printer={"on_error": choice}) as it:
        await refused(it)
        await it.until(state)
        assert TEXT in it.jobs.warning
        assert it.jobs.error is None
        assert it.board.bed.target == 60


async def test_one_that_comes_while_a_print_is_called_off_changes_nothing(tmp_path):
    async with house(tmp_path) as it:
        it.start(HOT)
        await it.until(S.PRINTING)
        await asyncio.sleep(8)
        it.jobs.cancel()
        it.connection.printer._publish(LineRefused(TEXT, "G1 X5", 123))
        await it.until(S.CANCELLED)


@pytest.mark.parametrize(("choice", "state"), [("fail", S.FAILED), ("pause", S.PAUSED)])
async def test_of_many_lines_that_were_on_their_way_the_first_is_named(tmp_path, choice, state):
    async with house(tmp_path, printer={"on_error": choice}) as it:
        await refused(it)
        for n in range(6, 9):
            it.connection.printer._publish(LineRefused(TEXT, f"G1 X{n}", 123 + n))
        await it.until(state)
        assert "'G1 X5'" in (it.jobs.error or it.jobs.pause_reason)
        assert not it.jobs.error or "'G1 X8'" not in it.jobs.error
