"""A browser gets a key for a code; users list and revoke their keys; past prints."""

import asyncio
import re
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from daemon.errors import KeyRefused, TooManyRequests
from daemon.front.access.attempts import MAX_WRONG_KEYS
from daemon.front.access.hosts import name_for_others
from daemon.front.access.pairing import ALPHABET, LIFETIME_S, MAX_CODES, Pairing, normalise
from daemon.front.access.scopes import Scope
from daemon.front.access.step_ups import LIFETIME_S as RAISED
from daemon.front.http.server import listen
from support.http import NOW, api
from support.job_host import MOVES
from support.push import Listener

HOST = {"Host": "localhost:5000"}


async def code_of(server, scope="control"):
    answer = await server.post("/api/pair/codes", {"scope": scope})
    assert answer.status == 201
    return answer.json["code"]


async def pair(server, code, name="Chrome on Android", **more):
    return await server.post("/api/pair", {"code": code, "name": name}, key=None, headers=HOST, **more)


async def test_a_code_is_exchanged_for_a_key_once(tmp_path):
    async with api(tmp_path, "") as server:
        code = await code_of(server)
        paired = await pair(server, code)
        assert paired.status == 201
        assert {**paired.json, "key": ""} == {"key": "", "name": "Chrome on Android", "scope": "control"}
        key = paired.json["key"]
        assert (await server.get("/api/job", key=key)).status == 200
        assert (await server.get("/api/plugin/appkeys", key=key)).status == 403
        again = await pair(server, code)
        assert (again.status, again.error) == (
            403,
            "this code is wrong, used or expired; `nozzled pair` makes a new one",
        )
        other = await pair(server, await code_of(server, "admin"))
        assert (other.json["name"], other.json["scope"]) == ("Chrome on Android 2", "admin")


async def test_the_link_has_the_host_name_of_the_request(tmp_path):
    async with api(tmp_path, "") as server:
        answer = await server.post("/api/pair/codes", {})
        assert answer.json["link"] == f"http://printer.local:5000/#pair={answer.json['code']}"
        assert answer.json["expires"] == LIFETIME_S
        here = await server.post("/api/pair/codes", {}, headers={"Host": "127.0.0.1:5000"})
        assert here.json["link"].startswith("http://127.0.0.1:5000/#pair=")
    async with api(tmp_path / "2", "", http={"host": "0.0.0.0", "hostnames": ("printer.lan",)}) as server:
        others = await server.post("/api/pair/codes", {}, headers={"Host": "127.0.0.1:5001"})
        assert others.json["link"].startswith("http://printer.lan:5001/#pair=")


@pytest.mark.real_time
async def test_sockets_of_systemd_count_instead_of_the_configured_address(tmp_path):
    async with api(tmp_path, "", http={"hostnames": ("printer.lan",)}) as server:
        with socket.create_server(("0.0.0.0", 0)) as bound:
            listening = listen(server.service.front, [bound.dup()])
            server.application.settings["host"] = listening.host
            answer = await server.post("/api/pair/codes", {}, headers={"Host": f"127.0.0.1:{listening.port}"})
            await listening.close()
        assert answer.json["link"].startswith(f"http://printer.lan:{listening.port}/#pair=")


def test_an_address_that_other_computers_reach_gets_a_name_for_them():
    assert name_for_others("127.0.0.1", ["printer.lan"]) is None
    assert name_for_others("::1", []) is None
    assert name_for_others("192.0.2.7", []) == "192.0.2.7"
    assert name_for_others("2001:db8::7", []) == "[2001:db8::7]"
    assert name_for_others("::", []).endswith(".local")


@pytest.mark.parametrize("scope", ["owner", 7, None, ""])
async def test_a_code_needs_a_valid_scope(tmp_path, scope):
    async with api(tmp_path, "") as server:
        assert (await server.post("/api/pair/codes", {"scope": scope})).status == 400


async def test_only_an_admin_creates_codes(tmp_path):
    async with api(tmp_path, "") as server:
        key = (await pair(server, await code_of(server))).json["key"]
        assert (await server.post("/api/pair/codes", {}, key=key)).status == 403
        assert (await server.post("/api/pair/codes", {}, key=None, headers=HOST)).status == 403


async def test_a_wrong_code_counts_as_a_wrong_key(tmp_path):
    async with api(tmp_path, "") as server:
        with capture_logs() as logged:
            statuses = [(await pair(server, f"{number:012}")).status for number in range(MAX_WRONG_KEYS + 2)]
        assert statuses == [403] * MAX_WRONG_KEYS + [429] * 2
        assert (await server.get("/api/job", key="wrong")).status == 429
        refused = [each for each in logged if each["event"] == "access.code_refused"]
        assert len(refused) == MAX_WRONG_KEYS
        assert refused[0]["reason"] == "this code is wrong, used or expired; `nozzled pair` makes a new one"


