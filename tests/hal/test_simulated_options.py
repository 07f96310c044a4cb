"""Options of the simulated printer's address."""

import pytest

from hal import registry
from hal.errors import AddressError
from hal.simulated.backend import config_of
from hal.simulated.options import OPTIONS
from support.lone_printer import LonePrinter


def printer(options):
    board = LonePrinter(config_of(registry.parse(f"sim?{options}")))
    board.run(1.0)
    return board


def test_the_latency_applies_in_both_directions():
    board = printer("latency=100")
    board.firmware.receive(b"M105\n", board.now)
    [(at, answer)] = board.run(1.0)
    assert answer.startswith("ok T:")
    assert at - 2.0 == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("options", "command", "report"),
    [
        ("bed_max=100", "M140 S110", "B:25.00 /100.00"),
        ("hotend_max=260", "M104 S295", "T:25.00 /260.00"),
        ("whole_degrees=yes", "M104 S202.5", "T:25 /202"),
        ("whole_degrees=no", "M104 S202.5", "T:25.00 /202.50"),
        ("extruders=2&shared_nozzle=yes", "M104 T1 S200", "T:25.00 /200.00 B:25.00 /0.00 @"),
        ("extruders=2", "M104 T1 S200", "T:25.00 /0.00 B:25.00 /0.00 T0:25.00 /0.00 T1:25.00 /200.00"),
    ],
)
def test_a_report_shows_the_target_as_the_firmware_understood_it(options, command, report):
    board = printer(options)
    ambient = board.heat.bed.config.body.ambient
    board.send(command)
    assert report.replace("25.00", f"{ambient:.2f}").replace(":25 ", f":{ambient:.0f} ") in board.send("M105")[0]


def test_a_touch_screen_prints_for_the_configured_time():
    board = printer("touch_screen=200")
    board.run(20)
    assert board.heat.hotends[0].target == 210
    board.run(400)
    assert board.heat.hotends[0].target == 0


@pytest.mark.parametrize("name", OPTIONS)
def test_invalid_options_are_refused_with_the_allowed_ones(name):
    with pytest.raises(AddressError, match=f"{name} is 'often'; allowed: {OPTIONS[name].allowed}"):
        registry.check(f"sim?{name}=often")
