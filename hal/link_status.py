"""LinkStatus: the status of the link, with the values that hold while there is no link."""

from gcode.compact import Compact, compactor
from gcode.dialect import UNKNOWN, Dialect
from gcode.link import HostLink
from gcode.modes import Modes
from gcode.outgoing import Counters, JobPlace
from hal.printer import FlowControl
from hal.pump import Pump


class LinkStatus:
    """The part of a `hal.printer.Printer` that only the link knows; the contracts of its methods stand there."""

    def __init__(self, pump: Pump) -> None:
        self._pump = pump

    @property
    def _link(self) -> HostLink | None:
        return self._pump.link

    @property
    def dialect(self) -> Dialect:
        return self._link.dialect if self._link else UNKNOWN

    @property
    def flow_control(self) -> FlowControl:
        dialect = self.dialect
        return FlowControl(dialect.name, dialect.window_lines, dialect.window_bytes)

    @property
    def compact(self) -> Compact | None:
        keep = self.dialect.compact if self._link else None
        return None if keep is None else compactor(keep)

    @property
    def counters(self) -> Counters:
        return self._link.counters if self._link else Counters()

    @property
    def place(self) -> JobPlace:
        return self._link.place if self._link else JobPlace()

    @property
    def modes(self) -> Modes:
        return self._link.modes if self._link else Modes()

    @property
    def next_number(self) -> int:
        """The number of the next new line of this connection."""
        return self._link.next_number if self._link else 1

    @property
    def first_number(self) -> int:
        return self._link.first_number if self._link else 1

    @property
    def answered(self) -> int:
        """The number up to which all lines of this connection have been answered."""
        return self._link.answered if self._link else 0

    @property
    def next_on_wire(self) -> int:
        return self._link.next_on_wire if self._link else 1

    @property
    def idle(self) -> bool:
        """No line is in flight, and no command waits."""
        return self._link is None or self._link.idle
