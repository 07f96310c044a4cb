"""Messages on a socket: four bytes of length, highest first, and so many bytes."""

MAX_FRAME = 256 * 1024
"""Bytes of one message, either way."""

LENGTH = 4  # bytes of the length before a message


def frame(message: bytes) -> bytes:
    """Return a message as it goes over a socket."""
    return len(message).to_bytes(LENGTH, "big") + message


class Frames:
    """Takes what comes over a socket apart."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def waiting(self) -> int:
        """Bytes that are not taken yet."""
        return len(self._buffer)

    def add(self, data: bytes) -> None:
        """Take what has come."""
        self._buffer += data

    def next(self) -> bytes | None:
        """Return the next message that is whole; None: there is none yet.

        Raises:
            ValueError: it is longer than any may be.
        """
        if len(self._buffer) < LENGTH:
            return None
        size = int.from_bytes(self._buffer[:LENGTH], "big")
        if size > MAX_FRAME:
            raise ValueError(f"a message of {size} bytes; the longest may have {MAX_FRAME}")
        if len(self._buffer) < LENGTH + size:
            return None
        message = bytes(self._buffer[LENGTH : LENGTH + size])
        del self._buffer[: LENGTH + size]
        return message
