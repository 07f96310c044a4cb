"""`nozzled demo`: the whole house at work, seen from outside.

A daemon of its own, on a simulated printer, is given a sliced file by its HTTP API and prints it; in the end the
commands that the simulated firmware took in are compared with those of the file.
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
import subprocess
import sys
import tempfile
import threading
import time  # noqa: TID251 - a person watches the progress in real time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tqdm import tqdm

from daemon.client import Conflict, OctoPrintClient
from daemon.client.shapes import JobInformation
from daemon.errors import ServiceError
from daemon.front.access.keys import ENVIRONMENT
from daemon.packing.as_text import unpacked
from daemon.packing.kinds import plain_name
from gcode.compact import in_full
from gcode.host_commands import meaning
from gcode.reader import Reader
from hal.registry import positive_float

EXAMPLE = "nozzled demo --exit"
SPEED = 60.0
# the host would wait for heat by its own clock, which is not sped up; nor is that by which it shows to be alive
CONFIG = '[log]\nformat = "json"\n[job]\nheat_up = "firmware"\n[safety]\ndead_man_min = 0\n'
_WANTED = {"printer.not_protected"}  # as CONFIG has it; no warning for who tries nozzled out
PATIENCE = 15.0  # seconds for the daemon to be there
A_WHILE = 100.0  # seconds that are told in minutes
POLL = 0.25  # seconds between two looks at the job
LINE_EVERY = 2.0  # seconds between two lines of progress, where it is no bar
PAUSED, ENDED_WELL, ENDED = "Paused", "Operational", ("Operational", "Offline", "Offline after error")

_LAYER = re.compile(rb"^;\s*(?:LAYER_CHANGE|LAYER:)", re.MULTILINE)
_HERE = Path(__file__).resolve()


class DemoFailed(ServiceError):
    """The demonstration did not come to its end."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("--exit", action="store_true", help="end after the print instead of staying up")
    parser.add_argument("--speed", type=_speed, default=SPEED, metavar="X", help=f"speed-up (default: {SPEED:g})")
    parser.add_argument("--file", type=Path, metavar="F", help="G-code to print instead of the example")


def _speed(text: str) -> float:
    try:
        return positive_float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number above 0, like 20 or 0.5, not {text}") from None


def run(args: argparse.Namespace) -> int:
    """Run the demonstration; 0 if the file arrived exactly once."""
    path = args.file or example()
    if not path.is_file():
        raise DemoFailed(f"there is no file {path}")
    with unpacked(path) as text:
        content = text.read_bytes()
    with tempfile.TemporaryDirectory(prefix="nozzled-demo-") as folder:
        oracle = Path(folder, "oracle.jsonl")
        with _daemon(Path(folder), f"sim?speed={args.speed:g}&oracle={quote(str(oracle))}") as (url, key):
            _say(f"daemon      {url}   (key {key})")
            _say(f"page        {asyncio.run(_link(OctoPrintClient(url, key)))}   (good once, for ten minutes)")
            _say(f"printer     simulated Marlin, {args.speed:g} times faster than life")
            spent = asyncio.run(_print(OctoPrintClient(url, key), plain_name(path.name), content, leave=args.exit))
            exact = _summary(content, oracle, spent)
            if not args.exit:
                _stay_up(url, key)
    return 0 if exact else 1


def example() -> Path:
    """Return the example file: in the checkout, or as installed."""
    # next to the packages other distributions may have an `examples` too: the file counts, not the folder
    places = [folder / "examples" / "cube20.gcode" for folder in (_HERE.parents[2], _HERE.parents[1])]
    return next((place for place in places if place.is_file()), places[0])


@contextlib.contextmanager
def _daemon(folder: Path, printer: str) -> Iterator[tuple[str, str]]:
    """Run a daemon in a process of its own; yields its URL and key, ends it with SIGTERM."""
    key = secrets.token_hex(32)  # not the user's own, which may be set for another daemon
    command = [sys.executable, "-m", "daemon", "serve", "--state-dir", str(folder / "state"), "--port", "0"]
    config = folder / "demo.toml"
    config.write_text(CONFIG)
    process = subprocess.Popen(  # noqa: S603 - our own command line
        [*command, "--config", str(config), "--printer", printer],
        stderr=subprocess.PIPE,
        text=True,
        stdout=subprocess.DEVNULL,  # its link to the page would stand in the middle of the progress
        env={**os.environ, ENVIRONMENT: key},
    )
    watch = _LogWatch(process)
    try:
        yield watch.url(), key
    finally:
        process.terminate()
        process.wait(PATIENCE)


