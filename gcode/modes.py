"""Modes: what a firmware remembers from one command to the next and a host must put back after its own moves.

G90 and G91 set all axes including E; M82 and M83 then set E alone (https://marlinfw.org/docs/gcode/G091.html).
"""

from dataclasses import dataclass

RELATIVE, ABSOLUTE = b"G91", b"G90"
RELATIVE_E, ABSOLUTE_E = b"M83", b"M82"
_MODAL = frozenset({RELATIVE, ABSOLUTE, RELATIVE_E, ABSOLUTE_E})


@dataclass(slots=True)
class Modes:
    """How the next coordinates will be read."""

    relative: bool = False
    relative_e: bool = False

    def note(self, command: bytes) -> None:
        """Follow one command as it is sent; anything else than a mode changes nothing."""
        code = command[:3]
        if code not in _MODAL or command[3:4].isdigit():
            return
        if code in (RELATIVE, ABSOLUTE):
            self.relative = self.relative_e = code == RELATIVE
        else:
            self.relative_e = code == RELATIVE_E

    def restore(self) -> list[str]:
        """Return the commands that set these modes again."""
        axes = RELATIVE if self.relative else ABSOLUTE
        extruder = RELATIVE_E if self.relative_e else ABSOLUTE_E
        return [axes.decode(), extruder.decode()]  # in this order: the first sets the extruder's too
