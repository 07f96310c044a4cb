"""Choices of users over the API: settings, temperature presets, the printer's profile."""

import json

import pytest

from daemon.front.access.keyring import Keyring
from daemon.front.access.scopes import Scope
from daemon.front.choices import FILE
from support.http import NOW, api
from support.job_host import MOVES

LONG = "\n".join(MOVES * 20).encode()
PRESETS = [
    {"name": "PLA", "extruder": 215, "bed": 55, "chamber": None},
    {"name": "Dry", "extruder": None, "bed": 45.5, "chamber": 0},
]
PROFILE = "/api/printerprofiles/_default"


async def patch(server, path, data, **more):
    headers = {"Content-Type": "application/json"}
    return await server.request("PATCH", path, json.dumps(data).encode(), headers=headers, **more)


async def test_changed_settings_are_announced_and_stored(tmp_path):
    settings = {
        "appearance": {"name": "Anna", "unknown": 1},
        "webcam": {"streamUrl": "/webcam/", "flipH": True},
        "temperature": {"profiles": PRESETS},
        "plugins": {"octodash": {"a": 1}, "discovery": {"upnpUuid": "other"}},
        "feature": {"sdSupport": False},
    }
    names = []
    async with api(tmp_path, "") as server:
        server.service.events.subscribe(lambda notice: names.append(notice.name))
        tag = (await server.get("/api/settings")).headers["Etag"]
        answer = await server.post("/api/settings", settings)
        assert (answer.status, names) == (200, ["SettingsUpdated"])
        assert answer.json == (await server.get("/api/settings")).json
        assert (await server.get("/api/settings")).headers["Etag"] != tag
        assert server.service.appearance.name == "Anna"
        again = await server.post("/api/settings", answer.json)  # OctoPrint's page sends back all that it has got
        assert (again.status, names) == (200, ["SettingsUpdated"])
    async with api(tmp_path, "") as server:
        stored = (await server.get("/api/settings")).json
    assert stored == answer.json
    assert stored["temperature"]["profiles"] == PRESETS
    assert (stored["appearance"]["name"], stored["webcam"]["streamUrl"], stored["webcam"]["flipH"]) == (
        "Anna",
        "/webcam/",
        True,
    )
    assert [each["name"] for each in stored["webcam"]["webcams"]] == ["classic"]


async def test_the_camera_can_be_set_in_octoprints_new_place(tmp_path):
    async with api(tmp_path, "") as server:
        for camera in ("http://cam/x", "http://[fe80::1%25eth0]:8080/?a;b=%20", "/webcam/?action=stream"):
            settings = {"plugins": {"classicwebcam": {"stream": camera, "flipV": True, "snapshotTimeout": 9}}}
            answer = await server.post("/api/settings", settings)
            assert (answer.status, answer.json["webcam"]["streamUrl"]) == (200, camera)
            assert answer.json["plugins"]["classicwebcam"]["stream"] == camera
        whole = answer.json
        whole["webcam"]["streamUrl"] = "/mine"  # a client sends all back, and has changed one of the two
        assert (await server.post("/api/settings", whole)).json["webcam"]["streamUrl"] == "/mine"
        whole = (await server.get("/api/settings")).json
        whole["plugins"]["classicwebcam"]["stream"] = None
        assert (await server.post("/api/settings", whole)).json["webcam"]["streamUrl"] == ""
        assert whole["webcam"]["flipV"] is True


