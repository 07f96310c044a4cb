"""`nozzled front`: the part of the daemon that serves users and programs."""

import argparse
import asyncio
import faulthandler
import fcntl
import os
import signal
import socket
import time  # noqa: TID251 - as in `serve`: the wall clock is injected from here
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from daemon import log
from daemon.cli.options import add_address, add_config, configured
from daemon.config import core_socket, switched_on
from daemon.ending import STDERR, leave_threads_behind
from daemon.errors import ConfigError
from daemon.systemd import notify
from daemon.systemd.descriptors import DescriptorStore

if TYPE_CHECKING:
    from daemon.bridge.snapshot import PrinterSummary
    from daemon.front.invitation import Invitation

NICENESS = 5  # above the core's 0: a busy front leaves the processor to the wire
EXAMPLE = "nozzled front --config /etc/nozzled.toml"
RETRY_INTERVAL = 3.0  # between a failed start and the next one


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add_config(parser)
    add_address(parser)
    parser.add_argument(
        "--core", type=Path, metavar="SOCKET", help="the core's socket (default: in the runtime directory)"
    )
    # descriptors that `serve` passes to its child: the bridge to the core, and a pipe that closes when the core dies
    parser.add_argument("--bridge", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--leash", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--greet", action="store_true", help="print a link that lets a browser in")
    parser.add_argument("--listening", type=int, action="append", default=[], help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Run the front. Under systemd, which soon restarts it, a failed start takes at least RETRY_INTERVAL seconds."""
    began = time.monotonic()
    try:
        return _run(args)
    except Exception as error:
        if notify.is_there() and time.monotonic() - began < RETRY_INTERVAL:
            notify.status(f"{error} (trying again)")
            time.sleep(RETRY_INTERVAL)
        raise


def _run(args: argparse.Namespace) -> int:
    if args.leash is not None:
        _end_with(args.leash)
    faulthandler.enable(STDERR)
    descriptors = DescriptorStore(os.environ)
    config = configured(args)
    listening = [_socket(fd) for fd in args.listening] or descriptors.listening()
    if args.bridge is not None:  # else the unit sets it
        with suppress(OSError):  # a sandbox that allows no priorities
            os.nice(NICENESS)
    from daemon.front.main import run as run_front  # noqa: PLC0415 - a broken import exits slowly, too

    writer = log.configure(config.log.level, config.log.format, part="front")
    try:
        with asyncio.Runner() as runner:
            companions = switched_on(args.config, os.environ)
            core, greet = _core(args), _greet if args.greet else None
            runner.run(
                run_front(config, os.environ, time.time, core, listening, lambda: configured(args), greet, companions)
            )
    finally:
        writer.close()
    leave_threads_behind(0)
    return 0


def _end_with(leash: int) -> None:
    """Have the kernel kill this process when the other end of this pipe closes, because then the core has died.

    The event loop notices this too, but not if it hangs: a stopped process, or one in a call that does not return,
    would keep the port.
    """
    os.set_inheritable(leash, False)  # noqa: FBT003 - the standard library's own signature
    with suppress(OSError):  # without F_SETSIG only the event loop notices
        fcntl.fcntl(leash, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(leash, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(leash, fcntl.F_SETFL, fcntl.fcntl(leash, fcntl.F_GETFL) | os.O_ASYNC)


def _greet(invitation: "Invitation", printer: "PrinterSummary") -> None:
    from daemon.cli.invitation import invitation_text  # noqa: PLC0415 - QR codes are drawn on a terminal alone

    print(invitation_text(invitation.links, invitation.scope.label, invitation.lifetime_s), flush=True)
    if printer.error:
        print(f"nozzled: no connection to {printer.address}: {printer.error}")
        print("  nozzled keeps trying. To use another port, press Ctrl-C and name it with --printer,", end=" ")
        print("or choose it on the page.", flush=True)


def _core(args: argparse.Namespace) -> socket.socket | Path:
    if args.bridge is not None:
        return _socket(args.bridge)
    path: Path | None = args.core or core_socket(os.environ)
    if path is None:
        raise ConfigError("no runtime directory, so the core's socket is not known: name it with --core")
    return path


def _socket(fd: int) -> socket.socket:
    inherited = socket.socket(fileno=fd)
    inherited.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    os.set_inheritable(fd, False)  # noqa: FBT003 - as above
    return inherited
