import asyncio
from urllib.parse import urlencode

import pytest

from daemon.front.access.keyring import Keyring
from daemon.front.access.scopes import Scope
from support.http import KEY, NOW, api

HOST = {"Host": "127.0.0.1:5000"}
FORM = {**HOST, "Content-Type": "application/x-www-form-urlencoded"}


async def ask(server, app="OctoApp"):
    response = await server.post("/plugin/appkeys/request", {"app": app, "user": "me"}, key=None, headers=HOST)
    assert response.status == 201, response.body
    return response


def path_of(url):
    return url.removeprefix("http://127.0.0.1:5000")


async def test_an_app_gets_a_working_key_once_a_user_allows_it(tmp_path):
    async with api(tmp_path, "") as server:
        probe = await server.get("/plugin/appkeys/probe", key=None, headers=HOST)
        assert (probe.status, probe.body) == (204, b"")
        request = await ask(server)
        poll = path_of(request.headers["Location"])
        assert request.json["app_token"] in poll
        assert (await server.get(poll, key=None, headers=HOST)).status == 202
        listed = (await server.get("/api/plugin/appkeys")).json
        [(token, pending)] = listed["pending"].items()
        assert (pending["app_id"], pending["user_token"]) == ("OctoApp", token)
        assert request.json["app_token"] not in str(listed)
        assert (await server.post(f"/plugin/appkeys/decision/{token}", {"decision": True})).status == 204
        granted = (await server.get(poll, key=None, headers=HOST)).json["api_key"]
        assert (await server.get("/api/job", key=granted)).status == 200
        assert (await server.get("/api/plugin/appkeys", key=granted)).status == 403  # it cannot allow others
        assert (await server.get("/api/plugin/appkeys")).json["keys"] == [{"app_id": "OctoApp", "user_id": "owner"}]
        await server.settle(100)
        assert (await server.get(poll, key=None, headers=HOST)).status == 404
        assert granted not in (tmp_path / "keys.json").read_text()


async def test_a_refused_app_gets_404(tmp_path):
    async with api(tmp_path, "") as server:
        poll = path_of((await ask(server)).headers["Location"])
        [token] = (await server.get("/api/plugin/appkeys")).json["pending"]
        assert (await server.post(f"/plugin/appkeys/decision/{token}", {"decision": False})).status == 204
        assert (await server.get(poll, key=None, headers=HOST)).status == 404
        assert (await server.post(f"/plugin/appkeys/decision/{token}", {"decision": True})).status == 404
        assert (await server.get("/api/plugin/appkeys")).json == {"keys": [], "pending": {}}


async def test_only_an_admin_decides_and_chooses_the_scope(tmp_path):
    control = Keyring(tmp_path, lambda: NOW).add("phone", Scope.CONTROL)
    async with api(tmp_path, "") as server:
        poll = path_of((await ask(server)).headers["Location"])
        [token] = (await server.get("/api/plugin/appkeys")).json["pending"]
        decision = f"/plugin/appkeys/decision/{token}"
        app_token = poll.rpartition("/")[2]
        assert (await server.post(decision, {"decision": True}, key=control)).status == 403
        assert (await server.post(decision, {"decision": True}, key=None, headers=HOST)).status == 403
        assert (await server.post(f"/plugin/appkeys/decision/{app_token}", {"decision": True})).status == 404
        assert (await server.post(decision, {})).status == 400
        assert (await server.post(decision, {"decision": True, "scope": "root"})).status == 400
        assert (await server.post(decision, {"decision": True, "scope": "read"})).status == 204
        granted = (await server.get(poll, key=None, headers=HOST)).json["api_key"]
        assert (await server.get("/api/job", key=granted)).status == 200
        assert (await server.post("/api/job", {"command": "start"}, key=granted)).status == 403


@pytest.mark.parametrize("app", [None, "", " ", 5, "x" * 61, "a\nb", "a\x1b[31m"])
async def test_the_name_of_an_app_is_one_line(tmp_path, app):
    async with api(tmp_path, "") as server:
        response = await server.post("/plugin/appkeys/request", {"app": app}, key=None, headers=HOST)
        assert (response.status, bool(response.error)) == (400, True)


