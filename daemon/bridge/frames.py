"""Frames: a message on a socket is four bytes of length, big-endian, and that many bytes."""

MAX_FRAME = 256 * 1024
MAX_QUESTION = 65 * 1024
"""Bytes of a message of the core, and of a question; the API takes bodies of 64 KiB."""

LENGTH = 4  # bytes of the length before a message


def frame(message: bytes) -> bytes:
    """Return a message as a frame."""
    return len(message).to_bytes(LENGTH, "big") + message


class Frames:
    """Splits received bytes into messages."""

    def __init__(self, longest: int = MAX_FRAME) -> None:
        """Take messages of at most `longest` bytes."""
        self._longest = longest
        self._buffer = bytearray()

    @property
    def waiting(self) -> int:
        """Bytes that have not been taken yet."""
        return len(self._buffer)

    def add(self, data: bytes) -> None:
        """Take received bytes."""
        self._buffer += data

    def next(self) -> bytes | None:
        """Return the next complete message; None: there is none yet.

        Raises:
            ValueError: the message is too long.
        """
        if len(self._buffer) < LENGTH:
            return None
        size = int.from_bytes(self._buffer[:LENGTH], "big")
        if size > self._longest:
            raise ValueError(f"a message has {size} bytes; at most {self._longest} are allowed")
        if len(self._buffer) < LENGTH + size:
            return None
        message = bytes(self._buffer[LENGTH : LENGTH + size])
        del self._buffer[: LENGTH + size]
        return message
