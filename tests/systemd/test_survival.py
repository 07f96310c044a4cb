"""A print on a real systemd survives its daemon: every line arrives once, and the connection stays open."""

import json
import os
import re
import sys
import zipfile
from pathlib import Path

import pytest

from support import kills, systemd_box
from support.processes import FAST, SLOW, commands_of, head
from support.systemd_box import SHARED, BoxDaemon, BoxPrinter

LINES = 3000  # several times as many as are printed while there is something to be done to the daemon
SPEED = 8
UNLIMITED = """\
# kills follow each other as soon as the print continues; the unit allows ten starts in 30 s
[Unit]
StartLimitIntervalSec=0
"""
OWN_KEY = """\
[Service]
LoadCredential=nozzled.api-key:/etc/nozzled/api-key
"""
SHORT_WATCHDOG = """\
[Service]
WatchdogSec=8
"""
KEY = "a-key-of-the-owner's-own"
OLD = Path(__file__).parents[1] / "data/systemd"
FRONT_KILLS, CORE_KILLS = (50, 20) if os.environ.get("NOZZLED_PROFILE") == "nightly" else (6, 6)


@pytest.mark.slowest
@pytest.mark.timeout(900)
def test_a_print_survives_kills_hangs_a_restart_and_an_upgrade(box, tmp_path, record_property):
    systemd_box.configure(box, unit=UNLIMITED + OWN_KEY, front=SHORT_WATCHDOG)
    box.shell(f"install -D -m 600 /dev/stdin /etc/nozzled/api-key <<'END'\n{KEY}\nEND")
    systemd_box.install(box)
    as_one_unit(box)
    # a port that is closed and reopened would reset this board
    daemon, printer = BoxDaemon(box, key=KEY), BoxPrinter(box, SPEED, resets=True)
    part = head(LINES, tmp_path)
    daemon.print_file(part.name, part.read_bytes())
    box.until(lambda: len(printer.accepted()) > 100, "the print to be under way", seconds=300)
    daemon.post("/api/printer/command", {"command": SLOW})
    replace_core(box, daemon, printer, "upgrade", lambda: upgrade(box))
    it_is_two_services_now(box)
    record_property("measured", kill_repeatedly(box, "front", FRONT_KILLS))
    record_property("measured", kill_repeatedly(box, "core", CORE_KILLS))
    replace_core(box, daemon, printer, "SIGSTOP", lambda: both_stand_still(box))
    replace_core(box, daemon, printer, "restart", lambda: box.run("systemctl", "restart", "nozzled.service"))
    assert len(printer.printed()) < len(commands_of(part)), "the print was too short for all that"
    daemon.post("/api/printer/command", {"command": FAST})
    box.until(lambda: daemon.state == "Operational", "the print's end", seconds=300)
    assert printer.printed() == commands_of(part)
    [ended] = box.journal("-t", "nozzled", "NOZZLED_EVENT=job.ended", "-o", "cat").splitlines()
    assert "outcome='COMPLETED'" in ended
    assert "+upgraded" in box.run("nozzled", "--version")


def as_one_unit(box):
    """Put the units in place that were installed when one process was core and front."""
    for name in ("nozzled.service", "nozzled.socket"):
        (box.folder / name).write_bytes((OLD / name).read_bytes())
    box.shell(
        "systemctl stop nozzled.socket nozzled.service nozzled-front.service; cd /etc/systemd/system;"
        f"rm -r nozzled-front*; cp {SHARED}/nozzled.service {SHARED}/nozzled.socket .; systemctl daemon-reload;"
        "systemctl start nozzled.socket nozzled.service"
    )


def it_is_two_services_now(box):
    assert " core " in box.run("ps", "-o", "args=", "-p", str(box.main_pid("nozzled.service")))
    assert " front " in box.run("ps", "-o", "args=", "-p", str(box.main_pid("nozzled-front.service")))


def kill_repeatedly(box, part, times):
    """Kill core or front; the other one's state stays the same, and lines continue.

    Return a sentence with the seconds until then.
    """
    (box.folder / "kills.py").write_bytes(Path(kills.__file__).read_bytes())
    command = ["/usr/bin/python3", "-I", SHARED / "kills.py", part, str(times), KEY, SHARED / "oracle.jsonl"]
    result = json.loads(box.run(*command, seconds=500))
    took = sorted(each["took"] for each in result)
    summary = f"{part} killed {times} times: back after {took[times // 2]:.2f} s, at most {took[-1]:.2f} s"
    if part == "core":
        summary += f"; the front answered within {max(each['answer'] for each in result):.2f} s"
    sys.stdout.write(f"{summary}\n")  # also where it fails
    assert [each for each in result if not each["same"]] == []
    return summary


def both_stand_still(box):
    front = box.main_pid("nozzled-front.service")
    box.run("kill", "-STOP", str(front), str(box.main_pid("nozzled.service")))
    box.until(lambda: box.main_pid("nozzled-front.service") not in (0, front), "another front")


def replace_core(box, daemon, printer, what, do):
    """Replace the core with a new one, which continues the print."""
    pid = box.main_pid("nozzled.service")
    do()
    box.until(lambda: box.main_pid("nozzled.service") not in (0, pid), f"another core after {what}")
    box.until(lambda: daemon.state == "Printing", f"the print to go on after {what}")
    count = len(printer.accepted())
    box.until(lambda: len(printer.accepted()) > count + 5, f"lines after {what}")


def upgrade(box):
    """Install the same with another version from a folder of wheels."""
    [wheel] = (box.folder / "wheels").glob("nozzled-*.whl")
    newer = wheel.with_name(re.sub(r"-(\d[^-]*)-", r"-\1+upgraded-", wheel.name))
    version = wheel.name.split("-")[1]
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(newer, "w") as new:
        for name in old.namelist():
            if name.endswith("RECORD"):
                continue  # pip accepts one without hashes; rewritten below
            data = old.read(name)
            if name.endswith((".dist-info/METADATA", "daemon/__init__.py")):
                data = data.replace(version.encode(), f"{version}+upgraded".encode())
            new.writestr(name.replace(f"nozzled-{version}.dist-info", f"nozzled-{version}+upgraded.dist-info"), data)
        record = "".join(f"{name},,\n" for name in [*new.namelist(), f"nozzled-{version}+upgraded.dist-info/RECORD"])
        new.writestr(f"nozzled-{version}+upgraded.dist-info/RECORD", record)
    wheel.unlink()
    output = systemd_box.install(box)
    assert re.search(r"nozzled.service: Printing part.gcode, \d+ %: the print continues in the new version", output), (
        output
    )
    assert "the settings for HTTP in /etc/systemd/system/nozzled.service.d are now in" in output
