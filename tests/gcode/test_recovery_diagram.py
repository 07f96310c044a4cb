from pathlib import Path

from gcode.recovery import TRANSITIONS, Phase
from gcode.recovery_diagram import draw

PAGE = Path(__file__).parents[2] / "docs" / "link-states.md"


def test_the_docs_show_the_diagram_of_the_table():
    assert PAGE.read_text("utf-8") == draw(), "run `make docs`"


def test_every_phase_is_reached_and_left():
    targets = {target for _, _, target in TRANSITIONS}
    sources = {source for _, phases, _ in TRANSITIONS for source in phases}
    assert targets == sources == set(Phase)


def test_each_event_in_a_phase_has_one_outcome():
    steps = [(source, trigger) for trigger, phases, _ in TRANSITIONS for source in phases]
    assert len(steps) == len(set(steps))
