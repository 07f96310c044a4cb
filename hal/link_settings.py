"""LinkSettings: the user's settings of the connection, and a dialect adapted to them."""

from dataclasses import replace

from gcode.dialect import Dialect
from gcode.frozen import frozen
from gcode.heating import heaters_off
from gcode.replies import Heaters


@frozen
class LinkSettings:
    """The user's settings of the connection.

    Attributes:
        greeting_timeout: seconds within which the printer has to answer once the port is open.
        answer_timeout: seconds of silence before the link probes.
        poll_interval: seconds between temperature reports.
        idle_interval: seconds between temperature queries while no heater is on and no job is fed.
        report_patience: seconds without a report until a printer that reports unasked is queried: a file or a user may
            have turned reports off.
        card_interval: seconds between queries of a print from the SD card.
        window_lines: lines in flight; 0: as many as the dialect allows.
        window_bytes: bytes in flight; 0: as many as the dialect allows.
        long_commands: first words of further commands that may take minutes, separated by blanks.
        compact: `auto`: moves go without superfluous blanks and zeros if the dialect allows it; `off`: as in the file.
        packing: `auto`: lines go packed (MeatPack) if the firmware unpacks them; `off`: never.
        extruders: number of hotends to turn off when the conversation fails.
        outlasts_silence: the print may be reattached after a silence, so heaters stay on if that ends the connection.
        shared_nozzle: all tools share the hotend of tool 0.
        heated_chamber: there is a heated chamber, to be turned off too.
    """

    greeting_timeout: float = 10.0
    answer_timeout: float = 30.0
    poll_interval: float = 2.0
    idle_interval: float = 5.0
    report_patience: float = 10.0
    card_interval: float = 5.0
    window_lines: int = 0
    window_bytes: int = 0
    long_commands: str = ""
    compact: str = "auto"
    packing: str = "auto"
    extruders: int = 1
    heated_chamber: bool = False
    shared_nozzle: bool = False
    outlasts_silence: bool = False

    def adapt(self, dialect: Dialect) -> Dialect:
        """Return a dialect with these settings."""
        return replace(
            dialect,
            answer_timeout=self.answer_timeout,
            long_commands=frozenset(self.long_commands.upper().encode().split()),
            window_lines=self.window_lines or dialect.window_lines,
            window_bytes=self.window_bytes or dialect.window_bytes,
            learns_window=not self.window_lines,
            compact=dialect.compact if self.compact == "auto" else None,
            packing=dialect.packing if self.packing == "auto" else None,
        )

    def heaters_off(self, heaters: Heaters) -> bytes:
        """Return the unnumbered lines that turn off heaters and fan; `heaters` is the last temperature report."""
        commands = [*heaters_off(self.extruders, chamber=self.heated_chamber, heaters=heaters), "M107"]
        return "".join(f"{command}\n" for command in commands).encode()
