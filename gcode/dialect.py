"""What differs from firmware to firmware, as data: the link has no branch that names one.

Sources: the recorded dialogues in `tests/data/transcripts/`; Marlin's Configuration_adv.h for buffer sizes
(RX_BUFFER_SIZE 128, BUFSIZE 4, MAX_CMD_SIZE 96).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one firmware wants to be spoken to.

    Attributes:
        name: for the user.
        numbered: lines carry a number and a checksum, and the firmware enforces both; so asking it with an
            impossible number tells where it is.
        window_lines: lines that may be on their way without an answer.
        window_bytes: bytes that may be on their way; one line alone may always go.
        max_line: bytes of a line that the firmware reads, with number and checksum; the rest is cut silently.
        learns: what ADVANCED_OK tells of the command queue goes before `window_lines`.
        ok_after_resend: a request to resend is followed by an `ok` of its own.
        answer_timeout: seconds without any byte before the link asks whether anyone is there.
        long_commands: first words, in upper case, of commands that may take minutes besides those that are known to.
        settle: seconds of silence after which lines behind a bad one count as vanished.
    """

    name: str = "unknown"
    numbered: bool = True
    window_lines: int = 1
    window_bytes: int = 127
    max_line: int = 95
    learns: bool = True
    ok_after_resend: bool = True
    answer_timeout: float = 30.0
    long_commands: frozenset[bytes] = frozenset()
    settle: float = 0.01

    @property
    def longest_command(self) -> int:
        """Bytes of a command that fit a line: number and checksum take 12, up to line 999,999."""
        return self.max_line - 12 if self.numbered else self.max_line


UNKNOWN = Dialect()
MARLIN = Dialect("Marlin", window_lines=4)
PRUSA = replace(MARLIN, name="Prusa-Firmware")
REPETIER = Dialect("Repetier")
SMOOTHIE = Dialect("Smoothieware")
REPRAPFIRMWARE = Dialect("RepRapFirmware")
TEACUP = Dialect("Teacup", numbered=False)
MALYAN = Dialect("Malyan")
KLIPPER = Dialect("Klipper", numbered=False)

# Part of FIRMWARE_NAME in lower case → dialect; the first that fits wins.
_NAMES = (
    ("prusa-firmware", PRUSA),
    ("marlin", MARLIN),
    ("repetier", REPETIER),
    ("smoothie", SMOOTHIE),
    ("reprapfirmware", REPRAPFIRMWARE),
    ("teacup", TEACUP),
    ("klipper", KLIPPER),
    ("malyan", MALYAN),
)

# What a line of the banner begins with → dialect. Teacup's banner says nothing of it.
_BANNERS = (
    (re.compile(r"echo:\s*\d+\.\d+\.\d+\S*-\d+\s*\Z"), PRUSA),  # its version alone: `echo: 3.9.0-3421`
    (re.compile(r"(?:echo:\s*)?Marlin\b"), MARLIN),
    (re.compile(r"Repetier"), REPETIER),
    (re.compile(r"Smoothie"), SMOOTHIE),
    (re.compile(r"RepRapFirmware"), REPRAPFIRMWARE),
    (re.compile(r"(?://\s*)?Klipper"), KLIPPER),
)


def recognise(firmware_name: str, banner: Iterable[str] = ()) -> Dialect:
    """Return the dialect for M115's FIRMWARE_NAME; where that says nothing, for what the board said as it booted.

    Neither is known: UNKNOWN, which is safe everywhere.
    """
    lowered = firmware_name.lower()
    for part, dialect in _NAMES:
        if part in lowered:
            return dialect
    lines = (line.strip() for line in banner)
    return next((dialect for line in lines for start, dialect in _BANNERS if start.match(line)), UNKNOWN)
