"""A camera server: pictures by HTTP, and the ways in which it can misbehave."""

import asyncio
import socket
import struct
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO

from PIL import Image

STILL = "/?action=snapshot"
STREAM = "/?action=stream"


def jpeg(number=0, size=(64, 48)):
    """Return a picture, in a colour by its number."""
    out = BytesIO()
    Image.new("RGB", size, ((37 * number) % 256, (91 * number) % 256, 128)).save(out, "JPEG", quality=80)
    return out.getvalue()


@dataclass
class FakeCamera:
    """A camera.

    Attributes:
        manner: how it answers: well, late (after `release`), stall, truncate, error, huge, html, drip, redirect, dumb,
            odd, reset.
    """

    manner: str = "well"
    every: float = 0.1  # s between the pictures of the stream
    lengths: bool = True  # the parts of the stream have a Content-Length
    last: int = 10**9  # pictures until the stream ends
    size: tuple[int, int] = (64, 48)
    port: int = 0
    requests: list[str] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    open: int = 0
    picture_count: int = 0
    bytes_sent: int = 0  # of the answer that never ends
    release: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader, writer):
        self.open += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            target = head.split(b" ")[1].decode()
            self.requests.append(target)
            self.headers.append(head.decode())
            await self._answer(writer, "stream" in target)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def _answer(self, writer, is_stream):
        picture = jpeg(self.picture_count, self.size)
        self.picture_count += 1
        if self.manner == "well":
            await (self._stream(writer) if is_stream else self._say(writer, "200 OK", "image/jpeg", picture))
        else:
            await getattr(self, f"_{self.manner}")(writer, picture)
        await writer.drain()

    async def _late(self, writer, picture):
        await self.release.wait()
        await self._say(writer, "200 OK", "image/jpeg", picture)

    async def _stall(self, *_):
        await asyncio.sleep(3600)

    async def _dumb(self, writer, _):
        writer.write(b"SSH-2.0-none\r\n")

    async def _reset(self, writer, _):
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n\xff\xd8\xff")
        await asyncio.sleep(0.05)
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST instead of FIN
        writer.transport.abort()

    async def _odd(self, writer, _):
        writer.write(b"200 OK\r\n\r\n")

    async def _error(self, writer, _):
        await self._say(writer, "500 Oops", "text/plain", b"no")

    async def _redirect(self, writer, _):
        writer.write(b"HTTP/1.0 302 Found\r\nLocation: http://192.0.2.1/\r\n\r\n")

    async def _html(self, writer, _):
        await self._say(writer, "200 OK", "text/html", b"<html>" + b"x" * 500)

    async def _truncate(self, writer, picture):
        await self._say(writer, "200 OK", "image/jpeg", picture[: len(picture) // 2], length=len(picture))

    async def _huge(self, writer, _):
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n\xff\xd8\xff")
        for _ in range(800):  # 50 MB
            writer.write(b"x" * 65536)
            await writer.drain()
            self.bytes_sent += 65536

    async def _drip(self, writer, picture):
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n")
        for byte in picture:
            writer.write(bytes([byte]))
            await asyncio.sleep(1)

    async def _say(self, writer, status, kind, body, length=None):
        head = f"HTTP/1.0 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length or len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()

    async def _stream(self, writer):
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=xyz\r\n\r\n")
        for number in range(self.last):
            data = jpeg(number, self.size)
            length = f"Content-Length: {len(data)}\r\n" if self.lengths else ""
            writer.write(f"--xyz\r\nContent-Type: image/jpeg\r\n{length}\r\n".encode() + data + b"\r\n")
            await writer.drain()
            await asyncio.sleep(self.every)


@asynccontextmanager
async def camera(**how):
    """Run a camera on a free port."""
    fake = FakeCamera(**how)
    tasks = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        with suppress(asyncio.CancelledError):
            await fake.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    fake.port = server.sockets[0].getsockname()[1]
    try:
        yield fake
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
