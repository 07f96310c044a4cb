import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcode import dialect
from gcode.fitting import fit_command, is_text
from gcode.framing import frame


@pytest.mark.parametrize(
    ("spoken", "command", "sent"),
    [
        (dialect.MARLIN, b"M117 Layer: 3 *", b"M117 Layer: 3 *"),
        (dialect.MARLIN, b"M117 a;b", b"M117 a,b"),
        (dialect.MARLIN, b"M486 AC:\\parts (1).stl", b"M486 AC:/parts [1].stl"),
        (dialect.MARLIN_1_0, b"M117 Layer: 3", b"M117 Layer. 3"),
        (dialect.MARLIN_1_0, b"M117 ** go **", b"M117 ++ go ++"),
        (dialect.MARLIN_1_0, b"M117 Going to G28", b"M117 going to g28"),
        (dialect.MARLIN_1_0, b"m117Getting warm", b"m117getting warm"),
        (dialect.MARLIN_1_0, b"M118 Go", None),
        (dialect.MARLIN_1_0, b"M486 Abracket_G28", None),
        (dialect.MARLIN_1_0, b"G1 X10:20", b"G1 X10:20"),
        (dialect.PRUSA, b"M117 5*5", b"M117 5+5"),
        (dialect.PRUSA, b"M486 Acube", None),
        (dialect.REPETIER, b"M117 50% (of 3)", b"M117 50  [of 3]"),
        (dialect.REPETIER, b"M486 Acube G28 M104 S0", None),
        (dialect.REPETIER, b"M486 S1", b"M486 S1"),
        (dialect.TEACUP, b"M117 G28", None),
        (dialect.TEACUP, b"M117", b"M117"),
        (dialect.SPRINTER, b"M117 hello", None),
        (dialect.KLIPPER, b"M117 50% (of 3): *", b"M117 50% (of 3): *"),
        (dialect.KLIPPER, b"M1170", b"M1170"),
        (dialect.UNKNOWN, b"M117 Go: 50%*", b"M117 go. 50 +"),
        (dialect.MARLIN, b"M117.5 a;b", b"M117.5 a;b"),
    ],
)
def test_texts_are_fitted_to_the_firmware(spoken, command, sent):
    assert fit_command(command, spoken) == sent


def test_a_text_is_cut_to_fit_its_numbered_line():
    name = b"M486 A" + b"x" * 200
    for number in (1, 999_999, 1_000_000, 123_456_789):
        assert len(frame(number, fit_command(name, dialect.MARLIN, number), 255)) <= 95 + 1
        assert len(fit_command(name, dialect.MARLIN, number)) == dialect.MARLIN.room(number)
    assert fit_command(b"M117 " + b"x" * 200, dialect.KLIPPER) == b"M117 " + b"x" * 200


def test_other_commands_are_not_cut():
    long = b"G1 " + b"X1 " * 99
    assert fit_command(long, dialect.MARLIN_1_0) == long
    assert not is_text(long)
    assert not is_text(b"M117")
    assert is_text(b"M117 a")


@given(st.binary(min_size=1, max_size=200), st.sampled_from([*dialect.DIALECTS, dialect.UNKNOWN]))
def test_any_text_leaves_a_line_that_can_be_acknowledged(text, spoken):
    sent = fit_command(b"M117 " + text, spoken)
    if sent is not None:
        body = sent[4:]
        assert not set(spoken.texts.end_characters) & set(body.decode("latin-1"))
        assert not any(letter in body.decode("latin-1") for letter in spoken.texts.command_letters)
        assert len(sent) <= spoken.longest_command
