"""The transports of push messages, over real sockets: raw, SockJS's frames, SockJS over streamed HTTP."""

import asyncio
import json
import re
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace

import pytest
from tornado.websocket import websocket_connect

from daemon.front.http import push
from daemon.front.http.server import listen
from daemon.front.push.subscriber import SESSION_TIMEOUT, Subscriber
from support.http import KEY, ResponseRecorder, api
from support.waiting import TIMEOUT, until

pytestmark = pytest.mark.real_time
OF_A_CLIENT = (Subscriber._run.__code__, push.FramedSocketHandler._beat.__code__)
"""What runs while there is a listener."""


@asynccontextmanager
async def served(folder, **sections):
    """The service on a port, with its address."""
    http = {"port": 0, **sections.pop("http", {})}
    async with api(folder, "", http=http, **sections) as server:
        listening = listen(server.service.front)
        try:
            yield server, f"127.0.0.1:{listening.url.rpartition(':')[2].strip('/')}"
        finally:
            await listening.close()


async def read(socket):
    return await asyncio.wait_for(socket.read_message(), TIMEOUT)


async def leave(socket):
    """Close, and read the rest."""
    socket.close()
    while await read(socket) is not None:
        pass


async def ask_for_websocket(address, headers):
    """Ask for a WebSocket by hand; return the status."""
    given = {
        "Host": address,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
        **headers,
    }
    reader, writer = await asyncio.open_connection(*address.split(":"))
    lines = ["GET /sockjs/websocket HTTP/1.1", *(f"{name}: {value}" for name, value in given.items()), "", ""]
    writer.write("\r\n".join(lines).encode())
    status = int((await read_until(reader, b"\r\n")).split()[1])
    writer.close()
    return status


async def login(server):
    user = (await server.post("/api/login", {"passive": True})).json
    return json.dumps({"auth": f"{user['name']}:{user['session']}"})


async def test_the_raw_socket_sends_one_message_per_frame(tmp_path):
    async with served(tmp_path) as (server, address):
        socket = await websocket_connect(f"ws://{address}/sockjs/websocket")
        assert "connected" in json.loads(await read(socket))
        socket.write_message(await login(server))
        assert "history" in json.loads(await read(socket))
        assert json.loads(await read(socket)) == {"timelapse": None}
        await leave(socket)


async def test_sockjs_frames_its_messages(tmp_path):
    async with served(tmp_path) as (server, address):
        socket = await websocket_connect(f"ws://{address}/sockjs/123/abcdefgh/websocket")
        assert await read(socket) == "o"
        assert _unpacked(await read(socket), "connected")
        for nonsense in ("", "{", "5", "[5]", "[" * 1_000):
            socket.write_message(nonsense)
        socket.write_message(json.dumps([await login(server)]))
        assert _unpacked(await read(socket), "history")
        await leave(socket)


def _unpacked(frame, kind):
    assert frame[0] == "a"
    return next(each[kind] for each in json.loads(frame[1:]) if kind in each)


def tasks_of_clients():
    return [task for task in asyncio.all_tasks() if task.get_coro().cr_code in OF_A_CLIENT]


async def test_a_client_that_goes_away_is_forgotten(tmp_path):
    async with served(tmp_path) as (_, address):
        clients = []
        for path in ("websocket", "000/x/websocket"):
            socket = await websocket_connect(f"ws://{address}/sockjs/{path}")
            await read(socket)
            clients.append(socket)
        assert tasks_of_clients()
        for socket in clients:
            await leave(socket)
        await until(lambda: not tasks_of_clients(), "the clients to be forgotten")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example", "X-Api-Key": "wrong"}, 403),
        ({"X-Api-Key": "wrong"}, 101),  # as good as none: a socket is let in by its session
        ({"Host": "evil.example", "X-Api-Key": KEY}, 101),
        ({"Origin": "https://good.example"}, 101),
        ({}, 101),
    ],
)
async def test_pages_of_other_origins_and_host_names_get_no_socket(tmp_path, headers, status):
    async with served(tmp_path, http={"allow_origins": ("https://good.example",)}) as (_, address):
        assert await ask_for_websocket(address, headers) == status


async def test_the_number_of_sockets_is_limited(tmp_path, monkeypatch):
    monkeypatch.setattr("daemon.front.push.hub.MAX_SUBSCRIBERS", 2)
    async with served(tmp_path) as (server, address):
        sockets = [await websocket_connect(f"ws://{address}/sockjs/websocket") for _ in range(2)]
        for socket in sockets:  # with a session, as the next one would replace a stranger
            await read(socket)
            socket.write_message(await login(server))
            assert "history" in json.loads(await read(socket))
        assert await ask_for_websocket(address, {}) == 503
        assert await status_of(address, "/sockjs/123/session/xhr_streaming") == 503
        for socket in sockets:
            await leave(socket)


async def test_an_oversized_message_closes_the_socket(tmp_path):
    async with served(tmp_path) as (_, address):
        socket = await websocket_connect(f"ws://{address}/sockjs/websocket")
        await read(socket)
        socket.write_message("x" * (push.MAX_MESSAGE + 1))
        async with asyncio.timeout(TIMEOUT):
            while await read(socket) is not None:
                pass
        socket.close()
        assert socket.close_code == 1009, "message too big"


# -- streamed HTTP -----------------------------------------------------------------------------------------


async def send(address, path, body=b"", method="POST"):
    """Send a request; return reader and writer."""
    reader, writer = await asyncio.open_connection(*address.split(":"))
    head = f"{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    return reader, writer


async def read_until(reader, separator):
    return await asyncio.wait_for(reader.readuntil(separator), TIMEOUT)


async def status_of(address, path, body=b"", method="POST"):
    reader, writer = await send(address, path, body, method)
    head = await read_until(reader, b"\r\n\r\n")
    writer.close()
    return int(head.split()[1])


async def test_messages_can_be_streamed_without_a_websocket(tmp_path):
    async with served(tmp_path) as (server, address):
        reader, writer = await send(address, "/sockjs/123/session/xhr_streaming")
        head = await read_until(reader, b"\r\n\r\n")
        assert b"200 OK" in head
        assert b"application/javascript" in head
        await read_until(reader, push.PADDING)
        await read_until(reader, b"o\n")
        assert b"connected" in await read_until(reader, b"\n\r\n")
        assert (
            await status_of(address, "/sockjs/123/session/xhr_send", json.dumps([await login(server)]).encode()) == 204
        )
        assert b"history" in await read_until(reader, b"timelapse")
        second, other = await send(address, "/sockjs/123/session/xhr_streaming")
        assert b"c[2010" in await read_until(second, b"]\n")
        other.close()
        assert await status_of(address, "/sockjs/123/nobody/xhr_send", b"[]") == 404
        writer.close()


async def test_a_long_streamed_answer_ends_and_the_next_one_continues(tmp_path, monkeypatch):
    monkeypatch.setattr(push.StreamHandler, "size", 2100)
    async with served(tmp_path) as (server, address):
        reader, writer = await send(address, "/sockjs/123/session/xhr_streaming")
        await read_until(reader, b"\r\n0\r\n\r\n")  # the end of a chunked answer
        writer.close()
        await status_of(address, "/sockjs/123/session/xhr_send", json.dumps([await login(server)]).encode())
        reader, writer = await send(address, "/sockjs/123/session/xhr_streaming")
        answer = await read_until(reader, b"timelapse")
        assert b"o\n" not in answer.split(b"\r\n\r\n")[1].replace(push.PADDING, b"")[:20]  # no new session
        writer.close()


