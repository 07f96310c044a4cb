"""Consequence: what a reply means for the conversation, by the dialect's data: success is a state, not a word."""

from typing import Literal

from gcode.dialect import Dialect
from gcode.replies import BoardStarted, FirmwareError, Ok, Reply, Text

Consequence = Literal["none", "warning", "communication", "harmless", "refusal", "halt"]
"""`none`: no error. `warning`: a text that the user should see. `communication`: a line is asked for again.
`harmless`: an error, and the firmware goes on. `refusal`: what it was told was not done, and it goes on. `halt`: it
does nothing more until it is reset or revived."""


def consequence(dialect: Dialect, reply: Reply) -> Consequence:
    """Return what follows from a reply; errors that the dialect does not know are refusals."""
    if isinstance(reply, FirmwareError):
        return _of_error(dialect, reply)
    if not isinstance(reply, Text | Ok):
        return "none"
    if _has(reply.line, dialect.errors.halts_said):
        return "halt"
    if isinstance(reply, Text) and _has(reply.line, dialect.errors.refused_said):
        return "refusal"
    return "warning" if _has(reply.line, dialect.errors.warns) else "none"


def _of_error(dialect: Dialect, error: FirmwareError) -> Consequence:
    errors = dialect.errors
    if error.kind == "communication":
        return "communication"
    if (
        (errors.bare and error.line.strip() == "!!")
        or _has(error.line, errors.halts_said)
        or _has(error.text, errors.halts)
    ):
        return "halt"
    if error.kind == "sd" or _has(error.text, errors.harmless):
        return "harmless"
    return "refusal"


def stopped(dialect: Dialect, reply: Reply) -> bool:
    """Tell whether a reply confirms that an emergency stop has worked: the board says so, or has booted."""
    return isinstance(reply, BoardStarted) or _has(reply.line, dialect.stopped_by)


def _has(line: str, pieces: tuple[str, ...]) -> bool:
    lowered = line.lower()
    return any(piece in lowered for piece in pieces)
