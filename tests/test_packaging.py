"""The installed files are ours and complete: other distributions ship modules called `daemon` and `hal`, too."""

import importlib
import importlib.util
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from support.processes import EXAMPLE, LIFETIME, cannot_run, environment

ROOT = Path(__file__).parents[1]
PACKAGES = ("nozzled", "gcode", "hal", "daemon")


def python(*arguments, cwd):
    """Run this interpreter as in a folder without any of our modules."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=LIFETIME,
        check=True,
        cwd=cwd,
        env=environment(),
    ).stdout


def modules_after(code, folder):
    """Return the names of modules imported after this code has run, even if it exits."""
    report = "import atexit, json, sys\natexit.register(lambda: print(json.dumps(sorted(sys.modules))))\n"
    return set(json.loads(python("-c", report + code, cwd=folder).splitlines()[-1]))


@pytest.mark.nightly
def test_the_suite_for_printers_needs_no_tool_but_pytest():
    plugins = [f"-pno:{name}" for name in ("hypothesispytest", "schemathesis", "xdist", "xdist.looponfail")]
    code = f"""
import sys, pytest
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in ('hypothesis', 'schemathesis', 'xdist'):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
sys.exit(pytest.main(['-q', '--collect-only', 'tests/hil/test_stop.py', *{plugins}]))
"""
    assert "test_stop" in python("-c", code, cwd=ROOT)


@pytest.mark.parametrize("name", PACKAGES)
def test_the_imported_packages_are_ours(name):
    assert Path(importlib.import_module(name).__file__) == ROOT / name / "__init__.py"
    assert packages_distributions().get(name, ["nozzled"]) == ["nozzled"]


def test_the_packages_are_ours_from_any_folder(tmp_path):
    code = "\n".join(f"import {name}; print({name}.__file__)" for name in PACKAGES)
    paths = python("-c", code, cwd=tmp_path).splitlines()
    assert paths == [str(ROOT / name / "__init__.py") for name in PACKAGES]


def test_the_command_and_the_entry_points_exist():
    ours = [each for each in distribution("nozzled").entry_points if each.group == "console_scripts"]
    assert [(each.name, each.value) for each in ours] == [("nozzled", "nozzled:main")]
    for each in distribution("nozzled").entry_points:
        assert each.group == "pytest11" or callable(each.load())
    [plugin] = [each for each in distribution("nozzled").entry_points if each.group == "pytest11"]
    assert plugin.name == "nozzled"
    assert plugin.load().pytest_plugins == ["hal.testing.plugin"]


def test_the_version_is_printed_without_loading_the_service(tmp_path):
    loaded = modules_after("from daemon.cli import main; main(['--version'])", tmp_path)
    assert "daemon.cli" in loaded
    assert not loaded & {"tornado", "serial", "hal.serial_port", "hal.simulated", "daemon.front.http"}


MAKE_PRINTER = """
import asyncio, hal.registry

async def make():
    hal.registry.create({!r})

asyncio.run(make())
"""


@pytest.mark.parametrize(
    ("address", "needed", "needless"),
    [("serial:/dev/none", "serial", "hal.simulated"), ("sim", "hal.simulated", "serial")],
)
def test_a_printer_loads_its_own_backend_only(address, needed, needless, tmp_path):
    loaded = modules_after(MAKE_PRINTER.format(address), tmp_path)
    assert needed in loaded
    assert needless not in loaded


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, as hatchling builds it."""
    if importlib.util.find_spec("hatchling") is None:
        cannot_run("hatchling, which builds the wheel, is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    python("-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder), cwd=ROOT)
    [path] = folder.glob("nozzled-*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_the_wheel_contains_every_module_and_no_tests(wheel):
    names = {name for name in wheel.namelist() if name.endswith(".py")}
    there = {str(path.relative_to(ROOT)) for name in PACKAGES for path in (ROOT / name).rglob("*.py")}
    assert names == there


def test_the_wheel_contains_data_files(wheel):
    names = set(wheel.namelist())
    assert {f"{name}/py.typed" for name in PACKAGES} <= names
    schemas = {str(path.relative_to(ROOT)) for path in (ROOT / "daemon").rglob("schema/v*.sql")}
    assert {"daemon/core/record/schema/v1.sql", "daemon/front/cache/schema/v1.sql"} <= schemas <= names
    assert wheel.read("daemon/examples/cube20.gcode") == EXAMPLE.read_bytes()
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_installed_versions_are_pinned_by_hash_and_allowed_by_pyproject():
    """Run `make constraints` where this fails."""
    text = (ROOT / "systemd/constraints.txt").read_text()
    assert "://" not in text  # it names no server: the user's pip decides which one it asks
    pins = []
    for entry in re.findall(r"^\w(?:.*\\\n)*.*", text, re.MULTILINE):
        pin, *hashes = (part.strip() for part in entry.split("\\\n"))
        pins.append(Requirement(pin))
        assert [each.operator for each in pins[-1].specifier] == ["=="], pin
        assert hashes, pin
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for each in hashes), pin
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for name in (*project["project"]["dependencies"], *project["build-system"]["requires"]):
        needed = Requirement(name)
        [pin] = [each for each in pins if each.name == needed.name and (not each.marker or each.marker.evaluate())]
        [version] = [each.version for each in pin.specifier]
        assert needed.specifier.contains(version), name
