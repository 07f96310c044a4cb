"""The farm's HTTP API: every request has a key, every file is streamed, every error is a sentence."""

import asyncio
import hashlib
import json
import re

import pytest

from daemon.farm.http.openapi import describe
from daemon.farm.http.server import make_app
from daemon.farm.http.uploads import picture_of
from daemon.farm.list.words import FileFacts
from daemon.farm.messages import Heat, OrderAnswer, Presence, Report, Tool
from support.farm_http import NOW, farm_api
from support.http import form

FILE = b"G28\nG1 X10 E1\n"
SHA = hashlib.sha256(FILE).hexdigest()


def presence(**more):
    return Presence(**{"at": NOW, "boot": "b", "ready": True, "state": "Operational", **more})


async def upload(api, *fields, path="/api/farm/jobs", name="cube.gcode", content=FILE, **more):
    body, kind = form(*fields, ("file", name, content))
    headers = {"Content-Type": kind, **more.pop("headers", {})}
    return await api.request("POST", path, body, headers=headers, **more)


async def submit(api, **wishes):
    """Return a job of a file that is known."""
    api.list.put_file(FileFacts(sha256=SHA, size=len(FILE), name="cube.gcode"))
    return (await api.post("/api/farm/jobs", {"sha256": SHA, **wishes})).json


# -- who -------------------------------------------------------------------------------------------------------


async def test_every_address_but_page_and_description_needs_a_key_of_the_right_scope(tmp_path):
    async with farm_api(tmp_path) as api:
        for rule in api.application.wildcard_router.rules:
            path = sample(rule.matcher.regex.pattern)
            for method in rule.target.allowed():
                answer = await api.request(method, path, key=None)
                assert (answer.status == 403) != rule.target.for_everybody, (method, path)
        keys = {}
        for scope in ("read", "control", "admin"):
            made = await api.post("/api/farm/keys", {"name": f"a {scope}", "scope": scope})
            assert made.status == 201
            keys[scope] = made.json["key"]
        for scope, may in {"read": [200, 403, 403], "control": [200, 404, 403], "admin": [200, 404, 200]}.items():
            tried = [
                await api.get("/api/farm/jobs", key=keys[scope]),
                await api.request("POST", "/api/farm/jobs/9/hold", key=keys[scope]),
                await api.get("/api/farm/keys", key=keys[scope]),
            ]
            assert [answer.status for answer in tried] == may
        bearer = await api.get("/api/farm", key=None, headers={"Authorization": f"Bearer {keys['read']}"})
        assert (bearer.json["who"], bearer.json["scope"]) == ("a read", "read")


async def test_only_hashes_of_keys_are_kept_and_the_last_admin_stays(tmp_path):
    async with farm_api(tmp_path) as api:
        assert (tmp_path / "admin.key").stat().st_mode & 0o777 == 0o600
        made = (await api.post("/api/farm/keys", {"name": "ben", "scope": "read"})).json["key"]
        with api.list.read() as tx:
            everything = repr(tx.connection.exec_driver_sql("SELECT * FROM farm_keys").all())
        assert made not in everything
        assert api.first_key not in everything
        assert [key["name"] for key in (await api.get("/api/farm/keys")).json["keys"]] == ["admin", "ben"]
        assert (await api.post("/api/farm/keys", {"name": "ben", "scope": "read"})).status == 409
        assert (await api.post("/api/farm/keys", {"name": "x\n", "scope": "read"})).status == 400
        assert (await api.post("/api/farm/keys", {"name": "x", "scope": "god"})).status == 400
        assert (await api.delete("/api/farm/keys/ben")).status == 204
        assert (await api.get("/api/farm", key=made)).status == 403
        assert "last key of scope admin" in (await api.delete("/api/farm/keys/admin")).error


