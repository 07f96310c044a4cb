"""Runs a companion as a process: its configuration, its key, its log, and its end."""

import argparse
import asyncio
import faulthandler
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import structlog

from daemon import log as service_log
from daemon.cli import local_daemon
from daemon.cli.local_daemon import LocalDaemon
from daemon.cli.remote import find_server
from daemon.client import OctoPrintClient
from daemon.companions.companion import Companion
from daemon.config import switched_on
from daemon.config.sections import describe_switched_off
from daemon.ending import STDERR, leave_threads_behind
from daemon.errors import ConfigError
from daemon.systemd import notify
from daemon.systemd.directories import of_systemd
from daemon.systemd.heartbeat import Heartbeat

CREDENTIAL = "nozzled.key"
FOLDER = "companions"  # in the state directory: keys that the front makes, and a folder for each companion
SWITCH_INTERVAL = 0.0005  # s, as in the front

log = structlog.get_logger()

MakeCompanion = Callable[[OctoPrintClient, Path, Path | None], Companion]
"""Makes a companion, on a running loop, from a client, the companion's folder and the configuration file, if any."""


def serve(name: str, make: MakeCompanion, args: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> int:
    """Run a companion until SIGTERM or Ctrl-C; return the exit code.

    Args:
        name: the companion's name.
        make: makes the companion.
        args: the command line, with the options of `daemon.cli.remote.add_server`.
        environ: the environment of this process.

    Raises:
        ConfigError: the companion is not switched on, or its configuration cannot be used.
    """
    faulthandler.enable(STDERR)
    target = local_daemon.find(args, environ)
    path = args.config or (target.service.config if target.service is not None else None)
    if name not in switched_on(path, environ):
        raise ConfigError(describe_switched_off(name))
    folder = own_folder(target.state, name, environ)
    writer = service_log.configure(target.config.log.level, target.config.log.format, part=name)
    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        asyncio.run(_run(name, lambda client: make(client, folder, path), args, target, environ))
    finally:
        writer.close()
    leave_threads_behind(0)
    return 0


def own_folder(state: Path, name: str, environ: Mapping[str, str]) -> Path:
    """Return the folder of a companion: the state directory of its unit, if there is one, else one in `state`."""
    of_unit = of_systemd(environ, "STATE_DIRECTORY")
    folder = of_unit if of_unit is not None and of_unit.name == name else state / FOLDER / name
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {folder}: {error.strerror}") from error
    return folder.resolve()  # ffmpeg and others run in another working directory


def own_key(name: str, args: argparse.Namespace, target: LocalDaemon, environ: Mapping[str, str]) -> str:
    """Return the companion's key: from the command line, systemd's credential, or the file that the front has made.

    Raises:
        ConfigError: there is none.
    """
    credentials = environ.get("CREDENTIALS_DIRECTORY", "")
    paths = [args.key_file] if args.key_file is not None else []
    paths += [Path(credentials) / CREDENTIAL] if credentials else []
    paths += [target.state / FOLDER / f"{name}.key"]
    for path in paths:
        with suppress(OSError, UnicodeDecodeError):
            if key := str(path.read_text("utf-8")).strip():
                return key
    front = "nozzled-front" if target.service is None else target.service.front_name
    raise ConfigError(
        f"no key for {name} in {paths[-1]}: the front creates it when it starts with this configuration "
        f"(sudo systemctl restart {front})"
    )


async def _run(
    name: str,
    make: Callable[[OctoPrintClient], Companion],
    args: argparse.Namespace,
    target: LocalDaemon,
    environ: Mapping[str, str],
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    url = find_server(args, environ).url
    async with OctoPrintClient(url, own_key(name, args, target, environ)) as client:
        companion = make(client)
        heartbeat = Heartbeat(environ, lambda: True, companion.describe_activity)
        serving = asyncio.create_task(companion.serve())
        ending = asyncio.create_task(stop.wait())
        heartbeat.start()
        notify.ready()
        log.info("companion.began", companion=name, front=url)
        try:
            await asyncio.wait({serving, ending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            notify.stopping()
            heartbeat.stop()
            ending.cancel()
            serving.cancel()
            with suppress(asyncio.CancelledError):
                await serving
