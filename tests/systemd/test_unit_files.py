"""The units as systemd reads them: no warning, little exposure, and a command line that the program has."""

import argparse
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from daemon.cli import GAVE_UP, serve
from daemon.config import DiscoveryConfig, HttpConfig
from daemon.core.safety.rules import PATIENCE
from daemon.core.supervision import JOB_TYPE
from daemon.systemd.descriptors import HTTP
from support.processes import cannot_run

UNITS = Path(__file__).parents[2] / "systemd"
UNIT = UNITS / "nozzled.service"
INSTANCE = UNITS / "nozzled@.service"
SAFE_OFF = UNITS / "nozzled-safe-off@.service"
THRESHOLD = 13  # systemd counts in tenths here: 1.3 of 10


@pytest.fixture
def analyze():
    """Return a function that runs systemd-analyze."""
    program = shutil.which("systemd-analyze")
    if program is None:
        cannot_run("systemd-analyze is missing: apt-get install systemd")

    def run(*arguments, path=""):
        command = [program, *map(str, arguments)]
        # behind the colon are the system's own units
        environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{path}:"} if path else None
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)

    return run


def settings(name: str, unit: Path = UNIT) -> list[str]:
    """Return every value that the unit gives a setting; the file is read as text, comments and all."""
    lines = unit.read_text().splitlines()
    return [value for key, _, value in (line.partition("=") for line in lines) if key == name]


def installed(folder: Path, text: str, unit: Path = UNIT) -> Path:
    """Write the units with programs that are there: what they start is not installed where tests run."""
    for each in (*UNITS.glob("*.service"), *UNITS.glob("*.socket")):
        written = text if each == unit else each.read_text()
        (folder / each.name).write_text(
            re.sub(r"/(?:opt|usr/local)/\S+/(?:nozzled|job-type|safe-off)\b", "/bin/sh", written)
        )
    return folder / unit.name


@pytest.mark.parametrize("unit", [UNIT, INSTANCE, SAFE_OFF, UNITS / "nozzled.socket"], ids=lambda unit: unit.name)
def test_systemd_reads_the_unit_without_a_warning(analyze, tmp_path, unit):
    path = installed(tmp_path, unit.read_text(), unit)
    if "@" in path.name:
        path = path.with_name(path.name.replace("@", "@AB12"))
    verified = analyze("--recursive-errors=no", "verify", path, path=tmp_path)
    assert (verified.returncode, verified.stderr) == (0, "")


def test_a_warning_about_the_unit_would_be_seen(analyze, tmp_path):
    text = UNIT.read_text().replace("RestartSec=0", "RestartSek=0")
    verified = analyze("--recursive-errors=no", "verify", installed(tmp_path, text), path=tmp_path)
    assert verified.returncode != 0
    assert "RestartSek" in verified.stderr


@pytest.mark.parametrize("unit", [UNIT, INSTANCE, SAFE_OFF], ids=lambda unit: unit.name)
def test_the_unit_is_hardened(analyze, unit):
    judged = analyze("security", "--offline=yes", f"--threshold={THRESHOLD}", unit)
    assert judged.returncode == 0, judged.stdout[-200:]


@pytest.mark.parametrize("unit", [UNIT, INSTANCE], ids=lambda unit: unit.name)
def test_the_command_line_has_the_options_of_the_unit(unit):
    [command] = settings("ExecStart", unit)
    program, name, *arguments = shlex.split(command)
    assert (program, name) == ("/opt/nozzled/current/bin/nozzled", "serve")
    parser = argparse.ArgumentParser(exit_on_error=False)
    serve.arguments(parser)
    assert parser.parse_args(arguments).config.suffix == ".toml"


def test_the_unit_keeps_what_the_service_depends_on():
    assert settings("Type") == ["notify"]
    assert settings("StateDirectory") == ["nozzled"]
    assert settings("Group") == ["dialout"]
    assert settings("RuntimeDirectoryPreserve") == ["restart"]


def test_the_folder_where_avahi_is_told_of_the_service_may_be_written_to_and_missing():
    for unit in (UNIT, INSTANCE):
        assert settings("ReadWritePaths", unit) == [f"-{DiscoveryConfig().avahi_services}"]


def test_a_restart_comes_at_once_and_has_a_brake_that_ends_in_safe_off():
    assert (settings("Restart"), settings("RestartSec")) == (["always"], ["0"])
    assert (settings("StartLimitIntervalSec"), settings("StartLimitBurst")) == (["30"], ["10"])
    assert settings("OnFailure") == ["nozzled-safe-off@%N.service"]
    assert settings("RestartPreventExitStatus") == [str(GAVE_UP)]


def test_nothing_runs_after_a_crash_that_would_end_the_print():
    for unit in (UNIT, INSTANCE):
        assert settings("ExecStopPost", unit) == []
        assert settings("ExecStartPre", unit) == []
        assert settings("BindsTo", unit) == []


def test_the_daemon_has_the_time_that_cooling_down_may_take():
    [seconds] = settings("TimeoutStopSec")
    assert int(seconds) >= PATIENCE + 5, "SIGKILL must not come before the heaters are off"


def test_one_of_many_is_like_the_only_one():
    """Apart from its names, and its condition."""
    differs = {"Description", "ConditionPathExists", "ExecStart", "ExecStop", "StateDirectory", "RuntimeDirectory"}

    def alike(unit):
        lines = [line for line in unit.read_text().splitlines() if line and not line.startswith("#")]
        return [line for line in lines if line.partition("=")[0] not in differs]

    assert alike(UNIT) == alike(INSTANCE)


def test_the_socket_has_the_name_that_the_daemon_looks_for():
    assert settings("FileDescriptorName", UNITS / "nozzled.socket") == [HTTP]
    [address] = settings("ListenStream", UNITS / "nozzled.socket")
    assert address == f"{HttpConfig().host}:{HttpConfig().port}"


def test_the_job_type_is_left_where_the_daemon_looks():
    [command] = settings("ExecStop")
    assert command == "+/usr/local/lib/nozzled/job-type %n %t/nozzled"
    assert settings("RuntimeDirectory") == ["nozzled"]
    assert f'"$2/{JOB_TYPE}"' in (UNITS / "job-type").read_text()


def test_the_rule_for_udev_wants_the_instance_and_names_the_port_that_it_opens():
    rule = (UNITS / "70-nozzled.rules").read_text()
    assert 'SYMLINK+="printer/$env{NOZZLED_PRINTER}"' in rule
    assert 'TAG+="systemd", ENV{SYSTEMD_WANTS}+="nozzled@$env{NOZZLED_PRINTER}.service"' in rule
    assert "--printer serial:/dev/printer/%i" in INSTANCE.read_text()
    shared = re.search(r'ENV\{ID_SERIAL_SHORT\}!="([^"]+)"', rule)[1].split("|")
    assert "0001" in shared, "what all boards with a CP2102 have names none of them"
    gotos = set(re.findall(r'GOTO="(\w+)"', rule))
    assert gotos == set(re.findall(r'LABEL="(\w+)"', rule))


@pytest.mark.parametrize("name", ["install", "uninstall"])
def test_without_root_or_systemd_it_is_refused_and_said(name):
    if os.geteuid() == 0 and Path("/run/systemd/system").is_dir():
        cannot_run("root would install it here, where systemd runs")
    done = subprocess.run([UNITS / name], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "root" in done.stderr or "not started by systemd" in done.stderr
    assert done.stdout == ""


def test_the_installer_refuses_options_that_it_does_not_know():
    done = subprocess.run([UNITS / "install", "--whels"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "--wheels FOLDER" in done.stderr