async def test_wrong_keys_are_looked_at_seldom_and_right_ones_always(tmp_path):
    async with farm_api(tmp_path) as api:
        for _ in range(10):
            assert (await api.get("/api/farm", key="wrong")).status == 403
        refused = await api.get("/api/farm", key="wrong")
        assert refused.status == 429
        assert 0 < int(refused.headers["Retry-After"]) <= 6
        assert (await api.get("/api/farm")).status == 200
        assert (await api.get("/api/farm", key="wrong", peer="192.0.2.77")).status == 403


# -- files -----------------------------------------------------------------------------------------------------


async def test_an_upload_is_streamed_hashed_looked_at_and_becomes_a_job(tmp_path):
    async with farm_api(tmp_path) as api:
        content = b"G1 X1\n" * 500_000
        body, kind = form(("copies", b"3"), ("group", b"large"), ("printers", b"mk3, xl"), ("file", "c.gcode", content))
        pieces = [body[at : at + 65536] for at in range(0, len(body), 65536)]
        answer = await api.request("POST", "/api/farm/jobs", pieces, headers={"Content-Type": kind})
        assert answer.status == 201
        job = answer.json
        sha256 = hashlib.sha256(content).hexdigest()
        assert api.files.kept[sha256] == content
        assert (job["sha256"], job["size"], job["copies"], job["material"]) == (sha256, len(content), 3, "PLA")
        assert (job["group"], job["printers"], job["by"], job["number"]) == ("large", ["mk3", "xl"], "admin", 1)
        assert answer.headers["Location"] == f"/api/farm/jobs/{job['id']}"
        assert list((tmp_path / "uploads").iterdir()) == []
        facts = (await api.get(f"/api/farm/files/{sha256}")).json
        assert (facts["extent"], facts["warnings"]) == ([20, 20, 30], [".gcode"])
        assert (await api.get(f"/api/farm/files/{sha256}/thumbnail")).status == 404
        picture_of(tmp_path, sha256).write_bytes(b"\x89PNG")
        assert (await api.get(f"/api/farm/files/{sha256}/thumbnail")).body == b"\x89PNG"


async def test_the_same_idempotency_key_never_makes_a_second_job(tmp_path):
    async with farm_api(tmp_path) as api:
        headers = {"Idempotency-Key": "once"}
        first = await upload(api, ("copies", b"2"), headers=headers)
        again = await upload(api, ("copies", b"2"), headers=headers)
        assert (first.status, again.status, again.headers["Idempotent-Replayed"]) == (201, 200, "true")
        assert first.json == again.json
        other = await upload(api, ("copies", b"3"), headers=headers)
        assert (other.status, other.error) == (
            422,
            "this idempotency key has made job 1, which asks for something else",
        )
        assert (await upload(api, headers={"Idempotency-Key": "a b"})).status == 400
        assert len((await api.get("/api/farm/jobs")).json["jobs"]) == 1


@pytest.mark.parametrize(
    ("fields", "content", "status", "text"),
    [
        ([("copies", b"x")], FILE, 400, "copies"),
        ([("copies", b"0")], FILE, 400, "from 1 to 1000"),
        ([("colors", b"red")], FILE, 400, "colors"),
        ([("notes", b"\xff")], FILE, 400, "UTF-8"),
        ([("notes", b"n" * 70_000)], FILE, 400, "too large"),
        ([("sha256", b"0" * 64)], FILE, 400, "came in damaged"),
        ([], b"", 400, "empty"),
        ([("file", "b.gcode", FILE)], FILE, 400, "more than one file"),
    ],
)
async def test_a_form_that_means_nothing_is_refused_and_leaves_nothing(tmp_path, fields, content, status, text):
    async with farm_api(tmp_path) as api:
        answer = await upload(api, *fields, content=content)
        assert answer.status == status
        assert text in answer.error
        await asyncio.sleep(1)
        assert [*tmp_path.glob("uploads/*")] == []
        assert api.application.settings["farm_uploads"] == 0
        assert api.list.jobs() == []


