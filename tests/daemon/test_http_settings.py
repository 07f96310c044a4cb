import uuid

import pytest

from daemon.front.access.keyring import Keyring
from daemon.front.access.scopes import Scope
from support.http import KEY, NOW, api
from support.job_host import MOVES

LONG = "\n".join(MOVES * 20).encode()


async def test_settings_have_all_sections_of_octoprint_and_what_clients_read(tmp_path):
    camera = {"stream_url": "/webcam/?action=stream", "flip_vertically": True}
    async with api(tmp_path, "", webcam=camera, appearance={"name": "Anna"}) as server:
        settings = (await server.get("/api/settings")).json
        assert set(settings) == {
            "accessControl", "api", "appearance", "controls", "devel", "feature", "folder", "gcodeAnalysis", "plugins",
            "scripts", "serial", "server", "slicing", "system", "temperature", "terminalFilters", "webcam", "nozzled",
        }  # fmt: skip
        assert settings["feature"]["sdSupport"] is False
        assert settings["gcodeAnalysis"]["runAt"]
        assert settings["appearance"]["name"] == "Anna"
        assert settings["webcam"] == settings["webcam"] | {
            "webcamEnabled": True,
            "streamUrl": "/webcam/?action=stream",
            "snapshotUrl": "",
            "flipH": False,
            "flipV": True,
            "rotate90": False,
            "bitrate": "10000k",
            "snapshotSslValidation": True,
        }
        assert settings["api"]["key"] is None


async def test_the_uuid_survives_restarts(tmp_path):
    uuids = []
    for _ in range(2):
        async with api(tmp_path, "") as server:
            uuids.append((await server.get("/api/settings")).json["plugins"]["discovery"]["upnpUuid"])
    assert uuids[0] == uuids[1] == str(uuid.UUID(uuids[0]))
    assert (tmp_path / "uuid").read_text().strip() == uuids[0]


async def test_the_profile_comes_from_the_configuration(tmp_path):
    async with api(tmp_path, "", profile={"extruders": 2, "width_mm": 250.0}) as server:
        listed = (await server.get("/api/printerprofiles")).json["profiles"]
        assert list(listed) == ["_default"]
        profile = listed["_default"]
        assert (profile["current"], profile["default"], profile["id"]) == (True, True, "_default")
        assert profile["extruder"]["count"] == len(profile["extruder"]["offsets"]) == 2
        assert profile["volume"]["width"] == 250.0
        assert set(profile["axes"]) == {"x", "y", "z", "e"}
        assert (await server.get("/api/printerprofiles/_default")).json == profile
        assert profile["resource"] == "http://printer.local:5000/api/printerprofiles/_default"
        assert (await server.get("/api/printerprofiles/other")).status == 404


@pytest.mark.parametrize("path", ["/api/settings", "/api/printerprofiles", "/api/files", "/api/files/local/a.gcode"])
async def test_unchanged_answers_are_304(tmp_path, path):
    async with api(tmp_path, "") as server:
        await server.upload(("file", "a.gcode", b"G28\n"))
        first = await server.get(path)
        assert first.headers["Cache-Control"] == "no-cache"
        again = await server.get(path, headers={"If-None-Match": first.headers["Etag"]})
        assert (again.status, again.body) == (304, b"")
        other = await server.get(path, headers={"If-None-Match": '"another"'})
        assert (other.status, other.headers["Etag"], bool(other.body)) == (200, first.headers["Etag"], True)


async def test_the_tag_of_a_listing_changes_with_the_files_alone(tmp_path, monkeypatch):
    async with api(tmp_path, "") as server:
        before = (await server.get("/api/files")).headers["Etag"]

        async def less_room():
            return 1, 2

        monkeypatch.setattr(server.service.files, "free_space", less_room)
        listing = await server.get("/api/files")
        assert (listing.headers["Etag"], listing.json["free"]) == (before, 1)
        await server.upload(("file", "a.gcode", b"G28\n"))
        assert (await server.get("/api/files")).headers["Etag"] != before


@pytest.mark.parametrize("path", ["/api/version", "/api/job", "/api/files", "/downloads/files/local/a.gcode"])
async def test_head_is_get_without_the_body(tmp_path, path):
    async with api(tmp_path, "") as server:
        await server.upload(("file", "a.gcode", b"G28\n"))
        answer, head = await server.get(path), await server.request("HEAD", path)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["Content-Length"] == str(len(answer.body))
        assert head.headers["Content-Type"] == answer.headers["Content-Type"]


async def test_timelapse_and_slicing_are_empty(tmp_path):
    async with api(tmp_path, "") as server:
        assert (await server.get("/api/timelapse")).json["files"] == []
        assert (await server.get("/api/slicing")).json == {}


# -- system commands ---------------------------------------------------------------------------------------


