"""A print from the board's own SD card, as far as a host sees it: the file is read at a steady rate, nothing moves."""

import math
from collections.abc import Callable

RATE = 100.0
"""Bytes of the file that are read in a second."""


class SdCard:
    """The card, and the print from it that was started at the panel."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._began = 0.0
        self._size = 0
        self._done_at = math.inf
        self._interval = 0.0
        self._report_at = math.inf

    @property
    def due(self) -> float:
        """When `advance` has something to do."""
        return min(self._done_at, self._report_at)

    def start(self, name: str, size: int, now: float) -> None:
        """Begin a print, as somebody at the panel does."""
        self._began, self._size, self._done_at = now, size, now + size / RATE
        for line in (f"echo:Now fresh file: {name}", f"File opened: {name} Size: {size}", "File selected"):
            self._say(line)

    def stop(self) -> None:
        """End it before its end, without a word."""
        self._done_at = math.inf

    def report_each(self, seconds: float, now: float) -> None:
        """Report by itself each so many seconds; 0: never."""
        self._interval = seconds
        self._report_at = now + seconds if seconds else math.inf

    def report(self, now: float) -> None:
        """Say how far the print is."""
        if self._done_at == math.inf:
            self._say("Not SD printing")
        else:
            self._say(f"SD printing byte {round((now - self._began) * RATE)}/{self._size}")

    def advance(self, now: float) -> None:
        """Do what is due."""
        if self._done_at <= now:
            self._done_at = math.inf
            self._say("Done printing file")
        if self._report_at <= now:
            self.report(now)
            self._report_at += self._interval
