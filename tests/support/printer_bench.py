"""A simulated firmware on a clock moved by hand, with its oracle; each line is sent after the ok of the last one."""

import gzip
from pathlib import Path

from hal.simulated.firmware import Firmware, FirmwareConfig
from hal.simulated.oracle import Oracle

from .reading import read_whole


class PrinterBench:
    """A printer that is switched on, and allowed to extrude cold."""

    def __init__(self, *, oracle=None, **config):
        self.oracle = oracle or Oracle(keep=None, keep_path=True)
        self.firmware = Firmware(FirmwareConfig(noise=0.0, busy=False, autoreport=False, **config), self.oracle)
        self.firmware.reset(0.0)
        self.now = 1.0
        self.firmware.advance(self.now)
        self.tell("M302 P1")

    @property
    def board(self):
        return self.firmware.board

    def tell(self, *lines):
        """Send lines, each after the ok of the last one; return all replies but the oks."""
        replies = []
        for line in lines:
            replies += self._exchange(line.encode() + b"\n")
        return replies

    def _exchange(self, line):
        self.firmware.receive(line, self.now)
        answer = self.firmware.advance(self.now)
        while not any(each.startswith(b"ok") for each in answer.split(b"\n")) and not self.firmware.halted:
            due = self.firmware.next_event()
            assert due is not None, f"{line} is never answered"
            self.now = max(self.now, due)
            answer += self.firmware.advance(self.now)
        return [each for each in answer.decode().split("\n") if each and each != "ok"]

    def finish(self):
        """Wait for the end of the last move; return the seconds that this took."""
        began = self.now
        self.tell("M400")
        return self.now - began

    def seconds(self, *lines):
        """Return the seconds from these lines to the end of their last move."""
        self.finish()
        began = self.now
        self.tell(*lines, "M400")
        return self.now - began

    @property
    def position(self):
        return tuple(self.board.modal.position)


def contents(path: Path) -> bytes:
    """Return the bytes of a file, decompressed."""
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def text(path: Path) -> str:
    """Return the text of a file."""
    return contents(path).decode()


def commands(path: Path) -> list[str]:
    """Return the commands of a G-code file, compressed or not."""
    return [command.decode() for _, command in read_whole(contents(path))]
