"""`nozzled serve`: the daemon."""

import argparse
import asyncio
import faulthandler
import os
import threading
import time  # noqa: TID251 - the one place where the wall clock comes in; it is injected from here

from daemon import log
from daemon.app import serve
from daemon.cli.options import add_config, configured
from daemon.systemd.descriptors import DescriptorStore
from hal.loop import WatchedLoop

STDERR = 2  # the descriptor itself: `sys.stderr` may be replaced
EXAMPLE = "nozzled serve --printer 'serial:/dev/ttyACM0?baudrate=250000' --host 0.0.0.0"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add_config(parser)
    parser.add_argument("--host", metavar="H", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, metavar="P", help="TCP port, 0 for any free one (default: 5000)")
    parser.add_argument(
        "--printer",
        metavar="ADDRESS",
        help="sim, sim?speed=20, serial:/dev/ttyACM0 or serial:auto; it is connected at once",
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
    faulthandler.enable(STDERR)  # a watchdog's SIGABRT leaves in the journal what each thread was about
    descriptors = DescriptorStore(os.environ)
    config = configured(args)
    writer = log.configure(config.log.level, config.log.format)
    loop = WatchedLoop()
    try:
        asyncio.set_event_loop(loop)
        service = serve(config, os.environ, time.time, args.extra_port, descriptors, lambda: configured(args))
        loop.run_until_complete(service)
    finally:
        asyncio.set_event_loop(None)
        loop.close()  # does not wait for threads
        writer.close()
    _leave_threads_behind()
    return 0


def _leave_threads_behind() -> None:
    """End at once where a thread sits in a disk that hangs; what matters is done and told by now."""
    if threading.active_count() > 1:
        os._exit(0)
