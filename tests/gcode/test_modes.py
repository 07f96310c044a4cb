import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcode.modes import Modes


def after(*lines: str) -> Modes:
    modes = Modes()
    for line in lines:
        modes.note(line.encode())
    return modes


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], Modes()),
        (["G91"], Modes(relative=True, relative_e=True)),
        (["G91", "M82"], Modes(relative=True)),
        (["M83", "G90"], Modes()),
        (["G90", "M83"], Modes(relative_e=True)),
        (["G91.1", "G900", "M830", "M823"], Modes()),
        (["G20", "G1 X1 F60.5"], Modes(inches=True, feedrate=b"60.5")),
        (["G1 F1800", "G1 X1", "G0X2F9000"], Modes(feedrate=b"9000")),
        (["M117 F5", "G28 F1", "G92 E0"], Modes()),
        (["T1", "M106 S128"], Modes(tool=1, fan=128)),
        (["M106", "T0"], Modes(fan=255)),
        (["M106 S12", "M107"], Modes()),
        (["M106 S0", "M1060"], Modes()),
    ],
)
def test_following(lines, expected):
    assert after(*lines) == expected


commands = st.sampled_from(["G90", "G91", "M82", "M83", "G20", "G21", "G1 X1 F300", "G1 Y2", "T1", "M106 S7", "M107"])


@given(before=st.lists(commands), meanwhile=st.lists(commands))
def test_whatever_happens_between_is_undone(before, meanwhile):
    was = after(*before)
    now = after(*before, *meanwhile, *was.restore_all())
    if not was.feedrate:  # no speed was set, so there is none to go back to
        now.feedrate = b""
    assert (now.relative, now.relative_e, now.feedrate, now.tool, now.fan) == (
        was.relative,
        was.relative_e,
        was.feedrate,
        was.tool,
        was.fan,
    )
    assert now.inches == was.inches


@given(st.binary(min_size=1))
def test_any_line_can_be_followed(line):
    Modes().note(line)
