import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from daemon.front.analysis.thumbnails import MAX_PIXELS, as_png, as_text, decode, largest
from gcode.analysis.result import Thumbnail
from support.analysed import analyse
from support.pictures import picture, qoi, with_thumbnail


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "QOI"])
def test_thumbnails_of_slicers_are_read(kind):
    [thumbnail] = analyse(with_thumbnail(kind, b"G28\n")).thumbnails
    image = decode(thumbnail)
    assert image is not None
    assert (thumbnail.width, thumbnail.height) == image.size == (32, 16)
    red, green, blue, alpha = image.getpixel((5, 5))
    assert red > 250
    assert green < 5
    assert blue < 5
    assert alpha == 255


def test_the_largest_thumbnail_is_served_as_png():
    small, large = (Thumbnail("png", 0, 0, picture("PNG", size, size)) for size in (16, 64))
    image = largest([small, large, Thumbnail("png", 999, 999, b"no picture")])
    assert image is not None
    assert image.size == (64, 64)
    assert as_png(image).startswith(b"\x89PNG")
    assert largest([]) is None


def test_a_picture_with_too_many_pixels_is_not_decoded():
    wide = MAX_PIXELS // 1024 + 1
    assert decode(Thumbnail("qoi", 32, 16, qoi(1024, wide, 1, 2, 3)[:200])) is None  # whatever the comment says
    assert decode(Thumbnail("png", 32, 16, picture("PNG", 1024, wide))) is None


@given(st.binary(max_size=100), st.sampled_from(["PNG", "JPEG", "QOI"]), st.integers(0, 300))
def test_a_damaged_picture_is_decoded_or_ignored(noise, kind, at):
    data = picture(kind)
    image = decode(Thumbnail("png", 32, 16, data[:at] + noise + data[at + len(noise) :]))
    assert image is None or image.width * image.height <= MAX_PIXELS


def test_a_picture_is_drawn_for_the_terminal():
    lines = as_text(Image.new("RGBA", (40, 20), (0, 255, 0, 255)), columns=10).splitlines()
    assert len(lines) == 2
    assert lines[0] == "\x1b[38;2;0;255;0;48;2;0;255;0m▀" * 10 + "\x1b[0m"
