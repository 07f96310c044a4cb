"""The flight recorder: the last pieces that went over the line, as records and for a person to read.

The ring itself is a deque of the driver's, to which each piece costs one append (law 1); what stands here runs when
somebody asks.
"""

from collections.abc import Iterable, Iterator, Sequence

from gcode.frozen import frozen
from gcode.packing import text_on_wire
from gcode.replies import decode
from hal.session_file import HOST, PRINTER, Record

SIZE = 200
"""Pieces that are kept."""

MOST_SINCE = 32 * 1024
"""Bytes of them that are shown to who asks for what is new: taking them apart must not hold the loop up."""

Piece = tuple[float, str, bytes]
"""The loop's time, HOST, PRINTER or EVENT, and bytes: what `Record` is made of."""


class FlightRecorder:
    """What a printer's last pieces are for those who ask; the driver appends to the ring itself."""

    def __init__(self, ring: Sequence[Piece]) -> None:
        self._ring = ring

    def tail(self) -> list[str]:
        """Return the last lines that went over the line, oldest first: `>` from the host, `<` from the printer."""
        return lines(self._ring)

    def tail_since(self, time: float) -> list[str]:
        """Return those of them that came after this time of the loop."""
        return lines(since(self._ring, time))

    def lines_since(self, time: float) -> "RecentLines":
        """Return the lines that were complete after this time of the loop."""
        return recent_lines(self._ring, time)

    def records(self) -> list[Record]:
        """Return the last pieces that went over the line, oldest first, timed from the first of them."""
        return records(self._ring)


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


@frozen
class RecentLines:
    """What was said on the line since a time.

    Attributes:
        lines: HOST or PRINTER's sign (`>`, `<`), the loop's time, and the text of each.
        gap: some of it is not kept any more.
    """

    lines: list[tuple[str, float, str]]
    gap: bool


def recent_lines(ring: Sequence[Piece], time: float) -> RecentLines:
    """Return the lines that were complete after a time: who asks again and again gets each of them once, and whole."""
    found = since(ring, time)
    before = [*ring][: len(ring) - len(found)]
    gap = bool(found) and (before[-1][0] > time if before else len(ring) >= SIZE)
    said: list[tuple[str, float, str]] = []
    begun = _unfinished(before)
    for at, kind, data in found:
        arrow = {HOST: ">", PRINTER: "<"}.get(kind)
        if arrow is None:
            continue
        if arrow == ">":
            whole = text_on_wire(data).split(b"\n")
        else:
            *whole, begun = (begun + data).split(b"\n")
        said += ((arrow, at, decode(line)) for line in whole if line.strip(b"\r"))
    return RecentLines(said, gap)


def _unfinished(before: Sequence[Piece]) -> bytes:
    """Return what the printer has said of a line that is not complete yet."""
    begun = b""
    for _, kind, data in reversed(before):
        if kind == PRINTER:
            _, newline, rest = data.rpartition(b"\n")
            begun = rest + begun
            if newline or len(begun) > MOST_SINCE:
                break
    return begun


def lines(ring: Iterable[Piece]) -> list[str]:
    """Return the lines in the order in which they were complete: `>` from the host, `<` from the printer."""
    return list(_lines(ring))


def _lines(ring: Iterable[Piece]) -> Iterator[str]:
    begun = b""  # a line of the printer's, cut between two reads
    for _, kind, data in ring:
        if kind == HOST:
            yield from _arrowed(">", text_on_wire(data).split(b"\n"))
        elif kind == PRINTER:
            *whole, begun = (begun + data).split(b"\n")
            yield from _arrowed("<", whole)
    yield from _arrowed("<", [begun])


def _arrowed(arrow: str, said: Iterable[bytes]) -> Iterator[str]:
    return (f"{arrow} {decode(line)}" for line in said if line.strip(b"\r"))