@pytest.mark.real_time
async def test_a_system_command_does_not_inherit_the_key(tmp_path, monkeypatch):
    monkeypatch.setenv("NOZZLED_API_KEY", KEY)
    environment = tmp_path / "environment"
    async with api(tmp_path / "state", "", system={"reboot": ("sh", "-c", f"env > {environment}")}) as server:
        assert (await server.post("/api/system/commands/core/reboot", {})).status == 204
    assert "PATH=" in environment.read_text()
    assert KEY not in environment.read_text()


@pytest.mark.real_time
async def test_a_system_command_runs_without_a_shell(tmp_path):
    marker = tmp_path / "a b; touch c"
    async with api(tmp_path / "state", "", system={"reboot": ("touch", str(marker)), "shutdown": ("false",)}) as server:
        listed = (await server.get("/api/system/commands")).json
        assert [each["action"] for each in listed["core"]] == ["shutdown", "reboot"]
        assert (await server.get("/api/system/commands/core")).json == listed["core"]
        assert (await server.get("/api/system/commands/custom")).json == []
        assert (await server.get("/api/system/commands/nonsense")).status == 404
        assert (await server.request("POST", "//api/system/commands/core/reboot")).status == 204
        assert marker.exists()
        failed = await server.post("/api/system/commands/core/shutdown", {})
        assert (failed.status, "exit status 1" in failed.error) == (500, True)
        assert (await server.post("/api/system/commands/core/restart", {})).status == 404
        assert (await server.post("/api/system/commands/custom/reboot", {})).status == 404


@pytest.mark.real_time
async def test_a_system_command_that_a_signal_ends_is_reported_with_the_signal(tmp_path):
    async with api(tmp_path, "", system={"reboot": ("sh", "-c", "kill -KILL $$")}) as server:
        response = await server.post("/api/system/commands/core/reboot", {})
        assert (response.status, response.error) == (500, "sh was ended by signal 9")


@pytest.mark.real_time
async def test_a_missing_system_command_is_reported(tmp_path):
    async with api(tmp_path, "", system={"reboot": ("/no/such/program",)}) as server:
        response = await server.post("/api/system/commands/core/reboot", {})
        assert (response.status, "/no/such/program" in response.error) == (500, True)


async def test_system_commands_need_an_admins_key_and_do_not_end_a_print(tmp_path):
    key = Keyring(tmp_path, lambda: NOW).add("phone", Scope.CONTROL)
    async with api(tmp_path, system={"reboot": ("false",)}) as server:
        assert (await server.post("/api/system/commands/core/reboot", {}, key=key)).status == 403
        await server.upload(("file", "a.gcode", LONG), ("print", b"true"))
        refused = await server.post("/api/system/commands/core/reboot", {})
        assert (refused.status, "a print is in progress" in refused.error) == (409, True)


async def test_a_chosen_preset_is_stored_unless_configured(tmp_path):
    async with api(tmp_path, "sim?firmware=marlin2.1") as server:
        answer = (await server.get("/api/printerpresets")).json
        assert {"ender-3", "mk3s", "bambu-x1c"} <= {each["id"] for each in answer["presets"]}
        assert answer["current"] is None
        assert answer["machineType"]
        await server.settle(2)
        assert (await server.get("/api/printerpresets")).json["area"] == {"min": [0, 0, 0], "max": [200, 200, 200]}
        refused = await server.post("/api/printerpresets", {"command": "use", "preset": "enderx"})
        assert refused.status == 400
        assert "there is no preset 'enderx'" in refused.error
        assert (await server.post("/api/printerpresets", {"command": "use", "preset": "Prusa MK3S"})).status == 204
        profile = (await server.get("/api/printerprofiles/_default")).json
        assert (profile["preset"], profile["volume"]["custom_box"]["y_min"]) == ("mk3s", -4.0)
    async with api(tmp_path, "") as server:
        assert (await server.get("/api/printerprofiles/_default")).json["preset"] == "mk3s"
        assert (await server.post("/api/printerpresets", {"command": "use", "preset": None})).status == 204
        assert (await server.get("/api/printerprofiles/_default")).json["sized"] is False
    async with api(tmp_path, "", profile={"width_mm": 250.0}) as server:
        refused = await server.post("/api/printerpresets", {"command": "use", "preset": "mk3s"})
        assert (refused.status, "configuration file" in refused.error) == (409, True)


@pytest.mark.parametrize("text", [" " * 9 + "205", "0" * 10 + "205", "٢٠٥", ""])
async def test_a_temperature_as_a_strange_text_is_refused_or_none(tmp_path, text):
    async with api(tmp_path, "") as server:
        answer = await server.post("/api/settings", {"temperature": {"profiles": [{"name": "x", "extruder": text}]}})
        assert answer.status == (400 if text else 200)
