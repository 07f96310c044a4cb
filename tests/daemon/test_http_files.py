import hashlib
import os

import pytest

from daemon.errors import CoreAway, StoreError
from support.http import NOW, api

A = b"G28\n" * 10
LONG = b"G4 S100\n" * 10


async def with_files(server):
    for path, name in ((b"", "a.gcode"), (b"box/inner", "b.gco")):
        assert (await server.upload(("path", path), ("file", name, A))).status == 201


async def test_the_list_has_files_folders_and_free_space(tmp_path):
    async with api(tmp_path, "") as server:
        await with_files(server)
        for path in ("/api/files", "/api/files/local"):
            answer = (await server.get(path)).json
            assert 0 < answer["free"] < answer["total"]
            file, folder = answer["files"]
            assert file == {
                "name": "a.gcode",
                "display": "a.gcode",
                "path": "a.gcode",
                "type": "machinecode",
                "typePath": ["machinecode", "gcode"],
                "hash": hashlib.sha1(A).hexdigest(),
                "size": len(A),
                "date": int(NOW),
                "origin": "local",
                "user": "owner",
                "refs": {
                    "resource": "http://printer.local:5000/api/files/local/a.gcode",
                    "download": "http://printer.local:5000/downloads/files/local/a.gcode",
                },
            }
            assert (folder["name"], folder["type"], folder["typePath"]) == ("box", "folder", ["folder"])
            assert folder["children"] == []
            assert folder["refs"] == {"resource": "http://printer.local:5000/api/files/local/box"}


@pytest.mark.parametrize("value", ["true", "TRUE", "yes", "y", "1"])
async def test_a_recursive_list_has_the_whole_tree(tmp_path, value):
    async with api(tmp_path, "") as server:
        await with_files(server)
        answer = (await server.get(f"/api/files?recursive={value}")).json
        [inner] = answer["files"][1]["children"]
        assert [child["path"] for child in inner["children"]] == ["box/inner/b.gco"]


async def test_a_single_file_or_folder_can_be_requested(tmp_path):
    async with api(tmp_path, "") as server:
        await with_files(server)
        assert (await server.get("/api/files/local/box/inner/b.gco")).json["size"] == len(A)
        [inner] = (await server.get("/api/files/local/box")).json["children"]
        assert (inner["path"], inner["size"], inner["children"]) == ("box/inner", len(A), [])
        assert (await server.get("/api/files/sdcard")).json == {"files": []}


async def test_a_name_in_any_script_is_kept_everywhere(tmp_path):
    name = "Würfel & 100 % größe?#.gcode"
    async with api(tmp_path, "") as server:
        answer = await server.upload(("file", name, A))
        location = answer.headers["Location"]
        assert location.isascii()
        path = location.removeprefix("http://printer.local:5000")
        assert (await server.get(path)).json["name"] == name
        download = await server.get(
            answer.json["files"]["local"]["refs"]["download"].removeprefix("http://printer.local:5000")
        )
        assert download.body == A
        assert "filename*=UTF-8''W%C3%BCrfel" in download.headers["Content-Disposition"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/files/local/missing.gcode", 404),
        ("/api/files/local/missing/", 404),
        ("/api/files/local/a.gcode/x.gcode", 404),
        ("/api/files/elsewhere", 404),
        ("/api/files/elsewhere/a.gcode", 404),
        ("/api/files/sdcard/a.gco", 404),
        ("/api/files/local/..%2f..%2fetc%2fpasswd", 400),
        ("/api/files/local/../../etc/passwd", 400),
        ("/api/files/local/%2e%2e/lock", 400),
        ("/api/files/local/.incoming", 400),
        ("/api/files/local/%00", 400),
        ("/api/files/local/%ff", 400),
        ("/api/files/local/%2fetc%2fpasswd", 400),
        ("/api/files/local/" + "x" * 2000, 400),
        ("/downloads/files/local/missing.gcode", 404),
        ("/downloads/files/local/box", 404),
        ("/downloads/files/local/..%2fapi-key", 400),
        ("/downloads/files/local/%2e%2e/nozzled.db", 400),
    ],
)
async def test_missing_files_and_paths_out_of_the_folder_are_refused(tmp_path, path, status):
    async with api(tmp_path, "") as server:
        await with_files(server)
        for method in ("GET", "DELETE") if path.startswith("/api/files/local") else ("GET",):
            response = await server.request(method, path)
            assert (response.status, bool(response.error)) == (status, True)
        assert len(server.uploaded()) == 2


