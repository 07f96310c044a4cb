"""Wire: how many bytes may be on the wire or in the firmware's receive buffer, and whether an urgent line fits."""

from itertools import islice

from gcode.flight import Flight

SETTLED_S = 0.05
"""Seconds after which a line has left the firmware's receive buffer, even without an answer, if the queue has room."""


class Wire:
    """The wire to the firmware, and its receive buffer.

    Attributes:
        byte_time: seconds that one byte takes.
        free_at: when the last byte sent will have left.
        room_at: when a waiting urgent command may find room; None: not before an answer comes.
    """

    __slots__ = ("_unread", "byte_time", "free_at", "room_at")

    def __init__(self, byte_time: float) -> None:
        self.byte_time = byte_time
        self.free_at = 0.0
        self.room_at: float | None = None
        self._unread = 0  # bytes that may still be in the receive buffer

    def estimate_unread(self, flight: Flight, window: int, now: float, *, all_read: bool) -> None:
        """Estimate the bytes in the receive buffer: the lines in flight that the command queue cannot hold.

        Args:
            flight: the lines in flight.
            window: how many lines the command queue holds.
            now: the time.
            all_read: the firmware is known to have read all lines in flight.
        """
        if now < self.free_at + SETTLED_S:
            self._unread = flight.bytes
        else:
            self._unread = 0 if all_read else sum(len(raw) for _, raw, _, _, _ in islice(flight.lines, window, None))

    def take_room(self, size: int, flight: Flight, capacity: int) -> bool:
        """Take room in the receive buffer of `capacity` bytes for an urgent line; tell whether there was room."""
        if flight.lines and self._unread and self._unread + size > capacity:
            return False
        self._unread += size
        return True

    def set_room_at(self, now: float) -> None:
        """Set `room_at`, for urgent commands that found no room."""
        self.room_at = self.free_at + SETTLED_S if now < self.free_at + SETTLED_S else None
