"""Every cell of the state x command table, over HTTP, against the real controller on the simulated printer."""

import asyncio

import pytest

from daemon.bridge.words import JobState
from support import job_commands
from support.http import api

J = JobState
FILE = b"G28\n" + b"".join(b"G1 X%d F6000\n" % (10 + 50 * (n % 2)) for n in range(100))
SLOW = ("G4 S5",)  # holds the states that would be over at once
SCRIPTS = {"before_start": SLOW, "after_pause": SLOW, "before_resume": SLOW, "after_cancel": SLOW, "after_finish": SLOW}

COMMANDS = {
    **job_commands.COMMANDS,
    "pause:null": {"command": "pause", "action": None},
    "not an object": ["start"],
}

ACTIVE = "Printer already has an active print job, did you mean 'restart'?"
NOT_PAUSED = "Printer does not have an active print job or is not paused: `restart` needs a paused print"
NO_JOB = "Printer is neither printing nor paused, '{}' command cannot be performed"
INVALID = "command is invalid"
UNKNOWN = "Unknown action"

OFFLINE = dict.fromkeys(COMMANDS, (409, "Printer is not operational"))
BAD = {"bad": (400, INVALID), "none": (400, INVALID), "not an object": (400, INVALID)}
IDLE = {
    "restart": (409, NOT_PAUSED),
    **dict.fromkeys(
        ("pause", "toggle", "pause:pause", "pause:resume", "pause:bogus", "pause:null"), (409, NO_JOB.format("pause"))
    ),
    "cancel": (409, NO_JOB.format("cancel")),
    **BAD,
}
GOING_ON = {
    "start": (409, ACTIVE),
    "restart": (409, NOT_PAUSED),
    "pause:bogus": (400, UNKNOWN),
    "pause:null": (400, UNKNOWN),
    **BAD,
}
RUNNING = {
    **GOING_ON,
    **dict.fromkeys(("pause", "toggle", "pause:pause"), (204, J.PAUSING)),
    "pause:resume": (204, None),
    "cancel": (204, J.CANCELLING),
}
ENDING = {**GOING_ON, **dict.fromkeys(("pause", "toggle", "pause:pause", "pause:resume", "cancel"), (204, None))}

# state → command → (204, the state after it; None: unchanged) or (error status, its text)
TABLE = {
    "offline": OFFLINE,
    "connecting": OFFLINE,
    "fault": OFFLINE,
    # deviation: OctoPrint answers 204 and does nothing
    "no file": {**IDLE, "start": (409, "no file is selected: there is nothing to start")},
    "selected": {**IDLE, "start": (204, J.STARTING)},
    J.COMPLETED: {**IDLE, "start": (204, J.STARTING)},
    J.CANCELLED: {**IDLE, "start": (204, J.STARTING)},
    J.STARTING: RUNNING,
    J.PRINTING: RUNNING,
    J.RESUMING: RUNNING,
    J.PAUSING: {**ENDING, "cancel": (204, J.CANCELLING)},
    J.PAUSED: {
        **GOING_ON,
        "restart": (204, J.STARTING),
        **dict.fromkeys(("pause", "toggle", "pause:resume"), (204, J.RESUMING)),
        "pause:pause": (204, None),
        "cancel": (204, J.CANCELLING),
    },
    J.CANCELLING: ENDING,
    J.FINISHING: {**ENDING, "cancel": (204, J.CANCELLING)},
}
STEERING = [(state, command) for state, row in TABLE.items() for command, (_, after) in row.items() if after in set(J)]


async def wait_for(server, state):
    changed = asyncio.Event()  # polling would miss a short state
    server.service.core.jobs.subscribe(lambda _: changed.set())
    while server.service.jobs.state is not state:
        assert not server.service.jobs.state.ended
        changed.clear()
        await changed.wait()


async def bring_to(server, state):
    """Steer the printer and the job to a state, by their own methods."""
    connection, jobs = server.service.connection, server.service.jobs
    if state == "offline":
        await connection.disconnect()
    elif state == "connecting":
        await connection.disconnect()
        await connection.connect()
        await asyncio.sleep(0)
        assert not connection.ready
    elif state == "fault":
        connection.printer.emergency_stop()
    elif state != "no file":
        await server.upload(("file", "lines.gcode", FILE), ("select", b"true"))
    if isinstance(state, JobState):
        await walk(server, jobs, state)


async def walk(server, jobs, state):
    jobs.start()
    if state is J.STARTING:
        return
    await wait_for(server, J.PRINTING)
    if state in (J.PAUSING, J.PAUSED, J.RESUMING):
        await asyncio.sleep(1)
        jobs.pause()
    if state in (J.PAUSED, J.RESUMING):
        await wait_for(server, J.PAUSED)
    if state is J.RESUMING:
        jobs.resume()
    if state in (J.CANCELLING, J.CANCELLED):
        jobs.cancel()
    await wait_for(server, state)


@pytest.mark.parametrize("state", TABLE, ids=lambda each: getattr(each, "name", each))
async def test_requests_that_are_refused_or_change_nothing(tmp_path, state):
    expected = {command: cell for command, cell in TABLE[state].items() if (state, command) not in STEERING}
    answers = {}
    async with api(tmp_path, scripts=SCRIPTS) as server:
        await bring_to(server, state)
        before = server.service.jobs.state
        for command in expected:
            response = await server.post("/api/job", COMMANDS[command])
            answers[command] = response.status, response.error if response.body else None
            assert server.service.jobs.state is before, command
    assert answers == expected


@pytest.mark.parametrize(("state", "command"), STEERING, ids=lambda each: getattr(each, "name", each))
async def test_requests_that_lead_to_another_state(tmp_path, state, command):
    async with api(tmp_path, scripts=SCRIPTS) as server:
        await bring_to(server, state)
        response = await server.post("/api/job", COMMANDS[command])
        assert (response.status, response.body) == (204, b"")
        assert server.service.jobs.state is TABLE[state][command][1]


def test_the_table_has_every_state_that_requests_can_reach():
    # FAILED and INTERRUPTED are like the others that have ended; REATTACHING needs a lost connection
    assert {state for state in TABLE if isinstance(state, JobState)} == set(J) - {
        J.FAILED,
        J.INTERRUPTED,
        J.REATTACHING,
    }
    assert all(set(row) == set(COMMANDS) for row in TABLE.values())


@pytest.mark.parametrize("state", ["offline", "connecting", "fault"])
@pytest.mark.parametrize(
    ("body", "kind"), [(b"{", "application/json"), (b"start", "text/plain"), (b"", "application/json")]
)
async def test_an_absent_printer_is_reported_before_a_bad_body(tmp_path, state, body, kind):
    async with api(tmp_path) as server:
        await bring_to(server, state)
        response = await server.request("POST", "/api/job", body, headers={"Content-Type": kind})
        assert (response.status, response.error) == (409, "Printer is not operational")


async def test_a_pause_without_action_resumes_a_paused_print_for_cura(tmp_path):
    async with api(tmp_path) as server:
        await bring_to(server, J.PAUSED)
        assert (await server.get("/api/job")).json["state"] == "Paused"
        assert (await server.post("/api/job", {"command": "pause"})).status == 204
        await wait_for(server, J.COMPLETED)
        assert (await server.get("/api/job")).json["progress"]["completion"] == 100.0
