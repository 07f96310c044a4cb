"""The pytest plugin as seen by another project's tests, which run in a separate pytest."""

import json
import re
import subprocess
import sys

import pytest

from hal.session_file import HOST, PRINTER, read
from support.hil_guide import code_of_guide, pty_printer
from support.processes import LIFETIME, environment

# without the other plugins that happen to be installed here, which take seconds to import
ALONE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def run_pytest(folder, *options, **files):
    """Run pytest on these files, as in another project."""
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    program = [sys.executable, "-m", "pytest", "-p", "hal.testing.plugin", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*program, "-rs", "--strict-markers", *options],
        capture_output=True,
        text=True,
        timeout=LIFETIME,
        check=False,
        cwd=folder,
        env={**environment(), **ALONE},
    )


def test_the_worked_example_of_the_guide_passes(tmp_path):
    (tmp_path / "noise.toml").write_text(code_of_guide("toml", "[[fault]]"))
    result = run_pytest(
        tmp_path, test_the_printer_has_octoprints_parts_and_flags=code_of_guide("python", "import pytest")
    )
    assert result.returncode == 0, result.stdout
    assert "5 passed" in result.stdout
    assert "skipped" not in result.stdout


FAILING = """
async def test_passes(printer):
    assert printer.heaters["tool0"].actual > 0

async def test_fails(printer):
    await printer.send("M118 the last words")
    assert printer.heaters["tool0"].actual > 100
"""


def test_a_failing_test_shows_and_stores_its_session(tmp_path):
    result = run_pytest(tmp_path, "--sessions", "kept", test_it=FAILING)
    assert result.returncode == 1
    assert "session with the printer" in result.stdout
    assert re.search(r"\d\.\d{3} -> N\d+ M118 the last words\*\d+", result.stdout)
    [recording] = (tmp_path / "kept").iterdir()  # of the failing test only
    assert f"nozzled replay --show {recording.relative_to(tmp_path)}" in result.stdout
    session = read([recording])
    assert b"M118 the last words" in b"".join(each.data for each in session.records if each.kind == HOST)
    assert b"the last words" in b"".join(each.data for each in session.records if each.kind == PRINTER)


FAULTS = """
import pytest
from gcode.errors import NozzledError
from hal.simulated.scenario import Fault

@pytest.mark.scenario(Fault("kill", time=5))
async def test_killed(printer, clock, scenario):
    assert scenario.faults[0].what == "kill"
    with pytest.raises(NozzledError, match="halted"):
        await printer.send("G4 S60")

async def test_the_next_one_has_a_printer_of_its_own(printer, clock, scenario):
    assert scenario is None
    await clock.sleep(10)
    assert (await printer.send("M105"))[-1].startswith("ok")

@pytest.mark.scenario("missing.toml")
def test_missing(printer):
    pass
"""


def test_a_scenario_applies_to_one_test(tmp_path):
    result = run_pytest(tmp_path, test_it=FAULTS)
    assert "2 passed, 1 error" in result.stdout, result.stdout
    assert "missing.toml: No such file" in result.stdout


ON_HARDWARE = """
import pytest
from hal.simulated.scenario import Fault

def test_runs(printer):
    pass

@pytest.mark.heats
async def test_heats(printer):
    await printer.send("M104 S40")
    assert False, "with the heater on"

@pytest.mark.moves
def test_moves(printer):
    raise AssertionError("it must not come here")

@pytest.mark.scenario(Fault("kill", time=5))
def test_faults(printer):
    raise AssertionError("it must not come here")

def test_oracle(oracle):
    raise AssertionError("it must not come here")

@pytest.mark.heats
def test_without_a_printer():
    pass
"""


