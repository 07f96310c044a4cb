"""Binary G-code, in files written by the specification."""

import contextlib
import struct
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gcode.analysis.comments import Comments
from gcode.bgcode import MAX_BLOCK, MAX_METADATA, BgcodeDecoder, BgcodeError
from support import bgcode
from support.analysed import analyse
from support.pictures import picture

TEXT = b";LAYER_CHANGE\n;Z:0.2\nG1 X10.5 Y20 E.125 F1800\nG1 X11 E0.5\nM117 Layer 5 of 9\n; a comment\nM104 S200\n" * 40


def decode(data: bytes, cuts: tuple[int, ...] = ()) -> bytes:
    decoder = BgcodeDecoder()
    ends = sorted(min(cut, len(data)) for cut in cuts)
    pieces = [part for a, b in zip((0, *ends), (*ends, len(data)), strict=True) for part in decoder.feed(data[a:b])]
    return b"".join([*pieces, *decoder.finish()])


def commands(text: bytes) -> list[bytes]:
    return [line for line in text.splitlines() if line and not line.startswith(b";")]


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize("encoding", [0, 1, 2])
@pytest.mark.parametrize("compression", range(4))
def test_every_compression_and_encoding_is_read(compression, encoding, checked):
    text = decode(bgcode.whole(TEXT, b"", compression, encoding, checked=checked))
    assert commands(text) == commands(TEXT)
    assert (b"; a comment" in text) == (encoding != 1)
    if encoding != 1:
        assert TEXT in text


def test_metadata_becomes_comments():
    pictures = bgcode.picture(picture("PNG"), 32, 16) + bgcode.picture(picture("QOI", 8, 8), 8, 8, 2)
    analysis = analyse(decode(bgcode.whole(TEXT, pictures)) + b"M84\n")
    about = analysis.about
    assert analysis.slicer == "PrusaSlicer 2.8.1"
    assert (about.estimate, about.layer_height, about.first_layer_height, about.nozzle) == (3723, 0.2, 0.3, 0.4)
    assert (about.printer, about.filaments[0].type, about.filaments[0].weight) == ("MK9", "PLA", 4.5)
    assert [(each.format, each.data) for each in analysis.thumbnails] == [
        ("png", picture("PNG")),
        ("qoi", picture("QOI", 8, 8)),
    ]
    assert analysis.errors == (), "the settings are at the end, so it is whole"


def test_blanks_between_words_are_restored():
    lines = decode(bgcode.whole(b"G1 X10 Y10 E5\nG2 X1 Y2 I.5 J-3 E1\nG28 X\nM117 E5 X2\nG92 E0\n", encoding=1))
    assert commands(lines) == [b"G1 X10 Y10 E5", b"G2 X1 Y2 I.5 J-3 E1", b"G28 X", b"M117 E5 X2", b"G92 E0"]


def test_a_line_may_continue_in_the_next_block():
    data = bgcode.head() + bgcode.gcode(b"G1 X1") + bgcode.gcode(b"0 Y5\nG28")
    assert commands(decode(data)) == [b"G1 X10 Y5", b"G28"]


@given(st.lists(st.text(st.sampled_from("GXYZE0123456789.; M"), max_size=20), max_size=30), st.integers(0, 3))
@example(["G1 X1 E5"] * 30, 3)
def test_encoded_text_is_decoded_unchanged(lines, compression):
    text = "".join(f"{line}\n" for line in lines).encode()
    data = bgcode.head() + bgcode.gcode(text, compression)
    assert decode(data) == text + b"\n"


@given(st.lists(st.integers(0, 3000), max_size=6))
def test_the_result_is_the_same_however_it_is_split(cuts):
    data = bgcode.whole(TEXT[:900], bgcode.picture(picture("PNG"), 32, 16))
    assert decode(data, tuple(cuts)) == decode(data)


def test_each_damaged_byte_is_detected():
    data = bgcode.whole(TEXT[:300])
    for at in range(10, len(data)):
        bad = bytearray(data)
        bad[at] ^= 0x10
        with pytest.raises(BgcodeError, match=r"binary G-code: (block \d+|the file is cut off in block \d+)"):
            decode(bytes(bad))


def test_each_truncation_is_detected():
    """Except right after a block of G-code, because the file does not say how many blocks it has."""
    data = bgcode.whole(TEXT[:300])
    for size in range(len(data)):
        if size == _ends(data)[-2]:
            continue
        with pytest.raises(BgcodeError, match="cut off"):
            decode(data[:size])


