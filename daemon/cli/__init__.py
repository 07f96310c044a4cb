"""The command line: `nozzled serve | demo | job | files | printer | ports | …`.

Exit codes: 0 success, 1 failure (the reason is on stderr), 2 a wrong command line, 70 the service has crashed too
often and gives up. Commands that talk to a running daemon (job, files, printer) have more: see `daemon.cli.remote`.
`inspect` exits with 6 for a file that would not be printed.
"""

import argparse
import errno
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Any

from daemon import __version__
from daemon.errors import KeepsCrashing
from gcode.errors import NozzledError

EXIT_FAILURE, EXIT_WRONG_USAGE = 1, 2
STDOUT, STDERR = 1, 2
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
EXIT_GAVE_UP = 70  # the unit's RestartPreventExitStatus=: systemd starts safe-off instead of another core

WITHOUT_TLS = ("serve", "core")  # the core has no network

COMMANDS = {
    "serve": "Run the daemon until SIGTERM or Ctrl-C.",
    "demo": "Print an example on a simulated printer through the HTTP API, and check that every command arrived.",
    "ports": "List the serial ports of this machine, without opening any.",
    "job": "Show the print of a running daemon; start, pause and cancel it.",
    "queue": "List the files that wait to be printed, add files, and confirm that the bed is clear.",
    "history": "Show past prints, their totals, or a table of all of them.",
    "files": "List, upload, select, print and delete files of a running daemon.",
    "timelapse": "List, make and delete timelapse films; `serve` runs the process that records them.",
    "printer": "Show the printer of a running daemon; heat it, move it, send commands.",
    "mqtt": "Publish the state of printer and print to an MQTT broker, for Home Assistant and others.",
    "farm": "Give jobs to a farm of printers, and see why they wait; run its server and the agents beside printers.",
    "notify": "Send notifications about prints; test whether they arrive.",
    "spool": "Assign Spoolman's spools to tools, and show how much filament is left.",
    "power": "Switch the printer's power and other devices; show filament sensors and the stop button.",
    "simulate": "Print a file on a simulated printer in simulated time; report how it went.",
    "inspect": "Analyse a G-code file: time, layers, filament, and any errors.",
    "resume-at": "Continue a lost print at a layer, a height or a line: print the rest, or write a file with it.",
    "key": "Show the API key; create it if there is none yet.",
    "keys": "Create, list and revoke named keys; approve apps that ask for one.",
    "pair": "Show a link and a QR code that give a browser or phone a key of its own.",
    "import": "Import files, settings and history from OctoPrint; list what cannot be imported.",
    "doctor": "Look for common problems, explain how to fix them, and pack a bundle for a bug report.",
    "config": "Print the effective configuration as TOML, with the meaning and default of each key.",
    "replay": "Run a recorded session again and print where this version of the host behaves differently.",
    "core": "Run the part of the daemon that owns the printer; `nozzled front` connects to it.",
    "front": "Run the part of the daemon that serves users and programs.",
}
"""Each command has a module here, with EXAMPLE, `arguments(parser)` and `run(args)`; it is imported only to run it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    if argv is None:
        _use_utf8()
    _open_standard_streams()
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        args = _parse(words)  # loads the command's modules, which takes long on a slow board: Ctrl-C may come here
        code: int = args.run(args)
        sys.stdout.flush()
    except KeepsCrashing as error:
        print(f"nozzled: {error}", file=sys.stderr)
        return EXIT_GAVE_UP
    except NozzledError as error:
        print(f"nozzled: {error}", file=sys.stderr)
        return EXIT_FAILURE
    except KeyboardInterrupt:
        return EXIT_FAILURE
    except BrokenPipeError:  # the reader of our output has closed it: `nozzled … | head`
        _drop_output()
        return EXIT_FAILURE
    except PermissionError as error:  # of a file that the user has named: `Path.is_file` raises it, too
        if error.filename is None:
            raise
        print(f"nozzled: {os.fsdecode(error.filename)}: {error.strerror}", file=sys.stderr)
        return EXIT_FAILURE
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        print(f"nozzled: {error.filename or 'the output cannot be written'}: {error.strerror}", file=sys.stderr)
        _drop_output()
        return EXIT_FAILURE
    return code


def _drop_output() -> None:
    """Drop the rest of the output, which Python would write as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parse(words: list[str]) -> argparse.Namespace:
    """Parse the command line; if it is wrong, print the usage of the command and exit."""
    if words[:1] == ["help"]:
        words = [*words[1:2], "--help"]
    name = words[0] if words else ""
    parser = _parser(name)
    if not words:
        parser.print_help(sys.stderr)
        raise SystemExit(EXIT_WRONG_USAGE)
    if name not in COMMANDS and not name.startswith("-"):
        from difflib import get_close_matches  # noqa: PLC0415 - memory that a daemon does not need

        matches = get_close_matches(name, COMMANDS, 1)
        hint = f"did you mean {matches[0]!r}?" if matches else "`nozzled --help` lists them all"
        parser.error(f"there is no command {name!r}: {hint}")
    args, unknown = parser.parse_known_args(words, argparse.Namespace(words=words))
    if unknown:
        problem = f"unrecognized arguments: {' '.join(unknown)}"
        if not hasattr(args, "parser"):  # something precedes the command, so its module was not loaded
            parser.error(f"{problem}; options follow the command, see `nozzled --help`")
        args.parser.error(f"{problem}; see `{args.parser.prog} --help`")
    return args


def _use_utf8() -> None:
    """Start again in UTF-8 mode if the locale has another encoding, which could not express the names of all files.

    Besides, names would depend on the locale, and a service may have another locale than a user's command.
    """
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1" and sys.executable:
        os.environ["PYTHONUTF8"] = "1"  # for child processes as well
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - the same command line


def _open_standard_streams() -> None:
    """Open /dev/null for each standard stream that is closed; otherwise a port or a file would get its number.

    If only stderr is closed (`nozzled serve 2>&-`), errors go to stdout instead. A character that the locale cannot
    write is escaped.
    """
    closed = []
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(fd)
        except OSError:
            closed.append(fd)
            if fd == STDERR and STDOUT not in closed:
                os.dup2(STDOUT, STDERR)
            else:
                os.dup2(os.open(os.devnull, os.O_RDWR), fd)  # dup2: children inherit it, too
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(fd, mode, closefd=False))
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr has it: a file's name may not suit the locale


class _Parser(argparse.ArgumentParser):
    """A parser for commands and subcommands that says what is wrong with a number."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.register("type", int, _whole_number)


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, not {text}") from None


def _parser(chosen: str) -> argparse.ArgumentParser:
    """Return the parser. It has only the options of the chosen command, as the others would cost their imports."""
    parser = _Parser(
        prog="nozzled",
        description="Streams G-code to a 3D printer and lets users and programs control it. "
        "`nozzled demo` shows a print without a printer; with one, begin with `nozzled ports` and `nozzled serve`.",
        epilog="example: nozzled serve --printer serial:/dev/ttyACM0",
    )
    parser.add_argument("--version", action="version", version=f"nozzled {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        if name == chosen:
            if name in WITHOUT_TLS:
                sys.modules.setdefault("ssl", None)  # type: ignore[arg-type]  # asyncio works without; 4.5 MB, 13 ms
            module = importlib.import_module(f"daemon.cli.{name.replace('-', '_')}")
            command.epilog = f"example: {module.EXAMPLE}"
            module.arguments(command)
            command.set_defaults(run=module.run, parser=command)
    return parser
