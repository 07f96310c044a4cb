"""Load on an HTTP server, from a separate thread: an upload, and polling clients."""

import asyncio
import statistics
import threading
import time
from dataclasses import dataclass, field

BLOCK = b"".join(b"G1 X%d.%03d Y%d.5 E%d.%05d\n" % (n % 97, n % 1000, n % 89, n // 50, n % 9973) for n in range(5_000))
"""Moves, so that the analysis of the uploaded file is a load too; some 120 KiB."""

MEGABYTE = 1_000_000
PERIOD = 0.5  # s between two polls of a client, by default
PATH = "/api/job"


@dataclass(slots=True)
class LoadResult:
    """The result of the load."""

    megabytes: float = 0.0
    failed: int = 0  # requests without a good answer
    seconds: list[float] = field(default_factory=list)  # that answers took

    @property
    def requests(self) -> int:
        """How many requests were answered."""
        return len(self.seconds)

    @property
    def p99_ms(self) -> float:
        """How long an answer took, 99th percentile."""
        return 1000 * statistics.quantiles(self.seconds, n=100)[98] if len(self.seconds) > 1 else 0.0


class Load:
    """Polling from `start` to `stop`, and one upload, which is aborted if it has not ended by then."""

    def __init__(
        self, netloc: str, headers: dict[str, str], megabytes: int, clients: int, period: float = PERIOD
    ) -> None:
        self._host, _, port = netloc.rpartition(":")
        self._port = int(port)
        self._head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._size = megabytes * MEGABYTE
        self._clients = clients
        self._period = period
        self._loaded = LoadResult()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> LoadResult:
        """End the load; return its result."""
        self._stopped.set()
        self._thread.join()
        return self._loaded

    async def _run(self) -> None:
        tasks = [asyncio.create_task(self._poll(self._period * each / self._clients)) for each in range(self._clients)]
        tasks.append(asyncio.create_task(self._upload()))
        await asyncio.to_thread(self._stopped.wait)
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            self._loaded.failed += isinstance(result, Exception)

    async def _poll(self, delay: float) -> None:
        await asyncio.sleep(delay)
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            while True:
                began = time.monotonic()
                writer.write(f"GET {PATH} HTTP/1.1\r\nHost: bench\r\n{self._head}\r\n".encode())
                await self._answer(reader)
                self._loaded.seconds.append(time.monotonic() - began)
                await asyncio.sleep(max(0.0, began + self._period - time.monotonic()))
        finally:
            writer.close()

    async def _upload(self) -> None:
        before = b'--bench\r\nContent-Disposition: form-data; name="file"; filename="large.gcode"\r\n\r\n'
        after = b"\r\n--bench--\r\n"
        reader, writer = await asyncio.open_connection(self._host, self._port)
        length = len(before) + self._size + len(after)
        kind = f"Content-Type: multipart/form-data; boundary=bench\r\nContent-Length: {length}\r\n"
        try:
            writer.write(f"POST /api/files/local HTTP/1.1\r\nHost: bench\r\n{self._head}{kind}\r\n".encode() + before)
            for at in range(0, self._size, len(BLOCK)):
                writer.write(BLOCK[: self._size - at])
                await writer.drain()
                self._loaded.megabytes = at / MEGABYTE
            writer.write(after)
            await self._answer(reader)
            self._loaded.megabytes = self._size / MEGABYTE
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = head.partition("content-length:")[2].partition("\r\n")[0]
        await reader.readexactly(int(length or 0))
        if not head.startswith("http/1.1 2"):
            self._loaded.failed += 1