async def test_polling_answers_one_frame_at_a_time(tmp_path, monkeypatch):
    async with served(tmp_path) as (_, address):
        for frame in (b"o", b'a[{"connected"', b"h"):
            monkeypatch.setattr(push, "HEARTBEAT_INTERVAL", 0.1 if frame == b"h" else TIMEOUT)
            reader, writer = await send(address, "/sockjs/123/polled/xhr")
            answer = await read_until(reader, b"\r\n0\r\n\r\n")
            writer.close()
            one_line = re.fullmatch(rb"[0-9a-f]+\r\n(.*)\n\r\n0\r\n\r\n", answer.partition(b"\r\n\r\n")[2])
            assert one_line is not None, answer
            assert one_line[1].startswith(frame)


async def test_info_and_welcome_have_the_fields_of_sockjs(tmp_path):
    async with served(tmp_path) as (_, address):
        reader, writer = await send(address, "/sockjs/info", method="GET")
        info = json.loads((await read_until(reader, b"}")).partition(b"\r\n\r\n")[2])
        assert (info["websocket"], info["cookie_needed"], info["origins"]) == (True, False, ["*:*"])
        assert isinstance(info["entropy"], int)
        writer.close()
        reader, writer = await send(address, "/sockjs", method="GET")
        assert (await read_until(reader, b"SockJS!\n")).endswith(b"Welcome to SockJS!\n")
        writer.close()


async def flood(address, opening, payload, most):
    """Send an opening, then the payload until the server hangs up; return how many times it took, at most `most`."""
    reader, writer = await asyncio.open_connection(*address.split(":"))
    reading = asyncio.create_task(reader.read())
    writer.write(opening)
    sent = 0
    with suppress(ConnectionError):
        while sent < most and not reading.done():
            writer.write(payload)
            await writer.drain()
            sent += 1
            await asyncio.sleep(0)
    writer.close()
    with suppress(ConnectionError):
        await reading
    return sent


