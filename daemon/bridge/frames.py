"""Messages on a socket: four bytes of length, highest first, and so many bytes."""

MAX_FRAME = 256 * 1024
MAX_QUESTION = 65 * 1024
"""Bytes of one message, and of one that the front sends: the API takes bodies of 64 KiB."""

LENGTH = 4  # bytes of the length before a message


def frame(message: bytes) -> bytes:
    """Return a message as it goes over a socket."""
    return len(message).to_bytes(LENGTH, "big") + message


class Frames:
    """Takes what comes over a socket apart."""

    def __init__(self, most: int = MAX_FRAME) -> None:
        """Take messages of at most so many bytes."""
        self._most = most
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
        if size > self._most:
            raise ValueError(f"a message of {size} bytes; the longest may have {self._most}")
        if len(self._buffer) < LENGTH + size:
            return None
        message = bytes(self._buffer[LENGTH : LENGTH + size])
        del self._buffer[: LENGTH + size]
        return message
