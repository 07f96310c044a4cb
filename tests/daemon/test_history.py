"""The history of prints with their filament: filtered, summed up, exported; it survives its files."""

import asyncio
import csv
import io
import json
from datetime import datetime

import pytest

from daemon.bridge.words import JobState
from daemon.core.record.store import NewJob
from daemon.errors import StoreError
from daemon.front.analysis.findings import Findings, from_analysis
from daemon.front.analysis.store import FileKey
from daemon.front.history.filament import usage
from support.client import listening
from support.http import KEY, NOW, api
from support.waiting import TIMEOUT, until

CUBE = b"G28\n" + b"".join(b"G1 X%d Y10 F6000\n" % (n % 100) for n in range(40))
ANALYSIS = {
    "duration_s": 110.0,
    "layers": [{"offset": 100, "z": 0.2}, {"offset": 200, "z": 0.4}],
    "timeline": [[0, 0.0], [100, 10.0], [200, 60.0], [300, 110.0]],
    "used": [[0, [[50, 0.0], [100, 10.0], [200, 250.0], [300, 500.0]]]],
    "tools": [{"tool": 0, "length_mm": 500.0, "volume_mm3": 1200.0}],
    "about": {"filaments": [{"type": "PETG", "weight": 2.0}]},
}
PNG = b"\x89PNG as if"
FOUND = from_analysis(ANALYSIS)
FOUND = Findings(FOUND.summary, FOUND.details, PNG)


async def print_file(server, name: str, cancel: bool = False, **more) -> int:
    await server.post(f"/api/files/local/{name}", {"command": "select", "print": True, **more})
    if cancel:
        await until(lambda: server.service.jobs.state is JobState.PRINTING)
        await server.post("/api/job", {"command": "cancel"})
    await until(lambda: not server.service.jobs.active)
    await server.settle(2)
    return server.service.jobs.job_id


async def store_analysis(server, name: str, analysis: Findings) -> None:
    """Store an analysis of this file."""
    stat = (server.service.files.root / name).stat()
    await server.service.front.analyses._store.put(FileKey(name, stat.st_size, int(stat.st_mtime)), analysis)


def test_filament_is_counted_up_to_the_acknowledged_place():
    def length(offset, complete=False):
        return usage(FOUND, offset, complete=complete)[0]["length"]

    assert [length(at) for at in (0, 100, 200, 300, 999)] == [0.0, 10.0, 250.0, 500.0, 500.0]
    assert length(0, complete=True) == 500.0
    assert usage(FOUND, 200, complete=False)[0] == {
        "tool": 0, "length": 250.0, "volume": 0.6, "weight": 1.0, "material": "PETG",
    }  # fmt: skip


async def test_a_print_keeps_all_its_facts_when_its_file_is_gone(tmp_path):
    async with api(tmp_path) as server:
        await server.upload(("file", "cube.gcode", CUBE))
        await store_analysis(server, "cube.gcode", FOUND)
        number = await print_file(server, "cube.gcode", job="mine")
        await server.delete("/api/files/local/cube.gcode")
        job = (await server.get(f"/api/history/{number}")).json
        assert (job["state"], job["key"], job["user"], job["layers"], job["layersDone"]) == (
            "completed", "mine", "owner", 2, 2,
        )  # fmt: skip
        assert (job["filamentLength"], job["filamentWeight"], job["material"]) == (500.0, 2.0, "PETG")
        assert (job["resends"], job["lines"], job["fileExists"], job["energy"]) == (0, 41, False, None)
        picture = await server.get(job["thumbnail"])
        assert (picture.status, picture.body, picture.headers["Content-Type"]) == (200, PNG, "image/png")
        assert "X-Api-Key" in picture.headers["Vary"], "a browser's cache must not serve it without the key"
        assert (await server.post(f"/api/history/{number}", {"command": "reprint"})).status == 404
        noted = await server.post(f"/api/history/{number}", {"command": "note", "notes": "fine", "energy": 120.5})
        assert (noted.json["notes"], noted.json["energy"]) == ("fine", 120.5)
        assert (await server.get("/api/history/99")).status == 404
        assert (await server.get("/api/history/99/thumbnail")).status == 404


