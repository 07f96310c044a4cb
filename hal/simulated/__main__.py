"""`python -m hal.simulated --pty PATH`: a simulated printer that any host can open as a serial port."""

import argparse
import asyncio
import contextlib
import signal
import sys
from pathlib import Path
from typing import TextIO

from hal.simulated.config import FirmwareConfig
from hal.simulated.firmware import Firmware
from hal.simulated.oracle import Oracle
from hal.simulated.pty import PtyPrinter

_EXAMPLE = """example:
  python -m hal.simulated --pty /tmp/printer --oracle accepted.jsonl --speed 10
  nozzled serve --printer serial:/tmp/printer
"""


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        with contextlib.ExitStack() as stack:
            file = None
            if options.oracle is not None:
                file = stack.enter_context(options.oracle.open("w", encoding="ascii", buffering=1))
            return asyncio.run(_serve(options, file))
    except OSError as error:
        sys.stderr.write(f"hal.simulated: {error}\n")
        return 1


async def _serve(options: argparse.Namespace, oracle: TextIO | None) -> int:
    config = FirmwareConfig(seed=options.seed, baudrate=options.baudrate)
    printer = PtyPrinter(
        Firmware(config, Oracle(oracle, keep=0)),
        options.pty,
        speed=options.speed,
        reset_on_open=not options.no_reset_on_open,
    )
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    terminal = await printer.start()
    try:
        sys.stdout.write(f"{options.pty} -> {terminal}\n")
        sys.stdout.flush()
        await ended.wait()
    finally:
        printer.stop()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hal.simulated",
        description="A simulated 3D printer with Marlin firmware behind a serial port. Ends on SIGTERM.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--pty", type=Path, required=True, metavar="PATH", help="where the link to the port shall be")
    add("--oracle", type=Path, metavar="FILE", help="write accepted commands as lines of JSON")
    add("--speed", type=_positive, default=1.0, metavar="X", help="times faster than life (1)")
    add("--seed", type=int, default=0, metavar="N", help="of everything random (0)")
    add("--baudrate", type=_natural, metavar="B", help="let bytes take their time on the wire")
    add("--no-reset-on-open", action="store_true", help="a board that opening the port does not reset")
    return parser


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be greater than 0, not {text}")
    return value


def _natural(text: str) -> int:
    value = int(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"must be greater than 0, not {text}")
    return value


if __name__ == "__main__":
    sys.exit(main())
