from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gcode.firmware_traits import EMode
from gcode.modes import Modes


def after(*lines: str, e_mode: EMode = "last") -> Modes:
    modes = Modes(e_mode=e_mode)
    for line in lines:
        modes.note(line.encode())
    return modes


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], Modes()),
        (["G91"], Modes(relative=True, relative_e=True)),
        (["G91", "M82"], Modes(relative=True)),
        (["M83", "G90"], Modes(m83=True)),
        (["G90", "M83"], Modes(relative_e=True, m83=True)),
        (["g90", "m83", "g1 x5 f1200"], Modes(relative_e=True, m83=True, feedrate=b"1200")),
        (["G91.1", "G900", "M830", "M823"], Modes()),
        (["G20", "G1 X1 F60.5"], Modes(inches=True, feedrate=b"60.5")),
        (["G1 F1800", "G1 X1", "G0X2F9000"], Modes(feedrate=b"9000")),
        (["G01 X5 F3000"], Modes(feedrate=b"3000")),
        (["G1Y5F900"], Modes(feedrate=b"900")),
        (["M117 F5", "G29 F1", "G92 E0"], Modes()),
        (["T1", "M106 S128"], Modes(tool=1, fan=128)),
        (["M106", "T0"], Modes(tool=0, fan=255)),
        (["M106 S12", "M107"], Modes(fan=0)),
        (["M106 S0", "M1060"], Modes(fan=0)),
        (["M106 P1 S77", "M107 P2"], Modes()),
        (["M106 P0 S77"], Modes(fan=77)),
        (["M106 S900"], Modes(fan=255)),
        (["G28 X Y"], Modes(homed=True)),
        (["G28", "M84"], Modes()),
        (["M220 S150", "M221 S95"], Modes(feed=150, flow=95)),
        (["M220S50", "M221T0S90"], Modes(feed=50, flow=90)),
        (["G1 X1 f3000", "M106 s7", "M220 s80"], Modes(feedrate=b"3000", fan=7, feed=80)),
        (["M220 S150", "M220 B", "M220 S80", "M220 R"], Modes()),
        (["M221 T0 S90", "M220", "M2200 S5", "M221"], Modes(flow=90)),
        (["G28", "M84 S600"], Modes(homed=True)),
        (
            ["G090", "M083", "T01", "M0106 S7", "G 28", "M 0220 S80"],
            Modes(relative_e=True, m83=True, tool=1, fan=7, homed=True, feed=80),
        ),
        (["G28", "M084"], Modes()),
        (["G28", "M18 S0"], Modes(homed=True)),
        (["G28", "M18 E", "G28"], Modes(homed=True)),
    ],
)
def test_modes_follow_commands(lines, expected):
    assert after(*lines) == expected


commands = st.sampled_from(["G90", "G91", "M82", "M83", "G20", "G21", "G1 X1 F300", "G1 Y2", "T1", "M106 S7", "M107"])


class CoordinateReader:
    """How a firmware reads coordinates, with the variables that its source has."""

    def __init__(self, e_mode):
        self.e_mode = e_mode
        self.all_relative = self.m83 = self.e_bit = False

    def carry_out(self, lines):
        for line in lines:
            if line in ("G90", "G91"):
                self.all_relative = self.e_bit = line == "G91"
            elif line in ("M82", "M83"):
                self.m83 = self.e_bit = line == "M83"
        return self

    @property
    def relative(self):
        e = {"last": self.e_bit, "either": self.all_relative or self.m83, "own": self.m83}[self.e_mode]
        return self.all_relative, e

    @property
    def memory(self):
        """What later commands depend on."""
        return self.relative if self.e_mode == "last" else (self.all_relative, self.m83)


@given(e_mode=st.sampled_from(get_args(EMode)), before=st.lists(commands), meanwhile=st.lists(commands))
def test_restoring_undoes_any_commands_in_between(e_mode, before, meanwhile):
    was = after(*before, e_mode=e_mode)
    board = CoordinateReader(e_mode).carry_out(before)
    assert (was.relative, was.relative_e) == board.relative
    remembered = board.memory
    back = was.commands_to_restore_all()
    assert board.carry_out([*meanwhile, *back]).memory == remembered
    now = after(*before, *meanwhile, *back, e_mode=e_mode)
    assert (now.relative, now.relative_e) == (was.relative, was.relative_e)
    for mode in ("inches", "feedrate", "tool", "fan"):
        if getattr(was, mode) not in (None, b""):  # what was never set cannot be set again
            assert getattr(now, mode) == getattr(was, mode)


def test_modes_never_set_are_not_restored():
    assert Modes().commands_to_restore_all() == ["G90", "M82"]


@example(b"M106 S" + b"1" * 5000)
@given(st.binary(min_size=1))
def test_any_line_can_be_followed(line):
    Modes().note(line)
