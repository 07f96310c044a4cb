"""The printer under test: a simulated one in memory or behind a pty, or with `--printer` a real one."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hal import registry
from hal.simulated.firmware import Firmware
from hal.simulated.oracle import Oracle
from hal.simulated.personalities import FIRMWARES
from hal.testing.device import Device, PortDevice, SimulatedDevice
from hal.testing.plugin import DEVICE

_BY_M118 = (  # texts are left out for a firmware without M118, so no line and no answer can be marked
    "test_simultaneous_commands_get_their_own_answers_in_order",
    "test_an_urgent_command_is_answered_like_any_other",
    "test_cancelling_one_wait_does_not_affect_other_answers",
    "test_commands_go_out_between_the_lines_of_a_job_in_order",
    "test_a_submitted_command_goes_out_before_a_later_one",
    "test_traffic_is_counted_and_recorded",
    "test_a_job_held_in_the_middle_is_acknowledged_waits_and_continues",
)
CANNOT = {
    **{(name, test): f"{name} knows no M118" for name in ("teacup", "marlin1.0") for test in _BY_M118},
    ("teacup", "test_an_unknown_command_is_reported_and_harmless"): "Teacup tells the code's lowest eight bits only",
    (
        "smoothie",
        "test_an_unknown_command_is_reported_and_harmless",
    ): "Smoothieware says ok to whatever it does not know",
    ("teacup", "test_m109_is_answered_when_the_hotend_is_warm"): "Teacup knows no M109",
    ("teacup", "test_m400_is_answered_when_the_moves_are_done"): "Teacup knows no M400",
}
"""Tests that a firmware cannot pass, whatever the host does."""

PTY_SPEED = 50.0
OTHERS = tuple(name for name in FIRMWARES if name != "marlin")
VIRTUAL = ("memory", *OTHERS)  # on the virtual clock
SIMULATED = (*VIRTUAL, "pty")


class PtyDevice(PortDevice):
    """The simulated printer in a separate process, behind a pty; opening the port does not reset it."""

    speed = PTY_SPEED

    def __init__(self, port: Path, oracle: Path) -> None:
        super().__init__(registry.parse(f"serial:{port}"))
        self.restart_reason = ""
        self._oracle = oracle
        self._before = len(oracle.read_text().splitlines())  # what other tests have sent

    def accepted(self) -> list[str]:
        return [json.loads(line)["command"] for line in self._oracle.read_text().splitlines()[self._before :]]


@pytest.fixture(scope="module")
def pty_printer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """One printer for the tests of a module, as with a real one: its port, and what it has accepted."""
    folder = tmp_path_factory.mktemp("pty")
    port, oracle = folder / "printer", folder / "oracle.jsonl"
    program = [sys.executable, "-m", "hal.simulated", "--pty", str(port), "--oracle", str(oracle)]
    options = ["--speed", str(PTY_SPEED), "--no-reset-on-open"]
    with subprocess.Popen([*program, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            assert "->" in line, "the simulated printer did not start"
            yield port, oracle
        finally:
            process.terminate()
    assert process.returncode == 0


def _device(request: pytest.FixtureRequest) -> Device:
    name = request.param
    if name == "memory":
        return SimulatedDevice(Firmware(oracle=Oracle(keep=None)))
    if name == "pty":
        return PtyDevice(*request.getfixturevalue("pty_printer"))
    if name in FIRMWARES:
        return SimulatedDevice(Firmware(FIRMWARES[name], Oracle(keep=None)))
    return PortDevice(registry.parse(name))


@pytest.fixture
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    """The printer under test; its heaters are off at the end, or the test fails."""
    if request.param not in SIMULATED:
        _skip_what_is_not_allowed(request)
    device = _device(request)
    request.node.stash[DEVICE] = device
    yield device
    device.run(device.turn_heaters_off())


def _skip_what_is_not_allowed(request: pytest.FixtureRequest) -> None:
    node, config, address = request.node, request.config, request.param
    if node.get_closest_marker("heats") and not config.getoption("allow_heat"):
        pytest.skip(f"NOT TESTED on {address}: it heats; allow that with --allow-heat")
    if node.get_closest_marker("moves") and not config.getoption("allow_motion"):
        pytest.skip(f"NOT TESTED on {address}: it moves; allow that with --allow-motion")
    if node.get_closest_marker("port") and not address.startswith("serial:"):
        pytest.skip(f"NOT TESTED on {address}: it is not a serial port")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "port: about serial ports, so not for the simulated printer in memory")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test on a simulated printer of each firmware, or on the chosen printer."""
    if "device" not in metafunc.fixturenames:
        return
    names = [metafunc.config.getoption("printer")] if metafunc.config.getoption("printer") else list(SIMULATED)
    if metafunc.definition.get_closest_marker("port"):
        names = [name for name in names if name not in VIRTUAL]
    names = [name for name in names if (name, metafunc.definition.name) not in CANNOT]
    params = [pytest.param(name, marks=() if name in VIRTUAL else pytest.mark.real_time, id=name) for name in names]
    metafunc.parametrize("device", params, indirect=True)