async def test_a_symbolic_link_out_of_the_folder_cannot_be_read(tmp_path):
    (tmp_path / "secret.gcode").write_text("secret")
    async with api(tmp_path / "state", "") as server:
        (server.service.files.root / "link.gcode").symlink_to(tmp_path / "secret.gcode")
        assert (await server.get("/downloads/files/local/link.gcode")).status == 400
        assert (await server.get("/api/files")).json["files"] == []


async def test_a_download_is_an_attachment(tmp_path):
    content = bytes(range(32, 256)) * 4096  # more than one block
    async with api(tmp_path, "") as server:
        await server.upload(("file", "a.gcode", content))
        response = await server.get("/downloads/files/local/a.gcode")
        assert (response.status, response.body) == (200, content)
        assert response.headers["Content-Type"] == "application/octet-stream"
        assert response.headers["Content-Disposition"].startswith("attachment")
        assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("range_header", "status", "begin", "end"),
    [
        ("bytes=0-9", 206, 0, 10),
        ("bytes=300000-", 206, 300_000, None),
        ("bytes=-500", 206, -500, None),
        ("bytes=-9999999", 206, 0, None),
        ("bytes=1000-99999999", 206, 1000, None),
        ("bytes=5-4", 200, 0, None),
        ("bytes=0-1,4-5", 200, 0, None),
        ("lines=0-1", 200, 0, None),
        ("bytes=-", 200, 0, None),
        ("bytes=" + "9" * 30 + "-", 200, 0, None),
    ],
)
async def test_a_download_can_be_resumed(tmp_path, range_header, status, begin, end):
    content = bytes(range(32, 256)) * 4096
    async with api(tmp_path, "") as server:
        await server.upload(("file", "a.gcode", content))
        response = await server.get("/downloads/files/local/a.gcode", headers={"Range": range_header})
        part = content[begin:end]
        assert (response.status, response.body) == (status, part)
        if status == 206:
            first = content.index(part) if len(part) < len(content) else 0
            first = len(content) - len(part) if end is None else first
            assert response.headers["Content-Range"] == f"bytes {first}-{first + len(part) - 1}/{len(content)}"


async def test_a_download_has_an_etag_for_caching_and_ranges(tmp_path):
    async with api(tmp_path, "") as server:
        await server.upload(("file", "a.gcode", b"G28\n"))
        first = await server.get("/downloads/files/local/a.gcode")
        known = {"If-None-Match": first.headers["ETag"]}
        assert (await server.get("/downloads/files/local/a.gcode", headers=known)).status == 304
        part = {"Range": "bytes=1-", "If-Range": first.headers["ETag"]}
        assert (await server.get("/downloads/files/local/a.gcode", headers=part)).status == 206
        part["If-Range"] = first.headers["Last-Modified"]
        assert (await server.get("/downloads/files/local/a.gcode", headers=part)).status == 206
        await server.upload(("file", "a.gcode", b"G29\n"))
        part["If-Range"] = first.headers["ETag"]
        whole = await server.get("/downloads/files/local/a.gcode", headers=part)
        assert (whole.status, whole.body) == (200, b"G29\n"), "half of one file and half of another would be printed"
        beyond = await server.get("/downloads/files/local/a.gcode", headers={"Range": "bytes=4-"})
        assert (beyond.status, beyond.error) == (416, "the file has 4 bytes")
        assert beyond.headers["Content-Range"] == "bytes */4"
        for date, status in ((whole.headers["Last-Modified"], 304), ("Sat, 01 Jan 2000 00:00:00 GMT", 200), ("x", 200)):
            answer = await server.get("/downloads/files/local/a.gcode", headers={"If-Modified-Since": date})
            assert answer.status == status


