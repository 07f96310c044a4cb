"""The labgrid driver in its own environment, with the version of labgrid that the extra installs."""

import json
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from support.processes import cannot_run, environment

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "hil.md"
INSTALLING = 600.0  # s


def block(language, beginning):
    """Return the block of code in the guide that begins so."""
    blocks = re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    return next(each for each in blocks if each.startswith(beginning))


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Return the interpreter of an environment with `nozzled[labgrid]`."""
    folder = tmp_path_factory.mktemp("labgrid")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", f"{ROOT}[labgrid]"]
    done = subprocess.run(install, capture_output=True, text=True, timeout=INSTALLING, check=False)
    if done.returncode:
        cannot_run(f"labgrid cannot be installed: {done.stderr[-300:]}")
    return python


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("resource", ["PrinterAddress", "RawSerialPort"])
def test_the_example_of_the_guide_runs_on_a_printer_behind_a_port(python, tmp_path, resource):
    port, oracle = tmp_path / "port", tmp_path / "oracle.jsonl"
    places = block("yaml", "targets:").replace("/dev/ttyACM0", str(port))
    if resource == "RawSerialPort":
        places = re.sub(r"PrinterAddress:\n( +)address: \S+", rf"RawSerialPort:\n\1port: {port}", places)
    assert resource in places
    (tmp_path / "lab.yaml").write_text(places)
    (tmp_path / "test_lab.py").write_text(block("python", "def test_the_printer_of_the_lab"))
    simulated = [sys.executable, "-m", "hal.simulated", "--pty", port, "--oracle", oracle, "--speed", "50"]
    with subprocess.Popen(simulated, stdout=subprocess.PIPE, text=True) as printer:
        try:
            assert "->" in printer.stdout.readline()
            done = subprocess.run(
                [python, "-m", "pytest", "-p", "no:cacheprovider", "--lg-env", "lab.yaml", "test_lab.py"],
                capture_output=True,
                text=True,
                timeout=200,
                check=False,
                cwd=tmp_path,
                env=environment(),
            )
        finally:
            printer.terminate()
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    taken = [json.loads(line)["command"] for line in oracle.read_text().splitlines()]
    assert "M118 from the lab" in taken
    assert taken[-2:] == ["M104 S0", "M140 S0"]
