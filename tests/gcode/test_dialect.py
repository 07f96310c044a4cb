from pathlib import Path

import pytest

from gcode import dialect
from gcode.dialect import recognise
from support.firmware_table import HEAT, LINES, STOPS, table

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Marlin bugfix-2.0.x (Jun  5 2021 12:00:00)", dialect.MARLIN),
        ("Marlin V1; Sprinter/grbl mashup for gen6", dialect.MARLIN_1_0),
        ("Marlin Ultimaker2; Sprinter/grbl mashup for gen6", dialect.MARLIN_1_0),
        ("Sprinter", dialect.SPRINTER),
        ("Marlin 1.1.9 (Github)", dialect.MARLIN_1_1),
        ("Prusa-Firmware-Buddy 6.2.0+8875 (Github)", dialect.PRUSA_BUDDY),
        ("Prusa-Firmware 3.14.0 based on Marlin", dialect.PRUSA),
        ("Repetier_1.0.4", dialect.REPETIER),
        ("Smoothieware", dialect.SMOOTHIE),
        ("RepRapFirmware for Duet 2", dialect.REPRAPFIRMWARE),
        ("Teacup", dialect.TEACUP),
        ("Klipper", dialect.KLIPPER),
        ("Kalico", dialect.KLIPPER),
        ("ANET_A8_20160909", dialect.REPETIER),
        ("Marlin Ver 1.0.1", dialect.MARLIN),
        ("Marlin V1.0.2; Sprinter/grbl mashup for gen6", dialect.MARLIN_1_0),
        ("MARLIN", dialect.MARLIN),
        ("Malyan", dialect.MALYAN),
        ("something new", dialect.UNKNOWN),
        ("", dialect.UNKNOWN),
    ],
)
def test_a_firmware_is_recognised_by_its_name(name, expected):
    assert recognise(name) is expected


@pytest.mark.parametrize(
    ("banner", "expected"),
    [
        (["start", "PowerUp", "Marlin bugfix-2.0.x", "", "echo: Last Updated: 2021-06-05"], dialect.MARLIN),
        (["start", "echo:Marlin 1.1.9", "echo: Last Updated: 2018-07-31"], dialect.MARLIN_1_1),
        (["start", "echo:Marlin 1.0.2"], dialect.MARLIN_1_0),
        (["start", "echo: 3.9.0-3421", "echo: Last Updated: Jun 30 2020 | Author: (none, Marlin)"], dialect.PRUSA),
        (["echo: 3.13.0-RC1-6800"], dialect.PRUSA),
        (["start", "Info:External Reset", "Repetier_1.0.4"], dialect.REPETIER),
        (["Smoothie", "ok"], dialect.SMOOTHIE),
        (["RepRapFirmware for Duet 2 is up and running."], dialect.REPRAPFIRMWARE),
        (["// Klipper state: Ready"], dialect.KLIPPER),
        (["start"], dialect.UNKNOWN),
        (["echo: fork of Marlin", "echo:M92 X80"], dialect.UNKNOWN),
        ([], dialect.UNKNOWN),
    ],
)
def test_the_banner_identifies_a_firmware_without_a_name_in_m115(banner, expected):
    assert recognise("", banner) is expected
    assert recognise("something new", banner) is expected


def test_m115_overrides_the_banner():
    assert recognise("Klipper", ["Marlin 2.0"]) is dialect.KLIPPER


def test_an_unknown_firmware_gets_the_safe_dialect():
    assert dialect.UNKNOWN.window_lines == 1
    assert dialect.UNKNOWN.counts_lines


def test_the_window_of_marlin_is_that_of_its_buffers():
    assert (dialect.MARLIN.window_lines, dialect.MARLIN.window_bytes) == (4, 127)


def test_one_line_is_in_flight_if_oks_of_moves_overtake_others():
    for each in dialect.DIALECTS:
        assert each.ok_at == each.moves_ok_at == "execution" or each.window_lines == 1


@pytest.mark.parametrize("each", [*dialect.DIALECTS, dialect.UNKNOWN], ids=lambda each: each.name)
@pytest.mark.parametrize("last", [0, 1, 57598, 65535, 65536, 999_999])
def test_the_impossible_number_is_neither_next_nor_a_repeat(each, last):
    modulo, number = each.counting.modulo or 10**9, each.impossible_number(last)
    assert number % modulo != (last + 1) % modulo
    assert (last - number) % modulo >= each.counting.repeats
    assert number < 2**31, "no counter overflows"


def test_the_room_for_a_command_shrinks_with_the_digits_of_its_number():
    assert dialect.MARLIN.longest_command == dialect.MARLIN.room(999_999) == 83
    assert dialect.MARLIN.room(1_000_000) == 82
    assert dialect.TEACUP.room(5) == 95
    assert dialect.KLIPPER.room(5) > 4000


@pytest.mark.parametrize("columns", [LINES, HEAT, STOPS], ids=["lines", "heat", "stops"])
def test_the_docs_of_firmwares_match_the_data(columns):
    assert table(columns) in (ROOT / "docs/firmware.md").read_text("utf-8")
