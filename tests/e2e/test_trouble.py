"""Ports in use, missing devices, full disks, large files: the service reports them, and a print continues."""

import fcntl
import os
import pty
import shutil
import signal
import socket
import subprocess

import pytest

from daemon.cli.demo import compare
from support.processes import (
    CONFIG,
    FAST,
    LIFETIME,
    NOZZLED,
    SLOW,
    TIMEOUT,
    commands_of,
    environment,
    head,
    small_disk,
    until,
)

MIB = 1024 * 1024
MAX_GROWTH = 20_000_000  # bytes of memory that an upload of any size may take


def of_the_file(printer):
    return [command for command in printer.accepted() if command not in (SLOW, FAST)]


def settings(folder, text):
    path = folder / "nozzled.toml"
    path.write_text(CONFIG + text)
    return path


def test_a_second_daemon_on_the_same_state_names_the_first(processes):
    first = processes.daemon()
    first.event("http.listening")
    second = processes.daemon()
    assert second.wait(TIMEOUT) == 1
    taken = (
        f"state directory {first.folder} is in use by nozzled (pid {first.pid}); end it, or choose another --state-dir"
    )
    assert taken in second.output()
    assert "Traceback" not in second.output()
    assert first.state == "Offline"


def test_an_http_port_in_use_names_its_holder(processes, tmp_path):
    first = processes.daemon()
    _, port = first.address
    second = processes.daemon("--port", str(port), state=tmp_path / "other")
    front = first.event("front.started")["pid"]
    assert second.wait(TIMEOUT) == 1
    last = second.output().splitlines()[-1]
    holder = f"nozzled: the HTTP port 127.0.0.1:{port} is taken by nozzled (pid {front})"
    assert last == f"{holder}: end it, or choose another port (http.port, --port)"
    assert second.events("front.started") == []  # nor has the printer been connected
    assert "Traceback" not in second.output()


def test_an_http_port_in_use_ends_a_daemon_that_is_connecting_too(processes, tmp_path):
    printer = processes.printer(100)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        daemon = processes.daemon("--port", str(port), "--printer", printer.address)
        assert daemon.wait(TIMEOUT) == 1
    assert f"(pid {os.getpid()})" in daemon.output()
    assert "Traceback" not in daemon.output()


