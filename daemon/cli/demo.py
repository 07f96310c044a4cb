"""`nozzled demo`: prints a file on a simulated printer, and checks that each of its commands arrived exactly once.

The demo starts a daemon of its own, uploads the file through the HTTP API, and watches the print like any client. At
the end it compares the commands that the simulated firmware accepted with those of the file.
"""

import argparse
import asyncio
import bisect
import contextlib
import json
import math
import os
import re
import secrets
import shlex
import shutil
import subprocess
import sys
import threading
import time  # noqa: TID251 - progress is shown in real time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from tqdm import tqdm

from daemon.cli import local_daemon
from daemon.cli.remote import URL_ENVIRONMENT
from daemon.client import Conflict, OctoPrintClient, RequestRefused
from daemon.client.shapes import JobInformation
from daemon.errors import ServiceError
from daemon.front.access.hosts import name_for_others
from daemon.front.access.keys import ENVIRONMENT
from daemon.packing.as_text import open_unpacked, temporary_folder
from daemon.packing.kinds import plain_name
from gcode.compact import canonical_form
from gcode.host_commands import meaning
from gcode.reader import Reader
from hal.registry import positive_float

EXAMPLE = "nozzled demo --exit"
SPEED = 60.0
# The printer's clock is sped up, the host's is not. So the firmware has to wait for heat, and the dead man is off.
CONFIG = '[log]\nformat = "json"\n[job]\nheat_up = "firmware"\n[safety]\ndead_man_min = 0\n'
_EXPECTED_EVENTS = {"printer.not_protected"}  # of CONFIG: not shown as warnings
TIMEOUT = 15.0  # for the daemon to start, connect, select a file, or end
LONG_TIME_LEFT_S = 100.0  # this much time left, or more, is shown in minutes
POLL_INTERVAL = 0.25  # between two queries of the job
LINE_INTERVAL = 2.0  # between two lines of progress, if stdout is not a terminal
PAUSED, ENDED_WELL, ENDED = "Paused", "Operational", ("Operational", "Offline", "Offline after error")

_LAYER = re.compile(rb"^;\s*(?:LAYER_CHANGE|LAYER:)", re.MULTILINE)
_HERE = Path(__file__).resolve()
_NO_DETAILS = {"event", "level", "timestamp", "part"}  # fields of a log event that say nothing about its cause


class DemoFailed(ServiceError):
    """The demonstration could not be finished."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("--exit", action="store_true", help="end after the print instead of staying up")
    parser.add_argument("--speed", type=_speed, default=SPEED, metavar="X", help=f"speed-up (default: {SPEED:g})")
    parser.add_argument("--file", type=Path, metavar="F", help="G-code to print instead of the example")
    parser.add_argument("--host", default="127.0.0.1", metavar="H", help="address to listen on (default: 127.0.0.1)")


def _speed(text: str) -> float:
    try:
        return positive_float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number above 0, like 20 or 0.5, not {text}") from None


def run(args: argparse.Namespace) -> int:
    """Run the demonstration; 0 if the file arrived exactly once."""
    path = args.file or example()
    if not path.is_file():
        raise DemoFailed(f"{path} is a folder" if path.is_dir() else f"there is no file {path}")
    with open_unpacked(path) as text:
        content = text.read_bytes()
    with temporary_folder("nozzled-demo-") as folder:
        oracle = folder / "oracle.jsonl"
        printer = f"sim?speed={args.speed:g}&oracle={quote(str(oracle))}"
        with _daemon(folder, printer, args.host) as (url, key, watch):
            _say(f"page        {_link(url, key)}")
            if os.environ.get("SSH_CONNECTION") and name_for_others(args.host, ()) is None:
                _say(_ssh_hint())
            _say("commands    to use nozzled job, nozzled pair and others in another terminal, first run there:")
            _say(f"            {_export(url, key)}")
            _say(f"printer     simulated Marlin, {args.speed:g} times faster than real time")
            _say("            at first, the time left is that of a real printer; it adapts during the print")
            duration_s = asyncio.run(
                _print(OctoPrintClient(url, key), plain_name(path.name), content, unattended=args.exit)
            )
            is_exact = _summary(content, oracle, duration_s)
            if not args.exit:
                _stay_up(url, key, watch)
    return 0 if is_exact else 1


def example() -> Path:
    """Return the example file: in the checkout, or as installed."""
    # another distribution may have installed a folder `examples` beside our packages: look for the file, not the folder
    paths = [folder / "examples" / "cube20.gcode" for folder in (_HERE.parents[2], _HERE.parents[1])]
    return next((path for path in paths if path.is_file()), paths[0])


def _export(url: str, key: str) -> str:
    """Return the shell's command after which `nozzled` reaches this daemon."""
    folder = Path(sys.executable).parent  # in a clone, `nozzled` is here and in no folder of PATH
    path = f'PATH={shlex.quote(str(folder))}:"$PATH" ' if shutil.which("nozzled") is None else ""
    return f"export {path}{URL_ENVIRONMENT}={url} {ENVIRONMENT}={key}"


