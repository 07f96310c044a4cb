import gzip
import json
import logging

import pytest
import structlog

from daemon.errors import StateDirTaken
from daemon.front import compression
from daemon.front.access.attempts import MAX_WRONG_KEYS
from daemon.front.http.errors import STATUSES
from daemon.http.base import MAX_JSON
from daemon.http.errors import answer
from gcode.errors import ForbiddenCommand
from support.http import KEY, api


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("path", ["/api/version", "/api/job", "/api/files/local", "/api/nothing", "/nothing"])
@pytest.mark.parametrize("key", [None, "wrong", KEY + "x", KEY[:-1]])
async def test_every_address_is_403_without_a_key(tmp_path, method, path, key):
    async with api(tmp_path, "") as server:
        response = await server.request(method, path, b"x" * 1000, key=key)
        assert response.status == 403
        assert method == "HEAD" or "key" in response.error


@pytest.mark.parametrize("key", [None, "notanapikey", KEY])
@pytest.mark.parametrize("path", ["/", "/online.txt", "/robots.txt", "/favicon.ico"])
async def test_a_probe_of_the_port_finds_the_server(tmp_path, path, key):
    async with api(tmp_path, "") as server:
        for _ in range(2 * MAX_WRONG_KEYS):  # apps probe with a made-up key, again and again
            answer = await server.get(path, key=key, headers={"Host": "127.0.0.1:5000"})
            assert answer.status == (204 if path == "/favicon.ico" else 200)
        assert (await server.get("/api/job", key="wrong")).status == 403  # none of it was an attempt


async def test_the_front_page_explains_the_key_and_reveals_nothing_of_the_printer(tmp_path):
    async with api(tmp_path) as server:
        page = await server.get("/", key=None, headers={"Host": "some.other.name"})
        assert page.headers["Content-Type"].startswith("text/html")
        assert "nozzled key" in page.body.decode()
        for private in (KEY, "Operational", "Marlin", server.service.uuid):
            assert private not in page.body.decode()


async def test_the_key_is_taken_from_query_header_or_bearer_in_this_order(tmp_path):
    async with api(tmp_path, "") as server:
        assert (await server.get(f"/api/version?apikey={KEY}", key=None)).status == 200
        assert (await server.get("/api/version", key=None, headers={"x-api-KEY": KEY})).status == 200
        assert (await server.get("/api/version", key=None, headers={"Authorization": f"bearer {KEY}"})).status == 200
        assert (await server.get("/api/version?apikey=wrong", headers={"X-Api-Key": KEY})).status == 403
        wrong_header = {"X-Api-Key": "wrong", "Authorization": f"Bearer {KEY}"}
        assert (await server.get("/api/version", key=None, headers=wrong_header)).status == 403
        assert (await server.get("/api/version", key=None, headers={"Authorization": f"Basic {KEY}"})).status == 403
        assert (await server.get("/api/version?apikey=%ff%fe", key=None)).status == 403


async def test_version_and_server_are_what_clients_look_for(tmp_path):
    async with api(tmp_path, "") as server:
        version = (await server.get("/api/version")).json
        assert version["api"] == "0.1"
        assert version["text"].startswith(f"OctoPrint {version['server']}")
        assert (await server.get("/api/server")).json == {"version": version["server"], "safemode": None}


async def test_double_slashes_count_as_one_and_a_trailing_slash_is_not_found(tmp_path):
    async with api(tmp_path, "") as server:
        assert (await server.get("//api//version")).status == 200
        assert (await server.get("/api/version/")).status == 404
        assert (await server.get("/api/versions")).error == "Not Found"
        assert (await server.post("/nowhere", {})).error == "Not Found"


@pytest.mark.parametrize("scheme", ["http", "HTTPS"])
async def test_a_request_target_may_be_a_whole_address(tmp_path, scheme):
    async with api(tmp_path, "") as server:
        await server.upload(("file", "a.gcode", b"G28\n"))
        answer = await server.get(f"{scheme}://192.0.2.1:80/api/files?recursive=true")
        assert [each["refs"]["resource"] for each in answer.json["files"]] == [
            "http://192.0.2.1:80/api/files/local/a.gcode"
        ]
        assert (await server.get(f"{scheme}://192.0.2.1//api//version?a=http://b/c")).status == 200
        assert "nozzled" in (await server.get(f"{scheme}://192.0.2.1")).body.decode()
        for malformed in ("://", "://you@192.0.2.1/api/version", ":///api/version", "://a,b/api/version"):
            assert (await server.get(scheme + malformed)).status == 404


