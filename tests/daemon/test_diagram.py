from pathlib import Path

from daemon.bridge.words import JobState
from daemon.core.job.diagram import draw
from daemon.core.job.states import TRANSITIONS

PAGE = Path(__file__).parents[2] / "docs" / "job-states.md"


def test_the_docs_show_the_diagram_of_the_table():
    assert PAGE.read_text("utf-8") == draw(), "run `make docs`"


def test_every_state_and_step_is_drawn():
    page = draw()
    for trigger, sources, target in TRANSITIONS:
        for source in sources:
            assert f"    {source.name} --> {target.name} : {trigger}\n" in page
            assert f"| {source.name} | {trigger} | {target.name} |\n" in page
    for state in JobState:
        assert (f"    {state.name} --> [*]\n" in page) == state.ended