def _ssh_hint() -> str:
    """Return how to open the page on the computer from which the user has logged in."""
    command = (
        "make run ARGS='--host 0.0.0.0'" if (_HERE.parents[2] / "Makefile").is_file() else "nozzled demo --host 0.0.0.0"
    )
    return (
        "            Only this computer can open it. To open it on yours, press Ctrl-C and start the demo with\n"
        f"            {command}; nothing is encrypted, so do this only in a network that you trust."
    )


@contextlib.contextmanager
def _daemon(folder: Path, printer: str, host: str) -> Iterator[tuple[str, str, "_LogWatch"]]:
    """Run a daemon in a process of its own; yield its URL, its key and its log, and end it with SIGTERM."""
    key = secrets.token_hex(32)  # the environment may hold the key of another daemon
    command = [sys.executable, "-m", "daemon", "serve", "--state-dir", str(folder / "state"), "--port", "0"]
    command += ["--host", host]
    config = folder / "demo.toml"
    config.write_text(CONFIG)
    process = subprocess.Popen(  # noqa: S603 - our own command line
        [*command, "--config", str(config), "--printer", printer],
        stderr=subprocess.PIPE,
        text=True,
        stdout=subprocess.DEVNULL,  # it prints a link to the page, which would break up the progress
        # another daemon of this user would find its logbook and its socket for the stop button taken
        env={**os.environ, ENVIRONMENT: key, "RUNTIME_DIRECTORY": "", "XDG_RUNTIME_DIR": str(folder)},
    )
    watch = _LogWatch(process)
    try:
        yield watch.url(), key, watch
    finally:
        process.terminate()
        try:
            process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class _LogWatch:
    """Reads the daemon's log: finds its URL in it, and shows its warnings."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._url_known = threading.Event()
        self._ended = threading.Event()
        self._url = ""
        self._process = process
        self._warnings: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def url(self) -> str:
        if not self._url_known.wait(TIMEOUT) or not self._url:
            raise DemoFailed("the daemon did not start: " + (" ".join(self._warnings[-3:]) or "it logged no reason"))
        return self._url

    def wait(self) -> None:
        """Wait until the daemon has ended."""
        self._ended.wait()

    def _read(self) -> None:
        for line in self._process.stderr or ():
            self._read_line(line)
        self._url_known.set()
        self._ended.set()

    def _read_line(self, line: str) -> None:
        try:
            event: dict[str, Any] = json.loads(line)
        except ValueError:
            if not self._url_known.is_set():  # most often the reason why it does not start, which `url` reports
                self._warnings.append(line.strip().removeprefix("nozzled: "))
                return
            event = {"event": line.rstrip(), "level": "warning"}
        if event.get("event") == "http.listening":
            listening = urlsplit(str(event["url"]))
            self._url = local_daemon.url(local_daemon.reached_at(listening.hostname or ""), listening.port or 0)
            self._url_known.set()
        elif event.get("level") in ("warning", "error") and event.get("event") not in _EXPECTED_EVENTS:
            self._warnings.append(line.rstrip())
            tqdm.write(f"  {event.get('event')}: {_details(event)}", file=sys.stderr)


def _details(event: dict[str, Any]) -> str:
    """Return the cause that a log event names, or all that it says."""
    details = (f"{name}={value}" for name, value in event.items() if name not in _NO_DETAILS)
    return str(event.get("reason") or event.get("text") or " ".join(details))


def _link(url: str, key: str) -> str:
    """Return links to the page, one for each name of this machine; they let one browser in, with a key of its own."""
    links = asyncio.run(_new_links(OctoPrintClient(url, key)))
    return f"{' or '.join(links)}   (works once, within ten minutes)"


async def _new_links(client: OctoPrintClient) -> list[str]:
    async with client:
        code: dict[str, Any] = await client.post("/api/pair/codes", {"scope": "admin"})
    return [str(each) for each in code["links"]]


async def _print(client: OctoPrintClient, name: str, content: bytes, *, unattended: bool) -> float:
    """Print the file through the API; return how long it took, in seconds."""
    await _until(client, lambda job: job["state"] == "Operational", "the printer to be connected")
    try:
        uploaded = (await client.files.upload(content, name=name))["files"]["local"]["path"]
    except RequestRefused as refusal:
        raise DemoFailed(refusal.text) from refusal
    await client.files.select(uploaded)
    await _until(client, lambda job: job["job"]["file"]["path"] == uploaded, "the file to be selected")
    _say(f"file        {uploaded}, {len(content) / 1000:.0f} kB, uploaded over HTTP")
    _say("on the page you can watch, pause and cancel the print\n")
    await client.job.start()
    return await _watch(client, content, unattended=unattended)


async def _until(client: OctoPrintClient, condition: Callable[[JobInformation], bool], what: str) -> None:
    try:
        async with asyncio.timeout(TIMEOUT):
            while not condition(await client.job.get()):  # noqa: ASYNC110 - a client can only poll
                await asyncio.sleep(POLL_INTERVAL / 5)
    except TimeoutError:
        raise DemoFailed(f"waited {TIMEOUT:g} s for {what}, without success") from None


async def _watch(client: OctoPrintClient, content: bytes, *, unattended: bool) -> float:
    """Show the progress until the job has ended; return how long it took, in seconds."""
    layers = [match.start() for match in _LAYER.finditer(content)]
    job = await client.job.get()
    was_paused = False
    with contextlib.closing(_progress()) as progress:
        while job["state"] not in ENDED:
            await asyncio.sleep(POLL_INTERVAL)
            job = await client.job.get()
            percent = job["progress"]["completion"] or 0.0
            details = f"{_layer(job, layers)}  {await _temperatures(client)}  {_time_left(job)}"
            progress.show(job["state"], percent, details)
            if job["state"] == PAUSED and not was_paused:
                _report_pause(unattended=unattended)
            was_paused = job["state"] == PAUSED
    if job["state"] != ENDED_WELL or job["progress"]["completion"] != 100.0:  # noqa: PLR2004 - percent
        raise DemoFailed(f"the print ended early: {job['state']} {job.get('error', '')}")
    return job["progress"]["printTime"] or 0.0


def _report_pause(*, unattended: bool) -> None:
    """Say how to resume the print; raise DemoFailed with --exit, which runs unattended."""
    if unattended:
        raise DemoFailed("the print is paused (M0 in the file, or over HTTP); with --exit the demo does not wait")
    tqdm.write("the print is paused: resume it on the page")


def _progress() -> "_PrintBar | _ProgressLines":
    return _PrintBar() if sys.stdout.isatty() and sys.stderr.isatty() else _ProgressLines()


class _PrintBar:
    """Progress on a terminal: a bar that is redrawn in place."""

    def __init__(self) -> None:
        layout = "{desc} {percentage:3.0f}% |{bar}| {unit}"  # tqdm puts a comma before a {postfix}
        self._bar = tqdm(total=100.0, unit="", bar_format=layout)

    def show(self, state: str, percent: float, details: str) -> None:
        self._bar.set_description_str(f"{state:<10}", refresh=False)
        self._bar.unit = details
        self._bar.update(percent - self._bar.n)

    def close(self) -> None:
        self._bar.refresh()
        self._bar.close()


class _ProgressLines:
    """Progress in a file or a pipe: a line every LINE_INTERVAL seconds, and the last line."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._written_at = -math.inf  # when the last line was written, in seconds
        self._line = ""  # the newest line, as long as it has not been written

    def show(self, state: str, percent: float, details: str) -> None:
        self._line = f"{state:<10} {percent:3.0f}%  {details}".rstrip()
        if self._clock() - self._written_at >= LINE_INTERVAL:
            self._written_at = self._clock()
            self.close()

    def close(self) -> None:
        if self._line:
            _say(self._line)
        self._line = ""


