"""A whole print on each simulated firmware: every line arrives once, and the print completes."""

from dataclasses import replace

import pytest

from hal.simulated.personalities import FIRMWARES
from hal.simulated.scenario import Fault, Scenario
from support.job_host import MOVES, S, job_host


@pytest.mark.parametrize("firmware", FIRMWARES)
async def test_a_file_is_printed_to_its_end(tmp_path, firmware):
    async with job_host(tmp_path, firmware=FIRMWARES[firmware]) as host:
        host.start(["G28", *MOVES])
        await host.until(S.COMPLETED, S.FAILED, S.INTERRUPTED)
        assert (host.jobs.state, host.jobs.error) == (S.COMPLETED, None)
        assert host.file_moves == MOVES


@pytest.mark.parametrize("firmware", FIRMWARES)
async def test_no_line_is_repeated_after_a_reset_of_the_board(tmp_path, firmware):
    """Some say nothing as they boot, and then ask for line 1."""
    reset = Scenario((Fault("reset", line=60),))
    async with job_host(tmp_path, firmware=replace(FIRMWARES[firmware], scenario=reset)) as host:
        host.start(["G28", *MOVES])
        await host.until(S.COMPLETED, S.FAILED, S.INTERRUPTED)
        assert host.jobs.state is not S.COMPLETED
        assert host.file_moves == MOVES[: len(host.file_moves)]


async def test_reprapfirmware_reports_its_reset_in_its_own_words(tmp_path):
    reset = Scenario((Fault("reset", line=20),))
    async with job_host(tmp_path, firmware=replace(FIRMWARES["reprapfirmware"], scenario=reset)) as host:
        host.start(["G28", *MOVES])
        await host.until(S.COMPLETED, S.FAILED, S.INTERRUPTED)
        assert host.jobs.state is S.INTERRUPTED
        assert "the board restarted" in host.jobs.error
