"""The bytes of a file, in pieces as they come → blocks of whole lines, cut at the same places however they came."""

from collections.abc import Iterator

from gcode.frozen import frozen
from gcode.reader import MAX_LINE

BLOCK = 256 * 1024
LONGEST_COMMENT = 1024 * 1024
"""Bytes of a comment that are kept where a block ends in it: Snapmaker writes a whole picture into one."""

_BOM = b"\xef\xbb\xbf"
_CR_TO_LF = bytes.maketrans(b"\r", b"\n")


@frozen
class LineBlock:
    """Whole lines, each with its line feed.

    Attributes:
        text: the lines; CRLF and CR are line feeds here.
        offset: of the first line in the file, in bytes.
        dropped: bytes of the first line that are left out here, since no printer reads a line that long.
    """

    text: bytes
    offset: int
    dropped: int = 0


class Blocks:
    """Incremental: give each piece of the file to `feed`, then `finish`."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []  # less than a block of them
        self._size = 0
        self._rest = b""  # the line that is not complete yet, at most MAX_LINE of it, more of a comment
        self._dropped = 0  # bytes of it beyond that
        self._offset = 0  # of that line

    def feed(self, piece: bytes) -> Iterator[LineBlock]:
        """Take the next bytes; yield the blocks that are full with them."""
        self._waiting.append(piece)
        self._size += len(piece)
        if self._size < BLOCK:
            return
        waiting = b"".join(self._waiting)
        whole = len(waiting) - len(waiting) % BLOCK
        self._waiting, self._size = [waiting[whole:]], len(waiting) - whole
        for at in range(0, whole, BLOCK):
            yield from self._cut(waiting[at : at + BLOCK])

    def finish(self) -> Iterator[LineBlock]:
        """The file ends here, maybe within a line: yield what is left."""
        yield from self._cut(b"".join(self._waiting) + b"\n")

    def _cut(self, piece: bytes) -> Iterator[LineBlock]:
        if b"\r" in piece:  # each byte keeps its place
            piece = piece.replace(b"\r\n", b" \n").translate(_CR_TO_LF)
        end = piece.rfind(b"\n") + 1
        if end:
            head = self._rest + piece[:end]
            yield LineBlock(self._without_bom(head), self._offset, self._dropped)
            self._offset += len(head) + self._dropped
            self._rest, self._dropped = b"", 0
        self._rest += piece[end:]
        most = LONGEST_COMMENT if self._rest[:1] == b";" else MAX_LINE
        self._dropped += max(0, len(self._rest) - most)
        self._rest = self._rest[:most]

    def _without_bom(self, text: bytes) -> bytes:
        """Turn a byte order mark into blanks behind the first line: that begins with its word, no other one moves."""
        if self._offset or not text.startswith(_BOM):
            return text
        ends = [at for at in (text.find(b"\n"), text.find(b"\r")) if at >= 0]
        end = min(ends, default=len(text))
        return text[len(_BOM) : end] + b" " * len(_BOM) + text[end:]
