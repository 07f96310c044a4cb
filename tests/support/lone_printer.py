"""A simulated firmware on a clock moved by hand, left alone: nothing asks it for temperatures."""

from dataclasses import replace

from hal.simulated.config import FirmwareConfig
from hal.simulated.firmware import Firmware
from hal.simulated.oracle import Oracle

HALTED = "Error:Printer halted. kill() called!"


class LonePrinter:
    """A firmware that has booted a second ago; readings are without noise."""

    def __init__(self, firmware=None, **config):
        self.firmware = Firmware(replace(firmware or FirmwareConfig(), **{"noise": 0.0, **config}), Oracle(keep=None))
        self.firmware.reset(0.0)
        self.now = 0.0
        self.run(1.0)

    @property
    def heat(self):
        return self.firmware.heat

    def run(self, seconds):
        """Let time pass, event by event; return [(time, line)]."""
        end, said = self.now + seconds, []
        while (due := self.firmware.next_event()) is not None and due <= end:
            said += [(due, line) for line in self.firmware.advance(due).decode().splitlines()]
        self.now = end
        return said + [(end, line) for line in self.firmware.advance(end).decode().splitlines()]

    def send(self, *lines, seconds=0.0):
        """Send lines at once; return what is said in the seconds after."""
        self.firmware.receive("".join(f"{line}\n" for line in lines).encode(), self.now)
        return [line for _, line in self.run(seconds)]

    def wait(self, line, most=2000.0):
        """Send one line; return (seconds to its ok, everything said meanwhile)."""
        began, said = self.now, self.send(line)
        while "ok" not in said:
            assert self.now < began + most, said[-3:]
            said += [text for _, text in self.run(self.firmware.next_event() - self.now)]
        return self.now - began, said

    def fail(self, fault, heater="hotend"):
        """Break a heater, or mend it with None."""
        self.heat.named(heater).fail(fault, self.now)

    def trip(self, within=2000.0):
        """Wait until it halts; return (seconds until then, the line that says why)."""
        began, said = self.now, self.run(within)
        assert [line for _, line in said[-1:]] == [HALTED], said
        (at, reason), (halted, _) = said[-2:]
        assert at == halted
        return at - began, reason
