import errno
import os
import socket
import subprocess
import sys

import pytest

from daemon.systemd import notify
from daemon.systemd.descriptors import DescriptorStore
from support.processes import LIFETIME, environment
from support.waiting import TIMEOUT

PID = 4711


def handed_in(monkeypatch, **listen):
    """Return a store for descriptors that are not there: only their numbers are looked at."""
    monkeypatch.setattr(os, "set_inheritable", lambda *_: None)
    environ = {f"LISTEN_{name}": value for name, value in listen.items()}
    store = DescriptorStore(environ, PID)
    assert environ == {}, "a child must not take them for its own"
    return store


def test_descriptors_are_found_by_their_names(monkeypatch):
    store = handed_in(monkeypatch, FDS="3", FDNAMES="serial:stored:other", PID=str(PID))
    assert store.inherited() == {"serial": 3, "stored": 4, "other": 5}


def test_the_newest_of_two_descriptors_with_one_name_counts(monkeypatch):
    store = handed_in(monkeypatch, FDS="3", FDNAMES="serial:other:serial", PID=str(PID))
    assert store.inherited() == {"other": 4, "serial": 3}, "systemd hands the newest in first"


@pytest.mark.parametrize(
    "listen",
    [
        {},
        {"FDS": "2", "FDNAMES": "a:b", "PID": str(PID + 1)},
        {"FDS": "2", "FDNAMES": "a:b"},
        {"FDS": "x", "FDNAMES": "a", "PID": str(PID)},
        {"FDS": "-1", "FDNAMES": "a", "PID": str(PID)},
        {"FDS": "1", "PID": str(PID)},
    ],
    ids=["nothing", "for another process", "for nobody", "no number", "less than none", "without names"],
)
def test_descriptors_for_another_process_are_not_touched(monkeypatch, listen):
    store = handed_in(monkeypatch, **listen)
    assert store.inherited() == {}
    assert store.listening() == []


CHILD = """
import os, socket, subprocess, sys
from daemon.systemd.descriptors import DescriptorStore
store = DescriptorStore(os.environ)
[(name, fd)] = store.inherited().items()
[listening] = store.listening()
inherited = subprocess.run([sys.executable, "-c", "import os; print(os.path.exists('/proc/self/fd/%d'))" % fd],
    capture_output=True, text=True, close_fds=False)
print(name, os.read(fd, 5).decode(), listening.getsockname()[1], listening.getblocking(), inherited.stdout.strip(),
    [name for name in os.environ if name.startswith("LISTEN_")])
"""


def test_descriptors_are_not_inherited_by_children(manager, tmp_path):
    read, write = os.pipe()
    os.write(write, b"hello")
    os.close(write)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        manager.descriptors.append(("serial", read))
        process = manager.start([sys.executable, "-c", CHILD], [("http", listening.fileno())])
        assert process.wait(LIFETIME) == 0, manager.output()
        assert manager.output().strip() == f"serial hello {listening.getsockname()[1]} False False []"


def test_a_descriptor_is_stored_and_removed_by_name(manager):
    store = DescriptorStore({"NOTIFY_SOCKET": str(manager.path)})
    assert store.available
    read, write = os.pipe()
    try:
        store.keep("serial", write)
        manager.sync()
        [(name, descriptor)] = manager.descriptors
        os.write(descriptor, b"x")
        assert (name, os.read(read, 1)) == ("serial", b"x")
        store.drop("serial")
        manager.sync()
        assert manager.descriptors == []
        store.drop("serial")
        manager.sync()
        assert manager.messages.count("FDSTOREREMOVE=1") == 1, "what is not kept need not be dropped"
    finally:
        os.close(read)
        os.close(write)


def test_a_new_port_replaces_the_old_one(manager, monkeypatch):
    store = handed_in(monkeypatch, FDS="1", FDNAMES="serial", PID=str(PID))
    read, write = os.pipe()
    try:
        manager.descriptors.append(("serial", os.dup(read)))  # descriptors stored earlier
        store.keep("serial", write)
        manager.sync()
        [(_, descriptor)] = manager.descriptors
        assert os.path.sameopenfile(descriptor, write)
    finally:
        os.close(read)
        os.close(write)


def test_without_systemd_nothing_happens(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    store = DescriptorStore({})
    assert not store.available
    store.keep("serial", 0)
    store.drop("serial")


def test_without_a_listener_nothing_is_raised(tmp_path, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "none"))
    notify.ready()
    notify.alive()
    DescriptorStore({}).keep("serial", 0)


def test_without_a_free_descriptor_nothing_is_raised(manager, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(socket, "socket", refuse)
        notify.alive()
        notify.status("Printing")
    notify.status("Idle")
    manager.sync()
    assert manager.messages == ["STATUS=Idle"], "the next beat comes through"


def test_a_status_is_one_line_whatever_a_file_is_called(manager):
    notify.status("Printing a\nMAINPID=1\r\x1b.gcode" + "x" * 1000)
    manager.sync()
    [line] = manager.messages
    assert line.startswith("STATUS=Printing a?MAINPID=1??.gcodexxx")
    assert len(line) == len("STATUS=") + notify.MAX_STATUS


def test_a_manager_that_hangs_is_not_waited_for_long(tmp_path, monkeypatch):
    timeouts = []

    class Noting(socket.socket):
        def settimeout(self, seconds):
            timeouts.append(seconds)
            super().settimeout(seconds)

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setattr(socket, "socket", Noting)
        for _ in range(2000):  # more than any queue of datagrams takes
            notify.alive()
            notify.status("Printing")
        assert set(timeouts) == {0.0}
        timeouts.clear()
        notify.keep("serial", 0)
        notify.drop("serial")
        assert timeouts == [notify.SEND_TIMEOUT] * 2
        assert notify.SEND_TIMEOUT < 1


def test_an_abstract_socket_is_notified_too(monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        name = f"nozzled-test-{os.getpid()}"
        listener.bind(f"\0{name}")
        listener.settimeout(TIMEOUT)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        notify.reloading(12.5)
        assert listener.recv(100) == b"RELOADING=1\nMONOTONIC_USEC=12500000"


def test_the_module_imports_little(tmp_path):
    unwanted = {"asyncio", "tornado", "structlog", "serial"}
    code = f"import daemon.systemd.descriptors, sys; print({unwanted} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    assert result.stdout.strip() == "set()"
