"""Classes of security holes found in print hosts: a test for each, named after where it was found.

CVE numbers without another name are OctoPrint's.
"""

import asyncio
import hmac
import json
import re
from urllib.parse import quote, urlencode

import pytest
from structlog.testing import capture_logs

from daemon.config import Config
from daemon.front.access.attempts import MAX_WRONG_KEYS
from daemon.front.access.hosts import parse_origins
from daemon.front.access.keyring import Keyring
from daemon.front.access.scopes import Scope
from daemon.front.access.sessions import LIFETIME_S
from daemon.front.http.server import load_handler
from support.http import KEY, NOW, api, form
from support.push import Listener

XSS = "<script>alert(1)</script>"
LOOPBACK = {"Host": "127.0.0.1:5000"}

# what answers without a key, and why: nothing of it tells or changes anything of the printer
OPEN = {
    r"/$": "that there is a server, and how to log in",
    r"/page/(.+)$": "the page itself, which knows nothing without a key",
    r"/client/octoprint\.mjs$": "the client in JavaScript, which knows nothing without a key",
    r"/online\.txt$": "the word online",
    r"/robots\.txt$": "that nothing may be indexed",
    r"/favicon\.ico$": "nothing",
    r"/sockjs$": "a greeting",
    r"/sockjs/info$": "which transports there are",
    r"/sockjs/[^/.]+/([^/.]+)/xhr_streaming$": "says its version until it is shown a session",
    r"/sockjs/[^/.]+/([^/.]+)/xhr$": "as above",
    r"/sockjs/[^/.]+/([^/.]+)/xhr_send$": "as above",
    r"/api/pair$": "a code is exchanged for a key; a wrong one counts as a wrong key",
    r"/api/login$": "without a key there is no user",
    r"/api/currentuser$": "as above",
    r"/api/openapi\.json$": "the API's description",
    r"/api/docs$": "the same for users",
    r"/plugin/appkeys/probe$": "apps may request keys",
    r"/plugin/appkeys/request$": "an app asks for a key",
    r"/plugin/appkeys/request/([^/]+)$": "an app asks for the answer, by its token",
    r"/plugin/appkeys/auth/([^/]+)$": "the form into which an admin writes a key",
}
SOCKETS = {r"/sockjs/websocket$", r"/sockjs/[^/.]+/([^/.]+)/websocket$"}


def routes(server):
    """Return pattern and handler of each address."""
    return [
        (rule.matcher.regex.pattern, load_handler(rule.target)) for rule in server.application.wildcard_router.rules
    ]


def example(pattern):
    """Return an address that matches."""
    return re.sub(r"\([^)]*\)|\[[^]]*\]\+", "x", pattern.replace("(?:control/)?", "").rstrip("$")).replace("\\", "")


async def test_cve_2018_16710_it_is_local_by_default_and_no_unlisted_address_answers_without_a_key(tmp_path):
    assert Config().http.host == "127.0.0.1"
    async with api(tmp_path, "") as server:
        handlers = dict(routes(server))
        is_open = {pattern for pattern, handler in handlers.items() if getattr(handler, "is_public", False)}
        assert is_open == set(OPEN)
        for pattern in set(handlers) - is_open - SOCKETS:
            await asyncio.sleep(1)  # so many requests without a key are too many at once
            for method in ("GET", "POST", "DELETE"):
                response = await server.request(method, example(pattern), key=None, headers=LOOPBACK)
                assert response.status == 403, pattern


async def test_cve_2021_32560_only_the_services_own_log_is_served_and_only_to_admins(tmp_path):
    key = Keyring(tmp_path, lambda: NOW).add("c", Scope.CONTROL)
    async with api(tmp_path, "") as server:
        for path in ("octoprint.log", "..%2fapi-key", "%2e%2e", "nozzled.log%00", "/etc/passwd"):
            assert (await server.get(f"/downloads/logs/{path}")).status == 404
            assert (await server.get(f"/plugin/logging/logs/{path}")).status == 404
        for path in ("/api/logs", "/plugin/logging/logs", "/downloads/logs/nozzled.log"):
            assert (await server.get(path, key=key)).status == 403
            assert (await server.get(path, key=None, headers=LOOPBACK)).status == 403


