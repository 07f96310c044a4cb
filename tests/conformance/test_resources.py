"""Addresses, files, printer, connection, access: status codes and shapes."""

import pytest

from support.conformance import FILE, LONG
from support.http import form
from support.processes import until

FLAGS = {
    "operational", "printing", "cancelling", "pausing", "resuming", "finishing", "closedOrError", "error", "paused",
    "ready", "sdReady",
}  # fmt: skip


def test_version_and_server_have_octoprints_form(server):
    version = server.get("/api/version").json
    assert version["api"] == "0.1"
    assert version["text"].startswith("OctoPrint ")
    assert set(server.get("/api/server").json) == {"version", "safemode"}


def test_addresses_and_methods_have_octoprints_statuses(server):
    assert server.get("//api//version").status == (308 if server.octoprint else 200)
    assert server.get("/api/version/").status == 404
    assert server.get("/api/nowhere").json["error"]
    assert server.delete("/api/job").status == 405
    assert server.request("HEAD", "/api/version").status == 200


def test_a_key_is_needed(server):
    assert server.get("/api/job", key=False).status == 403
    assert server.post("/api/job", {"command": "start"}, key=False).status == (400 if server.octoprint else 403)
    assert server.get("/api/job", key=False, headers={"X-Api-Key": "wrong"}).status == 403
    for headers in ({"Authorization": f"Bearer {server._key}"}, {"X-API-KEY": server._key}):
        assert server.get("/api/job", key=False, headers=headers).status == 200
    assert server.get(f"/api/job?apikey={server._key}", key=False).status == 200


def test_login_and_current_user_name_the_user_of_the_key(server):
    user = server.post("/api/login", {"passive": True}).json
    assert {"name", "session", "active", "admin", "user", "groups", "needs", "permissions"} <= set(user)
    assert server.get("/api/currentuser").json["name"] == user["name"]
    guest = server.get("/api/currentuser", key=False)
    assert (guest.status, guest.json["name"]) == (200, None)


def test_settings_and_profiles_have_octoprints_keys(server):
    settings = server.get("/api/settings")
    assert settings.headers["ETag"]
    assert server.get("/api/settings", headers={"If-None-Match": settings.headers["ETag"]}).status == 304
    assert {"feature", "gcodeAnalysis", "plugins", "webcam", "appearance"} <= set(settings.json)
    webcam = {"webcamEnabled", "streamUrl", "snapshotUrl", "flipH", "flipV", "rotate90", "bitrate"}
    assert webcam <= set(settings.json["webcam"])
    profile = server.get("/api/printerprofiles").json["profiles"]["_default"]
    assert {"id", "name", "model", "axes", "extruder", "heatedBed", "volume", "current", "default"} <= set(profile)


def test_the_connection_is_closed_and_opened_with_octoprints_statuses(server):
    server.go_offline()
    answer = server.get("/api/connection").json
    assert answer["current"]["state"] == "Closed"
    expected = {"ports", "baudrates", "printerProfiles", "portPreference", "baudratePreference"}
    assert expected <= set(answer["options"])
    assert server.post("/api/connection", {"command": "connect", "port": "/dev/nonsense"}).status == 400
    assert server.post("/api/connection", {"command": "disconnect"}).status == 204
    assert server.post("/api/connection", {"command": "explode"}).status == 400
    server.go_online()
    assert server.get("/api/connection").json["current"]["state"] == "Operational"


def test_the_printer_without_a_connection_is_409(server):
    server.go_offline()
    for path in ("/api/printer", "/api/printer/tool", "/api/printer/bed"):
        assert server.get(path).status == 409
    for path, data in (
        ("tool", {"command": "target", "targets": {"tool0": 0}}),
        ("bed", {"command": "target", "target": 0}),
        ("printhead", {"command": "home", "axes": ["x"]}),
        ("command", {"command": "M105"}),
    ):
        assert server.post(f"/api/printer/{path}", data).status == 409


def test_the_printer_has_octoprints_parts_and_flags(server):
    server.choose_nothing()
    printer = server.get("/api/printer").json
    assert set(printer["state"]["flags"]) >= FLAGS
    assert printer["state"]["text"] == "Operational"
    until(lambda: "tool0" in server.get("/api/printer/tool").json, "the first temperatures")
    parts = {"temperature", "sd", "state"}
    assert set(server.get("/api/printer?exclude=temperature,sd").json) & parts == {"state"}
    assert "history" in server.get("/api/printer?history=true&limit=2").json["temperature"]


