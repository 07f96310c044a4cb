import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gcode.framing import Frame, checksum, frame, unframe
from support.marlin import xor_of


@pytest.mark.parametrize(
    ("number", "command", "wire"),
    [  # from dialogues with real firmware, so that both ends cannot share a mistake
        (1, b"M105", b"N1 M105*38\n"),
        (51, b"M105", b"N51 M105*19\n"),
        (0, b"M110 N50", b"N0 M110 N50*72\n"),
        (1, b"G1 X0.001 E0.00000 F6000", b"N1 G1 X0.001 E0.00000 F6000*85\n"),
        (30, b"G1 X10 F600", b"N30 G1 X10 F600*50\n"),
    ],
)
def test_frames_match_golden_examples(number, command, wire):
    assert frame(number, command) == wire
    assert unframe(wire.rstrip(b"\n")) == Frame(number, command, valid=True)


@given(st.binary(max_size=600))
def test_the_checksum_is_the_xor_of_all_bytes(data):
    assert checksum(data) == xor_of(data)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"M105", Frame(None, b"M105", None)),
        (b"M105*121", Frame(None, b"M105", valid=True)),
        (b"M105*1", Frame(None, b"M105", valid=False)),
        (b"N4 M105", Frame(4, b"M105", None)),
        (b"N4 M105*abc", Frame(4, b"M105", valid=False)),
        (b"N4M105*3", Frame(4, b"M105", valid=True)),
        (b"N-5 M105", Frame(-5, b"M105", None)),
        (b"", Frame(None, b"", None)),
        (b"*", Frame(None, b"", valid=False)),
        (b"N", Frame(None, b"N", None)),
    ],
)
def test_frames_are_parsed(line, expected):
    assert unframe(line) == expected


commands = st.from_regex(rb"[GM]\d{1,3}( [XYZEFS]-?\d{1,4}(\.\d{1,5})?){0,5}", fullmatch=True)


@given(number=st.integers(0, 99_999_999), command=commands)
def test_frames_are_parsed_back(number, command):
    assert unframe(frame(number, command)[:-1]) == Frame(number, command, valid=True)


@given(number=st.integers(0, 9999), command=commands, at=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_a_single_altered_byte_is_detected(number, command, at, flip):
    wire = bytearray(frame(number, command)[:-1])
    wire[at % len(wire)] ^= flip
    taken = unframe(bytes(wire))
    assert taken.valid is not True or (taken.number, taken.command) == (number, command)


@example(b"N" + b"1" * 5000 + b" G1*" + b"2" * 5000)
@given(st.binary())
def test_any_bytes_can_be_parsed(line):
    unframe(line)
