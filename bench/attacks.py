"""Attacks and careless clients against a host while it prints: each runs in threads until it is stopped."""

import json
import os
import signal
import socket
import struct
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from bench.hosts import ServerHost
from bench.processes import tree

FILES = 10_000
SUBSCRIBERS = 128
PINGS = 500_000  # bytes/s
PAUSE = 0.05  # s before a connection that was closed is made again


class Attack(ABC):
    """An attack: `prepare` gets it ready, `start` begins it, `stop` ends it and returns its outcome."""

    threads = 1

    def __init__(self, host: ServerHost, folder: Path) -> None:
        """Prepare; `folder` is that of the host's state."""
        self.host = host
        self.folder = folder
        self.address = urlsplit(f"//{host.client.netloc}")
        self.count = 0
        self.refused = 0
        self._stopped = threading.Event()
        self._running = [threading.Thread(target=self._run, daemon=True) for _ in range(self.threads)]

    def prepare(self) -> None:  # noqa: B027 - most need nothing
        """Do what comes before the print."""

    def start(self) -> None:
        for each in self._running:
            each.start()

    def stop(self) -> str:
        self._stopped.set()
        for each in self._running:
            each.join(10)
        return f"{self.count} {self.unit}, {self.refused} times closed or refused"

    unit = "times"

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.once()
            except (OSError, ValueError):
                self.refused += 1
                self._stopped.wait(PAUSE)

    @abstractmethod
    def once(self) -> None:
        """Attack once; connections that the host closes are opened again."""

    def connect(self) -> socket.socket:
        return socket.create_connection((self.address.hostname, self.address.port), 5)

    def flood(self, head: bytes, piece: bytes, rate: float | None = None) -> None:
        """Send `head`, then `piece` repeatedly, until the host hangs up; its answers are discarded."""
        with self.connect() as connection:
            connection.sendall(head)
            reader = threading.Thread(target=_swallow, args=(connection,), daemon=True)
            reader.start()
            began, sent = time.monotonic(), 0
            while not self._stopped.is_set():
                connection.sendall(piece)
                sent += len(piece)
                self.count += 1
                if rate is not None:
                    self._stopped.wait(max(0.0, began + sent / rate - time.monotonic()))

    def request(self, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
        """Ask with the key."""
        head = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in self.host.client.headers.items())
        head += f"Content-Type: {kind}\r\nContent-Length: {len(body or b'')}\r\n\r\n"
        with self.connect() as connection:
            connection.settimeout(60)
            connection.sendall(head.encode() + (body or b""))
            answer = b"".join(iter(lambda: connection.recv(1 << 20), b""))
        self.count += 1
        self.refused += not answer.startswith(b"HTTP/1.1 2")
        return answer.partition(b"\r\n\r\n")[2]

    def socket(self) -> socket.socket:
        """Open a WebSocket; it needs no key for that."""
        connection = self.connect()
        connection.sendall(
            b"GET /sockjs/websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        if b" 101 " not in connection.recv(4096):
            connection.close()
            raise ConnectionRefusedError
        return connection


def _swallow(connection: socket.socket) -> None:
    with suppress(OSError):
        while connection.recv(65536):
            pass


def _frame(payload: bytes, kind: int) -> bytes:
    """Return a frame of a client, masked with zeros."""
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack(">H", len(payload))
    return bytes([0x80 | kind]) + size + bytes(4) + payload


class Pings(Attack):
    """One socket without a key sends only empty pings, half a megabyte a second."""

    unit = "batches of pings"

    def once(self) -> None:
        head = (
            b"GET /sockjs/websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        self.flood(head, _frame(b"", 9) * 400, PINGS)


class Chunks(Attack):
    """A body without a key, in chunks of a byte."""

    threads = 8
    unit = "batches of chunks"

    def once(self) -> None:
        head = b"POST /api/job HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.flood(head, b"1\r\nx\r\n" * 4000)


class Pipelines(Attack):
    """Requests without a key, one after the other, without waiting for answers."""

    threads = 8
    unit = "batches of requests"

    def once(self) -> None:
        self.flood(b"", b"GET /api/job HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 100)


class Forms(Attack):
    """Uploads with a key whose headers are made to take long to read."""

    unit = "forms"

    def once(self) -> None:
        part = b"--B\r\nContent-Disposition: form-data; x" + b'\\"' * 2000 + b"\r\n\r\n\r\n"
        self.request("/api/files/local", part * 63 + b"--B--\r\n", "multipart/form-data; boundary=B")


class Listing(Attack):
    """A client with a key lists ten thousand files repeatedly."""

    unit = "lists"

    def prepare(self) -> None:
        folder = self.folder / "uploads/many"
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(FILES):
            (folder / f"a_name_of_some_length_{number:05}_0.2mm_PLA.gcode").write_bytes(b"G28\n")

    def once(self) -> None:
        self.request("/api/files?recursive=true")
        self._stopped.wait(0.5)


class Subscribers(Attack):
    """As many sockets with a key as there may be."""

    unit = "reads"

    def prepare(self) -> None:
        login = json.loads(self.request("/api/login", b'{"passive": true}'))
        said = _frame(json.dumps({"auth": f"{login['name']}:{login['session']}"}).encode(), 1)
        self._open: list[socket.socket] = []
        for _ in range(SUBSCRIBERS):
            with suppress(OSError):
                connection = self.socket()
                connection.sendall(said)
                connection.settimeout(0.001)
                self._open.append(connection)
                time.sleep(
                    0.02
                )  # only few clients without a session are let in at a time; each shows its session first

    def once(self) -> None:
        for each in self._open:
            with suppress(TimeoutError):
                self.count += bool(each.recv(65536))

    def stop(self) -> str:
        told = super().stop()
        for each in self._open:
            each.close()
        return f"{len(self._open)} sockets, {told}"


class FrontKilled(Attack):
    """The front is killed once a second."""

    unit = "kills"

    def once(self) -> None:
        for pid in tree(self.host.pid)[1:]:
            if b"front" in _command(pid):
                os.kill(pid, signal.SIGKILL)
                self.count += 1
                break
        self._stopped.wait(1.0)


def _command(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


ATTACKS: dict[str, Callable[[ServerHost, Path], Attack]] = {
    "pings": Pings,
    "chunks": Chunks,
    "pipelines": Pipelines,
    "forms": Forms,
    "listing": Listing,
    "subscribers": Subscribers,
    "front-killed": FrontKilled,
}
