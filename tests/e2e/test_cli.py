"""Commands whose behaviour shows only in real processes."""

import sys
from subprocess import run

import pytest

from support.processes import TIMEOUT, environment, nozzled


def test_only_the_shown_key_opens_the_api(processes, tmp_path):
    shown = nozzled("key", "--state-dir", tmp_path / "state")
    assert shown.returncode == 0, shown.stderr
    key = shown.stdout.strip()
    daemon = processes.daemon(key=key)
    assert daemon.get("/api/version")["api"] == "0.1"
    for other in (key[:-1], key + "0", "x" * len(key)):
        status, answer = daemon.request("GET", "/api/version", headers={"X-Api-Key": other})
        assert status == 403
        assert answer["error"]


def test_the_command_shows_the_key_of_the_first_start(processes, tmp_path):
    daemon = processes.daemon(key="not known yet")
    daemon.event("http.listening")
    shown = nozzled("key", "--state-dir", tmp_path / "state")
    status, _ = daemon.request("GET", "/api/version", headers={"X-Api-Key": shown.stdout.strip()})
    assert status == 200


def test_the_module_can_be_run_like_the_command():
    result = run(
        [sys.executable, "-m", "daemon", "--version"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=True,
        env=environment(),
    )
    assert result.stdout == nozzled("--version").stdout


def test_a_failure_is_reported_in_one_line(tmp_path):
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[http]\nprot = 80\n")
    done = nozzled("serve", "--config", wrong)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "http.prot = 80" in done.stderr


@pytest.mark.parametrize("address", ["parallel:/dev/lp0", "serial:/dev/ttyS0?baudrate=abc", "sim:foo"])
def test_an_invalid_printer_address_is_refused(tmp_path, address):
    done = nozzled("serve", "--state-dir", tmp_path, "--port", "0", "--printer", address)
    assert done.returncode == 1
    assert address in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_demo_paused_by_its_file_ends_with_a_reason(tmp_path):
    part = tmp_path / "part.gcode"
    part.write_text("G28\nG1 X1\nM0 change the filament\nG1 X2\n")
    done = nozzled("demo", "--exit", "--speed", "400", "--file", part, TMPDIR=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("nozzled: the print is paused")
    assert "\r" not in done.stdout + done.stderr
    assert "Paused" in done.stdout
