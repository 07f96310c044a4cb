"""What the commands that talk to a daemon share: its address and key, what they print, and their exit codes.

Exit codes beside those of all commands: 3 no answer, 4 no access, 5 no such file or address, 6 the request does not
fit the printer's state, or the file is refused.
"""

import argparse
import asyncio
import json
import logging
import os
import re
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from daemon.cli import local_daemon
from daemon.cli.local_daemon import LocalDaemon
from daemon.cli.options import EXIT_UNFIT, add_config
from daemon.client import (
    AccessDenied,
    BadAnswer,
    ClientError,
    Conflict,
    NotFound,
    OctoPrintClient,
    RequestRefused,
    Unreachable,
)
from daemon.client.errors import NeverSent
from daemon.config import key_file
from daemon.front.access.keys import ENVIRONMENT, INVALID_KEY
from gcode.frozen import frozen

URL_ENVIRONMENT = "NOZZLED_URL"


class NotPrinted(ClientError):
    """A file was uploaded but not printed; says why."""


_CODES: dict[type[ClientError], int] = {
    Unreachable: 3, AccessDenied: 4, NotFound: 5, Conflict: EXIT_UNFIT, NotPrinted: EXIT_UNFIT,
}  # fmt: skip
_FAILED = 1
_START_HINT = "`nozzled serve` starts it; `systemctl status nozzled nozzled-front` shows an installed service"


@frozen
class Action:
    """One action of a command, like `status` of `nozzled job`.

    Attributes:
        help: one line.
        run: executes the action; returns the answer, which --json prints.
        show: returns the answer as text for users; no text by default.
        arguments: declares its own command line.
    """

    help: str
    run: Callable[[OctoPrintClient, argparse.Namespace], Awaitable[Any]]
    show: Callable[[Any], str] = lambda _: ""
    arguments: Callable[[argparse.ArgumentParser], None] = lambda _: None


def accepted_text(_: None) -> str:
    """Return the text for a request that the daemon has accepted; the printer may need a while."""
    return "accepted; `nozzled job status` shows the state"


def add_actions(parser: argparse.ArgumentParser, actions: Mapping[str, Action]) -> None:
    """Declare the actions of a command, each with the options that choose the daemon."""
    add_among(parser.add_subparsers(required=True, metavar="ACTION"), actions)


def add_among(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]", actions: Mapping[str, Action]) -> None:
    """Declare these actions beside other actions of the same command."""
    for name, action in actions.items():
        command = subparsers.add_parser(name, help=action.help, description=action.help)
        action.arguments(command)
        add_server(command)
        command.set_defaults(action=action, parser=command)


def add_server(parser: argparse.ArgumentParser) -> None:
    """Declare the options that choose the daemon."""
    server = parser.add_argument_group("which daemon")
    server.add_argument("--url", metavar="U", help=f"its address (default: ${URL_ENVIRONMENT}, else as configured)")
    server.add_argument(
        "--key-file",
        type=Path,
        metavar="F",
        help=f"file with its API key (default: ${ENVIRONMENT}, else as configured)",
    )
    add_config(parser)
    parser.add_argument("--json", action="store_true", help="print the answer as JSON, for scripts")


def run(args: argparse.Namespace) -> int:
    """Run the action; print the answer, or the reason on stderr, and return the exit code."""
    logging.getLogger("tornado").setLevel(logging.CRITICAL)  # its errors come as exceptions too
    server = find_server(args)
    action: Action = args.action
    try:
        with expect_known_form(server.url):
            answer = asyncio.run(_act(server, action, args))
            text = json.dumps(answer) if args.json else action.show(answer)
    except ClientError as error:
        return _report_failure(error, server, as_json=args.json)
    if text:
        print(text)
    return 0


@contextmanager
def expect_known_form(url: str) -> Iterator[None]:
    """Raise BadAnswer if an answer does not have the expected form, because it is another version or another program.

    After an upgrade the command is new, but the daemon is the old one until it is restarted.
    """
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise BadAnswer(
            f"{url} answers in a form that this version of nozzled does not know ({type(error).__name__}: {error}); is "
            "it a nozzled? After an upgrade, restart it"
        ) from error


async def _act(server: "Server", action: Action, args: argparse.Namespace) -> Any:
    async with OctoPrintClient(server.url, server.key) as client:
        return await action.run(client, args)


_PLAIN_WORDS = {
    "Printer is not operational": "the printer is not ready; `nozzled printer status` says why",
    "Printer is not operational or currently printing: pause the print first, or wait until it ends": (
        "the printer is printing; pause the print first (`nozzled job pause`), or wait until it ends"
    ),
    "Printer already has an active print job, did you mean 'restart'?": "a print is in progress",
    "Printer does not have an active print job or is not paused: `restart` needs a paused print": (
        "no print is paused, so none can be restarted"
    ),
    "Printer is neither printing nor paused, 'pause' command cannot be performed": "no print is in progress",
    "no file is selected: there is nothing to start": "no file is selected; `nozzled files select PATH` selects one",
    "Printer is neither printing nor paused, 'cancel' command cannot be performed": "no print is in progress",
}
"""OctoPrint's refusals, which its clients know, in plain words for a user."""


def in_cli_words(reason: str) -> str:
    """Return the server's reason in the words of the command line: with its option in place of the API's."""
    plain = _PLAIN_WORDS.get(reason, reason)
    if plain.startswith("there is no G-code file "):
        plain += "; `nozzled files list --recursive` shows the files"
    return re.sub(r'Send "force": true to (print it|switch it off) anyway', r"Use --force to \1 anyway", plain)