PING = b"\x89\x80\x00\x00\x00\x00"
FRAGMENT = b"\x00\x80\x00\x00\x00\x00"
UPGRADE = (
    b"GET /sockjs/websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
CHUNKED = b"POST /api/job HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
GET = b"GET /api/job HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
BIG = b"POST /api/job HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 600000000\r\n\r\n"


@pytest.mark.parametrize(
    ("opening", "payload"),
    [
        (UPGRADE, PING * 100),
        (UPGRADE + b"\x01\x80\x00\x00\x00\x00", FRAGMENT * 100),
        (CHUNKED, b"1\r\nx\r\n" * 100),
        (b"", GET * 10),
        (BIG, b"x" * 65536),
    ],
    ids=[
        "pings on a socket",
        "a message in endless fragments",
        "a body in chunks of a byte",
        "requests one after the other",
        "an endless body",
    ],
)
async def test_only_an_anonymous_client_that_floods_is_disconnected(tmp_path, opening, payload):
    async with served(tmp_path) as (server, address):
        assert await flood(address, opening, payload, 5000) < 5000
        assert (await server.get("/api/job", peer="127.0.0.1")).status == 200


async def test_a_client_that_goes_before_its_socket_opens_causes_no_error(tmp_path, monkeypatch, caplog):
    async with served(tmp_path) as (server, address):
        went = asyncio.Event()

        async def slow():
            await asyncio.wait_for(went.wait(), TIMEOUT)

        monkeypatch.setattr(server.service.front.access, "refresh", slow)
        on_close, closed = push.FramedSocketHandler.on_close, asyncio.Event()

        def noted(handler):
            try:
                on_close(handler)
            finally:
                closed.set()

        monkeypatch.setattr(push.FramedSocketHandler, "on_close", noted)
        _, writer = await asyncio.open_connection(*address.split(":"))
        writer.write(f"GET /sockjs/1/gone/websocket HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
        await asyncio.sleep(0.1)
        writer.transport.abort()
        await asyncio.wait_for(closed.wait(), TIMEOUT)
        went.set()
        await asyncio.sleep(0.1)
    assert not [each for each in caplog.records if each.levelname == "ERROR"]


async def test_a_session_whose_client_goes_before_the_answer_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(push, "RECONNECT_TIMEOUT", 0.1)
    async with served(tmp_path) as (server, address):
        went, begun = asyncio.Event(), []

        async def slow():
            await asyncio.wait_for(went.wait(), TIMEOUT)

        monkeypatch.setattr(server.service.front.access, "refresh", slow)
        begin = push.Streams.begin
        monkeypatch.setattr(push.Streams, "begin", lambda *args: begun.append(args[0]) or begin(*args))
        loop = asyncio.get_running_loop()
        began = loop.time()
        _, writer = await send(address, "/sockjs/123/gone/xhr_streaming")
        await asyncio.sleep(0.1)
        writer.transport.abort()
        await asyncio.sleep(0.1)
        went.set()
        await until(lambda: begun and not begun[0].open)
        assert loop.time() - began < SESSION_TIMEOUT, "after which every client without a session is dropped"


async def test_a_session_that_is_continued_does_not_end_by_an_earlier_time_limit(monkeypatch):
    """Its client's second request ended before its first bytes; the third continues the session."""
    monkeypatch.setattr(push, "RECONNECT_TIMEOUT", 0.1)
    hub = SimpleNamespace(make_room_for=lambda _: True, join=lambda *_: SimpleNamespace(end=lambda: None))
    streams = push.Streams(hub)
    session = streams.begin("name", "127.0.0.1")
    session.detach()
    session.detach()
    session.reserve(SimpleNamespace(ended=asyncio.Event()))
    await asyncio.sleep(0.2)
    assert streams.open == {"name": session}
    session.detach()
    await until(lambda: not streams.open)


STREAM = "/sockjs/123/session/xhr_streaming"


async def test_of_two_requests_for_a_session_at_once_one_gets_it(tmp_path, monkeypatch):
    async with api(tmp_path, "") as server:
        reads, begun = asyncio.Event(), []
        begin = push.Streams.begin
        monkeypatch.setattr(push.Streams, "begin", lambda *args: begun.append(args[0]) or begin(*args))
        monkeypatch.setattr(ResponseRecorder, "_done", lambda _: asyncio.ensure_future(reads.wait()))
        first = asyncio.create_task(server.request("POST", STREAM))
        await until(lambda: begun)
        second = asyncio.create_task(server.request("POST", STREAM))
        await asyncio.sleep(0.1)
        reads.set()
        assert b"c[2010" in (await asyncio.wait_for(second, TIMEOUT)).body
        await asyncio.sleep(0.1)
        begun[0].open["session"].close()
        assert b"connected" in (await first).body


async def test_a_session_does_not_expire_while_its_next_request_begins(tmp_path, monkeypatch):
    monkeypatch.setattr(push, "RECONNECT_TIMEOUT", 0.1)
    async with api(tmp_path, "") as server:
        reads, begun = asyncio.Event(), []
        begin = push.Streams.begin
        monkeypatch.setattr(push.Streams, "begin", lambda *args: begun.append(args[0]) or begin(*args))
        assert (await server.request("POST", STREAM.removesuffix("_streaming"))).body == b"o\n"
        session = begun[0].open["session"]
        monkeypatch.setattr(ResponseRecorder, "_done", lambda _: asyncio.ensure_future(reads.wait()))
        following = asyncio.create_task(server.request("POST", STREAM))
        await asyncio.sleep(0.3)
        reads.set()
        await asyncio.sleep(0.1)
        assert begun[0].open.get("session") is session
        session.close()
        assert b"connected" in (await following).body


async def test_a_heartbeat_waits_for_the_frame_before_it(tmp_path, monkeypatch):
    """Of two writes at once, Tornado would never end the first."""
    monkeypatch.setattr(push, "HEARTBEAT_INTERVAL", 0.05)
    async with api(tmp_path, "") as server:
        reads, begun, most, waiting = asyncio.Event(), [], 0, 0

        async def read():
            nonlocal most, waiting
            waiting += 1
            most = max(most, waiting)
            await reads.wait()
            waiting -= 1

        begin = push.Streams.begin
        monkeypatch.setattr(push.Streams, "begin", lambda *args: begun.append(args[0]) or begin(*args))
        answer = asyncio.create_task(server.request("POST", STREAM))
        await until(lambda: begun)
        await asyncio.sleep(0.1)
        monkeypatch.setattr(ResponseRecorder, "_done", lambda _: asyncio.ensure_future(read()))
        begun[0].open["session"].subscriber.offer("{}")
        await asyncio.sleep(0.3)
        reads.set()
        await asyncio.sleep(0.1)
        begun[0].open["session"].close()
        assert (await answer).body.count(b"h\n") > 1
        assert most == 1


@pytest.mark.parametrize("transport", ["xhr", "xhr_streaming"])
async def test_messages_that_follow_the_last_frame_of_an_answer_come_in_the_next_answers(
    tmp_path, monkeypatch, transport
):
    """Each answer has one frame here, and the next message is there before that frame has been sent."""
    monkeypatch.setattr(push.StreamHandler, "padding", b"")
    monkeypatch.setattr(push.StreamHandler, "size", 1)
    async with served(tmp_path) as (_, address):
        begun, following = [], iter(f'{{"n": {n}}}' for n in range(1, 5))
        begin, flush = push.Streams.begin, push.StreamHandler.flush
        monkeypatch.setattr(push.Streams, "begin", lambda *args: begun.append(args[0]) or begin(*args))

        def flush_and_follow(handler, *args, **kwargs):
            if not handler._finished and (text := next(following, None)):
                begun[0].open["polled"].subscriber.offer(text)
            return flush(handler, *args, **kwargs)

        monkeypatch.setattr(push.StreamHandler, "flush", flush_and_follow)
        frames = []
        while not frames or b'{"n": 4}' not in frames[-1]:
            reader, writer = await send(address, f"/sockjs/123/polled/{transport}")
            answer = await read_until(reader, b"\r\n0\r\n\r\n")
            writer.close()
            frames.append(answer.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n0\r\n\r\n").partition(b"\r\n")[2])
        assert all(frame.count(b"\n") == 1 for frame in frames), frames
        messages = b"".join(frames)
        assert [messages.count(b'{"n": %d}' % n) for n in range(1, 5)] == [1, 1, 1, 1]


async def test_a_message_that_waits_for_a_heartbeat_comes_in_the_next_answer(tmp_path, monkeypatch):
    """The heartbeat ends the answer of a client that polls."""
    monkeypatch.setattr(push, "HEARTBEAT_INTERVAL", 0.05)
    poll = STREAM.removesuffix("_streaming")
    async with api(tmp_path, "") as server:
        reads, begun = asyncio.Event(), []
        begin = push.Streams.begin
        monkeypatch.setattr(push.Streams, "begin", lambda *args: begun.append(args[0]) or begin(*args))
        assert (await server.request("POST", poll)).body == b"o\n"
        assert b"connected" in (await server.request("POST", poll)).body
        with monkeypatch.context() as patched:
            patched.setattr(ResponseRecorder, "_done", lambda _: asyncio.ensure_future(reads.wait()))
            beating = asyncio.create_task(server.request("POST", poll))
            await asyncio.sleep(0.2)
            begun[0].open["session"].subscriber.offer('"waits"')
            await asyncio.sleep(0.1)
            reads.set()
            assert (await beating).body == b"h\n"
        assert (await server.request("POST", poll)).body == b'a["waits"]\n'


async def test_the_heartbeat_of_a_closing_socket_ends_quietly(monkeypatch):
    async def closing(*_):
        raise ConnectionResetError

    monkeypatch.setattr(push.FramedSocketHandler, "write_frame", closing)
    await push.FramedSocketHandler._beat(push.FramedSocketHandler.__new__(push.FramedSocketHandler))
