"""The print hosts that are measured, each with the same four verbs: connect, print, disconnect, stop."""

import json
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from bench.client import Client
from bench.folders import ROOT
from bench.prints import PrintFile
from bench.processes import environment, stop

HERE = Path(__file__).parent
KEY = "BENCHBENCHBENCHBENCHBENCHBENCH00"
START_TIMEOUT = 120.0  # s; OctoPrint's first start makes its caches
OCTOPRINT = "http://127.0.0.1:5199"
UPLOAD_PAUSE = 1.0  # s from an upload to the print, for what a host does with a new file


class HostFailed(Exception):
    """A host did not carry out a request; the text names it."""


class Host(Protocol):
    """A program that prints."""

    name: str

    @property
    def pid(self) -> int:
        """Its process, once it is connected."""

    def connect(self, port: Path, baudrate: int, job: PrintFile) -> None:
        """Connect to the printer and have the file ready."""

    def print_file(self, poll: float, patience: float) -> None:
        """Print the file; query the progress at this interval if the host has an API."""

    def disconnect(self) -> None:
        """Let the printer go."""

    def stop(self) -> None:
        """End it."""


class ScriptHost:
    """A program that prints one file and ends; see `raw_host.py` for how it is talked to."""

    def __init__(self, name: str, before: list[str | Path], *, takes_baudrate: bool = False) -> None:
        self.name = name
        self._before = before
        self._takes_baudrate = takes_baudrate
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise HostFailed(f"{self.name} is not connected")
        return self._process

    def connect(self, port: Path, baudrate: int, job: PrintFile) -> None:
        after = [str(baudrate)] if self._takes_baudrate else []
        self._process = subprocess.Popen(
            [*self._before, port, job.path, *after],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._expect(b"connected", 30.0)

    def print_file(self, poll: float, patience: float) -> None:  # noqa: ARG002 - it cannot be asked
        self._say_go()
        self._expect(b"done", patience)

    def disconnect(self) -> None:
        with suppress(BrokenPipeError):
            self._say_go()
        with suppress(subprocess.TimeoutExpired):
            self._running.wait(15)
        self.stop()

    def stop(self) -> None:
        if self._process is not None:
            stop(self._process)
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):
                        pipe.close()

    def _say_go(self) -> None:
        pipe = self._running.stdin
        if pipe is not None:
            pipe.write(b"\n")
            pipe.flush()

    def _expect(self, word: bytes, patience: float) -> None:
        watchdog = threading.Timer(patience, self._running.kill)
        watchdog.daemon = True  # it does not keep a stopped run alive
        try:
            watchdog.start()
            output = self._running.stdout.readline().strip() if self._running.stdout else b""
        finally:
            watchdog.cancel()
        if output != word:
            raise HostFailed(f"{self.name} did not say {word.decode()!r} within {patience:g} s")


class ServerHost:
    """A server with OctoPrint's HTTP API, that stays up from print to print."""

    def __init__(self, name: str, command: list[str | Path], url: str, key: str, folder: Path) -> None:
        """Start it.

        Args:
            name: for tables.
            command: what runs it.
            url: its address; if empty, read from its log.
            key: for its API.
            folder: for its log.
        """
        self.name = name
        self._log = folder / f"{name}.log"
        self.born = time.time()  # as the log counts
        self.began = time.monotonic()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, env=environment(NOZZLED_API_KEY=key), cwd=ROOT, stdout=log, stderr=log
            )
        self.client = Client(url or self._until_listening(), key)
        while not self.client.alive():
            self._check_start()
            time.sleep(0.01)
        self.started = time.monotonic()

    @property
    def pid(self) -> int:
        return self._process.pid

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the entries of its log with this event name, if the log is in JSON."""
        lines = self._log.read_text("utf-8", "replace").rpartition("\n")[0].splitlines()
        return [event for event in map(json.loads, filter(_is_json, lines)) if event.get("event") == name]

    def last_job(self) -> dict[str, Any]:
        """Return nozzled's log entry about the last ended job.

        Raises:
            HostFailed: the log has no such entry.
        """
        time.sleep(0.2)  # its last line may be still on the way to the file
        if not (ended := self.events("job.ended")):
            raise HostFailed(f"the log of {self.name} does not say that a job has ended")
        return ended[-1]

    def _until_listening(self) -> str:
        while not (found := self.events("http.listening")):
            self._check_start()
            time.sleep(0.01)
        return str(found[0]["url"])

    def _check_start(self) -> None:
        if self._process.poll() is not None or time.monotonic() - self.began > START_TIMEOUT:
            stop(self._process)
            raise HostFailed(f"{self.name} did not start: {self._log.read_text('utf-8', 'replace')[-1000:]}")

    def connect(self, port: Path, baudrate: int, job: PrintFile) -> None:
        self.client.connect(str(port), baudrate)
        self.client.select(job.path)
        time.sleep(UPLOAD_PAUSE)

    def print_file(self, poll: float, patience: float) -> None:
        end = due = time.monotonic()
        end += patience
        self.client.start()
        while True:
            due += poll
            time.sleep(max(0.0, due - time.monotonic()))
            if self.client.finished():
                return
            if time.monotonic() > end:
                self.client.call("POST", "/api/job", {"command": "cancel"})
                raise HostFailed(f"{self.name} did not finish within {patience:g} s")

    def disconnect(self) -> None:
        self.client.disconnect()

    def stop(self) -> None:
        self.client.close()
        stop(self._process)


def _is_json(line: str) -> bool:
    return line.startswith("{") and line.endswith("}")


def nozzled(ports: Path, folder: Path) -> ServerHost:
    """Start our daemon, with its state in the folder."""
    options: list[str | Path] = ["--port", "0", "--state-dir", folder / "state", "--extra-port", f"{ports}/*"]
    return ServerHost("nozzled", [sys.executable, "-m", "daemon", "serve", *options], "", KEY, folder)


def octoprint(peers: Path, folder: Path) -> ServerHost:
    """Start the OctoPrint that `peers.sh` has installed."""
    program = _installed(peers / "octoprint/bin/octoprint")
    where = ["--host", "127.0.0.1", "--port", "5199", "--basedir", str(peers / "octoprint-base")]
    return ServerHost("octoprint", [program, "serve", "--iknowwhatimdoing", *where], OCTOPRINT, KEY, folder)


def printcore(peers: Path) -> ScriptHost:
    """Return the printcore that `peers.sh` has installed."""
    program = _installed(peers / "printcore/bin/python")
    return ScriptHost("printcore", [program, HERE / "printcore_host.py"], takes_baudrate=True)


def raw(window: int) -> ScriptHost:
    """Return a bare loop with this many lines in flight."""
    return ScriptHost(f"raw{window}", [sys.executable, HERE / "raw_host.py", str(window)])


def _installed(program: Path) -> Path:
    if not program.exists():
        raise HostFailed(f"{program} is not there: run bench/peers.sh {program.parents[2]}")
    return program


def scratch() -> "tempfile.TemporaryDirectory[str]":
    """Return a folder that goes away at the end."""
    return tempfile.TemporaryDirectory(prefix="nozzled-bench-")