async def test_a_print_is_printed_again_once_for_each_key(tmp_path):
    async with api(tmp_path) as server:
        await server.upload(("file", "cube.gcode", CUBE))
        number = await print_file(server, "cube.gcode")
        again = {"command": "reprint", "job": "k"}
        answers = [await server.post(f"/api/history/{number}", again) for _ in range(2)]
        assert [each.status for each in answers] == [204, 204]
        assert answers[0].headers["Nozzled-Job"] == answers[1].headers["Nozzled-Job"] != str(number)
        later = {"command": "queue", "copies": 2, "notes": "grey", "job": "q"}
        entry, same = [await server.post(f"/api/history/{number}", later) for _ in range(2)]
        assert (entry.status, same.status, entry.json["id"]) == (201, 201, same.json["id"])
        assert (entry.json["path"], entry.json["copies"], entry.json["notes"]) == ("cube.gcode", 2, "grey")
        assert (await server.post("/api/history/99", {"command": "queue"})).status == 404
        running = (await server.get("/api/history?limit=1")).json["jobs"][0]
        assert (running["id"], running["ended"]) == (number + 1, None)


async def test_another_file_of_that_name_is_reprinted_only_on_request(tmp_path):
    async with api(tmp_path) as server:
        await server.upload(("file", "cube.gcode", CUBE))
        number = await print_file(server, "cube.gcode")
        at = f"/api/history/{number}"
        assert (await server.get(at)).json["fileExists"]
        await server.upload(("file", "cube.gcode", CUBE + b"G1 X1\n"))
        assert not (await server.get(at)).json["fileExists"]
        for command in ("reprint", "queue"):
            refused = await server.post(at, {"command": command})
            assert (refused.status, "no longer the file" in refused.error) == (409, True)
        assert (await server.post(at, {"command": "reprint", "force": True})).status == 204


async def test_a_running_print_is_listed_with_its_state(tmp_path):
    async with api(tmp_path) as server:
        await server.upload(("file", "cube.gcode", CUBE * 50), ("print", b"true"))
        for state, command in ((JobState.PRINTING, "pause"), (JobState.PAUSED, "cancel")):
            await until(lambda state=state: server.service.jobs.state is state)
            [job] = (await server.get(f"/api/history?state={state.value}")).json["jobs"]
            assert (job["state"], job["ended"]) == (state.value, None)
            await server.post("/api/job", {"command": command})


async def test_lists_are_filtered_paged_and_summed(tmp_path):
    async with api(tmp_path) as server:
        for name in ("a.gcode", "b.gcode"):
            await server.upload(("file", name, CUBE * 20 if name == "a.gcode" else CUBE))
        await store_analysis(server, "b.gcode", FOUND)
        await server.post("/api/queue", {"command": "add", "path": "b.gcode", "material": "PLA", "notes": "grey"})
        first = await print_file(server, "a.gcode", cancel=True)
        await server.post("/api/queue", {"command": "bed", "clear": True})
        await until(lambda: server.service.jobs.state is JobState.COMPLETED)
        await server.settle(2)
        await print_file(server, "b.gcode")

        async def ids(query=""):
            answer = await server.get(f"/api/history?{query}")
            return [job["id"] - first for job in answer.json["jobs"]], answer.json["next"]

        assert await ids() == ([2, 1, 0], None)
        assert await ids("limit=2") == ([2, 1], first + 1)
        assert await ids(f"limit=2&before={first + 1}") == ([0], None)
        assert await ids("state=cancelled,failed") == ([0], None)
        assert await ids("path=b.gcode") == ([2, 1], None)
        assert await ids("q=A.GCO") == ([0], None)
        assert await ids("q=%25") == ([], None), "% is no wildcard"
        assert await ids("material=PLA") == ([1], None)
        assert await ids(f"from={NOW + 1}") == ([], None)
        queued = (await server.get(f"/api/history/{first + 1}")).json
        assert (queued["entry"], queued["notes"], queued["key"]) == (1, "grey", None)
        totals = (await server.get("/api/history/totals?by=material")).json
        assert [each["name"] for each in totals["totals"]] == [None, "PETG", "PLA"]
        every = totals["all"]
        assert (every["prints"], every["completed"], every["cancelled"], every["filamentLength"]) == (3, 2, 1, 1000.0)
        month = (await server.get("/api/history/totals")).json["totals"]
        assert [(each["name"], each["prints"]) for each in month] == [("2023-11", 3)]
        for bad in ("limit=0", "before=x", "from=soon", f"q={'x' * 301}", "from=nan", "state=done"):
            assert (await server.get(f"/api/history?{bad}")).status == 400
        assert (await server.get("/api/history/totals?by=mood")).status == 400


