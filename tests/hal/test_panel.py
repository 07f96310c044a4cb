import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcode.replies import HostAction, SdProgress, parse
from hal.panel import IDLE_REPORTS, MAX_CHOICES, MAX_TEXT, Panel
from hal.printer import PanelPrint, Prompt

BEGUN = ["echo:Now fresh file: CUBE.GCO", "File opened: CUBE.GCO Size: 5000", "File selected"]


def note(panel, *lines, by_host=False):
    """Tell the panel lines; return for each whether a print began or ended by it."""
    return [panel.note(parse(line.encode()), by_host=by_host) for line in lines]


def act(panel, *actions):
    for action in actions:
        panel.note_action(parse(f"//action:{action}".encode()))


# -- a print from the SD card --------------------------------------------------------------------------------


def test_a_file_selected_at_the_panel_is_a_print():
    panel = Panel()
    assert note(panel, *BEGUN) == [False, False, True]
    assert panel.print == PanelPrint("CUBE.GCO", 0, 5000)
    assert note(panel, "SD printing byte 1200/5000") == [False]
    assert panel.print == PanelPrint("CUBE.GCO", 1200, 5000)
    assert note(panel, "Done printing file", "Done printing file") == [True, False]
    assert panel.print is None


def test_a_file_selected_by_the_host_is_no_print_until_it_begins():
    panel = Panel()
    assert note(panel, *BEGUN, "Not SD printing", by_host=True) == [False] * 4
    assert panel.print is None
    assert note(panel, "SD printing byte 10/5000", by_host=True) == [True]
    assert panel.print == PanelPrint("CUBE.GCO", 10, 5000)


def test_a_print_that_began_before_the_connection_has_no_name():
    panel = Panel()
    assert note(panel, "SD printing byte 10/777") == [True]
    assert panel.print == PanelPrint(None, 10, 777)


def test_the_name_of_another_file_is_ignored():
    panel = Panel()
    note(panel, *BEGUN[:2], "SD printing byte 10/777")
    assert panel.print == PanelPrint(None, 10, 777)


def test_a_file_in_a_folder_goes_by_its_own_name():
    panel = Panel()
    note(panel, "File opened: /PARTS/CUBE.GCO Size: 5000", "File selected")
    assert panel.print == PanelPrint("CUBE.GCO", 0, 5000)


def test_byte_0_of_0_is_no_print():
    assert note(Panel(), "SD printing byte 0/0", "File selected", "Not SD printing") == [False] * 3


def test_only_three_successive_idle_reports_end_a_print():
    panel = Panel()
    note(panel, *BEGUN)
    assert note(panel, *["Not SD printing"] * (IDLE_REPORTS - 1), "SD printing byte 1/5000") == [False] * IDLE_REPORTS
    assert note(panel, *["Not SD printing"] * IDLE_REPORTS) == [False] * (IDLE_REPORTS - 1) + [True]
    assert panel.print is None


def test_a_print_ends_if_the_firmware_lacks_m27():
    panel = Panel()
    note(panel, *BEGUN)
    assert note(panel, 'echo:Unknown command: "M17"', 'echo:Unknown command: "M27"') == [False, True]


@given(st.lists(st.sampled_from([*BEGUN, "SD printing byte 7/5000", "Not SD printing", "Done printing file"])))
def test_every_start_and_end_is_published_once(lines):
    panel, changes = Panel(), []
    for line in lines:
        before = panel.print is not None
        changed = note(panel, line)[0]
        assert changed == (before != (panel.print is not None))
        changes += [panel.print is not None] if changed else []
    assert changes == [at % 2 == 0 for at in range(len(changes))]


def test_a_place_at_the_end_of_the_file_begins_no_print():
    panel = Panel()
    assert note(panel, "SD printing byte 3000/3000") == [False]
    assert note(panel, "SD printing byte 2999/3000", "SD printing byte 3000/3000") == [True, False]
    assert panel.print is not None


def test_a_forgotten_print_counts_again_when_its_place_changes():
    panel = Panel()
    assert not panel.forget_print()
    assert note(panel, "SD printing byte 2999/3000") == [True]
    assert panel.forget_print()
    assert panel.has_forgotten_print
    assert note(panel, "SD printing byte 2999/3000", "SD printing byte 3/3000") == [False, True]
    assert not panel.has_forgotten_print


