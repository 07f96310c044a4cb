"""Fetches pictures from a camera's program by HTTP/1.0: one connection, no redirects, bounded time and size."""

import asyncio
import base64
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from urllib.parse import SplitResult, unquote, urlsplit
from weakref import WeakKeyDictionary

from daemon.camera.addresses import mask_secrets
from daemon.camera.mjpeg import MAX_HEADERS, MAX_PICTURE, PictureParts, jpeg
from daemon.errors import CameraError
from gcode.frozen import frozen

BLOCK = 64 * 1024  # bytes per read
CONNECT_TIMEOUT = 3.0
OK = 200
_REDIRECTS = range(300, 400)

_Addresses = list[str]
_lookups: "WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Task[_Addresses]]]" = WeakKeyDictionary()
"""The lookups in progress: for each loop, host name → task. A lookup occupies one of the few threads of asyncio's pool
until the resolver gives up, which may be long after the picture was given up. If each new picture began another lookup,
uploads and keys would have no thread left."""


@frozen
class CameraAnswer:
    """The beginning of an answer; its body comes from `reader`. The names of the headers are in lower case."""

    headers: Mapping[str, str]
    reader: asyncio.StreamReader

    @property
    def is_stream(self) -> bool:
        """Whether the body is an endless stream of pictures."""
        return self.headers.get("content-type", "").lower().startswith("multipart/")


@asynccontextmanager
async def ask_camera(url: str, seconds: float, headers: Mapping[str, str] | None = None) -> AsyncIterator[CameraAnswer]:
    """Request an address; yield the answer when its headers have arrived.

    Args:
        url: complete, with http or https; a name and a password in it are sent.
        seconds: timeout for the headers.
        headers: in addition to the usual ones.

    Raises:
        CameraError: there is no answer, or its status is not 200.
    """
    parts = _split(url)
    writer: asyncio.StreamWriter | None = None
    try:
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await _connect(parts)
                writer.write(_request(parts, headers or {}))
                head = await reader.readuntil(b"\r\n\r\n")
        except TimeoutError:
            raise CameraError(f"the camera at {without_secrets(url)} does not answer") from None
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            raise CameraError(f"the program at {without_secrets(url)} does not speak HTTP") from None
        except (OSError, ValueError) as error:  # ValueError: a name that no resolver takes
            raise CameraError(f"no camera at {without_secrets(url)}: {_reason_of(error)}") from error
        yield _answer(url, head, reader)
    finally:
        if writer is not None:
            writer.transport.abort()


async def fetch_picture(
    url: str, seconds: float, *, max_bytes: int = MAX_PICTURE, headers: Mapping[str, str] | None = None
) -> bytes:
    """Return one picture; of a stream, the first.

    Raises:
        CameraError: there is none in time, it is too large, or it is not a JPEG.
    """
    try:
        async with asyncio.timeout(seconds), ask_camera(url, seconds, headers) as answer:
            return await (_read_first(answer, max_bytes) if answer.is_stream else _read_whole(answer, max_bytes))
    except TimeoutError:
        raise CameraError(
            f"the camera at {without_secrets(url)} sent no complete picture within {seconds:g} s"
        ) from None
    except OSError as error:
        raise CameraError(f"the camera at {without_secrets(url)} hung up: {_reason_of(error)}") from error


async def _read_whole(answer: CameraAnswer, max_bytes: int) -> bytes:
    digits = answer.headers.get("content-length", "")
    length = int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 19 else None  # noqa: PLR2004
    if length is not None and length > max_bytes:
        raise CameraError(f"the picture has {length} bytes, more than {max_bytes}")
    data = bytearray()
    while length is None or len(data) < length:
        block = await answer.reader.read(BLOCK)
        if not block:
            break
        data += block
        if len(data) > max_bytes:
            raise CameraError(f"the picture has more than {max_bytes} bytes")
    if length is not None and len(data) < length:
        raise CameraError(f"the picture was cut off after {len(data)} of {length} bytes")
    return jpeg(bytes(data[:length]))


