"""The description of the API is true: checked against the routes, and by schemathesis against a running daemon."""

import json
import re

import pytest
import schemathesis
from hypothesis import settings

from daemon.front.http.errors import STATUSES
from daemon.front.http.openapi import describe
from daemon.front.http.server import load_handler
from support.described import NIGHTLY, USUAL, addresses, call, send_two
from support.http import api
from support.processes import TOKEN, ProcessGroup

LOOPBACK = {"Host": "127.0.0.1:5000"}

# what is no part of the JSON API: sockets, and pages for users
APART = re.compile(r"/sockjs|/api/docs$|/plugin/appkeys/auth/|/$|/page/|/[a-z]+\.(?:txt|ico)$")


def template(pattern):
    """Return a route's pattern as OpenAPI writes it, without the names."""
    return re.sub(r"\([^)]*\)", "{}", pattern.rstrip("$").replace("\\", ""))


async def test_every_address_is_described_with_every_method(tmp_path):
    described = {re.sub(r"\{\w+\}", "{}", path): item for path, item in describe()["paths"].items()}
    del described["/api/control/job"]  # the same route as /api/job
    async with api(tmp_path, "") as server:
        routes = {
            rule.matcher.regex.pattern: load_handler(rule.target) for rule in server.application.wildcard_router.rules
        }
    handlers = {template(pattern.replace("(?:control/)?", "")): handler for pattern, handler in routes.items()}
    there = {path: handler for path, handler in handlers.items() if not APART.match(path)}
    assert set(described) == set(there)
    for path, handler in there.items():
        methods = {each.lower() for each in handler.allowed_methods()}
        assert set(described[path]) == methods, path


def test_each_status_of_an_error_is_described_where_it_can_occur():
    operations = [
        (method, path, set(each["responses"]), "requestBody" in each, "security" in each)
        for path, item in describe()["paths"].items()
        for method, each in item.items()
    ]
    assert {str(status) for status in STATUSES.values()} <= set().union(*(each[2] for each in operations))
    for method, path, statuses, has_body, needs_no_key in operations:
        assert ("408" in statuses) == (method not in ("get", "head")), path
        assert ("501" in statuses) == ("503" in statuses), path
        assert ("411" in statuses) == (has_body and needs_no_key), path
    assert {"408", "501"} <= set(describe()["paths"]["/api/job"]["post"]["responses"])
    assert "409" in describe()["paths"]["/api/companions/{name}"]["post"]["responses"]  # a print is beginning


async def test_the_description_and_its_page_need_no_key_and_load_nothing(tmp_path):
    async with api(tmp_path, "") as server:
        answer = await server.get("/api/openapi.json", key=None, headers=LOOPBACK)
        assert answer.json == json.loads(json.dumps(describe()))
        again = await server.get("/api/openapi.json", headers={"If-None-Match": answer.headers["Etag"]})
        assert again.status == 304
        page = await server.get("/api/docs", key=None, headers=LOOPBACK)
        text = page.body.decode()
        assert page.headers["Content-Type"] == "text/html; charset=UTF-8"
        assert all(f'id="{path}"' in text for path in describe()["paths"])
        assert not re.search(r"<script|<img|<link|src=|https?://", text)
        assert "default-src 'none'; style-src 'sha256-" in page.headers["Content-Security-Policy"]


# -- against the running daemon ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """A daemon with the simulated printer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("support.processes.LIFETIME", 3600.0)
        processes = ProcessGroup(tmp_path_factory.mktemp("openapi"))
        daemon = processes.daemon("--printer", "sim?speed=1000")
    try:
        daemon.until_state("Operational")
        host, port = daemon.address
        yield f"http://{host}:{port}"
        assert daemon.running
        assert daemon.get("/api/version")["api"] == "0.1"
    finally:
        processes.close()


ADDRESSES = addresses(describe())


@pytest.mark.skipif(NIGHTLY, reason="the nightly profile sends more, below")
@pytest.mark.parametrize(("path", "method"), ADDRESSES, ids=[f"{method} {path}" for path, method in ADDRESSES])
def test_the_daemon_answers_as_described(path, method, url):
    send_two(describe(), path, method, url, TOKEN)


if NIGHTLY:  # the Makefile loads schemathesis' plugin then, which also sends the bounds of each value

    @pytest.mark.nightly
    @schemathesis.openapi.from_dict(describe()).parametrize()
    @settings(max_examples=400, **USUAL)
    def test_the_daemon_answers_thousands_of_requests_as_described(case, url):
        call(case, url, TOKEN)
