"""Cuts the bytes of a file into blocks of whole lines. The pieces in which the bytes come do not affect the cuts."""

from collections.abc import Iterator

from gcode.frozen import frozen
from gcode.reader import MAX_LINE

BLOCK = 256 * 1024
MAX_COMMENT = 1024 * 1024
"""Bytes of a comment that are kept across the end of a block: Snapmaker writes a whole picture into one comment."""

_BOM = b"\xef\xbb\xbf"
_CR_TO_LF = bytes.maketrans(b"\r", b"\n")


@frozen
class LineBlock:
    """Whole lines, each with its line feed.

    Attributes:
        text: the lines; CRLF and CR have become line feeds.
        offset: byte offset of the first line in the file.
        dropped: bytes of the first line that are missing here, because no printer reads such a long line.
    """

    text: bytes
    offset: int
    dropped: int = 0


class Blocks:
    """Incremental: takes pieces of the file by `feed`, up to `finish`."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []  # less than a block
        self._size = 0
        self._cr = b""  # a CR at the end of the last piece, which may be half of a CRLF
        self._partial = b""  # the incomplete last line, up to MAX_LINE bytes, or MAX_COMMENT of a comment
        self._dropped = 0  # further bytes of that line
        self._offset = 0  # of that line

    def feed(self, piece: bytes) -> Iterator[LineBlock]:
        """Take the next bytes; yield the blocks that they complete."""
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
        """End the file, perhaps within a line; yield the rest."""
        yield from self._cut(b"".join(self._waiting) + b"\n")

    def _cut(self, piece: bytes) -> Iterator[LineBlock]:
        piece = self._cr + piece
        self._cr = piece[-1:] if piece.endswith(b"\r") else b""
        piece = piece.removesuffix(b"\r")
        if b"\r" in piece:  # replaced byte by byte, to keep offsets
            piece = piece.replace(b"\r\n", b" \n").translate(_CR_TO_LF)
        end = piece.rfind(b"\n") + 1
        if end:
            head = self._partial + piece[:end]
            yield LineBlock(self._without_bom(head), self._offset, self._dropped)
            self._offset += len(head) + self._dropped
            self._partial, self._dropped = b"", 0
        self._partial += piece[end:]
        limit = MAX_COMMENT if self._partial[:1] == b";" else MAX_LINE
        self._dropped += max(0, len(self._partial) - limit)
        self._partial = self._partial[:limit]

    def _without_bom(self, text: bytes) -> bytes:
        """Remove a byte order mark; as many blanks at the end of the first line keep the offsets of the next ones."""
        if self._offset or not text.startswith(_BOM):
            return text
        end = text.find(b"\n")
        return text[len(_BOM) : end] + b" " * len(_BOM) + text[end:]
