"""The service on a real systemd: installed, started by a request, watched, reloaded, stopped, broken, removed.

One test, because what is installed is expensive and each step goes on from the one before.
"""

import signal

import pytest

from support import systemd_box
from support.processes import cannot_run, commands_of, head
from support.systemd_box import SHARED, Daemon, Printer

PACKAGE = "/opt/nozzled/current/lib/python3*/site-packages/daemon"


@pytest.fixture
def box(tmp_path):
    try:
        with systemd_box.booted(tmp_path / "box") as box:
            systemd_box.bring_checkout(box)
            yield box
    except systemd_box.CannotRun as error:
        cannot_run(str(error))


@pytest.mark.slowest
@pytest.mark.timeout(600)
def test_from_the_installation_to_the_removal(box, tmp_path):
    it_is_installed(box)
    daemon, printer = Daemon(box), Printer(box, speed=50)
    it_prints(box, daemon, printer, head(400, tmp_path))
    its_entries_are_found_by_job_and_printer(box)
    it_reloads(box, daemon)
    requests_wait_for_a_daemon_that_was_killed(box, daemon)
    a_daemon_that_hangs_is_replaced(box, daemon)
    a_restart_is_told_from_a_stop(box, daemon)
    a_stop_leaves_a_cold_printer(box, daemon, printer)
    a_broken_installation_ends_in_safe_off(box, daemon, printer)
    it_is_removed(box)


def it_is_installed(box):
    systemd_box.configure(box)
    said = systemd_box.install(box)
    assert "nozzled is installed" in said
    assert box.show("nozzled.service", "ActiveState") == "active", "a printer that is not there keeps nobody waiting"
    assert box.run("systemctl", "is-enabled", "nozzled.service", "nozzled.socket").split() == ["enabled"] * 2
    assert "/run/printer/port" in box.run("cat", "/etc/nozzled.toml"), "what is configured is kept"
    assert box.run("nozzled", "--version").startswith("nozzled ")


def it_prints(box, daemon, printer, part):
    daemon.print_file(part.name, part.read_bytes())
    assert daemon.state != "Operational"
    box.until(lambda: daemon.state == "Operational", "the print's end", seconds=300)
    assert printer.printed() == commands_of(part)
    box.until(lambda: "part.gcode is printed" in box.show("nozzled.service", "StatusText"), "the status")


def its_entries_are_found_by_job_and_printer(box):
    entries = box.journal("-t", "nozzled", "JOB_ID=1", "-o", "cat")
    assert "job.ended" in entries
    assert "outcome='COMPLETED'" in entries
    assert "job.ended" in box.journal("PRINTER=serial:/run/printer/port", "-o", "cat")


def it_reloads(box, daemon):
    pid = box.main_pid("nozzled.service")
    box.shell("printf '[appearance]\\nname = \"Kitchen\"\\n[http]\\nport = 1\\n' >>/etc/nozzled.toml")
    box.run("systemctl", "reload", "nozzled.service")
    assert box.main_pid("nozzled.service") == pid
    said = box.journal("-u", "nozzled", "-o", "cat")
    assert "config.reloaded sections=['appearance']" in said
    assert "config.needs_restart sections=['http']" in said
    assert daemon.state == "Operational"


def kill(box, number):
    """Signal the daemon; return its process."""
    pid = box.main_pid("nozzled.service")
    box.run("kill", f"-{int(number)}", str(pid))
    return pid


def until_another_runs(box, pid):
    box.until(
        lambda: (
            box.main_pid("nozzled.service") not in (0, pid) and box.show("nozzled.service", "ActiveState") == "active"
        ),
        "systemd to start another daemon",
    )


def requests_wait_for_a_daemon_that_was_killed(box, daemon):
    pid = kill(box, signal.SIGKILL)
    assert daemon.get("/api/version")["api"], "the request waits in the socket, which systemd holds"
    until_another_runs(box, pid)
    box.until(lambda: daemon.state == "Operational", "the printer")


def a_daemon_that_hangs_is_replaced(box, daemon):
    pid = kill(box, signal.SIGSTOP)
    until_another_runs(box, pid)
    assert "Watchdog timeout" in box.journal("-u", "nozzled", "-o", "cat")
    box.until(lambda: daemon.state == "Operational", "the printer")


def a_restart_is_told_from_a_stop(box, daemon):
    box.run("systemctl", "restart", "nozzled.service")
    assert "service.stopping systemd_job='restart'" in box.journal("-u", "nozzled", "-o", "cat")
    box.until(lambda: daemon.state == "Operational", "the printer")


def a_stop_leaves_a_cold_printer(box, daemon, printer):
    daemon.post("/api/printer/tool", {"command": "target", "targets": {"tool0": 200}})
    box.until(lambda: any(said.startswith("M104") and "200" in said for said in printer.accepted()), "heat")
    box.run("systemctl", "stop", "nozzled.socket", "nozzled.service")
    box.until(lambda: printer.accepted()[-2:] == ["M104 S0", "M140 S0"], "heaters off")
    assert "service.stopping systemd_job='stop'" in box.journal("-u", "nozzled", "-o", "cat")
    assert box.show("nozzled.service", "Result") == "success"


def a_broken_installation_ends_in_safe_off(box, daemon, printer):
    box.run("systemctl", "start", "nozzled.socket", "nozzled.service")
    box.until(lambda: daemon.state == "Operational", "the printer")
    daemon.post("/api/printer/tool", {"command": "target", "targets": {"tool0": 200}})
    box.until(lambda: any("200" in said for said in printer.accepted()[-5:]), "heat")
    box.shell(f"rm {PACKAGE}/app.py")
    kill(box, signal.SIGKILL)
    box.until(lambda: "M112" in printer.accepted(), "the helper")
    assert box.show("nozzled.service", "ActiveState") == "failed"
    helper = "nozzled-safe-off@nozzled.service"
    box.until(lambda: box.show(helper, "ActiveState") == "inactive", "the helper's end")
    assert "the printer has stopped, its heaters are off" in box.journal("-u", helper, "-o", "cat")
    assert box.show(helper, "Result") == "success"


def it_is_removed(box):
    box.run(SHARED / "checkout/systemd/uninstall")
    left = box.shell("ls -d /opt/nozzled /usr/local/bin/nozzled /etc/systemd/system/nozzled*.s* 2>/dev/null || true")
    assert [path for path in left.split() if not path.endswith(".d")] == []
    assert box.shell("ls /etc/nozzled.toml /var/lib/nozzled/nozzled.db").count("\n") == 1, "these are kept"
