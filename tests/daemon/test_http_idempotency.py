"""The idempotency key over HTTP: a print begins once, answers are the same, and the job is named."""

import asyncio
from unittest.mock import patch

import pytest

from daemon.bridge.words import JobState
from daemon.errors import CoreAway
from support.http import api

CUBE = b"G28\n" + b"".join(b"G1 X%d Y10 F6000\n" % (n % 100) for n in range(40))


async def wait_until_over(server):
    async with asyncio.timeout(1000):
        while server.service.jobs.active:
            await server.settle(0.5)
    await server.settle(0.5)


def record_starts(server):
    """Return a list that grows with each print that begins."""
    states = []
    server.service.jobs.subscribe(lambda state: states.append(state) if state is JobState.STARTING else None)
    return states


async def test_every_way_to_begin_a_print_begins_it_once(tmp_path):
    async with api(tmp_path) as server:
        begun = record_starts(server)
        await server.upload(("file", "cube.gcode", CUBE))
        at, select = "/api/files/local/cube.gcode", {"command": "select", "print": True}
        first = await server.post(at, select, headers={"Idempotency-Key": '"one"'})
        again = await server.post(at, select, headers={"Idempotency-Key": "one"})
        assert (first.status, again.status, first.headers["Nozzled-Job"]) == (204, 204, again.headers["Nozzled-Job"])
        assert ("Idempotent-Replayed" in first.headers, again.headers["Idempotent-Replayed"]) == (False, "true")
        job = (await server.get("/api/job")).json["print"]
        assert (str(job["id"]), job["key"]) == (first.headers["Nozzled-Job"], "one")
        await wait_until_over(server)
        assert (await server.post(at, {**select, "job": "one"})).headers["Idempotent-Replayed"] == "true"

        start = {"command": "start", "job": "two"}
        assert [(await server.post("/api/job", start)).status for _ in range(2)] == [204, 204]
        await wait_until_over(server)
        assert (await server.post("/api/job", start)).headers["Idempotent-Replayed"] == "true"

        form = [("print", b"true"), ("job", b"three"), ("file", "other.gcode", CUBE)]
        answers = [await server.upload(*form) for _ in range(2)]  # the second one while it is printed
        await wait_until_over(server)
        answers.append(await server.upload(*form))
        assert {each.status for each in answers} == {201}
        assert len({each.headers["Nozzled-Job"] for each in answers}) == 1
        assert all(each.json["effectivePrint"] and each.json["files"] for each in answers)
        assert len(begun) == 3


@pytest.mark.parametrize("extrusion", ["G1 E5 F300", "N7 G1 E5 F300*33", "G5 X10 I1 J1 P1 Q1 E5", "G26", "M701 L50"])
async def test_a_print_that_needs_a_clear_bed_begins_only_on_one(tmp_path, extrusion):
    async with api(tmp_path) as server:
        begun = record_starts(server)
        await server.upload(("file", "cube.gcode", CUBE))
        at, select = "/api/files/local/cube.gcode", {"command": "select", "print": True, "bedClear": True}
        assert (await server.post(at, select)).status == 400  # without a key
        refused = await server.post(at, {**select, "job": "one"})
        assert (refused.status, refused.json["error"]) == (409, "nobody has said that the bed is clear")
        await server.post("/api/queue", {"command": "bed", "clear": True})
        assert (await server.post(at, {**select, "job": "one"})).status == 204
        await wait_until_over(server)
        assert (await server.post(at, {**select, "job": "one"})).headers["Idempotent-Replayed"] == "true"
        assert (await server.post(at, {**select, "job": "two"})).status == 409  # what was printed lies there
        await server.post("/api/queue", {"command": "bed", "clear": True})
        await server.post("/api/printer/command", {"commands": ["G92 E0", extrusion]})
        await server.settle(2)
        assert (await server.post(at, {**select, "job": "three"})).status == 409  # something was extruded
        assert len(begun) == 1


