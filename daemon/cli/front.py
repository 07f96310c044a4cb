"""`nozzled front`: the part of the daemon that talks to people and programs."""

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
from daemon.cli.ending import STDERR, leave_threads_behind
from daemon.cli.options import add_address, add_config, configured
from daemon.config import core_socket, switched_on
from daemon.errors import ConfigError
from daemon.systemd import notify
from daemon.systemd.descriptors import DescriptorStore

if TYPE_CHECKING:
    from daemon.front.invitation import Invitation

BEHIND_THE_CORE = 5  # niceness: a front that is kept busy leaves the processor to the wire
EXAMPLE = "nozzled front --config /etc/nozzled.toml"
AGAIN = 3.0  # s until a wrong configuration, or an address that is taken, is worth another try


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add_config(parser)
    add_address(parser)
    parser.add_argument("--core", type=Path, metavar="SOCKET", help="where the core waits (default: runtime directory)")
    parser.add_argument("--bridge", type=int, help=argparse.SUPPRESS)  # what `serve` gives to its child
    parser.add_argument("--leash", type=int, help=argparse.SUPPRESS)  # this too
    parser.add_argument("--greet", action="store_true", help="print a link to the page, with which a browser is let in")
    parser.add_argument("--listening", type=int, action="append", default=[], help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Run the front; below systemd, which starts it again at once and for ever, one that cannot begin ends slowly."""
    began = time.monotonic()
    try:
        return _run(args)
    except Exception as error:
        if notify.is_there() and time.monotonic() - began < AGAIN:
            notify.status(f"{error} (it is tried again)")
            time.sleep(AGAIN)
        raise


def _run(args: argparse.Namespace) -> int:
    if args.leash is not None:
        _end_with(args.leash)
    faulthandler.enable(STDERR)
    descriptors = DescriptorStore(os.environ)
    config = configured(args)
    listening = [_socket(fd) for fd in args.listening] or descriptors.listening()
    if args.bridge is not None:  # else the unit says it
        with suppress(OSError):  # a sandbox that allows no priorities
            os.nice(BEHIND_THE_CORE)
    from daemon.front.main import run as run_front  # noqa: PLC0415 - one that is broken ends slowly, too

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
    """Have the kernel kill this process when the one is gone that holds the other end of a pipe.

    The event loop notices that by itself, unless it hangs; a process that was stopped, or a call that does not return,
    would keep the port.
    """
    os.set_inheritable(leash, False)  # noqa: FBT003 - the standard library's own signature
    with suppress(OSError):  # a system without it has a loop that notices
        fcntl.fcntl(leash, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(leash, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(leash, fcntl.F_SETFL, fcntl.fcntl(leash, fcntl.F_GETFL) | os.O_ASYNC)


def _greet(invitation: "Invitation") -> None:
    from daemon.cli.invited import invitation_text  # noqa: PLC0415 - QR codes are drawn on a terminal alone

    print(invitation_text(invitation.links, invitation.scope.label, invitation.lasts), flush=True)


def _core(args: argparse.Namespace) -> socket.socket | Path:
    if args.bridge is not None:
        return _socket(args.bridge)
    path: Path | None = args.core or core_socket(os.environ)
    if path is None:
        raise ConfigError("there is no runtime directory where the core could wait; --core says where it does")
    return path


def _socket(fd: int) -> socket.socket:
    given = socket.socket(fileno=fd)
    given.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    os.set_inheritable(fd, False)  # noqa: FBT003 - as above
    return given
