"""Line number and checksum around a command: `G1 X1` as line 12 is `N12 G1 X1*94`, and back.

The checksum is the XOR of all bytes before the `*`, written in decimal
(https://reprap.org/wiki/G-code#.2A:_Checksum).
"""

import re
from functools import reduce
from operator import xor

from gcode.frozen import frozen

_FRAME = re.compile(rb"\s*N\s*(-?\d+)\s*(.*)\Z", re.DOTALL)
_HEAD = re.compile(rb"N(\d+)(?: |(?=G))")
_MAX_DIGITS = 18  # of a number that is read; int() refuses thousands of them


def checksum(data: bytes) -> int:
    """Return the XOR of all bytes, 0 to 255."""
    return reduce(xor, data, 0)


def frame(number: int, command: bytes, command_checksum: int | None = None) -> bytes:
    """Return the line as it goes on the wire, with number, checksum and line feed.

    Args:
        number: of the line.
        command: without a line end.
        command_checksum: the checksum of the command, if it is known.
    """
    head = b"N%d " % number
    of_command = checksum(command) if command_checksum is None else command_checksum
    return b"%s%s*%d\n" % (head, command, reduce(xor, head, of_command))


def dense_frame(number: int, command: bytes, command_checksum: int | None = None) -> bytes:
    """Return the same line without the blank after the number if a compact move follows: `N12G1X1`."""
    head = (b"N%d" if command[2:3].isalpha() and command[:1] == b"G" else b"N%d ") % number
    of_command = checksum(command) if command_checksum is None else command_checksum
    return b"%s%s*%d\n" % (head, command, reduce(xor, head, of_command))


def bare_frame(_number: int, command: bytes, _command_checksum: int | None = None) -> bytes:
    """Return the line for a firmware that does not count lines: only the command and a line feed."""
    return command + b"\n"


def number_of(raw: bytes) -> int | None:
    """Return the number of a line made by `frame` or `dense_frame`; None: it has none."""
    head = _HEAD.match(raw)
    return int(head[1]) if head is not None else None


def without_number(raw: bytes) -> bytes:
    """Return a line made by `frame` or `dense_frame` without its number."""
    head = _HEAD.match(raw)
    return raw if head is None else raw[head.end() :]


@frozen
class Frame:
    """The parts of a received line; `valid` is None if it has no checksum."""

    number: int | None
    command: bytes
    valid: bool | None


def unframe(line: bytes) -> Frame:
    """Split a line without its line end into its parts; never raises.

    A checksum is read with and without a line number, as in real firmware.
    """
    body, star, digits = line.rpartition(b"*")
    if not star:
        body, valid = line, None
    else:
        valid = digits.strip().isdigit() and int(digits.strip()[:_MAX_DIGITS]) == checksum(body)
    match = _FRAME.match(body)
    if match is None:
        return Frame(None, body.strip(), valid)
    return Frame(int(match[1][:_MAX_DIGITS]), match[2].strip(), valid)
