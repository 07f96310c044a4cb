"""The service and the simulated printer as processes of their own, seen from outside as by a user.

Tests do not sleep for a fixed time: `until` polls for a condition, and its failure names it.
"""

import http.client
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlsplit

import pytest

from gcode.compact import canonical_form

from .reading import read_whole
from .waiting import TIMEOUT

LIFETIME = 1800.0  # s; a module of browser tests shares one service, and takes minutes beside other work
POLL = 0.01  # s; the shortest, as most conditions are requests, which cost the processes under test CPU time
POLL_SHARE = 20  # polling makes a long wait longer by at most 1 / POLL_SHARE
EXAMPLE = Path(__file__).parents[2] / "examples" / "cube20.gcode"
NOZZLED = Path(sys.executable).with_name("nozzled")
TOKEN = "end-to-end-test-key"
SLOW, FAST = "M220 S20", "M220 S999"  # a print lasts as long as a test needs it, and not much longer
HOST_COMMANDS = ("M85", "M110", "M113", "M114", "M115", "M118", "M155", "M211", "M220", "M400", "M503")
"""What hosts and tests send of their own accord; no file that these tests print contains it."""

T = TypeVar("T")


def until(condition: Callable[[], T], what: str, seconds: float = TIMEOUT) -> T:
    """Return the condition's first true value."""
    began = time.monotonic()
    while not (value := condition()):
        waited = time.monotonic() - began
        assert waited < seconds, f"waited {seconds:g} s for {what}, without success"
        time.sleep(max(POLL, waited / POLL_SHARE))
    return value


def cannot_run(reason: str) -> None:
    """Skip the test; in CI, fail it."""
    if os.environ.get("NOZZLED_NO_SKIP") == "1":
        pytest.fail(f"cannot run here, and NOZZLED_NO_SKIP=1 allows no skips: {reason}")
    pytest.skip(reason)


def program(name: str, package: str = "") -> str:
    """Return the path of a program; without it the test cannot run."""
    path = shutil.which(name)
    if path is None:
        cannot_run(f"{name} is missing: apt-get install {package or name}")
    return str(path)


def has_ended(pid: int) -> bool:
    """Return whether a process has ended; one that its parent has not reaped yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def open_below(folder: Path) -> list[str]:
    """Return the files in a folder that this process has open."""
    opened = (os.path.realpath(each) for each in Path("/proc/self/fd").iterdir())
    return [each for each in opened if each.startswith(str(folder))]


def free_port() -> int:
    """Return a TCP port that was free a moment ago, for a program that cannot choose one itself."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def environment() -> dict[str, str]:
    """Return an environment without the nozzled settings of the caller."""
    return {name: value for name, value in os.environ.items() if not name.startswith("NOZZLED_")}


def nozzled(*arguments: str | Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    return subprocess.run(
        [NOZZLED, *arguments],
        capture_output=True,
        text=True,
        timeout=LIFETIME,
        check=False,
        env={**environment(), **variables},
    )


def head(lines: int | None, folder: Path) -> Path:
    """Return a file with the first lines of the example, or all, with an end that does not look truncated."""
    path = folder / "part.gcode"
    content = EXAMPLE.read_bytes().splitlines(keepends=True)[:lines]
    path.write_bytes(b"".join([*content, b"; prusaslicer_config = begin\n"]))
    return path


def commands_of(path: Path) -> list[str]:
    """Return the commands of a print of this file."""
    return [canonical_form(command).decode() for _, command in read_whole(path.read_bytes())]


class Lines(Generic[T]):
    """The complete lines of a growing file; only new ones are read and parsed."""

    def __init__(self, path: Path, parse: Callable[[str], T | None]) -> None:
        self._path = path
        self._parse = parse
        self._read = 0
        self._parsed: list[T] = []

    def so_far(self) -> list[T]:
        """Return the parsed lines, without those parsed as None."""
        with self._path.open("rb") as file:
            file.seek(self._read)
            new = file.read().rpartition(b"\n")
        self._read += len(new[0]) + len(new[1])
        parsed = [self._parse(line) for line in new[0].decode("utf-8", "replace").split("\n") if line]
        self._parsed += [each for each in parsed if each is not None]
        return self._parsed.copy()


def accepted(line: str) -> str:
    """Return the command of an oracle's line; moves, which are compact, in full."""
    return canonical_form(json.loads(line)["command"].encode()).decode()


class Child:
    """A process that ends with the test, or after LIFETIME; its output is in a file."""

    def __init__(self, command: list[str | Path], log: Path, **variables: str) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**environment(), **variables},
            )
        self._watchdog = threading.Timer(LIFETIME, self.process.kill)
        self._watchdog.daemon = True
        self._watchdog.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def output(self) -> str:
        return self.log.read_text("utf-8", "replace")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float) -> int:
        """Return the exit status."""
        return self.process.wait(seconds)

    def end(self) -> None:
        self._watchdog.cancel()
        if self.running:
            self.process.kill()  # SIGKILL ends a stopped process too
        self.process.wait(TIMEOUT)


class SimulatedPrinter(Child):
    """`python -m hal.simulated` behind a pty."""

    def __init__(self, folder: Path, speed: float, link: Path, baudrate: int | None = None) -> None:
        self.link = link
        self.oracle = folder / "oracle.jsonl"
        self._accepted = Lines(self.oracle, accepted)
        options: list[str | Path] = ["--pty", link, "--oracle", self.oracle, "--speed", f"{speed:g}"]
        if baudrate is not None:
            options += ["--baudrate", str(baudrate)]
        super().__init__([sys.executable, "-m", "hal.simulated", *options], folder / "printer.log")
        until(lambda: "->" in self.output() or not self.running, "the simulated printer's port")
        assert self.running, self.output()

    @property
    def address(self) -> str:
        return f"serial:{self.link}"

    def accepted(self) -> list[str]:
        """Return the commands accepted so far."""
        return self._accepted.so_far()


