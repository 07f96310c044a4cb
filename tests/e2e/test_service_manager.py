"""The daemon below a service manager, which is the test: notifications, and descriptors handed in."""

import http.client
import json
import signal
import socket
from contextlib import closing

import pytest

from daemon.core.supervision import JOB_TYPE
from support.processes import (
    CONFIG,
    HOST_COMMANDS,
    LIFETIME,
    NOZZLED,
    TIMEOUT,
    TOKEN,
    ProcessGroup,
    commands_of,
    head,
    until,
)
from support.service_manager import ServiceManager


@pytest.fixture
def manager(tmp_path):
    manager = ServiceManager(tmp_path)
    yield manager
    manager.close()


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def start(manager, folder, listening=None, printer="sim?speed=20", **variables):
    """Start the daemon as its unit does."""
    (folder / "nozzled.toml").write_text(CONFIG)
    command = [NOZZLED, "serve", "--config", folder / "nozzled.toml", "--port", "0", "--printer", printer]
    sockets = [("http", listening.fileno())] if listening else []
    (folder / "run").mkdir(exist_ok=True)
    return manager.start(
        command, sockets, STATE_DIRECTORY=str(folder / "state"), RUNTIME_DIRECTORY=str(folder / "run"), **variables
    )


def ask(listening, method, path, body=None, kind="application/json", key=TOKEN):
    """Ask through a socket that listens whether or not a daemon runs."""
    with closing(http.client.HTTPConnection(*listening.getsockname(), timeout=LIFETIME)) as connection:
        connection.request(method, path, body, {"X-Api-Key": key, "Content-Type": kind})
        answer = connection.getresponse()
        text = answer.read()
    return answer.status, json.loads(text) if text else None


def get(listening, path, key=TOKEN):
    return ask(listening, "GET", path, key=key)


def print_file(listening, path):
    """Upload and start; the printer is there."""
    until(lambda: get(listening, "/api/job")[1]["state"] == "Operational", "the printer")
    form = b'--frontier\r\nContent-Disposition: form-data; name="file"; filename="part.gcode"\r\n\r\n%s\r\n--frontier--'
    body, kind = form % path.read_bytes(), "multipart/form-data; boundary=frontier"
    assert ask(listening, "POST", "/api/files/local", body + b"\r\n", kind)[0] == 201
    for resource, command in [("/api/files/local/part.gcode", "select"), ("/api/job", "start")]:
        status, answer = ask(listening, "POST", resource, json.dumps({"command": command, "force": True}).encode())
        assert status == 204, answer


def test_readiness_status_and_stopping_are_notified(manager, tmp_path):
    process = start(manager, tmp_path, NOZZLED_API_KEY=TOKEN, WATCHDOG_USEC="2000000")  # a beat each half second
    manager.wait_for("READY=1")
    manager.wait_for("STATUS=Operational")
    process.send_signal(signal.SIGHUP)
    manager.messages.clear()
    manager.wait_for("READY=1")
    assert [line.partition("=")[0] for line in manager.messages if line[0] in "RM"][:2] == [
        "RELOADING",
        "MONOTONIC_USEC",
    ]
    process.send_signal(signal.SIGTERM)
    manager.wait_for("STOPPING=1")
    assert process.wait(TIMEOUT) == 0, manager.output()


def test_a_watchdog_is_fed(manager, tmp_path):
    process = start(manager, tmp_path, WATCHDOG_USEC="400000")
    until(
        lambda: manager.has_received("READY=1") and manager.messages.count("WATCHDOG=1") >= 5, "the watchdog to be fed"
    )
    process.send_signal(signal.SIGSTOP)
    manager.sync()
    manager.messages.clear()
    manager.sync()
    process.send_signal(signal.SIGCONT)
    manager.wait_for("WATCHDOG=1")


def test_requests_wait_in_the_socket_until_the_daemon_runs(manager, tmp_path, listening):
    first = start(manager, tmp_path, listening, NOZZLED_API_KEY=TOKEN)
    assert get(listening, "/api/version")[0] == 200
    first.kill()
    first.wait(TIMEOUT)
    with closing(socket.create_connection(listening.getsockname(), TIMEOUT)) as waiting:
        waiting.sendall(f"GET /api/version HTTP/1.1\r\nHost: x\r\nX-Api-Key: {TOKEN}\r\n\r\n".encode())
        start(manager, tmp_path, listening, NOZZLED_API_KEY=TOKEN)
        waiting.settimeout(LIFETIME)
        assert waiting.recv(100).startswith(b"HTTP/1.1 200 ")


def test_the_key_may_come_from_the_service_manager(manager, tmp_path, listening):
    (tmp_path / "nozzled.api-key").write_text("handed-in-by-systemd\n")
    start(manager, tmp_path, listening, CREDENTIALS_DIRECTORY=str(tmp_path))
    assert get(listening, "/api/version", "handed-in-by-systemd")[0] == 200
    assert get(listening, "/api/version", "something-else-altogether")[0] == 403
    assert not (tmp_path / "state/api-key").exists()


def test_an_abort_shows_the_stack_of_each_thread(manager, tmp_path):
    process = start(manager, tmp_path, NOZZLED_API_KEY=TOKEN)
    manager.wait_for("READY=1")
    process.send_signal(signal.SIGABRT)
    assert process.wait(TIMEOUT) == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in manager.output()
    assert "most recent call first" in manager.output()


@pytest.mark.nightly  # a real systemd does the same in tests/systemd/test_survival.py
def test_a_print_survives_kills_and_a_restart_with_each_line_sent_once(manager, tmp_path, listening):
    processes = ProcessGroup(tmp_path)
    try:
        printer, part = processes.printer(30), head(1500, tmp_path)  # a board that resets when its port is reopened

        def run():
            address = printer.address
            return start(manager, tmp_path, listening, address, NOZZLED_API_KEY=TOKEN, NOZZLED_BOOT_ID="this one")

        def until_further(process):
            there = len(printer.accepted())
            until(lambda: len(printer.accepted()) > there + 100, f"the print to go on: {manager.output()[-3000:]}")
            manager.sync()
            assert process.poll() is None

        process = run()
        print_file(listening, part)
        for _ in range(3):
            until_further(process)
            process.kill()
            process.wait(TIMEOUT)
            process = run()
        until_further(process)
        (tmp_path / "run" / JOB_TYPE).write_text("restart\n")
        process.terminate()
        assert process.wait(TIMEOUT) == 0, manager.output()
        run()
        until(lambda: get(listening, "/api/job")[1]["state"] == "Operational", "the print's end", LIFETIME)
        arrived = [command for command in printer.accepted() if command.split()[0] not in HOST_COMMANDS]
        assert arrived == commands_of(part)
    finally:
        processes.close()
