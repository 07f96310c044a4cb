import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gcode.errors import CommandError
from gcode.meatpack import CHARACTERS, Decoder, PackOrder, count_literals, order_bytes, pack
from support.meatpack_encoder import MeatPackEncoder

LINES = st.lists(st.text(st.characters(min_codepoint=0, max_codepoint=127, exclude_characters="\n")), max_size=8)
COMMANDS = st.lists(st.text(st.sampled_from("GXYZEF0123456789.- M")), max_size=20)


def unpack(data: bytes, cuts: tuple[int, ...] = ()) -> bytes:
    decoder = Decoder()
    ends = sorted(min(cut, len(data)) for cut in cuts)
    text = b"".join(decoder.feed(data[a:b]) for a, b in zip((0, *ends), (*ends, len(data)), strict=True))
    decoder.finish()
    return text


@given(LINES | COMMANDS, st.booleans(), st.lists(st.integers(0, 300), max_size=4))
@example(lines=["G1 X10 Y20 E.5", "M117 G E 1"], blanks=False, cuts=[])
@example(lines=[""], blanks=True, cuts=[4])
def test_packed_text_is_unpacked_unchanged(lines, blanks, cuts):
    encoder = MeatPackEncoder(blanks=blanks)
    data = encoder.begin() + b"".join(encoder.line(line.encode()) for line in lines)
    kept = (line if blanks or not line.startswith("G") else line.replace(" ", "") for line in lines)
    assert unpack(data, tuple(cuts)).decode() == "".join(f"{line}\n" for line in kept)


@given(LINES | COMMANDS)
def test_the_fast_packer_gives_the_same_bytes(lines):
    for line in lines:
        text = line.encode() + b"\n"
        assert pack(text) == MeatPackEncoder().line(line.encode())
        assert len(pack(text)) == (len(text) + 1) // 2 + count_literals(text)


def test_known_vectors_are_unpacked():
    """By the table of the firmware: 0 to 9, dot, blank or E, line feed, G, X; 15 for an unpacked character."""
    assert CHARACTERS == b"0123456789. \nGX"
    assert MeatPackEncoder().begin() == b"\xff\xff\xfb\xff\xff\xf6"
    assert MeatPackEncoder(blanks=False).begin() == b"\xff\xff\xfb\xff\xff\xf7"
    assert MeatPackEncoder().line(b"G1") == bytes([0x1D, 0xCC]), "of odd length: two line feeds"
    assert MeatPackEncoder().line(b"G1 X2.5") == bytes([0x1D, 0xEB, 0xA2, 0xC5])
    assert MeatPackEncoder().line(b"Y1") == bytes([0x1F, ord("Y"), 0xCC])
    assert MeatPackEncoder().line(b"1Y3") == bytes([0xF1, ord("Y"), 0xC3])
    assert MeatPackEncoder().line(b"MY") == bytes([0xFF, ord("M"), ord("Y"), 0xCC])
    assert MeatPackEncoder(blanks=False).line(b"G1 E5") == bytes([0x1D, 0x5B, 0xCC])
    assert unpack(order_bytes(PackOrder.PACK) + bytes([0xFF, ord("M"), ord("Y"), 0xCC])) == b"MY\n"


def test_packing_halves_the_bytes():
    line = b"G1X103.251E.0312"
    assert len(MeatPackEncoder(blanks=False).line(line)) <= (len(line) + 2) / 2


def test_nothing_is_unpacked_before_the_first_order_and_after_the_last():
    data = (
        b"M105\n"
        + order_bytes(PackOrder.PACK)
        + MeatPackEncoder().line(b"G28")
        + order_bytes(PackOrder.RESET)
        + b"; \x1d\n"
    )
    assert unpack(data) == b"M105\nG28\n; \x1d\n"
    both = (
        order_bytes(PackOrder.PACK)
        + MeatPackEncoder().line(b"G1")
        + order_bytes(PackOrder.UNPACK)
        + b"M1\n"
        + order_bytes(PackOrder.PACK)
    )
    assert unpack(both + MeatPackEncoder().line(b"G2")) == b"G1\nM1\nG2\n"


@pytest.mark.parametrize("text", [b"a\nb", "°".encode(), b"\xff"])
def test_text_that_cannot_be_packed_is_refused(text):
    with pytest.raises(CommandError, match="one line of ASCII"):
        MeatPackEncoder().line(text)


@pytest.mark.parametrize("data", [b"\xff", b"\xff\xff", b"\xff\xff\xfb\x1f", b"\xff\xff\xfb\xffM"])
def test_an_end_within_a_character_is_an_error(data):
    decoder = Decoder()
    decoder.feed(data)
    with pytest.raises(CommandError, match="middle of a character"):
        decoder.finish()


@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_bytes_are_accepted_however_they_are_split(data, cut):
    whole, halves = Decoder(), Decoder()
    assert halves.feed(data[:cut]) + halves.feed(data[cut:]) == whole.feed(data)
    assert len(whole.feed(b"")) == 0
