"""Other people's programs, each in an environment of its own, made with pip where the registry can be reached."""

import subprocess
import sys
from pathlib import Path

from support.processes import cannot_run, environment

INSTALLING = 300.0  # seconds
RUNNING = 300.0  # seconds of a program; they take ten or twenty
SCRIPTS = Path(__file__).with_name("foreign_clients")


def installed(folder: Path, *requirements: str) -> Path:
    """Return the `bin` of an environment that has these."""
    python = folder / "bin" / "python"
    # our own pip fills it, and compiles nothing: a pip of its own and byte code that nobody runs take most of the time
    make = [sys.executable, "-m", "venv", "--without-pip", folder]
    subprocess.run(make, check=True, timeout=INSTALLING, env=environment())
    options = ("--quiet", "--disable-pip-version-check", "--no-compile")
    command = [sys.executable, "-m", "pip", "--python", python, "install", *options, *requirements]
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALLING, check=False, env=environment())
    if done.returncode:
        cannot_run(f"{', '.join(requirements)} cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    return python.parent


def run(*command: str | Path) -> str:
    """Return what a program prints; it has to succeed."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=RUNNING,
        check=False,
        env=environment(),
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout
