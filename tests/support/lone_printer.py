"""A simulated firmware on a clock moved by hand, without a host."""

from dataclasses import replace

from hal.simulated.config import FirmwareConfig
from hal.simulated.firmware import Firmware
from hal.simulated.oracle import Oracle

HALTED = "Error:Printer halted. kill() called!"


class LonePrinter:
    """A firmware that booted a second ago; its readings have no noise."""

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
        end, lines = self.now + seconds, []
        while (due := self.firmware.next_event()) is not None and due <= end:
            lines += [(due, line) for line in self.firmware.advance(due).decode().splitlines()]
        self.now = end
        return lines + [(end, line) for line in self.firmware.advance(end).decode().splitlines()]

    def send(self, *lines, seconds=0.0):
        """Send lines at once; return the lines received in the following seconds."""
        self.firmware.receive("".join(f"{line}\n" for line in lines).encode(), self.now)
        return [line for _, line in self.run(seconds)]

    def wait(self, line, within=2000.0):
        """Send one line; return (seconds until its ok, lines received until then)."""
        began, replies = self.now, self.send(line)
        while "ok" not in replies:
            assert self.now < began + within, replies[-3:]
            replies += [text for _, text in self.run(self.firmware.next_event() - self.now)]
        return self.now - began, replies

    def fail(self, fault, heater="hotend"):
        """Break a heater, or repair it if the fault is None."""
        self.heat.find(heater).fail(fault, self.now)

    def wait_for_halt(self, within=2000.0):
        """Wait until it halts; return (seconds until then, the line with the reason)."""
        began, lines = self.now, self.run(within)
        assert [line for _, line in lines[-1:]] == [HALTED], lines
        (at, reason), (halted, _) = lines[-2:]
        assert at == halted
        return at - began, reason
