"""A scripted firmware on the loop's clock, and the whole service in memory on top of it.

It has no code in common with the simulated printer, and knows none of the host's tables of firmwares: a mistake in the
host's picture of a printer cannot hide in it. Bytes go into a receive buffer; lines are read from it, and their numbers
and checksums checked as Marlin does; commands wait in a queue, and are executed one at a time, in steps.

    class Slow(FakeFirmware):
        def on(self, number, command, raw):
            if command.startswith("G1"):
                return 0.05, "ok"  # a number is the seconds that a step takes
            return None  # as Marlin does
"""

import asyncio
import functools
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import structlog.testing

from daemon.bridge.words import JobState
from hal import registry
from hal.errors import NoSuchPort, PortLost
from support.http import Api, Response, api
from support.job_host import InlineExecutor
from support.waiting import pause

Step = str | bytes | float
Steps = Iterable[Step]

MARLIN = "FIRMWARE_NAME:Marlin 2.0.9 SOURCE_CODE_URL:x PROTOCOL_VERSION:1.0 MACHINE_TYPE:X EXTRUDER_COUNT:1 UUID:1"
SQUARE = "G28\nG1 X10 Y10 F3000\nG1 X20\nG1 Y20\nG1 X10\n"
"""A file."""
KILLED = "Error:Printer halted. kill() called!"
HOST_COMMANDS = ("M110", "M115", "M155", "M113", "M105", "M85", "M27", "STATUS", "SET_IDLE_TIMEOUT")
"""What the host sends of its own accord: no part of a job."""


def cap(**values: int) -> list[str]:
    """Return M115's lines of capabilities."""
    return [f"Cap:{name}:{value}" for name, value in values.items()]


def lines(commands: Iterable[str]) -> str:
    """Return a file of these commands."""
    return "".join(f"{command}\n" for command in commands)


