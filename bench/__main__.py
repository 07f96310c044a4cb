"""`python -m bench`: the benchmarks, run by hand on a quiet machine. Each shows ratios measured in one run."""

import importlib
import signal
import sys

STOPPED = 130  # as a shell says that a program ended by Ctrl-C
NAMES = (
    "link",
    "idle",
    "stall",
    "micro",
    "api",
    "restart",
    "simulate",
    "analysis",
    "toolpath",
    "page",
    "history",
    "wear",
    "words",
    "farm",
)
USAGE = """usage: python -m bench NAME [OPTION ...]      (make bench ARGS="NAME …")

{}

python -m bench NAME --help explains each. Ratios carry over to other machines, absolute figures do not.
"""


def main(arguments: list[str]) -> int:
    """Run the benchmark that is named, or list them."""
    if not arguments or arguments[0] not in NAMES:
        lines = [f"  {name:8} {importlib.import_module(f'bench.{name}').SUMMARY}" for name in NAMES]
        sys.stdout.write(USAGE.format("\n".join(lines)))
        return 0 if arguments in ([], ["-h"], ["--help"]) else 2
    try:
        return int(importlib.import_module(f"bench.{arguments[0]}").main(arguments[1:]))
    except KeyboardInterrupt:
        return STOPPED


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it counts as Ctrl-C: hosts and printers are ended
    sys.exit(main(sys.argv[1:]))
