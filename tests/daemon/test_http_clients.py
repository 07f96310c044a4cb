"""The first requests of well-known clients, by their sources, and answers that they can use."""

import json
import os
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from daemon.front.access.keyring import Keyring
from daemon.front.access.scopes import Scope
from daemon.front.access.signing import PERIOD
from support.http import KEY, NOW, api

JSON = {"Content-Type": "application/json"}
GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "octoprint-answers" / "shapes.json").read_text())
KINDS = {"boolean": bool, "number": (int, float), "string": str, "array": list, "object": dict}

ACCEPTED_DIFFERENCES = {
    "/api/settings": [
        "api.key: NoneType, not string",
        "scripts.gcode.snippets/disable_bed: missing",
        "scripts.gcode.snippets/disable_hotends: missing",
    ],
    "/plugin/softwareupdate/check": ["information.octoprint.error: NoneType, not string"],  # the one asked was offline
}
"""What differs on purpose; docs/octoprint-compatibility.md says why."""


def differences(shape, answer, path=""):
    """Yield the keys that OctoPrint's answer has and ours lacks, or has with another type."""
    for name, kind in shape.items():
        where = f"{path}{name}"
        if name not in answer:
            yield f"{where}: missing"
        elif isinstance(kind, dict):
            yield from (
                differences(kind, answer[name], f"{where}.") if isinstance(answer[name], dict) else [f"{where}: {kind}"]
            )
        elif kind != "null" and not isinstance(answer[name], KINDS[kind]):
            yield f"{where}: {type(answer[name]).__name__}, not {kind}"
        elif kind == "number" and isinstance(answer[name], bool):
            yield f"{where}: boolean, not number"


@pytest.mark.parametrize("path", GOLDEN)
async def test_our_answers_have_every_key_of_octoprints(tmp_path, path):
    camera = {"stream_url": "/webcam/", "snapshot_url": "/snapshot"}
    async with api(tmp_path, "", webcam=camera) as server:
        answer = await server.get(path)
        assert answer.status == 200
        assert [*differences(GOLDEN[path], answer.json)] == ACCEPTED_DIFFERENCES.get(path, [])


# -- OctoFarm 1.7: each with Content-Type: application/json, the key in X-Api-Key -----------------------------


async def test_octofarm_finds_its_keys(tmp_path):
    async with api(tmp_path, "", appearance={"name": "Anna"}) as server:
        assert (await server.get("/", headers=JSON)).status == 200
        version = (await server.get("/api/version", headers=JSON)).json["server"]
        assert version.startswith("1.")
        login = await server.request("POST", "/api/login?passive=true", b"{}", headers=JSON)
        assert (login.status, len(login.json["session"]) > 20, login.json["name"]) == (200, True, "owner")
        users = (await server.get("/api/users", headers=JSON)).json["users"]
        assert [(each["name"], each["admin"], "admins" in each["groups"]) for each in users] == [("owner", True, True)]
        settings = (await server.get("/api/settings", headers=JSON)).json
        assert settings["appearance"]["name"] == "Anna"
        assert (await server.get("/api/connection", headers=JSON)).json["current"]["state"] == "Closed"
        assert (await server.get("/api/printerprofiles", headers=JSON)).json["profiles"]["_default"]["volume"]
        assert (await server.get("/api/system/commands", headers=JSON)).json["core"] == []
        assert (await server.get("/api/plugin/pluginmanager", headers=JSON)).json["plugins"] == []
        update = (await server.get("/plugin/softwareupdate/check", headers=JSON)).json["information"]["octoprint"]
        assert (update["updateAvailable"], update["displayVersion"]) == (False, version)
        assert (await server.get("/api/plugin/pi_support", headers=JSON)).status == 404  # as where it is no Pi
        files = (await server.get("/api/files?recursive=true", headers=JSON)).json
        assert (files["files"], files["free"] > 0) == ([], True)


# -- FDM Monster 2.1 ----------------------------------------------------------------------------------------------


async def test_fdm_monster_finds_its_keys(tmp_path):
    async with api(tmp_path) as server:
        assert len(KEY) >= 16
        login = (await server.post("/api/login", {"passive": True})).json
        assert login["name"] != "_api"
        assert login["needs"]["group"][0] != "guests"
        assert (await server.get("/api/currentuser")).json["name"] == login["name"]
        current = (await server.get("/api/printer?history=true")).json
        assert current["state"]["flags"]["operational"] is True
        assert "history" in current["temperature"]
        assert (await server.post("/api/settings", {"appearance": {"name": "Farm 1"}})).json["appearance"][
            "name"
        ] == "Farm 1"
        assert (await server.get("/api/system/info")).json["systeminfo"]["octoprint.version"] == "1.11.8"
        assert (await server.get("/api/files/local?recursive=false")).json["files"] == []


# -- OctoApp: asks `/` with a key that is none, then the rest --------------------------------------------------------


async def test_octoapp_finds_its_keys(tmp_path):
    async with api(tmp_path) as server:
        for _ in range(12):
            probe = await server.get("/", key="notanapikey", headers={"Host": "127.0.0.1:5000"})
            assert probe.status == 200
        assert (await server.get("/plugin/appkeys/probe", key=None, headers={"Host": "127.0.0.1:5000"})).status == 204
        settings = (await server.get("/api/settings")).json
        assert settings["webcam"]["webcams"] == []
        assert [each["name"] for each in settings["temperature"]["profiles"]] == ["PLA", "PETG", "ABS"]
        assert settings["terminalFilters"]
        assert all(each["regex"] for each in settings["terminalFilters"])
        assert (await server.get("/plugin/pluginmanager/plugins/versions")).json == {}
        assert (await server.get("/api/connection")).json["current"]["state"] == "Operational"
        assert (await server.get("/api/system/commands")).status == 200


# -- OctoDash ---------------------------------------------------------------------------------------------------------


async def test_octodash_finds_its_keys(tmp_path):
    unusual = {"Cache-Control": "no-cache", "Pragma": "no-cache", "Expires": "0"}
    async with api(tmp_path) as server:
        await server.upload(("file", "a b.gcode", b"G28\n"), ("path", b"parts"))
        login = (await server.post("/api/login", {"passive": True}, headers=unusual)).json
        assert {"name", "session"} <= set(login)
        assert (await server.get("/api/connection", headers=unusual)).json["current"]["state"] == "Operational"
        assert (await server.get("/plugin/pluginmanager/plugins", headers=unusual)).json["plugins"] == []
        # it escapes the slashes, too
        path = "/api/files" + quote("/local/parts/a b.gcode", safe="")
        entry = await server.get(path, headers=unusual)
        assert (entry.status, entry.json["path"]) == (200, "parts/a b.gcode")
        assert (await server.post(path, {"command": "select", "print": False})).status == 204
        config = {"plugins": {"octodash": {"config": {"a": 1}}}}
        assert (await server.post("/api/settings", config, headers=unusual)).status == 200
        assert (await server.delete(path)).status == 204


# -- users, logs, logins ----------------------------------------------------------------------------------------------


async def test_each_key_is_a_user_and_only_an_admin_sees_the_others(tmp_path):
    key = Keyring(tmp_path, lambda: NOW).add("phone", Scope.CONTROL)
    async with api(tmp_path, "") as server:
        for path in ("/api/users", "/api/access/users"):
            assert [each["name"] for each in (await server.get(path)).json["users"]] == ["owner", "phone"]
            assert [each["name"] for each in (await server.get(path, key=key)).json["users"]] == ["phone"]
            assert (await server.get(f"{path}/phone")).json["groups"] == ["users"]
            assert (await server.get(f"{path}/owner", key=key)).status == 404
            assert (await server.post(path, {"name": "x"})).status == 409
            assert (await server.request("PUT", f"{path}/phone", b"{}")).status == 409
            assert key not in (await server.get(path)).body.decode()
        groups = (await server.get("/api/access/groups")).json["groups"]
        assert [each["key"] for each in groups] == ["admins", "users", "guests", "readonly"]
        assert (await server.get("/api/access/groups/admins")).json == groups[0]
        assert (await server.get("/api/access/groups/nobody")).status == 404
        permissions = {each["key"]: each for each in (await server.get("/api/access/permissions")).json["permissions"]}
        assert permissions["STATUS"]["default_groups"] == ["admins", "users", "readonly"]
        assert permissions["ADMIN"]["default_groups"] == ["admins"]


@pytest.mark.parametrize(
    ("address", "body", "kind"),
    [
        ("/api/login", b'{"passive": true}', "application/json"),
        ("/api/login", b"passive=true", "application/x-www-form-urlencoded"),
        ("/api/login?passive=true", b"", None),
        ("/api/login?passive=true", b"", "application/json"),
        ("/api/login?passive=1", b"{}", "application/json"),
    ],
)
async def test_a_login_is_read_from_json_a_form_or_the_query(tmp_path, address, body, kind):
    async with api(tmp_path, "") as server:
        answer = await server.request("POST", address, body, headers={"Content-Type": kind} if kind else {})
        assert (answer.status, answer.json["name"]) == (200, "owner")
        assert (await server.request("POST", address.partition("?")[0], b"")).status == 400


async def test_passwords_are_refused_in_every_form(tmp_path):
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    async with api(tmp_path, "") as server:
        assert (await server.request("POST", "/api/login?user=a&pass=b")).status == 403
        assert (await server.request("POST", "/api/login", b"user=a&pass=b", headers=form)).status == 403
        assert (await server.request("POST", "/api/login", b"a=b&" * 20, headers=form)).status == 400


@contextmanager
def stderr_is(descriptor):
    """Have standard error lead elsewhere."""
    duplicate = os.dup(2)
    os.dup2(descriptor, 2)
    try:
        yield
    finally:
        os.dup2(duplicate, 2)
        os.close(duplicate)


async def test_the_log_is_listed_and_served_if_it_is_a_file(tmp_path):
    content = b"a line of the log\n" * 30_000
    (tmp_path / "log").write_bytes(content)
    async with api(tmp_path / "state", "") as server:
        with (tmp_path / "log").open("ab") as file, stderr_is(file.fileno()):
            await check_log(server, content)


async def check_log(server, content):
    (listed,) = (await server.get("/api/logs")).json["files"]
    assert (listed["name"], listed["size"]) == ("nozzled.log", len(content))
    sent = await server.get(listed["refs"]["download"].removeprefix("http://printer.local:5000"))
    assert (sent.status, sent.body) == (200, content)


async def test_no_log_is_listed_on_a_terminal(tmp_path):
    reading, writing = os.pipe()
    async with api(tmp_path, "") as server:
        with stderr_is(writing):
            empty = (await server.get("/api/logs")).json
            assert (empty["files"], "journalctl" in empty["reason"]) == ([], True)
            assert (await server.get("/downloads/logs/nozzled.log")).status == 404
    os.close(reading)
    os.close(writing)


# -- addresses that are good without a key ---------------------------------------------------------------------------


async def links(server, *paths, **more):
    answer = await server.post("/api/links", {"paths": paths}, **more)
    assert answer.status == 200
    return [answer.json["links"][path] for path in paths]


async def test_a_signed_address_works_without_a_key_for_at_least_ten_minutes(tmp_path):
    async with api(tmp_path, "") as server:
        await server.upload(("file", "ä b.gcode", b"G28\n"), ("path", b"x"))
        await server.upload(("file", "b.gcode", b"G29\n"))
        (address,) = await links(server, "downloads/files/local/x/ä b.gcode")
        assert address.isascii()
        assert (await links(server, "downloads/files/local/x/ä b.gcode")) == [address], "a browser has it already"
        answer = await server.get(address, key=None)
        assert (answer.status, answer.body) == (200, b"G28\n")
        assert (await server.request("HEAD", address, key=None)).status == 200
        other = address.replace("x/%C3%A4%20b.gcode", "b.gcode")
        assert other != address
        assert (await server.get(other, key=None)).status == 403
        assert (await server.get(f"{address}0", key=None)).status == 403
        assert (await server.delete(address, key=None)).status in (403, 405)
        assert (await server.get(address.replace("/downloads/files", "/api/files"), key=None)).status == 403
        await server.settle(PERIOD)
        assert (await server.get(address, key=None)).status == 200
        await server.settle(PERIOD)
        gone = await server.get(address, key=None)
        assert (gone.status, "has expired" in gone.error) == (403, True)


async def test_a_signed_address_ends_with_its_key(tmp_path):
    ring = Keyring(tmp_path, lambda: NOW)
    key = ring.add("phone", Scope.READ)
    async with api(tmp_path, "") as server:
        await server.upload(("file", "a.gcode", b"G28\n"))
        (address,) = await links(server, "/downloads/files/local/a.gcode", key=key)
        assert (await server.get(address, key=None)).status == 200
        ring.revoke("phone")
        await server.settle(2)
        assert (await server.get(address, key=None)).status == 403


async def test_the_query_of_a_signed_address_is_signed_too(tmp_path):
    async with api(tmp_path, "") as server:
        signed = await links(server, "/downloads/thumbnails/local/none.gcode?size=16x16", "/api/history/12/thumbnail")
        assert (await server.get(signed[0], key=None)).status == 404, "it was let in; there is no such file"
        assert (await server.get(signed[1], key=None)).status == 404, "let in, too"
        assert (await server.get(signed[0].replace("16x16", "32x32"), key=None)).status == 403
        (table,) = await links(server, "api/history.csv?q=a&state=failed")
        assert (await server.get(table, key=None)).body.startswith(b"id,")


@pytest.mark.parametrize(
    "paths", [[], ["/api/settings"], ["//evil/downloads"], [1], "x", ["/downloads/files/local/a"] * 257]
)
async def test_other_addresses_are_not_signed(tmp_path, paths):
    async with api(tmp_path, "") as server:
        assert (await server.post("/api/links", {"paths": paths})).status == 400
