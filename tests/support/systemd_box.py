"""A box with a real systemd, in which nozzled is installed and used."""

import base64
import csv
import hashlib
import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import Distribution, distribution, requires
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

from .processes import HOST_COMMANDS, Lines, accepted  # a benchmark finds this module by another name
from .waiting import TIMEOUT

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests/systemd/box"
BOX_PYTHON = "/usr/bin/python3"  # the box is a layer above this machine's files
SHARED = Path("/run/shared")  # the box's folder, as seen inside
CANNOT = 77
POLL = 0.3  # s; each look starts a process in the box

T = TypeVar("T")

# the HTTP client runs inside, as the box has a network of its own: one process for all requests
CLIENT = """
import json, sys, urllib.request
for line in sys.stdin:
    url, key, method, body, kind = json.loads(line)
    data = open(body[1:], "rb").read() if body.startswith("@") else body.encode() or None
    request = urllib.request.Request(url, data, {"X-Api-Key": key, "Content-Type": kind}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=90) as answer:
            result = [answer.status, answer.read().decode()]
    except urllib.error.HTTPError as error:
        result = [error.code, error.read().decode()]
    except OSError as error:
        result = [0, str(error)]
    print(json.dumps(result), flush=True)
"""


class CannotRun(Exception):
    """This machine cannot run a box; says why."""


class Failed(AssertionError):
    """A command in the box failed; has its output."""


class Box:
    """A booted systemd; `folder` is SHARED inside."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._client: subprocess.Popen[str] | None = None

    def ask(self, *request: str) -> tuple[int, str]:
        """Send an HTTP request; return status and body, or 0 and the reason why there is no answer."""
        if self._client is None:
            command = [SCRIPT, "run", self.folder, BOX_PYTHON, "-I", "-c", CLIENT]
            self._client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        client = self._client
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(json.dumps(request) + "\n")
        client.stdin.flush()
        status, text = json.loads(client.stdout.readline())
        return status, text

    def close(self) -> None:
        """End the HTTP client."""
        if self._client is not None:
            self._client.communicate(timeout=TIMEOUT)

    def run(self, *command: str | Path, seconds: float = TIMEOUT, check: bool = True) -> str:
        """Run a command to its end; return its output."""
        result = subprocess.run(
            [SCRIPT, "run", self.folder, *command],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip
        if check and result.returncode:
            raise Failed(
                f"{' '.join(map(str, command))}: {result.returncode}\n{result.stdout[-2000:]}{result.stderr[-2000:]}"
            )
        return result.stdout.strip()

    def shell(self, script: str) -> str:
        return self.run("sh", "-ec", script)

    def until(self, condition: Callable[[], T], what: str, seconds: float = TIMEOUT) -> T:
        """Return the condition's first true value."""
        end = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < end, f"waited {seconds:g} s for {what}, without success\n{self.journal()[-4000:]}"
            time.sleep(POLL)
        return value

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.run("systemctl", "show", "--value", "--property", name, unit)

    def journal(self, *arguments: str) -> str:
        return self.run("journalctl", "--no-pager", "--quiet", *arguments)

    def main_pid(self, unit: str) -> int:
        return int(self.show(unit, "MainPID"))

    def outer_pid(self, pid: int) -> int:
        """Return the pid outside the box of a process inside."""
        inside = (Path("/proc") / (self.folder / "pid").read_text().strip() / "ns/pid").readlink()
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended meanwhile
                if (process / "ns/pid").readlink() == inside:
                    line = next(line for line in (process / "status").open() if line.startswith("NSpid:"))
                    if int(line.split()[-1]) == pid:
                        return int(process.name)
        raise Failed(f"no process {pid} in the box")


@contextmanager
def booted(folder: Path) -> Iterator[Box]:
    """Boot a box; end it with all that runs in it.

    Raises:
        CannotRun: this machine or user cannot.
    """
    result = subprocess.run([SCRIPT, "up", folder], capture_output=True, text=True, timeout=120, check=False)
    if result.returncode == CANNOT:
        raise CannotRun(result.stderr.strip())
    assert result.returncode == 0, result.stderr
    box = Box(folder)
    try:
        yield box
    finally:
        subprocess.run([SCRIPT, "down", folder], timeout=TIMEOUT, check=True)
        box.close()


