"""Limits for real connections: their number, the size of headers, and slow ends."""

import asyncio
import errno
import hashlib
import logging
import os
import resource
import socket
from contextlib import suppress
from time import sleep, thread_time

import pytest
from tornado.iostream import IOStream

from daemon.errors import StorageFull
from daemon.front.access.anonymous import BURST, REQUEST_COST
from daemon.front.http import bounded_server, door, downloads, standstill
from daemon.front.http.base import ApiHandler
from daemon.front.http.bounded_server import MAX_DESCRIPTORS, RESERVED_DESCRIPTORS, make_room_for_connections
from daemon.front.http.seats import SeatLimits, Seats
from daemon.front.http.server import MAX_HEADERS, listen
from support.http import KEY, api
from support.waiting import TIMEOUT

ANONYMOUS = b"GET /api/job HTTP/1.1\r\nHost: x\r\n\r\n"


def request(path="/api/version", headers=""):
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Api-Key: {KEY}\r\n{headers}\r\n".encode()


async def connect(listening):
    return await asyncio.open_connection("127.0.0.1", listening.port)


async def status(reader):
    """Return the status of the next answer; None where the connection was closed instead."""
    try:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), TIMEOUT)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length or 0))
    return int(head.split()[1])


@pytest.mark.real_time
async def test_anonymous_connections_are_limited_and_do_not_affect_those_with_a_key(tmp_path):
    async with api(tmp_path, "", http={"port": 0, "max_connections_per_client": 4}) as server:
        listening = listen(server.service.front)
        known = []
        for _ in range(6):
            known.append(await connect(listening))
            known[-1][1].write(request())
            assert await status(known[-1][0]) == 200
        strangers = [await connect(listening) for _ in range(5)]
        assert await status(strangers[0][0]) is None  # the fifth has its seat
        strangers[-1][1].write(ANONYMOUS)
        assert await status(strangers[-1][0]) == 403
        for reader, writer in known:
            writer.write(request())
            assert await status(reader) == 200
        for _, writer in known + strangers:
            writer.close()
        async with asyncio.timeout(TIMEOUT):
            while len(listening.server.seats):  # noqa: ASYNC110 - the server sees it when it sees it
                await asyncio.sleep(0.01)
        await listening.close()


@pytest.mark.real_time
async def test_an_anonymous_client_over_its_budget_waits_behind_those_with_a_key(tmp_path, monkeypatch):
    monkeypatch.setattr(door, "MIN_WAIT_S", 1.5)
    async with api(tmp_path, "", http={"port": 0}) as server:
        listening = listen(server.service.front)
        access = server.service.front.access
        while access.spend_anonymous("127.0.0.1", REQUEST_COST):
            pass
        began = asyncio.get_running_loop().time()
        gone, stranger, owner = [await connect(listening) for _ in range(3)]
        gone[1].close()
        stranger[1].write(ANONYMOUS)
        owner[1].write(f"GET /api/version?x=1 HTTP/1.1\r\nHost: x\r\nX-API-KEY:{KEY}\r\n\r\n".encode())
        assert await status(owner[0]) == 200
        assert len(listening.server.door) == 1
        assert await status(stranger[0]) == 403  # the budget grows each second, by enough for that
        assert asyncio.get_running_loop().time() - began >= 1.5
        late = await connect(listening)
        while access.spend_anonymous("127.0.0.1", REQUEST_COST):
            pass
        held = await connect(listening)
        await listening.close()
        assert await status(held[0]) is None
        for _, writer in (stranger, owner, late, held):
            writer.close()


