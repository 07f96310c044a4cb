"""Consequence: what a reply means for the conversation, by the dialect's data."""

from typing import Literal

from gcode.dialect import Dialect
from gcode.replies import BoardStarted, FirmwareError, Ok, Reply, Text

Consequence = Literal["none", "warning", "communication", "harmless", "refusal", "halt"]
"""`none`: no error. `warning`: a text that the user should see. `communication`: a damaged line, which the firmware
requests again. `harmless`: an error after which the firmware continues. `refusal`: the command was not executed, and
the firmware continues. `halt`: the firmware executes nothing until it is reset or revived."""


def consequence(dialect: Dialect, reply: Reply) -> Consequence:
    """Return the consequence of a reply; an error that the dialect does not know is a refusal."""
    if isinstance(reply, FirmwareError):
        return _error_consequence(dialect, reply)
    if not isinstance(reply, Text | Ok):
        return "none"
    if _contains(reply.line, dialect.errors.halt_lines):
        return "halt"
    if isinstance(reply, Text) and _contains(reply.line, dialect.errors.refusal_lines):
        return "refusal"
    return "warning" if _contains(reply.line, dialect.errors.warning_lines) else "none"


def _error_consequence(dialect: Dialect, error: FirmwareError) -> Consequence:
    errors = dialect.errors
    if error.kind == "communication":
        return "communication"
    if (
        (errors.bangs_halt and error.line.strip() == "!!")
        or _contains(error.line, errors.halt_lines)
        or _contains(error.text, errors.halt_errors)
    ):
        return "halt"
    if error.kind == "sd" or _contains(error.text, errors.harmless_errors):
        return "harmless"
    return "refusal"


def confirms_stop(dialect: Dialect, reply: Reply) -> bool:
    """Tell whether a reply confirms an emergency stop: the board says so, or has booted."""
    return isinstance(reply, BoardStarted) or _contains(reply.line, dialect.stop_confirmations)


def _contains(line: str, pieces: tuple[str, ...]) -> bool:
    lowered = line.lower()
    return any(piece in lowered for piece in pieces)
