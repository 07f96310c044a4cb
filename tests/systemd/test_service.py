"""The service on a real systemd: installed, started by a request, watched, reloaded, stopped, broken, removed.

One test, because an installation is expensive and each step continues from the previous one.
"""

import signal

import pytest

from support import systemd_box
from support.processes import commands_of, head
from support.systemd_box import SHARED, BoxDaemon, BoxPrinter

CORE, FRONT = "nozzled.service", "nozzled-front.service"
PACKAGE = "/opt/nozzled/current/lib/python3*/site-packages/daemon"


@pytest.mark.slowest
@pytest.mark.timeout(600)
def test_the_service_works_from_installation_to_removal(box, tmp_path):
    it_is_installed(box)
    daemon, printer = BoxDaemon(box), BoxPrinter(box, speed=50)
    part = head(400, tmp_path)
    it_prints(box, daemon, printer, part)
    it_analyses_what_was_uploaded(box, daemon, part.name)
    its_entries_are_found_by_job_and_printer(box)
    it_reloads(box, daemon)
    it_listens_as_configured_and_commands_find_it(box)
    requests_wait_for_a_front_that_was_killed(box, daemon)
    the_front_outlives_a_core_that_was_killed(box, daemon)
    a_core_that_hangs_is_replaced(box, daemon)
    a_restart_is_told_from_a_stop(box, daemon)
    one_of_several_has_a_front_of_its_own(box)
    the_installer_looks_first(box, daemon)
    a_stop_turns_the_heaters_off(box, daemon, printer)
    the_front_alone_says_that_nobody_has_the_printer(box, daemon)
    a_broken_installation_ends_in_safe_off(box, daemon, printer)
    it_is_removed(box)


def it_is_installed(box):
    systemd_box.configure(box)
    output = systemd_box.install(box)
    assert "nozzled is installed" in output
    key = box.run("cat", "/var/lib/nozzled/api-key")
    values = {name: output.partition(f"\n{name} ")[2].split()[0] for name in ("address", "key")}
    assert values == {"address": "http://127.0.0.1:5000/", "key": key}
    assert "http://127.0.0.1:5000/#pair=" in output
    assert box.show("nozzled.service", "ActiveState") == "active", "a missing printer does not delay the start"
    assert box.run("systemctl", "is-enabled", "nozzled.service", "nozzled.socket").split() == ["enabled"] * 2
    box.until(lambda: box.show(FRONT, "ActiveState") == "active", "the front, which the core brings along")
    mounted = box.run("cat", f"/proc/{box.main_pid(FRONT)}/mounts")
    assert "tmpfs /run tmpfs ro," in mounted, "the front writes to no logbook"
    assert " /run/nozzled " not in mounted
    assert " /run/nozzled tmpfs rw," in box.run("cat", f"/proc/{box.main_pid(CORE)}/mounts")
    assert "/run/printer/port" in box.run("cat", "/etc/nozzled.toml"), "what is configured is kept"
    assert box.run("nozzled", "--version").startswith("nozzled ")


def it_prints(box, daemon, printer, part):
    daemon.print_file(part.name, part.read_bytes())
    assert daemon.state != "Operational"
    box.until(lambda: daemon.state == "Operational", "the print's end", seconds=300)
    assert printer.printed() == commands_of(part)
    box.until(lambda: "part.gcode is printed" in box.show("nozzled.service", "StatusText"), "the status")


def it_analyses_what_was_uploaded(box, daemon, name):
    address = f"/api/files/local/{name}"
    box.until(lambda: "estimatedPrintTime" in daemon.get(address).get("gcodeAnalysis", {}), "the analysis")


def its_entries_are_found_by_job_and_printer(box):
    entries = box.journal("-t", "nozzled", "JOB_ID=1", "-o", "cat")
    assert "job.ended" in entries
    assert "outcome='COMPLETED'" in entries
    assert "part='core'" in entries
    assert "http.listening" in box.journal("-u", FRONT, "-t", "nozzled", "-o", "cat")
    assert "job.ended" in box.journal("PRINTER=serial:/run/printer/port", "-o", "cat")


