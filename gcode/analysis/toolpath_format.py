"""The part of the format of toolpaths that needs no NumPy. `docs/toolpath.md` describes it byte by byte."""

import struct

from gcode.frozen import frozen

MAGIC = b"NZTP"
FORMAT = 1
"""The version of the format; a toolpath of another version is computed again."""

UNITS = 100
"""Units in a millimetre; positions are whole numbers of units."""

CHUNK = 16_384
"""Vertices that are compressed together."""

CHECKPOINT_EVERY = 64
"""Vertices between two checkpoints of time and offset in the file."""

TICKS = 100
"""Ticks in a second."""

_HEADER = struct.Struct("<4sBBH6I4iQ8s")
HEADER = _HEADER.size
"""Bytes of the header, in front of the compressed index."""


@frozen
class Header:
    """The header of a toolpath.

    Attributes:
        packed: bytes of the compressed index.
        unpacked: bytes of the index.
        layers: number of layers in the index, without the part before the first.
        chunks: number of chunks in the index.
        vertices: number of vertices.
        moves: number of moves in the file from which the vertices are made.
        box: minimum X and Y, maximum X and Y of extrusions in layers, in units.
        size: bytes of the file.
        id: hash of the content.
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
        """Return the bytes of the header."""
        counts = (self.packed, self.unpacked, self.layers, self.chunks, self.vertices, self.moves)
        return _HEADER.pack(MAGIC, FORMAT, 0, HEADER, *counts, *self.box, self.size, self.id)


def header_of(data: bytes) -> Header | None:
    """Return the header at the start of these bytes; None: no toolpath, or one of another version."""
    if len(data) < HEADER or data[:4] != MAGIC or data[4] != FORMAT:
        return None
    _, _, _, _, packed, unpacked, layers, chunks, vertices, moves, *more = _HEADER.unpack(data[:HEADER])
    box = (more[0], more[1], more[2], more[3])
    return Header(packed, unpacked, layers, chunks, vertices, moves, box, more[4], more[5])