async def test_neither_code_nor_key_reaches_a_log_or_a_file(tmp_path):
    async with api(tmp_path, "") as server:
        with capture_logs() as logged:
            code = await code_of(server)
            key = (await pair(server, code)).json["key"]
            await pair(server, code)
        assert code not in str(logged)
        assert key not in str(logged)
        for file in tmp_path.rglob("*"):
            if file.is_file() and file.name != "api-key":
                assert key.encode() not in file.read_bytes()
                assert code.encode() not in file.read_bytes()


@pytest.mark.parametrize(
    "body", [{}, {"code": 7}, {"code": "x" * 100}, {"code": "a", "name": ""}, {"code": "a", "name": "a\nb"}]
)
async def test_an_invalid_code_or_name_is_refused_and_costs_no_try(tmp_path, body):
    async with api(tmp_path, "") as server:
        code = await code_of(server)
        for _ in range(MAX_WRONG_KEYS + 1):
            assert (await server.post("/api/pair", body, key=None, headers=HOST)).status == 400
        assert (await pair(server, code)).status == 201


async def test_a_page_of_another_origin_or_host_name_cannot_pair(tmp_path):
    async with api(tmp_path, "") as server:
        code = await code_of(server)
        rebound = await server.post(
            "/api/pair", {"code": code, "name": "x"}, key=None, headers={"Host": "evil.example"}
        )
        assert rebound.status == 403
        assert (await pair(server, code)).status == 201


# -- the codes themselves ----------------------------------------------------------------------------------


def test_a_code_expires():
    codes = Pairing()
    code = codes.make(Scope.READ, 0.0)
    with pytest.raises(KeyRefused):
        codes.use(code, LIFETIME_S)


def test_wrong_codes_do_not_invalidate_right_ones():
    codes = Pairing()
    code = codes.make(Scope.READ, 0.0)
    for _ in range(100):
        with pytest.raises(KeyRefused):
            codes.use("guess", 1.0)
    assert codes.use(code, 1.0) is Scope.READ


def test_unused_codes_are_bounded():
    codes = Pairing()
    for _ in range(MAX_CODES):
        codes.make(Scope.READ, 0.0)
    with pytest.raises(TooManyRequests):
        codes.make(Scope.READ, 1.0)
    codes.make(Scope.READ, LIFETIME_S)


@given(st.text(alphabet=ALPHABET, min_size=12, max_size=12))
def test_a_code_is_accepted_however_it_is_typed(code):
    typed = f" {code[:4].lower()}-{code[4:8]} {code[8:].replace('0', 'o').replace('1', 'l')} "
    assert normalise(typed) == code


# -- keys --------------------------------------------------------------------------------------------------


async def test_an_admin_sees_all_keys_and_others_see_their_own(tmp_path):
    async with api(tmp_path, "") as server:
        phone = (await pair(server, await code_of(server), "phone")).json["key"]
        await pair(server, await code_of(server, "read"), "tablet")
        keys = (await server.get("/api/keys")).json["keys"]
        assert [(each["name"], each["scope"], each["own"]) for each in keys] == [
            ("phone", "control", False),
            ("tablet", "read", False),
        ]
        assert keys[0] == {
            "name": "phone", "scope": "control", "made": int(NOW), "used": None, "app": False, "own": False,
        }  # fmt: skip
        own = (await server.get("/api/keys", key=phone)).json["keys"]
        assert [(each["name"], each["own"], each["used"]) for each in own] == [("phone", True, int(NOW))]


async def test_a_key_is_revoked_by_an_admin_or_by_its_owner(tmp_path):
    async with api(tmp_path, "") as server:
        phone = (await pair(server, await code_of(server), "phone")).json["key"]
        tablet = (await pair(server, await code_of(server, "read"), "my tablet")).json["key"]
        assert (await server.delete("/api/keys/my%20tablet", key=phone)).status == 403
        assert (await server.delete("/api/keys/my%20tablet", key=tablet)).status == 204
        assert (await server.get("/api/job", key=tablet)).status == 403
        assert (await server.delete("/api/keys/phone")).status == 204
        assert (await server.delete("/api/keys/phone")).status == 404
        assert (await server.delete("/api/keys/owner")).status == 404
        assert (await server.get("/api/keys")).json == {"keys": []}


