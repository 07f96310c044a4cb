"""Push as an iterator, against a server made after OctoPrint's contract: greeting, loss, login, nonsense."""

import asyncio
import json
from contextlib import aclosing, asynccontextmanager

import pytest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

from daemon.client import AccessDenied, BadAnswer, Message, NotFound, OctoPrintClient, Unreachable
from daemon.client import caller as caller_module
from daemon.client import push as push_module
from support import http
from support.client import listening
from support.waiting import TIMEOUT

pytestmark = pytest.mark.real_time

KEY = "a-key"


class Server:
    """OctoPrint's log-in and raw WebSocket; `visits` say what happens on each connection.

    A visit is a list of steps: send a text; wait until so many messages have come (a number); close (None).
    """

    def __init__(self, *visits):
        self.visits = list(visits)
        self.heard = []
        self.logins = 0
        self.refusals = 0  # of the next logins, by a proxy whose server restarts


class Login(RequestHandler):
    def initialize(self, server):
        self.server = server

    def post(self):
        assert json.loads(self.request.body) == {"passive": True}
        if self.request.headers["X-Api-Key"] != KEY:
            self.set_status(403)
            self.finish({"error": "no"})
            return
        self.server.logins += 1
        if self.server.refusals:
            self.server.refusals -= 1
            self.set_status(503)
        self.finish({"name": "_api", "session": f"session{self.server.logins}"})


class Socket(WebSocketHandler):
    def initialize(self, server):
        self.server = server
        self.heard = []
        server.heard.append(self.heard)

    def open(self):
        self.visit = asyncio.ensure_future(self._play())  # Tornado listens to nothing before `open` has returned

    async def _play(self):
        for step in self.server.visits.pop(0):
            if isinstance(step, int):
                while len(self.heard) < step:  # noqa: ASYNC110 - there is no event
                    await asyncio.sleep(0.005)
            elif step is None:
                self.close()
            else:
                await self.write_message(step)

    def on_close(self):
        self.visit.cancel()

    def on_message(self, message):
        self.heard.append(json.loads(message))


@asynccontextmanager
async def serving(*visits):
    server = Server(*visits)
    arguments = {"server": server}
    http = HTTPServer(Application([("/api/login", Login, arguments), ("/sockjs/websocket", Socket, arguments)]))
    bound, port = bind_unused_port()
    http.add_socket(bound)
    try:
        yield server, f"http://127.0.0.1:{port}"
    finally:
        http.stop()
        await http.close_all_connections()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(push_module, "PAUSES_S", (0.0,))
    monkeypatch.setattr(caller_module, "PAUSES_S", (0.0, 0.0))


async def first(count, url, key=KEY, **options):
    """Return so many messages."""
    received = []
    async with (
        OctoPrintClient(url, key) as client,
        asyncio.timeout(TIMEOUT),
        aclosing(client.push(**options)) as messages,
    ):
        async for message in messages:
            received.append(message)
            if len(received) == count:
                return received
    raise AssertionError("it ended")


async def test_a_client_logs_in_subscribes_and_yields_messages():
    async with serving(['{"connected": {"version": "1"}}', 3, '{"current": {"state": 1}, "event": {"type": "X"}}']) as (
        server,
        url,
    ):
        messages = await first(3, url, throttle=2, subscription={"events": True})
    assert messages == [
        Message("connected", {"version": "1"}),
        Message("current", {"state": 1}),
        Message("event", {"type": "X"}),
    ]
    assert server.heard == [[{"auth": "_api:session1"}, {"throttle": 2}, {"subscribe": {"events": True}}]]


async def test_messages_of_the_real_daemon_are_read(tmp_path):
    async with listening(tmp_path, "sim?speed=20") as (_, url):
        greeting = await first(2, url, key=http.KEY)
        assert [message.kind for message in greeting] == ["connected", "history"]
        assert greeting[1].payload["state"]["text"]
        assert not any(message.kind == "reauthRequired" for message in await first(4, url, key=http.KEY, throttle=1))


async def test_a_lost_connection_is_reopened_with_a_new_session():
    async with serving(['{"current": 1}', None], [None], [1, '{"current": 2}']) as (server, url):
        assert await first(2, url) == [Message("current", 1), Message("current", 2)]
    assert server.heard[-1] == [{"auth": "_api:session3"}]


async def test_a_client_reconnects_to_a_server_that_was_away():
    async with serving(['{"current": 1}', None], ['{"current": 2}']) as (server, url):
        async with OctoPrintClient(url, KEY) as client, asyncio.timeout(TIMEOUT), aclosing(client.push()) as messages:
            assert await anext(messages) == Message("current", 1)
            server.refusals = 3
            assert await anext(messages) == Message("current", 2)
        assert (server.refusals, server.logins) == (0, 5)


async def test_a_session_that_has_ended_is_renewed_but_a_refused_one_is_not():
    renewal = '{"reauthRequired": {"reason": "%s"}}'
    async with serving([1, renewal % "logout", 2, renewal % "stale", '{"current": 1}']) as (server, url):
        assert [message.kind for message in await first(3, url)] == ["reauthRequired", "reauthRequired", "current"]
        assert server.heard == [[{"auth": "_api:session1"}, {"auth": "_api:session2"}]]


async def test_a_server_that_cannot_renew_a_session_now_is_connected_to_again():
    renewal = '{"reauthRequired": {"reason": "logout"}}'
    async with (
        serving([1, renewal, 99], [1, '{"current": 2}']) as (server, url),
        OctoPrintClient(url, KEY) as client,
        asyncio.timeout(TIMEOUT),
        aclosing(client.push()) as messages,
    ):
        assert (await anext(messages)).kind == "reauthRequired"
        server.refusals = 3
        assert await anext(messages) == Message("current", 2)
        assert server.refusals == 0


@pytest.mark.parametrize("payload", ['"logout"', "[1]", "null", "7"])
async def test_a_request_to_log_in_of_any_form_is_followed(payload):
    async with serving([f'{{"reauthRequired": {payload}}}', 2, '{"current": 1}']) as (server, url):
        assert [message.kind for message in await first(2, url)] == ["reauthRequired", "current"]
        assert server.logins == 2


async def test_a_wrong_key_is_an_error_at_once():
    async with serving() as (_, url):
        with pytest.raises(AccessDenied):
            await first(1, url, key="wrong")


async def test_an_unreachable_server_is_an_error_at_once():
    async with serving() as (_, url):
        pass
    with pytest.raises(Unreachable):
        await first(1, url)


@pytest.mark.parametrize("nonsense", ["<html>", "[1, 2]", "3", "null"])
async def test_nonsense_is_an_error(nonsense):
    async with serving([nonsense]) as (_, url):
        with pytest.raises(BadAnswer, match="the socket's message"):
            await first(1, url)


async def test_a_server_without_a_push_socket_is_an_error():
    http = HTTPServer(Application([("/api/login", Login, {"server": Server()})]))
    bound, port = bind_unused_port()
    http.add_socket(bound)
    with pytest.raises(NotFound, match="/sockjs/websocket: 404"):
        await first(1, f"http://127.0.0.1:{port}")
    http.stop()
    await http.close_all_connections()


async def test_a_login_without_a_session_is_an_error(monkeypatch):
    async with serving() as (_, url):
        monkeypatch.setattr(Login, "post", lambda handler: handler.finish({"needs": {}}))
        with pytest.raises(BadAnswer, match="has no session"):
            await first(1, url)