async def test_an_upload_that_breaks_off_leaves_nothing(tmp_path):
    async with farm_api(tmp_path) as api:
        body, kind = form(("file", "a.gcode", b"x" * 3_000_000))
        await api.request("POST", "/api/farm/files", body[:2_000_000], headers={"Content-Type": kind}, hang_up=True)
        await asyncio.sleep(1)
        assert [*tmp_path.glob("uploads/*")] == []
        cut = await api.request("POST", "/api/farm/files", body[:2_000_000], headers={"Content-Type": kind})
        assert (cut.status, "not complete" in cut.error) == (400, True)
        await asyncio.sleep(1)
        assert [*tmp_path.glob("uploads/*")] == []
        assert api.application.settings["farm_uploads"] == 0


async def test_sizes_and_numbers_of_uploads_are_bounded(tmp_path):
    async with farm_api(tmp_path, max_upload=1000) as api:
        assert (await upload(api, content=b"x" * 2000)).status == 413
        body, kind = form(("file", "a", b"x" * 2000))
        chunked = {"Content-Type": kind, "Content-Length": "1"}  # as with chunks, it says nothing true
        assert (await api.request("POST", "/api/farm/files", body, headers=chunked)).status == 413
        assert (await api.post("/api/farm/jobs", {"notes": "n" * 70_000})).status == 413
        api.application.settings["farm_uploads"] = 8
        assert (await upload(api)).status == 503


async def test_a_files_name_is_a_strangers_text(tmp_path):
    async with farm_api(tmp_path) as api:
        for given, kept in (
            ("../../etc/x.gcode", "x.gcode"),
            ("C:\\a\\b.bgcode", "b.bgcode"),
            ("a\x1b[2J.exe", "a_[2J.exe"),
        ):
            name = given.replace("\\", "\\\\")
            answer = await upload(api, path="/api/farm/files", name=name, content=given.encode())
            assert answer.json["name"] == kept
            assert answer.json["warnings"] == [".bgcode" if kept.endswith(".bgcode") else ".gcode"]
        assert {path.name for path in tmp_path.iterdir()} == {"admin.key", "uploads", "pictures"}


# -- jobs ------------------------------------------------------------------------------------------------------


async def test_a_job_is_listed_edited_moved_held_and_cancelled(tmp_path):
    async with farm_api(tmp_path) as api:
        one, two = await submit(api, material="PETG"), await submit(api, name="two", copies=2)
        listed = (await api.get("/api/farm/jobs")).json["jobs"]
        assert [(job["number"], job["why"]) for job in listed] == [
            (1, ["no printer has joined the farm"]),
            (2, ["no printer has joined the farm"]),
        ]
        assert (await api.post("/api/farm/jobs/2/move", {"before": one["id"]})).status == 200
        assert [job["number"] for job in (await api.get("/api/farm/jobs?why=false")).json["jobs"]] == [2, 1]
        patch = {"revision": two["revision"], "priority": 3, "due": NOW + 5}
        stale = await api.request("PATCH", "/api/farm/jobs/2", json.dumps(patch).encode(), headers=JSON)
        assert (stale.status, "it has revision 2, not 1" in stale.error) == (409, True)
        patch["revision"] = 2
        edited = await api.request("PATCH", "/api/farm/jobs/2", json.dumps(patch).encode(), headers=JSON)
        assert (edited.json["priority"], edited.json["due"], edited.json["revision"]) == (3, NOW + 5, 3)
        assert (await api.request("POST", "/api/farm/jobs/2/hold")).json["held_by"] == "admin"
        assert (await api.request("POST", "/api/farm/jobs/2/release")).json["held"] is False
        whole = (await api.get(f"/api/farm/jobs/{two['id']}")).json
        assert (whole["copies"], [copy["state"] for copy in whole["copy_list"]]) == (2, ["waiting", "waiting"])
        assert whole["counts"]["total"] == 2
        north = await api.post("/api/farm/jobs/2/hand_over", {"site": "north"})
        assert (north.json["site"], north.json["state"]) == ("north", "waiting")
        assert (await api.post("/api/farm/jobs/2/hand_over", {"site": "../"})).status == 400
        assert (await api.delete("/api/farm/jobs/1")).json["copies"][0]["state"] == "cancelled"
        assert [job["number"] for job in (await api.get("/api/farm/jobs?state=ended")).json["jobs"]] == [1]
        assert [job["number"] for job in (await api.get("/api/farm/jobs?state=all")).json["jobs"]] == [2, 1]
        log = (await api.get("/api/farm/log")).json["events"]
        assert [(event["by"], event["what"]) for event in log][-2:] == [
            ("admin", "handed over"),
            ("admin", "cancelled job"),
        ]


