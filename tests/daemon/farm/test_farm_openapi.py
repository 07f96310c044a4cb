"""The description of the farm's API is true: schemathesis holds it against a server that listens."""

import asyncio
import functools
import os
import threading

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import checks
from schemathesis.specs.openapi import checks as openapi

from daemon.farm.http.openapi import describe
from daemon.farm.http.server import listen
from daemon.farm.list.words import FileFacts, JobWish
from daemon.farm.messages import OrderAnswer, Presence
from support.farm_http import NOW, farm_api
from support.waiting import PATIENCE

NIGHTLY = os.environ.get("NOZZLED_PROFILE") == "nightly"

USUAL = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
ENDLESS = "/api/farm/events"


@functools.cache
def description():
    return schemathesis.openapi.from_dict(describe())


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server in a thread of its own; its address and the first key."""
    started, found, stop = threading.Event(), {}, asyncio.Event()

    async def serve():
        async with farm_api(tmp_path_factory.mktemp("farm")) as api:
            api.list.put_file(FileFacts(sha256="0" * 64, size=1, name="a.gcode"))
            api.list.add(JobWish(sha256="0" * 64, copies=3))
            api.printers.presences["mk3"] = Presence(at=NOW, boot="b", ready=True)
            api.printers.answer = OrderAnswer(ok=True, data=b"\xff\xd8")
            listening = listen(api.application, "127.0.0.1", 0)
            found.update(url=f"http://127.0.0.1:{listening.port}", key=api.first_key, loop=asyncio.get_running_loop())
            started.set()
            await stop.wait()
            await listening.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(PATIENCE)
    yield found["url"], found["key"]
    found["loop"].call_soon_threadsafe(stop.set)
    thread.join(PATIENCE)


def call(case, server):
    """Send what fits the description, and hold the answer against it."""
    url, key = server
    held = (
        checks.not_a_server_error,
        openapi.status_code_conformance,
        openapi.content_type_conformance,
        openapi.response_schema_conformance,
        openapi.unsupported_method,
    )
    case.call_and_validate(base_url=url, headers={"X-Api-Key": key}, checks=held, timeout=PATIENCE)


ADDRESSES = [
    (path, method)
    for path, item in describe()["paths"].items()
    for method in item
    if method != "head" and path != ENDLESS
]


@pytest.mark.skipif(NIGHTLY, reason="the nightly profile sends more, below")
@pytest.mark.parametrize(("path", "method"), ADDRESSES, ids=[f"{method} {path}" for path, method in ADDRESSES])
def test_the_farm_answers_as_described(path, method, server):
    """Two requests for each address tell most."""

    @given(description()[path][method.upper()].as_strategy())
    @settings(max_examples=2, derandomize=True, **USUAL)
    def sent(case):
        call(case, server)

    sent()


if NIGHTLY:  # whose Makefile loads the plugin: it sends what each boundary of the description allows, besides

    @pytest.mark.nightly
    @description().exclude(path=ENDLESS).parametrize()
    @settings(max_examples=100, **USUAL)
    def test_the_farm_answers_thousands_of_requests_as_described(case, server):
        call(case, server)
