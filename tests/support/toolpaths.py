"""Toolpaths, read again: as docs/toolpath.md describes them, and not as they are written."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from gcode.analysis.analyser import Analyser
from gcode.analysis.machine import Machine
from gcode.analysis.result import Analysis
from gcode.analysis.timed_moves import TimedMoves
from gcode.analysis.toolpath import Toolpath

HEADER = 64


@dataclass(frozen=True)
class Vertex:
    """mm, s, bytes; `kind` is 0 for a travel, else 1 + the feature. Checkpoints have `time` and `offset`."""

    x: float
    y: float
    z: float
    kind: int
    tool: int
    time: float | None
    offset: int | None


@dataclass(frozen=True)
class ParsedLayer:
    first: int  # vertex
    z: float
    start: float
    offset: int


@dataclass(frozen=True)
class ParsedToolpath:
    moves: int
    box: tuple[float, ...]
    size: int
    id: str
    layers: list[ParsedLayer]
    chunks: list[int]  # the first vertex of each
    begin: tuple[float, ...]  # where the way to the first vertex starts
    vertices: list[Vertex]


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        self.at += count
        assert self.at <= len(self.data)
        return self.data[self.at - count : self.at]

    def column(self, count: int, before: int = 0) -> list[int]:
        return self.columns(count, (before,))[0]

    def columns(self, count: int, before: tuple[int, ...]) -> list[list[int]]:
        width, rows = self.take(1)[0], len(before)
        planes = self.take(width * rows * count)
        table = []
        for row, start in enumerate(before):
            value = start
            table.append([])
            for index in range(count):
                at = [planes[(plane * rows + row) * count + index] for plane in range(width)]
                folded = int.from_bytes(bytes(at), "little")
                value += -((folded + 1) // 2) if folded % 2 else folded // 2
                table[-1].append(value)
        return table


def _inflated(data: bytes) -> _Bytes:
    return _Bytes(zlib.decompress(data, wbits=-15))


def read(blob: bytes) -> ParsedToolpath:
    assert (blob[:4], blob[4], int.from_bytes(blob[6:8], "little")) == (b"NZTP", 1, HEADER)
    packed, unpacked, layers, chunks, vertices, moves = _numbers(blob[8:32])
    box = tuple(each / 100 for each in _numbers(blob[32:48], signed=True))
    index = _inflated(blob[HEADER : HEADER + packed])
    assert len(index.data) == unpacked
    firsts, heights, starts, offsets = (index.column(layers) for _ in range(4))
    begins, places, xs, ys, zs = (index.column(chunks) for _ in range(5))
    places += index.column(1)
    assert index.at == len(index.data)
    assert len(blob) == HEADER + packed + places[-1]
    vertex_list: list[Vertex] = []
    for number in range(chunks):
        at = HEADER + packed
        data = _inflated(blob[at + places[number] : at + places[number + 1]])
        count = (begins[number + 1] if number + 1 < chunks else vertices) - begins[number]
        vertex_list += _chunk(data, count, (xs[number], ys[number], zs[number]))
    assert len(vertex_list) == vertices
    return ParsedToolpath(
        moves,
        box,
        int.from_bytes(blob[48:56], "little"),
        blob[56:64].hex(),
        [
            ParsedLayer(first, z / 100, start / 100, offset)
            for first, z, start, offset in zip(firsts, heights, starts, offsets, strict=True)
        ],
        begins,
        (xs[0] / 100, ys[0] / 100, zs[0] / 100),
        vertex_list,
    )


def _chunk(data: _Bytes, count: int, before: tuple[int, int, int]) -> Iterator[Vertex]:
    x, y = data.columns(count, before[:2])
    z = data.column(count, before[2])
    kinds = data.take(count)
    tools = data.take(count) if data.take(1)[0] else data.take(1) * count
    points = len(range(0, count, 64)) + 1
    times, offsets = data.column(points), data.column(points)
    assert data.at == len(data.data)
    for index in range(count):
        point = index // 64 if index % 64 == 0 else points - 1 if index == count - 1 else None
        yield Vertex(
            x[index] / 100,
            y[index] / 100,
            z[index] / 100,
            kinds[index],
            tools[index],
            None if point is None else times[point] / 100,
            None if point is None else offsets[point],
        )


def _numbers(data: bytes, *, signed: bool = False) -> list[int]:
    return [int.from_bytes(data[at : at + 4], "little", signed=signed) for at in range(0, len(data), 4)]


def draw_toolpath(data: bytes | str, most: int = 10_000_000) -> tuple[Analysis, bytes | None, list[TimedMoves]]:
    """Return the analysis of a file, its toolpath, and the moves of the toolpath."""
    if isinstance(data, str):
        data = data.encode()
    moves: list[TimedMoves] = []
    chunks: list[bytes] = []
    toolpath = Toolpath(chunks.append, most)

    def watch(each: TimedMoves) -> None:
        moves.append(each)
        toolpath.take(each)

    analyser = Analyser(Machine(), watch=watch)
    analyser.feed(data)
    analysis = analyser.finish()
    head = toolpath.finish(analysis.layers, len(data))
    return analysis, None if head is None else head + b"".join(chunks), moves
