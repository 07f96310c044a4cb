"""The reason of a pause by the printer is taken from its notifications, not from answers."""

import asyncio
from types import SimpleNamespace

import pytest

from daemon.core.job.pause_reason import text_before_pause
from gcode.dialect import MARLIN, REPETIER

SETTINGS = ["< echo:; PID settings:", "< echo:  M301 P22.20 I1.08 D114.00"]
RUNOUT = "< echo:Filament runout detected!"


async def reason(*lines, dialect=MARLIN, recent=None):
    now = asyncio.get_running_loop().time()

    def tail_since(time):
        return list(lines) if recent is None or time < now - 10 else list(lines)[-recent:]

    recorder = SimpleNamespace(tail_since=tail_since)
    return text_before_pause(SimpleNamespace(flight_recorder=recorder, dialect=dialect))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["> N7 G1 X5*100", RUNOUT], "Filament runout detected!"),
        (["> N7 G1 X5*100", "< //", "< echo: "], None),
        (["> N7 G1 X5*100", "< // filament is out"], "filament is out"),
        (["> M503", *SETTINGS, "< ok"], None),
        (["> M503", *SETTINGS], None),
        ([RUNOUT, "> M503", *SETTINGS, "< ok"], "Filament runout detected!"),
        (["> N7 G1 X5*100", "> N8 M503*1", "< ok", *SETTINGS, "< ok"], None),
        (["> N7 G1 X5*100", "> N8 M503*1", RUNOUT, "< ok", *SETTINGS, "< ok"], "Filament runout detected!"),
        (["> N7 M600*100", RUNOUT], "Filament runout detected!"),
        (["> N7 M503*1", "< Error:checksum mismatch", "< Resend: 7", "< ok", "> N7 M503*1", *SETTINGS], None),
        (["> M117 Hello", "< echo:Hello", "< ok"], None),
        (["> N7 G29*100", "< Error:Probing failed"], "Error:Probing failed"),
    ],
)  # fmt: skip
async def test_an_answer_is_not_a_reason(lines, expected):
    assert await reason(*lines) == expected


async def test_an_answer_after_an_ok_at_receipt_is_not_a_reason():
    assert await reason("> M503", "< ok 0", *SETTINGS, dialect=REPETIER) is None
    assert await reason("> M503", "< ok 0", *SETTINGS, "> G1 X1", "< ok 1", RUNOUT, dialect=REPETIER) == RUNOUT[7:]


async def test_an_old_message_is_not_a_reason():
    assert await reason(RUNOUT, "> N7 G1 X5*100", "< ok", recent=2) is None


BANNER = ["< start", "< echo:Marlin 2.0.9", "< echo: Last Updated: 2021"]
HELLO = "> N0 M110 N0*125"


@pytest.mark.parametrize(
    "greeting", [[*BANNER, HELLO, "< ok"], [HELLO, *BANNER, "< ok"], [HELLO, *BANNER, HELLO, "< ok"]]
)
async def test_the_banner_is_not_a_reason(greeting):
    assert await reason(*greeting, "> N1 M115*39", "< FIRMWARE_NAME:Marlin", "< ok") is None
    assert await reason(*greeting, "> N2 G1 X5*100", RUNOUT) == RUNOUT[7:]


async def test_a_banner_without_an_answer_to_m110_is_not_a_reason():
    assert await reason("> N7 G1 X5*100", RUNOUT, *BANNER) is None
