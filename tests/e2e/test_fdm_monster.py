"""FDM Monster, unmodified, has one job in its history for each print of a real daemon."""

import time

import pytest

from support.fdm_monster import COMPILING, STARTING, fdm_monster
from support.foreign import INSTALLING
from support.processes import until

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(INSTALLING + 2 * COMPILING + STARTING + 300)]

LIFETIME = 300.0  # seconds of both programs; the prints take one minute
PRINTING = 90.0  # seconds, of one print
SETTLING = 4.0  # seconds in which it may count a print twice, as it could at each message on its socket


def moves(count):
    return b"G28\nM83\n" + b"".join(b"G1 X%d F3000\n" % (n % 2 * 100) for n in range(count))


def test_its_history_has_one_job_for_each_print(processes, tmp_path, monkeypatch):
    monkeypatch.setattr("support.processes.LIFETIME", LIFETIME)
    with fdm_monster(tmp_path) as farm:
        daemon = processes.daemon("--printer", "sim?speed=4", key="none, so that it makes the first one")
        url = "http://{}:{}".format(*daemon.address)
        first = (daemon.folder / "api-key").read_text().strip()

        def text():
            return daemon.request("GET", "/api/job", headers={"X-Api-Key": first})[1]["state"]

        def reach(state):
            until(lambda: text() == state, state, PRINTING)

        def over(name):
            until(
                lambda: dict(farm.jobs()).get(name) not in (None, "PENDING", "PRINTING"),
                f"the end of {name}",
                PRINTING,
            )

        reach("Operational")
        farm.set_up()
        printer = farm.add_printer(url, first)
        until(lambda: farm.state(printer) == "Operational", "the printer on its socket", PRINTING)
        farm.upload_and_print(printer, "one.gcode", moves(20))
        over("one.gcode")
        reach("Operational")

        farm.upload_and_print(printer, "two.gcode", moves(60))
        reach("Printing")
        farm.ask("POST", f"/printer/{printer}/job/pause", {})
        reach("Paused")
        farm.ask("POST", f"/printer/{printer}/job/resume", {})
        over("two.gcode")
        reach("Operational")

        farm.upload_and_print(printer, "three.gcode", moves(300))
        reach("Printing")
        time.sleep(SETTLING)
        farm.ask("POST", f"/printer/{printer}/job/cancel", {})
        over("three.gcode")
        reach("Operational")
        time.sleep(SETTLING)
        # what was cancelled is a failure to it, as to OctoPrint
        assert farm.jobs() == [("one.gcode", "COMPLETED"), ("two.gcode", "COMPLETED"), ("three.gcode", "FAILED")]
