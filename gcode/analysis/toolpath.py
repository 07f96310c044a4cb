"""Toolpath: the path of the nozzle, layer by layer, in a few bytes per move. Memory does not depend on the file.

Vertices are the ends of moves. Consecutive travels are joined, and arcs have only as many chords as look round.
`toolpath_format` and `docs/toolpath.md` describe the format.
"""

import hashlib
import math
import zlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from gcode.analysis.arrays import Bools, Floats
from gcode.analysis.result import Layer
from gcode.analysis.timed_moves import TimedMoves
from gcode.analysis.toolpath_format import CHECKPOINT_EVERY, CHUNK, TICKS, UNITS, Header

SAGITTA = 0.05  # mm; maximum distance of a chord from its arc
FAR = 10_000 * UNITS
"""Units in 10 m; a position further away is moved to there."""

LEVEL = 5  # of deflate; level 6 takes twice the time to save a hundredth of the bytes
_MAX_NUMBER = 2.0**31 - 1  # of an int32: 248 days in ticks, 2 GiB
_FEW = 4  # an arc of fewer chords keeps all, because their angle is not certain: the last one may be cut
_GAP = 0.5 / UNITS  # mm

# The rows of a block of vertices
_X, _Y, _Z, _KIND, _TOOL, _LAYER, _TIME, _OFFSET = range(8)

Numbers = NDArray[np.int32]


