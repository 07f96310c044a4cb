"""The flight recorder: the last pieces that went over the line, as records and for a person to read.

The ring itself is a deque of the driver's, to which each piece costs one append (law 1); what stands here runs when
somebody asks.
"""

from collections.abc import Iterable, Iterator, Sequence

from gcode.replies import decode
from hal.session_file import HOST, PRINTER, Record

SIZE = 200
"""Pieces that are kept."""

MOST_SINCE = 32 * 1024
"""Bytes of them that are shown to who asks for what is new: taking them apart must not hold the loop up."""

Piece = tuple[float, str, bytes]
"""The loop's time, HOST, PRINTER or EVENT, and bytes: what `Record` is made of."""


def records(ring: Iterable[Piece]) -> list[Record]:
    """Return the pieces as they are, timed from the first of them."""
    pieces = list(ring)
    return [Record(time - pieces[0][0], kind, data) for time, kind, data in pieces]


def since(ring: Sequence[Piece], time: float) -> list[Piece]:
    """Return the pieces that came after a time, oldest first; of very many bytes the last ones."""
    found: list[Piece] = []
    left = MOST_SINCE
    for piece in reversed(ring):
        left -= len(piece[2])
        if not piece[0] > time or left < 0:
            break
        found.append(piece)
    return found[::-1]


def lines(ring: Iterable[Piece]) -> list[str]:
    """Return the lines in the order in which they were complete: `>` from the host, `<` from the printer."""
    return list(_lines(ring))


def _lines(ring: Iterable[Piece]) -> Iterator[str]:
    begun = b""  # a line of the printer's, cut between two reads
    for _, kind, data in ring:
        if kind == HOST:
            yield from _shown(">", data.split(b"\n"))
        elif kind == PRINTER:
            *whole, begun = (begun + data).split(b"\n")
            yield from _shown("<", whole)
    yield from _shown("<", [begun])


def _shown(arrow: str, said: Iterable[bytes]) -> Iterator[str]:
    return (f"{arrow} {decode(line)}" for line in said if line.strip(b"\r"))
