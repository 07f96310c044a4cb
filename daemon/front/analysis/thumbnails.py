"""Decodes the thumbnails in files, up to a limit on their size. Imports Pillow: only for worker and command line."""

import base64
import io
import warnings
from collections.abc import Iterable
from typing import Any

from PIL import Image

from gcode.analysis.result import Thumbnail

MAX_PIXELS = 1024 * 1024
_FORMATS = ("PNG", "JPEG", "QOI")


def decode(thumbnail: Thumbnail) -> Image.Image | None:
    """Return the picture; None if it cannot be decoded, or has more than MAX_PIXELS."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # the library only warns about some damage
            picture = Image.open(io.BytesIO(thumbnail.data), formats=_FORMATS)
            if picture.width * picture.height > MAX_PIXELS:
                return None
            return picture.convert("RGBA")
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError):
        return None


def largest(thumbnails: Iterable[Thumbnail]) -> Image.Image | None:
    """Return the largest picture that can be decoded."""
    pictures = [picture for each in thumbnails if (picture := decode(each))]
    return max(pictures, key=lambda picture: picture.width * picture.height, default=None)


def in_all_sizes(thumbnails: Iterable[Thumbnail]) -> list[dict[str, Any]]:
    """Return the decodable pictures, one of each size, the largest first: width, height, and PNG in base64."""
    by_size: dict[tuple[int, int], Image.Image] = {}
    for each in thumbnails:
        if (each.width, each.height) not in by_size and (picture := decode(each)):
            by_size[each.width, each.height] = picture
    pictures = sorted(by_size.items(), key=lambda each: each[1].width * each[1].height, reverse=True)
    return [
        {"width": width, "height": height, "png": base64.b64encode(as_png(picture)).decode()}
        for (width, height), picture in pictures
    ]


def as_png(picture: Image.Image) -> bytes:
    """Return a picture as PNG."""
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()


def as_text(picture: Image.Image, columns: int = 48) -> str:
    """Return a picture for a terminal with 24-bit colours: each character shows two pixels, one above the other."""
    size = (columns, max(2, round(columns * picture.height / picture.width / 2) * 2))
    pixels = Image.alpha_composite(Image.new("RGBA", picture.size, "black"), picture).resize(size).convert("RGB").load()
    if pixels is None:
        return ""
    lines = []
    for y in range(0, size[1], 2):
        line = ""
        for x in range(size[0]):
            (a, b, c), (d, e, f) = pixels[x, y], pixels[x, y + 1]  # type: ignore[misc]  # an RGB pixel is three numbers
            line += f"\x1b[38;2;{a};{b};{c};48;2;{d};{e};{f}m▀"
        lines.append(line + "\x1b[0m")
    return "\n".join(lines)