@pytest.mark.parametrize(
    ("settings", "status", "error"),
    [
        ({"webcam": {"streamUrl": "javascript:alert(1)"}}, 400, "must be an address"),
        *(
            ({"webcam": {"streamUrl": odd}}, 400, "not an address that a browser can open")
            for odd in ("http://a b/", "http://[::1/x", "http://x; default-src *", "http://*", "http://", "http://a:b/")
        ),
        ({"plugins": {"classicwebcam": {"stream": "http://*/"}}}, 400, "not an address"),
        ({"plugins": {"classicwebcam": {"snapshot": "/other"}}}, 409, "set in the configuration file"),
        ({"appearance": {"name": "a" * 201}}, 400, "may have at most 200"),
        ({"webcam": {"flipH": 1}}, 400, "flip_horizontally"),
        ({"appearance": {"name": ["a"]}}, 400, "appearance.name"),
        ({"appearance": {"name": "a\nb"}}, 400, "appearance.name"),
        ({"feature": {"sdSupport": True}}, 409, "feature.sdSupport cannot be changed"),
        ({"webcam": {"snapshotUrl": "/other"}}, 409, "set in the configuration file, [webcam] snapshot_url"),
        ({"temperature": {"profiles": {}}}, 400, "must be a list"),
        ({"temperature": {"profiles": [1]}}, 400, "must be a list of objects"),
        ({"temperature": {"profiles": [{"name": " "}]}}, 400, "1 to 40 characters"),
        ({"temperature": {"profiles": [{"name": "A", "bed": 121}]}}, 400, "bed of A must be from 0 to 120 °C"),
        ({"temperature": {"profiles": [{"name": "A", "extruder": True}]}}, 400, "extruder of A"),
        ({"temperature": {"profiles": [{"name": "A"}, {"name": "a"}]}}, 400, "two presets are called A"),
        ({"temperature": {"profiles": [{"name": "A"}] * 51}}, 400, "at most 50"),
    ],
)
async def test_invalid_settings_are_refused_and_change_nothing(tmp_path, settings, status, error):
    async with api(tmp_path, "", webcam={"snapshot_url": "/snapshot"}) as server:
        before = (await server.get("/api/settings")).json
        answer = await server.post("/api/settings", {"appearance": {"name": "New"}, **settings})
        assert (answer.status, error in answer.error) == (status, True), answer.error
        assert (await server.get("/api/settings")).json == before
        assert before["nozzled"]["fixed"] == ["webcam.snapshotUrl"]


async def test_settings_need_an_admins_key(tmp_path):
    key = Keyring(tmp_path, lambda: NOW).add("phone", Scope.CONTROL)
    async with api(tmp_path, "", system={"reboot": ("reboot", "--secret")}) as server:
        assert (await server.post("/api/settings", {"appearance": {"name": "A"}}, key=key)).status == 403
        assert (await patch(server, PROFILE, {"profile": {"name": "A"}}, key=key)).status == 403
        for preset in ("mk3s", None):  # it would drop an admin's limits of heat
            use = {"command": "use", "preset": preset}
            assert (await server.post("/api/printerpresets", use, key=key)).status == 403
        assert "--secret" not in (await server.get("/api/settings", key=key)).body.decode()
        assert "--secret" in (await server.get("/api/settings")).body.decode()


@pytest.mark.parametrize(
    "damage",
    [b"", b"[]", b'{"sections": {"webcam": [["flip", 1]]}}', b'{"sections": {}, "presets": 1}', b"\xff", b"[" * 10_000],
)
async def test_damaged_settings_are_set_aside(tmp_path, damage):
    (tmp_path / FILE).write_bytes(damage)
    async with api(tmp_path, "") as server:
        names = [each["name"] for each in (await server.get("/api/settings")).json["temperature"]["profiles"]]
        assert names == ["PLA", "PETG", "ABS"]
        assert (tmp_path / f"{FILE}.damaged").read_bytes() == damage
        assert (await server.post("/api/settings", {"appearance": {"name": "A"}})).status == 200


