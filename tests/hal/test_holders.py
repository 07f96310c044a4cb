"""The processes that hold a file or a TCP port, found on real processes."""

import fcntl
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hal import holders
from hal.holders import Holder, Lock, describe, of_file, of_tcp_port
from support.processes import cannot_run


@pytest.fixture
def octoprint(tmp_path):
    """Run a script called `octoprint` in another process, until the test ends."""
    running = []

    def start(text, *args, through=()):
        script = tmp_path / "octoprint"
        script.write_text(f"{text}\nprint(flush=True)\ninput()\n")
        process = subprocess.Popen(
            [*through, sys.executable, script, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        running.append(process)
        assert process.stdout.readline() == b"\n"
        return process

    yield start
    for process in running:
        process.communicate(b"\n")


@pytest.fixture
def pty():
    master, slave = os.openpty()
    path = os.ttyname(slave)
    os.close(slave)
    yield path
    os.close(master)


HOLD = "import sys\nfile = open(sys.argv[1], 'r+b', buffering=0)"
LISTEN = """
import pathlib, socket, sys
server = socket.create_server((sys.argv[1], 0), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
pathlib.Path(sys.argv[2]).write_text(str(server.getsockname()[1]))
"""


def test_finds_the_process_that_has_a_file_open(octoprint, tmp_path):
    file = tmp_path / "nozzled.lock"
    file.touch()
    process = octoprint(HOLD, file)
    assert of_file(file) == [Holder(process.pid, "octoprint")]


def test_finds_the_process_behind_a_port_and_a_link_to_it(octoprint, pty, tmp_path):
    process = octoprint(HOLD, pty)
    link = tmp_path / "usb-Prusa-if00"
    link.symlink_to(pty)
    assert of_file(pty) == of_file(link) == [Holder(process.pid, "octoprint")]


CONTAINER = """
import fcntl, os, subprocess, sys
subprocess.run(["mount", "-t", "devpts", "-o", "newinstance,ptmxmode=0666", "devpts", "/dev/pts"], check=True)
held = []
while not held or os.ttyname(held[-1]) != sys.argv[1]:
    master = os.open("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(master, 0x40045431, b"\\0" * 4)  # TIOCSPTLCK: unlocked
    held.append(os.open(f"/dev/pts/{len(held)}", os.O_RDWR | os.O_NOCTTY))
"""


def test_a_pty_of_the_same_number_in_a_container_is_another(octoprint, pty):
    unshare = shutil.which("unshare")
    if os.geteuid() != 0 or unshare is None:
        cannot_run("a file system of ptys can be mounted by root only, with unshare of util-linux")
    process = octoprint(CONTAINER, pty, through=(unshare, "--mount"))
    assert process.poll() is None
    assert of_file(pty) == []


def test_a_file_that_is_closed_or_missing_has_no_holder(tmp_path):
    file = tmp_path / "free"
    assert of_file(file) == []
    file.touch()
    assert of_file(file) == []
    assert holders.locks_on(file) == []
    assert holders.locks_on(tmp_path / "none") == []


def test_finds_the_owner_of_a_lock_where_descriptors_are_hidden(pty, monkeypatch):
    def hidden(*_args):
        raise PermissionError

    with open(pty, "r+b", buffering=0) as file:  # noqa: PTH123 - a terminal, not a file of ours
        fcntl.flock(file, fcntl.LOCK_EX)
        monkeypatch.setattr(holders, "_is_same", hidden)
        assert [holder.pid for holder in of_file(pty)] == [os.getpid()]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_finds_the_process_that_listens_on_a_port(octoprint, tmp_path, host):
    if ":" in host and not Path("/proc/net/if_inet6").exists():
        cannot_run("no IPv6 on this machine")
    process = octoprint(LISTEN, host, tmp_path / "port")
    port = int((tmp_path / "port").read_text())
    assert of_tcp_port(port) == [Holder(process.pid, "octoprint")]


def test_a_port_that_is_free_or_only_bound_has_no_listener():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        assert of_tcp_port(server.getsockname()[1]) == []
        server.listen()
        assert [holder.pid for holder in of_tcp_port(server.getsockname()[1])] == [os.getpid()]


def test_a_holder_is_described_by_name_and_pid():
    assert describe([Holder(812, "octoprint")]) == "octoprint (pid 812)"
    assert describe([Holder(1, "a"), Holder(2, "b")]) == "a (pid 1), b (pid 2)"


@pytest.mark.parametrize(("uid", "text"), [(1000, "run as root to see which"), (0, "not visible from here")])
def test_an_unseen_holder_is_described_as_such(uid, text, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert describe([]) == f"another program ({text})"


def test_reads_the_table_of_locks():
    table = (
        "1: FLOCK  ADVISORY  WRITE 812 00:1a:3 0 EOF\n"
        "1: -> FLOCK  ADVISORY  WRITE 999 00:1a:3 0 EOF\n"
        "2: POSIX  ADVISORY  READ  5 fd:01:131 128 128\n"
        "3: OFDLCK ADVISORY  WRITE -1 08:10:7 0 EOF\n"
        "4: LEASE  ACTIVE    READ  7 08:10:9 0 EOF\n"
        "\n"
        "5: FLOCK\n"
        "6: FLOCK  ADVISORY  WRITE 9 <none>:0 0 EOF\n"
    )
    assert list(holders.parse_locks(table)) == [
        Lock("FLOCK", 812, os.makedev(0, 0x1A), 3),
        Lock("POSIX", 5, os.makedev(0xFD, 1), 131),
        Lock("OFDLCK", -1, os.makedev(8, 0x10), 7),
    ]


def fake_process(proc, pid, comm, *words):
    (proc / str(pid) / "fd").mkdir(parents=True)
    (proc / str(pid) / "comm").write_text(comm + "\n")
    (proc / str(pid) / "cmdline").write_text("\0".join(words) + "\0")
    return proc / str(pid)


@pytest.mark.parametrize(
    ("comm", "words", "program"),
    [
        ("pronterface", ["/usr/bin/pronterface"], "pronterface"),
        ("python3", ["/usr/bin/python3", "-u", "/opt/moonraker/moonraker.py", "-d"], "moonraker.py"),
        ("python3", ["python3"], "python3"),
        ("evil\x1b[2J", ["x"], "evil[2J"),
        ("\x1b", ["x"], "unnamed"),
    ],
)
def test_names_a_program_as_its_user_would(tmp_path, monkeypatch, comm, words, program):
    file = tmp_path / "port"
    file.touch()
    process = fake_process(tmp_path / "proc", 812, comm, *words)
    (process / "fd/3").symlink_to(file)
    monkeypatch.setattr(holders, "_PROC", tmp_path / "proc")
    assert of_file(file) == [Holder(812, program)]


def test_skips_missing_and_unreadable_files(tmp_path, monkeypatch):
    file = tmp_path / "port"
    file.touch()
    proc = tmp_path / "proc"
    first = fake_process(proc, 1, "one")
    (first / "fd/0").symlink_to(tmp_path / "gone")
    (first / "fd/1").symlink_to(file)
    (proc / "2").mkdir()  # ended: no fd
    (proc / "self").mkdir()
    ended = fake_process(proc, 3, "three")
    (ended / "fd/0").symlink_to(file)
    (ended / "comm").unlink()
    monkeypatch.setattr(holders, "_PROC", proc)
    assert of_file(file) == [Holder(1, "one")]
    assert holders.locks_on(file) is None
    assert of_tcp_port(80) == []