async def test_the_host_of_a_whole_address_counts_and_not_the_header(tmp_path):
    """As RFC 9112 says in 3.2.2; the page is shown only under this computer's own names, against DNS rebinding."""
    async with api(tmp_path, "") as server:
        for target, header, status in (
            ("/", "evil.example", 403),
            ("http://evil.example/", "127.0.0.1", 403),
            ("http://127.0.0.1/", "evil.example", 200),
        ):
            headers = {"Host": header, "Accept": "text/html"}
            assert (await server.get(target, headers=headers, key=None)).status == status


async def test_a_wrong_method_is_405_with_the_allowed_ones(tmp_path):
    async with api(tmp_path, "") as server:
        response = await server.delete("/api/job")
        assert (response.status, response.error) == (405, "Method Not Allowed")
        assert response.headers["Allow"] == "GET, HEAD, POST"


async def test_every_answer_forbids_sniffing_and_framing(tmp_path):
    async with api(tmp_path, "") as server:
        for response in (
            await server.get("/api/version"),
            await server.get("/nowhere"),
            await server.get("/api/version", key=None),
        ):
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert "default-src 'none'" in response.headers["Content-Security-Policy"]
            assert response.headers["Server"] == "nozzled"


async def test_unknown_headers_are_ignored(tmp_path):
    async with api(tmp_path, "") as server:
        headers = {"X-OctoPrint-Api-Version": "2.0.0", "X-Forwarded-For": "127.0.0.1"}
        assert "api" in (await server.get("/api/version", headers=headers)).json


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", JSON, 400),
        (b"", JSON, 400),
        (b"[]", JSON, 400),
        (b'"connect"', JSON, 400),
        (b'{"command": "explode"}', JSON, 400),
        (b'{"command": ["connect"]}', JSON, 400),
        (b'{"command": "connect", "baudrate": NaN}', JSON, 400),
        (b"\xff\xfe", JSON, 400),
        (b"[" * 60_000, JSON, 400),
        (b"{}", {}, 415),
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b'{"command": "disconnect"}', {"Content-Type": "application/json; charset=utf-8"}, 204),
        (b'{"command": "disconnect"}', {"Content-Type": "application/vnd.api+json"}, 204),
    ],
)
async def test_an_invalid_command_is_refused(tmp_path, body, headers, status):
    async with api(tmp_path, "") as server:
        response = await server.request("POST", "/api/connection", body, headers=headers)
        assert response.status == status
        assert status == 204 or response.error


async def test_a_json_body_is_bounded_even_without_a_length(tmp_path):
    async with api(tmp_path, "") as server:
        answer = await server.request("POST", "/api/connection", b"x" * (MAX_JSON + 1), headers=JSON)
        assert (answer.status, "too large" in answer.error) == (413, True)
        pieces = [b"x" * 1000] * 100
        unsaid = await server.request("POST", "/api/connection", pieces, headers={**JSON, "Content-Length": "0"})
        assert unsaid.status == 413