async def test_a_file_is_selected_and_printed(tmp_path):
    async with api(tmp_path) as server:
        await server.upload(("file", "a.gcode", LONG))
        assert (await server.post("/api/files/local/a.gcode", {"command": "select"})).status == 204
        assert (await server.get("/api/job")).json["job"]["file"]["path"] == "a.gcode"
        assert (await server.get("/api/job")).json["state"] == "Operational"
        assert (await server.post("/api/files/local/a.gcode", {"command": "select", "print": True})).status == 204
        await server.settle()
        assert (await server.get("/api/job")).json["state"] == "Printing"
        for body in ({"command": "select"}, {"command": "select", "print": True}, {"command": "unselect"}):
            assert (await server.post("/api/files/local/a.gcode", body)).status == 409
        assert (await server.get("/api/job")).json["state"] == "Printing"


@pytest.mark.parametrize(("path", "status"), [("missing.gcode", 404), ("box", 404), ("..%2fa.gcode", 400)])
async def test_a_folder_or_missing_file_cannot_be_selected(tmp_path, path, status):
    async with api(tmp_path) as server:
        await with_files(server)
        response = await server.post(f"/api/files/local/{path}", {"command": "select"})
        assert (response.status, bool(response.error)) == (status, True)
        assert server.service.jobs.selected is None


async def test_nothing_can_be_selected_while_disconnected(tmp_path):
    async with api(tmp_path, "") as server:
        await with_files(server)
        assert (await server.post("/api/files/local/a.gcode", {"command": "select"})).status == 409


async def test_a_file_is_unselected(tmp_path):
    async with api(tmp_path) as server:
        await with_files(server)
        command = {"command": "unselect"}
        assert (await server.post("/api/files/local/current", command)).error == "no file is selected"
        await server.post("/api/files/local/a.gcode", {"command": "select"})
        assert (await server.post("/api/files/local/box/inner/b.gco", command)).status == 400
        assert (await server.post("/api/files/local/a.gcode", command)).status == 204
        assert (await server.get("/api/job")).json["job"]["file"]["name"] is None
        await server.post("/api/files/local/a.gcode", {"command": "select"})
        assert (await server.post("/api/files/local/current", command)).status == 204


async def test_files_are_copied_and_moved(tmp_path):
    async with api(tmp_path) as server:
        await with_files(server)
        await server.post("/api/files/local/a.gcode", {"command": "select"})
        copied = await server.post("/api/files/local/a.gcode", {"command": "copy", "destination": "box/c.gcode"})
        assert copied.status == 201
        assert copied.headers["Location"] == "http://printer.local:5000/api/files/local/box/c.gcode"
        assert (copied.json["path"], copied.json["origin"], copied.json["name"]) == ("box/c.gcode", "local", "c.gcode")
        assert server.service.jobs.selected is not None
        moved = await server.post("/api/files/local/a.gcode", {"command": "move", "destination": "/box"})
        assert (moved.status, moved.json["path"]) == (201, "box/a.gcode")
        assert server.service.jobs.selected is None
        assert sorted(server.uploaded()) == ["box/a.gcode", "box/c.gcode", "box/inner/b.gco"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"command": "copy"}, 400),
        ({"command": "copy", "destination": 5}, 400),
        ({"command": "copy", "destination": "../x.gcode"}, 400),
        ({"command": "copy", "destination": "b.txt"}, 415),
        ({"command": "move", "destination": "box/inner/b.gco"}, 409),
        ({"command": "analyse"}, 400),
    ],
)
async def test_impossible_file_commands_are_refused(tmp_path, body, status):
    async with api(tmp_path, "") as server:
        await with_files(server)
        assert (await server.post("/api/files/local/a.gcode", body)).status == status
        assert (
            await server.post("/api/files/local/missing.gcode", {"command": "copy", "destination": "x.g"})
        ).status == 404
        assert sorted(server.uploaded()) == ["a.gcode", "box/inner/b.gco"]