class BoxDaemon:
    """nozzled installed in a box, with requests over HTTP."""

    def __init__(self, box: Box, url: str = "http://127.0.0.1:5000", key: str = "") -> None:
        self.box = box
        self._url = url
        self._key = key

    @property
    def key(self) -> str:
        if not self._key:
            self._key = self.box.run("cat", "/var/lib/nozzled/api-key")
        return self._key

    def request(self, method: str, path: str, body: str = "", kind: str = "application/json") -> tuple[int, str]:
        """Return status and answer; a body that begins with @ is a file of the box."""
        status, text = self.box.ask(self._url + path, self.key, method, body, kind)
        if not status:
            raise Failed(f"{method} {path}: {text}")
        return status, text

    def get(self, path: str) -> Any:
        status, text = self.request("GET", path)
        assert status == 200, text
        return json.loads(text)

    def post(self, path: str, data: dict[str, Any]) -> None:
        status, text = self.request("POST", path, json.dumps(data))
        assert status == 204, text

    @property
    def state(self) -> str:
        return str(self.get("/api/job")["state"])

    def upload(self, name: str, content: bytes) -> None:
        form = f'--frontier\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
        (self.box.folder / "upload").write_bytes(form + content + b"\r\n--frontier--\r\n")
        status, text = self.request(
            "POST", "/api/files/local", f"@{SHARED / 'upload'}", "multipart/form-data; boundary=frontier"
        )
        assert status == 201, text

    def print_file(self, name: str, content: bytes) -> None:
        """Upload, select, start."""
        self.box.until(lambda: self.state == "Operational", "the printer")
        self.upload(name, content)
        self.post(f"/api/files/local/{name}", {"command": "select"})
        self.post("/api/job", {"command": "start", "force": True})  # a part of a file is cut off, which is noticed


PORT = Path("/run/printer/port")

DROP_IN = """\
# a pty in place of a serial port
[Service]
DeviceAllow=char-136 rw
"""


class BoxPrinter:
    """The simulated firmware behind a pty in the box, in a separate process."""

    def __init__(self, box: Box, speed: float, *, resets: bool = False) -> None:
        """Start the firmware; a board that `resets` does so when a closed port is opened."""
        self.box = box
        self.oracle = box.folder / "oracle.jsonl"
        self._accepted = Lines(self.oracle, accepted)
        box.run("mkdir", "-p", PORT.parent)
        box.run(
            "systemd-run", "--quiet", "--unit=printer", "/opt/nozzled/current/bin/python", "-m", "hal.simulated",
            "--pty", PORT, "--oracle", SHARED / "oracle.jsonl", "--speed", f"{speed:g}",
            *([] if resets else ["--no-reset-on-open"]),
        )  # fmt: skip
        box.until(lambda: self.oracle.exists() and box.run("ls", PORT.parent), "the simulated printer")
        box.shell(f"chmod 666 $(readlink {PORT})")

    def accepted(self) -> list[str]:
        """Return the commands accepted so far."""
        return self._accepted.so_far()

    def printed(self) -> list[str]:
        """Return the commands of files accepted so far."""
        return [command for command in self.accepted() if command.split()[0] not in HOST_COMMANDS]