def test_only_allowed_tests_run_on_hardware_and_heaters_are_left_off(tmp_path):
    with pty_printer(tmp_path) as address:
        result = run_pytest(tmp_path, "--printer", address, "--allow-heat", test_it=ON_HARDWARE)
    assert "1 failed, 2 passed, 3 skipped" in result.stdout, result.stdout
    assert "with the heater on" in result.stdout
    assert f"NOT TESTED on {address}: it moves; allow that with --allow-motion" in result.stdout
    assert result.stdout.count("NOT TESTED") == 3
    lines = (tmp_path / "oracle.jsonl").read_text().splitlines()
    heating = [each["command"] for each in map(json.loads, lines) if each["command"].startswith("M104")]
    assert heating[-2:] == ["M104 S40", "M104 S0"]


LEFT_HOT = """
import pytest

@pytest.mark.heats
async def test_heats(printer_device):
    printer = await printer_device.open()
    await printer.send("M104 S40")
    await printer.close()
"""


def test_a_printer_that_a_test_has_left_hot_is_turned_off(tmp_path):
    with pty_printer(tmp_path) as address:
        result = run_pytest(tmp_path, "--printer", address, "--allow-heat", test_it=LEFT_HOT)
    assert "1 passed" in result.stdout, result.stdout
    lines = (tmp_path / "oracle.jsonl").read_text().splitlines()
    heating = [each["command"] for each in map(json.loads, lines) if each["command"].startswith("M104")]
    assert heating[-2:] == ["M104 S40", "M104 S0"]


def test_heat_is_not_allowed_by_default(tmp_path):
    result = run_pytest(tmp_path, "--printer", "serial:/dev/null", "-k", "heats", test_it=ON_HARDWARE)
    assert "1 skipped" in result.stdout, result.stdout
    assert "it heats; allow that with --allow-heat" in result.stdout


def test_an_invalid_address_is_an_error_that_names_it(tmp_path):
    result = run_pytest(tmp_path, "--printer", "parallel:lpt1", test_it=FAILING)
    assert "unknown kind of printer 'parallel'" in result.stdout


BY_ITSELF = """
async def test_connects_by_itself(printer_device):
    printer = await printer_device.open()
    assert printer.heaters
    await printer_device.end(printer)
"""


def test_a_coroutine_that_uses_the_device_alone_runs_on_its_loop(tmp_path):
    result = run_pytest(tmp_path, test_it=BY_ITSELF)
    assert "1 passed" in result.stdout, result.stdout


def test_simulated_printers_run_in_several_processes(tmp_path):
    result = run_pytest(tmp_path, "-p", "xdist", "--printer", "sim?extruders=2", "-n", "2", test_it=BY_ITSELF)
    assert "1 passed" in result.stdout, result.stdout + result.stderr


def test_a_printer_is_not_shared_by_processes(tmp_path):
    result = run_pytest(tmp_path, "-p", "xdist", "--printer", "serial:/dev/null", "-n", "2", test_it=FAILING)
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "run without -n" in result.stderr


STRANGER = """
import sys

def test_nothing_of_ours_is_there():
    ours = {name for name in sys.modules if name.partition(".")[0] in ("gcode", "hal", "daemon")}
    assert ours == {"hal", "hal.testing", "hal.testing.plugin"}
    assert "asyncio" not in sys.modules

def test_a_fixture_of_the_same_name_is_its_own(printer):
    assert printer == "laser"

async def test_a_coroutine_is_run_by_its_own_plugin(clock):
    assert clock == "sundial"
"""
ITS_FIXTURES = """
import pytest

@pytest.fixture
def printer():
    return "laser"

@pytest.fixture
def clock():
    return "sundial"

def pytest_pyfunc_call(pyfuncitem):
    if pyfuncitem.name == "test_a_coroutine_is_run_by_its_own_plugin":
        try:
            pyfuncitem.obj(**pyfuncitem.funcargs).send(None)
        except StopIteration:
            return True
"""


def test_a_project_without_printers_is_not_affected(tmp_path):
    result = run_pytest(tmp_path, test_it=STRANGER, conftest=ITS_FIXTURES)
    assert "3 passed" in result.stdout, result.stdout
