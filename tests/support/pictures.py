"""Pictures in G-code files, as slicers write them."""

import base64
import io

from PIL import Image


def qoi(width: int, height: int, red: int, green: int, blue: int) -> bytes:
    """Return a picture of one colour: header, one pixel, runs of it, end (https://qoiformat.org)."""
    head = b"qoif" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([3, 0])
    runs, rest = divmod(width * height - 1, 62)
    return (
        head
        + bytes([0xFE, red, green, blue])
        + b"\xfd" * runs
        + bytes([0xC0 | rest - 1] * bool(rest))
        + bytes(7)
        + b"\x01"
    )


def picture(kind: str, width: int = 32, height: int = 16) -> bytes:
    """Return a red picture as PNG, JPEG or QOI."""
    if kind == "QOI":
        return qoi(width, height, 255, 0, 0)
    out = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(out, kind)
    return out.getvalue()


def with_thumbnail(kind: str, gcode: bytes, data: bytes | None = None) -> bytes:
    """Return a file with a picture before its commands."""
    name = {"PNG": "thumbnail", "JPEG": "thumbnail_JPG", "QOI": "thumbnail_QOI"}[kind]
    text = base64.b64encode(picture(kind) if data is None else data).decode()
    lines = [f"; {text[at : at + 78]}" for at in range(0, len(text), 78)]
    return "\n".join([f"; {name} begin 32x16 {len(text)}", *lines, f"; {name} end\n"]).encode() + gcode