def xor_of(text: str) -> int:
    return functools.reduce(lambda a, b: a ^ b, text.encode("latin-1", "replace"), 0)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A line that has arrived at the board, whether or not it was read yet."""

    at: float
    raw: str
    command: str


class FakeFirmware:
    """The line protocol of Marlin 2.0 without a screen; subclasses define differences."""

    banner: tuple[str, ...] = ("start", "echo:Marlin 2.0.9", "echo: Last Updated: 2021")
    m115: Iterable[str] = (MARLIN, *cap(AUTOREPORT_TEMP=0, EMERGENCY_PARSER=0))
    numbered = True  # numbers and checksums are enforced
    resets = True  # opening the port, and DTR, reset the board
    queue_size = 4  # commands that are read ahead of the one being executed
    ok_at_receipt = False  # ok comes when a command is queued
    rx_size: int | None = None  # bytes of the receive buffer; what does not fit is lost
    max_line: int | None = 95  # bytes; the rest of a line is cut off silently
    emergency_parser = False  # M108, M112 and M410 take effect on receipt
    latency = 0.0  # s, each way
    move_seconds = 0.0  # s that each G1 takes
    eol = "\n"
    ambient = 22.0
    heat_rate = 400.0  # °C per s
    bed = True

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.wire: list[tuple[float, str, str]] = []
        self.arrivals: list[Arrival] = []
        self.executed: list[str] = []  # commands, in order
        self.executed_at: list[float] = []
        self.heat: dict[str, list[float]] = {"T": [self.ambient, 0.0], "B": [self.ambient, 0.0]}  # actual, target
        self.plugged = True
        self.open_count = 0
        self.dtr_pulses = 0
        self.killed = False  # halted: ignores everything until a reset
        self.last = 0
        self._heat_at = self.loop.time()
        self._timers: list[asyncio.TimerHandle] = []
        self._on_data: Callable[[bytes], None] | None = None
        self._on_lost: Callable[[Exception], None] | None = None
        self._unread = bytearray()  # written while the port was closed
        self._partial = bytearray()  # the incomplete last line on the wire
        self._rx = bytearray()
        self._to_host: deque[bytes] = deque()
        self._to_board: deque[bytes] = deque()
        self._queue: deque[tuple[int | None, str, str]] = deque()
        self._steps: Iterator[Step] | None = None
        self._wait_broken = False  # M108 has ended the wait for heat
        if not self.resets:
            self.boot()

    # -- for tests to override --

    def on(self, number: int | None, command: str, raw: str) -> Steps | None:
        """Return the steps of a command: texts to say, and seconds to take. None: as Marlin does."""
        return None

    def transfer(self, raw: str) -> str | None:
        """Return a line as it reaches the board; None: it is lost."""
        return raw

    def boot(self) -> None:
        """Start as after a reset."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._rx.clear()
        self._queue.clear()
        self._steps, self.killed, self.last = None, False, 0
        for heater in self.heat.values():
            heater[1] = 0.0
        self.say(*self.banner)

    def report(self) -> str:
        """Return the temperatures of an M105, without the ok."""
        hotend = "T:{:.2f} /{:.2f}".format(*self.read("T"))
        return hotend + (" B:{:.2f} /{:.2f}".format(*self.read("B")) if self.bed else "") + " @:0 B@:0"

    def refuse(self, why: str) -> None:
        """Request a resend."""
        self.say(f"Error:{why}, Last Line: {self.last}", f"Resend: {self.last + 1}", "ok")

    def blank(self) -> None:
        """Handle an empty line."""

    def set_target(self, heater: str, target: float) -> None:
        self.read(heater)
        self.heat[heater][1] = target

    def emergency(self, code: str) -> None:
        """Act on a command that the emergency parser has found."""
        if code == "M112":
            self.halt(KILLED)
        elif code == "M108":
            self._wait_broken = True
        else:  # M410
            self._queue.clear()

    # -- what tests do with it --

    @property
    def now(self) -> float:
        return self.loop.time()

    def say(self, *lines: str | bytes) -> None:
        """Send lines now; bytes go as they are."""
        for line in lines:
            data = line if isinstance(line, bytes) else (line + self.eol).encode("latin-1", "replace")
            self.wire.append((self.now, "<", data.decode("latin-1").rstrip("\r\n")))
            self._delayed(self._to_host, self._deliver, data)

    def later(self, seconds: float, *what: str | Callable[[], None]) -> None:
        """Say or do something after a time, unless there is a reset first."""
        for each in what:
            act = functools.partial(self.say, each) if isinstance(each, str) else each
            self._timers.append(self.loop.call_later(seconds, act))

    def every(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something periodically, until a reset."""

        def again() -> None:
            act()
            self.every(seconds, act)

        self.later(seconds, again)

    def halt(self, *lines: str) -> None:
        """Say the lines, and halt: everything is ignored until a reset."""
        self.say(*lines)
        self.killed = True
        self._queue.clear()
        self._steps = None
        for heater in self.heat.values():
            heater[1] = 0.0

    def unplug(self) -> None:
        """Pull the cable; `plug` puts it back."""
        self.plugged = False
        on_lost, self._on_data, self._on_lost = self._on_lost, None, None
        if on_lost is not None:
            self.loop.call_soon(on_lost, PortLost("the port is gone"))

    def plug(self) -> None:
        self.plugged = True

    def read(self, heater: str) -> tuple[float, float]:
        """Return actual and target temperature."""
        now, passed = self.now, self.now - self._heat_at
        self._heat_at = now
        for each in self.heat.values():
            goal = max(each[1], self.ambient)
            most = self.heat_rate * passed
            each[0] = max(min(goal, each[0] + most), each[0] - most)
        actual, target = self.heat[heater]
        return actual, target

    def arrival_times(self, start: str, after: float = 0.0) -> list[float]:
        """Return when commands with this beginning came over the wire."""
        return [each.at for each in self.arrivals if each.at >= after and each.command.startswith(start)]

    @property
    def job_commands(self) -> list[str]:
        """The commands executed, without those of the host itself."""
        return [command for command in self.executed if not command.startswith(HOST_COMMANDS)]

    @property
    def moves(self) -> list[str]:
        """The moves executed in X."""
        return [command for command in self.executed if command.startswith("G1 X")]

    @property
    def heaters_are_off(self) -> bool:
        """No heater has a target."""
        return not any(target for _, target in self.heat.values())

    def dialogue(self, count: int = 40) -> str:
        """Return the last lines on the wire, for a failed assertion."""
        return "\n".join(f"{at:9.3f} {who} {text}" for at, who, text in self.wire[-count:])

    # -- the connection --

    def connect(self, on_data: Callable[[bytes], None], on_lost: Callable[[Exception], None], *, reset: bool) -> None:
        if not self.plugged:
            raise NoSuchPort("there is no such port")
        self.open_count += 1
        self._on_data, self._on_lost = on_data, on_lost
        if reset:
            self._unread.clear()
            self.boot()
        elif self._unread:
            self._deliver(b"")

    def disconnect(self) -> None:
        self._on_data = self._on_lost = None

    def pulse_dtr(self) -> None:
        self.dtr_pulses += 1
        if self.resets:
            self.boot()

    def receive(self, data: bytes) -> None:
        self._delayed(self._to_board, self._take, data)

    def _delayed(self, way: deque[bytes], arrive: Callable[[bytes], None], data: bytes) -> None:
        """Deliver bytes after the latency, in order: timers for the same moment fire in any order."""
        if self.latency:
            way.append(data)
            self.loop.call_later(self.latency, lambda: arrive(way.popleft()))
        else:
            self.loop.call_soon(arrive, data)

    def _deliver(self, data: bytes) -> None:
        if self._on_data is None:
            self._unread += data
            return
        data, self._unread = bytes(self._unread) + data, bytearray()
        self._on_data(data)

    def _take(self, data: bytes) -> None:
        if not self.plugged:
            return
        self._record(data)
        if self.emergency_parser and not self.killed:
            for line in data.decode("latin-1").split("\n"):
                if match := re.search(r"\b(M112|M108|M410)\b", line):
                    self.emergency(match[1])
        if self.killed:
            return
        room = len(data) if self.rx_size is None else max(0, self.rx_size - len(self._rx))
        self._rx += data[:room]
        self._read()

    def _record(self, data: bytes) -> None:
        *complete, partial = bytes(self._partial + data).split(b"\n")
        self._partial = bytearray(partial)
        for line in complete:
            if raw := line.decode("latin-1").rstrip("\r"):
                self.wire.append((self.now, ">", raw))
                self.arrivals.append(Arrival(self.now, raw, bare(raw)))

    def _read(self) -> None:
        """Read lines while the queue has room."""
        while b"\n" in self._rx and len(self._queue) < self.queue_size and not self.killed:
            data, _, rest = self._rx.partition(b"\n")
            self._rx = bytearray(rest)
            raw = data.decode("latin-1").rstrip("\r")
            line = self.transfer(raw)
            if line is not None:
                self.line(line if self.max_line is None else line[: self.max_line])
        if self._steps is None:
            self._carry_on()

    def line(self, raw: str) -> None:
        """Check a line, and queue its command."""
        if not raw.strip():
            self.blank()
            return
        number, command = None, raw.strip()
        if match := re.match(r"\s*N(-?\d+)\s*", raw):
            number = int(match[1])
            body, star, claimed = raw.rpartition("*")
            if self.numbered:
                if not star:
                    self._bad("No Checksum with line number")
                    return
                if not claimed.isdigit() or int(claimed) != xor_of(body):
                    self._bad("checksum mismatch")
                    return
            command = (body if star else raw)[match.end() :].strip()
            if self.numbered and not re.match(r"M110\b", command):
                if number != self.last + 1:
                    self._bad("Line Number is not Last Line Number+1")
                    return
                self.last = number
        if re.match(r"M110\b", command):
            match = re.search(r"N(-?\d+)", command[4:])
            self.last = int(match[1]) if match else number or 0
        if self.ok_at_receipt:
            self.say(self.receipt(number))
        self._queue.append((number, command, raw))

    def receipt(self, number: int | None) -> str:
        """Return the ok for a queued line, with `ok_at_receipt`."""
        return "ok"

    def _bad(self, why: str) -> None:
        self._rx.clear()  # Marlin flushes its receive buffer after a damaged line
        self.refuse(why)

    # -- execution --

    def _carry_on(self) -> None:
        while not self.killed:
            if self._steps is None:
                if not self._queue:
                    return
                number, command, raw = self._queue.popleft()
                self.executed.append(command)
                self.executed_at.append(self.now)
                steps = self.on(number, command, raw)
                if self.killed:
                    return
                self._steps = iter(self.default(command) if steps is None else steps)
                self._wait_broken = False
                self._read()  # the queue has a free place
            for step in self._steps:
                if isinstance(step, str | bytes):
                    self.say(step)
                elif step > 0:
                    self.later(step, self._resume)
                    return
                if self.killed or self._steps is None:
                    return
            self._steps = None

    def _resume(self) -> None:
        if self._steps is not None and not self.killed:
            self._carry_on()

    def default(self, command: str) -> Steps:
        """Return what Marlin does about a command."""
        code = (re.match(r"[GMT]\d+", command) or [command])[0]
        ok = () if self.ok_at_receipt else ("ok",)
        if code == "G1" and self.move_seconds:
            return (self.move_seconds, *ok)
        if code == "M115":
            return (*self.m115, *ok)
        if code == "M105":
            return (self.report(),) if self.ok_at_receipt else (f"ok {self.report()}",)
        if code in ("M104", "M109", "M140", "M190"):
            return self._heat(code, command, ok)
        if code == "M114":
            return ("X:10.00 Y:20.00 Z:0.30 E:5.00 Count X:800 Y:1600 Z:120", *ok)
        if code == "M118":
            return (command[5:].strip(), *ok)
        if code == "M112":
            self.halt(KILLED)
            return ()
        if code == "M155" and "Cap:AUTOREPORT_TEMP:1" in self.m115:
            self._report_each(float((re.search(r"S(\d+)", command) or ["", "0"])[1]))
        return ok

    def _heat(self, code: str, command: str, ok: Steps) -> Iterator[Step]:
        heater = "T" if code in ("M104", "M109") else "B"
        if match := re.search(r"([SR])(-?[\d.]+)", command):
            self.set_target(heater, float(match[2]))
        if code in ("M109", "M190"):
            while self.heat[heater][1] and not self._wait_broken and not self._has_reached(heater):
                yield 1.0
                yield f" {self.report()} W:?"
        yield from ok

    def _has_reached(self, heater: str) -> bool:
        actual, target = self.read(heater)
        return abs(actual - target) <= 1

    def _report_each(self, seconds: float) -> None:
        self._reporting = seconds
        if seconds:

            def again() -> None:
                if self._reporting == seconds:
                    self.say(f" {self.report()}")
                    self.later(seconds, again)

            self.later(seconds, again)


def bare(raw: str) -> str:
    """Return a line's command, without number and checksum."""
    command = re.sub(r"^\s*N-?\d+\s*", "", raw)
    return command.rpartition("*")[0].strip() if command != raw and "*" in command else command.strip()


class FirmwareTransport:
    """The `hal.transport.Transport` to a fake firmware."""

    baudrate = None

    def __init__(self, firmware: FakeFirmware, address: str) -> None:
        self._firmware, self.address = firmware, address
        self._open = False

    async def open(self, on_data, on_lost) -> None:
        self._connect(on_data, on_lost, reset=self._firmware.resets)

    async def reopen(self, on_data, on_lost) -> None:
        self._connect(on_data, on_lost, reset=False)

    def _connect(self, on_data, on_lost, *, reset: bool) -> None:
        self._open = self._firmware.plugged  # first: the host answers unread bytes while they are delivered
        self._firmware.connect(on_data, on_lost, reset=reset)

    def write(self, data: bytes) -> None:
        if self._open:
            self._firmware.receive(data)

    def reset(self) -> None:
        if self._open:
            self._firmware.pulse_dtr()

    def close(self) -> None:
        if self._open:
            self._open = False
            self._firmware.disconnect()


_plugged: dict[str, FakeFirmware] = {}


def create_transport(address: Any) -> FirmwareTransport:
    """Return the transport of the address `fake`: to the firmware of the running test."""
    return FirmwareTransport(_plugged["fake"], str(address))


@dataclass
class Rig:
    """The whole service with a fake firmware behind it, used by HTTP."""

    api: Api
    firmware: Any
    logs: list[Any] = field(default_factory=list)

    @property
    def state(self) -> JobState | None:
        """The state of the last job."""
        return self.api.service.jobs.state

    @property
    def ready(self) -> bool:
        return self.api.service.connection.ready

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def job_status(self) -> dict[str, Any]:
        """Return the job as clients see it."""
        return (await self.api.get("/api/job")).json

    async def error(self) -> str:
        return (await self.job_status()).get("error") or ""

    async def warning(self) -> str:
        return (await self.job_status()).get("warning") or ""

    def log_entries(self, words: str) -> list[Any]:
        """Return the log entries that contain these words."""
        return [entry for entry in self.logs if words.lower() in str(entry).lower()]

    async def command_job(self, command: str, action: str | None = None) -> Response:
        """Give the job a command."""
        return await self.api.post("/api/job", {"command": command, **({"action": action} if action else {})})

    async def gcode(self, *commands: str) -> Response:
        """Send a client's commands."""
        return await self.api.post("/api/printer/command", {"commands": list(commands)})

    async def print(self, text: str, name: str = "part.gcode", *, force: bool = True) -> None:
        """Upload a file and print it."""
        assert (await self.api.upload(("file", name, text.encode()))).status == 201
        assert (await self.api.post(f"/api/files/local/{name}", {"command": "select"})).status == 204
        answer = await self.api.post("/api/job", {"command": "start", "force": force})
        assert answer.status == 204, answer.body

    async def print_moves(self, moves: list[str], within: float = 60.0) -> None:
        """Print a file of these moves, and check that each was made once, in order."""
        await self.print(lines(moves))
        await self.expect_end(JobState.COMPLETED, within)
        assert self.firmware.moves == moves

    async def until(self, condition: Callable[[], Any], within: float = 60.0) -> float:
        """Wait for a condition; return the seconds that it took, by the virtual clock."""
        began = self.now
        while not condition():
            assert self.now < began + within, f"{self.state} after {within} s\n{self.firmware.dialogue()}"
            await asyncio.sleep(pause(began, 0.02))
        return self.now - began

    async def reach(self, *states: JobState, within: float = 60.0) -> float:
        """Wait for a state of the job."""
        return await self.until(lambda: self.state in states, within)

    async def wait_for_end(self, within: float = 60.0) -> JobState:
        """Wait until the job has ended; return its last state."""
        await self.until(lambda: self.state is not None and self.state.ended, within)
        assert self.state is not None
        return self.state

    async def expect_end(self, expected: JobState, within: float = 60.0) -> None:
        """Wait until the job has ended, and check its last state."""
        state = await self.wait_for_end(within)
        assert state is expected, f"{state}: {await self.error()}\n{self.firmware.dialogue()}"

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@asynccontextmanager
async def rig(
    folder: Path, firmware: FakeFirmware | type[FakeFirmware], **sections: dict[str, Any]
) -> AsyncIterator[Rig]:
    """Run the service on a fake firmware; connected, unless `printer={"connect": False}`.

    Args:
        folder: of the service's files.
        firmware: a class is instantiated.
        sections: values of the configuration.
    """
    board = firmware() if isinstance(firmware, type) else firmware
    printer = dict(sections.pop("printer", {}))
    connect = printer.pop("connect", True)
    schemes = {**registry._BUILT_IN, "fake": "support.fake_firmware:create_transport"}
    with (
        patch.dict(_plugged, fake=board),
        patch.object(registry, "_BUILT_IN", schemes),
        patch("daemon.core.core.ThreadPoolExecutor", InlineExecutor),
        structlog.testing.capture_logs() as logs,
    ):
        settings = {"printer": {"address": "fake", **printer}, **sections}
        async with api(folder, "fake", wait=False, **settings) as server:
            host = Rig(server, board, logs)
            if connect:
                await host.until(lambda: host.ready, 120)
            yield host