async def test_unknown_settings_stay_in_the_file_and_the_others_are_used(tmp_path, capsys):
    presets = [{"name": "Dry", "bed": 45, "fan": 3}, {"name": 1}, {"name": "Hot", "hotend": 2000}, 5]
    sections = {"webcam": {"rotate": 1, "stream_url": "/mine"}, "appearance": {"name": 5}, "lamp": {"on": True}}
    (tmp_path / FILE).write_text(json.dumps({"version": 2, "sections": sections, "presets": presets, "later": [1]}))
    for _ in range(2):
        async with api(tmp_path, "") as server:
            answer = (await server.get("/api/settings")).json
            assert answer["webcam"]["streamUrl"] == "/mine"
            assert [each["name"] for each in answer["temperature"]["profiles"]] == ["Dry"]
            assert capsys.readouterr().out.count("settings.ignored") == 5
            await server.post("/api/settings", {"webcam": {"flipH": True}})
    stored = json.loads((tmp_path / FILE).read_bytes())
    assert (stored["later"], stored["presets"], stored["sections"]["lamp"]) == ([1], presets, {"on": True})
    assert stored["sections"]["webcam"] == {"rotate": 1, "stream_url": "/mine", "flip_horizontally": True}
    assert not (tmp_path / f"{FILE}.damaged").exists()


async def test_the_configuration_overrides_earlier_choices(tmp_path):
    async with api(tmp_path, "") as server:
        await server.post("/api/settings", {"webcam": {"streamUrl": "/mine", "flipV": True}})
    async with api(tmp_path, "", webcam={"stream_url": "/theirs"}) as server:
        webcam = (await server.get("/api/settings")).json["webcam"]
        assert (webcam["streamUrl"], webcam["flipV"]) == ("/theirs", True)


# -- heating by a preset -----------------------------------------------------------------------------------


async def test_a_preset_heats_existing_heaters_and_a_cooldown_turns_all_off(tmp_path):
    async with api(tmp_path, profile={"extruders": 2}) as server:
        await server.post("/api/settings", {"temperature": {"profiles": PRESETS}})
        assert (await server.post("/api/printer/preheat", {"command": "preheat", "preset": "pla"})).status == 204
        chosen = {"command": "preheat", "preset": "Dry", "tool": "tool1"}
        assert (await server.post("/api/printer/preheat", chosen)).status == 204
        await server.settle(5)
        heaters = (await server.get("/api/printer")).json["temperature"]
        assert (heaters["tool0"]["target"], heaters["bed"]["target"]) == (215, 45.5)
        assert (await server.post("/api/printer/preheat", {"command": "cooldown"})).status == 204
        await server.settle(5)
        heaters = (await server.get("/api/printer")).json["temperature"]
        assert {each["target"] for each in heaters.values()} == {0}


async def test_a_preset_beyond_the_limits_is_refused(tmp_path):
    async with api(tmp_path) as server:
        await server.post("/api/settings", {"temperature": {"profiles": [{"name": "Hot", "extruder": 290}]}})
        assert (await patch(server, PROFILE, {"profile": {"maxTemperatures": {"hotend": 250}}})).status == 200
        hot = {"command": "preheat", "preset": "Hot"}
        assert (await server.post("/api/printer/preheat", hot)).status == 400
        unknown = await server.post("/api/printer/preheat", {**hot, "preset": "X"})
        assert (unknown.status, "the presets are: Hot" in unknown.error) == (404, True)
        await server.upload(("file", "a.gcode", LONG), ("print", b"true"))
        assert (await server.post("/api/printer/preheat", hot)).status == 409


# -- the profile -------------------------------------------------------------------------------------------