def _report_failure(error: ClientError, server: "Server", *, as_json: bool) -> int:
    status = error.status if isinstance(error, RequestRefused) else None
    text = error.text if isinstance(error, RequestRefused) and error.text else str(error)
    shown = in_cli_words(text)
    if isinstance(error, AccessDenied) and not server.key:
        shown = server.no_key_text
    elif isinstance(error, AccessDenied) and text == INVALID_KEY:
        shown = f"{text}; it came from {server.key_source}"
    elif isinstance(error, NeverSent):
        port = "" if _has_port(server.url) else "; the address names no port: most often it is :5000"
        shown = f"no answer from {server.url}: is nozzled running there? {_START_HINT}{port}"
    elif isinstance(error, Unreachable) and server.url.lower().startswith("https:") and "certificate" not in text:
        shown = f"{text}; unless a proxy encrypts for nozzled, the address must begin with http://"
    elif isinstance(error, NotFound) and text == HTTPStatus.NOT_FOUND.phrase:  # nozzled's own texts differ
        shown = f"{server.url} is not a nozzled's address such as http://printer.local:5000: it answers {text!r}"
    print(f"nozzled: {printable(shown)}", file=sys.stderr)
    if as_json:
        print(json.dumps({"error": text, "status": status}))
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), _FAILED)


def _has_port(url: str) -> bool:
    """Tell whether an address names its port, or is of https, which has a usual port."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    return parts.port is not None or parts.scheme == "https"


# -- which daemon ----------------------------------------------------------------------------------------------


@frozen
class Server:
    """A daemon's address and key.

    Attributes:
        url: its address.
        key: the API key; empty: none is known.
        no_key_text: the message if there is no key.
        key_source: where the key came from.
    """

    url: str
    key: str
    no_key_text: str
    key_source: str


def find_server(args: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Server:
    """Return the daemon to talk to. This machine's own key is never sent to an address that the user has named.

    Raises:
        ConfigError: the configuration cannot be used.
        ClientError: the configuration names no port, or the key file cannot be read or is empty.
    """
    url = args.url or environ.get(URL_ENVIRONMENT, "")
    missing = f"no API key: set {ENVIRONMENT} or use --key-file"
    key = _explicit_key(args, environ)
    source = f"${ENVIRONMENT}" if args.key_file is None else str(args.key_file)
    if url:
        why = "this computer's own key is not sent to an address from --url or $NOZZLED_URL"
        return Server(url, key, f"{why}: set {ENVIRONMENT} or use --key-file", source)
    target = local_daemon.find(args, environ)
    own = _own_url(target)
    if key:
        return Server(own, key, missing, source)
    path = key_file(target.config, target.state)
    try:
        return Server(own, path.read_text("utf-8").strip(), missing, str(path))
    except PermissionError:
        denied = f"only the service and root may read the key in {path}: {local_daemon.with_sudo(args)}"
        return Server(own, "", f"{denied}; or set {ENVIRONMENT} or use --key-file", str(path))
    except FileNotFoundError:
        absent = f"{path} does not exist yet: the daemon creates the key when it first starts"
        return Server(own, "", f"{absent}; for another daemon set {ENVIRONMENT} or use --key-file", str(path))
    except (OSError, UnicodeDecodeError) as error:
        return Server(own, "", f"{missing} ({path}: {_why(error)})", str(path))


def _explicit_key(args: argparse.Namespace, environ: Mapping[str, str]) -> str:
    if args.key_file is None:
        return environ.get(ENVIRONMENT, "")
    try:
        key = str(args.key_file.read_text("utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise ClientError(f"cannot read the key file {args.key_file}: {_why(error)}") from error
    if not key:
        raise ClientError(f"the key file {args.key_file} is empty: write a key into it, as `nozzled key` shows it")
    return key


def _why(error: OSError | UnicodeDecodeError) -> str:
    return "it is not plain text" if isinstance(error, UnicodeDecodeError) else error.strerror or str(error)


def _own_url(target: LocalDaemon) -> str:
    """Return the address at which the daemon of this machine listens."""
    host, port = local_daemon.host_and_port(target)
    if not port:
        raise ClientError("http.port = 0 lets the daemon take any free port: name its address with --url")
    return local_daemon.url(host, port)


def say_which_daemon(clause: str, environ: Mapping[str, str] = os.environ) -> None:
    """If $NOZZLED_URL names another daemon, say on stderr that the command is for this computer's own daemon."""
    if url := environ.get(URL_ENVIRONMENT):
        own = f"{clause} this computer's own daemon, not {printable(url)} (${URL_ENVIRONMENT})"
        print(f"nozzled: {own}", file=sys.stderr)


# -- text for users --------------------------------------------------------------------------------------------


def printable(text: str) -> str:
    """Escape control characters, so that a server's text cannot steer the terminal."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


def table(rows: Mapping[str, str]) -> str:
    """Return names and values in two columns; empty values are left out."""
    return "\n".join(f"{name:<12}{printable(value)}" for name, value in rows.items() if value)


def duration(seconds: float | None) -> str:
    """Return a duration as users read it: 1:02:03."""
    if seconds is None:
        return ""
    minutes, remainder = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{remainder:02}"
