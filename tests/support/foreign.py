"""Other people's programs, each in its own virtual environment; installing them needs a package index."""

import subprocess
import sys
from pathlib import Path

from support.processes import cannot_run, environment

INSTALLING = 300.0  # s
RUNNING = 300.0  # s; these programs take 10 to 20
SCRIPTS = Path(__file__).with_name("foreign_clients")


def install(folder: Path, *requirements: str) -> Path:
    """Install requirements into a new environment; return its `bin`."""
    python = folder / "bin" / "python"
    # filled by our own pip, without compiling: most of the time would go into a pip of its own and into byte code
    make = [sys.executable, "-m", "venv", "--without-pip", folder]
    subprocess.run(make, check=True, timeout=INSTALLING, env=environment())
    options = ("--quiet", "--disable-pip-version-check", "--no-compile")
    command = [sys.executable, "-m", "pip", "--python", python, "install", *options, *requirements]
    result = subprocess.run(command, capture_output=True, text=True, timeout=INSTALLING, check=False, env=environment())
    if result.returncode:
        cannot_run(f"{', '.join(requirements)} cannot be installed: {result.stderr.strip().splitlines()[-1]}")
    return python.parent


def run(*command: str | Path) -> str:
    """Run a program, which must succeed; return its output."""
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=RUNNING,
        check=False,
        env=environment(),
        stdin=subprocess.DEVNULL,
    )
    assert result.returncode == 0, f"{command}: {result.stdout}\n{result.stderr}"
    return result.stdout
