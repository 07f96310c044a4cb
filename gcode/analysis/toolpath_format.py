"""The form of a toolpath: what is known of it without NumPy. `docs/toolpath.md` describes it byte by byte."""

import struct

from gcode.frozen import frozen

MAGIC = b"NZTP"
FORMAT = 1
"""Of what is written; a toolpath of another format is made anew."""

UNITS = 100
"""In a millimetre: places are whole numbers of these."""

CHUNK = 16_384
"""Vertices that are compressed together."""

EVERY = 64
"""Vertices from one checkpoint of time and place in the file to the next."""

TICKS = 100
"""In a second."""

_HEADER = struct.Struct("<4sBBH6I4iQ8s")
HEADER = _HEADER.size
"""Bytes; what is compressed begins behind them."""


@frozen
class Header:
    """What a toolpath begins with.

    Attributes:
        packed: bytes of the index as it stands there, compressed.
        unpacked: bytes of the index.
        layers: in the index, without what comes before the first.
        chunks: in the index.
        vertices: all of them.
        moves: of the file, of which the vertices are made.
        box: least X and Y, most X and Y of what is laid in layers, in units.
        size: bytes of the file.
        id: of the content: the same only for the same toolpath.
    """

    packed: int
    unpacked: int
    layers: int
    chunks: int
    vertices: int
    moves: int
    box: tuple[int, int, int, int]
    size: int
    id: bytes

    def pack(self) -> bytes:
        """Return its bytes."""
        counts = (self.packed, self.unpacked, self.layers, self.chunks, self.vertices, self.moves)
        return _HEADER.pack(MAGIC, FORMAT, 0, HEADER, *counts, *self.box, self.size, self.id)


def header_of(data: bytes) -> Header | None:
    """Return what these bytes begin with; None: no toolpath, or one of another format."""
    if len(data) < HEADER or data[:4] != MAGIC or data[4] != FORMAT:
        return None
    _, _, _, _, packed, unpacked, layers, chunks, vertices, moves, *more = _HEADER.unpack(data[:HEADER])
    box = (more[0], more[1], more[2], more[3])
    return Header(packed, unpacked, layers, chunks, vertices, moves, box, more[4], more[5])
