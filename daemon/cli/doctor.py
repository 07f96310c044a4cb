"""`nozzled doctor`: looks for common problems, and packs a bundle for a bug report."""

import argparse
import asyncio
import json
import logging
import os
import re
import sys
import time  # noqa: TID251 - the date in the bundle's name
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from daemon import __version__
from daemon.cli import local_daemon
from daemon.cli.options import add_config
from daemon.cli.remote import find_server, printable, say_which_daemon
from daemon.client import ClientError, OctoPrintClient, Unreachable
from daemon.config import Config, path_of, state_dir
from daemon.doctor import bundle
from daemon.doctor.finding import Finding, Grade, Subject
from daemon.doctor.run import findings
from daemon.doctor.view import View
from daemon.errors import ConfigError, FileError
from daemon.systemd import installed
from gcode.errors import NozzledError

EXAMPLE = "sudo nozzled doctor --bundle"

EXIT_FAILURE = 1
TIMEOUT = 10.0  # for the daemon's answers
ENDPOINTS = {
    "version": "/api/version", "job": "/api/job", "connection": "/api/connection", "printer": "/api/printer",
    "companions": "/api/companions",
}  # fmt: skip


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument(
        "--bundle",
        type=Path,
        nargs="?",
        const=Path(),
        metavar="F",
        help="write findings, configuration, log and faults to this .tar.gz, without keys, addresses and names",
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    add_config(parser)


def run(args: argparse.Namespace) -> int:
    """Run the checks and print the findings; return 0 if none is bad."""
    view = View()
    say_which_daemon("doctor checks")
    if args.config is None and not os.environ.get("NOZZLED_CONFIG") and len(several := _running_services()) > 1:
        if args.bundle is not None:
            raise ConfigError(
                f"several printers have services here; choose one with --config, like {several[0].config}"
            )
        return max(_check_service(view, args, each) for each in several)
    subject, responses = _subject(args)
    results = list(findings(view, subject))
    _print(results, as_json=args.json)
    if args.bundle is not None:
        print(f"nozzled: {_write(args.bundle, view, subject, results, responses)}", file=sys.stderr)
    return EXIT_FAILURE if any(each.grade is Grade.BAD for each in results) else 0


def _running_services() -> list[installed.InstalledService]:
    """Return the running services, one for each printer."""
    return [each for each in installed.services(local_daemon.ROOT) if each.runs]


def _check_service(view: View, args: argparse.Namespace, service: installed.InstalledService) -> int:
    """Check one of several services and print the findings."""
    if not args.json:
        print(f"== {service.core}")
    subject, _ = _subject(argparse.Namespace(**{**vars(args), "config": service.config}))
    results = list(findings(view, subject))
    _print(results, as_json=args.json)
    return EXIT_FAILURE if any(each.grade is Grade.BAD for each in results) else 0


def _print(results: list[Finding], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([{"level": each.grade.name.lower(), "text": each.text, "fix": each.fix} for each in results]))
        return
    for each in results:
        print(f"{each.grade.value:<4}  {printable(each.text)}")
        if each.fix:
            print(f"      -> {printable(each.fix)}")
    bad = sum(each.grade is Grade.BAD for each in results)
    print(f"\n{bad} to fix, {sum(each.grade is Grade.NOTE for each in results)} to check")


def _write(path: Path, view: View, subject: Subject, results: list[Finding], responses: dict[str, Any]) -> str:
    """Write the bundle; return the message about it."""
    name = f"nozzled-doctor-{datetime.fromtimestamp(view.now(), UTC):%Y%m%d-%H%M%S}"
    path = path if path.suffix else path / f"{name}.tar.gz"
    clean = bundle.scrub(view, subject, bundle.texts(view, subject, results, responses))
    try:
        with open(path, "xb", opener=lambda file, flags: os.open(file, flags, 0o600)) as file:
            file.write(bundle.pack(clean, name, time.time()))
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror}") from error
    return f"{path} has {len(clean)} files without keys, addresses and names; check its contents before you share it"


def _subject(args: argparse.Namespace) -> tuple[Subject, dict[str, Any]]:
    """Return the daemon to check, and its answers."""
    path = path_of(args.config, os.environ)
    path = path.absolute() if path else None
    try:
        target, mistake = local_daemon.find(args), ""
    except ConfigError as error:
        service = installed.service_of(path, local_daemon.ROOT) if path else None
        state = service.state if service else state_dir(Config(), os.environ)
        target, mistake = local_daemon.LocalDaemon(Config(), state, service), str(error)
    if target.service is not None:
        path = target.service.config
    host, port = local_daemon.host_and_port(target)
    running_version, responses = _ask_daemon(args, host, port) if not mistake else (None, {})
    job = responses.get("job", {})
    companions = responses.pop("companions", {}).get("companions")  # not for the bundle, as they name devices
    printer_status = ": ".join(str(job[name]) for name in ("state", "error") if job.get(name))
    return Subject(
        state=target.state.absolute(),
        config=target.config,
        config_path=path,
        mistake=mistake,
        service=target.service,
        sockets=tuple(installed.listening()) if target.service is not None and not target.service.printer else (),
        host=host,
        port=port,
        version=__version__,
        running_version=running_version,
        printer_status=printer_status,
        companions=companions if isinstance(companions, dict) else {},
    ), responses


def _ask_daemon(args: argparse.Namespace, host: str, port: int) -> tuple[str | None, dict[str, Any]]:
    """Return the version of the running daemon ("": it does not answer, None: it does not tell) and its answers."""
    if not local_daemon.is_served(host, port):
        return "", {}
    logging.getLogger("tornado").setLevel(logging.CRITICAL)  # as in daemon.cli.remote
    responses: dict[str, Any] = {}
    try:
        server = find_server(argparse.Namespace(**{**vars(args), "url": None, "key_file": None}))
        asyncio.run(_ask(local_daemon.url(host, port), server.key, responses))
    except (Unreachable, TimeoutError):
        if "version" not in responses:
            return "", {}
    except NozzledError:
        return None, {}
    version = re.search(r"nozzled ([\w.+-]+)", str(responses.get("version", {}).get("text", "")))
    return version[1] if version else None, responses


async def _ask(url: str, key: str, responses: dict[str, Any]) -> None:
    """Put the daemon's answers into `responses`, one by one.

    Raises:
        Unreachable: the daemon does not answer.
        TimeoutError: not all of its answers have come in time.
    """
    async with asyncio.timeout(TIMEOUT), OctoPrintClient(url, key) as client:
        for name, path in ENDPOINTS.items():
            try:
                answer = await client.get(path)
            except Unreachable:
                raise
            except ClientError as error:
                answer = {"refused": str(error)}
            # whatever listens at that port may be another program
            responses[name] = answer if isinstance(answer, dict) else {"refused": "the answer is no JSON object"}
