"""The emergency stop alone; tests/hal/test_driver.py has it together with its connection."""

import asyncio

import pytest

from gcode.dialect import PRUSA_BUDDY, REPETIER, UNKNOWN
from hal.emergency_stop import CONFIRM_TIMEOUT, EmergencyStop


@pytest.mark.parametrize(
    ("dialect", "reason"),
    [
        (UNKNOWN, "the printer did not confirm the stop"),
        (REPETIER, "the printer did not confirm the stop"),
        (PRUSA_BUDDY, "this firmware never confirms an emergency stop"),
    ],
)
async def test_a_stop_that_nobody_confirms_asks_to_cut_the_power_and_says_whether_that_is_normal(dialect, reason):
    ends = []
    stop = EmergencyStop(
        asyncio.get_running_loop(), lambda _: None, lambda severity, text: ends.append((severity, text)), dialect
    )
    stop.begin(7)
    await asyncio.sleep(CONFIRM_TIMEOUT - 0.1)
    assert ends == []
    await asyncio.sleep(60)
    assert ends == [("error", f"{reason}: CUT THE PRINTER'S POWER if it moves or heats")]
