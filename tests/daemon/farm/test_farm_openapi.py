"""The description of the farm's API is true: schemathesis checks a listening server against it."""

import asyncio
import threading

import pytest
import schemathesis
from hypothesis import settings

from daemon.farm.http.openapi import describe
from daemon.farm.http.server import listen
from daemon.farm.list.values import FileFacts, JobRequest
from daemon.farm.messages import OrderAnswer, Presence
from support.described import NIGHTLY, USUAL, addresses, call, send_two
from support.farm_http import NOW, farm_api
from support.waiting import TIMEOUT

ENDLESS = "/api/farm/events"  # an answer without an end


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server in its own thread; its address and the first key."""
    started, running, stop = threading.Event(), {}, asyncio.Event()

    async def serve():
        async with farm_api(tmp_path_factory.mktemp("farm")) as api:
            api.list.put_file(FileFacts(sha256="0" * 64, size=1, name="a.gcode"))
            api.list.add(JobRequest(sha256="0" * 64, copies=3))
            api.printers.presences["mk3"] = Presence(at=NOW, boot="b", ready=True)
            api.printers.answer = OrderAnswer(ok=True, data=b"\xff\xd8")
            listening = listen(api.application, "127.0.0.1", 0)
            running.update(url=f"http://127.0.0.1:{listening.port}", key=api.first_key, loop=asyncio.get_running_loop())
            started.set()
            await stop.wait()
            await listening.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(TIMEOUT)
    yield running["url"], running["key"]
    running["loop"].call_soon_threadsafe(stop.set)
    thread.join(TIMEOUT)


ADDRESSES = [each for each in addresses(describe()) if each[0] != ENDLESS]


@pytest.mark.skipif(NIGHTLY, reason="the nightly profile sends more, below")
@pytest.mark.parametrize(("path", "method"), ADDRESSES, ids=[f"{method} {path}" for path, method in ADDRESSES])
def test_the_farm_answers_as_described(path, method, server):
    send_two(describe(), path, method, *server)


def test_whatever_changes_something_may_come_too_late():
    for path, item in describe()["paths"].items():
        for method, operation in item.items():
            assert ("408" in operation["responses"]) is (method not in ("get", "head")), (method, path)


if NIGHTLY:  # as in test_openapi

    @pytest.mark.nightly
    @schemathesis.openapi.from_dict(describe()).exclude(path=ENDLESS).parametrize()
    @settings(max_examples=100, **USUAL)
    def test_the_farm_answers_thousands_of_requests_as_described(case, server):
        call(case, *server)