async def test_a_file_and_a_folder_with_its_content_are_deleted(tmp_path):
    async with api(tmp_path) as server:
        await with_files(server)
        await server.post("/api/files/local/box/inner/b.gco", {"command": "select"})
        assert (await server.delete("/api/files/local/a.gcode")).status == 204
        assert server.service.jobs.selected is not None
        assert (await server.delete("/api/files/local/box")).status == 204
        assert server.service.jobs.selected is None
        assert server.uploaded() == {}
        assert (await server.delete("/api/files/local/a.gcode")).status == 404


async def test_the_file_being_printed_is_protected(tmp_path):
    async with api(tmp_path) as server:
        answer = await server.upload(("path", b"box"), ("file", "a.gcode", LONG), ("print", b"true"))
        assert answer.json["effectivePrint"] is True
        for response in (
            await server.delete("/api/files/local/box/a.gcode"),
            await server.delete("/api/files/local/box"),
            await server.post("/api/files/local/box/a.gcode", {"command": "move", "destination": "x.gcode"}),
            await server.post("/api/files/local/box", {"command": "move", "destination": "other"}),
            await server.upload(("path", b"box"), ("file", "a.gcode", A)),
            await server.upload(("file", "a.gcode", A), ("path", b"box")),
        ):
            assert (response.status, "is being printed" in response.error) == (409, True)
        assert server.uploaded() == {"box/a.gcode": LONG}
        assert server.service.jobs.active


async def test_a_file_has_the_statistics_of_its_prints(tmp_path):
    async with api(tmp_path) as server:
        await server.upload(("file", "a.gcode", b"G4 S10\n"), ("print", b"true"))
        await server.settle(60)
        answer = (await server.get("/api/files/local/a.gcode")).json
        assert (answer["prints"]["success"], answer["prints"]["failure"]) == (1, 0)
        assert answer["prints"]["last"]["success"] is True
        assert answer["prints"]["last"]["printTime"] >= 10
        assert answer["statistics"]["lastPrintTime"]["_default"] == answer["prints"]["last"]["printTime"]


def count(monkeypatch, owner, name):
    """Return a list that grows with each call."""
    calls, real = [], getattr(owner, name)

    async def counted(*arguments):
        calls.append(arguments)
        return await real(*arguments)

    monkeypatch.setattr(owner, name, counted)
    return calls


async def test_a_list_costs_the_same_questions_and_queries_for_any_number_of_files(tmp_path, monkeypatch):
    async with api(tmp_path, "", analysis={"enabled": True}) as server:
        await with_files(server)
        monkeypatch.setattr(server.service.analyses, "enqueue", lambda _key: None)
        folder = server.service.files.root / "many"
        folder.mkdir()
        for number in range(300):
            (folder / f"{number}.gcode").write_bytes(A)
        await server.get("/api/files?recursive=true")
        questions = count(monkeypatch, server.service.front.jobs._channel, "ask")
        queries = count(monkeypatch, server.service.front.cache, "query")
        for path in ("/api/files?recursive=true", "/api/files/local/many", "/api/files/local?recursive=true"):
            (folder / "0.gcode").write_bytes(path.encode())
            queries.clear()
            answer = await server.get(path)
            assert answer.body.count(b'"machinecode"') >= 300
            assert len(queries) <= 2
        assert not questions