class _LogWatch:
    """Reads the daemon's log: learns its URL, passes warnings on."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._found = threading.Event()
        self._url = ""
        self._process = process
        self._last: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def url(self) -> str:
        if not self._found.wait(PATIENCE) or not self._url:
            raise DemoFailed("the daemon did not start: " + (" ".join(self._last[-3:]) or "it said nothing"))
        return self._url

    def _read(self) -> None:
        for line in self._process.stderr or ():
            self._note(line)
        self._found.set()

    def _note(self, line: str) -> None:
        try:
            event: dict[str, Any] = json.loads(line)
        except ValueError:
            event = {"event": line.rstrip(), "level": "warning"}
        if event.get("event") == "http.listening":
            self._url = str(event["url"]).rstrip("/")
            self._found.set()
        elif event.get("level") in ("warning", "error") and event.get("event") not in _WANTED:
            self._last.append(line.rstrip())
            tqdm.write(f"  {event.get('event')}: {event.get('reason') or event.get('text') or ''}", file=sys.stderr)


async def _link(client: OctoPrintClient) -> str:
    """Return a link to the page that lets a browser in."""
    async with client:
        made: dict[str, str] = await client.post("/api/pair/codes", {"scope": "admin"})
    return made["link"]


async def _print(client: OctoPrintClient, name: str, content: bytes, *, leave: bool) -> float:
    """Print the file by the API; return the seconds that it took."""
    await _until(client, lambda job: job["state"] == "Operational", "the printer to be connected")
    uploaded = (await client.files.upload(content, name=name))["files"]["local"]["path"]
    await client.files.select(uploaded)
    await _until(client, lambda job: job["job"]["file"]["path"] == uploaded, "the file to be selected")
    _say(f"file        {uploaded}, {len(content) / 1000:.0f} kB, uploaded over HTTP")
    _say("pause, resume and cancel it meanwhile by POST /api/job\n")
    await client.job.start()
    return await _watch(client, content, leave=leave)


async def _until(client: OctoPrintClient, condition: Callable[[JobInformation], bool], what: str) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            while not condition(await client.job.get()):  # noqa: ASYNC110 - a client only sees what it asks for
                await asyncio.sleep(POLL / 5)
    except TimeoutError:
        raise DemoFailed(f"waited in vain for {what}") from None


async def _watch(client: OctoPrintClient, content: bytes, *, leave: bool) -> float:
    """Show the progress until the job has ended; return how long it took."""
    layers = [match.start() for match in _LAYER.finditer(content)]
    job = await client.job.get()
    paused = False
    with contextlib.closing(_progress()) as progress:
        while job["state"] not in ENDED:
            await asyncio.sleep(POLL)
            job = await client.job.get()
            done = job["progress"]["completion"] or 0.0
            shown = f"{_layer(job, layers)}  {await _temperatures(client)}  {_left(job)}"
            progress.show(job["state"], done, shown)
            if job["state"] == PAUSED and not paused:
                _say_paused(leave=leave)
            paused = job["state"] == PAUSED
    if job["state"] != ENDED_WELL or job["progress"]["completion"] != 100.0:  # noqa: PLR2004 - percent
        raise DemoFailed(f"the print ended early: {job['state']} {job.get('error', '')}")
    return job["progress"]["printTime"] or 0.0


def _say_paused(*, leave: bool) -> None:
    """Say that the print waits for somebody; with --exit nobody is there."""
    if leave:
        raise DemoFailed("the print is paused (M0 in the file, or over HTTP); --exit waits for nobody to resume it")
    tqdm.write('the print is paused; POST /api/job {"command": "pause", "action": "resume"} lets it go on')


def _progress() -> "_PrintBar | _Lines":
    return _PrintBar() if sys.stdout.isatty() and sys.stderr.isatty() else _Lines()


class _PrintBar:
    """Progress on a terminal: a bar that draws itself anew."""

    def __init__(self) -> None:
        form = "{desc} {percentage:3.0f}% |{bar}| {unit}"  # tqdm puts a comma before a {postfix}
        self._bar = tqdm(total=100.0, unit="", bar_format=form)

    def show(self, state: str, done: float, rest: str) -> None:
        self._bar.set_description_str(f"{state:<10}", refresh=False)
        self._bar.unit = rest
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        self._bar.refresh()
        self._bar.close()


class _Lines:
    """Progress in a file or a pipe: a line now and then, and the last one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = -math.inf  # when a line was written
        self._held = ""  # the newest one, not written yet

    def show(self, state: str, done: float, rest: str) -> None:
        self._held = f"{state:<10} {done:3.0f}%  {rest}".rstrip()
        if self._clock() - self._last >= LINE_EVERY:
            self._last = self._clock()
            self.close()

    def close(self) -> None:
        if self._held:
            _say(self._held)
        self._held = ""


