import pytest

from gcode import dialect
from gcode.unknown import LOSSES, losses, unknown_to


def test_a_reported_capability_overrides_the_known_ones():
    assert "M141" in unknown_to(dialect.PRUSA, {})
    assert "M141" not in unknown_to(dialect.PRUSA, {"CHAMBER_TEMPERATURE": True})
    assert "M141" not in unknown_to(dialect.MARLIN, {})
    assert {"M141", "M191", "G2", "G3"} <= unknown_to(dialect.MARLIN, {"CHAMBER_TEMPERATURE": False, "ARCS": False})
    assert unknown_to(dialect.UNKNOWN, {}) == frozenset()


def test_only_unknown_commands_that_matter_are_reported():
    words = ["M73", "M600", "G1", "M900", "M104", "M600"]
    assert list(losses(words, dialect.SPRINTER, {})) == ["M600"]
    assert losses(words, dialect.KLIPPER, {}) == {}
    assert losses(words, dialect.MARLIN, {}) == {}
    assert list(losses(["G2", "M107", "M117"], dialect.TEACUP, {})) == ["G2", "M107"]


@pytest.mark.parametrize("each", [*dialect.DIALECTS, dialect.UNKNOWN], ids=lambda each: each.name)
def test_commands_of_every_print_are_known_to_all_firmwares(each):
    assert not each.unknown_words & {"G0", "G1", "G4", "G28", "G90", "G91", "G92", "M82", "M83", "M104", "M105", "M140"}
    assert all(word[0] in "GM" for word in [*each.unknown_words, *LOSSES])
