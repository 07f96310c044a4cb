"""Consequence: what a reply means for the conversation, by the dialect's data."""

from typing import Literal

from gcode.dialect import Dialect
from gcode.replies import BoardStarted, FirmwareError, Ok, Reply, Text

Consequence = Literal["none", "warning", "communication", "harmless", "refusal", "halt"]
"""`none`: no error. `warning`: a text that the user should see. `communication`: a damaged line, which the firmware
requests again. `harmless`: an error after which the firmware continues. `refusal`: the command was not executed, and
the firmware continues. `halt`: the firmware executes nothing until it is reset or revived."""


def consequence(dialect: Dialect, reply: Reply) -> Consequence:
    """Return the consequence of a reply; errors unknown to the dialect are refusals."""
    if isinstance(reply, FirmwareError):
        return _of_error(dialect, reply)
    if not isinstance(reply, Text | Ok):
        return "none"
    if _has(reply.line, dialect.errors.halting_lines):
        return "halt"
    if isinstance(reply, Text) and _has(reply.line, dialect.errors.refusing_lines):
        return "refusal"
    return "warning" if _has(reply.line, dialect.errors.warns) else "none"


def _of_error(dialect: Dialect, error: FirmwareError) -> Consequence:
    errors = dialect.errors
    if error.kind == "communication":
        return "communication"
    if (
        (errors.bare and error.line.strip() == "!!")
        or _has(error.line, errors.halting_lines)
        or _has(error.text, errors.halts)
    ):
        return "halt"
    if error.kind == "sd" or _has(error.text, errors.harmless):
        return "harmless"
    return "refusal"


def stopped(dialect: Dialect, reply: Reply) -> bool:
    """Tell whether a reply confirms an emergency stop: the board says so, or has booted."""
    return isinstance(reply, BoardStarted) or _has(reply.line, dialect.stopped_by)


def _has(line: str, pieces: tuple[str, ...]) -> bool:
    lowered = line.lower()
    return any(piece in lowered for piece in pieces)
