"""`python -m hal.simulated --pty PATH | --tcp HOST:PORT`: a simulated printer that any host can open."""

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from hal.errors import ScenarioError
from hal.recorder import RecordingTransport
from hal.registry import positive_float, positive_int
from hal.session_file import SessionHeader
from hal.simulated.config import FirmwareConfig
from hal.simulated.firmware import Firmware
from hal.simulated.options import OPTIONS, apply_options, milliseconds
from hal.simulated.oracle import Oracle
from hal.simulated.personalities import FIRMWARES
from hal.simulated.pty import PtyPrinter
from hal.simulated.recording import SessionWriter
from hal.simulated.scenario import Scenario, load
from hal.simulated.tcp import TcpPrinter
from hal.transport import Transport

_EXAMPLE = """example:
  python -m hal.simulated --pty /tmp/printer --oracle accepted.jsonl --speed 10
  nozzled serve --printer serial:/tmp/printer

  python -m hal.simulated --tcp 127.0.0.1:8080 --firmware prusa --scenario bad-cable.toml --seed 7
  nozzled serve --printer tcp:127.0.0.1:8080
"""
_MAX_PORT = 65535

T = TypeVar("T")


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        with contextlib.ExitStack() as stack:
            firmware = Firmware(_config(options), _oracle(options.oracle, stack))
            return asyncio.run(_serve(options, firmware, stack))
    except (OSError, ScenarioError) as error:
        sys.stderr.write(f"hal.simulated: {_reason(error)}\n")
        return 1


def _reason(error: OSError | ScenarioError) -> str:
    """Return the error as a sentence, without Python's `[Errno 2]`."""
    if not isinstance(error, OSError):
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)


def _config(options: argparse.Namespace) -> FirmwareConfig:
    """Return the configuration of the named firmware with the other options applied.

    Raises:
        ScenarioError: the scenario is invalid.
        OSError: the files of the SD card cannot be read.
    """
    config = replace(
        FIRMWARES[options.firmware],
        seed=options.seed,
        baudrate=options.baudrate,
        jitter=options.jitter,
        scenario=load(options.scenario) if options.scenario else Scenario(),
    )
    config = apply_options(config, {name: getattr(options, name) for name in OPTIONS})
    if options.sd is None:
        return config
    files = {path.name: path.read_bytes() for path in sorted(options.sd.iterdir()) if path.is_file()}
    return replace(config, sd_card=True, sd_files=files)


def _oracle(path: Path | None, stack: contextlib.ExitStack) -> Oracle:
    file = stack.enter_context(path.open("w", encoding="ascii", buffering=1)) if path else None
    return Oracle(file, keep=0)


async def _serve(options: argparse.Namespace, firmware: Firmware, stack: contextlib.ExitStack) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    printer = _printer(options, firmware, _writer(options, firmware, stack))
    endpoint = await printer.start()
    try:
        address = endpoint if isinstance(endpoint, str) else f"{endpoint[0]}:{endpoint[1]}"
        sys.stdout.write(f"{options.pty} -> {address}\n" if options.pty else f"tcp -> {address}\n")
        sys.stdout.flush()
        await stop.wait()
    finally:
        printer.stop()
    return 0


def _printer(options: argparse.Namespace, firmware: Firmware, writer: SessionWriter | None) -> PtyPrinter | TcpPrinter:
    def wrap(transport: Transport) -> Transport:
        return RecordingTransport(transport, writer, lambda: firmware.now) if writer else transport

    settings = {"speed": options.speed, "reset_on_open": not options.no_reset_on_open, "wrap": wrap}
    if options.pty is not None:
        return PtyPrinter(firmware, options.pty, **settings)
    host, port = options.tcp
    return TcpPrinter(firmware, host, port, **settings)


def _writer(options: argparse.Namespace, firmware: Firmware, stack: contextlib.ExitStack) -> SessionWriter | None:
    if options.record is None:
        return None
    file = stack.enter_context(options.record.open("wb", buffering=0))
    header = SessionHeader(datetime.now(UTC).isoformat(), f"sim?seed={options.seed}", options.baudrate, "hal.simulated")
    writer = SessionWriter(file, header, lambda: firmware.now)
    stack.callback(writer.end)
    return writer


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hal.simulated",
        description="A simulated 3D printer behind a serial port or on the network. Ends on SIGTERM.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    port = parser.add_mutually_exclusive_group(required=True)
    port.add_argument("--pty", type=Path, metavar="PATH", help="the symbolic link to the port")
    port.add_argument("--tcp", type=_host_and_port, metavar="HOST:PORT", help="the address; port 0: any free one")
    positive = _reader(positive_float, "a number above 0")
    baudrate = _reader(positive_int, "a whole number above 0")
    delay = _reader(milliseconds, "milliseconds, 0 or more")
    add = parser.add_argument
    add("--firmware", choices=FIRMWARES, default="marlin", metavar="NAME", help=f"{', '.join(FIRMWARES)} (marlin)")
    add("--scenario", type=Path, metavar="FILE", help="the faults and their times (docs/simulator.md)")
    add("--seed", type=int, default=0, metavar="N", help="the seed of everything random (0)")
    add("--speed", type=positive, default=1.0, metavar="X", help="how many times faster than a real printer (1)")
    add("--record", type=Path, metavar="FILE", help="record the session, for `nozzled replay`")
    add("--oracle", type=Path, metavar="FILE", help="write accepted commands as lines of JSON")
    add("--baudrate", type=baudrate, metavar="B", help="the speed of the wire; without it bytes take no time")
    for name, each in OPTIONS.items():
        read = _reader(each.read, each.allowed)
        add(f"--{name.replace('_', '-')}", type=read, metavar="X", help=f"{each.meaning}; {each.allowed}")
    add("--jitter", type=delay, default=0.0, metavar="MS", help="the maximum random delay of a packet (0)")
    add("--sd", type=Path, metavar="FOLDER", help="the content of the printer's SD card")
    add("--no-reset-on-open", action="store_true", help="opening the port does not reset the board")
    return parser


def _reader(read: Callable[[str], T], allowed: str) -> Callable[[str], T]:
    """Return `read` with an error message that names what is allowed."""

    def read_argument(text: str) -> T:
        try:
            return read(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be {allowed}, not {text}") from None

    return read_argument


def _host_and_port(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) <= _MAX_PORT):
        raise argparse.ArgumentTypeError(f"must be HOST:PORT, not {text}")
    return host.strip("[]"), int(port)


if __name__ == "__main__":
    sys.exit(main())