class Toolpath:
    """Takes moves in order by `take`, up to `finish`."""

    def __init__(self, write: Callable[[bytes], object], max_bytes: int) -> None:
        """Prepare.

        Args:
            write: takes the chunks, which follow the bytes that `finish` returns.
            max_bytes: of the chunks; after the chunk that passes this limit nothing is written.
        """
        self._write = write
        self._max_bytes = max_bytes
        self._digest = hashlib.blake2b(digest_size=8)
        self._waiting: list[Numbers] = []  # vertices, less than a chunk
        self._count = 0  # of the vertices in `_waiting`
        self._travel = np.zeros((8, 0), np.int32)  # the end of the last travel, which another one may continue
        self._at = np.zeros(3, np.int32)  # the last vertex
        self._last = np.zeros(3)  # where the last move ended
        self._firsts = [0]  # vertex with which each layer begins
        self._chunks: list[tuple[int, int, int, int, int]] = []  # first vertex, offset, X, Y, Z before it
        self._box: tuple[int, int, int, int] | None = None
        self.vertices = self.moves = self.bytes = 0

    @property
    def is_full(self) -> bool:
        """The chunks have too many bytes, so there is no toolpath."""
        return self.bytes > self._max_bytes

    def take(self, timed: TimedMoves) -> None:
        """Take some moves."""
        self.moves += len(timed.seconds)
        if self.is_full or not len(timed.seconds):
            return
        vertices = self._ends(timed)
        if self._travel.shape[1]:
            vertices = np.concatenate((self._travel, vertices), axis=1)
        needed = _needed(vertices)
        needed[-1] = vertices[_KIND, -1] > 0
        self._travel = vertices[:, :0] if needed[-1] else vertices[:, -1:]
        self._add(_take(vertices, needed))

    def _ends(self, timed: TimedMoves) -> Numbers:
        """Return the ends of moves, and the starts of those that begin elsewhere than the last one ended: after G28."""
        moves = timed.moves
        starts, ends = moves.start[:3], moves.start[:3] + moves.delta[:3]
        vertices = _vertices(timed, ends)
        gaps = np.empty_like(ends)
        np.subtract(starts[:, 1:], ends[:, :-1], out=gaps[:, 1:])
        gaps[:, 0] = starts[:, 0] - self._last
        self._last = ends[:, -1]
        needed = _needed_chords(moves.offset, ends)
        np.abs(gaps, out=gaps)
        if gaps.max() > _GAP:
            jumps = np.flatnonzero((gaps > _GAP).any(axis=0))
            more = vertices[:, jumps]
            more[:3] = _in_units(starts[:, jumps])
            more[_KIND] = 0
            vertices = np.insert(vertices, jumps, more, axis=1)
            needed = np.insert(needed, jumps, np.ones(len(jumps), np.bool_)) if needed is not None else None
        return vertices if needed is None else _take(vertices, needed)

    def _add(self, vertices: Numbers) -> None:
        if not vertices.shape[1]:
            return
        self._note_layers(vertices[_LAYER])
        self._note_box(vertices)
        self.vertices += vertices.shape[1]
        self._waiting.append(vertices)
        self._count += vertices.shape[1]
        while self._count >= CHUNK and not self.is_full:
            waiting = np.concatenate(self._waiting, axis=1)
            self._put(waiting[:, :CHUNK])
            self._waiting = [waiting[:, CHUNK:]]
            self._count -= CHUNK

    def _note_layers(self, layer: Numbers) -> None:
        """Note the first vertex of each layer; a decrease means that the layers before the first mark were guesses."""
        changes = np.flatnonzero(np.diff(layer, prepend=len(self._firsts) - 1))
        for at in changes.tolist():
            number = int(layer[at])
            if number < len(self._firsts):
                del self._firsts[max(1, number) :]
            self._firsts += [self.vertices + at] * (number + 1 - len(self._firsts))

    def _note_box(self, vertices: Numbers) -> None:
        printed = np.flatnonzero((vertices[_KIND] > 0) & (vertices[_LAYER] > 0))
        if len(printed):
            x, y = vertices[_X, printed], vertices[_Y, printed]
            box = (int(x.min()), int(y.min()), int(x.max()), int(y.max()))
            a, b, c, d = self._box or box
            self._box = (min(a, box[0]), min(b, box[1]), max(c, box[2]), max(d, box[3]))

    def _put(self, vertices: Numbers) -> None:
        """Write a chunk."""
        count = vertices.shape[1]
        first = self._chunks[-1][0] + CHUNK if self._chunks else 0
        x, y, z = self._at.tolist()
        self._chunks.append((first, self.bytes, x, y, z))
        parts = [pack_columns(vertices[: _Y + 1], self._at[: _Y + 1]), pack_column(vertices[_Z], int(self._at[_Z]))]
        parts.append(vertices[_KIND].astype(np.uint8).tobytes())
        tool = vertices[_TOOL].astype(np.uint8)
        parts.append(b"\0" + tool[:1].tobytes() if (tool == tool[0]).all() else b"\1" + tool.tobytes())
        points = np.append(np.arange(0, count, CHECKPOINT_EVERY), count - 1)
        parts += [pack_column(vertices[row, points].astype(np.int64)) for row in (_TIME, _OFFSET)]
        data = _deflate(b"".join(parts))
        self._at = vertices[:3, -1].copy()
        self._digest.update(data)
        self._write(data)
        self.bytes += len(data)

    def finish(self, layers: Sequence[Layer], size: int) -> bytes | None:
        """Return header and index, which precede the chunks; None: there is no toolpath.

        Args:
            layers: of the analysis.
            size: bytes of the file.
        """
        self._add(self._travel)
        if self._count and not self.is_full:
            self._put(np.concatenate(self._waiting, axis=1))
        if self.is_full or self._box is None or not layers:
            return None
        index = self._index(layers)
        packed = _deflate(index)
        self._digest.update(packed)
        head = Header(
            packed=len(packed),
            unpacked=len(index),
            layers=len(layers),
            chunks=len(self._chunks),
            vertices=self.vertices,
            moves=self.moves,
            box=self._box,
            size=size,
            id=self._digest.digest(),
        )
        return head.pack() + packed

    def _index(self, layers: Sequence[Layer]) -> bytes:
        firsts = self._firsts[1 : len(layers) + 1]
        firsts += [self.vertices] * (len(layers) - len(firsts))
        heights, z = [], 0.0
        for layer in layers:  # a layer without extrusions has no height of its own
            z = layer.z if layer.z is not None else z
            heights.append(z)
        times = np.array([layer.start_s for layer in layers])
        rows = [
            np.array(firsts),
            _in_units(np.array(heights)),
            np.minimum(times * TICKS, _MAX_NUMBER).astype(np.int32),
            np.array([layer.offset for layer in layers]),
            *np.array(self._chunks).T,
            np.array([self.bytes]),
        ]
        return b"".join(pack_column(row.astype(np.int64)) for row in rows)


