"""Scenario files: accepted values, and the messages of refusals."""

import re
from pathlib import Path

import pytest

from hal.errors import AddressError, ScenarioError
from hal.registry import check
from hal.simulated.scenario import FOR_EVER, KINDS, Fault, Scenario, from_table, load


def written(tmp_path, text):
    path = tmp_path / "bad-cable.toml"
    path.write_text(text)
    return path


def test_a_file_becomes_faults(tmp_path):
    path = written(
        tmp_path,
        """
        [[fault]]
        what = "flip"
        probability = 0.001

        [[fault]]
        what = "unplug"
        time = 300
        seconds = 8
        """,
    )
    assert load(path) == Scenario((Fault("flip", probability=0.001), Fault("unplug", time=300, seconds=8)))


def test_an_empty_file_has_no_faults(tmp_path):
    assert not load(written(tmp_path, ""))


@pytest.mark.parametrize("what", KINDS)
def test_every_kind_can_be_written(what):
    settings = {"text": "hello"} if what == "text" else {}
    [fault] = from_table({"fault": [{"what": what, "line": 7, **settings}]}).faults
    assert fault.max_count == 1


def test_the_docs_list_every_kind_with_its_settings():
    page = (Path(__file__).parents[2] / "docs/simulator.md").read_text("utf-8")
    rows = re.findall(
        r"^\| `(\w+)` \| [^|]* \| (.*) \|$", page.partition("| `what` |")[2].partition("\n\n")[0], re.MULTILINE
    )
    assert dict(rows) == {what: settings_in_docs(kind) for what, kind in KINDS.items()}


def settings_in_docs(kind):
    seconds = "for ever" if kind.seconds == FOR_EVER else f"{kind.seconds:g}"
    return ", ".join(f"`{name}`" + (f" ({seconds})" if name == "seconds" else "") for name in kind.settings)


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ({"faults": []}, "unknown 'faults'; allowed: [[fault]] tables"),
        ({"fault": {"what": "flip"}}, "fault is {'what': 'flip'}; allowed: [[fault]] tables"),
        ({"fault": [{"line": 3}]}, "fault 1: what is missing; allowed: flip, drop,"),
        ({"fault": [{"what": "flop", "line": 3}]}, "fault 1: what is 'flop'; allowed: flip, drop,"),
        (
            {"fault": [{"what": "hang", "line": 3}, {"what": "flip", "lines": 3}]},
            "fault 2: unknown setting 'lines'; allowed: what, line,",
        ),
        (
            {"fault": [{"what": "flip"}]},
            "flip happens at no time; allowed: one of line, time, temperature, probability",
        ),
        (
            {"fault": [{"what": "flip", "line": 1, "time": 2}]},
            "flip happens at line and time; allowed: one of line, time,",
        ),
        ({"fault": [{"what": "flip", "line": -1}]}, "line is -1; allowed: a line number"),
        ({"fault": [{"what": "flip", "line": True}]}, "line is True; allowed: a line number"),
        ({"fault": [{"what": "flip", "probability": 2}]}, "probability is 2; allowed: a number above 0, at most 1"),
        ({"fault": [{"what": "hang", "time": "3"}]}, "time is '3'; allowed: seconds, 0 or more"),
        ({"fault": [{"what": "hang", "time": float("nan")}]}, "time is nan; allowed: seconds, 0 or more"),
        ({"fault": [{"what": "flip", "line": 1, "count": 0}]}, "count is 0; allowed: a whole number above 0"),
        (
            {"fault": [{"what": "flip", "line": 1, "direction": "up"}]},
            "direction is 'up'; allowed: to_printer, to_host",
        ),
        (
            {"fault": [{"what": "flip", "line": 1, "seconds": 2}]},
            "seconds is 2; allowed: nothing, flip takes direction",
        ),
        ({"fault": [{"what": "reset", "line": 1, "by": "hand"}]}, "by is 'hand'; allowed: dtr, power"),
        ({"fault": [{"what": "text", "line": 1}]}, "text is ''; allowed: the line to send"),
        ({"fault": [{"what": "text", "line": 1, "text": "a\nb"}]}, "text is 'a\\nb'; allowed: one line"),
    ],
)
def test_invalid_faults_are_refused_with_the_allowed_values(table, error):
    with pytest.raises(ScenarioError) as caught:
        from_table(table)
    assert error in str(caught.value)


def test_a_python_value_is_checked_as_a_file_is():
    with pytest.raises(ScenarioError, match="what is 'flop'; allowed: flip"):
        Fault("flop", line=3)


@pytest.mark.parametrize(
    ("text", "error"), [("[[fault", "not TOML: "), ('[[fault]]\nwhat = "flop"\nline = 1', "fault 1: what is 'flop'")]
)
def test_the_address_of_a_printer_names_a_bad_file(tmp_path, text, error):
    path = written(tmp_path, text)
    with pytest.raises(AddressError) as caught:
        check(f"sim?scenario={path}")
    assert f"scenario {path}: {error}" in str(caught.value)


def test_the_address_of_a_printer_names_a_missing_file(tmp_path):
    with pytest.raises(AddressError, match=r"none\.toml: No such file or directory"):
        check(f"sim?scenario={tmp_path}/none.toml")


def test_an_unknown_firmware_in_an_address_is_refused_with_the_known_ones():
    with pytest.raises(AddressError, match="firmware is 'merlin'; allowed: marlin, marlin-advok"):
        check("sim?firmware=merlin")
