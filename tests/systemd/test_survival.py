"""A print on a real systemd goes on whatever becomes of its daemon: every line once, and the line is never hung up."""

import re
import signal
import zipfile

import pytest

from support import systemd_box
from support.processes import cannot_run, commands_of, head
from support.systemd_box import Daemon, Printer

LINES = 3000  # several times as many as are printed while there is something to be done to the daemon
SPEED = 8
UNLIMITED = """\
# kills follow each other as soon as the print goes on; the unit allows ten starts in 30 s
[Unit]
StartLimitIntervalSec=0
"""
SLOW, FAST = "M220 S20", "M220 S999"  # the print lasts as long as there is something to be done to its daemon


@pytest.fixture
def box(tmp_path):
    try:
        with systemd_box.booted(tmp_path / "box") as box:
            systemd_box.bring_checkout(box)
            yield box
    except systemd_box.CannotRun as error:
        cannot_run(str(error))


@pytest.mark.slowest
@pytest.mark.timeout(900)
def test_one_print_over_20_kills_a_hang_a_restart_and_an_upgrade(box, tmp_path):
    systemd_box.configure(box, unit=UNLIMITED)
    systemd_box.install(box)
    # a line that was let go of, and opened anew, would reset this board
    daemon, printer = Daemon(box), Printer(box, SPEED, resets=True)
    part = head(LINES, tmp_path)
    daemon.print_file(part.name, part.read_bytes())
    box.until(lambda: len(printer.accepted()) > 100, "the print to be under way", seconds=300)
    daemon.post("/api/printer/command", {"command": SLOW})
    for number in range(20):
        replaced(box, daemon, printer, f"SIGKILL {number}", lambda: kill(box, signal.SIGKILL))
    replaced(box, daemon, printer, "SIGSTOP", lambda: kill(box, signal.SIGSTOP))
    replaced(box, daemon, printer, "restart", lambda: box.run("systemctl", "restart", "nozzled.service"))
    replaced(box, daemon, printer, "upgrade", lambda: upgrade(box))
    daemon.post("/api/printer/command", {"command": FAST})
    box.until(lambda: daemon.state == "Operational", "the print's end", seconds=300)
    assert printer.printed() == commands_of(part)
    [ended] = box.journal("-t", "nozzled", "NOZZLED_EVENT=job.ended", "-o", "cat").splitlines()
    assert "outcome='COMPLETED'" in ended
    assert "+upgraded" in box.run("nozzled", "--version")


def kill(box, number):
    box.run("kill", f"-{int(number)}", str(box.main_pid("nozzled.service")))


def replaced(box, daemon, printer, what, do):
    """Have the daemon replaced by another one, with which the print goes on."""
    pid = box.main_pid("nozzled.service")
    do()
    box.until(lambda: box.main_pid("nozzled.service") not in (0, pid), f"another daemon after {what}")
    box.until(lambda: daemon.state == "Printing", f"the print to go on after {what}")
    there = len(printer.accepted())
    box.until(lambda: len(printer.accepted()) > there + 5, f"lines after {what}")


def upgrade(box):
    """Install the same with another version from a folder of wheels."""
    [wheel] = (box.folder / "wheels").glob("nozzled-*.whl")
    newer = wheel.with_name(re.sub(r"-(\d[^-]*)-", r"-\1+upgraded-", wheel.name))
    version = wheel.name.split("-")[1]
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(newer, "w") as new:
        for name in old.namelist():
            if name.endswith("RECORD"):
                continue  # pip takes one without hashes too; written anew below
            data = old.read(name)
            if name.endswith((".dist-info/METADATA", "daemon/__init__.py")):
                data = data.replace(version.encode(), f"{version}+upgraded".encode())
            new.writestr(name.replace(f"nozzled-{version}.dist-info", f"nozzled-{version}+upgraded.dist-info"), data)
        record = "".join(f"{name},,\n" for name in [*new.namelist(), f"nozzled-{version}+upgraded.dist-info/RECORD"])
        new.writestr(f"nozzled-{version}+upgraded.dist-info/RECORD", record)
    wheel.unlink()
    systemd_box.install(box)
