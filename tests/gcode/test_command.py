import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcode.command import Command, parse
from gcode.errors import CommandError


@pytest.mark.parametrize(
    ("line", "code", "params"),
    [
        ("G1 X10 Y-.5 F1800", "G1", {"X": 10.0, "Y": -0.5, "F": 1800.0}),
        ("G1X10Y-.5", "G1", {"X": 10.0, "Y": -0.5}),
        ("g1 x1.e2", "G1", {"X": 1.0, "E": 2.0}),
        ("G28 X Y", "G28", {"X": None, "Y": None}),
        ("M104 T1 S210", "M104", {"T": 1.0, "S": 210.0}),
        ("T0", "T0", {}),
        ("G00 X1", "G0", {"X": 1.0}),
        ("G92.1", "G92.1", {}),
        (b"M140 S60", "M140", {"S": 60.0}),
        ("G1 X1 X2", "G1", {"X": 1.0}),
        ("  G 4 P 500", "G4", {"P": 500.0}),
    ],
)
def test_words_of_a_command_are_parsed(line, code, params):
    command = parse(line)
    assert (command.code, command.params, command.text) == (code, params, "")


@pytest.mark.parametrize(
    ("line", "code", "text"),
    [("M117 Hello G1 X2", "M117", "Hello G1 X2"), ("M118 nonce 7", "M118", "nonce 7"), ("M23 /a b.g", "M23", "/a b.g")],
)
def test_free_text_stays_text(line, code, text):
    assert parse(line) == Command(code, {}, text)


def test_text_without_parameters_is_kept():
    assert parse("G1 X1 *77").text == "*77"


@pytest.mark.parametrize("line", ["", "hello", "X10", "G", "@pause", "(G1)", "T" + "1" * 5000])
def test_text_without_a_command_is_an_error(line):
    with pytest.raises(CommandError, match="not a G-code command"):
        parse(line)


@pytest.mark.parametrize("line", ["G1 X1\nM112", "M104 S0\r"])
def test_a_line_break_is_refused(line):
    with pytest.raises(CommandError, match="line break"):
        parse(line)


def test_words_have_values_or_are_flags():
    command = parse("G1 X1.5 Y")
    assert "X" in command
    assert "Y" in command
    assert "Z" not in command
    assert command.get("X") == 1.5
    assert command.get("Y") is None
    assert command.get("Y", 7.0) == command.number("Z", 7.0) == 7.0


letters = st.sampled_from("ABCDEFHIJKLOPQRSUVWXYZ")
numbers = st.decimals(min_value=-9999, max_value=9999, places=3).map(float)


@given(
    code=st.sampled_from(["G0", "G1", "G28", "M104", "M205"]),
    params=st.dictionaries(letters, st.none() | numbers),
    glue=st.sampled_from(["", " ", "  "]),
    lower=st.booleans(),
)
def test_any_formatted_command_is_parsed_back(code, params, glue, lower):
    words = [letter + ("" if value is None else f"{value:.3f}") for letter, value in params.items()]
    line = code + glue + glue.join(words)
    assert parse(line.lower() if lower else line) == Command(code, params)


@given(st.text() | st.binary())
def test_any_text_is_a_command_or_a_command_error(line):
    with contextlib.suppress(CommandError):
        assert parse(line).code
