"""Wire: how many bytes may be on the wire or in the firmware's receive buffer, and whether an urgent line fits in."""

from itertools import islice

from gcode.flight import Flight

SETTLED = 0.05
"""Seconds after which a line that was sent has left the firmware's receive buffer, though it may wait for an answer."""


class Wire:
    """The way to the firmware.

    Attributes:
        byte_time: seconds that one byte takes.
        free: when the last byte sent will have left.
        room_at: when an urgent command that waits may find room; None: not before an answer comes.
    """

    __slots__ = ("_unread", "byte_time", "free", "room_at")

    def __init__(self, byte_time: float) -> None:
        self.byte_time = byte_time
        self.free = 0.0
        self.room_at: float | None = None
        self._unread = 0  # bytes that may still be in the receive buffer

    def settle(self, flight: Flight, window: int, now: float, *, read: bool) -> None:
        """Estimate what is in the receive buffer: those lines in flight that the command queue cannot hold.

        Args:
            flight: the lines.
            window: how many lines the command queue holds.
            now: the time.
            read: the firmware has answered, so the lines have left the buffer, though their oks are missing.
        """
        if now < self.free + SETTLED:
            self._unread = flight.bytes
        else:
            self._unread = 0 if read else sum(len(raw) for _, raw, _, _, _ in islice(flight.lines, window, None))

    def takes(self, size: int, flight: Flight, most: int) -> bool:
        """Tell whether the receive buffer of `most` bytes has room for an urgent line; if so, it counts as sent."""
        if flight.lines and self._unread and self._unread + size > most:
            return False
        self._unread += size
        return True

    def look_again(self, now: float) -> None:
        """Set `room_at` for the urgent commands that have found no room."""
        self.room_at = self.free + SETTLED if now < self.free + SETTLED else None