@pytest.mark.parametrize(
    "path", [f"/{XSS}", f"/api/files/local/{XSS}", f"/api/connection?x={XSS}", f"/downloads/files/local/{XSS}.gcode"]
)
async def test_cve_2021_32561_and_2022_1430_and_2022_1432_reflected_text_is_never_markup(tmp_path, path):
    async with api(tmp_path, "") as server:
        response = await server.get(quote(path, safe="/?=<>()"))
        assert response.headers["Content-Type"].startswith("application/json")
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]


async def test_cve_2022_2822_guessing_is_limited_per_address_whatever_its_headers_claim(tmp_path):
    async with api(tmp_path, "") as server:
        answers = []
        for number in range(MAX_WRONG_KEYS + 5):
            headers = {"X-Forwarded-For": f"192.0.2.{number}"}
            answers.append(await server.get("/api/job", key=f"guess {number}", headers=headers))
        assert [each.status for each in answers] == [403] * MAX_WRONG_KEYS + [429] * 5
        assert 0 < int(answers[-1].headers["Retry-After"]) <= 60
        for _ in range(3):  # guessing locks no one out: a valid key is accepted from the same address
            assert (await server.get("/api/job")).status == 200
        assert (await server.get("/api/job", key="guess")).status == 429


async def test_a_wrong_key_is_logged_with_address_and_count_but_without_the_key(tmp_path):
    async with api(tmp_path, "") as server:
        with capture_logs() as logged:
            for _ in range(MAX_WRONG_KEYS + 5):
                await server.get("/api/job", key="guess-guess-guess")
    refused = [each for each in logged if each["event"] == "access.key_refused"]
    assert [each["wrong_keys"] for each in refused] == list(range(1, MAX_WRONG_KEYS + 1))
    assert {each["address"] for each in refused} == {"192.0.2.9"}
    assert "guess" not in str(logged)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.html", XSS.encode()),
        ("a.gcode.php", b"<?php"),
        ("a.gcode", b"<!doctype html>" + XSS.encode()),
        ("a.gcode", b"\xef\xbb\xbf  <svg onload=alert(1)>"),
        ("a.gcode", b"\x7fELF\x00\x00"),
        ("a.gcode", b"MZ\x90\x00"),
        ("a.gcode", b"PK\x03\x04zip"),
        ("a.gcode", b"\x89PNG\r\n"),
        ("a.gcode", b"#!/bin/sh\n"),
        ("a.gcode", b"GCDE\x01"),
        ("a.gcode", b"G28\n" + b"\x00" * 100),
    ],
)
async def test_cve_2022_2872_only_gcode_is_accepted_by_name_and_content(tmp_path, name, content):
    async with api(tmp_path, "") as server:
        response = await server.upload(("file", name, content))
        assert (response.status, bool(response.error)) == (415, True)
        body, kind = form(("file", name, content))
        pieces = [body[at : at + 1] for at in range(len(body))]
        assert (await server.request("POST", "/api/files/local", pieces, headers={"Content-Type": kind})).status == 415
        assert server.uploaded() == {}


async def test_cve_2022_2888_sessions_expire(tmp_path):
    async with api(tmp_path, "") as server:
        session = (await server.post("/api/login", {"passive": True})).json["session"]
        await asyncio.sleep(LIFETIME_S + 1)
        assert server.service.access.find_session(session, "owner") is None


@pytest.mark.parametrize("path", ["/api/users/admin/password", "/api/access/users/owner/password", "/api/users"])
async def test_cve_2022_2930_and_2024_23637_no_password_can_be_changed(tmp_path, path):
    async with api(tmp_path, "") as server:
        for method in ("PUT", "POST"):
            assert (await server.request(method, path, b"{}")).status in (404, 405, 409)


