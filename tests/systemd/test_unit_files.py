"""The unit as systemd reads it: no warning, little exposure, and a command line that the program has."""

import argparse
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.cli import serve
from daemon.safety import PATIENCE
from support.processes import cannot_run

UNIT = Path(__file__).parents[2] / "systemd/nozzled.service"
THRESHOLD = 15  # systemd counts in tenths here: 1.5 of 10


@pytest.fixture
def analyze():
    """Return a function that runs systemd-analyze."""
    program = shutil.which("systemd-analyze")
    if program is None:
        cannot_run("systemd-analyze is missing: apt-get install systemd")

    def run(*arguments):
        command = [program, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    return run


def settings(name: str) -> list[str]:
    """Return every value that the unit gives a setting; the file is read as text, comments and all."""
    lines = UNIT.read_text().splitlines()
    return [value for key, _, value in (line.partition("=") for line in lines) if key == name]


def installed(folder: Path, text: str) -> Path:
    """Write the unit with a program that is there: what it starts is not installed where tests run."""
    unit = folder / UNIT.name
    unit.write_text(text.replace("/opt/nozzled/bin/nozzled", sys.executable))
    return unit


def test_systemd_reads_the_unit_without_a_warning(analyze, tmp_path):
    verified = analyze("--recursive-errors=no", "verify", installed(tmp_path, UNIT.read_text()))
    assert (verified.returncode, verified.stderr) == (0, "")


def test_a_warning_about_the_unit_would_be_seen(analyze, tmp_path):
    text = UNIT.read_text().replace("RestartSec=0", "RestartSek=0")
    verified = analyze("--recursive-errors=no", "verify", installed(tmp_path, text))
    assert verified.returncode != 0
    assert "RestartSek" in verified.stderr


def test_the_unit_is_hardened(analyze):
    judged = analyze("security", "--offline=yes", f"--threshold={THRESHOLD}", UNIT)
    assert judged.returncode == 0, judged.stdout[-200:]


def test_the_command_line_has_the_options_of_the_unit():
    (command,) = settings("ExecStart")
    program, name, *arguments = shlex.split(command)
    assert (program, name) == ("/opt/nozzled/bin/nozzled", "serve")
    parser = argparse.ArgumentParser(exit_on_error=False)
    serve.arguments(parser)
    assert parser.parse_args(arguments).config == Path("/etc/nozzled.toml")


def test_the_unit_keeps_what_the_service_depends_on():
    assert settings("Type") == ["notify"]
    assert settings("StateDirectory") == ["nozzled"]
    assert settings("Group") == ["dialout"]
    assert (settings("Restart"), settings("RestartSec")) == (["always"], ["0"])
    assert settings("StartLimitBurst") == ["10"], "a restart without a pause needs systemd's own brake"


def test_the_daemon_has_the_time_that_cooling_down_may_take():
    (seconds,) = settings("TimeoutStopSec")
    assert int(seconds) >= PATIENCE + 5, "SIGKILL must not come before the heaters are off"