async def test_the_socket_of_a_revoked_key_is_notified_at_once(tmp_path):
    async with api(tmp_path, "") as server:
        phone = (await pair(server, await code_of(server), "phone")).json["key"]
        listener = Listener(server)
        await listener.login(key=phone)
        await asyncio.sleep(5)
        await server.delete("/api/keys/phone")
        await asyncio.sleep(0.1)
        assert listener.messages[-1] == {"reauthRequired": {"reason": "removed"}}


# -- history -----------------------------------------------------------------------------------------------


async def test_the_history_has_the_last_prints_newest_first(tmp_path):
    async with api(tmp_path) as server:
        assert (await server.get("/api/history")).json == {"jobs": [], "next": None, "complete": True}
        lines = "\n".join(MOVES).encode()
        await server.upload(("file", "a.gcode", lines), ("print", b"true"))
        await server.settle(120)
        await server.upload(("file", "b.gcode", lines * 20), ("print", b"true"))
        await server.settle(5)
        await server.post("/api/job", {"command": "cancel"})
        await server.settle(30)
        cancelled, completed = (await server.get("/api/history")).json["jobs"]
        assert (completed["name"], completed["path"], completed["state"]) == ("a.gcode", "a.gcode", "completed")
        assert completed["printTime"] > 0
        assert completed["started"] <= completed["ended"]
        assert cancelled["state"] == "cancelled"
        assert cancelled["id"] > completed["id"]
        assert len((await server.get("/api/history?limit=1")).json["jobs"]) == 1


@pytest.mark.parametrize("limit", ["0", "-1", "101", "x", "", "1e3", "9" * 5000, "²"])
async def test_an_invalid_limit_of_the_history_is_refused(tmp_path, limit):
    async with api(tmp_path, "") as server:
        assert (await server.get(f"/api/history?limit={limit.replace('²', '%C2%B2')}")).status == 400


# -- stepping up -------------------------------------------------------------------------------------------


async def test_a_key_that_steps_up_has_admin_rights_for_a_while(tmp_path):
    async with api(tmp_path, "") as server:
        phone = (await pair(server, await code_of(server), "phone")).json["key"]
        wrong = await server.post("/api/stepup", {"key": phone}, key=phone)
        assert (wrong.status, "scope admin" in wrong.error) == (403, True)
        assert (await server.post("/api/stepup", {"code": await code_of(server)}, key=phone)).status == 403
        assert (await server.post("/api/stepup", {}, key=phone)).status == 400
        answer = await server.post("/api/stepup", {"code": await code_of(server, "admin")}, key=phone)
        assert (answer.status, answer.json["expires"]) == (201, 900)
        raised = answer.json["key"]
        assert (await server.post("/api/pair/codes", {}, key=raised)).status == 201
        assert [each["own"] for each in (await server.get("/api/keys", key=raised)).json["keys"]] == [True]
        assert (await server.post("/api/pair/codes", {}, key=phone)).status == 403  # the key itself is unchanged
        login = await server.post("/api/login", {"passive": True}, key=raised)
        session = server.service.access.find_session(login.json["session"], "phone")
        assert session.identity.scope is Scope.CONTROL  # it lasts longer
        await asyncio.sleep(RAISED)
        assert (await server.post("/api/pair/codes", {}, key=raised)).status == 403


async def test_a_demoted_or_revoked_key_is_no_longer_an_admin(tmp_path):
    async with api(tmp_path, "") as server:
        for end in ("/api/stepup", "/api/keys/phone"):
            phone = (await pair(server, await code_of(server), "phone")).json["key"]
            code = await code_of(server, "admin")
            raised = (await server.post("/api/stepup", {"code": code}, key=phone)).json["key"]
            assert (await server.get("/api/plugin/appkeys", key=raised)).status == 200
            assert (await server.delete(end, key=phone)).status == 204
            assert (await server.get("/api/plugin/appkeys", key=raised)).status == 403
            await server.delete("/api/keys/phone")


async def test_a_code_is_drawn_for_the_camera_of_a_phone(tmp_path):
    async with api(tmp_path, "") as server:
        drawn = (await server.post("/api/pair/codes", {})).json["qr"]
        assert 29 <= drawn["size"] <= 53
        assert re.fullmatch(r"(M\d+ \d+h1v1h-1z)+", drawn["path"])


@pytest.mark.parametrize("host", ["localhost:abc", "localhost:99999"])
async def test_a_host_header_with_an_invalid_port_is_refused(tmp_path, host):
    async with api(tmp_path, "", http={"host": "0.0.0.0"}) as server:
        answer = await server.post("/api/pair/codes", {}, headers={"Host": host})
        assert (answer.status, "port" in answer.error) == (400, True)