async def test_cve_2022_3068_no_key_can_grant_more_than_its_own_scope(tmp_path):
    ring = Keyring(tmp_path, lambda: NOW)
    read, control = ring.add("r", Scope.READ), ring.add("c", Scope.CONTROL)
    admins = ["/api/plugin/appkeys", "/plugin/appkeys/decision/x", "/api/system/commands/core/reboot"]
    controls = [
        "/api/job", "/api/connection", "/api/files/local", "/api/files/local/a.gcode", "/api/printer/command",
        "/api/printer/tool", "/api/printer/bed", "/api/printer/printhead", "/api/plugin/action_command_prompt",
    ]  # fmt: skip
    async with api(tmp_path, "") as server:
        for path in admins:
            assert (await server.post(path, {}, key=control)).status == 403
        for path in [*admins, *controls]:
            refused = await server.post(path, {}, key=read)
            assert (refused.status, "a key of scope" in refused.error) == (403, True)
        assert (await server.delete("/api/files/local/a.gcode", key=read)).status == 403
        assert (await server.get("/api/files", key=read)).status == 200


@pytest.mark.parametrize("name", ["a\nb.gcode", "a\x00.gcode", "a\x1b[2J.gcode", "a\r\nX-Evil: 1.gcode"])
async def test_cve_2022_3607_no_name_contains_control_characters(tmp_path, name):
    async with api(tmp_path, "") as server:
        response = await server.upload(("foldername", name.encode()))
        assert response.status == 400
        assert "X-Evil" not in response.headers
        assert (await server.get("/api/files")).json["files"] == []


@pytest.mark.parametrize(
    "script",
    ["M117 {{ 7*7 }}", "M117 {% for x in ().__class__ %}", "M117 ${7*7}", "M117 %(a)s{0.__class__}"],
)
async def test_cve_2023_41047_no_template_is_evaluated(tmp_path, script):
    async with api(tmp_path) as server:
        body = {"command": script, "parameters": {"a": "{{ 7*7 }}"}}
        assert (await server.post("/api/printer/command", body)).status == 204
        await server.settle(1)
        lines = "".join(server.service.connection.printer.flight_recorder.tail())
        assert "49" not in lines.split("M117")[1].split("*")[0]
        brackets = str.maketrans("()", "[]")  # round ones are comments to Marlin, so texts have none
        assert script.replace("%(a)s", "{{ 7*7 }}").translate(brackets) in lines.translate(brackets)
        attribute = {"command": "M117 %(a.__class__)s", "parameters": {"a": "x"}}
        await server.post("/api/printer/command", attribute)
        await server.settle(1)
        assert "<class" not in "".join(server.service.connection.printer.flight_recorder.tail())


async def test_cve_2024_28237_no_address_is_fetched_for_a_client(tmp_path):
    async with api(tmp_path, "") as server:
        for path in ("/api/util/test", "/api/util/test/url"):
            assert (await server.post(path, {"command": "url", "url": "http://127.0.0.1/"})).status == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-For": "192.0.2.1, 127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"X-Real-Ip": "127.0.0.1", "X-Forwarded-For": "127.0.0.1"},
    ],
)
async def test_cve_2024_32977_no_header_makes_a_stranger_local(tmp_path, headers):
    async with api(tmp_path, "", api={"loopback_without_key": True}) as server:
        response = await server.get("/api/job", key=None, headers={**LOOPBACK, **headers})
        assert response.status == 403


async def test_cve_2024_49377_the_name_of_an_app_is_plain_text_in_the_dialog(tmp_path):
    async with api(tmp_path, "") as server:
        answer = await server.post("/plugin/appkeys/request", {"app": XSS}, key=None, headers=LOOPBACK)
        path = answer.json["auth_dialog"].removeprefix("http://127.0.0.1:5000")
        wrong = urlencode({"key": f'"{XSS}', "decision": "allow"}).encode()
        kind = {**LOOPBACK, "Content-Type": "application/x-www-form-urlencoded"}
        for page in (
            await server.get(f"{path}?redirect=javascript:alert(1)&user={XSS}", key=None, headers=LOOPBACK),
            await server.request("POST", path, wrong, key=None, headers=kind),
            await server.request("POST", path, urlencode({"key": KEY}).encode(), key=None, headers=kind),
        ):
            assert page.headers["Content-Type"].startswith("text/html")
            assert XSS.encode() not in page.body
            assert b"&lt;script&gt;" in page.body
            assert b"javascript:" not in page.body
            assert "default-src 'none'" in page.headers["Content-Security-Policy"]
            assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]


