"""LinkSettings: what a user may set about the line, and what that makes of a dialect."""

from dataclasses import replace

from gcode.dialect import Dialect
from gcode.frozen import frozen
from gcode.heating import heaters_off
from gcode.replies import Heaters


@frozen
class LinkSettings:
    """What a user may set about the line.

    Attributes:
        greeting_timeout: seconds in which someone has to answer after the port is open.
        answer_timeout: seconds of silence before the link asks whether anyone is there.
        poll_interval: seconds between temperature reports.
        idle_interval: the same where they have to be asked for, while no heater is on and no job is fed.
        report_patience: seconds without one after which a printer that reports by itself is asked all the same: a
            file or a user may have turned that off.
        card_interval: seconds between questions how far a print from the SD card is, where they have to be asked.
        window_lines: lines in flight; 0: what the firmware's dialect allows.
        window_bytes: bytes in flight; 0: what the firmware's dialect allows.
        long_commands: first words, blanks between them, of commands that may take minutes besides those known to.
        compact: `auto`: moves go without blanks and zeros that mean nothing, where the dialect allows it; `off`: as
            they are in the file.
        packing: `auto`: lines go packed (MeatPack) where the firmware says that it unpacks them; `off`: never.
        extruders: hotends to turn off when the conversation fails.
        outlasts_silence: a job may go on behind a silence: heaters stay on when a job's line fails by one.
        shared_nozzle: all tools have the hotend of tool 0.
        heated_chamber: there is a chamber to turn off too.
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

    def adapted(self, dialect: Dialect) -> Dialect:
        """Return the dialect with what the user has set."""
        return replace(
            dialect,
            answer_timeout=self.answer_timeout,
            long_commands=frozenset(self.long_commands.upper().encode().split()),
            window_lines=self.window_lines or dialect.window_lines,
            window_bytes=self.window_bytes or dialect.window_bytes,
            learns=not self.window_lines,
            compact=dialect.compact if self.compact == "auto" else None,
            packing=dialect.packing if self.packing == "auto" else None,
        )

    def heaters_off(self, told: Heaters) -> bytes:
        """Return the lines that turn everything off, without numbers."""
        commands = [*heaters_off(self.extruders, chamber=self.heated_chamber, told=told), "M107"]
        return "".join(f"{command}\n" for command in commands).encode()