def _layer(job: JobInformation, layers: list[int]) -> str:
    return f"layer {bisect.bisect_right(layers, job['progress']['filepos'] or 0):>3}/{len(layers)}"


async def _temperatures(client: OctoPrintClient) -> str:
    try:
        heaters = (await client.printer.get(exclude=["sd", "state"])).get("temperature", {})
    except Conflict:
        return ""
    return "  ".join(
        f"{name} {heaters[key]['actual']:5.1f}/{heaters[key]['target'] or 0:.0f}°C"
        for key, name in (("tool0", "hotend"), ("bed", "bed"))
        if key in heaters
    )


def _time_left(job: JobInformation) -> str:
    seconds = job["progress"]["printTimeLeft"]
    if seconds is None:
        return "           "
    return f"{seconds / 60:3.0f} min left" if seconds >= LONG_TIME_LEFT_S else f"{seconds:3.0f} s left  "


def _summary(content: bytes, oracle: Path, duration_s: float) -> bool:
    """Compare the commands that the firmware accepted with the file; print and return the result."""
    expected = _commands(content)
    accepted = [_canonical_text(json.loads(line)["command"].encode()) for line in oracle.read_text().splitlines()]
    accepted = [each for each in accepted if not each.startswith(_SYNC)]
    lost, extra = compare(expected, accepted)
    _say(f"\n{len(expected)} commands in the file, {lost} lost, {extra} extra; {duration_s:.1f} s")
    return lost == extra == 0