def configure(box: Box, more: str = "", unit: str = "", front: str = "") -> None:
    """Configure the service for the simulated printer; `unit` and `front` go into drop-ins."""
    # heat-up and the dead man are not timed by the host: the printer is faster than real time
    text = f'[printer]\naddress = "serial:{PORT}"\nretry_s = 0.5\n[safety]\ndead_man_min = 0\n'
    text += f'[job]\nheat_up = "firmware"\n{more}'
    (box.folder / "nozzled.toml").write_text(text)
    (box.folder / "test.conf").write_text(DROP_IN + unit)
    (box.folder / "front.conf").write_text(front)
    box.shell(
        f"install -m 644 {SHARED}/nozzled.toml /etc/nozzled.toml;"
        "for unit in nozzled.service nozzled-safe-off@.service; do"
        f" mkdir -p /etc/systemd/system/$unit.d; cp {SHARED}/test.conf /etc/systemd/system/$unit.d/; done;"
        "mkdir -p /etc/systemd/system/nozzled-front.service.d;"
        f"cp {SHARED}/front.conf /etc/systemd/system/nozzled-front.service.d/test.conf;"
        "systemctl daemon-reload"
    )


def bring_checkout(box: Box, wheels: Path | None = None) -> Path:
    """Copy the installer and a folder of wheels into the box; return the path of the checkout inside.

    Args:
        box: a booted one.
        wheels: a folder of them; None: make them.
    """
    checkout = box.folder / "checkout"
    (checkout / "docs").mkdir(parents=True)
    subprocess.run(["cp", "-r", ROOT / "systemd", checkout], check=True)
    for page in (ROOT / "docs").glob("*.md"):
        (checkout / "docs" / page.name).write_bytes(page.read_bytes())
    if wheels is None:
        make_wheels(box.folder / "wheels")
    else:
        subprocess.run(["cp", "-rl", wheels, box.folder / "wheels"], check=True)
    return SHARED / "checkout"


def install(box: Box, *options: str) -> str:
    """Run the installer, without the network, with the umask that hardened systems give root."""
    installer = [SHARED / "checkout/systemd/install", "--wheels", SHARED / "wheels", *options]
    return box.run("sh", "-c", 'umask 077; exec "$0" "$@"', *installer, seconds=300)


def make_wheels(folder: Path) -> None:
    """Make wheels of this checkout and of all that it depends on, without the network.

    Raises:
        CannotRun: they are of another Python than the box's, which cannot install them.
    """
    ours, theirs = (_minor_version(each) for each in (sys.executable, BOX_PYTHON))
    if ours != theirs:
        raise CannotRun(
            f"the wheels would be of Python {ours}, but {BOX_PYTHON} is {theirs}: make .venv with {BOX_PYTHON}"
        )
    folder.mkdir()
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder],
        check=True, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120,
    )  # fmt: skip
    pending, done = [_name(each) for each in requires("nozzled") or [] if "extra ==" not in each], set()
    while pending:
        name = pending.pop()
        if name not in done:
            done.add(name)
            installed = distribution(name)
            _repack(installed, folder)
            pending += [_name(each) for each in installed.requires or [] if ";" not in each]


def _minor_version(python: str) -> str:
    command = [python, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=TIMEOUT).stdout.strip()


def _name(requirement: str) -> str:
    for index, char in enumerate(requirement):
        if not (char.isalnum() or char in "-_."):
            return requirement[:index]
    return requirement


def _repack(installed: Distribution, folder: Path) -> None:
    """Make a wheel of an installed distribution."""
    tags = [line[5:].split("-", 1) for line in (installed.read_text("WHEEL") or "").splitlines() if line[:5] == "Tag: "]
    tag = ".".join(python for python, _ in tags) + f"-{tags[0][1]}"  # py2.py3-none-any
    stem = f"{installed.name.replace('-', '_')}-{installed.version}"
    left_out = {"..", "__pycache__", "test", "tests"}  # pip would compile them all
    files = [each for each in installed.files or [] if not left_out.intersection(each.parts)]
    record = StringIO()
    rows = csv.writer(record, lineterminator="\n")
    with zipfile.ZipFile(folder / f"{stem}-{tag}.whl", "w") as wheel:
        for each in files:
            if each.name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json"):
                continue
            data = each.read_binary()
            wheel.writestr(str(each), data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            rows.writerow([str(each), f"sha256={digest}", len(data)])
        info = next(str(each.parent) for each in files if each.name == "RECORD")
        rows.writerow([f"{info}/RECORD", "", ""])
        wheel.writestr(f"{info}/RECORD", record.getvalue())