async def test_cve_2024_51493_no_answer_and_no_stored_file_contains_a_key(tmp_path):
    key = Keyring(tmp_path, lambda: NOW).add("phone", Scope.ADMIN)
    stored_key = json.loads((tmp_path / "keys.json").read_text())["keys"][0]["sha256"]
    async with api(tmp_path) as server:
        listener = Listener(server)
        await listener.login(key=key)
        await server.settle(5)
        texts = json.dumps(listener.messages)
        for pattern, _ in routes(server):
            if pattern not in SOCKETS and "xhr" not in pattern:
                texts += (await server.get(example(pattern), key=key)).body.decode("latin-1")
        texts += (await server.post("/api/login", {"passive": True}, key=key)).body.decode()
        for secret in (key, KEY, stored_key):
            assert secret not in texts
        assert key not in (tmp_path / "keys.json").read_text()


@pytest.mark.parametrize(
    "path",
    ["//api/job", "/api//job", "/api/job?apikey=", "/api/%6aob", "/downloads//files/local/a.gcode", "/./api/job"],
)
async def test_cve_2025_32788_no_spelling_of_an_address_bypasses_the_key(tmp_path, path):
    async with api(tmp_path, "") as server:
        headers = {**LOOPBACK, "X-Script-Name": "/api", "X-Original-URL": "/api/login", "X-Remote-User": "admin"}
        assert (await server.get(path, key=None, headers=headers)).status == 403


async def test_cve_2025_48067_and_2026_54134_no_field_of_a_form_names_a_file_of_the_service(tmp_path):
    secret = tmp_path / "secret.gcode"
    secret.write_bytes(b"secret")
    async with api(tmp_path / "state", "") as server:
        internal = [("file.path", str(secret).encode()), ("file.name", b"a.gcode"), ("file.size", b"6")]
        assert (await server.upload(*internal)).status == 400
        urlencoded = urlencode({name: value.decode() for name, value in internal}).encode()
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        assert (await server.request("POST", "/api/files/local", urlencoded, headers=kind)).status == 400
        both = await server.upload(*internal, ("file", "b.gcode", b"G28\n"))
        assert both.status == 201
        assert server.uploaded() == {"b.gcode": b"G28\n"}
        assert secret.read_bytes() == b"secret"


async def test_cve_2025_48879_a_truncated_form_is_refused_at_once(tmp_path):
    body, kind = form(("file", "a.gcode", b"G28\n" * 100))
    async with api(tmp_path, "") as server:
        cut = body.removesuffix(b"--frontier--\r\n")
        response = await server.request("POST", "/api/files/local", cut, headers={"Content-Type": kind})
        assert (response.status, server.uploaded()) == (400, {})
        assert (await server.get("/api/job")).status == 200