@pytest.mark.parametrize(
    ("path", "data", "status"),
    [
        ("tool", {"command": "target", "targets": {"tool0": 30}}, 204),
        ("tool", {"command": "target", "targets": {"nozzle": 30}}, 400),
        ("tool", {"command": "target", "targets": {"tool0": "hot"}}, 400),
        ("tool", {"command": "target"}, 400),
        ("tool", {"command": "select", "tool": "tool0"}, 204),
        ("tool", {"command": "extrude", "amount": 1}, 204),
        ("tool", {"command": "explode"}, 400),
        ("bed", {"command": "target", "target": 0}, 204),
        ("bed", {"command": "target", "target": "warm"}, 400),
        ("chamber", {"command": "target", "target": 0}, 409),
        ("printhead", {"command": "jog", "x": 1}, 204),
        ("printhead", {"command": "jog", "x": "far"}, 400),
        ("printhead", {"command": "home", "axes": ["x", "y"]}, 204),
        ("printhead", {"command": "home", "axes": ["w"]}, 400),
        ("printhead", {"command": "feedrate", "factor": 100}, 204),
        ("command", {"command": "M105"}, 204),
        ("command", {"commands": ["M105", "M114"]}, 204),
        ("command", {}, 400),
        ("command", {"command": "M105", "commands": ["M105"]}, 400),
        ("command", {"script": "nonsense"}, 404),
    ],
)
def test_commands_to_an_operational_printer_have_octoprints_statuses(server, path, data, status):
    server.go_online()
    assert server.post(f"/api/printer/{path}", data).status == status


def test_error_and_controls_are_answered(server):
    assert server.get("/api/printer/error").status == 200
    assert "controls" in server.get("/api/printer/command/custom").json


def test_files_are_uploaded_listed_copied_and_deleted(server):
    server.choose_nothing()
    answer = server.upload(("select", b"false"), ("path", b"conformance"), ("file", FILE, LONG), ("unknown", b"x"))
    assert answer.status == 201
    assert answer.headers["Location"].endswith(f"/api/files/local/conformance/{FILE}")
    assert {"files", "done"} <= set(answer.json)
    assert {"name", "origin", "path", "refs"} <= set(answer.json["files"]["local"])
    entry = server.get(f"/api/files/local/conformance/{FILE}").json
    expected = {"name", "display", "path", "type", "typePath", "hash", "size", "date", "origin", "refs"}
    assert expected <= set(entry)
    assert (entry["size"], entry["typePath"]) == (len(LONG), ["machinecode", "gcode"])
    listing = server.get("/api/files?recursive=true").json
    assert {"files", "free", "total"} <= set(listing)
    assert server.get("/api/files/nowhere").status == 404
    download = server.get(entry["refs"]["download"].partition("//")[2].partition("/")[2].join(["/", ""]))
    assert (download.status, download.body) == (200, LONG)
    copied = server.post(f"/api/files/local/conformance/{FILE}", {"command": "copy", "destination": "copy.gcode"})
    assert copied.status == 201
    assert server.post("/api/files/local/copy.gcode", {"command": "select"}).status == 204
    assert server.post("/api/files/local/none.gcode", {"command": "select"}).status == 404
    server.choose_nothing()
    assert server.delete("/api/files/local/copy.gcode").status == 204
    assert server.delete("/api/files/local/copy.gcode").status == 404
    assert server.delete("/api/files/local/conformance").status == 204


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([], 400),
        ([("path", b"x")], 400),
        ([("file", "a.exe", b"MZ")], 415),
        ([("file", "a.gcode", b"G28\n"), ("path", b"../..")], 400),
        ([("file", "a.gcode", b"G28\n"), ("userdata", b"{")], 400),
        ([("foldername", b"conformance")], 201),
    ],
)
def test_uploads_have_octoprints_statuses(server, parts, status):
    assert server.upload(*parts).status == status


def test_an_upload_without_overwriting_leaves_the_existing_file(server):
    server.choose_nothing()
    assert server.upload(("file", FILE, LONG)).status == 201
    assert server.upload(("file", FILE, LONG)).status == 201
    assert server.upload(("file", FILE, LONG), ("noOverwrite", b"true")).status == 409


def test_a_file_is_not_deleted_while_it_is_printed(server):
    server.print()
    assert server.upload(("file", FILE, LONG)).status == 409
    assert server.delete(f"/api/files/local/{FILE}").status == 409
    assert server.post("/api/printer/printhead", {"command": "jog", "x": 1}).status == 409
    other = server.upload(("file", "other.gcode", b"G28\n"), ("print", b"true"))
    assert (other.status, other.json["effectivePrint"]) == (201, False)
    server.cancel()
    assert server.delete("/api/files/local/other.gcode").status == 204


def test_a_truncated_form_is_400(server):
    body, kind = form(("file", "cut.gcode", LONG))
    cut = body.removesuffix(b"--frontier--\r\n")
    assert server.request("POST", "/api/files/local", cut, {"Content-Type": kind}).status == 400
    assert server.get("/api/files/local/cut.gcode").status == 404


def test_an_app_requests_a_key_and_polls_for_it(server):
    assert server.get("/plugin/appkeys/probe", key=False).status == 204
    answer = server.post("/plugin/appkeys/request", {"app": "conformance"}, key=False)
    assert answer.status == 201
    assert set(answer.json) >= {"app_token"}
    poll = "/" + answer.headers["Location"].partition("//")[2].partition("/")[2]
    assert server.get(poll, key=False).status == 202
    assert server.get("/plugin/appkeys/request/nonsense", key=False).status == 404


def test_sockets_are_announced(server):
    info = server.get("/sockjs/info", key=False).json
    assert (info["websocket"], info["cookie_needed"], info["origins"]) == (True, False, ["*:*"])
    assert isinstance(info["entropy"], int)
