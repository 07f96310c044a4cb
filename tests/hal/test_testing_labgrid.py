"""The labgrid driver in its own environment, with the version of labgrid that the extra installs."""

import json
import re
import subprocess
import venv
from pathlib import Path

import pytest

from support.hil_guide import code_of_guide, pty_printer
from support.processes import cannot_run, environment

ROOT = Path(__file__).parents[2]
INSTALLING = 600.0  # s


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Return the interpreter of an environment with `nozzled[labgrid]`."""
    folder = tmp_path_factory.mktemp("labgrid")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", f"{ROOT}[labgrid]"]
    result = subprocess.run(install, capture_output=True, text=True, timeout=INSTALLING, check=False)
    if result.returncode:
        cannot_run(f"labgrid cannot be installed: {result.stderr[-300:]}")
    return python


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("resource", ["PrinterAddress", "RawSerialPort"])
def test_the_example_of_the_guide_runs_on_a_printer_behind_a_port(python, tmp_path, resource):
    port = tmp_path / "port"
    targets = code_of_guide("yaml", "targets:").replace("/dev/ttyACM0", str(port))
    if resource == "RawSerialPort":
        targets = re.sub(r"PrinterAddress:\n( +)address: \S+", rf"RawSerialPort:\n\1port: {port}", targets)
    assert resource in targets
    (tmp_path / "lab.yaml").write_text(targets)
    (tmp_path / "test_lab.py").write_text(code_of_guide("python", "def test_the_printer_of_the_lab"))
    with pty_printer(tmp_path):
        result = subprocess.run(
            [python, "-m", "pytest", "-p", "no:cacheprovider", "--lg-env", "lab.yaml", "test_lab.py"],
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
            cwd=tmp_path,
            env=environment(),
        )
    assert "1 passed" in result.stdout, result.stdout + result.stderr
    lines = (tmp_path / "oracle.jsonl").read_text().splitlines()
    commands = [json.loads(line)["command"] for line in lines]
    assert "M118 from the lab" in commands
    assert commands[-2:] == ["M104 S0", "M140 S0"]
