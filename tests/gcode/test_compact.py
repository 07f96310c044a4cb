import re
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gcode import dialect
from gcode.command import parse
from gcode.compact import canonical_form, compactor
from gcode.framing import checksum, dense_frame, frame, number_of, unframe, without_number
from gcode.outgoing import job_line
from hal.simulated.config import FirmwareConfig
from hal.simulated.receiver import ReceivedLine, Receiver

compact = compactor("")

DIGITS = st.text("0123456789", max_size=7)
NUMBERS = st.builds(
    lambda sign, whole, point, rest: sign + (whole + point + rest if point else whole or "0") if whole or rest else "0",
    st.sampled_from(["", "", "-", "+"]), DIGITS, st.sampled_from(["", ".", "."]), DIGITS,
)  # fmt: skip
WORDS = st.lists(st.tuples(st.sampled_from("XYZEFIJKRSP"), NUMBERS), min_size=1, max_size=6)
MOVES = st.builds(
    lambda code, words, gap: code + "".join(f"{gap}{letter}{number}" for letter, number in words),
    st.sampled_from(["G0", "G1", "G2", "G3", "G92"]), WORDS, st.sampled_from([" ", "  "]),
)  # fmt: skip
LINES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40) | st.text(
    "GMXYE019. -+;()", max_size=30
)


def meaning(line: str) -> tuple[str, list[tuple[str, Decimal]]]:
    """Read a move as strictly as it can be, by decimals."""
    code, rest = re.fullmatch(r"(G\d+)(.*)", line).groups()
    words = re.findall(r"([A-Z])([+-]?(?:\d+\.?\d*|\.\d+)) *", rest)
    assert "".join(letter + number for letter, number in words) == rest.replace(" ", ""), "nothing is left over"
    return code, [(letter, Decimal(number)) for letter, number in words]


@given(MOVES, st.sampled_from(["", "E"]), st.integers(1, 999_999))
@example(line="G1 Y.0 X5", keep="", number=1)
@example(line="G1 Y0. X5", keep="", number=1)
@example(line="G1 Z-0.00 X-00.50", keep="E", number=1)
@example(line="G0 X0.0 Y+1.050 E.00", keep="E", number=1)
def test_a_move_means_the_same_to_the_last_decimal(line, keep, number):
    dense = compactor(keep)(line.encode())
    assert len(dense) <= len(line)
    assert meaning(dense.decode()) == meaning(line)
    assert canonical_form(dense) == canonical_form(line.encode())
    assert parse(dense) == parse(line)
    assert compactor(keep)(dense) in (dense, dense.replace(b" ", b"")), "there is nothing more to be dropped"
    assert not re.search(rb"(?<![\d.])[+-]?0+\.?0*X", dense), "`Y0X10` is hexadecimal to some"
    receiver = Receiver(FirmwareConfig())
    receiver.last_number = number - 1
    receiver.store(dense_frame(number, dense))
    assert receiver.take() == ReceivedLine(number, dense.decode())


@given(LINES)
@example("M117 G1 X1.0 Y2.0")
@example("G1 X1.0 ; G1 X1.0")
@example('M118 "G1  X1.0"')
@example("M486 AG1 X1.0")
@example("G1 X1.0 (Y1.0)")
@example("G1 X1.0*12")
@example("G1 X1.0 Y")
@example("G28 X Y0.0")
@example("G92.1 X0.0")
@example("G01 X1.0")
@example("G1 X1e3")
@example("G1 X0x10")
@example("G1 X1.0.0")
@example("M23 G1 X1.0.gco")
@example("G10 X1.0")
@example("G1 X 1.0")
def test_other_commands_stay_byte_for_byte(line):
    if not re.fullmatch(r"G(?:[0-3]|92)(?: +[XYZEFIJKRSP][+-]?(?:\d+\.?\d*|\.\d+))+ *", line):
        assert compact(line.encode()) == line.encode()


@pytest.mark.parametrize(
    ("line", "dense", "for_prusa"),
    [
        ("G1 X110.250 Y23.456 E12.34500", "G1X110.25Y23.456E12.345", "G1X110.25Y23.456 E12.345"),
        ("G1 X100.000 Y-0.500 E0.01200 F1800.000", "G1X100Y-.5E.012F1800", "G1X100Y-.5 E.012F1800"),
        ("G0 F7200 X0.000 Y10", "G0F7200 X0Y10", "G0F7200 X0Y10"),
        ("G0 X-0.0 Y+7", "G0 X0Y7", "G0 X0Y7"),
        ("G1 Z0 X10", "G1Z0 X10", "G1Z0 X10"),
        ("G92 E0.00000", "G92E0", "G92 E0"),
        ("G1 X100 Y2000", "G1X100Y2000", "G1X100Y2000"),
    ],
)
def test_superfluous_characters_are_dropped(line, dense, for_prusa):
    assert compact(line.encode()).decode() == dense
    assert compactor("E")(line.encode()).decode() == for_prusa


def test_only_tested_firmwares_get_compact_lines():
    assert {each.name: each.compact for each in (*dialect.DIALECTS, dialect.UNKNOWN) if each.compact is not None} == {
        "Marlin": "E",
        "Prusa-Firmware": "E",
    }


def test_a_compact_line_keeps_its_place_and_modes():
    assert job_line(70, b"G1 X1.0 Y2", compact) == (70, b"G1X1Y2", checksum(b"G1X1Y2"), False)
    assert job_line(70, b"G1 X1 F600", compact)[3]


@pytest.mark.parametrize("command", [b"G1X1", b"G1 X1", b"G28", b"M105", b"M117 N5 G1", b"T0", b"N2O_ON"])
def test_a_frame_without_a_blank_after_its_number_is_read(command):
    raw = dense_frame(120, command)
    assert raw == (dense_frame(120, b"G1X1") if command == b"G1X1" else frame(120, command)), "others keep it"
    assert number_of(raw) == number_of(frame(120, command)) == 120
    assert without_number(raw).rpartition(b"*")[0] == command == without_number(frame(120, command)).rpartition(b"*")[0]
    parsed = unframe(raw[:-1])
    assert (parsed.number, parsed.command, parsed.valid) == (120, command, True)