async def test_exports_are_complete_and_contain_no_formula(tmp_path):
    async with api(tmp_path) as server:
        store = server.service.core.store
        for number in range(5):
            begun = await store.begin_job(NewJob("=1+1.gcode", "=1+1.gcode", 1, None, 0, "local", None, "sim"))
            store.end_job(begun, "COMPLETED", f"{number}", 1, 1, 60.0)
        await until(lambda: not store._pending)
        rows = list(csv.DictReader(io.StringIO((await server.get("/api/history.csv")).body.decode())))
        assert [row["reason"] for row in rows] == ["4", "3", "2", "1", "0"]
        assert rows[0]["path"] == "'=1+1.gcode"
        assert datetime.fromisoformat(rows[0]["started"]).timestamp() == int(NOW)
        assert [job["id"] for job in json.loads((await server.get("/api/history.json?state=completed")).body)] == [
            5, 4, 3, 2, 1,
        ]  # fmt: skip
        assert json.loads((await server.get("/api/history.json?state=failed")).body) == []


@pytest.mark.parametrize("kind", ["csv", "json"])
async def test_head_of_an_export_reads_no_prints(tmp_path, monkeypatch, kind):
    async with api(tmp_path, "") as server:
        await record_prints(server, "first")
        path = f"/api/history.{kind}"
        whole = await server.get(path)
        for name in ("table", "jobs"):
            monkeypatch.setattr(server.service.history, name, None)
        head = await server.request("HEAD", path)
        names = ("Content-Type", "Content-Disposition")
        assert (head.status, [head.headers[name] for name in names]) == (200, [whole.headers[name] for name in names])
        assert (await server.request("HEAD", f"{path}?state=done")).status == 400


async def test_a_damaged_row_hides_no_other_print(tmp_path):
    async with api(tmp_path, "") as server:
        await record_prints(server, "first", "second")
        assert len((await server.get("/api/history")).json["jobs"]) == 2
        await server.service.cache.keep(("UPDATE prints SET filament = '[{' WHERE id = 1", ()))
        assert [job["filament"] for job in (await server.get("/api/history")).json["jobs"]] == [[], []]


@pytest.mark.parametrize(
    "what", ["the front's database is lost", "the core's is", "earlier prints are put in", "while it runs"]
)
async def test_a_lost_database_leaves_the_rest_of_the_history(tmp_path, what):
    async with api(tmp_path, address="") as server:
        await record_prints(server, "first", "second")
        assert [job["name"] for job in (await server.get("/api/history")).json["jobs"]] == ["second", "first"]
    for database in {"the front's database is lost": ["front.db"], "the core's is": ["nozzled.db"]}.get(what, []):
        for path in tmp_path.glob(f"{database}*"):
            path.unlink()
    async with api(tmp_path, address="") as server:
        expected = ["second", "first"]
        if what == "the core's is":
            server.service.core.store._wall = lambda: NOW + 5
            await record_prints(server, "third")
            expected = ["third", "second", "first"]
        if what == "while it runs":
            assert len((await server.get("/api/history")).json["jobs"]) == len(expected)
            await server.settle(11)
        if what in ("earlier prints are put in", "while it runs"):
            insert = "INSERT INTO jobs (id, path, name, size, mtime_ns, origin, printer, state, started_at, ended_at"
            insert += ", outcome)"
            await server.service.core.store.change(f"{insert} VALUES (-3, 'x', 'zero', 1, 0, 'l', '', 'A', 1, 2, 'A')")
            expected = ["second", "first", "zero"]
        assert [job["name"] for job in (await server.get("/api/history")).json["jobs"]] == expected
        assert [job["name"] for job in (await server.get("/api/history")).json["jobs"]] == expected


