"""One G-code command, parsed: `G1X10Y-.5` → letter G, number 1, X 10.0, Y -0.5.

The syntax is that of Marlin with GCODE_CASE_INSENSITIVE: letters in either case, optional blanks between words, one
command a line. Commands with free text (M117, M118, …) keep it as text.
"""

import re
from dataclasses import field

from gcode.errors import CommandError
from gcode.frozen import frozen

# The rest of the line is text: display messages, echoes, names of SD files, host commands
# (https://marlinfw.org/docs/gcode/M117.html and siblings).
TEXT_COMMANDS = frozenset({"M16", "M23", "M28", "M30", "M32", "M33", "M117", "M118", "M928"})

# `answers`, `compact`, `fitting`, `host_commands`, `modes` and `patience` match raw bytes by patterns of their own:
# each line of a print passes through them, and a match takes a fraction of the time of `parse`. `too_hot` has patterns
# of its own too, because it must read whatever any firmware could read, not only what Marlin reads.
_CODE = re.compile(r"\s*([GMTD])\s*(\d+)(?:\.(\d+))?", re.IGNORECASE)
_MAX_DIGITS = 9  # of a code, without leading zeros
_WORD = re.compile(r"\s*(?:\([^()]*\)\s*)*([A-Z])\s*([+-]?(?:\d+\.?\d*|\.\d+))?", re.IGNORECASE)


def m_code(*numbers: int) -> "re.Pattern[bytes]":
    """Return a pattern for commands with one of these M-codes, in any notation: `m 0104S200`."""
    return re.compile(rb"M\s*0*(?:%s)(?!\d)" % b"|".join(b"%d" % each for each in numbers), re.IGNORECASE)


COMMENT = re.compile(rb"\([^()]*\)")
"""Matches a `(comment)`, which is a comment to some firmwares only."""

STOP = m_code(112)
"""Matches an emergency stop."""


@frozen
class Command:
    """A parsed command.

    Attributes:
        code: letter and number in upper case, with the subcode if there is one: `G1`, `M104`, `T0`, `G92.1`.
        params: value of each parameter; None for a flag (`G28 X`). Units are the file's (mm or inch, mm/min, °C, s).
        text: the text of a text command; of any other command, what follows its last parameter.
    """

    code: str
    params: dict[str, float | None] = field(default_factory=dict)
    text: str = ""

    def __contains__(self, letter: str) -> bool:
        return letter in self.params

    def get(self, letter: str, default: float | None = None) -> float | None:
        """Return the value of a parameter; `default` if it is absent or a flag."""
        value = self.params.get(letter)
        return default if value is None else value

    def number(self, letter: str, default: float) -> float:
        """Return the value of a parameter, as `get` does; never None."""
        value = self.params.get(letter)
        return default if value is None else value


def parse(line: str | bytes) -> Command:
    """Parse one command, whose line number, checksum and comment have been removed.

    A letter that comes twice keeps its first value. Firmwares differ in that: Marlin 1.0 takes the first (`code_seen`),
    Marlin 2 the last (gcode/parser.h, `set`). A `(comment)` between words is ignored.

    Raises:
        CommandError: the line does not begin with G, M, T or D and a number, or holds a line break.
    """
    text = line.decode("ascii", "replace") if isinstance(line, bytes) else line
    if "\n" in text or "\r" in text:
        raise CommandError(f"a command must be one line, but this holds a line break: {text!r}")
    head = _CODE.match(text)
    if head is None or len(head[2].lstrip("0")) > _MAX_DIGITS:
        raise CommandError(f"not a G-code command: {text!r}")
    letter, number, sub = head.groups()
    code = f"{letter.upper()}{number.lstrip('0') or '0'}" + (f".{sub}" if sub else "")
    if code in TEXT_COMMANDS:
        return Command(code, {}, text[head.end() :].strip())
    return _parse_words(code, text, head.end())


def _parse_words(code: str, text: str, at: int) -> Command:
    params: dict[str, float | None] = {}
    while word := _WORD.match(text, at):
        letter, value = word.groups()
        params.setdefault(letter.upper(), float(value) if value else None)
        at = word.end()
    return Command(code, params, text[at:].strip())
