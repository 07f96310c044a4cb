"""The wire between host and device, in one direction: bytes that may take time."""

import math
import random
from collections import deque

USB_PACKET = 64
"""Bytes of one packet of full-speed USB, which serial adapters use."""

_BITS_PER_BYTE = 10  # start bit, eight data bits, stop bit


class SimulatedWire:
    """One direction of a serial line. Without a baudrate, bytes arrive when they are sent.

    Attributes:
        begins: when the next byte begins to arrive; infinite: there is none.
        due: when the next line end arrives, or the last byte of a piece without one.
    """

    def __init__(self, baudrate: int | None = None) -> None:
        self.begins = self.due = math.inf
        self._byte_time = _BITS_PER_BYTE / baudrate if baudrate else 0.0
        self._pieces: deque[tuple[float, bytes]] = deque()  # when each begins to arrive, and its bytes
        self._free_at = 0.0  # when everything sent has arrived

    def send(self, data: bytes, now: float) -> None:
        """Put bytes on the wire, after those that are on it."""
        begins = max(now, self._free_at)
        self._pieces.append((begins, data))
        self._free_at = begins + len(data) * self._byte_time
        if len(self._pieces) == 1:
            self._update()

    def _update(self) -> None:
        """Set `begins` and `due` for the first piece."""
        if not self._pieces:
            self.begins = self.due = math.inf
            return
        self.begins, data = self._pieces[0]
        self.due = self.begins + ((data.find(b"\n") + 1) or len(data)) * self._byte_time

    def take(self, now: float, room: int | None = None) -> bytes:
        """Take the bytes that have arrived, at most `room` of them."""
        if self.begins > now:
            return b""
        if room is None and self._free_at <= now and len(self._pieces) == 1:  # nearly always
            self.begins = self.due = math.inf
            return self._pieces.pop()[1]
        taken = []
        while self._pieces and self._pieces[0][0] <= now and room != 0:
            begins, data = self._pieces.popleft()
            count = min(self._count(now - begins, len(data)), len(data) if room is None else room)
            taken.append(data[:count])
            if room is not None:
                room -= count
            if count < len(data):
                self._pieces.appendleft((begins + count * self._byte_time, data[count:]))
                break
        self._update()
        return b"".join(taken)

    def _count(self, elapsed: float, length: int) -> int:
        if not self._byte_time:
            return length
        return min(length, int(elapsed / self._byte_time + 1e-6))  # a byte that ends now has arrived

    def clear(self) -> None:
        """Lose the bytes on the wire."""
        self._pieces.clear()
        self._free_at = 0.0
        self._update()


class UsbWire(SimulatedWire):
    """A wire behind a USB adapter: bytes travel in packets, each with its own delay; none overtakes another."""

    def __init__(self, baudrate: int | None, latency: float, jitter: float, seed: str) -> None:
        super().__init__(baudrate)
        self._latency = latency
        self._jitter = jitter
        self._random = random.Random(seed)  # noqa: S311 - reproducible, not secret

    def send(self, data: bytes, now: float) -> None:
        """Put bytes on the wire, in packets."""
        for at in range(0, len(data), USB_PACKET):
            delay = self._latency + self._random.random() * self._jitter
            super().send(data[at : at + USB_PACKET], now + delay)


def make_wire(baudrate: int | None, latency: float, jitter: float, seed: str) -> SimulatedWire:
    """Return the simplest wire with these properties."""
    return UsbWire(baudrate, latency, jitter, seed) if latency or jitter else SimulatedWire(baudrate)