async def test_a_changed_profile_applies_at_once_and_is_stored(tmp_path):
    changes = {
        "name": "Cube",
        "volume": {"width": 210, "depth": 200.5, "custom_box": False},
        "extruder": {"count": 2, "sharedNozzle": True, "offsets": [[0, 0], [9, 0]]},
        "maxTemperatures": {"hotend": 260},
        "firmware": "klipper",
        "color": "red",
        "unknown": 1,
    }
    async with api(tmp_path, "") as server:
        answer = await patch(server, PROFILE, {"profile": changes})
        assert answer.status == 200
        profile = answer.json["profile"]
        assert profile == (await server.get(PROFILE)).json
        assert (profile["name"], profile["volume"]["width"], profile["volume"]["depth"]) == ("Cube", 210, 200.5)
        assert (profile["extruder"]["count"], profile["extruder"]["sharedNozzle"]) == (2, True)
        assert (await patch(server, PROFILE, {"profile": profile})).status == 200
        assert (await patch(server, PROFILE, {"profile": {"heatedChamber": True}})).status == 200
    async with api(tmp_path, "") as server:
        stored = (await server.get(PROFILE)).json
        assert stored == {**profile, "heatedChamber": True}
        assert server.service.connection.profile.max_hotend_c == 260
        await server.post("/api/printerpresets", {"command": "use", "preset": "mk3s"})
        assert (await server.get(PROFILE)).json["heatedChamber"] is False
        assert not (tmp_path / "profile.json").exists()


@pytest.mark.parametrize(
    ("profile", "status"),
    [
        ({"volume": {"width": -1}}, 400),
        ({"volume": {"width": "200"}}, 400),
        ({"volume": {"formFactor": "star"}}, 400),
        ({"extruder": {"count": 0}}, 400),
        ({"heatedBed": 1}, 400),
        ({"name": {"a": 1}}, 400),
        ({"model": "a\nb"}, 400),
        ({"axes": {"x": {"inverted": True}}}, 409),
        ("Cube", 400),
        (None, 400),
    ],
)
async def test_an_impossible_profile_is_refused(tmp_path, profile, status):
    async with api(tmp_path, "") as server:
        before = (await server.get(PROFILE)).json
        assert (await patch(server, PROFILE, {"profile": profile})).status == status
        assert (await server.get(PROFILE)).json == before


async def test_a_profile_cannot_be_changed_while_printing_or_if_configured(tmp_path):
    async with api(tmp_path / "one") as server:
        await server.upload(("file", "a.gcode", LONG), ("print", b"true"))
        refused = await patch(server, PROFILE, {"profile": {"name": "A"}})
        assert (refused.status, "a print is in progress" in refused.error) == (409, True)
        assert (await server.delete(PROFILE)).status == 409
        assert (await server.post("/api/printerprofiles", {"profile": {"id": "b"}})).status == 409
        assert (await patch(server, "/api/printerprofiles/other", {"profile": {"name": "A"}})).status == 404
    async with api(tmp_path / "two", "", profile={"width_mm": 100.0}) as server:
        refused = await patch(server, PROFILE, {"profile": {"name": "A"}})
        assert (refused.status, "[profile]" in refused.error) == (409, True)
        assert (await server.get("/api/settings")).json["nozzled"]["profileFixed"] is True


@pytest.mark.parametrize("damage", [b"", b"[1]", b"{", b"[" * 10_000])
async def test_a_damaged_profile_is_set_aside(tmp_path, damage):
    (tmp_path / "profile.json").write_bytes(damage)
    async with api(tmp_path, "") as server:
        assert (await server.get(PROFILE)).json["sized"] is False
    assert (tmp_path / "profile.json.damaged").read_bytes() == damage


async def test_a_heat_limit_applies_even_beside_invalid_fields(tmp_path, capsys):
    odd = {"motion": ["G28"], "width_mm": -1, "max_hotend_c": 200, "later": 1}
    (tmp_path / "profile.json").write_text(json.dumps(odd))
    async with api(tmp_path) as server:
        assert capsys.readouterr().out.count("profile.ignored") == 3
        hot = {"command": "target", "targets": {"tool0": 240}}
        assert "from 0 to 200" in (await server.post("/api/printer/tool", hot)).error
        assert (await patch(server, PROFILE, {"profile": {"name": "A"}})).status == 200
    assert json.loads((tmp_path / "profile.json").read_bytes()) == odd | {"name": "A"}
