"""The command line: `nozzled serve | demo | ports | key | config`.

Exit codes: 0 done, 1 it failed (the reason is on stderr), 2 the command line was wrong.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence

from daemon import __version__
from gcode.errors import NozzledError

FAILED = 1

COMMANDS = ("serve", "demo", "ports", "key", "config")
"""Each is a module here with SUMMARY, EXAMPLE, `arguments(parser)` and `run(args)`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    args = _parser().parse_args(argv)
    try:
        code: int = args.run(args)
    except NozzledError as error:
        print(f"nozzled: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return FAILED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nozzled",
        description="Streams G-code to a 3D printer and lets people and programs steer it.",
        epilog="example: nozzled serve --printer serial:/dev/ttyACM0",
    )
    parser.add_argument("--version", action="version", version=f"nozzled {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = importlib.import_module(f"daemon.cli.{name}")
        command = commands.add_parser(
            name, help=module.SUMMARY, description=module.SUMMARY, epilog=f"example: {module.EXAMPLE}"
        )
        module.arguments(command)
        command.set_defaults(run=module.run)
    return parser