# These simulated printers are many times faster than real time: heat-up and the dead man are not timed by the host.
# Tests compare the commands sent: without analysis, the host does not ask for the printer's limits.
CONFIG = '[job]\nheat_up = "firmware"\n[analysis]\nenabled = false\n[safety]\ndead_man_min = 0\n'


def _event(line: str) -> dict[str, Any] | None:
    return json.loads(line) if line.startswith("{") else None


class Daemon(Child):
    """`nozzled serve` on a free port; its API key comes from the environment unless one is given."""

    def __init__(
        self, folder: Path, log: Path, *options: str | Path, key: str | None = None, python_path: Path | None = None
    ) -> None:
        self.folder = folder
        self._key = key or TOKEN
        # a --port among the options comes later and wins
        command = [NOZZLED, "serve", "--state-dir", folder, "--port", "0", *options]
        config = log.with_suffix(".toml")
        config.write_text(CONFIG)
        variables = {"NOZZLED_CONFIG": str(config)}
        if key is None:
            variables["NOZZLED_API_KEY"] = TOKEN
        if python_path is not None:
            variables["PYTHONPATH"] = str(python_path)
        super().__init__(command, log, **variables)
        self._logged = Lines(log, _event)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the events of this name logged so far."""
        return [event for event in self._logged.so_far() if event["event"] == name]

    def event(self, name: str, seconds: float = TIMEOUT) -> dict[str, Any]:
        """Wait for the first event of this name; return it."""
        until(lambda: self.events(name) or not self.running, f"the log to say {name}", seconds)
        events = self.events(name)
        assert events, f"it ended without logging {name}:\n{self.output()}"
        return events[0]

    @cached_property
    def address(self) -> tuple[str, int]:
        split = urlsplit(self.event("http.listening")["url"])
        assert split.hostname is not None
        assert split.port is not None
        return split.hostname, split.port

    def request(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Return status and parsed answer."""
        with closing(http.client.HTTPConnection(*self.address, timeout=TIMEOUT)) as connection:
            connection.request(method, path, body, {"X-Api-Key": self._key, **(headers or {})})
            response = connection.getresponse()
            data = response.read()
        return response.status, json.loads(data) if data else None

    def get(self, path: str) -> Any:
        status, answer = self.request("GET", path)
        assert status == 200, answer
        return answer

    def post(self, path: str, data: dict[str, Any]) -> None:
        """Send a command that must be accepted."""
        status, answer = self.request("POST", path, json.dumps(data).encode(), {"Content-Type": "application/json"})
        assert status == 204, answer

    def upload(self, name: str, size: int, blocks: Iterable[bytes]) -> tuple[int, Any]:
        """Upload `size` bytes as they come; return status and answer."""
        begin = f'--frontier\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
        end = b"\r\n--frontier--\r\n"

        def body() -> Iterator[bytes]:
            yield begin
            yield from blocks
            yield end

        headers = {
            "Content-Type": "multipart/form-data; boundary=frontier",
            "Content-Length": str(len(begin) + size + len(end)),
        }
        return self.request("POST", "/api/files/local", body(), headers)

    @property
    def state(self) -> str:
        return str(self.get("/api/job")["state"])

    def until_state(self, state: str, seconds: float = TIMEOUT) -> None:
        until(lambda: self.state == state, f"the state {state}", seconds)

    def print_file(self, path: Path) -> None:
        """Upload a file, select it and start."""
        self.until_state("Operational")
        data = path.read_bytes()
        status, answer = self.upload(path.name, len(data), [data])
        assert status == 201, answer
        self.post(f"/api/files/local/{quote(path.name)}", {"command": "select"})
        self.post("/api/job", {"command": "start"})

    def jobs(self) -> list[dict[str, Any]]:
        """Return the jobs in the database, oldest first."""
        with closing(sqlite3.connect(f"file:{self.folder / 'nozzled.db'}?mode=ro", uri=True)) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute("SELECT * FROM jobs ORDER BY id")]

    def peak_memory(self) -> int:
        """Return the peak resident size, in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024


class ProcessGroup:
    """Starts processes in one folder and ends them all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._children: list[Child] = []

    def printer(self, speed: float, link: Path | None = None, baudrate: int | None = None) -> SimulatedPrinter:
        printer = SimulatedPrinter(self.folder, speed, link or self.folder / "port", baudrate)
        self._children.append(printer)
        return printer

    def daemon(
        self,
        *options: str | Path,
        state: Path | None = None,
        key: str | None = None,
        python_path: Path | None = None,
    ) -> Daemon:
        log = self.folder / f"daemon-{len(self._children)}.log"
        daemon = Daemon(state or self.folder / "state", log, *options, key=key, python_path=python_path)
        self._children.append(daemon)
        return daemon

    def close(self) -> None:
        for child in reversed(self._children):
            child.end()


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a file system of this size; needs root."""
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        cannot_run("mounting a small file system needs root and mount")
    folder.mkdir()
    result = subprocess.run(
        [str(mount), "-t", "tmpfs", "-o", f"size={size}", "nozzled-test", folder],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    if result.returncode:
        cannot_run(f"mount: {result.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True, timeout=TIMEOUT)