@pytest.mark.parametrize("lines", [["Not SD printing"] * IDLE_REPORTS, ["Done printing file"]])
def test_a_forgotten_print_that_is_over_is_not_waited_for(lines):
    panel = Panel()
    note(panel, "SD printing byte 2999/3000")
    panel.forget_print()
    assert note(panel, *lines) == [False] * len(lines)
    assert not panel.has_forgotten_print


def test_a_file_at_its_beginning_is_no_print_beside_a_forgotten_one():
    panel = Panel()
    note(panel, "SD printing byte 2999/3000")
    panel.forget_print()
    assert note(panel, "SD printing byte 0/5000", "SD printing byte 41/5000") == [False, True]


def test_a_print_that_stays_at_its_end_is_over():
    panel = Panel()
    note(panel, "SD printing byte 2999/3000")
    at_end = ["SD printing byte 3000/3000"] * (IDLE_REPORTS + 2)
    assert note(panel, *at_end) == [False] * IDLE_REPORTS + [True, False]
    assert panel.print is None


def test_a_paused_print_is_one():
    panel = Panel()
    assert note(panel, "SD print paused") == [True]
    assert panel.print == PanelPrint(None, 0, 0, is_paused=True)
    note(panel, "SD printing byte 41/5000", *["SD print paused"] * 5)
    assert panel.print == PanelPrint(None, 41, 5000, is_paused=True)
    note(panel, "SD printing byte 41/5000")
    assert panel.print == PanelPrint(None, 41, 5000)


# -- messages and prompts ------------------------------------------------------------------------------------


def test_the_last_message_is_kept():
    panel = Panel()
    act(panel, "notification Heating...", "pause", "notification Bed Level 3/9")
    assert panel.message == "Bed Level 3/9"


def test_a_prompt_lasts_from_show_to_end():
    panel = Panel()
    act(panel, "prompt_begin Filament runout", "prompt_button Continue", "prompt_choice Cancel")
    assert panel.prompt is None
    act(panel, "prompt_show")
    assert panel.prompt == Prompt("Filament runout", ("Continue", "Cancel"), ("", ""))
    assert panel.prompt.command(1) == "M876 S1"
    act(panel, "prompt_end")
    assert panel.prompt is None


def test_klippers_prompt_has_a_command_for_each_answer():
    panel = Panel()
    act(panel, "prompt_begin Runout", "prompt_text Load filament", "prompt_button Load|LOAD_FILAMENT|info",
          "prompt_button RESUME||primary", "prompt_footer_button Cancel|CANCEL_PRINT", "prompt_show")  # fmt: skip
    prompt = panel.prompt
    assert (prompt.text, prompt.choices) == ("Runout: Load filament", ("Load", "RESUME", "Cancel"))
    assert [prompt.command(n) for n in range(4)] == ["LOAD_FILAMENT", "RESUME", "CANCEL_PRINT", "M876 S3"]


def test_a_new_prompt_replaces_the_old_one():
    panel = Panel()
    act(panel, "prompt_begin One", "prompt_show", "prompt_begin Two")
    assert panel.prompt is None
    act(panel, "prompt_show")
    assert panel.prompt == Prompt("Two")


@pytest.mark.parametrize("action", ["prompt_button Yes", "prompt_choice Yes", "prompt_show"])
def test_a_part_without_a_prompt_is_ignored(action):
    panel = Panel()
    act(panel, action, "prompt_show")
    assert panel.prompt is None


def test_messages_and_prompts_are_bounded():
    panel, long = Panel(), "x" * 4000
    act(panel, f"notification {long}", f"prompt_begin {long}", *[f"prompt_button {long}"] * 99, "prompt_show")
    assert len(panel.message) == len(panel.prompt.text) == MAX_TEXT
    assert [len(choice) for choice in panel.prompt.choices] == [MAX_TEXT] * MAX_CHOICES
    note(panel, f"File opened: {long} Size: 5", "File selected")
    assert len(panel.print.name) == MAX_TEXT


@given(st.text(), st.text(), st.integers(), st.integers())
def test_any_text_is_accepted(name, argument, position, total):
    panel = Panel()
    panel.note_action(HostAction("", name, argument))
    panel.note(SdProgress("", position, total), by_host=False)
