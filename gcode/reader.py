"""Reads the bytes of a file into its commands, each with its byte offset.

Comments, blank lines, a byte order mark, control characters and the file's own line numbers are dropped.
Lines may end in LF, CRLF or CR. Nothing here raises, whatever the bytes.
"""

import re
from collections.abc import Iterator

from gcode.firmware_traits import NO_LIMIT

MAX_LINE = NO_LIMIT + 1
"""Bytes of a line that are kept: one more than any firmware gets, so that a longer line is recognised and refused."""

_BOM = b"\xef\xbb\xbf"
_NUMBERED = re.compile(rb"N\s*\d+\s*", re.IGNORECASE)
_COMMENT = re.compile(rb"(?<!\\);")
_NOT_TEXT = bytes([*range(9), *range(11, 32), 127])  # control characters except tab and line feed
_TO_ASCII = bytes(range(128)) + b"?" * 128


class Reader:
    """Incremental reader: `feed` it blocks of the file, iterate over the commands, and `finish` at the end.

    Iterating yields the commands that are complete so far, and continues after the next `feed`. An offset is that of
    the line's first byte in the file. The size of the blocks does not matter.
    """

    def __init__(self, offset: int = 0) -> None:
        """Start at this byte of the file, which must be the start of a line."""
        self._lines: Iterator[bytes] = iter(())
        self._partial = b""  # the incomplete last line, up to MAX_LINE bytes
        self._dropped = 0  # further bytes of that line
        self._cut_from_next = 0  # bytes that were cut from the next line in `_lines`
        self._offset = offset  # of the next line from _lines, or of _partial

    @property
    def offset(self) -> int:
        """Byte offset of the next line."""
        return self._offset

    def feed(self, block: bytes) -> None:
        """Take the next block of the file; all commands before it must have been taken."""
        if self._dropped:
            block = self._skip_overlong(block)
            if self._dropped:
                return
        elif self._partial:
            block = self._partial + block
        self._partial = b""
        lines = block.splitlines(keepends=True)  # bytes split at LF, CRLF and CR only
        if lines and not lines[-1].endswith(b"\n"):
            # a CR at the very end may be half of a CRLF, which only the next block shows
            self._partial = lines.pop()
            if len(self._partial) > MAX_LINE and not self._partial.endswith(b"\r"):
                self._dropped = len(self._partial) - MAX_LINE
                self._partial = self._partial[:MAX_LINE]
        self._lines = iter(lines)

    def _skip_overlong(self, block: bytes) -> bytes:
        """Drop the rest of an over-long line; return its beginning and what follows the line in the block."""
        ends = [at for at in (block.find(b"\n"), block.find(b"\r")) if at >= 0]
        end = min(ends, default=len(block))
        self._dropped += end
        if not ends:
            return b""
        self._cut_from_next, self._dropped = self._dropped, 0
        return self._partial + block[end:]

    def finish(self) -> None:
        """Mark the end of the file: a last line without a line end counts too."""
        self._lines = iter([self._partial]) if self._partial else iter(())
        self._cut_from_next, self._dropped = self._dropped, 0
        self._partial = b""

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        return self

    def __next__(self) -> tuple[int, bytes]:
        for line in self._lines:
            start = self._offset
            self._offset = start + len(line) + self._cut_from_next
            self._cut_from_next = 0
            command = clean(line) if start else clean(line.removeprefix(_BOM))
            if command:
                return start, command
        raise StopIteration


def clean(line: bytes) -> bytes:
    r"""Return the command of one raw line: ASCII, without comment, line number and checksum; it may be empty.

    `\;` is a literal semicolon; slicers write it so into M117 texts.
    """
    if len(line) > MAX_LINE:
        line = line[:MAX_LINE]
    if b";" in line:
        line = _strip_comment(line)
    line = line.translate(_TO_ASCII, _NOT_TEXT).strip()
    if line[:1] in (b"N", b"n") and (match := _NUMBERED.match(line)):
        line = line[match.end() :].rpartition(b"*")[0] or line[match.end() :]
        line = line.strip()
    return line


def _strip_comment(line: bytes) -> bytes:
    return _COMMENT.split(line, 1)[0].replace(b"\\;", b";")