async def record_prints(server, *names: str) -> None:
    store = server.service.core.store
    for name in names:
        begun = await store.begin_job(NewJob("x.gcode", name, 1, None, 0, "local", None, "sim"))
        store.end_job(begun, "COMPLETED", None, 1, 1, 60.0)
    await until(lambda: not store._pending)


async def test_a_request_that_meets_the_answer_of_another_is_answered_too(tmp_path, monkeypatch):
    async with api(tmp_path, "") as server:
        history = server.service.history

        async def slow(_):
            await asyncio.sleep(1)

        monkeypatch.setattr(type(history), "sync", slow)
        first = asyncio.create_task(history.refresh(5))
        await asyncio.sleep(0.5)

        async def second():
            await history._sync_task
            return await history.refresh(5)

        assert await asyncio.gather(first, second()) == [True, True]


async def test_a_request_that_joins_a_copy_under_way_sees_the_last_change(tmp_path, monkeypatch):
    async with api(tmp_path) as server:
        await server.upload(("file", "cube.gcode", CUBE * 50), ("print", b"true"))
        await until(lambda: server.service.jobs.state is JobState.PRINTING)
        history = server.service.history
        copy, slow_copies = type(history)._copy, iter([60.0])

        async def slow(self, since):
            await copy(self, since)
            await asyncio.sleep(next(slow_copies, 0.0))

        monkeypatch.setattr(type(history), "_copy", slow)
        early = asyncio.create_task(history.refresh(600))
        await asyncio.sleep(0.1)
        await server.post("/api/job", {"command": "pause"})
        await until(lambda: server.service.jobs.state is JobState.PAUSED)
        assert not early.done()
        assert await history.refresh(600)
        assert (await history.last())[0]["state"] == "paused"
        assert await early


async def test_a_number_that_is_too_long_names_no_imported_print(tmp_path):
    async with api(tmp_path) as server:
        await server.upload(("file", "cube.gcode", CUBE))
        number = await print_file(server, "cube.gcode")
        await server.get("/api/history")
        await server.service.front.cache.change("UPDATE prints SET id = -1 WHERE id = ?", number)  # as `nozzled import`
        assert (await server.get("/api/history/-1")).status == 200
        for request in (
            server.get("/api/history/9999999999999999"),
            server.get("/api/history/9999999999999999/thumbnail"),
            server.post("/api/history/9999999999999999", {"command": "note", "notes": "another print's"}),
            server.post("/api/history/9999999999999999", {"command": "reprint"}),
        ):
            answer = await request
            assert (answer.status, answer.json["error"]) == (
                404, "there is no print 9999999999999999 in the history",
            )  # fmt: skip


async def test_energy_of_any_size_is_answered(tmp_path):
    async with api(tmp_path, "") as server:
        body = b'{"command": "note", "energy": 1%b}' % (b"0" * 400)
        headers = {"Content-Type": "application/json"}
        assert (await server.request("POST", "/api/history/1", body, headers=headers)).status == 400


@pytest.mark.real_time
@pytest.mark.parametrize("kind", ["csv", "json"])
async def test_an_export_that_breaks_off_does_not_look_complete(tmp_path, monkeypatch, kind):
    async with listening(tmp_path, "") as (service, url):
        history, rows = service.front.history, [{"id": 2}]

        async def batch(*_):
            if not rows:
                raise StoreError("the disk has failed")
            return [rows.pop()]

        monkeypatch.setattr(history, "table", batch)
        monkeypatch.setattr(history, "jobs", batch)
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        head = [f"GET /api/history.{kind} HTTP/1.1", "Host: localhost", f"X-Api-Key: {KEY}", "Connection: close"]
        writer.write("\r\n".join([*head, "", ""]).encode())
        async with asyncio.timeout(TIMEOUT):
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert not answer.endswith(b"0\r\n\r\n"), "the end of a chunked body"
        writer.close()