def _layer(job: JobInformation, layers: list[int]) -> str:
    return f"layer {bisect.bisect_right(layers, job['progress']['filepos'] or 0):>3}/{len(layers)}"


async def _temperatures(client: OctoPrintClient) -> str:
    try:
        found = (await client.printer.get(exclude=["sd", "state"])).get("temperature", {})
    except Conflict:
        return ""
    return "  ".join(
        f"{name} {found[key]['actual']:5.1f}/{found[key]['target'] or 0:.0f}°C"
        for key, name in (("tool0", "hotend"), ("bed", "bed"))
        if key in found
    )


def _left(job: JobInformation) -> str:
    left = job["progress"]["printTimeLeft"]
    if left is None:
        return "           "
    return f"{left / 60:3.0f} min left" if left >= A_WHILE else f"{left:3.0f} s left  "


def _summary(content: bytes, oracle: Path, spent: float) -> bool:
    """Compare what the firmware took in with the file; say what came of it."""
    wanted = _commands(content)
    accepted = [_in_full(json.loads(line)["command"].encode()) for line in oracle.read_text().splitlines()]
    lost, repeated = compare(wanted, accepted)
    _say(f"\n{len(wanted)} commands in the file, {lost} lost, {repeated} repeated or foreign; {spent:.1f} s")
    return lost == repeated == 0


def _commands(content: bytes) -> list[str]:
    """Return the commands of a file that go to the printer: some are for the host, or not for a file to send."""
    reader = Reader()
    reader.feed(content)
    commands = [command for _, command in reader]
    reader.finish()
    commands += [command for _, command in reader]
    return [_in_full(command) for command in commands if meaning(command, host_waits=False) is None]


def _in_full(command: bytes) -> str:
    """Return a command as it is compared: moves go without what means nothing."""
    return in_full(command).decode()


# what the daemon itself says besides the file's lines
_OWN = Counter({"M110 N0": 2, "M115": 1, "M503": 1, "M211": 1, "M155 S2": 1, "M113 S2": 1, "M400": 1, "M114": 1})


def compare(wanted: list[str], accepted: list[str]) -> tuple[int, int]:
    """Return how many commands of the file were lost, and how many came that are neither its own nor the host's.

    They are the fewest that explain what came; a command out of order counts as lost and as foreign.
    """
    apart = _edits(wanted, accepted)
    extra = (apart + len(accepted) - len(wanted)) // 2
    own = (Counter(accepted) - Counter(wanted)) & _OWN
    return apart - extra, extra - own.total()


def _edits(old: list[str], new: list[str]) -> int:
    """Return how many items have to be taken out of `old` or put in to make `new` of it, at least (Myers 1986)."""
    reach = {1: 0}  # diagonal (place in old - place in new) → how far in old one gets on it
    for edits in range(len(old) + len(new) + 1):
        lowest, highest = -edits + 2 * max(0, edits - len(new)), edits - 2 * max(0, edits - len(old))
        for diagonal in range(lowest, highest + 1, 2):
            at = max(reach.get(diagonal + 1, -1), reach.get(diagonal - 1, -2) + 1)
            while at < len(old) and at - diagonal < len(new) and old[at] == new[at - diagonal]:
                at += 1
            reach[diagonal] = at
        if reach.get(len(old) - len(new), -1) >= len(old):
            return edits
    raise AssertionError("taking all of one out and putting all of the other in is always enough")


def _stay_up(url: str, key: str) -> None:
    link = asyncio.run(_link(OctoPrintClient(url, key)))
    _say(
        f"\nThe daemon stays up until Ctrl-C. Its page, for one more browser:\n  {link}\n"
        f"Its API:\n  curl -H 'X-Api-Key: {key}' {url}/api/job"
    )
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()


def _say(text: str) -> None:
    print(text, flush=True)
