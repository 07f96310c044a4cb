"""What differs from firmware to firmware, as data: the link has no branch that names one.

Sources: the recorded dialogues in `tests/data/transcripts/`; Marlin's Configuration_adv.h for buffer sizes
(RX_BUFFER_SIZE 128, BUFSIZE 4, MAX_CMD_SIZE 96).
"""

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
        learns: what ADVANCED_OK tells of the command queue goes before `window_lines`.
        ok_after_resend: a request to resend is followed by an `ok` of its own.
        answer_timeout: seconds without any byte before the link asks whether anyone is there.
        settle: seconds of silence after which lines behind a bad one count as vanished.
    """

    name: str = "unknown"
    numbered: bool = True
    window_lines: int = 1
    window_bytes: int = 127
    learns: bool = True
    ok_after_resend: bool = True
    answer_timeout: float = 30.0
    settle: float = 0.01


UNKNOWN = Dialect()
MARLIN = Dialect("Marlin", window_lines=4)
PRUSA = replace(MARLIN, name="Prusa-Firmware")
REPETIER = Dialect("Repetier")
SMOOTHIE = Dialect("Smoothieware")
REPRAPFIRMWARE = Dialect("RepRapFirmware")
TEACUP = Dialect("Teacup", numbered=False)
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
)


def recognise(firmware_name: str) -> Dialect:
    """Return the dialect for M115's FIRMWARE_NAME; UNKNOWN, which is safe everywhere, if it says nothing."""
    lowered = firmware_name.lower()
    return next((dialect for part, dialect in _NAMES if part in lowered), UNKNOWN)