JSON = {"Content-Type": "application/json"}


async def test_an_orphan_is_shown_settled_and_printed_again(tmp_path):
    async with farm_api(tmp_path) as api:
        await submit(api)
        api.printers.presences["mk3"] = presence(file="cube.gcode", ready=False, remaining_s=60.0)
        offer = api.list.offer("mk3", presence())
        api.list.claim("mk3", offer.copy, offer.attempt, "n")
        assert (await api.get("/api/farm/orphans")).json == {"copies": []}
        api.printers.now += 61
        [orphan] = (await api.get("/api/farm/orphans")).json["copies"]
        assert (orphan["id"], orphan["orphan"], orphan["job_name"]) == (offer.copy, True, "cube.gcode")
        [printer] = (await api.get("/api/farm/printers")).json["printers"]
        assert (printer["state"], printer["orphan"], printer["holds"]) == ("Away", True, offer.copy)
        fresh = await api.request("POST", f"/api/farm/copies/{offer.copy}/again")
        assert (fresh.status, fresh.json["parent"]) == (201, offer.copy)
        settled = await api.post(f"/api/farm/copies/{offer.copy}/settle", {"state": "failed"})
        assert (settled.json["state"], settled.json["orphan"]) == ("failed", False)
        assert (await api.post(f"/api/farm/copies/{offer.copy}/settle", {"state": "waiting"})).status == 400
        assert (await api.request("POST", f"/api/farm/copies/{fresh.json['id']}/cancel")).json["state"] == "cancelled"
        history = (await api.get("/api/farm/history?printer=mk3")).json["copies"]
        assert [(copy["id"], copy["reason"]) for copy in history] == [(offer.copy, "admin said so")]
        assert len((await api.get(f"/api/farm/history?before={NOW}")).json["copies"]) == 0
        for filters, count in {"state=failed&q=CUBE": 1, "state=done": 0, "q=c%25b": 0}.items():
            assert len((await api.get(f"/api/farm/history?{filters}")).json["copies"]) == count
        assert (await api.get("/api/farm/history?state=waiting")).status == 400
        header, row = (await api.get("/api/farm/history.csv?state=failed")).body.decode().splitlines()
        assert (header.split(",")[:4], row.split(",")[:4]) == (
            ["job", "copy", "state", "printer"],
            ["cube.gcode", "1", "failed", "mk3"],
        )


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/api/farm/jobs/77", None, 404),
        ("GET", "/api/farm/nothing", None, 404),
        ("GET", "/api/farm/jobs?limit=0", None, 400),
        ("GET", "/api/farm/jobs?limit=1.5", None, 400),
        ("GET", "/api/farm/jobs?state=x", None, 400),
        ("PUT", "/api/farm/jobs", None, 405),
        ("POST", "/api/farm/jobs", [], 400),
        ("POST", "/api/farm/jobs", {"sha256": "0" * 64}, 404),
        ("POST", "/api/farm/jobs", {"copies": "1"}, 400),
        ("POST", "/api/farm/jobs", {}, 400),
        ("POST", "/api/farm/files", {}, 415),
        ("POST", "/api/farm/jobs/77/move", {"before": None}, 404),
        ("POST", "/api/farm/printers/mk9/pause", None, 404),
        ("GET", "/api/farm/printers/mk9", None, 404),
        ("GET", f"/api/farm/files/{'0' * 64}", None, 404),
    ],
)
async def test_every_error_is_json_with_a_sentence(tmp_path, method, path, body, status):
    async with farm_api(tmp_path) as api:
        data = b"" if body is None else json.dumps(body).encode()
        answer = await api.request(method, path, data, headers=JSON if data else {})
        assert answer.status == status
        assert answer.error