def pack_column(values: Numbers | NDArray[np.int64], before: int = 0) -> bytes:
    """Return one row of whole numbers as `pack_columns` does."""
    return pack_columns(values[None, :], np.array([before]))


def pack_columns(rows: Numbers | NDArray[np.int64], before: Numbers | NDArray[np.int64]) -> bytes:
    """Return rows of whole numbers as bytes, by the steps from number to number.

    The number of bytes of a step comes first, then the lowest byte of each step in the first row, then in the second,
    then the next byte of each step in the first row, and so on. Round parts have the same steps in X and Y, and deflate
    looks back 32 KiB: with the lowest bytes side by side, a sixth is saved.
    """
    steps = np.diff(rows, axis=1, prepend=before[:, None])
    folded = np.ascontiguousarray((steps << 1) ^ (steps >> (8 * steps.itemsize - 1)))  # the lowest bit is the sign
    width = max(1, (int(folded.max(initial=0)).bit_length() + 7) // 8)
    planes = folded.view(np.uint8).reshape(*rows.shape, folded.itemsize)[:, :, :width]
    return bytes((width,)) + planes.transpose(2, 0, 1).tobytes()


def _deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(LEVEL, wbits=-15, memLevel=9)
    return packer.compress(data) + packer.flush()


def _in_units(mm: Floats) -> Numbers:
    units = mm * UNITS
    np.rint(units, out=units)
    return np.clip(units, -FAR, FAR, out=units).astype(np.int32)


def _vertices(timed: TimedMoves, ends: Floats) -> Numbers:
    """Return the ends of moves as vertices."""
    moves = timed.moves
    vertices = np.empty((8, ends.shape[1]), np.int32)
    vertices[:3] = _in_units(ends)
    vertices[_KIND] = np.where(moves.printing, moves.feature + 1, 0)
    vertices[_TOOL] = moves.tool
    vertices[_LAYER] = timed.layer
    vertices[_TIME] = np.minimum((timed.begins + timed.seconds) * TICKS, _MAX_NUMBER)
    vertices[_OFFSET] = np.minimum(moves.offset, _MAX_NUMBER)
    return vertices


def _take(vertices: Numbers, needed: Bools) -> Numbers:
    return vertices if needed.all() else vertices.take(np.flatnonzero(needed), 1)


def _needed(vertices: Numbers) -> Bools:
    """Tell which vertices are needed: all but the ends of travels that another travel continues."""
    kind, layer = vertices[_KIND], vertices[_LAYER]
    needed = kind > 0
    needed[:-1] |= (kind[1:] > 0) | (layer[1:] != layer[:-1])
    return needed


def _needed_chords(line: Floats, ends: Floats) -> Bools | None:
    """Tell which ends of chords are needed for an arc to look round; None: all, because there are no arcs.

    The chords of an arc have the same line in the file, follow one another, and all turn by the same angle.
    """
    same = line[1:] == line[:-1]
    if not same.any():
        return None
    begins = np.flatnonzero(np.concatenate(([True], ~same)))
    counts = np.diff(begins, append=len(line))
    steps = np.diff(ends[:2], axis=1, append=ends[:2, -1:])  # from each end to the next
    length = np.hypot(*steps)
    heading = np.arctan2(steps[1], steps[0])
    second = np.minimum(begins + 1, len(line) - 1)
    turn = np.abs((heading[second] - heading[begins] + math.pi) % math.tau - math.pi)
    per_vertex = np.sqrt(8 * SAGITTA / np.maximum(length[begins] * turn, 1e-9))
    per_vertex = np.where(counts >= _FEW, np.clip(per_vertex, 1, counts), 1).astype(np.intp)
    number = np.arange(len(line)) - np.repeat(begins, counts)
    needed: Bools = (number + 1) % np.repeat(per_vertex, counts) == 0
    needed[begins + counts - 1] = True
    return needed
