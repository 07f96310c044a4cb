import pytest

from gcode import dialect
from gcode.dialect import recognise


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Marlin bugfix-2.0.x (Jun  5 2021 12:00:00)", dialect.MARLIN),
        ("Prusa-Firmware 3.14.0 based on Marlin", dialect.PRUSA),
        ("Repetier_1.0.4", dialect.REPETIER),
        ("Smoothieware", dialect.SMOOTHIE),
        ("RepRapFirmware for Duet 2", dialect.REPRAPFIRMWARE),
        ("Teacup", dialect.TEACUP),
        ("Klipper", dialect.KLIPPER),
        ("MARLIN", dialect.MARLIN),
        ("something new", dialect.UNKNOWN),
        ("", dialect.UNKNOWN),
    ],
)
def test_a_firmware_is_recognised_by_its_name(name, expected):
    assert recognise(name) is expected


def test_a_stranger_gets_what_is_safe_everywhere():
    assert dialect.UNKNOWN.window_lines == 1
    assert dialect.UNKNOWN.numbered


def test_marlins_window_is_its_buffers():
    assert (dialect.MARLIN.window_lines, dialect.MARLIN.window_bytes) == (4, 127)