def _ends(data: bytes) -> list[int]:
    ends, at = [], 10
    while at < len(data):
        kind, compression, size = struct.unpack_from("<HHI", data, at)
        packed = struct.unpack_from("<I", data, at + 8)[0] if compression else size
        at += (12 if compression else 8) + (6 if kind == bgcode.PICTURE else 2) + packed + 4
        ends.append(at)
    return ends


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "cut off in its header"),
        (b"GCDE", "cut off in its header"),
        (b"NOPE" + bytes(6), "does not begin with GCDE"),
        (bgcode.head(version=2), "version 2 is unknown"),
        (b"GCDE\1\0\0\0\7\0", "checksums of type 7"),
        (bgcode.head(), "cut off before its G-code"),
        (bgcode.head() + bgcode.table(bgcode.FILE, {"Producer": "x"}), "cut off before its G-code"),
        (bgcode.head() + bgcode.block(9, b"", b"xx"), "block 1 is of an unknown type, 9"),
        (bgcode.head() + bgcode.gcode(b"G28\n") + struct.pack("<HHII", 1, 1, 5, MAX_BLOCK + 1), "block 2 is too large"),
        (bgcode.head() + struct.pack("<HHI", 1, 0, 2**32 - 1), "block 1 is too large"),
        (bgcode.head() + bgcode.gcode(b"G28\n")[:-1] + b"\0", r"block 1 \(G-code\) is damaged: its checksum is wrong"),
        (bgcode.head() + bgcode.block(1, b"\0\0", b"x" * 9, 7), "block 1 .* unknown compression: 7"),
        (bgcode.head() + bgcode.gcode(b"G28\n", encoding=0).replace(b"\0\0G28", b"\5\0G28"), "checksum"),
        (bgcode.head(checked=False) + bgcode.block(1, b"\5\0", b"G28\n", checked=False), "unknown encoding: 5"),
        (bgcode.head() + bgcode.picture(b"x", 1, 1, kind=9), r"block 1 \(thumbnail\) .* unknown format: 9"),
        (bgcode.head() + bgcode.block(1, b"\1\0", b"\xff\xff\xfb\x1f"), "middle of a character"),
    ],
)
def test_damage_is_reported_with_its_block(data, reason):
    with pytest.raises(BgcodeError, match=reason):
        decode(data)


def test_more_bytes_than_announced_are_not_unpacked():
    bomb = zlib.compress(bytes(50_000_000))
    header = struct.pack("<HHII", 1, 1, 100, len(bomb))
    data = bgcode.head(checked=False) + header + b"\0\0" + bomb
    with pytest.raises(BgcodeError, match=r"block 1 .* damaged"):
        decode(data)


@pytest.mark.parametrize(
    ("announced", "cut", "reason"),
    [
        (4, 2, r"block 1 \(G-code\) is damaged: compressed data \(deflate\) is cut off"),
        (3, 0, "when unpacked, it has more than the 3 bytes that its header says"),
        (9, 0, "when unpacked, it has 4 bytes; its header says 9"),
    ],
)
def test_the_message_about_a_wrong_size_says_in_which_way_it_is_wrong(announced, cut, reason):
    packed = zlib.compress(b"G28\n")
    packed = packed[: len(packed) - cut]
    data = bgcode.head(checked=False) + struct.pack("<HHII", 1, 1, announced, len(packed)) + b"\0\0" + packed
    with pytest.raises(BgcodeError, match=reason):
        decode(data)


def test_tables_are_bounded():
    table = bgcode.table(bgcode.SLICER, {"k": "v" * 1_000_000}, bgcode.DEFLATE)
    with pytest.raises(BgcodeError, match=f"more than {MAX_METADATA} bytes"):
        decode(bgcode.head() + table * 5)


def test_json_tables_are_left_out():
    data = bgcode.head() + bgcode.block(bgcode.SLICER, b"\1\0", b'{"a": 1}') + bgcode.gcode(b"G28\n")
    assert decode(data) == b"G28\n\n"


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_give_a_text_or_a_clear_error(data, begun):
    with contextlib.suppress(BgcodeError):
        assert isinstance(decode(bgcode.head(checked=False) * begun + data), bytes)


def test_metadata_of_the_tables_is_read_like_comments():
    comments = Comments()
    for number, line in enumerate(decode(bgcode.whole(TEXT)).splitlines()):
        if line.startswith(b";"):
            comments.note(line, number)
    assert comments.settings["layer_height"] == "0.2"
