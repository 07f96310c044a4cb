import sqlite3

from daemon.errors import StoreError
from support.http import NOW, api

SQUARE = b"G28\nG1 X10 Y10 F3000\nG1 X20\nG1 Y20\nG1 X10\nG1 Y10\n"


async def test_without_a_job_every_key_is_present_even_offline(tmp_path):
    async with api(tmp_path, "") as server:
        for path in ("/api/job", "/api/control/job"):
            response = await server.get(path)
            assert response.status == 200
            assert response.json == {
                "job": {
                    "file": {"name": None, "display": None, "path": None, "origin": None, "size": None, "date": None},
                    "estimatedPrintTime": None,
                    "averagePrintTime": None,
                    "lastPrintTime": None,
                    "filament": {"length": None, "volume": None},
                    "user": None,
                },
                "progress": {
                    "completion": None,
                    "filepos": None,
                    "printTime": None,
                    "printTimeLeft": None,
                    "printTimeLeftOrigin": None,
                },
                "state": "Offline",
            }


async def test_the_answer_follows_a_file_from_upload_to_the_end_of_its_print(tmp_path):
    async with api(tmp_path) as server:
        await server.upload(("file", "square.gcode", SQUARE), ("select", b"true"))
        answer = (await server.get("/api/job")).json
        assert answer["state"] == "Operational"
        assert answer["job"]["file"] == {
            "name": "square.gcode",
            "display": "square.gcode",
            "path": "square.gcode",
            "origin": "local",
            "size": len(SQUARE),
            "date": int(NOW),
        }
        assert answer["job"]["user"] == "owner"
        assert answer["progress"]["completion"] is None
        assert (await server.post("/api/control/job", {"command": "start"})).status == 204
        assert (await server.get("/api/job")).json["state"] in ("Starting", "Printing")
        await server.settle(600)
        done = (await server.get("/api/job")).json
        assert (done["state"], done["progress"]["completion"], done["progress"]["printTimeLeft"]) == (
            "Operational",
            100.0,
            0,
        )
        assert done["progress"]["filepos"] == len(SQUARE)
        assert done["job"]["file"]["name"] == "square.gcode"
        assert done["job"]["lastPrintTime"] == done["job"]["averagePrintTime"] > 0
        assert "error" not in done


async def test_the_state_has_the_reason_of_a_fatal_error(tmp_path):
    async with api(tmp_path) as server:
        server.service.connection.printer.emergency_stop()
        answer = (await server.get("/api/job")).json
        assert answer["state"] == "Offline after error"
        assert "emergency stop" in answer["error"]
        assert (await server.get("/api/printer")).error == "Printer is not operational"
        assert "emergency stop" in (await server.get("/api/printer/error")).json["error"]


async def test_a_database_in_trouble_does_not_hide_the_job(tmp_path, monkeypatch):
    async def broken(path):
        raise StoreError("disk I/O error")

    async with api(tmp_path) as server:
        await server.upload(("file", "square.gcode", SQUARE), ("select", b"true"))
        monkeypatch.setattr(server.service.store, "statistics", broken)
        answer = (await server.get("/api/job")).json
        assert answer["job"]["file"]["name"] == "square.gcode"
        assert answer["job"]["lastPrintTime"] is None
        assert [each["name"] for each in (await server.get("/api/files")).json["files"]] == ["square.gcode"]


async def test_a_print_that_is_not_recorded_goes_on_with_a_warning(tmp_path, monkeypatch):
    async def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    async with api(tmp_path) as server:
        assert "warning" not in (await server.get("/api/job")).json
        monkeypatch.setattr(server.service.store, "_run", full)
        await server.upload(("file", "square.gcode", SQUARE), ("print", b"true"))
        await server.settle(0.01)  # the record is written in the same turn of the loop as the answer, or in a later one
        answer = (await server.get("/api/job")).json
        assert answer["state"] in ("Starting", "Printing")
        assert answer["warning"] == "the print continues, but is not recorded: database or disk is full"
        assert "error" not in answer
        await server.settle(600)
        answer = (await server.get("/api/job")).json
        assert (answer["state"], answer["progress"]["completion"]) == ("Operational", 100.0)
        assert answer["warning"] == "prints are not recorded: database or disk is full"
        monkeypatch.undo()
        assert (await server.post("/api/control/job", {"command": "start"})).status == 204
        await server.settle(1)
        assert "warning" not in (await server.get("/api/job")).json


async def test_a_print_of_a_file_that_has_grown_since_it_was_selected_is_never_more_than_complete(tmp_path):
    async with api(tmp_path) as server:
        await server.upload(("file", "square.gcode", SQUARE), ("select", b"true"))
        (server.service.front.files.root / "square.gcode").write_bytes(SQUARE * 50)
        server.service.jobs.start()
        completions = []
        while server.service.jobs.active:
            completions.append((await server.get("/api/job")).json["progress"]["completion"])
            await server.settle(1)
        assert max(completions) > 50
        assert max(completions) <= 100


async def test_the_start_of_a_missing_file_says_so(tmp_path):
    async with api(tmp_path) as server:
        await server.upload(("file", "square.gcode", SQUARE), ("select", b"true"))
        (server.service.front.files.root / "square.gcode").unlink()
        await server.post("/api/job", {"command": "start"})
        await server.settle(1)
        assert "square.gcode" in (await server.get("/api/job")).json["error"]