# -- printers --------------------------------------------------------------------------------------------------


async def test_printers_are_shown_with_why_they_are_not_ready(tmp_path):
    async with farm_api(tmp_path) as api:
        heat = {"bed": Heat(60.0, 60.0)}
        api.printers.presences = {
            "a": presence(tools=[Tool("PLA")], heaters=heat, group="large", url="http://a/"),
            "b": presence(ready=False, reason="its bed is not clear"),
            "c": presence(at=NOW - 7200, on_hold=True),
        }
        found = {each["id"]: each for each in (await api.get("/api/farm/printers")).json["printers"]}
        assert (found["a"]["ready"], found["a"]["reason"], found["a"]["heaters"]["bed"]["actual"]) == (True, "", 60.0)
        assert (found["b"]["ready"], found["b"]["reason"]) == (False, "its bed is not clear")
        assert (found["c"]["away"], found["c"]["reason"]) == (True, "it was last heard 2 hours ago")
        assert (await api.get("/api/farm/printers/a")).json == found["a"]
        assert (await api.delete("/api/farm/printers/a")).status == 409
        assert (await api.delete("/api/farm/printers/c")).status == 204


async def test_what_a_printer_is_asked_for_goes_to_its_agent_and_back(tmp_path):
    async with farm_api(tmp_path) as api:
        api.printers.presences["mk3"] = presence()
        await submit(api)
        offer = api.list.offer("mk3", presence())
        for verb in ("bed_clear", "pause", "resume", "hold", "release", "cancel"):
            assert (await api.request("POST", f"/api/farm/printers/mk3/{verb}")).status == 204
        assert {(order.by, order.copy) for _, order in api.printers.orders} == {("admin", offer.copy)}
        assert (await api.get("/api/farm/log")).json["events"][-1]["what"] == "cancel"
        api.printers.answer = OrderAnswer(ok=True, data=b"\xff\xd8picture")
        picture = await api.get("/api/farm/printers/mk3/picture")
        assert (picture.headers["Content-Type"], picture.body) == ("image/jpeg", b"\xff\xd8picture")
        api.printers.answer = OrderAnswer(ok=True, data=b"<html>")
        assert (await api.get("/api/farm/printers/mk3/picture")).status == 502
        api.printers.answer = OrderAnswer(ok=False, reason="mk3 prints")
        refused = await api.request("POST", "/api/farm/printers/mk3/bed_clear")
        assert (refused.status, refused.error) == (409, "mk3 prints")


async def test_metrics_have_states_and_no_names(tmp_path):
    async with farm_api(tmp_path) as api:
        await submit(api, copies=2)
        api.printers.presences = {"mk3": presence(), "gone": presence(at=0.0)}
        offer = api.list.offer("gone", presence())
        api.list.claim("gone", offer.copy, offer.attempt, "n")
        text = (await api.get("/metrics")).body.decode()
        for line in (
            'nozzled_farm_copies{state="claimed"} 1.0',
            'nozzled_farm_copies{state="waiting"} 1.0',
            'nozzled_farm_printers{state="ready"} 1.0',
            'nozzled_farm_printers{state="away"} 1.0',
            "nozzled_farm_orphans 1.0",
            "nozzled_farm_claims_total 1.0",
            "nozzled_farm_nats_up 1.0",
        ):
            assert line in text.splitlines()
        assert not re.search("cube|mk3|gone", text)