async def test_the_same_app_may_ask_again_for_another_key(tmp_path):
    async with api(tmp_path, "") as server:
        for _ in range(3):
            await ask(server)
            [token] = (await server.get("/api/plugin/appkeys")).json["pending"]
            await server.post(f"/plugin/appkeys/decision/{token}", {"decision": "true"})
        names = [key["app_id"] for key in (await server.get("/api/plugin/appkeys")).json["keys"]]
        assert names == ["OctoApp", "OctoApp 2", "OctoApp 3"]


async def test_requests_are_bounded(tmp_path):
    async with api(tmp_path, "") as server:
        answers = [
            await server.post("/plugin/appkeys/request", {"app": "a"}, key=None, headers=HOST) for _ in range(10)
        ]
        assert {each.status for each in answers[:3]} == {201}
        assert {each.status for each in answers[3:]} == {429}


async def test_an_admin_creates_and_revokes_keys(tmp_path):
    async with api(tmp_path, "") as server:
        answer = (await server.post("/api/plugin/appkeys", {"command": "generate", "app": "slicer"})).json
        assert answer["app_id"] == "slicer"
        assert (await server.get("/api/version", key=answer["api_key"])).status == 200
        again = await server.post("/api/plugin/appkeys", {"command": "generate", "app": "slicer"})
        assert again.status == 409
        assert (await server.post("/api/plugin/appkeys", {"command": "revoke", "app": "slicer"})).status == 204
        assert (await server.get("/api/version", key=answer["api_key"])).status == 403
        assert (await server.post("/api/plugin/appkeys", {"command": "revoke", "app": "slicer"})).status == 404
        assert (await server.post("/api/plugin/appkeys", {"command": "revoke", "app": ["slicer"]})).status == 400


# -- the page for users ------------------------------------------------------------------------------------


async def dialog_of(server, app="OctoApp"):
    return path_of((await ask(server, app)).json["auth_dialog"])


async def test_the_page_accepts_only_an_admins_key(tmp_path):
    control = Keyring(tmp_path, lambda: NOW).add("phone", Scope.CONTROL)
    async with api(tmp_path, "") as server:
        page = await dialog_of(server)
        shown = await server.get(page, key=None, headers=HOST)
        assert shown.status == 200
        assert shown.headers["Content-Type"] == "text/html; charset=UTF-8"
        assert "default-src 'none'" in shown.headers["Content-Security-Policy"]
        for key in ("", "wrong", control):
            form = urlencode({"key": key, "decision": "allow"}).encode()
            assert (await server.request("POST", page, form, key=None, headers=FORM)).status == 403
        assert (await server.get("/api/plugin/appkeys")).json["keys"] == [{"app_id": "phone", "user_id": "owner"}]
        form = urlencode({"key": KEY, "decision": "allow", "scope": "read"}).encode()
        done = await server.request("POST", page, form, key=None, headers=FORM)
        assert (done.status, b"now has a key" in done.body) == (200, True)
        assert (await server.get(page, key=None, headers=HOST)).status == 404


async def test_the_page_refuses_an_app(tmp_path):
    async with api(tmp_path, "") as server:
        page = await dialog_of(server)
        form = urlencode({"key": KEY, "decision": "deny"}).encode()
        done = await server.request("POST", page, form, key=None, headers=FORM)
        assert (done.status, b"was refused" in done.body) == (200, True)
        assert (await server.get("/api/plugin/appkeys")).json == {"keys": [], "pending": {}}


async def test_a_form_with_too_many_fields_is_refused(tmp_path):
    async with api(tmp_path, "") as server:
        dialog = path_of((await ask(server)).json["auth_dialog"])
        body = urlencode({str(number): "x" for number in range(9)}).encode()
        assert (await server.request("POST", dialog, body, headers=FORM, key=None)).status == 400


@pytest.mark.threads
async def test_of_simultaneous_decisions_one_counts(tmp_path):
    async with api(tmp_path, "") as server:
        await ask(server)
        [token] = (await server.get("/api/plugin/appkeys")).json["pending"]
        decide = f"/plugin/appkeys/decision/{token}"
        answers = await asyncio.gather(*(server.post(decide, {"decision": each}) for each in (True, True, False)))
        assert [each.status for each in answers] == [204, 409, 409]
        assert len((await server.get("/api/plugin/appkeys")).json["keys"]) == 1
