"""SdCard: the board's SD card, whose files the printer lists and prints without a host.

A file with content is printed line by line, as if a host sent it. A print that the panel starts by name and size alone
only reads bytes at a steady rate, and nothing moves.
"""

import math
from collections.abc import Callable

RATE = 100.0
"""Bytes per second that are read from a file without content."""


class SdCard:
    """The card, and the print from it.

    Args:
        say: sends a line to the host.
        files: content by name; commands change it.
    """

    def __init__(self, say: Callable[[str], None], files: dict[str, bytes] | None = None) -> None:
        self.files = {} if files is None else files
        self.due = math.inf
        """When `advance` has something to do."""
        self._say = say
        self._name = ""
        self._content: bytes | None = None  # of the selected file; None: no file is selected, or it has none
        self._printing = False
        self._offset = 0
        self._size = 0
        self._began = 0.0  # of a print at the steady rate
        self._done_at = math.inf
        self._interval = 0.0
        self._report_at = math.inf

    @property
    def is_printing(self) -> bool:
        """A print from the card is in progress."""
        return self._printing or self._done_at < math.inf

    def find(self, name: str) -> str | None:
        """Return the name of a file on the card, in any case; None: there is no such file."""
        upper_name = name.strip().lstrip("/").upper()
        return next((each for each in self.files if each.upper() == upper_name), None)

    def select(self, name: str) -> None:
        """Open a file for printing, and report that."""
        stored = self.find(name)
        self.stop()
        self._name, self._content = stored or name.strip(), self.files.get(stored or "")
        self._offset, self._size = 0, len(self._content or b"")
        if self._content is None:
            self._say(f"open failed, File: {self._name}.")
        else:
            self._report_opened()

    def _report_opened(self) -> None:
        for line in (
            f"echo:Now fresh file: {self._name}",
            f"File opened: {self._name} Size: {self._size}",
            "File selected",
        ):
            self._say(line)

    def print(self) -> None:
        """Begin or continue to print the selected file, if any."""
        self._printing = self._content is not None

    def pause(self) -> None:
        """Pause the print of a file with content; any other print continues."""
        self._printing = False

    def seek(self, offset: int) -> None:
        """Continue from this byte."""
        self._offset = min(max(0, offset), self._size)

    def start(self, name: str, size: int, now: float) -> None:
        """Begin a print, as a user at the panel does."""
        if self.find(name) is not None:
            self.select(name)
            self.print()
            return
        self._name, self._size = name, size
        self._began, self._done_at = now, now + size / RATE
        self._set_due()
        self._report_opened()

    def stop(self) -> None:
        """Stop the print, without a message."""
        self._printing = False
        self._done_at = math.inf
        self._set_due()

    def take_line(self) -> str | None:
        """Return the next command of the file that is being printed."""
        content = self._content
        while self._printing and content is not None:
            if self._offset >= self._size:
                self._printing = False
                self._say("Done printing file")
                break
            end = content.find(b"\n", self._offset) + 1 or self._size
            line, self._offset = content[self._offset : end], end
            if command := line.partition(b";")[0].strip():
                return command.decode("ascii", "replace")
        return None

    def report_every(self, seconds: float, now: float) -> None:
        """Report every `seconds` without being asked; 0: never."""
        self._interval = seconds
        self._report_at = now + seconds if seconds else math.inf
        self._set_due()

    def report(self, now: float) -> None:
        """Report the progress of the print."""
        if not self.is_printing:
            self._say("Not SD printing")
        else:
            offset = self._offset if self._printing else round((now - self._began) * RATE)
            self._say(f"SD printing byte {offset}/{self._size}")

    def advance(self, now: float) -> None:
        """Do what is due."""
        if self._done_at <= now:
            self._done_at = math.inf
            self._say("Done printing file")
        if self._report_at <= now:
            self.report(now)
            self._report_at += self._interval
        self._set_due()

    def _set_due(self) -> None:
        self.due = min(self._done_at, self._report_at)