@pytest.mark.parametrize("name", ["$(touch pwned).gcode", "`touch pwned`.gcode", "a;touch pwned.gcode", "-rf.gcode"])
async def test_cve_2025_58180_a_file_name_is_never_a_command(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    async with api(tmp_path / "state") as server:
        assert (await server.upload(("file", name, b"G28\n"), ("print", b"true"))).status == 201
        await server.settle(30)
        assert (await server.get("/api/job")).json["job"]["file"]["name"] == name
        assert (await server.get("/api/job")).json["progress"]["completion"] == 100.0
    assert not any("pwned" in each.name for each in tmp_path.iterdir())


async def test_cve_2025_64187_text_of_the_printer_is_data_in_every_answer(tmp_path):
    async with api(tmp_path) as server:
        listener = Listener(server)
        await listener.login()
        actions = ("notification", "prompt_begin", "prompt_choice")
        says = "".join(f"//action:{action} {XSS}\n" for action in actions) + "//action:prompt_show\n"
        server.service.connection.printer._pump.on_data(says.encode())
        await server.settle(1)
        for path in ("/api/printer", "/api/plugin/action_command_prompt", "/api/plugin/action_command_notification"):
            response = await server.get(path)
            assert response.headers["Content-Type"].startswith("application/json")
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert XSS in json.dumps(response.json)
        assert len(listener.of("plugin")) == 2


async def test_cve_2026_23892_keys_are_compared_in_constant_time_and_all_of_them(tmp_path, monkeypatch):
    ring = Keyring(tmp_path, lambda: NOW)
    keys = [ring.add(name, Scope.READ) for name in "abc"]
    counts = []
    real = hmac.compare_digest
    async with api(tmp_path, "") as server:
        for key in [*keys, "wrong", KEY]:
            calls = []
            with monkeypatch.context() as patched:
                patched.setattr(hmac, "compare_digest", lambda *two, calls=calls: calls.append(two) or real(*two))
                await server.get("/api/job", key=key)
            counts.append(len(calls))
    assert counts == [4] * 5


async def test_octoprint_1_11_8_a_refused_command_is_quoted_as_data(tmp_path):
    async with api(tmp_path) as server:
        response = await server.post("/api/printer/command", {"command": f"M110 {XSS}"})
        assert response.status == 400
        assert response.headers["Content-Type"].startswith("application/json")


async def test_cve_2025_62169_addresses_of_plugins_need_the_key_too(tmp_path):
    async with api(tmp_path, "") as server:
        for path in ("/api/plugin/appkeys", "/api/plugin/action_command_prompt", "/plugin/SpoolManager/loadSpools"):
            assert (await server.get(path, key=None, headers=LOOPBACK)).status == 403


@pytest.mark.parametrize("name", ["a'; DROP TABLE jobs; --.gcode", "*)(uid=*.gcode", "%s%n.gcode", "\"'.gcode"])
async def test_moonraker_cve_2026_24130_no_name_is_part_of_a_query(tmp_path, name):
    async with api(tmp_path) as server:
        assert (await server.upload(("file", "x.gcode", b"G28\n"))).status == 201
        await server.post("/api/files/local/x.gcode", {"command": "move", "destination": name})
        assert (
            await server.post(f"/api/files/local/{quote(name)}", {"command": "select", "print": True})
        ).status == 204
        await server.settle(30)
        file = (await server.get(f"/api/files/local/{quote(name)}")).json
        assert file["prints"]["success"] == 1


@pytest.mark.parametrize(
    "path",
    [
        "../api-key",
        "..%2fapi-key",
        "%2e%2e/api-key",
        "a/../../api-key",
        "%2fetc%2fpasswd",
        "..%5capi-key",
        "....//api-key",
    ],
)
@pytest.mark.parametrize("address", ["/downloads/files/local/", "/api/files/local/"])
async def test_repetier_cve_2023_31059_no_path_leads_out_of_the_uploads(tmp_path, address, path):
    (tmp_path / "api-key").write_text("secret")
    async with api(tmp_path, "") as server:
        response = await server.get(address + path)
        assert response.status in (400, 404)
        assert b"secret" not in response.body


# -- what a browser can be made to do ----------------------------------------------------------------------


async def test_dns_rebinding_an_unknown_host_name_gets_nothing_without_a_key(tmp_path):
    evil = {"Host": "evil.example:5000"}
    async with api(tmp_path, "", http={"hostnames": ("printer.example",)}) as server:
        for path in ("/plugin/appkeys/probe", "/api/currentuser", "/sockjs/info", "/api/job"):
            assert (await server.get(path, key=None, headers=evil)).status == 403
        assert (await server.post("/plugin/appkeys/request", {"app": "a"}, key=None, headers=evil)).status == 403
        assert (await server.get("/plugin/appkeys/probe", key=None, headers={"Host": "printer.example"})).status == 204
        assert (await server.get("/api/job", headers={"Host": "printer.lan"})).status == 200  # with a key: any name


def test_origins_are_accepted_as_browsers_send_them_and_impossible_ones_reported():
    good = ["http://[::1]:8080", "app://desktop", "*", "null", "file://"]
    bad = ["d.example", "https://*.example", "http://[::1", "http://a:b"]
    parsed = parse_origins([*good, *bad, "https://d.example/", "HTTPS://D.example:443"])
    assert parsed == ({*good, "https://d.example"}, bad)


async def test_there_is_no_cors_unless_an_origin_is_configured(tmp_path):
    good, evil = {"Origin": "https://good.example"}, {"Origin": "https://evil.example"}
    async with api(tmp_path, "", http={"allow_origins": ("https://good.example",)}) as server:
        assert (await server.get("/api/job", headers=good)).headers["Access-Control-Allow-Origin"] == good["Origin"]
        refused = await server.get("/api/job", headers=good, key="wrong")
        assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (403, good["Origin"])
        preflight = await server.request("OPTIONS", "/api/job", key=None, headers=good)
        assert (preflight.status, "X-Api-Key" in preflight.headers["Access-Control-Allow-Headers"]) == (204, True)
        assert "Access-Control-Allow-Credentials" not in preflight.headers
        push = await server.get("/sockjs/info", headers=good, key=None)
        assert push.headers["Access-Control-Allow-Credentials"] == "true"
        assert "Access-Control-Allow-Credentials" not in (await server.get("/sockjs/info", headers=evil)).headers
        assert (await server.get("/api/job", headers=evil)).headers["Vary"] == "Origin"
        for response in (
            await server.get("/api/job", headers=evil),
            await server.request("OPTIONS", "/api/job", key=None, headers=evil),
            await server.get("/api/job"),
        ):
            assert "Access-Control-Allow-Origin" not in response.headers
        assert (await server.request("OPTIONS", "/api/job", key=None, headers=evil)).status == 403


@pytest.mark.parametrize("origin", ["https://any.example", "null", "file://"])
async def test_all_origins_can_be_allowed_with_any_method_and_header(tmp_path, origin):
    asks = {
        "Origin": origin,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "x-api-key,cache-control, pragma,expires, b{d, " + "x" * 70,
    }
    for allowed in (("*",), (origin,)):
        async with api(tmp_path / allowed[0].strip("/:*"), "", http={"allow_origins": allowed}) as server:
            preflight = await server.request("OPTIONS", "/api/settings", headers=asks, key=None)
            assert preflight.status == 204
            assert preflight.headers["Access-Control-Allow-Origin"] == origin
            names = preflight.headers["Access-Control-Allow-Headers"].lower().split(", ")
            assert {"x-api-key", "cache-control", "pragma", "expires"} <= {*names}
            assert not any("x" * 70 in name or name.startswith("b") for name in names)
            assert {"PUT", "PATCH"} <= {*preflight.headers["Access-Control-Allow-Methods"].split(", ")}
            assert "Access-Control-Allow-Credentials" not in preflight.headers
            answer = await server.get("/api/version", headers={"Origin": origin})
            assert answer.headers["Access-Control-Allow-Origin"] == origin
            assert (await server.get("/api/version", headers={"Origin": origin}, key=None)).status == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:5000"}, 200),
        ({"Origin": "http://127.0.0.1:5000", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"X-Forwarded-For": "192.0.2.1"}, 403),
        ({"X-Api-Key": "wrong"}, 403),
    ],
)
async def test_csrf_other_origins_need_a_key_even_if_this_machine_does_not(tmp_path, headers, status):
    async with api(tmp_path, "", api={"loopback_without_key": True}) as server:
        for peer, expected in (("127.0.0.1", status), ("::1", status), ("192.0.2.1", 403)):
            response = await server.get("/api/job", key=None, headers={**LOOPBACK, **headers}, peer=peer)
            assert response.status == expected
        admin = await server.get("/api/plugin/appkeys", key=None, headers=LOOPBACK, peer="127.0.0.1")
        assert admin.status == 403