def it_reloads(box, daemon):
    pids = box.main_pid(CORE), box.main_pid(FRONT)
    box.shell("printf '[appearance]\\nname = \"Kitchen\"\\n[http]\\nport = 1\\n' >>/etc/nozzled.toml")
    box.run("systemctl", "reload", "nozzled.service")
    assert (box.main_pid(CORE), box.main_pid(FRONT)) == pids
    log = box.journal("-u", "nozzled", "-o", "cat")
    assert "config.reloaded sections=['appearance']" in log
    assert "config.needs_restart sections=['http']" in log
    box.until(lambda: daemon.get("/api/settings")["appearance"]["name"] == "Kitchen", "the front to have read it too")
    assert daemon.state == "Operational"


def it_listens_as_configured_and_commands_find_it(box):
    box.shell("cp /etc/nozzled.toml /root/; sed -i 's/^port = 1$/host = \"0.0.0.0\"\\nport = 5005/' /etc/nozzled.toml")
    listen = "systemctl daemon-reload; systemctl restart nozzled.socket; systemctl show -p Listen nozzled.socket"
    assert box.shell(listen) == "Listen=0.0.0.0:5005 (Stream)"
    assert box.run("nozzled", "job", "status").startswith("state       Operational\n")
    assert "█" in box.run("nozzled", "pair", "--welcome"), "a phone can come now"
    someone = "setpriv --reuid=1000 --clear-groups nozzled"
    for words in ("key", "keys list", "job status"):
        assert f"sudo nozzled {words}" in box.shell(f"{someone} {words} 2>&1 || true")
    box.shell("sed '/^.http.$/,$d' /root/nozzled.toml >/etc/nozzled.toml")
    assert box.shell(listen) == "Listen=127.0.0.1:5000 (Stream)"


def kill(box, number, unit=CORE):
    """Signal a part of the daemon; return its process."""
    pid = box.main_pid(unit)
    box.run("kill", f"-{int(number)}", str(pid))
    return pid


def until_another_runs(box, pid, unit=CORE):
    box.until(
        lambda: box.main_pid(unit) not in (0, pid) and box.show(unit, "ActiveState") == "active",
        f"systemd to start another {unit}",
    )


def requests_wait_for_a_front_that_was_killed(box, daemon):
    core, pid = box.main_pid(CORE), kill(box, signal.SIGKILL, FRONT)
    assert daemon.get("/api/version")["api"], "the request waits in the socket, which systemd holds"
    until_another_runs(box, pid, FRONT)
    assert daemon.state == "Operational", "it knows at once what there is"
    assert box.main_pid(CORE) == core


def the_front_outlives_a_core_that_was_killed(box, daemon):
    front, pid = box.main_pid(FRONT), kill(box, signal.SIGKILL)
    until_another_runs(box, pid)
    box.until(lambda: daemon.state == "Operational", "the printer")
    assert box.main_pid(FRONT) == front


def a_core_that_hangs_is_replaced(box, daemon):
    pid = kill(box, signal.SIGSTOP)
    until_another_runs(box, pid)
    assert "Watchdog timeout" in box.journal("-u", "nozzled", "-o", "cat")
    box.until(lambda: daemon.state == "Operational", "the printer")


def a_restart_is_told_from_a_stop(box, daemon):
    front = box.main_pid(FRONT)
    box.run("systemctl", "restart", "nozzled.service")
    assert "service.stopping systemd_job='restart'" in box.journal("-u", "nozzled", "-o", "cat")
    until_another_runs(box, front, FRONT)
    box.until(lambda: daemon.state == "Operational", "the printer")


def a_stop_turns_the_heaters_off(box, daemon, printer):
    daemon.post("/api/printer/tool", {"command": "target", "targets": {"tool0": 200}})
    box.until(lambda: any(command.startswith("M104") and "200" in command for command in printer.accepted()), "heat")
    box.run("systemctl", "stop", "nozzled.socket", "nozzled.service")
    box.until(lambda: printer.accepted()[-2:] == ["M104 S0", "M140 S0"], "heaters off")
    assert "service.stopping systemd_job='stop'" in box.journal("-u", "nozzled", "-o", "cat")
    assert box.show("nozzled.service", "Result") == "success"
    box.until(lambda: box.show(FRONT, "ActiveState") == "inactive", "the front to be stopped too")
    assert box.show(FRONT, "Result") == "success"