# -- push ------------------------------------------------------------------------------------------------------


async def watch(api, until):
    """Return what is pushed until there are so many events."""
    connection = api.begin("/api/farm/events")
    while len(found := events(connection.response.body)) < until:  # noqa: ASYNC110 - the test's end of a socket
        await asyncio.sleep(0.1)
    return connection, found


def events(body):
    return [json.loads(each) for each in re.findall(rb"^data: (.*)$", body, re.MULTILINE)]


async def test_who_watches_is_told_all_at_first_and_then_what_has_changed(tmp_path):
    async with farm_api(tmp_path) as api:
        api.printers.presences = {"a": presence(), "b": presence()}
        await submit(api)
        hub = api.application.settings["farm_hub"]
        connection, [first] = await watch(api, 1)
        assert set(first) == {"printers", "jobs", "counts", "orphans", "trouble"}
        assert set(first["printers"]) == {"a", "b"}
        api.printers.presences = {"a": presence(ready=False, reason="it prints")}
        for _ in range(50):
            hub.wake()
        await asyncio.sleep(5)
        [_, second] = events(connection.response.body)
        assert set(second) == {"printers"}
        assert second["printers"]["a"]["reason"] == "it prints"
        assert second["printers"]["b"] is None
        assert connection.response.body.count(b": beat") >= 1
        api.list.again(begun(api).copy)
        hub.wake()
        await asyncio.sleep(1)
        assert set(events(connection.response.body)[-1]) == {"printers", "jobs", "counts"}
        connection.gone = True
        await asyncio.sleep(5)
        assert hub.watchers == 0


def begun(api):
    offer = api.list.offer("a", presence())
    api.list.claim("a", offer.copy, offer.attempt, "n")
    api.list.report("a", Report(copy=offer.copy, attempt=offer.attempt, kind="printing", at=NOW))
    return offer


# -- the description -------------------------------------------------------------------------------------------


def sample(pattern):
    """Return an address that a route's pattern matches."""
    path = re.sub(r"\(\?:|\[0-9a-f\]\{8\}.*?\{12\}(\|\[0-9\]\{1,9\})?", "00000000-0000-0000-0000-000000000000", pattern)
    path = path.replace("[0-9a-f]{64}", "0" * 64).replace("[a-z0-9-]{1,32}", "mk3").replace("[^/]+", "name")
    path = re.sub(r"\(([a-z_]+)\|[^)]*\)", r"\1", path)
    return (
        path.replace("[a-z0-9_-]+\\.[a-z0-9]+", "x.css").rstrip("$").replace("(", "").replace(")", "").replace("\\", "")
    )


def test_every_address_is_described_with_every_method():
    described = {}
    for path, item in describe()["paths"].items():
        described.setdefault(re.sub(r"\{\w+\}", "{}", path), set(item))
    found = {}
    for rule in make_app(None).wildcard_router.rules:
        pattern = rule.matcher.regex.pattern.rstrip("$").replace("\\", "")
        if "page" in pattern or pattern == "/()":
            continue
        verbs = re.search(r"/\(((?:[a-z_]+\|)+[a-z_]+)\)$", pattern)
        for verb in verbs[1].split("|") if verbs else [""]:
            path = pattern[: verbs.start()] + f"/{verb}" if verbs else pattern
            found[re.sub(r"\((?:\([^)]*\)|[^()])*\)", "{}", path)] = {each.lower() for each in rule.target.allowed()}
    assert described == found


async def test_the_description_is_served_without_a_key(tmp_path):
    async with farm_api(tmp_path) as api:
        answer = await api.get("/api/farm/openapi.json", key=None)
        assert answer.json == json.loads(json.dumps(describe()))
        assert (await api.request("HEAD", "/api/farm/openapi.json", key=None)).status == 200
