"""The snapshot of a job is read as written, by earlier and later versions as well."""

import json
from dataclasses import replace

import pytest

from daemon.bridge.words import FileMark, JobState, Selection
from daemon.core.job.job_snapshot import NEEDED_KEYS, VERSION, Ending, JobSnapshot, dump, load, with_heaters_off
from daemon.core.job.parking import ParkedPosition
from gcode.modes import Modes

OF_0_1_0 = {
    "boot": "b1",
    "address": "serial:/dev/ttyACM0",
    "name": "Marlin 2.1",
    "uuid": "u1",
    "job": 7,
    "state": "PAUSING",
    "selection": {"path": "a/part.gcode", "name": "part.gcode", "size": 1000, "date": 5, "user": None},
    "first_line": 12,
    "file": {"path": "a/part.gcode", "size": 1000, "mtime_ns": 5, "inode": 9, "sha1": None},
    "started": 100.5,
    "paused_at": None,
    "paused_for": 3.0,
    "script": ["M117 a"],
    "step": 4,
    "begun": ["G91", 2],
    "said": [["M400", ["ok"]], ["M114", ["X:1 Y:2 Z:3 E:4", "ok"]]],
    "rest": {
        "axes": {"X": 1.0, "Y": 2.0, "Z": 3.0, "E": 4.0},
        "modes": {
            "relative": False,
            "relative_e": True,
            "inches": False,
            "feedrate": "F3000",
            "tool": 1,
            "fan": 255,
            "homed": True,
        },
        "retracted": 1.0,
        "targets": {"tool0": 200.0},
    },
    "standing_by": False,
    "printer_paused": False,
    "passed": 77,
    "wanted": "resume",
    "offsets": {"bed": 5.0},
    "ending": None,
}
SNAPSHOT = JobSnapshot(
    Selection("a/part.gcode", "part.gcode", 1000, 5),
    100.5,
    boot="b1",
    address="serial:/dev/ttyACM0",
    name="Marlin 2.1",
    uuid="u1",
    offsets={"bed": 5.0},
    state=JobState.PAUSING,
    job=7,
    file=FileMark("a/part.gcode", 1000, 5, 9),
    passed_steps=[("M114", ["X:1", "ok"])],
    open_step=("G91", 2),
    parked=ParkedPosition({"X": 1.0}, Modes(feedrate=b"F3000"), 1.0, {"tool0": 200.0}),
)


def test_a_written_snapshot_is_read_back():
    ended = replace(SNAPSHOT, ending=Ending("over", 10, 20, 3.5, hot=True))
    for snapshot in (SNAPSHOT, ended, replace(SNAPSHOT, parked=None, file=None, open_step=None)):
        assert load(json.loads(json.dumps(dump(snapshot)))) == snapshot


def test_a_snapshot_of_0_1_0_is_read():
    assert dump(SNAPSHOT).keys() >= OF_0_1_0.keys(), "no field is renamed"
    snapshot = load(OF_0_1_0)
    assert snapshot is not None
    assert (snapshot.state, snapshot.job) == (JobState.PAUSING, 7)
    assert (snapshot.open_step, snapshot.wish) == (("G91", 2), "resume")
    assert snapshot.selection == SNAPSHOT.selection
    assert snapshot.file == SNAPSHOT.file
    assert snapshot.passed_steps[1] == ("M114", ["X:1 Y:2 Z:3 E:4", "ok"])
    assert snapshot.parked is not None
    assert snapshot.parked.axes == {"X": 1.0, "Y": 2.0, "Z": 3.0, "E": 4.0}


def strange(value):
    """Return the same with an unknown field in each object, except in objects by heater or axis."""
    if not isinstance(value, dict):
        return value
    same = {name: each if name in ("axes", "targets") else strange(each) for name, each in value.items()}
    return same | {"mood": {"colour": [1]}}


def test_additions_of_a_later_version_are_ignored_at_every_level():
    snapshot = replace(SNAPSHOT, ending=Ending("over", 10, 20, 3.5, hot=True))
    plain = dump(snapshot)
    for name in ("selection", "file", "ending", "rest"):
        plain[name] = strange(plain[name])
    assert load(json.loads(json.dumps({**plain, "mood": 1, "version": VERSION + 7}))) == snapshot


def test_a_snapshot_that_needs_a_later_version_is_not_read():
    assert dump(SNAPSHOT)["readers"] <= VERSION
    assert load({**dump(SNAPSHOT), "readers": VERSION + 1}) is None


@pytest.mark.parametrize("field", sorted(dump(SNAPSHOT)))
def test_only_missing_fields_needed_for_reattaching_make_a_snapshot_unreadable(field):
    snapshot = load({name: value for name, value in dump(SNAPSHOT).items() if name != field})
    assert (snapshot is None) is (field in NEEDED_KEYS)


@pytest.mark.parametrize("value", [{"a": 1}, [[1]], "x", -1.5, None, True])
def test_a_field_of_a_wrong_type_causes_no_crash(value):
    for field in OF_0_1_0:
        plain = {**OF_0_1_0, field: value}
        snapshot = load(plain)
        assert snapshot is None or load(dump(snapshot)) == snapshot
        assert isinstance(with_heaters_off(plain), dict)
    for field in NEEDED_KEYS:
        assert load({**OF_0_1_0, field: [[value]]}) is None


def test_heaters_off_is_noted_in_the_snapshot():
    ended = dump(replace(SNAPSHOT, ending=Ending("over", 10, 20, 3.5, hot=True)))
    assert load(with_heaters_off(ended)).ending.hot is False
    assert with_heaters_off(dump(SNAPSHOT)) == {}
