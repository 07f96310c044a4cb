"""A service manager in miniature: receives sd_notify messages, stores descriptors, and starts a service with them.

Tests on a real systemd are in tests/systemd.
"""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from support.processes import LIFETIME, environment, until

MAX_DESCRIPTORS = 16
FIRST = 3

# what systemd does between fork and exec: pass descriptors from 3 on, and name the process that they are for
LAUNCH = f"""
import os, sys
given = [int(fd) for fd in sys.argv[1].split(",") if fd]
for target, fd in enumerate(given, 64):  # free the lower numbers first
    os.dup2(fd, target)
for number in range(len(given)):
    os.dup2(64 + number, {FIRST} + number)
    os.close(64 + number)
if given:
    os.environ["LISTEN_PID"] = str(os.getpid())
os.execvp(sys.argv[2], sys.argv[2:])
"""


_MARK, _END = b"MARK", b"END"  # messages of the manager to its own thread


class ServiceManager:
    """The socket of $NOTIFY_SOCKET, read by a thread, and the descriptors for the next start."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self.messages: list[str] = []
        self.descriptors: list[tuple[str, int]] = []  # newest first, as systemd hands them in
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._log = folder / "service.log"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._lock, self._marked = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            data, descriptors, _, _ = socket.recv_fds(self._socket, 4096, MAX_DESCRIPTORS)
            if data == _END:
                return
            if data == _MARK:
                self._marked.set()
                continue
            with self._lock:
                self._take(data.decode().splitlines(), descriptors)

    def _say(self, data: bytes) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(data, str(self.path))

    def sync(self) -> None:
        """Wait until all messages sent so far have been handled."""
        self._marked.clear()
        self._say(_MARK)
        self._marked.wait(LIFETIME)

    def _take(self, lines: list[str], descriptors: list[int]) -> None:
        self.messages += lines
        name = next((line.removeprefix("FDNAME=") for line in lines if line.startswith("FDNAME=")), "stored")
        if "FDSTORE=1" in lines:
            self.descriptors[:0] = [(name, fd) for fd in descriptors]
            return
        for fd in descriptors:
            os.close(fd)
        if "FDSTOREREMOVE=1" in lines:
            self._remove(name)

    def _remove(self, name: str) -> None:
        for each in [each for each in self.descriptors if each[0] == name]:
            self.descriptors.remove(each)
            os.close(each[1])

    def has_received(self, line: str) -> bool:
        """Tell whether this message has been received."""
        self.sync()
        return line in self.messages

    def wait_for(self, line: str) -> None:
        until(lambda: self.has_received(line), f"the service to say {line}")

    def start(
        self, command: Sequence[str | Path], sockets: Sequence[tuple[str, int]] = (), **variables: str
    ) -> "subprocess.Popen[bytes]":
        """Start the service with these sockets and the stored descriptors."""
        self.sync()
        with self._lock:
            self.messages.clear()
            pairs = [*sockets, *self.descriptors]
        listen = {"LISTEN_FDS": str(len(pairs)), "LISTEN_FDNAMES": ":".join(name for name, _ in pairs)} if pairs else {}
        descriptors = [fd for _, fd in pairs]
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", LAUNCH, ",".join(map(str, descriptors)), *command],
                env={**environment(), "NOTIFY_SOCKET": str(self.path), **listen, **variables},
                pass_fds=descriptors, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self._processes.append(process)
        return process

    def output(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def close(self) -> None:
        """Kill all started processes, and close the stored descriptors."""
        for process in self._processes:
            process.kill()
            process.wait(LIFETIME)
        self._say(_END)
        self._thread.join()
        for _, fd in self.descriptors:
            os.close(fd)
        self.descriptors.clear()
        self._socket.close()