def _commands(content: bytes) -> list[str]:
    """Return the commands of a file that are sent to the printer; the host carries out or leaves out the others."""
    reader = Reader()
    reader.feed(content)
    commands = [command for _, command in reader]
    reader.finish()
    commands += [command for _, command in reader]
    return [_canonical_text(command) for command in commands if meaning(command, host_waits=False) is None]


def _canonical_text(command: bytes) -> str:
    """Return a command in the form in which commands are compared."""
    return canonical_form(command).decode()


# commands that the host sends in addition to those of the file
_HOST_COMMANDS = Counter(
    {"M110 N0": 2, "M115": 1, "M503": 1, "M211": 1, "M155 S2": 1, "M113 S2": 1, "M400": 1, "M114": 1}
)


_SYNC = "M118 nozzled sync"
"""The beginning of the command for an echo, which the link may send after each of its probes."""


def compare(expected: list[str], accepted: list[str]) -> tuple[int, int]:
    """Return how many commands of the file were lost, and how many accepted ones are neither the file's nor the host's.

    Both are the smallest numbers that explain the difference; a command out of order is counted in both.
    """
    edits = _edits(expected, accepted)
    inserted = (edits + len(accepted) - len(expected)) // 2
    of_host = (Counter(accepted) - Counter(expected)) & _HOST_COMMANDS
    return edits - inserted, inserted - of_host.total()


def _edits(old: list[str], new: list[str]) -> int:
    """Return the smallest number of insertions and deletions that turn `old` into `new`.

    Myers, "An O(ND) Difference Algorithm and Its Variations" (1986). A diagonal is the index in `old` minus the index
    in `new`; `reach` has, for each diagonal, the furthest index in `old` that `edits` edits can reach.
    """
    reach = {1: 0}
    for edits in range(len(old) + len(new) + 1):
        lowest, highest = -edits + 2 * max(0, edits - len(new)), edits - 2 * max(0, edits - len(old))
        for diagonal in range(lowest, highest + 1, 2):
            at = max(reach.get(diagonal + 1, -1), reach.get(diagonal - 1, -2) + 1)
            while at < len(old) and at - diagonal < len(new) and old[at] == new[at - diagonal]:
                at += 1
            reach[diagonal] = at
        if reach.get(len(old) - len(new), -1) >= len(old):
            return edits
    raise AssertionError("deleting all of old and inserting all of new always suffices")


def _stay_up(url: str, key: str, watch: _LogWatch) -> None:
    _say(
        "\nThe daemon stays up until Ctrl-C. On the page, Print prints the file again. For one more browser:\n"
        f"  {_link(url, key)}\n"
        f"The API:\n  curl -H 'X-Api-Key: {key}' {url}/api/job"
    )
    with contextlib.suppress(KeyboardInterrupt):
        watch.wait()
        raise DemoFailed("the daemon has ended by itself; its last messages are above")


def _say(text: str) -> None:
    print(text, flush=True)