async def _read_first(answer: CameraAnswer, max_bytes: int) -> bytes:
    parts = PictureParts(max_bytes)
    while block := await answer.reader.read(BLOCK):
        if pictures := parts.feed(block):
            return pictures[0]
    raise CameraError("the camera's stream ended before a picture came")


def without_secrets(url: str) -> str:
    """Return an address without name, password and query, which may be secrets, and without secrets in its path."""
    parts = urlsplit(url)
    return mask_secrets(f"{parts.scheme}://{parts.netloc}{parts.path}")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isprintable() or " " in url:
        raise CameraError("the camera's address must begin with http:// or https://, name a host, and have no spaces")
    return parts


async def _connect(parts: SplitResult) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    secure = parts.scheme == "https"
    port, name = parts.port or (443 if secure else 80), parts.hostname or ""
    async with asyncio.timeout(CONNECT_TIMEOUT):
        *others, last = await _look_up(name)
        tls, tls_name = (True, name) if secure else (None, None)
        for address in others:
            with suppress(OSError):
                return await asyncio.open_connection(address, port, limit=BLOCK, ssl=tls, server_hostname=tls_name)
        return await asyncio.open_connection(last, port, limit=BLOCK, ssl=tls, server_hostname=tls_name)


async def _look_up(name: str) -> _Addresses:
    """Return the addresses of a host, at least one; simultaneous calls share one lookup."""
    with suppress(ValueError):
        ip_address(name)
        return [name]
    lookups = _lookups.setdefault(asyncio.get_running_loop(), {})
    if (task := lookups.get(name)) is None:
        task = lookups[name] = asyncio.create_task(_addresses_of(name))
        task.add_done_callback(lambda done: _forget(lookups, name, done))
    return await asyncio.shield(task)


async def _addresses_of(name: str) -> _Addresses:
    entries = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return [_with_zone(*address) for *_, address in entries]


def _with_zone(address: str | int, _port: object, _flow: object = 0, zone: object = 0) -> str:
    """Return an address as text; a link-local one (fe80::) holds only with the number of its interface."""
    return f"{address}%{zone}" if zone and "%" not in str(address) else str(address)


def _forget(lookups: "dict[str, asyncio.Task[_Addresses]]", name: str, task: "asyncio.Task[_Addresses]") -> None:
    del lookups[name]
    if not task.cancelled():
        task.exception()  # asyncio would warn of an exception that nobody retrieves, if all callers have gone


def _request(parts: SplitResult, headers: Mapping[str, str]) -> bytes:
    host = parts.netloc.rpartition("@")[2]
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    request_headers = {"Host": host, "User-Agent": "nozzled", "Accept": "*/*", "Connection": "close", **headers}
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        request_headers["Authorization"] = f"Basic {base64.b64encode(secret).decode()}"
    lines = [f"GET {target} HTTP/1.0", *(f"{name}: {value}" for name, value in request_headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")


def _answer(url: str, head: bytes, reader: asyncio.StreamReader) -> CameraAnswer:
    if len(head) > MAX_HEADERS or not head.startswith(b"HTTP/"):
        raise CameraError(f"the program at {without_secrets(url)} does not speak HTTP")
    first, *lines = head.decode("latin-1").split("\r\n")
    code = first.split(" ")[1] if " " in first else ""
    status = int(code) if code.isascii() and code.isdecimal() and len(code) == 3 else 0  # noqa: PLR2004 - as in HTTP
    if status in _REDIRECTS:
        raise CameraError(f"{without_secrets(url)} is a redirect ({status}): enter the address that it leads to")
    if status != OK:
        raise CameraError(f"the camera at {without_secrets(url)} answers with {status}")
    pairs = (line.partition(":") for line in lines if line)
    return CameraAnswer({name.strip().lower(): value.strip() for name, _, value in pairs}, reader)


def _reason_of(error: Exception) -> str:
    strerror: str | None = getattr(error, "strerror", None)
    return strerror or str(error) or type(error).__name__
