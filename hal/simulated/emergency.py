"""EMERGENCY_PARSER: a few commands act when their bytes arrive, ahead of queued lines (Marlin's feature/e_parser.h)."""

import re

_EMERGENCY = re.compile(rb" *(?:N[-\d ]*)?(M108|M112|M410|M876)")
_PREFIX = 32  # bytes of a line that matter: its number and code


class EmergencyParser:
    """Watches the bytes from the wire, including those that find the receive buffer full."""

    def __init__(self) -> None:
        self._partial = b""

    def feed(self, data: bytes) -> list[str]:
        """Return the emergency commands whose line ended in these bytes, in order."""
        *lines, partial = (self._partial + data).replace(b"\r", b"\n").split(b"\n")
        self._partial = partial[:_PREFIX]
        matches = (_EMERGENCY.match(line[:_PREFIX]) for line in lines)
        return [match[1].decode() for match in matches if match]
