"""OctoPrint and printcore, each in its own environment, print intact on the simulated printer."""

import subprocess
from pathlib import Path

import pytest

from bench import hosts
from bench.prints import PrintFile
from support.processes import SimulatedPrinter, cannot_run, commands_of, head

PEERS_SH = Path(__file__).parents[2] / "bench" / "peers.sh"
INSTALLING = 900  # s; OctoPrint has some 60 dependencies
TIMEOUT = 80.0  # s for a print of some seconds; the simulated printer lives for 100 s

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(INSTALLING + 300)]


@pytest.fixture(scope="module")
def peers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("peers")
    (folder / "ports").mkdir()
    result = subprocess.run(
        ["/bin/sh", PEERS_SH, folder], capture_output=True, text=True, timeout=INSTALLING, check=False
    )
    if result.returncode:
        cannot_run(f"the other hosts cannot be installed: {result.stderr.strip()[-500:]}")
    return folder


@pytest.mark.parametrize("name", ["octoprint", "printcore"])
def test_another_host_prints_intact_on_the_simulated_printer(peers, tmp_path, name):
    part = head(800, tmp_path)
    host = hosts.octoprint(peers, tmp_path) if name == "octoprint" else hosts.printcore(peers)
    printer = SimulatedPrinter(tmp_path, 60, peers / "ports" / "printer")
    try:
        host.connect(printer.link, 115200, PrintFile(part, 0, "", 0.0))
        host.print_file(0.5, TIMEOUT)
        host.disconnect()
    finally:
        host.stop()
        printer.end()
        printer.link.unlink(missing_ok=True)
    expected = commands_of(part)
    assert len(expected) > 600
    own = set(expected)
    assert [command for command in printer.accepted() if command in own] == expected
