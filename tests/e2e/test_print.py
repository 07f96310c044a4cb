"""A file goes from HTTP over a pty to the firmware, whole and once, in real processes."""

import contextlib
import signal
import socket
import threading

import pytest

from daemon.cli.demo import compare
from support.processes import LIFETIME, TOKEN, commands_of, head, nozzled, until
from support.waiting import TIMEOUT


@pytest.mark.parametrize(
    ("lines", "speed"), [(1500, 200), pytest.param(None, 60, marks=pytest.mark.nightly)], ids=["head", "whole"]
)
def test_a_file_arrives_over_a_real_port_command_for_command(processes, tmp_path, lines, speed):
    printer = processes.printer(speed)
    daemon = processes.daemon("--printer", printer.address)
    part = head(lines, tmp_path)
    daemon.print_file(part)
    ended = daemon.event("job.ended", LIFETIME)
    assert ended["outcome"] == "COMPLETED"
    expected = commands_of(part)
    assert len(expected) > 1000
    assert compare(expected, printer.accepted()) == (0, 0)
    job = daemon.get("/api/job")
    assert (job["state"], job["progress"]["completion"]) == ("Operational", 100.0)
    [row] = until(lambda: [row for row in daemon.jobs() if row["ended_at"]], "the job's end in the database")
    assert (row["outcome"], row["path"], row["lines"]) == ("COMPLETED", part.name, len(expected))
    assert row["printer"] == printer.address
    assert row["reason"] is None


def begin(processes, tmp_path, lines=None, speed=100, baudrate=None):
    """Return printer, daemon and file of a print that is under way."""
    printer = processes.printer(speed, baudrate=baudrate)
    daemon = processes.daemon("--printer", printer.address)
    part = head(lines, tmp_path)
    daemon.print_file(part)
    until(lambda: len(printer.accepted()) > 300, "the print to be under way")
    return printer, daemon, part


def terminate(daemon):
    """End the daemon as systemd does."""
    daemon.signal(signal.SIGTERM)
    assert daemon.wait(TIMEOUT) == 0


def test_sigterm_during_a_print_turns_heaters_off_at_once(processes, tmp_path):
    printer, daemon, part = begin(processes, tmp_path)
    terminate(daemon)
    accepted = printer.accepted()
    off_at = accepted.index("M104 S0")
    assert accepted[off_at : off_at + 2] == ["M104 S0", "M140 S0"], daemon.output()[-3000:]
    assert accepted[off_at + 2 :] == []  # neither a line of the file nor anything else
    sent = [command for command in accepted[:off_at] if command not in ("M110 N0", "M113 S2", "M115", "M155 S2")]
    assert sent == commands_of(part)[: len(sent)]
    [row] = daemon.jobs()
    assert (row["outcome"], row["reason"]) == ("INTERRUPTED", "the service was stopped")
    assert 250 < row["lines"] <= len(sent)  # of the 300 some are the daemon's own, some not answered yet


def test_sigterm_does_not_wait_for_a_client_in_the_middle_of_an_upload(processes, tmp_path):
    printer, daemon, _ = begin(processes, tmp_path)

    def stall():
        yield b"G28\n" * 1000
        daemon.signal(signal.SIGTERM)
        until(lambda: "M140 S0" in printer.accepted(), "heaters off")
        assert daemon.wait(TIMEOUT) == 0
        yield b"G28\n" * 1_000_000

    with pytest.raises(OSError, match=r"[Rr]eset|[Pp]ipe|closed"):
        daemon.upload("late.gcode", 10**9, stall())
    assert printer.accepted()[-2:] == ["M104 S0", "M140 S0"]
    assert not list((daemon.folder / "uploads").rglob("late*"))


HANGING_DISK = """
import os, time

def hang(real):
    def sync(descriptor):
        if os.path.exists({flag!r}):
            time.sleep(3600)
        return real(descriptor)
    return sync

os.fsync, os.fdatasync = hang(os.fsync), hang(os.fdatasync)
"""


def test_sigterm_does_not_wait_for_a_disk_that_hangs(processes, tmp_path):
    flag = tmp_path / "hangs"
    (tmp_path / "patch").mkdir()
    (tmp_path / "patch" / "sitecustomize.py").write_text(HANGING_DISK.format(flag=str(flag)))
    printer = processes.printer(100)
    daemon = processes.daemon("--printer", printer.address, python_path=tmp_path / "patch")
    daemon.print_file(head(None, tmp_path))
    until(lambda: len(printer.accepted()) > 300, "the print to be under way")
    flag.touch()

    def upload():
        with contextlib.suppress(OSError):
            daemon.upload("late.gcode", 4_000_000, [b"G28\n" * 1_000_000])

    client = threading.Thread(target=upload)
    client.start()
    until(lambda: list((daemon.folder / "uploads" / ".incoming").iterdir()), "the upload to reach the disk")
    daemon.signal(signal.SIGTERM)
    until(lambda: "M140 S0" in printer.accepted(), "heaters off")
    assert daemon.wait(TIMEOUT) == 0
    client.join(TIMEOUT)


def test_sigterm_ends_in_time_if_the_printer_does_not_answer(processes, tmp_path):
    # On a wire without time all that waited for the stopped process would come at once, a window, heaters off and
    # the stop: more than the 128 bytes of a receive buffer.
    printer, daemon, _ = begin(processes, tmp_path, baudrate=115200)
    printer.signal(signal.SIGSTOP)
    terminate(daemon)
    assert "M112" not in printer.accepted()
    printer.signal(signal.SIGCONT)
    until(lambda: "M112" in printer.accepted(), "the emergency stop that the daemon left on the wire")
    [row] = daemon.jobs()
    assert row["outcome"] == "INTERRUPTED"
    assert daemon.events("job.emergency_stop")
    assert "CUT THE PRINTER'S POWER" in daemon.events("printer.said")[-1]["text"]


def test_sigterm_ends_in_time_while_the_firmware_waits_for_a_temperature(processes, tmp_path):
    printer = processes.printer(1)  # as slow as life: the bed takes more than a minute
    daemon = processes.daemon("--printer", printer.address)
    daemon.print_file(head(None, tmp_path))
    until(lambda: "M190 S60" in printer.accepted(), "the firmware to wait for the bed")
    terminate(daemon)
    assert daemon.events("job.emergency_stop")
    [row] = daemon.jobs()
    assert row["outcome"] == "INTERRUPTED"


def test_after_a_kill_heaters_go_off_and_a_new_start_prints_the_whole_file(processes, tmp_path):
    printer, first, part = begin(processes, tmp_path, lines=1500)
    first.signal(signal.SIGKILL)
    first.wait(TIMEOUT)
    before = len(printer.accepted())
    second = processes.daemon("--printer", printer.address)
    second.until_state("Operational")
    until(lambda: "M140 S0" in printer.accepted()[before:], "heaters off")
    offs = [command for command in printer.accepted()[before:] if command in ("M104 S0", "M140 S0")]
    assert offs == ["M104 S0", "M140 S0"]
    job = second.get("/api/job")
    assert job["state"] == "Operational"
    assert "could not continue: the printer restarted" in job["error"]  # opening its port resets it
    assert job["job"]["file"]["path"] == part.name
    [row] = second.jobs()
    assert row["outcome"] == "INTERRUPTED"
    until(lambda: "M155 S2" in printer.accepted()[before:], "the connection to be settled")
    anew = len(printer.accepted())
    second.post("/api/job", {"command": "start"})
    until(lambda: [row["outcome"] for row in second.jobs()] == ["INTERRUPTED", "COMPLETED"], "both jobs' ends")
    assert compare(commands_of(part), printer.accepted()[anew:]) == (0, 0)


def test_after_a_kill_heaters_go_off_though_another_program_has_the_http_port(processes, tmp_path):
    printer, first, _ = begin(processes, tmp_path, lines=1500)
    first.signal(signal.SIGKILL)
    first.wait(TIMEOUT)
    before = len(printer.accepted())
    with socket.create_server(("127.0.0.1", 0)) as other:
        second = processes.daemon("--printer", printer.address, "--port", str(other.getsockname()[1]))
        until(lambda: "M140 S0" in printer.accepted()[before:] or not second.running, "heaters off")
        assert "M140 S0" in printer.accepted()[before:], second.output()
        until(lambda: "is taken by" in second.output(), "the reason why there is no page")


def test_the_emergency_stop_of_a_client_halts_the_printer(processes, tmp_path):
    printer, daemon, _ = begin(processes, tmp_path)
    daemon.post("/api/printer/command", {"command": "M112"})
    daemon.until_state("Offline after error")
    messages = until(lambda: daemon.events("printer.said"), "whether the stop has worked")
    assert [each["text"] for each in messages] == ["the printer has stopped"]
    accepted = printer.accepted()
    assert accepted[-1] == "M112"
    status, _ = daemon.request("POST", "/api/job", b'{"command": "start"}', {"Content-Type": "application/json"})
    assert status == 409
    assert daemon.event("job.ended")["outcome"] in ("FAILED", "INTERRUPTED")
    assert printer.accepted() == accepted


@pytest.mark.parametrize(  # test_cli has one without a key, as far as a pause in the file
    "variables",
    [pytest.param({}, marks=pytest.mark.nightly), {"NOZZLED_API_KEY": TOKEN}],
    ids=["plain", "with a key in the environment"],
)
def test_the_demo_prints_through_the_real_service(tmp_path, variables):
    part = head(300, tmp_path)
    done = nozzled("demo", "--exit", "--speed", "400", "--file", part, TMPDIR=str(tmp_path), **variables)
    assert done.returncode == 0, done.stderr
    assert f"{len(commands_of(part))} commands in the file, 0 lost, 0 extra" in done.stdout
    assert not list(tmp_path.glob("nozzled-demo-*"))


def test_the_demo_says_in_one_sentence_why_it_cannot_begin(tmp_path):
    notes = tmp_path / "notes.txt"
    notes.write_text("G28\n")
    refused = nozzled("demo", "--exit", "--file", notes)
    assert refused.returncode == 1
    assert refused.stderr.startswith("nozzled: notes.txt is not a G-code file: ")
    nowhere = nozzled("demo", "--exit", "--host", "192.0.2.1")
    assert nowhere.returncode == 1
    assert nowhere.stderr.startswith("nozzled: the daemon did not start: cannot listen on 192.0.2.1:0: ")
    assert nowhere.stderr.count("cannot listen") == 1
