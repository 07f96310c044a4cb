"""EMERGENCY_PARSER: a few commands are understood while their bytes arrive, before anything queued."""

import re

_EMERGENCY = re.compile(rb" *(?:N[-\d ]*)?(M108|M112|M410|M876)")
_LONGEST = 32  # bytes of a line that matter: number and code


class EmergencyParser:
    """Watches the bytes from the wire, also those that the receive buffer then loses."""

    def __init__(self) -> None:
        self._begun = b""

    def feed(self, data: bytes) -> list[str]:
        """Return the emergency commands whose line ended in these bytes, in order."""
        *lines, rest = (self._begun + data).replace(b"\r", b"\n").split(b"\n")
        self._begun = rest[:_LONGEST]
        found = (_EMERGENCY.match(line[:_LONGEST]) for line in lines)
        return [match[1].decode() for match in found if match]
