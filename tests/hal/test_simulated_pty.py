import errno
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time

import pytest

from gcode.framing import frame
from hal.session_file import HOST, PRINTER, read
from support.processes import until
from support.waiting import TIMEOUT


@pytest.fixture
def start(tmp_path):
    """Start simulated printers as programs; returns (process, link)."""
    started = []

    def start(*arguments, link=None, where=None):
        link = link or tmp_path / "printer"
        process = subprocess.Popen(
            [sys.executable, "-m", "hal.simulated", *(where or ("--pty", link)), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process, link

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_a_link_that_cannot_be_created_is_reported_in_a_sentence(start, tmp_path):
    process, link = start(link=tmp_path / "none" / "x")
    out, output = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, out) == (1, "")
    assert output == (
        f"hal.simulated: cannot create the port at {link}: No such file or directory; choose another path\n"
    )


def test_an_address_in_use_is_reported_in_a_sentence(start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        process, _ = start(where=("--tcp", address))
        out, output = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, out) == (1, "")
    assert output == f"hal.simulated: cannot listen on {address}: Address already in use; choose another address\n"


def test_a_file_that_cannot_be_written_is_reported_in_a_sentence(start, tmp_path):
    process, _ = start("--oracle", tmp_path / "none" / "x")
    out, output = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, out) == (1, "")
    assert output == f"hal.simulated: {tmp_path}/none/x: No such file or directory\n"


