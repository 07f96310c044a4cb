"""`nozzled serve`: the daemon. The core is this process, which owns the printer; the front is its child."""

import argparse
import asyncio
import errno
import faulthandler
import os
import socket
import sys
import time  # noqa: TID251 - the one place where the wall clock comes in; it is injected from here
from collections.abc import Sequence
from pathlib import Path

from daemon import log
from daemon.cli.options import ADDRESS, HOST, PORT, STATE_DIR, add_address, add_config, configured
from daemon.config import HttpConfig, state_dir
from daemon.core.job.kept_file import has_kept_file
from daemon.core.main import run as run_core
from daemon.ending import STDERR, leave_threads_behind
from daemon.errors import AddressInUse
from daemon.systemd.descriptors import DescriptorStore
from hal.loop import WatchedLoop

EXAMPLE = "nozzled serve --printer '/dev/ttyACM0?baudrate=250000' --host 0.0.0.0"
PORT_TIMEOUT = 2.0  # for an ending front to release the HTTP port
PORT_POLL_INTERVAL = 0.1


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add_service(parser)
    add_address(parser)


def add_service(parser: argparse.ArgumentParser) -> None:
    """Add the options of a process that owns the printer."""
    add_config(parser)
    parser.add_argument(
        "--printer",
        dest=ADDRESS,
        metavar="ADDRESS",
        help="/dev/ttyUSB0, serial:auto, sim, sim?speed=20, tcp:HOST:PORT, …; connected at once",
    )
    parser.add_argument(
        "--extra-port",
        action="append",
        default=[],
        metavar="GLOB",
        help="further ports that clients may connect to, like '/tmp/printers/*'; may be repeated",
    )


def run(args: argparse.Namespace) -> int:
    """Run the daemon."""
    config = configured(args)
    if not has_kept_file(state_dir(config, os.environ)):  # an unfinished print has to continue, even without the page
        _require_free_port(config.http)
    if not config.printer.address:
        print(_no_printer_text(), file=sys.stderr)
    return run_with(args, front_command(args))


def _require_free_port(http: HttpConfig) -> None:
    """Check that the front will be able to listen, before the printer is connected, which resets many boards.

    The front of a daemon that has just been killed may hold the port for a moment. Other errors are left to the front.

    Raises:
        AddressInUse: another process listens there.
    """
    if not http.port or os.environ.get("LISTEN_FDS"):
        return
    end = time.monotonic() + PORT_TIMEOUT
    while (error := _bind_error(http)) is not None and error.errno == errno.EADDRINUSE:
        if time.monotonic() >= end:
            raise AddressInUse.of(http.host, http.port, error)
        time.sleep(PORT_POLL_INTERVAL)


def _bind_error(http: HttpConfig) -> OSError | None:
    """Return the error of binding a socket to the HTTP address; None: there is no error."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in http.host else socket.AF_INET) as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the front does
            attempt.bind((http.host, http.port))
    except OSError as error:
        return error
    return None


def _no_printer_text() -> str:
    """Return the message for a start without a printer; it lists the ports."""
    from shlex import quote  # noqa: PLC0415 - memory that a core with a printer does not need

    from hal.ports import is_locked, list_ports  # noqa: PLC0415 - as above

    ports = list_ports()
    lines = ["nozzled: no printer is configured; clients can connect one. To connect one at once, start with:"]
    for port in ports:
        note = "  (in use)" if is_locked(port.path) else ""
        lines.append(f"  --printer {quote(port.address)}  {port.description}{note}".rstrip())
    if not ports:
        lines.append("  No serial port found: is the printer plugged in and switched on?")
    return "\n".join([*lines, "  --printer sim  the simulated printer"])


def front_command(args: argparse.Namespace) -> list[str]:
    """Return the command line of the front, with those options of this command that the front has too."""
    options = {"config": "--config", STATE_DIR: "--state-dir", HOST: "--host", PORT: "--port"}
    pairs = [(option, getattr(args, name)) for name, option in options.items()]
    words = [word for option, value in pairs if value is not None for word in (option, str(value))]
    greet = ["--greet"] if sys.stdout.isatty() else []  # the link is a secret: never into a journal
    script = Path(sys.executable).with_name("nozzled")  # the name that users look for in a process list
    program = [str(script)] if script.exists() else ["-m", "daemon"]
    return [sys.executable, *program, "front", *greet, *words]


def run_with(args: argparse.Namespace, front: Sequence[str] | None) -> int:
    """Run the core, with the front of this command line as its child; None: a front connects by itself."""
    faulthandler.enable(STDERR)  # a watchdog's SIGABRT leaves a traceback of each thread in the journal
    descriptors = DescriptorStore(os.environ)
    config = configured(args)
    writer = log.configure(config.log.level, config.log.format, part="core")
    loop = WatchedLoop()
    try:
        asyncio.set_event_loop(loop)
        service = run_core(config, os.environ, time.time, args.extra_port, descriptors, lambda: configured(args), front)
        status = loop.run_until_complete(service)
    finally:
        asyncio.set_event_loop(None)
        loop.close()  # does not wait for threads
        writer.close()
    leave_threads_behind(status)
    return status
