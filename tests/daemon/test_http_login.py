import pytest

from daemon.front.access.keyring import Keyring
from daemon.front.access.scopes import Scope
from support.http import KEY, NOW, api, form


def key_of(folder, scope, name="other"):
    return Keyring(folder, lambda: NOW).add(name, scope)


async def test_a_passive_login_names_the_user_of_the_key_and_opens_a_session(tmp_path):
    async with api(tmp_path, "") as server:
        user = (await server.post("/api/login", {"passive": True})).json
        assert user["name"] == "owner"
        assert user["admin"] is True
        assert user["apikey"] is None
        assert KEY not in str(user)
        assert {"PRINT", "STATUS", "ADMIN"} <= set(user["permissions"])
        assert server.service.access.find_session(user["session"], "owner") is not None
        again = (await server.post("/api/login", {"passive": True})).json
        assert again["session"] != user["session"]


async def test_a_passive_login_is_recognised_in_every_form(tmp_path):
    async with api(tmp_path) as server:
        assert (await server.post("/api/login", {"passive": False})).json["session"]
        body, kind = form(("passive", b"true"))
        assert (await server.request("POST", "/api/login", body, headers={"Content-Type": kind})).json["session"]
        torn = await server.request("POST", "/api/login", body[:-9], headers={"Content-Type": "multipart/form-data"})
        assert torn.status == 400


async def test_a_passive_login_without_a_key_gives_no_user_and_no_session(tmp_path):
    async with api(tmp_path, "") as server:
        nobody = await server.post("/api/login", {"passive": True}, key=None, headers={"Host": "localhost"})
        assert nobody.status == 200
        assert "session" not in nobody.json
        assert "name" not in nobody.json
        assert nobody.json["permissions"] == []


@pytest.mark.parametrize(("data", "status"), [({"user": "a", "pass": KEY}, 403), ({}, 400), ({"user": "a"}, 400)])
async def test_passwords_are_refused(tmp_path, data, status):
    async with api(tmp_path, "") as server:
        response = await server.post("/api/login", data)
        assert response.status == status
        assert response.error


async def test_current_user_is_answered_except_for_a_wrong_key(tmp_path):
    read = key_of(tmp_path, Scope.READ, "viewer")
    async with api(tmp_path, "") as server:
        assert (await server.get("/api/currentuser")).json["name"] == "owner"
        viewer = (await server.get("/api/currentuser", key=read)).json
        assert (viewer["name"], "PRINT" in viewer["permissions"]) == ("viewer", False)
        guest = await server.get("/api/currentuser", key=None, headers={"Host": "localhost"})
        assert (guest.status, guest.json) == (200, {"name": None, "permissions": [], "groups": ["guests"]})
        assert (await server.get("/api/currentuser", key="wrong")).status == 403


async def test_logout_ends_all_sessions_of_the_key_or_the_named_one(tmp_path):
    other = key_of(tmp_path, Scope.READ)
    async with api(tmp_path, "") as server:

        async def login(key=KEY):
            return (await server.post("/api/login", {"passive": True}, key=key)).json

        first, second, theirs = await login(), await login(), await login(other)
        find = server.service.access.find_session
        assert (await server.post("/api/logout", {"session": first["session"]})).status == 204
        assert find(first["session"], "owner") is None
        assert find(second["session"], "owner") is not None
        assert (await server.request("POST", "/api/logout")).status == 204
        assert find(second["session"], "owner") is None
        assert find(theirs["session"], "other") is not None


async def test_a_session_ends_with_its_key(tmp_path):
    key = key_of(tmp_path, Scope.READ)
    async with api(tmp_path, "") as server:
        session = (await server.post("/api/login", {"passive": True}, key=key)).json["session"]
        assert server.service.access.find_session(session, "other") is not None
        Keyring(tmp_path, lambda: NOW).revoke("other")
        await server.settle(2)
        assert (await server.get("/api/version", key=key)).status == 403
        assert server.service.access.find_session(session, "other") is None