@pytest.mark.parametrize("length", ["9" * 30, "9" * 5000])
@pytest.mark.parametrize("path", ["/api/job", "/api/files/local"])
async def test_an_absurd_length_is_too_large(tmp_path, path, length):
    async with api(tmp_path, "") as server:
        kind = {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": length}
        assert (await server.request("POST", path, b"x", headers=kind)).status == 413


async def test_a_refused_client_that_expects_100_continue_is_answered_at_once(tmp_path):
    async with api(tmp_path, "") as server:
        response = await server.request("POST", "/api/job", key=None, headers={"Expect": "100-continue"})
        assert response.status == 403
        assert response.error


async def test_an_internal_error_is_500_with_details_only_in_the_log(tmp_path, monkeypatch, caplog):
    async with api(tmp_path, "") as server:
        monkeypatch.setattr(server.service.front.connection, "options", lambda: {}["secret"])
        response = await server.get(f"/api/connection?apikey={KEY}")
        assert (response.status, response.error) == (500, "Internal Server Error")
        assert "KeyError: 'secret'" in caplog.text
        assert KEY not in caplog.text


async def test_an_internal_error_of_the_core_is_500_too(tmp_path, monkeypatch):
    async with api(tmp_path, "") as server:
        monkeypatch.setattr(server.service.core.connection, "options", lambda: {}["secret"])
        with structlog.testing.capture_logs() as logged:
            response = await server.get("/api/connection")
        assert (response.status, response.error) == (500, "Internal Server Error")
        assert "secret" in repr(next(each for each in logged if each["event"] == "bridge.question_failed")["exc_info"])


async def test_the_key_reaches_no_log(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    async with api(tmp_path, "") as server:
        await server.get(f"/api/version?apikey={KEY}")
        await server.get(f"/nowhere?apikey={KEY}")
        assert "GET /api/version 200" in caplog.text
        assert KEY not in caplog.text


def test_unlisted_errors_are_not_shown_to_clients():
    assert answer(ValueError("secret"), STATUSES) is None
    assert answer(StateDirTaken("secret"), STATUSES) is None
    assert answer(ForbiddenCommand("M110 is not for you"), STATUSES) == (400, "M110 is not for you")


# -- compression -------------------------------------------------------------------------------------------

GZIP = {"Accept-Encoding": "gzip, deflate"}


async def test_a_long_answer_is_compressed_if_the_client_accepts_it(tmp_path):
    async with api(tmp_path, "") as server:
        plain = await server.get("/api/printerpresets")
        assert len(plain.body) > 1024
        assert "Content-Encoding" not in plain.headers
        assert plain.headers["Vary"] == "Accept-Encoding"
        packed = await server.get("/api/printerpresets", headers=GZIP)
        assert packed.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(packed.body) == plain.body
        assert len(packed.body) < len(plain.body) / 2
        for refused in ("identity", "gzip;q=0", "gzip; q=0.0, br"):
            other = await server.get("/api/printerpresets", headers={"Accept-Encoding": refused})
            assert other.body == plain.body


@pytest.mark.parametrize("path", ["/api/openapi.json", "/api/docs", "/api/queue"])
async def test_very_long_answers_are_compressed_too(tmp_path, path):
    async with api(tmp_path, "") as server:
        await server.upload(("file", "a.gcode", b"G28\n"))
        for _ in range(70 if path == "/api/queue" else 0):
            await server.post("/api/queue", {"command": "add", "path": "a.gcode", "notes": "x" * 1000})
        plain, packed = await server.get(path), await server.get(path, headers=GZIP)
        assert len(plain.body) > compression.LARGE
        assert gzip.decompress(packed.body) == plain.body
        assert len(packed.body) < len(plain.body) / 4


async def test_short_answers_and_binary_data_are_not_compressed(tmp_path):
    async with api(tmp_path, "") as server:
        assert "Content-Encoding" not in (await server.get("/api/version", headers=GZIP)).headers
        lines = b"G28\n" * 1000
        await server.upload(("file", "a.gcode", lines))
        file = await server.get("/downloads/files/local/a.gcode", headers=GZIP)
        assert (file.body, "Content-Encoding" in file.headers) == (lines, False)


@pytest.mark.parametrize("count", [10, 200])
async def test_a_compressed_list_has_an_etag(tmp_path, count):
    async with api(tmp_path, "") as server:
        for number in range(count):
            (server.service.files.root / f"part {number}.gcode").write_bytes(b"G28\n")
        plain = await server.get("/api/files")
        packed = await server.get("/api/files", headers=GZIP)
        assert json.loads(gzip.decompress(packed.body))["files"] == plain.json["files"]
        assert len(packed.body) < len(plain.body) / 4
        for first, headers in ((packed, GZIP), (plain, {})):
            again = await server.get("/api/files", headers={**headers, "If-None-Match": first.headers["Etag"]})
            assert (again.status, again.body) == (304, b"")


async def test_an_abandoned_request_is_not_carried_out_later(tmp_path):
    async with api(tmp_path, "") as server:
        now = server.service.wall()
        for until, status in ((f"{now + 10:.3f}", 200), (f"{now - 1:.3f}", 408), ("soon", 400), ("-1", 400)):
            answer = await server.post("/api/queue", {"command": "pause"}, headers={"Nozzled-Until": until})
            assert answer.status == status, until
            assert (await server.get("/api/queue", headers={"Nozzled-Until": until})).json["paused"] == (status == 200)
            await server.post("/api/queue", {"command": "resume"})