def the_front_alone_says_that_nobody_has_the_printer(box, daemon):
    box.run("systemctl", "start", "nozzled.socket")
    job = daemon.get("/api/job")
    assert (job["state"], "is not running" in job["error"]) == ("Offline", True)
    assert box.show(CORE, "ActiveState") == "inactive", "a request does not open a port that was released"
    box.run("systemctl", "start", "nozzled.service")
    box.until(lambda: daemon.state == "Operational", "the core that has come")


def one_of_several_has_a_front_of_its_own(box):
    """This printer is named by its socket, as in ID_PATH, including colons."""
    name = "pci-0:1.2"
    core, front = f"nozzled@{name}.service", f"nozzled-front@{name}.service"
    box.shell(f"printf '[http]\\nport = 5001\\n' >/etc/nozzled/{name}.toml; systemctl start {core}")
    box.until(lambda: box.show(front, "ActiveState") == "active", "its front")
    other = BoxDaemon(box, "http://127.0.0.1:5001", box.run("cat", f"/var/lib/nozzled-{name}/api-key"))
    box.until(lambda: other.state == "Offline after error", "its core")
    assert f"/dev/printer/{name}" in other.get("/api/job")["error"]
    box.run("systemctl", "stop", core)
    box.until(lambda: box.show(front, "ActiveState") == "inactive", "its front to be stopped")
    assert box.shell("ls -d /run/nozzled*") == "/run/nozzled"


def the_installer_looks_first(box, daemon):
    """It is run alone here: an installation takes long."""
    look = [SHARED / "checkout/systemd/look-first", "/opt/nozzled/current/bin/nozzled"]
    assert box.run(*look) == "nozzled.service: no print is running"
    box.run("cp", "/etc/nozzled.toml", "/root/nozzled.toml")
    box.shell("printf '[job]\\non_stop = \"gently\"\\n' >/etc/nozzled.toml")
    with pytest.raises(systemd_box.Failed, match=r"this version cannot use /etc/nozzled\.toml; nothing was changed"):
        box.run(*look)
    box.shell("printf '[job]\\non_stop = \"safe\"\\n' >/etc/nozzled.toml")
    daemon.post("/api/printer/command", {"command": "M220 S10"})
    daemon.post("/api/files/local/part.gcode", {"command": "select"})
    daemon.post("/api/job", {"command": "start", "force": True})
    box.until(lambda: "part.gcode" in box.show(CORE, "StatusText"), "the status")
    with pytest.raises(systemd_box.Failed, match=r"part\.gcode.*: a restart would end the print"):
        box.run(*look)
    assert "the restart ends the print" in box.run(*look, "--end-print")
    assert "the print stays with the running version" in box.run(*look, "--no-start")
    box.run("cp", "/root/nozzled.toml", "/etc/nozzled.toml")
    assert "the print continues in the new version" in box.run(*look)
    daemon.post("/api/job", {"command": "cancel"})
    box.until(lambda: daemon.state == "Operational", "the end of the print")
    daemon.post("/api/printer/command", {"command": "M220 S100"})


def a_broken_installation_ends_in_safe_off(box, daemon, printer):
    daemon.post("/api/printer/tool", {"command": "target", "targets": {"tool0": 200}})
    box.until(lambda: any("200" in command for command in printer.accepted()[-5:]), "heat")
    box.shell(f"rm {PACKAGE}/core/main.py")
    kill(box, signal.SIGKILL)
    box.until(lambda: "M112" in printer.accepted(), "the helper")
    assert box.show("nozzled.service", "ActiveState") == "failed"
    helper = "nozzled-safe-off@nozzled.service"
    box.until(lambda: box.show(helper, "ActiveState") == "inactive", "the helper's end")
    assert "the printer has stopped, its heaters are off" in box.journal("-u", helper, "-o", "cat")
    assert box.show(helper, "Result") == "success"
    box.until(lambda: daemon.state == "Offline", "the front to tell of it")


def it_is_removed(box):
    box.run(SHARED / "checkout/systemd/uninstall")
    left = box.shell("ls -d /opt/nozzled /usr/local/bin/nozzled /etc/systemd/system/nozzled*.s* 2>/dev/null || true")
    assert [path for path in left.split() if not path.endswith(".d")] == []
    assert box.shell("ls /etc/nozzled.toml /var/lib/nozzled/nozzled.db").count("\n") == 1, "these are kept"
