"""POST /api/job: the answer to each command in each state, and its effect. GET: all keys, always."""

import pytest

from support.conformance import FILE
from support.job_commands import COMMANDS

# state → what is answered to each command; where two stand the second is OctoPrint's
TABLE = {
    "go_offline": dict.fromkeys(COMMANDS, 409),
    "choose_nothing": {**dict.fromkeys(COMMANDS, 409), "start": (409, 204), "bad": 400, "none": 400},
    "choose": {**dict.fromkeys(COMMANDS, 409), "start": 204, "bad": 400, "none": 400},
    "print": {
        **dict.fromkeys(COMMANDS, 204), "start": 409, "restart": 409, "pause:bogus": 400, "bad": 400, "none": 400,
    },
    "pause": {**dict.fromkeys(COMMANDS, 204), "start": 409, "pause:bogus": 400, "bad": 400, "none": 400},
}  # fmt: skip

# (state, command) → state that it leads to, where it leads somewhere
LEADS = {
    ("choose", "start"): "Printing",
    ("print", "pause"): "Paused",
    ("print", "toggle"): "Paused",
    ("print", "pause:pause"): "Paused",
    ("print", "pause:resume"): "Printing",
    ("print", "cancel"): "Operational",
    ("pause", "pause"): "Printing",
    ("pause", "toggle"): "Printing",
    ("pause", "pause:pause"): "Paused",
    ("pause", "pause:resume"): "Printing",
    ("pause", "restart"): "Printing",
    ("pause", "cancel"): "Operational",
}


@pytest.mark.parametrize("state", TABLE)
def test_each_command_has_octoprints_answer_in_each_state(server, state):
    """Commands without effect go first; before each of the others the state is entered again."""
    enter = getattr(server, state)
    enter()
    for name in sorted(TABLE[state], key=lambda each: (state, each) in LEADS):
        cell = TABLE[state][name]
        ours, theirs = cell if isinstance(cell, tuple) else (cell, cell)
        answer = server.post("/api/job", COMMANDS[name])
        assert answer.status == (theirs if server.octoprint else ours), (state, name, answer.body)
        assert answer.status == 204 or answer.json["error"]
        if (state, name) in LEADS:
            server.until(LEADS[state, name])
            if server.state in ("Printing", "Paused"):
                server.cancel()
            enter()
    server.go_online()
    if server.get("/api/job").json["state"] != "Operational":
        server.cancel()


def test_an_absent_printer_is_reported_before_any_fault_of_the_request(server):
    server.go_offline()
    for body, kind in ((b"{", "application/json"), (b"{}", "text/plain"), (b"[]", "application/json")):
        assert server.request("POST", "/api/job", body, {"Content-Type": kind}).status == 409
    server.choose_nothing()
    for body, kind, status in (
        (b"{", "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"[]", "application/json", 400),
    ):
        assert server.request("POST", "/api/job", body, {"Content-Type": kind}).status == status


FILE_KEYS = {"name", "path", "origin", "size", "date"}
PROGRESS = {"completion", "filepos", "printTime", "printTimeLeft", "printTimeLeftOrigin"}


@pytest.mark.parametrize("state", ["go_offline", "choose_nothing", "choose", "print"])
def test_every_key_is_present_in_every_state(server, state):
    getattr(server, state)()
    job = server.get("/api/job").json
    assert {"job", "progress", "state"} <= set(job)
    assert set(job["job"]["file"]) >= FILE_KEYS
    assert {"estimatedPrintTime", "lastPrintTime", "filament", "user"} <= set(job["job"])
    assert set(job["progress"]) >= PROGRESS
    if state == "print":
        assert job["job"]["file"]["name"] == FILE
        assert job["job"]["file"]["origin"] == "local"
        assert 0 <= job["progress"]["completion"] <= 100
        server.cancel()
