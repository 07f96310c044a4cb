"""Pictures in every form that slicers write."""

import base64
import io
import math
import struct
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from daemon.front.analysis.thumbnails import decode, in_all_sizes
from gcode.analysis.pictures import MAX_THUMBNAILS, Pictures
from gcode.analysis.pixels import Image as Pixels
from gcode.analysis.pixels import read_image
from support.analysed import analyse
from support.pictures import picture

BODY = "".join(f";LAYER_CHANGE\n;Z:0.{n}\nG1 Z.{n}\nG1 X50 E{n}\n; perimeter\nG1 X10 E{n}.5\n" for n in range(1, 6))


def lines(data: bytes, width: int = 78) -> str:
    text = base64.b64encode(data).decode()
    return "".join(f"; {text[at : at + width]}\n" for at in range(0, len(text), width))


def only(text: str):
    """Return the only picture of a file, after checking that the rest of the file is analysed."""
    analysis = analyse(text + BODY + "; layer_height = 0.1\n")
    assert len(analysis.layers) == 5
    assert analysis.about.layer_height == 0.1
    [thumbnail] = analysis.thumbnails
    return thumbnail


def is_red(thumbnail) -> bool:
    image = decode(thumbnail).convert("RGB")
    red, green, blue = image.getpixel((image.width // 2, image.height // 2))
    return red > 240 and green < 10 and blue < 10


@pytest.mark.parametrize(
    ("begin", "end", "kind"),
    [
        ("thumbnail begin 32x16 99", "thumbnail end", "PNG"),
        ("thumbnail_PNG begin 32x16 99", "thumbnail_PNG end", "PNG"),
        ("thumbnail_JPG begin 32x16 99", "thumbnail_JPG end", "JPEG"),
        ("thumbnail_jpg begin 32x16 99", "thumbnail_jpg end", "JPEG"),
        ("thumbnail_QOI begin 32x16 99", "thumbnail_QOI end", "QOI"),
        ("Thumbnail_qoi begin 32 16 99", "Thumbnail_qoi end", "QOI"),
        ("png begin 32*16 99 1 197 500", "png end", "PNG"),
        ("jpg begin 32*16 99 1 197 500", " jpg end", "JPEG"),
    ],
)
def test_thumbnails_between_begin_and_end_are_read(begin, end, kind):
    for width in (78, 10_000):
        for space in ("", " "):
            thumbnail = only(f";{space}{begin}\n{lines(picture(kind), width)};{space}{end}\n;\n")
            assert (thumbnail.width, thumbnail.height, thumbnail.data) == (32, 16, picture(kind))
            assert is_red(thumbnail)


@pytest.mark.parametrize("name", ["thumbnail: ", "Thumbnail:", "thumbnail:"])
def test_snapmakers_form_is_one_line_of_any_length(name):
    text = base64.b64encode(picture("PNG", 320, 240) + bytes(40_000)).decode()
    thumbnail = only(f";FLAVOR:Marlin\n;{name}data:image/png;base64,{text}\n")
    assert (thumbnail.width, thumbnail.height) == (320, 240)
    assert is_red(thumbnail)


@pytest.mark.parametrize("name", [";simage:", ";;gimage:", ";gimage:"])
@pytest.mark.parametrize("end", ["M10086 ;\n", ""])
def test_the_form_of_mks_becomes_a_png(name, end):
    row = "00f8" * 20  # RGB565, the low byte first: red
    thumbnail = only(f"{name}{row}\n" + f"M10086 ;{row}\n" * 9 + end)
    assert (thumbnail.format, thumbnail.width, thumbnail.height) == ("png", 20, 10)
    assert decode(thumbnail).size == (20, 10)
    red, green, blue, _ = decode(thumbnail).getpixel((3, 3))
    assert red > 240
    assert green == blue == 0


def test_pixels_of_mks_are_decoded():
    thumbnail = only(";simage:1ff8e007\nM10086 ;ffff0000\nM10086 ;\n;;gimage:zz\nM10086 ;00\n")
    image = decode(thumbnail).convert("RGB")
    assert [image.getpixel(at) for at in ((0, 0), (1, 0), (0, 1), (1, 1))] == [
        (0xF8, 0, 0xF8), (0, 0xFC, 0), (0xF8, 0xFC, 0xF8), (0, 0, 0),
    ]  # fmt: skip


def test_a_small_and_a_large_thumbnail_of_mks_are_read():
    small, large = "00f8" * 10, "1f00" * 20
    text = f";simage:{small}\n" + f"M10086 ;{small}\n" * 9 + f"M10086 ;\n;;gimage:{large}\n" + f"M10086 ;{large}\n" * 19
    analysis = analyse(text + "M10086 ;\n" + BODY)
    assert [(each.width, each.height) for each in analysis.thumbnails] == [(10, 10), (20, 20)]
    assert [each["width"] for each in in_all_sizes(analysis.thumbnails)] == [20, 10]


@pytest.mark.parametrize("rest", ["", ";\n", "M104 S200\n", "G1 X5\n", "; printing\n"])
def test_a_picture_without_an_end_swallows_nothing(rest):
    thumbnail = only(f"; thumbnail begin 32x16 4000\n{lines(picture('PNG'))}{rest}")
    assert is_red(thumbnail)


def test_a_truncated_picture_is_ignored():
    analysis = analyse(
        f"; thumbnail begin 32x16 4000\n{lines(picture('PNG')[:40])}; printing object a id:0 copy 0\n{BODY}"
    )
    assert analysis.objects == ("a",)
    assert [decode(each) for each in analysis.thumbnails] == [None]
    assert in_all_sizes(analysis.thumbnails) == []


def test_a_thumbnail_that_begins_within_another_is_read():
    inner = (
        f"; thumbnail begin 16x16 99\n; iVBORw0K\n; thumbnail begin 32x16 99\n{lines(picture('PNG'))}; thumbnail end\n"
    )
    analysis = analyse(inner + BODY).thumbnails
    assert [(each.width, each.height) for each in analysis] == [(16, 16), (32, 16)]


def test_unknown_forms_are_left_out():
    analysis = analyse(
        f"; thumbnail_COLPIC begin 32x16 9\n; QUJD\n; thumbnail_COLPIC end\n;gimage:not hexadecimal\n{BODY}"
    )
    assert analysis.thumbnails == ()
    assert len(analysis.layers) == 5


def test_thumbnails_are_bounded():
    text = f"; thumbnail begin 32x16 9\n{lines(picture('PNG'))}; thumbnail end\n"
    assert len(analyse(text * 100 + BODY).thumbnails) == MAX_THUMBNAILS
    assert analyse(";thumbnail: data:image/png;base64," + "A" * 3_000_000 + "\n" + BODY).thumbnails == ()
    row = "00f8" * 1000
    assert analyse(f";simage:{row}\n" + f"M10086 ;{row}\n" * 2000 + BODY).thumbnails == ()


def colpic(width: int, height: int, colours: list[int], pixels: list[int]) -> str:
    """Return a picture in the form of ColPic: indexes of colours of 16 bits, as runs."""
    runs, group, at = bytearray(), 0, 0
    while at < len(pixels):
        length = 1
        while at + length < len(pixels) and pixels[at + length] == pixels[at] and length < 255:
            length += 1
        if pixels[at] // 32 != group:
            group = pixels[at] // 32
            runs.append(7 << 5 | group)
        runs += bytes([length << 5 | pixels[at] % 32] if length <= 6 else [pixels[at] % 32, length])
        at += length
    palette = struct.pack(f"<{len(colours)}H", *colours)
    data = struct.pack("<8I", 3, width, height, 0x05DDC33C, len(palette), len(runs), 0, 0) + palette + runs
    data += bytes(-len(data) % 3)
    bits = int.from_bytes(data, "big")
    characters = [bits >> 6 * (len(data) * 8 // 6 - 1 - n) & 63 for n in range(len(data) * 8 // 6)]
    return "".join(chr(48 + each) for each in characters).replace("\\", "~")


@pytest.mark.parametrize("width", [40, 1024, 100_000])
def test_the_form_of_colpic_becomes_a_png(width):
    """Elegoo and QIDI write it under the names of MKS, in lines of 1024 characters, or in one."""
    colours = [0xF800, *range(1, 70)]
    text = colpic(30, 20, colours, [0] * 500 + [n % 70 for n in range(100)])
    rows = [text[at : at + width] for at in range(0, len(text), width)]
    thumbnail = only(f";gimage:{rows[0]}\n" + "".join(f"M10086 ;{row}\n" for row in rows[1:]) + "M10086 ;\n")
    assert (thumbnail.format, thumbnail.width, thumbnail.height) == ("png", 30, 20)
    image = decode(thumbnail).convert("RGB")
    assert image.getpixel((0, 0)) == (0xF8, 0, 0)
    assert image.getpixel((29, 19)) == (0, 29 >> 3 & 0xFC, (29 & 31) << 3)


@given(st.binary(max_size=200), st.integers(0, 250))
def test_damaged_pixels_give_a_picture_or_none(data, at):
    good = colpic(8, 4, [0xF800, 7], [0, 1] * 16).encode()
    for text in (data, good[:at], good[: at % len(good)] + data[:1] + good[at % len(good) + 1 :]):
        image = read_image([text])
        assert image is None or len(image.pixels) == 3 * image.width * image.height


def test_all_sizes_are_listed_largest_first():
    text = "".join(
        f"; thumbnail begin {size}x{size} 9\n{lines(picture('PNG', size, size))}; thumbnail end\n"
        for size in (16, 220, 32, 32)
    )
    sizes = in_all_sizes(analyse(text).thumbnails)
    assert [(each["width"], each["height"]) for each in sizes] == [(220, 220), (32, 32), (16, 16)]
    image = Image.open(io.BytesIO(base64.b64decode(sizes[0]["png"])))
    assert (image.format, image.size) == ("PNG", (220, 220))


def test_our_png_is_read_by_pillow():
    image = Image.open(io.BytesIO(Pixels(2, 2, bytes([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])).png()))
    assert [image.getpixel(at) for at in ((0, 0), (1, 1))] == [(1, 2, 3), (10, 11, 12)]


_PARTS = st.sampled_from(
    [b";simage:00f8", b"M10086 ;00f8", b"M10086 ;", b"; thumbnail begin 1x1 4", b"; AAAA", b"; thumbnail end", b";=",
     b";thumbnail: data:image/png;base64,AA==", b"; png begin 1*1", b"G1 X1 E1", b"M10086", b";gimage:" + b"0" * 90]
)  # fmt: skip


@given(st.lists(st.one_of(_PARTS, st.binary(max_size=20)), max_size=30))
@example([b";" + b"thumbnail: data:" * 100])
def test_any_text_in_place_of_a_thumbnail_is_survived(parts):
    analysis = analyse(b"\n" + b"\n".join(parts))
    for each in analysis.thumbnails:
        decode(each)


HOSTILE = {
    "thumbnail begin": lambda n: "; thumbnail begin " + "1" * n,
    "blanks": lambda n: "; " + "a " * (n // 2),
    "equals sign at the end": lambda n: ";" + " " * n + "=",
    "equals signs": lambda n: "; a" + "=b" * (n // 2),
    "generated": lambda n: "; generated by " + "x on " * (n // 5),
    "object": lambda n: "; printing object " + " id:1 copy 1" * (n // 12),
    "layer": lambda n: ";LAYER:" + "0" * n,
    "commas": lambda n: "; layer 1" + "," * n,
    "estimate": lambda n: "; estimated printing time (normal mode) = " + "1" * n,
    "quotes": lambda n: "; filament_settings_id = " + '"' * n,
    "dots": lambda n: "; filament used [g] = " + "1." * (n // 2),
    "picture": lambda n: ";thumbnail: data:image/png;base64," + "A" * n,
    "pixels": lambda n: ";simage:" + "00f8" * (n // 4),
    "numbered": lambda n: "N" + "1" * n + "*" + "1" * n,
    "stars": lambda n: "N1 " + "*" * n,
    "command": lambda n: "G1 X" + "1" * n,
    "macro": lambda n: "EXCLUDE_OBJECT_DEFINE " + "NAME=a " * (n // 7),
    "name": lambda n: "M486 A" + "_id_1_copy_1" * (n // 12),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_every_line_is_parsed_in_linear_time(name):
    """Three comments of 100 kB once held up the analysis for 40 s."""

    def seconds(size: int) -> float:
        line = HOSTILE[name](size)
        text = f"; generated by PrusaSlicer 2.8.1 on x\n{line}\n{line}\n{line}\n{BODY}"
        best = math.inf
        for _ in range(3):
            began = time.process_time()
            analyse(text)
            best = min(best, time.process_time() - began)
        return best

    assert seconds(200_000) < 6 * seconds(50_000) + 0.02, "four times as long: 16 times where time grows by the square"


def test_a_long_line_is_recognised_however_it_is_split():
    pictures = Pictures()
    assert pictures.is_long(b";thumbnail: data:image/png;base64,AAAA")
    assert not pictures.is_long(b"; thumbnail begin 32x32 99")
    text = base64.b64encode(picture("PNG", 32, 16) + bytes(300_000)).decode()
    data = (f";x\n;thumbnail: data:image/png;base64,{text}\n" + BODY).encode()
    assert analyse(data) == analyse(data, cuts=tuple(range(1000, len(data), 7777)))
    [thumbnail] = analyse(data).thumbnails
    assert (thumbnail.width, thumbnail.height) == (32, 16)