async def test_a_list_is_rebuilt_after_every_possible_change(tmp_path):
    async with api(tmp_path) as server:
        await with_files(server)
        path, tags = "/api/files?recursive=true", []

        async def changed():
            """Return whether the list has changed; an unchanged list is answered with 304, and built once."""
            answer = await server.get(path, headers={"If-None-Match": tags[-1] if tags else ""})
            again = await server.get(path, headers={"If-None-Match": answer.headers["Etag"]})
            assert (again.status, again.body) == (304, b"")
            tags.append(answer.headers["Etag"])
            return answer.status == 200

        assert await changed()
        assert not await changed()
        (server.service.files.root / "by_hand.gcode").write_bytes(A)
        assert await changed()
        (server.service.files.root / "box/inner/b.gco").write_bytes(b"G4 S10\n")
        assert await changed()
        await server.post("/api/files/local/box/inner/b.gco", {"command": "copy", "destination": "c.gcode"})
        assert await changed()
        await server.post("/api/files/local/c.gcode", {"command": "select", "print": True})
        await server.settle(60)
        assert await changed()
        files = (await server.get(path)).json["files"]
        printed = next(each for each in files if each["name"] == "c.gcode")
        assert printed["prints"]["success"] == 1
        assert printed == (await server.get("/api/files/local/c.gcode")).json
        assert not await changed()
        elsewhere = await server.get(path, headers={"Host": "192.0.2.1", "If-None-Match": tags[-1]})
        assert elsewhere.status == 200


async def test_a_list_without_print_statistics_is_rebuilt_when_they_are_back(tmp_path, monkeypatch):
    async with api(tmp_path, "") as server:
        await with_files(server)
        jobs = server.service.front.jobs
        histories = type(jobs).histories

        async def broken(_self):
            raise StoreError("it is away")

        monkeypatch.setattr(type(jobs), "histories", broken)
        answer = await server.get("/api/files")
        assert answer.status == 200
        monkeypatch.setattr(type(jobs), "histories", histories)
        assert (await server.get("/api/files", headers={"If-None-Match": answer.headers["Etag"]})).status == 200


async def test_the_selected_file_is_uploaded_again_while_the_core_is_away(tmp_path, monkeypatch):
    async with api(tmp_path) as server:
        await server.upload(("file", "a.gcode", b"G28\n"), ("select", b"true"))
        ask = server.service.front.core._channel.ask

        async def away(_question):
            raise CoreAway("the core is away")

        monkeypatch.setattr(server.service.front.core._channel, "ask", away)
        assert (await server.upload(("file", "a.gcode", b"G28\nG1 X1\n"))).status == 201
        assert (server.service.front.files.root / "a.gcode").read_bytes() == b"G28\nG1 X1\n"
        monkeypatch.setattr(server.service.front.core._channel, "ask", ask)
        assert (await server.post("/api/job", {"command": "start"})).status == 204
        assert (await server.get("/api/job")).json["job"]["file"]["size"] == len(b"G28\nG1 X1\n")


async def test_a_file_is_moved_and_deleted_while_the_core_is_away(tmp_path, monkeypatch):
    async with api(tmp_path) as server:
        await server.upload(("file", "a.gcode", b"G28\n"), ("select", b"true"))
        await server.post("/api/queue", {"command": "add", "path": "a.gcode"})

        async def away(_question):
            raise CoreAway("the core is away")

        monkeypatch.setattr(server.service.front.core._channel, "ask", away)
        answer = await server.post("/api/files/local/a.gcode", {"command": "move", "destination": "b.gcode"})
        assert answer.status == 201
        [entry] = (await server.get("/api/queue")).json["entries"]
        assert entry["path"] == "b.gcode"
        assert (await server.delete("/api/files/local/b.gcode")).status == 204


@pytest.mark.parametrize("date", [10**12, -(10**11)])
async def test_a_file_with_a_date_of_no_calendar_can_be_downloaded(tmp_path, date):
    async with api(tmp_path, "") as server:
        await server.upload(("file", "a.gcode", b"G28\n"))
        os.utime(tmp_path / "uploads" / "a.gcode", (date, date))
        answer = await server.get("/downloads/files/local/a.gcode")
        assert (answer.status, answer.body, "Last-Modified" in answer.headers) == (200, b"G28\n", False)
        part = {"Range": "bytes=1-", "If-Range": answer.headers["ETag"]}
        assert (await server.get("/downloads/files/local/a.gcode", headers=part)).body == b"28\n"
        other = {"Range": "bytes=1-", "If-Range": "Thu, 01 Jan 1970 00:00:00 GMT"}
        assert (await server.get("/downloads/files/local/a.gcode", headers=other)).status == 200
