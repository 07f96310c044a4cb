"""nozzled and its pytest plugin report another distribution's `daemon` or `hal` in the environment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import nozzled
from support.processes import environment

ROOT = Path(__file__).parents[1]


@pytest.fixture
def install_foreign(tmp_path):
    """Returns a function that installs a foreign distribution with a module of ours, and returns its folder.

    The folder comes before ours, as in site-packages.
    """

    def install(module):
        package = tmp_path / module
        package.mkdir()
        (package / "__init__.py").write_text("class DaemonContext: ...\n")
        info = tmp_path / f"python_{module}-3.1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: python-{module}\nVersion: 3.1.2\n")
        (info / "top_level.txt").write_text(f"{module}\n")
        return tmp_path

    return install


def run(folder, *words):
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, cwd=folder,
        env={
            **environment(),
            "PYTHONPATH": os.pathsep.join((str(folder), str(ROOT))), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
    )  # fmt: skip


START = "import sys, nozzled; sys.argv = ['nozzled', 'ports']; sys.exit(nozzled.main())"


@pytest.mark.parametrize("module", ["daemon", "hal", "gcode"])
def test_a_foreign_module_is_named_with_its_distribution_and_the_remedy(install_foreign, module):
    result = run(install_foreign(module), "-c", START)
    assert result.returncode == 1
    assert f"nozzled: the module `{module}` belongs to python-{module} as well; {nozzled.ENVIRONMENT}" in result.stderr
    assert "Traceback" not in result.stderr


def test_ctrl_c_while_the_command_line_is_loaded_prints_no_traceback(tmp_path):
    (tmp_path / "daemon").mkdir()
    (tmp_path / "daemon/__init__.py").write_text("raise KeyboardInterrupt\n")
    result = run(tmp_path, "-c", START)
    assert (result.returncode, result.stderr) == (1, "")


def test_an_obstructing_folder_is_named(tmp_path):
    (tmp_path / "daemon").mkdir()
    (tmp_path / "daemon/__init__.py").touch()
    result = run(tmp_path, "-c", START)
    assert result.returncode == 1
    assert f"the module `daemon` belongs to {tmp_path}/daemon as well" in result.stderr


def test_the_service_warns_about_a_distribution_that_it_breaks(install_foreign):
    folder = install_foreign("daemon")
    (folder / "daemon/__init__.py").unlink()
    (folder / "daemon").rmdir()
    result = run(folder, "-c", START.replace("'ports'", "'serve', '--help'"))
    assert result.returncode == 0
    assert "nozzled: the module `daemon` belongs to python-daemon as well, which may be broken now" in result.stderr


@pytest.mark.parametrize("quiet", [[], ["-q"]], ids=["", "quiet"])
@pytest.mark.parametrize("module", ["daemon", "hal"])
def test_the_pytest_plugin_warns_and_does_not_affect_the_tests(install_foreign, module, quiet):
    folder = install_foreign(module)
    (folder / "test_it.py").write_text("def test_it(): ...\n")
    result = run(folder, "-m", "pytest", *quiet, "-p", "nozzled.pytest_plugin", "-p", "no:cacheprovider", "test_it.py")
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"nozzled: the module `{module}` belongs to python-{module} as well, and both cannot work" in result.stdout


def test_nothing_is_reported_without_a_foreign_module():
    assert nozzled.others() == nozzled.listed() == nozzled.elsewhere() == {}
