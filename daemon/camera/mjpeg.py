"""Extracts and checks the pictures of an MJPEG stream (`multipart/x-mixed-replace`). Pure."""

import re

from daemon.errors import CameraError

MAX_PICTURE = 5 * 1024 * 1024
"""Bytes; a picture of 1920 x 1080 pixels by a good camera has 300,000."""

MAX_HEADERS = 8 * 1024  # bytes

_LENGTH = re.compile(rb"^content-length:[ \t]*(\d{1,9})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_HEADERS_END = re.compile(rb"\r?\n\r?\n")
_END = re.compile(rb"\xff\xd9[\r\n]*--")


def jpeg(data: bytes) -> bytes:
    """Return a picture without the padding of some cameras.

    Raises:
        CameraError: it is not a JPEG, or incomplete.
    """
    trimmed = data.rstrip(b"\0\r\n")
    if not trimmed.startswith(b"\xff\xd8\xff"):
        raise CameraError(f"the camera does not send a JPEG picture: the data begin with {data[:16]!r}")
    if not trimmed.endswith(b"\xff\xd9"):
        raise CameraError(f"the picture is incomplete: it was cut off after {len(data)} bytes")
    return trimmed


class PictureParts:
    """Takes the bytes of a stream as they arrive, and returns the pictures in them."""

    def __init__(self, max_bytes: int = MAX_PICTURE) -> None:
        """Prepare; a picture of more than `max_bytes` bytes is refused."""
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._length: int | None = None  # of the next picture, if its part has a Content-Length
        self._is_in_part = False  # the headers of a part have been read
        self._searched_bytes = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the pictures that are complete now.

        Raises:
            CameraError: this is not a stream of pictures, or one of them is too large.
        """
        self._buffer += data
        pictures = []
        while (picture := self._next()) is not None:
            pictures.append(jpeg(picture))
        return pictures

    def _next(self) -> bytes | None:
        if not self._is_in_part and not self._enter_part():
            return None
        if (self._length or len(self._buffer)) > self._max_bytes:
            raise CameraError(f"a picture of the camera is larger than {self._max_bytes} bytes")
        end = self._find_end()
        if end is None:
            return None
        picture = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._is_in_part, self._length, self._searched_bytes = False, None, 0
        return picture

    def _enter_part(self) -> bool:
        """Read the headers of the next part, if they are complete."""
        headers_end = _HEADERS_END.search(self._buffer, self._after_boundary())
        if headers_end is None:
            if len(self._buffer) > MAX_HEADERS:
                raise CameraError("the camera does not send an MJPEG stream")
            return False
        length = _LENGTH.search(self._buffer[: headers_end.end()])
        self._length = int(length[1]) if length is not None else None
        del self._buffer[: headers_end.end()]
        self._is_in_part = True
        return True

    def _after_boundary(self) -> int:
        """Return where to look for the empty line after the headers: others may come before the boundary."""
        return max(0, self._buffer.find(b"--"))

    def _find_end(self) -> int | None:
        if self._length is not None:
            return self._length if len(self._buffer) >= self._length else None
        marker = _END.search(self._buffer, max(0, self._searched_bytes - 8))
        self._searched_bytes = len(self._buffer)
        return marker.start() + 2 if marker is not None else None
