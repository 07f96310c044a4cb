"""The flight recorder: the last pieces that went over the wire, as records and as readable lines.

The ring itself is a deque in `hal.pump`, to which each piece costs one append (law 1); this code runs only on request.
"""

from collections.abc import Iterable, Iterator, Sequence

from gcode.frozen import frozen
from gcode.packing import text_on_wire
from gcode.replies import decode
from hal.session_file import HOST, PRINTER, Record, RecordKind

RING_SIZE = 200
"""Number of pieces in the ring."""

MAX_RECENT = 32 * 1024
"""The most bytes of recent pieces that are returned at once: splitting them into lines must not delay the loop."""

Piece = tuple[float, RecordKind, bytes]
"""The loop's time, the kind (HOST, PRINTER or EVENT), and the bytes."""


class FlightRecorder:
    """Reads a printer's last pieces from the ring."""

    def __init__(self, ring: Sequence[Piece]) -> None:
        self._ring = ring

    def tail(self) -> list[str]:
        """Return the last lines that went over the wire, oldest first: `>` from the host, `<` from the printer."""
        return to_lines(self._ring)

    def tail_since(self, time: float) -> list[str]:
        """Return the lines in the pieces that came after this time of the loop; the first line may be cut."""
        return to_lines(pieces_since(self._ring, time))

    def complete_lines_since(self, time: float) -> "RecentLines":
        """Return the lines that have become complete after this time of the loop, each once and whole."""
        return find_recent_lines(self._ring, time)

    def records(self) -> list[Record]:
        """Return the last pieces, oldest first; times count from the first of them."""
        return to_records(self._ring)


def to_records(ring: Iterable[Piece]) -> list[Record]:
    """Return pieces as records; times count from the first of them."""
    pieces = list(ring)
    return [Record(time - pieces[0][0], kind, data) for time, kind, data in pieces]


def pieces_since(ring: Sequence[Piece], time: float) -> list[Piece]:
    """Return the pieces that came after a time, oldest first, up to the last MAX_RECENT bytes."""
    recent: list[Piece] = []
    room = MAX_RECENT
    for piece in reversed(ring):
        room -= len(piece[2])
        if not piece[0] > time or room < 0:
            break
        recent.append(piece)
    return recent[::-1]


@frozen
class RecentLines:
    """The lines since a time.

    Attributes:
        lines: of each, the sign of its sender (HOST `>`, PRINTER `<`), the loop's time, and the text.
        gap: some lines before these are lost.
    """

    lines: list[tuple[str, float, str]]
    gap: bool


def find_recent_lines(ring: Sequence[Piece], time: float) -> RecentLines:
    """Return the lines that were completed after a time, so that repeated calls return each line once and complete."""
    recent = pieces_since(ring, time)
    before = [*ring][: len(ring) - len(recent)]
    gap = bool(recent) and (before[-1][0] > time if before else len(ring) >= RING_SIZE)
    complete: list[tuple[str, float, str]] = []
    partial = _partial_line(before)
    for at, kind, data in recent:
        arrow = {HOST: ">", PRINTER: "<"}.get(kind)
        if arrow is None:
            continue
        if arrow == ">":
            whole = text_on_wire(data).split(b"\n")
        else:
            *whole, partial = (partial + data).split(b"\n")
        complete += ((arrow, at, decode(line)) for line in whole if line.strip(b"\r"))
    return RecentLines(complete, gap)


def _partial_line(before: Sequence[Piece]) -> bytes:
    """Return the beginning of the line from the printer that is not complete yet."""
    partial = b""
    for _, kind, data in reversed(before):
        if kind == PRINTER:
            _, newline, tail = data.rpartition(b"\n")
            partial = tail + partial
            if newline or len(partial) > MAX_RECENT:
                break
    return partial


def to_lines(ring: Iterable[Piece]) -> list[str]:
    """Return the lines in the order of their completion: `>` from the host, `<` from the printer."""
    return list(_lines(ring))


def _lines(ring: Iterable[Piece]) -> Iterator[str]:
    partial = b""  # the beginning of a line from the printer that was cut between two reads
    for _, kind, data in ring:
        if kind == HOST:
            yield from _with_arrow(">", text_on_wire(data).split(b"\n"))
        elif kind == PRINTER:
            *whole, partial = (partial + data).split(b"\n")
            yield from _with_arrow("<", whole)
    yield from _with_arrow("<", [partial])


def _with_arrow(arrow: str, raw: Iterable[bytes]) -> Iterator[str]:
    return (f"{arrow} {decode(line)}" for line in raw if line.strip(b"\r"))