@pytest.mark.real_time
async def test_connections_wait_for_free_descriptors_without_a_busy_loop(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(bounded_server, "RETRY_DELAY", 0.1)
    tries = []

    class Crowded(socket.socket):
        def accept(self):
            tries.append(1)
            if len(tries) <= 3:
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    with Crowded() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(0)
        async with api(tmp_path, "", http={"port": 0}) as server:
            waiting = listen(server.service.front, [listening])
            reader, writer = await connect(waiting)
            writer.write(request())
            assert await status(reader) == 200
            assert len(tries) <= 5, "three that fail, the one that does not, and one that finds no more"
            writer.close()
            await waiting.close()
    assert caplog.text.count("Too many open files") == 1


async def test_simultaneous_uploads_share_the_quota(tmp_path):
    async with api(tmp_path, "", http={"quota_mib": 1}) as server:
        room = server.service.front.files.room
        async with room.claim("a") as first, room.claim("b") as second:
            for size in (200_000, 400_000):
                first.resize(size)
                second.resize(size)
            first.resize(600_000)
            with pytest.raises(StorageFull):
                second.resize(600_000)
            first.resize(1_000_000)  # the refused one reserves nothing
        assert room.claimed_bytes == 0


@pytest.mark.real_time
async def test_requests_on_a_closed_connection_are_not_served(tmp_path, monkeypatch):
    async with api(tmp_path, "", http={"port": 0}) as server:
        listening = listen(server.service.front)
        served = []
        prepare = ApiHandler.prepare

        async def counted(handler):
            served.append(handler)
            await prepare(handler)

        monkeypatch.setattr(ApiHandler, "prepare", counted)
        reader, writer = await connect(listening)
        writer.write(ANONYMOUS * 3000)
        with suppress(ConnectionError):
            await reader.read()
        async with asyncio.timeout(TIMEOUT):
            while len(listening.server.seats):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
        assert len(served) <= 5 * BURST, "an address may have 100, and 10 each second that this takes"
        writer.transport.abort()
        await listening.close()


def test_only_anonymous_connections_are_replaced_by_new_ones():
    closed = []
    seats = Seats(SeatLimits(total=4, without_key=2, with_key=2))
    first, second = (seats.take("a", lambda name=name: closed.append(name)) for name in "12")
    seats.note_key(first)
    third = seats.take("a", lambda: closed.append("3"))
    assert closed == []
    fourth = seats.take("a", lambda: closed.append("4"))
    assert closed == ["2"]  # the oldest of this address
    seats.note_key(third)
    other = seats.take("b", lambda: closed.append("b"))
    seats.note_key(other)
    seats.leave(second)
    assert len(seats) == 4
    assert (
        seats.take("c", lambda: closed.append("c")) is not None
    )  # all are taken: it replaces the oldest without a key
    assert closed == ["2", "4"]
    seats.leave(fourth)
    seats.note_key(seats.take("c", lambda: closed.append("c2")))
    assert seats.take("d", lambda: closed.append("d")) is None  # connections with a key are not replaced
    assert len(seats) == 4
    for each in (first, third, first):
        seats.leave(each)
    assert len(seats) == 2


def test_one_address_has_at_most_half_of_the_connections_with_a_key():
    seats = Seats(SeatLimits(total=4, without_key=2, with_key=2))
    for _ in range(10):
        seats.note_key(seats.take("a", lambda: None))
    assert len(seats) == 4
    assert seats.take("b", lambda: None) is not None


@pytest.mark.parametrize(
    "head",
    [
        "GET / HTTP/1.1\r\nX-Api-Key: {}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nx-api-key:{}\r\n",
        "GET / HTTP/1.1\r\nAuthorization: Bearer {}\r\n\r\n",
        "GET /a?b=c&apikey={} HTTP/1.1\r\n",
        "GET /a?apikey={}&b=c HTTP/1.1\r\n",
    ],
)
def test_a_key_is_recognised_in_every_allowed_place(head):
    assert door._KEY.findall(head.format(KEY).encode()) == [KEY.encode()]


@pytest.mark.parametrize("word", ["\nx-api-key:", "\nauthorization: bearer ", "?apikey=", "a", " ", "&"])
def test_the_search_for_a_key_takes_bounded_time(word):
    sent = (word * door.SEARCHED_BYTES)[: door.SEARCHED_BYTES].encode()
    began = thread_time()
    door._KEY.findall(sent)
    assert thread_time() - began < 0.1, "it takes 5 ms; 0.5 s if the time grew with the square of the length"


@pytest.mark.real_time
async def test_headers_are_bounded(tmp_path):
    async with api(tmp_path, "", http={"port": 0}) as server:
        listening = listen(server.service.front)
        reader, writer = await connect(listening)
        writer.write(request(headers=f"X-Large: {'x' * (MAX_HEADERS + 1)}\r\n"))
        assert await status(reader) in (None, 400, 431)
        writer.close()
        reader, writer = await connect(listening)
        writer.write(request(headers=f"X-Large: {'x' * (MAX_HEADERS // 2)}\r\n"))
        assert await status(reader) == 200
        writer.close()
        await listening.close()


@pytest.mark.parametrize(
    "malformed",
    [
        f"GET /api/job HTTP/1.1\r\nHost: x\r\nX-Api-Key: {KEY}\x01\r\n\r\n",
        f"GET /api/job HTTP/1.1\r\nHost: x\r\nX-Api-Key {KEY}\r\n\r\n",
        f"GET /api/job?apikey={KEY} HTTP/9\r\nHost: x\r\n\r\n",
        f"GET /api/job?apikey={KEY} nonsense\r\n\r\n",
        f"GET /sockjs/websocket?apikey={KEY} HTTP/1.1\r\nHost: {KEY}@x\r\nUpgrade: x\r\n\r\n",
        f"GET /nowhere?apikey={KEY} HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
@pytest.mark.real_time
async def test_no_key_of_a_malformed_request_reaches_a_log(tmp_path, caplog, capsys, malformed):
    caplog.set_level(logging.DEBUG)
    async with api(tmp_path, "", http={"port": 0}) as server:
        listening = listen(server.service.front)
        reader, writer = await connect(listening)
        writer.write(malformed.encode())
        assert await status(reader) != 200
        writer.close()
        await listening.close()
    output = capsys.readouterr()
    assert KEY not in caplog.text + output.out + output.err


@pytest.mark.real_time
async def test_a_client_that_does_not_read_its_download_is_dropped(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "STALL_TIMEOUT", 0.2)
    async with api(tmp_path, "", http={"port": 0}) as server:
        listening = listen(server.service.front)
        await server.upload(("file", "a.gcode", b"G1 X10 Y10\n" * 2_000_000))  # more than all buffers on the way
        _, writer = await connect(listening)
        writer.transport.pause_reading()
        writer.write(request("/downloads/files/local/a.gcode"))
        async with asyncio.timeout(TIMEOUT):
            while not len(listening.server.seats):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
            while len(listening.server.seats):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
        writer.close()
        await listening.close()


async def test_the_quota_is_for_all_uploads_together(tmp_path):
    half = b"G1 X1 Y1\n" * 70_000
    async with api(tmp_path, "", http={"quota_mib": 1}) as server:
        assert (await server.upload(("file", "a.gcode", half))).status == 201
        refused = await server.upload(("file", "b.gcode", half))
        assert (refused.status, "may take 1 MiB" in refused.error) == (507, True)
        assert set(server.uploaded()) == {"a.gcode"}
        assert (await server.delete("/api/files/local/a.gcode")).status == 204
        assert (await server.upload(("file", "b.gcode", half))).status == 201


async def test_the_quota_counts_copies_and_unfinished_uploads(tmp_path):
    part = b"G1 X1 Y1\n" * 45_000  # a bit less than 0.4 MiB
    async with api(tmp_path, "", http={"quota_mib": 1}) as server:
        for name in ("a.gcode", "b.gcode"):
            assert (await server.upload(("file", name, part))).status == 201
        copy = await server.post("/api/files/local/a.gcode", {"command": "copy", "destination": "c.gcode"})
        assert (copy.status, "may take 1 MiB" in copy.error) == (507, True)
        assert set(server.uploaded()) == {"a.gcode", "b.gcode"}
        assert server.service.files.room.claimed_bytes == 0
        assert (await server.delete("/api/files/local/b.gcode")).status == 204
        assert (
            await server.post("/api/files/local/a.gcode", {"command": "copy", "destination": "c.gcode"})
        ).status == 201


async def test_two_simultaneous_uploads_do_not_get_the_same_room(tmp_path):
    async with api(tmp_path, "", http={"quota_mib": 1}) as server:
        room = server.service.files.room
        async with room.claim("a") as first, room.claim("b") as second:
            first.resize(700_000)
            with pytest.raises(StorageFull):
                second.resize(400_000)
            second.resize(300_000)
            first.is_stored = True
        assert (room.claimed_bytes, room.free_bytes) == (0, 1024 * 1024 - 700_000)  # until it is counted again


async def test_a_full_disk_and_too_many_keys_are_reported_in_a_sentence(tmp_path, monkeypatch):
    async with api(tmp_path, "") as server:
        request = {"command": "generate", "app": "phone"}
        monkeypatch.setattr("daemon.front.access.keyring.MAX_KEYS", 0)
        full = await server.post("/api/plugin/appkeys", request)
        assert (full.status, "revoke some" in full.error) == (409, True)
        monkeypatch.undo()

        def no_room(*_, **__):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr("os.fsync", no_room)
        full = await server.post("/api/plugin/appkeys", request)
        assert (full.status, "No space left" in full.error) == (507, True)


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("size", b"4", 201),
        ("size", b"5", 400),
        ("size", b"x", 400),
        ("sha1", hashlib.sha1(b"G28\n").hexdigest().upper().encode(), 201),
        ("sha1", hashlib.sha1(b"G29\n").hexdigest().encode(), 400),
    ],
)
async def test_length_and_hash_are_verified_before_a_file_can_be_printed(tmp_path, field, value, status):
    async with api(tmp_path) as server:
        response = await server.upload(("file", "a.gcode", b"G28\n"), (field, value), ("select", b"true"))
        assert response.status == status
        is_stored = status == 201
        assert set(server.uploaded()) == ({"a.gcode"} if is_stored else set())
        assert (await server.get("/api/job")).json["job"]["file"]["name"] == ("a.gcode" if is_stored else None)


@pytest.mark.parametrize(
    ("soft", "hard", "raised_to", "room"),
    [
        (1024, 4096, 4096, 4096 - RESERVED_DESCRIPTORS),
        (256, 256, None, 256 - RESERVED_DESCRIPTORS),
        (64, 64, None, 1),
        (-1, -1, None, MAX_DESCRIPTORS),
    ],
)
def test_the_limit_on_open_files_is_raised_and_connections_fit_below_it(monkeypatch, soft, hard, raised_to, room):
    limits = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: limits.append(new))
    assert make_room_for_connections() == room
    assert [new for new, _ in limits[1:]] == ([raised_to] if raised_to else [])