class Host:
    """A raw host: nothing but a file descriptor."""

    def __init__(self, link):
        self.fd = os.open(link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        self.buffer = b""

    def write(self, data):
        assert os.write(self.fd, data) == len(data)

    def until(self, end, seconds=TIMEOUT):
        """Return the lines up to and including the first that begins with `end`."""
        lines, deadline = [], time.monotonic() + seconds
        while time.monotonic() < deadline:
            while b"\n" in self.buffer:
                line, _, self.buffer = self.buffer.partition(b"\n")
                lines.append(line)
                if line.startswith(end):
                    return lines
            if select.select([self.fd], [], [], 0.1)[0]:
                self.buffer += os.read(self.fd, 4096)
        raise AssertionError(f"{end!r} never came, but {lines!r}")

    def silent(self, seconds):
        return not select.select([self.fd], [], [], seconds)[0]

    def is_hung_up(self):
        try:
            return os.read(self.fd, 4096) == b""
        except BlockingIOError:
            return False
        except OSError as error:
            return error.errno == errno.EIO

    def close(self):
        os.close(self.fd)


def test_a_host_prints_on_it_and_sigterm_ends_it(start, tmp_path):
    process, link = start("--oracle", tmp_path / "oracle.jsonl", "--speed", 20)
    assert process.stdout.readline().startswith(f"{link} -> /dev/pts/")
    host = Host(link)
    assert host.until(b"start") == [b"start"]
    host.until(b"echo:  M301")
    host.write(b"M115\n")
    assert host.until(b"ok")[0].startswith(b"FIRMWARE_NAME:Marlin")
    for n in range(50):
        host.write(b"G1 X%d F6000\n" % n)
        assert host.until(b"ok") == [b"ok"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(TIMEOUT) == 0
    assert not os.path.lexists(link)
    host.close()
    accepted = [json.loads(line) for line in (tmp_path / "oracle.jsonl").read_text().splitlines()]
    assert [each["command"] for each in accepted] == ["M115", *(f"G1 X{n} F6000" for n in range(50))]
    assert {each["n"] for each in accepted} == {None}
    assert [each["t"] for each in accepted] == sorted(each["t"] for each in accepted)


def test_each_opening_resets_the_board(start):
    process, link = start()
    process.stdout.readline()
    for _ in range(2):
        host = Host(link)
        host.until(b"echo:  M301")
        host.write(frame(1, b"G4 P1"))
        assert host.until(b"ok") == [b"ok"]  # not a repeated number: the counter is forgotten
        host.close()
        time.sleep(0.2)


def test_opening_need_not_reset_the_board(start):
    process, link = start("--no-reset-on-open")
    process.stdout.readline()
    time.sleep(0.2)  # it boots when it is switched on
    host = Host(link)
    assert host.silent(0.3)
    host.write(b"M110 N41\n")
    host.until(b"ok")
    host.close()
    time.sleep(0.2)
    host = Host(link)
    host.write(b"N99999999 M105*23\n")
    assert host.until(b"Error")[-1].endswith(b"Last Line: 41")
    host.close()


def test_unread_output_is_dropped(start):
    process, link = start("--speed", 5000)
    process.stdout.readline()
    host = Host(link)
    host.until(b"echo:  M301")
    host.write(b"M155 S1\n")
    time.sleep(2.0)  # some 10,000 reports, 300 kB
    host.write(b"M155 S0\n")
    unread = 0
    while not host.silent(0.5):
        unread += len(os.read(host.fd, 4096))
    assert 0 < unread < 100_000, "the terminal holds less than that"
    host.write(b"M118 end\n")
    assert len(host.until(b"end")) <= 2, "nothing was kept but what the terminal holds"
    process.send_signal(signal.SIGINT)
    assert process.wait(TIMEOUT) == 0
    host.close()


def test_a_dangling_link_is_replaced(start, tmp_path):
    (tmp_path / "printer").symlink_to(tmp_path / "nowhere")
    process, link = start()
    assert process.stdout.readline().startswith(str(link))
    assert str(link.readlink()).startswith("/dev/pts/")


def test_an_existing_file_is_not_replaced(start, tmp_path):
    (tmp_path / "printer").write_text("precious")
    process, link = start()
    assert process.wait(TIMEOUT) == 1
    assert "exists" in process.stderr.read()
    assert link.read_text() == "precious"


def test_a_scenario_happens_and_is_recorded(start, tmp_path):
    (tmp_path / "scenario.toml").write_text('[[fault]]\nwhat = "text"\nline = 2\ntext = "from outer space"\n')
    process, link = start(
        *("--scenario", tmp_path / "scenario.toml", "--firmware", "teacup", "--record", tmp_path / "session.jsonl.gz")
    )
    process.stdout.readline()
    host = Host(link)
    host.until(b"ok")  # of Teacup's banner
    host.write(b"M105\nM105\n")
    assert host.until(b"from outer space")[-1] == b"from outer space"
    host.until(b"ok")
    process.send_signal(signal.SIGTERM)
    assert process.wait(TIMEOUT) == 0
    host.close()
    session = read([tmp_path / "session.jsonl.gz"])
    assert not session.why_cut
    assert b"from outer space\n" in b"".join(record.data for record in session.records if record.kind == PRINTER)
    assert b"M105\nM105\n" in b"".join(record.data for record in session.records if record.kind == HOST)


def test_a_pulled_cable_removes_the_port_until_it_is_plugged_in(start, tmp_path):
    (tmp_path / "scenario.toml").write_text('[[fault]]\nwhat = "unplug"\nline = 2\nseconds = 50\n')
    process, link = start("--scenario", tmp_path / "scenario.toml", "--speed", 100)
    process.stdout.readline()
    host = Host(link)
    host.until(b"echo:  M301")
    host.write(b"M400\nM400\n")
    until(host.is_hung_up, "the hang-up")
    host.close()
    until(link.exists, "the port to be back")
    host = Host(link)
    host.until(b"start")
    host.close()


@pytest.mark.parametrize(
    ("text", "error"),
    [("[[fault", "not TOML"), ('[[fault]]\nwhat = "flop"\ntime = 1', "fault 1: what is 'flop'; allowed: flip, drop,")],
)
def test_a_bad_scenario_is_reported_in_a_sentence(start, tmp_path, text, error):
    (tmp_path / "scenario.toml").write_text(text)
    process, _ = start("--scenario", tmp_path / "scenario.toml")
    out, err = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, out) == (1, "")
    assert err.startswith(f"hal.simulated: scenario {tmp_path}/scenario.toml: {error}")
    assert err.count("\n") == 1


def test_the_sd_card_is_a_folder(start, tmp_path):
    (tmp_path / "card").mkdir()
    (tmp_path / "card" / "a long name.gcode").write_text("G4 P1\n")
    process, link = start("--sd", tmp_path / "card")
    process.stdout.readline()
    host = Host(link)
    host.until(b"echo:  M301")
    host.write(b"M20 L\n")
    assert host.until(b"End file list")[-2] == b"A LONG~1.GCO 6 a long name.gcode"
    host.close()


def test_a_host_prints_over_tcp(start):
    process, _ = start(link=None, where=("--tcp", "127.0.0.1:0"))
    output = process.stdout.readline()
    host, port = output.removeprefix("tcp -> ").strip().split(":")
    with socket.create_connection((host, int(port)), timeout=TIMEOUT) as connection:
        reply = b""
        while b"M301" not in reply:
            reply += connection.recv(4096)
    process.send_signal(signal.SIGTERM)
    assert process.wait(TIMEOUT) == 0


def test_help_has_an_example():
    result = subprocess.run(
        [sys.executable, "-m", "hal.simulated", "--help"], capture_output=True, text=True, check=True
    )
    assert "example:\n  python -m hal.simulated --pty" in result.stdout
