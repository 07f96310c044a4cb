"""What one line costs in each layer, in µs of CPU, beside a bare loop of `frame()`: the best of several rounds.

frame             number and checksum around a command, the yardstick
unframe           a frame → its number and command
reader            the file's bytes → commands
compact           commands → the same in fewer bytes
link              HostLink alone: a line out, its `ok` in, with Marlin's window
packed            HostLink likewise, with compact and packed lines
driver            LinePrinter on a transport that answers `ok` at once, on the virtual clock
simulator         LinePrinter and the simulated firmware in memory, on the virtual clock, planner included
"""

import argparse
import asyncio
import time
from collections.abc import Callable, Iterator, Sequence

from bench.prints import vase
from gcode.compact import compactor
from gcode.dialect import MARLIN
from gcode.framing import frame, unframe
from gcode.link import HostLink
from gcode.outgoing import Line, job_line
from gcode.reader import Reader
from hal.driver import LinePrinter, LinkSettings
from hal.errors import PortError
from hal.simulated import clock
from hal.simulated.config import FirmwareConfig
from hal.simulated.firmware import Firmware
from hal.simulated.memory import SimulatedTransport
from hal.transport import Transport

SUMMARY = "µs a line of each layer: reader, framing, link, driver, simulator"
BLOCK = 64 * 1024
LINES = 20_000
SLOW = 10  # times fewer lines for the simulator
SETTINGS = LinkSettings(poll_interval=1e6, idle_interval=1e6)  # no temperatures between the lines
INFO = b"FIRMWARE_NAME:Marlin 2.1.2 (bench)\nok\n"


class Source:
    """A `hal.printer.LineSource` over lines in memory."""

    def __init__(self, lines: list[Line]) -> None:
        self._lines: Iterator[Line] = iter(lines)

    def next_line(self) -> Line | None:
        return next(self._lines, None)


class ObedientTransport:
    """A `hal.transport.Transport` whose other end has executed each line by the next turn of the loop."""

    address = "bench"
    baudrate = None

    def __init__(self) -> None:
        self._on_data: Callable[[bytes], None] | None = None

    async def open(self, on_data: Callable[[bytes], None], on_lost: Callable[[PortError], None]) -> None:  # noqa: ARG002 - it is never lost
        self._on_data = on_data
        asyncio.get_running_loop().call_soon(on_data, b"start\n")

    def write(self, data: bytes) -> None:
        if self._on_data is not None:
            answer = INFO if b"M115" in data else b"ok\n" * data.count(b"\n")
            asyncio.get_running_loop().call_soon(self._answer, answer)

    def _answer(self, data: bytes) -> None:
        if self._on_data is not None:
            self._on_data(data)

    def reset(self) -> None:
        """Do nothing: there is no board."""

    def close(self) -> None:
        self._on_data = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and show."""
    parser = argparse.ArgumentParser(
        prog="python -m bench micro", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=LINES, metavar="N", help=f"lines a round ({LINES})")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds; the best counts (5)")
    args = parser.parse_args(arguments)
    show({name: best_of(args.rounds, run) for name, run in benchmarks(args.lines).items()})
    return 0


Run = Callable[[], tuple[float, int]]


def benchmarks(lines: int) -> dict[str, Run]:
    """Return the measurements; each returns CPU time in s and the number of lines."""
    data = "".join(f"{line}\n" for line in vase(lines)).encode()
    commands = read(data)
    few = commands[: max(1, len(commands) // SLOW)]
    dense = [job_line(offset, command, compactor("E")) for offset, command, *_ in commands]
    frames = [frame(number, command)[:-1] for number, (_, command, *_) in enumerate(commands)]
    return {
        "frame": lambda: time_work(lambda: _frame_all(commands), len(commands)),
        "unframe": lambda: time_work(lambda: _unframe_all(frames), len(commands)),
        "compact": lambda: time_work(lambda: _compact_all(commands), len(commands)),
        "reader": lambda: time_work(lambda: read(data), len(commands)),
        "link": lambda: time_work(lambda: stream_link(commands), len(commands)),
        "packed": lambda: time_work(lambda: stream_link(dense, packed=True), len(dense)),
        "driver": lambda: clock.run(stream(ObedientTransport(), commands)),
        "simulator": lambda: clock.run(stream(SimulatedTransport(Firmware(FirmwareConfig())), few)),
    }


def time_work(work: Callable[[], object], lines: int) -> tuple[float, int]:
    """Return the CPU seconds of the work, and the lines."""
    began = time.process_time()
    work()
    return time.process_time() - began, lines


def best_of(rounds: int, run: Run) -> float:
    """Return µs a line in the best round: all that others add is noise."""
    return min(1e6 * seconds / lines for seconds, lines in (run() for _ in range(rounds)))


def read(data: bytes) -> list[Line]:
    """Read a file's bytes as a print does, in blocks."""
    reader, found = Reader(), []
    for at in range(0, len(data), BLOCK):
        reader.feed(data[at : at + BLOCK])
        found += list(reader)
    reader.finish()
    return [job_line(*each) for each in found + list(reader)]


def stream_link(commands: list[Line], *, packed: bool = False) -> None:
    """Send the lines through a HostLink, each acknowledged as soon as it is sent."""
    link = HostLink(MARLIN)
    if packed:
        link.pack()
    link.feed(Source(commands).next_line)
    sent = 0
    while link.data_to_send(0.0):
        for _ in range(link.counters.lines_sent - sent):
            link.receive(b"ok\n", 0.0)
        sent = link.counters.lines_sent
    if link.place.lines != len(commands):
        raise AssertionError(f"{link.place.lines} of {len(commands)} lines were acknowledged")


async def stream(transport: Transport, commands: list[Line]) -> tuple[float, int]:
    """Print the lines; return CPU seconds from the first to the last, and the lines."""
    printer = LinePrinter(transport, SETTINGS)
    await printer.open()
    began = time.process_time()
    printer.feed(Source(commands))
    await printer.wait_until_acknowledged()
    seconds = time.process_time() - began
    if printer.place.lines != len(commands):
        raise AssertionError(f"{printer.place.lines} of {len(commands)} lines were acknowledged")
    await printer.close()
    return seconds, len(commands)


def show(found: dict[str, float]) -> None:
    """Print a row for each layer."""
    print("layer       µs/line  /frame")
    for name, cost in found.items():
        print(f"{name:10} {cost:8.2f} {cost / found['frame']:7.1f}")


def _frame_all(commands: list[Line]) -> None:
    for number, (_, command, *_) in enumerate(commands):
        frame(number, command)


def _compact_all(commands: list[Line]) -> None:
    compact = compactor("E")
    for _, command, *_ in commands:
        compact(command)


def _unframe_all(frames: list[bytes]) -> None:
    for each in frames:
        unframe(each)