@pytest.mark.real_time
@pytest.mark.parametrize(("path", "count"), [("connection", 0), ("printer/command", 1)])
async def test_after_a_standstill_only_a_stop_of_a_disconnected_client_is_carried_out(
    tmp_path, monkeypatch, path, count
):
    monkeypatch.setattr(standstill, "THRESHOLD_S", 0.3)
    monkeypatch.setattr(standstill, "CHECK_INTERVAL", 0.1)
    async with api(tmp_path, "", http={"port": 0}) as server:
        listening = listen(server.service.front)
        calls = []
        monkeypatch.setattr(type(server.service.front.connection), "connect", _noted(calls))
        monkeypatch.setattr(type(server.service.front.connection), "send", _noted(calls))
        await asyncio.sleep(0.2)
        with socket.create_connection(("127.0.0.1", listening.port)) as client:
            body = b'{"command": "connect"}' if path == "connection" else b'{"command": "M112"}'
            head = f"POST /api/{path} HTTP/1.1\r\nHost: x\r\nX-Api-Key: {KEY}\r\nContent-Type: application/json\r\n"
            client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        sleep(0.5)  # noqa: ASYNC251 - the process stands still
        async with asyncio.timeout(TIMEOUT):
            while len(calls) < count:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        assert len(calls) == count
        await listening.close()


def _noted(calls):
    async def noted(*arguments, **_):
        calls.append(arguments)

    return noted


@pytest.mark.real_time
async def test_a_key_that_is_not_text_opens_no_door_and_raises_nothing():
    ours, theirs = socket.socketpair()
    errors, asked = [], []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    waiting = door.Door(lambda key: bool(asked.append(key)))
    waiting.hold(IOStream(ours), lambda: None)
    theirs.send(request(headers="X-Api-Key: ").replace(b"Key: ", b"Key: \xff\xfe"))
    async with asyncio.timeout(TIMEOUT):
        while not asked + errors:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
    assert (len(waiting), errors) == (1, [])
    waiting.close()
    theirs.close()


async def test_a_toolpath_that_vanishes_while_it_is_counted_refuses_no_upload(tmp_path):
    async with api(tmp_path, "", http={"quota_mib": 10}) as server:
        (tmp_path / "toolpaths").mkdir(exist_ok=True)
        (tmp_path / "toolpaths/b.gcode").symlink_to("gone")
        assert (await server.upload(("file", "a.gcode", b"G28\n"))).status == 201
