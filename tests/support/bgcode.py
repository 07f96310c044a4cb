"""Writes binary G-code, by the specification of libbgcode."""

import struct
import zlib

from support.meatpack_encoder import MeatPackEncoder

FILE, GCODE, SLICER, PRINTER, PRINT, PICTURE = range(6)
STORED, DEFLATE, HEATSHRINK_11, HEATSHRINK_12 = range(4)
_WINDOWS = {HEATSHRINK_11: (11, 4), HEATSHRINK_12: (12, 4)}


def heatshrink(data: bytes, window: int, lookahead: int) -> bytes:
    """Compress: refer to the longest earlier piece, else emit the byte."""
    bits = []
    at = 0
    longest, reach = 1 << lookahead, 1 << window
    while at < len(data):
        length, where = 0, -1
        for size in range(min(longest, len(data) - at), 1, -1):
            where = data.rfind(data[at : at + size], max(0, at - reach), at + size - 1)
            if where >= 0:
                length = size
                break
        if length:
            bits.append(f"0{at - where - 1:0{window}b}{length - 1:0{lookahead}b}")
            at += length
        else:
            bits.append(f"1{data[at]:08b}")
            at += 1
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return int(text or "0", 2).to_bytes(len(text) // 8, "big")


def block(kind: int, parameters: bytes, data: bytes, compression: int = STORED, *, checked: bool = True) -> bytes:
    packed = data
    if compression == DEFLATE:
        packed = zlib.compress(data)
    elif compression in _WINDOWS:
        packed = heatshrink(data, *_WINDOWS[compression])
    header = struct.pack("<HHI", kind, compression, len(data))
    if compression:
        header += struct.pack("<I", len(packed))
    whole = header + parameters + packed
    return whole + struct.pack("<I", zlib.crc32(whole)) * checked


def table(kind: int, pairs: dict[str, str], compression: int = STORED, *, checked: bool = True) -> bytes:
    text = "".join(f"{key}={value}\n" for key, value in pairs.items())
    return block(kind, b"\0\0", text.encode(), compression, checked=checked)


def gcode(text: bytes, compression: int = STORED, encoding: int = 0, *, checked: bool = True) -> bytes:
    """Return a block of G-code; encoding 1 leaves comments out, 2 keeps them."""
    data = text
    if encoding:
        encoder = MeatPackEncoder(blanks=False)
        data = encoder.begin()
        packing = True
        for line in text.splitlines():
            if line.startswith(b";"):
                if encoding == 2:
                    data += b"\xff\xff\xfa" * packing + line + b"\n"
                    packing = False
            elif line:
                data += b"\xff\xff\xfb" * (not packing) + encoder.line(line)
                packing = True
    return block(GCODE, bytes([encoding, 0]), data, compression, checked=checked)


def picture(data: bytes, width: int, height: int, kind: int = 0, *, checked: bool = True) -> bytes:
    return block(PICTURE, struct.pack("<HHH", kind, width, height), data, checked=checked)


def head(*, checked: bool = True, version: int = 1) -> bytes:
    return b"GCDE" + struct.pack("<IH", version, checked)


def whole(text: bytes, pictures: bytes = b"", compression: int = DEFLATE, encoding: int = 2, *, checked: bool = True):
    """Return a file as PrusaSlicer writes it."""
    lines = text.splitlines(keepends=True)
    parts = [b"".join(lines[at : at + 100]) for at in range(0, len(lines), 100)]
    printed = {"filament used [g]": "4.50", "estimated printing time (normal mode)": "1h 2m 3s"}
    sliced = {"layer_height": "0.2", "first_layer_height": "0.3", "nozzle_diameter": "0.4"}
    return (
        head(checked=checked)
        + table(FILE, {"Producer": "PrusaSlicer 2.8.1"}, checked=checked)
        + table(PRINTER, {"printer_model": "MK9", "filament_type": "PLA"}, checked=checked)
        + pictures
        + table(PRINT, printed, checked=checked)
        + table(SLICER, sliced, DEFLATE, checked=checked)
        + b"".join(gcode(part, compression, encoding, checked=checked) for part in parts)
    )
