"""The front as a child of the core, with small programs in its place."""

import asyncio
import signal
import sys
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from daemon.bridge.core_end import CoreEnd
from daemon.bridge.frames import frame
from daemon.bridge.messages import Hello, encode
from daemon.core import front_process
from daemon.core.front_process import FrontProcess
from support.bridge import FakeDesk
from support.waiting import TIMEOUT, until

HELLO = frame(encode(Hello(version="1")))
BEGIN = f"""import os, socket, sys, time
bridge = socket.socket(fileno=int(sys.argv[sys.argv.index('--bridge') + 1]))
{HELLO=}
"""
WORKS = "bridge.sendall(HELLO)\n"
STAYS = "while bridge.recv(65536): pass\n"

pytestmark = pytest.mark.real_time


@asynccontextmanager
async def running(program, busy=False, environ=None):
    """Run this in place of a front; yields it, and the event that the core gives it up."""
    end, gave_up = CoreEnd(FakeDesk()), asyncio.Event()
    command = [sys.executable, "-S", "-c", BEGIN + program]
    child = FrontProcess(end, command, environ or {}, [], lambda: busy, gave_up.set)
    end.on_hello = child.on_sign_of_life
    child.begin()
    try:
        yield child, gave_up
    finally:
        await child.stop()
        end.close()
        await asyncio.sleep(0.01)


def ended(logs):
    return [each["status"] for each in logs if each["event"] == "front.ended"]


async def test_a_front_that_cannot_start_ends_the_core_with_its_status():
    async with running("sys.exit(3)") as (child, gave_up):
        async with asyncio.timeout(TIMEOUT):
            await gave_up.wait()
        assert child.failed_status == 3


async def test_a_front_that_has_worked_is_restarted_whatever_its_status():
    with capture_logs() as logs:
        async with running(WORKS + "sys.exit(3)") as (child, gave_up):
            await until(lambda: len(ended(logs)) >= 2)
            assert (ended(logs)[0], child.failed_status, gave_up.is_set()) == (3, 0, False)


async def test_a_front_that_has_worked_is_restarted_soon(monkeypatch):
    monkeypatch.setattr(front_process, "FIRST_DELAY", 0.05)
    monkeypatch.setattr(front_process, "MAX_AFTER_WORK_DELAY", 0.06)
    with capture_logs() as logs:
        async with running(WORKS + "time.sleep(0.05)\n" + KILLED):
            await until(lambda: len(ended(logs)) >= 5)
    assert {each["again_in"] for each in logs if each["event"] == "front.ended"} == {0.05, 0.06}


KILLED, FAILS = "os.kill(os.getpid(), 9)", "sys.exit(1)"


@pytest.mark.parametrize(("program", "busy"), [(KILLED, False), (FAILS, True)], ids=["killed", "busy"])
async def test_a_front_killed_or_failing_in_a_print_is_restarted(program, busy):
    with capture_logs() as logs:
        async with running(program, busy=busy) as (child, gave_up):
            await until(lambda: len(ended(logs)) >= 2)
            assert (child.failed_status, gave_up.is_set()) == (0, False)


async def test_a_missing_command_is_tried_again(tmp_path):
    with capture_logs() as logs:
        end = CoreEnd(FakeDesk())
        child = FrontProcess(end, [str(tmp_path / "nothing")], {}, [], lambda: False, lambda: None)
        child.begin()
        await until(lambda: len(ended(logs)) >= 2)
        await child.stop()
        end.close()
        await asyncio.sleep(0.01)
    assert "No such file" in next(each["reason"] for each in logs if each["event"] == "front.not_started")


async def test_a_front_without_a_sign_of_life_is_killed(monkeypatch):
    monkeypatch.setattr(front_process, "CHECK_INTERVAL", 0.1)
    with capture_logs() as logs:
        async with running(WORKS + "os.kill(os.getpid(), 19)"):  # SIGSTOP
            await until(lambda: ended(logs))
    assert ended(logs)[0] == -signal.SIGKILL
    assert [each["event"] for each in logs if each["event"] == "front.hangs"]


async def test_a_front_that_never_gets_ready_is_killed_too(monkeypatch):
    monkeypatch.setattr(front_process, "CHECK_INTERVAL", 0.02)
    monkeypatch.setattr(front_process, "MAX_STARTING", 10)
    with capture_logs() as logs:
        async with running("time.sleep(60)"):
            await until(lambda: ended(logs))
    assert ended(logs)[0] == -signal.SIGKILL


async def test_a_front_that_is_killed_again_and_again_is_reported_as_killed(monkeypatch):
    monkeypatch.setattr(front_process, "CHECK_INTERVAL", 0.0001)
    monkeypatch.setattr(front_process, "MAX_STARTING", 1)
    monkeypatch.setattr(front_process, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(front_process, "MAX_DELAY", 0.001)
    with capture_logs() as logs:
        async with running("time.sleep(60)") as (child, _):
            await until(lambda: len(ended(logs)) >= 10 or child.failed_status)
    assert {*ended(logs)} == {-signal.SIGKILL}
    assert not child.failed_status


async def test_a_front_that_is_alive_or_still_starting_is_not_killed(monkeypatch):
    monkeypatch.setattr(front_process, "CHECK_INTERVAL", 0.15)
    silent = 0.15 * front_process.MAX_SILENT  # s; long enough for a front that a busy machine lets wait
    with capture_logs() as logs:
        async with running(f"time.sleep({silent})\nwhile True:\n bridge.sendall(HELLO)\n time.sleep(0.05)\n"):
            await asyncio.sleep(2.5 * silent)
            assert not ended(logs)


async def test_a_reload_waits_for_a_front_that_is_still_starting(tmp_path):
    signalled = tmp_path / "told"
    handler = f"import signal\nsignal.signal(1, lambda *_: open({str(signalled)!r}, 'w').close())\n"
    program = f"time.sleep(0.2)\n{handler}{WORKS}{STAYS}"
    with capture_logs() as logs:
        async with running(program) as (child, _):
            await until(lambda: child._process)
            child.reload()
            await until(signalled.exists)
            signalled.unlink()
            child.reload()
            await until(signalled.exists)
    assert not ended(logs)


DEAF = "import signal\nsignal.signal(15, lambda *_: None)\n"


@pytest.mark.parametrize(
    ("program", "patience", "status"),
    [
        (WORKS + STAYS, TIMEOUT, -signal.SIGTERM),
        (DEAF + WORKS + "while True: time.sleep(1)", 0.2, -signal.SIGKILL),
    ],
    ids=["ends", "does not"],
)
async def test_a_front_is_terminated_and_killed_if_it_does_not_end(monkeypatch, program, patience, status):
    monkeypatch.setattr(front_process, "CLOSE_TIMEOUT", patience)
    async with running(program) as (child, _):
        async with asyncio.timeout(TIMEOUT):
            await child.has_worked.wait()
        process = child._process
    async with asyncio.timeout(TIMEOUT):
        assert await process.wait() == status


async def test_the_cores_variables_of_systemd_are_not_passed_on(tmp_path):
    variables = tmp_path / "environ"
    environ = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "1", "LISTEN_FDS": "1", "NOZZLED_API_KEY": "k"}
    tells = f"open({str(variables)!r}, 'w').write(repr(sorted(os.environ)))\n"
    async with running(tells + WORKS + STAYS, environ=environ) as (child, _):
        async with asyncio.timeout(TIMEOUT):
            await child.has_worked.wait()
    assert "NOZZLED_API_KEY" in variables.read_text()
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS"} & set(eval(variables.read_text()))
