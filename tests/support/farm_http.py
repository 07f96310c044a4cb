"""The farm's HTTP API in memory: real list, real application, printers that are data."""

import asyncio
import hashlib
import json
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import msgspec
from tornado.httputil import HTTPHeaders, RequestStartLine

from daemon.farm.http.seams import FarmSeams
from daemon.farm.http.server import make_app, prepare
from daemon.farm.list.job_list import JobList
from daemon.farm.messages import AWAY_AFTER_S, FarmOrder, OrderAnswer, Presence
from support.http import Api, ResponseRecorder

NOW = 1_800_000_000.0


@dataclass
class FakeDispatcher:
    """A dispatcher whose printers are data."""

    presences: dict[str, Presence] = field(default_factory=dict)
    trouble: str = ""
    now: float = NOW
    orders: list[tuple[str, FarmOrder]] = field(default_factory=list)
    answer: OrderAnswer = field(default_factory=lambda: OrderAnswer(ok=True))

    calls: "ThreadlessCalls | None" = None

    def silence_of(self, printer):
        assert not self.calls.busy, "presences belong to the loop, not to the list's thread"
        return self.now - self.presences[printer].at if printer in self.presences else None

    def is_away(self, printer):
        return (ago := self.silence_of(printer)) is None or ago > AWAY_AFTER_S

    def forget(self, printer):
        del self.presences[printer]

    async def order(self, printer, order):
        self.orders.append((printer, order))
        return self.answer


@dataclass
class FakeFiles:
    """The server's G-code files."""

    kept: dict[str, bytes] = field(default_factory=dict)

    async def add(self, path):
        data = await asyncio.to_thread(path.read_bytes)
        await asyncio.to_thread(path.unlink)
        sha256 = hashlib.sha256(data).hexdigest()
        self.kept[sha256] = data
        return sha256, len(data)


class ThreadlessCalls:
    """Calls the list without its thread."""

    def __init__(self, jobs):
        self.jobs = jobs
        self.busy = False

    async def call(self, function):
        await asyncio.sleep(0)
        self.busy = True
        try:
            return function(self.jobs)
        finally:
            self.busy = False


async def fake_analysis(path, known, picture):
    """Analyse a file: the facts are constant, the warning is the file's suffix."""
    return msgspec.structs.replace(known, material="PLA", extent=(20.0, 20.0, 30.0), warnings=(path.suffix,))


def events(body):
    """Return the data of server-sent events."""
    return [json.loads(each) for each in re.findall(rb"^data: (.*)$", body, re.MULTILINE)]


class FarmApi(Api):
    """Sends requests with the first key unless another is given."""

    printers: FakeDispatcher
    files: FakeFiles
    list: JobList

    async def request(self, method, path, body=b"", headers=None, key="first", **more):
        if key == "first":
            key = self.first_key
        return await super().request(method, path, body, headers, key, **more)

    def begin(self, path):
        """Send a request whose answer does not end; return the connection."""
        connection = WatchedConnection("GET", "192.0.2.9")
        delegate = self.application.start_request(None, connection)
        delegate.headers_received(
            RequestStartLine("GET", path, "HTTP/1.1"), HTTPHeaders({"Host": "x", "X-Api-Key": self.first_key})
        )
        delegate.finish()
        return connection


class WatchedConnection(ResponseRecorder):
    """A connection that can be closed by its client."""

    gone = False

    def __init__(self, *args):
        super().__init__(*args)
        self.stream = SimpleNamespace(closed=lambda: self.gone)


@asynccontextmanager
async def farm_api(folder, **changes):
    """Run the API."""
    printers, files, jobs = FakeDispatcher(), FakeFiles(), JobList("sqlite://", lambda: printers.now)
    printers.calls = ThreadlessCalls(jobs)
    farm = FarmSeams(printers.calls, files, printers, folder, lambda: printers.now, analyse=fake_analysis)
    farm = replace(farm, **changes)
    app = make_app(farm)
    path = await prepare(app, farm)
    api = FarmApi(farm, app)
    api.printers, api.files, api.list, api.first_key = printers, files, jobs, path.read_text("utf-8").strip()
    try:
        yield api
    finally:
        await app.settings["farm_feed"].close()
        jobs.close()
