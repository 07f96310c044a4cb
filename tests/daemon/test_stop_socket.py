"""The core's socket for a stop button."""

import asyncio
import os
import socket
from contextlib import ExitStack

import pytest
from structlog.testing import capture_logs

from daemon.core import stop_socket
from daemon.core.stop_socket import MAX_CALLERS, StopSocket
from daemon.front.events import FrontEvent
from gcode.errors import FirmwareHalted
from hal.printer import StopEnded
from support.http import api
from support.waiting import TIMEOUT, until


class FakeConnection:
    """A connection that is stopped."""

    def __init__(self, absent=False):
        self.stopped, self.absent = [], absent

    def subscribe(self, listener):
        self.tell = listener

    def emergency_stop(self, reason):
        if self.absent:
            raise FirmwareHalted("the printer is not connected")
        self.stopped.append(reason)


async def ask(path, message):
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(message)
    return reader, writer


async def answer_to(path, message):
    """Return all answers until the core hangs up."""
    reader, writer = await ask(path, message)
    try:
        return await reader.read()
    except ConnectionResetError:  # it has not even read all of it
        return b""
    finally:
        writer.close()


@pytest.mark.real_time
async def test_a_button_stops_the_printer_and_gets_the_outcome(tmp_path):
    connection, path = FakeConnection(), tmp_path / "stop.sock"
    stop = StopSocket(connection)
    await stop.listen(path)
    for confirmed in (True, False):
        reader, writer = await ask(path, b"st")
        writer.write(b"op\n")
        assert await reader.readline() == b"taken\n"
        connection.tell(StopEnded(confirmed))
        assert await reader.read() == (b"confirmed\n" if confirmed else b"unconfirmed\n")
        writer.close()
    assert len(connection.stopped) == 2
    assert not stop.callers
    stop.close()


@pytest.mark.real_time
async def test_a_caller_that_has_not_asked_gets_no_outcome_and_may_still_ask(tmp_path):
    connection, path = FakeConnection(), tmp_path / "stop.sock"
    stop = StopSocket(connection)
    await stop.listen(path)
    reader, writer = await ask(path, b"st")
    await until(lambda: stop.callers)
    connection.tell(StopEnded(confirmed=True))
    writer.write(b"op\n")
    assert await reader.readline() == b"taken\n"
    writer.close()
    stop.close()


@pytest.mark.parametrize(("user", "may"), [(os.geteuid() + 4711, False), (0, True), (os.geteuid(), True)])
@pytest.mark.real_time
async def test_only_this_user_and_root_can_stop_the_printer(tmp_path, monkeypatch, user, may):
    monkeypatch.setattr(stop_socket, "user_of", lambda _: user)
    connection, path = FakeConnection(absent=True), tmp_path / "stop.sock"
    stop = StopSocket(connection)
    await stop.listen(path)
    assert await answer_to(path, b"stop\n") == (b"refused: the printer is not connected\n" if may else b"")
    stop.close()


@pytest.mark.real_time
async def test_callers_that_ask_nothing_keep_nobody_out_for_long(tmp_path, monkeypatch):
    monkeypatch.setattr(stop_socket, "CALLER_TIMEOUT", 0.2)
    connection, path = FakeConnection(), tmp_path / "stop.sock"
    stop = StopSocket(connection)
    await stop.listen(path)
    idle = [await ask(path, b"") for _ in range(MAX_CALLERS)]
    await until(lambda: len(stop.callers) == MAX_CALLERS)
    idle[0][1].close()
    await until(lambda: len(stop.callers) == MAX_CALLERS - 1)
    async with asyncio.timeout(TIMEOUT):
        assert [await reader.read() for reader, _ in idle[1:]] == [b""] * (MAX_CALLERS - 1), "after a while"
    assert not stop.callers
    monkeypatch.setattr(stop_socket, "CALLER_TIMEOUT", 3600.0)
    idle.append(await ask(path, b"stop\n"))
    assert await idle[-1][0].readline() == b"taken\n"
    stop.close()
    async with asyncio.timeout(TIMEOUT):
        assert await idle[-1][0].read() == b"", "at the end of the core"
    for _, each in idle:
        each.close()


@pytest.mark.real_time
async def test_the_socket_of_another_daemon_that_hangs_is_left_alone(tmp_path):
    """It may come to, and its button has to stop its printer."""
    path = tmp_path / "stop.sock"
    with ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(path))
        listener.listen(0)
        result = 0
        while result == 0:  # until no more callers may wait
            caller = sockets.enter_context(socket.socket(socket.AF_UNIX))
            caller.setblocking(False)  # noqa: FBT003 - the library's own
            result = caller.connect_ex(str(path))
        before = path.stat().st_ino
        stop = StopSocket(FakeConnection())
        with capture_logs() as logs:
            await stop.listen(path)
        assert [(each["event"], "another daemon" in each["reason"]) for each in logs] == [("stop_socket.none", True)]
        assert path.stat().st_ino == before
        stop.close()


@pytest.mark.real_time
async def test_the_stop_socket_ignores_other_words_and_limits_its_connections(tmp_path):
    connection, path = FakeConnection(absent=True), tmp_path / "stop.sock"
    stop = StopSocket(connection)
    await stop.listen(path)
    other = StopSocket(FakeConnection())
    await other.listen(path)  # another daemon does not take its place
    for message in (b"stop it\n", b"GET / HTTP/1.1\r\n", b"x" * 100_000, b"\n"):
        assert await answer_to(path, message) == b""
    assert not connection.stopped
    assert await answer_to(path, b"stop\n") == b"refused: the printer is not connected\n"
    idle = [await ask(path, b"") for _ in range(MAX_CALLERS)]
    await asyncio.sleep(0.01)
    assert await answer_to(path, b"stop\n") == b""
    for _, each in idle:
        each.close()
    stop.close()
    other.close()


async def test_clients_get_the_outcome_of_a_stop(tmp_path):
    async with api(tmp_path) as server:
        notices = []
        server.service.events.subscribe(notices.append)
        server.service.connection.emergency_stop()
        await server.settle(5)
        assert FrontEvent("EmergencyStop", {"confirmed": True}) in notices


async def test_the_ages_of_command_and_temperature_are_shown(tmp_path):
    async with api(tmp_path) as server:
        await server.post("/api/printer/command", {"command": "M117 hi"})
        await server.settle(20)
        age = (await server.get("/api/printer")).json["age"]
        assert 19 < age["command"] < 21
        assert 0 <= age["temperature"] < 6