async def test_keys_of_the_queue_and_of_prints_are_separate(tmp_path):
    async with api(tmp_path) as server:
        begun = record_starts(server)
        await server.upload(("file", "cube.gcode", CUBE), ("select", b"true"))
        add = {"command": "add", "path": "cube.gcode"}
        assert (await server.post("/api/queue", {**add, "job": "queued"})).status == 201
        select = {"command": "select", "print": True, "job": "queued"}
        answers = [
            await server.post("/api/job", {"command": "start", "job": "queued"}),
            await server.post("/api/files/local/cube.gcode", select),
            await server.upload(("file", "new.gcode", CUBE), ("print", b"true"), ("job", b"queued")),
        ]
        assert [each.status for each in answers] == [422, 422, 422]
        assert begun == []
        together = await asyncio.gather(
            server.post("/api/job", {"command": "start", "job": "both"}),
            server.post("/api/queue", {**add, "job": "both"}),
        )
        assert sorted(each.status for each in together) in ([201, 422], [204, 422])
        await wait_until_over(server)
        assert (await server.post("/api/job", {"command": "start", "job": "printed"})).status == 204
        assert (await server.post("/api/queue", {**add, "job": "printed"})).status == 422
        assert (await server.post("/api/job", {"command": "restart", "job": "any"})).status == 400


async def test_a_key_of_another_request_and_an_invalid_key_are_refused(tmp_path):
    async with api(tmp_path) as server:
        begun = record_starts(server)
        await server.upload(("file", "cube.gcode", CUBE))
        at = "/api/files/local/cube.gcode"
        assert (await server.post(at, {"command": "select", "print": True, "job": "k"})).status == 204
        await wait_until_over(server)
        other = await server.post("/api/job", {"command": "start", "job": "k"})
        assert (other.status, "used for another request" in other.error) == (422, True)
        form = [("print", b"true"), ("job", b"k"), ("file", "cube.gcode", CUBE)]
        assert (await server.upload(*form)).status == 422
        for bad in ("", "a b", "x" * 201, "caf\u00e9"):
            assert (await server.post("/api/job", {"command": "start", "job": bad})).status == 400, bad
        assert (await server.post("/api/job", {"command": "start", "job": 5})).status == 400
        differ = await server.post("/api/job", {"command": "start", "job": "a"}, headers={"Idempotency-Key": "b"})
        assert differ.status == 400
        assert len(begun) == 1


async def test_a_refusal_does_not_use_up_the_key(tmp_path):
    async with api(tmp_path) as server:
        assert (await server.post("/api/job", {"command": "start", "job": "k"})).status == 409, "nothing is selected"
        await server.upload(("file", "cube.gcode", CUBE), ("select", b"true"))
        assert (await server.post("/api/job", {"command": "start", "job": "k"})).status == 204


async def test_a_lost_answer_is_given_to_the_repeated_request(tmp_path):
    """The front dies, or loses the core, while the print begins."""
    async with api(tmp_path) as server:
        begun = record_starts(server)
        await server.upload(("file", "cube.gcode", CUBE), ("select", b"true"))
        jobs = server.service.front.jobs
        real = jobs.begin

        async def lost(*args, **more):
            await real(*args, **more)
            raise CoreAway("the core is restarting")

        with patch.object(type(jobs), "begin", lambda _, *args, **more: lost(*args, **more)):
            assert (await server.post("/api/job", {"command": "start", "job": "k"})).status == 503
        assert (await server.post("/api/job", {"command": "start", "job": "k"})).status == 204
        assert len(begun) == 1


async def test_events_have_the_job_and_its_key(tmp_path):
    async with api(tmp_path) as server:
        notices = []
        server.service.both.front.events.subscribe(notices.append)
        await server.upload(("file", "cube.gcode", CUBE), ("print", b"true"), ("job", b"k"))
        await wait_until_over(server)
        events = {each.name: each.payload for each in notices}
        for name in ("PrintStarted", "PrintDone"):
            assert (events[name]["job"], events[name]["key"]) == (1, "k"), name