def test_a_serial_port_in_use_names_its_holder_and_is_used_once_free(processes, tmp_path):
    printer = processes.printer(100)
    holder = os.open(printer.link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        daemon = processes.daemon(
            "--printer", printer.address, "--config", settings(tmp_path, "[printer]\nretry_s = 0.2\n")
        )
        unreachable = daemon.event("printer.unreachable")
        assert "is in use by" in unreachable["reason"]
        assert f"(pid {os.getpid()})" in unreachable["reason"]
        daemon.until_state("Offline after error")  # it is "Opening serial connection" for a moment at each try
        assert daemon.running
    finally:
        os.close(holder)
    daemon.until_state("Operational")
    assert len(daemon.events("printer.unreachable")) == 1  # not once for each try


def test_on_a_terminal_the_last_message_names_the_missing_port_and_says_what_to_do(tmp_path):
    terminal, inside = pty.openpty()
    command = [NOZZLED, "serve", "--printer", "/dev/ttyMISSING", "--port", "0", "--state-dir", tmp_path / "state"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=inside, stderr=subprocess.DEVNULL, env=environment()
    ) as serve:
        try:
            os.close(inside)
            text = b""
            while b"choose it on the page" not in text:
                text += os.read(terminal, 4096)
        finally:
            serve.terminate()
            os.close(terminal)
    link, _, last = text.decode().partition("#pair=")
    assert link
    assert "nozzled: no connection to /dev/ttyMISSING: There is no port /dev/ttyMISSING." in last
    assert "nozzled keeps trying." in last


def test_a_missing_port_is_used_when_it_appears(processes, tmp_path):
    link = tmp_path / "later"
    daemon = processes.daemon(
        "--printer", f"serial:{link}", "--config", settings(tmp_path, "[printer]\nretry_s = 0.2\n")
    )
    assert f"There is no port {link}" in daemon.event("printer.unreachable")["reason"]
    daemon.event("http.listening")
    printer = processes.printer(100, link)
    daemon.until_state("Operational")
    assert daemon.event("printer.connected")["firmware"].startswith("Marlin")
    assert printer.accepted()[:2] == ["M110 N0", "M115"]


def test_a_printer_unplugged_in_a_print_gets_heaters_off_when_it_is_back(processes, tmp_path):
    printer = processes.printer(100)
    impatient = settings(tmp_path, "[printer]\nretry_s = 0.2\nreattach_s = 1.0\n")
    daemon = processes.daemon("--printer", printer.address, "--config", impatient)
    daemon.print_file(head(None, tmp_path))
    until(lambda: len(printer.accepted()) > 300, "the print to be under way")
    printer.signal(signal.SIGTERM)
    printer.wait(TIMEOUT)
    ended = daemon.event("job.ended")
    assert ended["outcome"] == "INTERRUPTED"
    assert "unplugged" in ended["reason"]
    again = processes.printer(100, printer.link)
    daemon.until_state("Operational")
    until(lambda: {"M104 S0", "M140 S0"} <= set(again.accepted()), "heaters off")
    assert "unplugged" in daemon.get("/api/job")["error"]
    assert not [command for command in again.accepted() if command.startswith("G")]  # nothing of the file


def big_file(size, between):
    """Yield so many bytes of G-code; calls `between` at every 16 MiB."""
    block = (b"G1 X10.123 Y20.456 E.01234\n" * (MIB // 27 + 1))[:MIB]
    for at in range(size // MIB):
        if at % 16 == 0:
            between()
        yield block


@pytest.mark.parametrize(
    ("mib", "lines", "speed"),
    [(96, 2000, 60), pytest.param(300, None, 60, marks=pytest.mark.nightly)],
    ids=["ci", "whole"],
)
def test_a_large_upload_uses_little_memory_and_disturbs_no_print(processes, tmp_path, mib, lines, speed):
    printer = processes.printer(speed)
    daemon = processes.daemon("--printer", printer.address)
    part = head(lines, tmp_path)
    daemon.print_file(part)
    until(lambda: len(printer.accepted()) > 300, "the print to be under way")
    daemon.post("/api/printer/command", {"command": SLOW})
    taken = [0]

    def go_on():
        until(lambda: len(printer.accepted()) > taken[-1], "lines in the middle of the upload")
        taken.append(len(printer.accepted()))

    before = daemon.peak_memory()
    blocks = big_file(mib * MIB, go_on)
    status, answer = daemon.upload("big.gcode", mib * MIB, blocks)
    grown = daemon.peak_memory() - before
    assert status == 201, answer
    assert daemon.state == "Printing"  # else the upload has met no print
    daemon.post("/api/printer/command", {"command": FAST})
    assert grown < MAX_GROWTH
    assert daemon.get("/api/files/local/big.gcode")["size"] == mib * MIB
    assert daemon.event("job.ended", LIFETIME)["outcome"] == "COMPLETED"
    assert compare(commands_of(part), of_the_file(printer)) == (0, 0)


def fill(path):
    """Write until the disk is full, to the last byte."""
    with path.open("wb", buffering=0) as file:
        for size in (64 * 1024, 1):
            try:
                while file.write(b"\0" * size):
                    pass
            except OSError:
                continue
    assert shutil.disk_usage(path.parent).free == 0


def test_a_full_disk_stops_no_print(processes, tmp_path):
    with small_disk(tmp_path / "disk", "8m") as disk:
        printer = processes.printer(60)
        daemon = processes.daemon("--printer", printer.address, state=disk / "state")
        part = head(1500, tmp_path)
        daemon.print_file(part)
        until(lambda: len(printer.accepted()) > 100, "the print to be under way")
        daemon.post("/api/printer/command", {"command": SLOW})
        fill(disk / "ballast")
        status, answer = daemon.upload("more.gcode", MIB, [b"G28\n" * (MIB // 4)])
        assert status == 507
        assert answer["error"]
        assert daemon.state == "Printing"
        daemon.post("/api/printer/command", {"command": FAST})
        ended = daemon.event("job.ended", LIFETIME)
        assert ended["outcome"] == "COMPLETED"
        assert compare(commands_of(part), of_the_file(printer)) == (0, 0)
        trouble = daemon.event("store.trouble")
        assert "full" in trouble["reason"]
        assert trouble["level"] == "error"
        assert daemon.get("/api/job")["progress"]["completion"] == 100.0
        assert not list((daemon.folder / "uploads").rglob("more*"))
        (disk / "ballast").unlink()
        until(lambda: daemon.jobs()[0]["outcome"] == "COMPLETED", "the record to catch up")
        daemon.end()
