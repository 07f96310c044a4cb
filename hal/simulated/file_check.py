"""FileCheck: compares the commands that a printer accepts with a file: are they its lines, each exactly once?"""

from collections.abc import Collection, Container, Iterator
from pathlib import Path

from gcode import host_commands
from gcode.compact import canonical_form
from gcode.frozen import frozen
from gcode.reader import Reader

HOST_CODES = frozenset({"M105", "M110", "M115", "M155", "M27", "M113", "M85", "M503", "M211"})
"""Codes that hosts send of their own accord at any time."""

PAUSE_CODES = frozenset({"M600", "M601", "M602"})
"""Codes that our host sends to a printer that knows them, and otherwise executes itself; M602 ends a pause."""

_BLOCK = 65536  # bytes of the file that are read at once
_COMMANDS = frozenset("GMT")  # first letters of commands


@frozen
class Verdict:
    """The result of a comparison.

    Attributes:
        exact: the printer accepted each line of the file exactly once.
        lines: how many of the file's lines it accepted.
        total: how many of its lines a printer should get.
        difference: the first difference, in a sentence; empty: there is none.
    """

    exact: bool
    lines: int
    total: int
    difference: str = ""

    def __bool__(self) -> bool:
        return self.exact


class FileCheck:
    """Compares accepted commands with a file.

    Args:
        source: the file, or its bytes.
        besides: commands, or codes such as `M117`, that may come between the file's lines.
        host_waits: None for a host that sends the file as it is; True or False for ours, from which no lines for the
            host are expected. With True, a wait for heat comes as the command that only sets the target.
        unknown: code words that the firmware does not know; our host executes them.
    """

    def __init__(
        self,
        source: Path | bytes,
        besides: Collection[str] = (),
        *,
        host_waits: bool | None = None,
        unknown: Container[str] = (),
    ) -> None:
        self._source, self._host_waits, self._unknown = source, host_waits, unknown
        self._expected = _expected_commands(source, host_waits, unknown)
        self._next = next(self._expected, None)
        self._extras = HOST_CODES | frozenset(besides) | (frozenset() if host_waits is None else PAUSE_CODES)
        self._difference = ""
        self._lines = 0

    def take(self, number: int | None, command: str) -> None:
        """Compare one accepted command.

        A line whose N was damaged arrives without a number. The firmware reports it as unknown and requests the line
        again, so it does not count as a difference.
        """
        if self._next is not None and (command == self._next[1] or _is_same_move(command, self._next[1])):
            self._lines += 1
            self._next = next(self._expected, None)
        elif not (self._difference or self._is_extra(command) or _is_scrap(number, command)):
            self._differ(number, command)

    def _is_extra(self, command: str) -> bool:
        return command in self._extras or command.partition(" ")[0] in self._extras

    def _differ(self, number: int | None, command: str) -> None:
        line = "a line without number" if number is None else f"line N{number}"
        if self._next is None:
            expected = "after the file's end"
        else:
            expected = f"where the file has {self._next[1]!r} at byte {self._next[0]}"
        self._difference = f"{line} is {command!r}, {expected}"

    def verdict(self) -> Verdict:
        """Return the result so far."""
        difference = self._difference
        if self._next is not None and not difference:
            difference = f"{self._next[1]!r} at byte {self._next[0]} of the file never came"
        return Verdict(not difference, self._lines, self._count(), difference)

    def _count(self) -> int:
        """Return the number of lines that are expected in all."""
        if self._next is None:
            return self._lines
        return sum(1 for _ in _expected_commands(self._source, self._host_waits, self._unknown))


def _is_same_move(command: str, expected: str) -> bool:
    """Tell whether a command is the file's move without its superfluous characters (`gcode.compact`)."""
    return command[:2] == expected[:2] and canonical_form(command.encode()) == canonical_form(expected.encode())


def _is_scrap(number: int | None, command: str) -> bool:
    return number is None and command[:1].upper() not in _COMMANDS


def _expected_commands(
    source: Path | bytes, host_waits: bool | None, unknown: Container[str]
) -> Iterator[tuple[int, str]]:
    for offset, command in _commands(source):
        arriving = command if host_waits is None else _command_sent(command, host_waits, unknown)
        if arriving is not None:
            yield offset, arriving.decode("ascii", "replace")


def _command_sent(command: bytes, host_waits: bool, unknown: Container[str]) -> bytes | None:
    """Return what our host sends for a line of a file."""
    meaning = host_commands.meaning(command, host_waits=host_waits, unknown=unknown)
    if meaning is None:
        return command
    return meaning.command if isinstance(meaning, host_commands.CommandFirst | host_commands.SendInstead) else None


def _commands(source: Path | bytes) -> Iterator[tuple[int, bytes]]:
    reader = Reader()
    for block in _blocks(source):
        reader.feed(block)
        yield from reader
    reader.finish()
    yield from reader


def _blocks(source: Path | bytes) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    with source.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block
