"""`nozzled` without its start-up: one process has loaded all modules, and a fork of it runs each command.

A shell finds the command `nozzled` in the folder and runs it as any other: arguments, environment, folder, standard
streams and exit code are its own.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SHIM = """#!/bin/bash
exec 10<&0 11>&1 12>&2  # the shell redirects its own while it writes below
call=$(mktemp -d -p "$(dirname "$0")")
mkfifo "$call/code"
env -0 >"$call/env"
printf '%s\\0' "$$" "$PWD" "$@" >"$call/words"
echo "$call" >"$(dirname "$0")/calls"
read -r code <"$call/code"
exit "$code"
"""


@contextmanager
def in_folder(folder: Path) -> Iterator[None]:
    """Put a command `nozzled` into this folder, which exists."""
    os.mkfifo(folder / "calls")
    (folder / "nozzled").write_text(SHIM)
    (folder / "nozzled").chmod(0o755)
    parent = subprocess.Popen([sys.executable, "-P", __file__, folder / "calls"])
    try:
        yield
    finally:
        parent.kill()
        parent.wait()


def _answer(calls: Path) -> None:
    for module in ("daemon.cli.job", "daemon.cli.files", "daemon.cli.keys", "daemon.cli.queue", "daemon.client"):
        __import__(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    with os.fdopen(os.open(calls, os.O_RDWR)) as lines:  # also a writer, so it has no end
        while line := lines.readline():
            if os.fork() == 0:
                _run(Path(line.strip()))


def _run(call: Path) -> None:
    """Run a command in this fork, which ends with it."""
    from daemon.cli import main  # noqa: PLC0415 - the tests, which import this module, do not need it

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid, folder, *words = (call / "words").read_text().split("\0")[:-1]
    for number, flags in enumerate((os.O_RDONLY, os.O_WRONLY | os.O_APPEND, os.O_WRONLY | os.O_APPEND)):
        os.dup2(os.open(f"/proc/{pid}/fd/{10 + number}", flags), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(pair.split("=", 1) for pair in (call / "env").read_text().split("\0")[:-1])
    code: int | str | None = 1
    try:
        code = main(words)
    except SystemExit as end:
        code = end.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        (call / "code").write_text(f"{code if isinstance(code, int) else int(bool(code))}\n")
        os._exit(0)


if __name__ == "__main__":
    _answer(Path(sys.argv[1]))
