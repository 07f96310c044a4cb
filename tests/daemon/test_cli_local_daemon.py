"""The state folder and key that a command uses, with and without an installed service."""

import argparse
import fcntl
import os

import pytest

from daemon.cli import companion_process, key, local_daemon, main
from daemon.cli.options import STATE_DIR
from daemon.cli.remote import find_server
from daemon.errors import ConfigError
from daemon.systemd import installed

SOCKET = "ActiveState=active\nListen=0.0.0.0:8080 (Stream)\n"


@pytest.fixture(autouse=True)
def no_service(no_settings, monkeypatch):
    """No settings of the caller, and no service that listens."""
    monkeypatch.setattr(installed, "systemctl", lambda *_: "")
    monkeypatch.setattr(local_daemon.host_and_port, "__defaults__", (lambda *_: "",))


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with the service, which runs and has made its key; yields its root."""
    root = tmp_path / "root"
    for folder in ("etc/systemd/system", "etc/nozzled", "var/lib/nozzled", "run/nozzled"):
        (root / folder).mkdir(parents=True)
    (root / "etc/systemd/system/nozzled-front.service").touch()
    (root / "etc/nozzled.toml").write_text("[http]\nport = 5001\n")
    (root / "var/lib/nozzled/api-key").write_text("the-key-of-the-service\n")
    monkeypatch.setattr("daemon.config.reading.SYSTEM_FILE", root / "etc/nozzled.toml")
    monkeypatch.setattr(local_daemon.find, "__defaults__", (os.environ, root))
    return root


def options(**values):
    return argparse.Namespace(**{"config": None, STATE_DIR: None, "url": None, "key_file": None, **values})


def daemon_in(folder):
    """Run a front there until the returned object is dropped."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / local_daemon.LOCK).open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def another(machine, name):
    """Install and start a service for one of several printers."""
    (machine / f"etc/nozzled/{name}.toml").write_text("[http]\nport = 5002\n")
    for folder in (f"var/lib/nozzled-{name}", f"run/nozzled-{name}"):
        (machine / folder).mkdir()
    (machine / f"var/lib/nozzled-{name}/api-key").write_text(f"the-key-of-printer-{name}\n")


def test_commands_refer_to_the_installed_service(machine, capsys):
    assert main(["key"]) == 0
    assert capsys.readouterr().out == "the-key-of-the-service\n"
    server = find_server(options())
    assert (server.url, server.key) == ("http://127.0.0.1:5001", "the-key-of-the-service")
    assert main(["keys", "add", "phone"]) == 0
    assert (machine / "var/lib/nozzled/keys.json").exists()
    assert not (machine.parent / "home").exists()


def test_commands_connect_to_the_socket_of_systemd(machine):
    assert local_daemon.host_and_port(local_daemon.find(options()), lambda *_: SOCKET) == ("127.0.0.1", 8080)
    several = SOCKET + "Listen=[::1]:81 (Stream)\n"
    assert installed.listening(lambda *_: several) == ["0.0.0.0:8080", "[::1]:81"]
    assert installed.listening(lambda *_: SOCKET.replace("=active", "=inactive")) == []


def test_a_named_directory_or_configuration_comes_first(machine, tmp_path, capsys):
    own = tmp_path / "own"
    assert local_daemon.find(options(**{STATE_DIR: str(own)})).service is None
    (tmp_path / "mine.toml").write_text("")
    assert local_daemon.find(options(config=tmp_path / "mine.toml")).state == tmp_path / "home/.local/state/nozzled"
    # both, as the documentation once said
    both = local_daemon.find(
        options(config=machine / "etc/nozzled.toml", **{STATE_DIR: str(machine / "var/lib/nozzled")})
    )
    assert both.service is not None


def test_commands_refer_to_a_daemon_run_by_hand_while_the_service_is_stopped(machine, tmp_path):
    own = tmp_path / "home/.local/state/nozzled"
    with daemon_in(own):
        assert local_daemon.find(options()).state == machine / "var/lib/nozzled"
        (machine / "run/nozzled").rmdir()
        assert local_daemon.find(options()).state == own
    assert local_daemon.find(options()).state == machine / "var/lib/nozzled"


def test_the_only_running_instance_is_chosen_and_one_of_two_has_to_be_named(machine, capsys):
    another(machine, "AH02X9")
    assert local_daemon.find(options()).service.printer == "", "the single one runs"
    (machine / "run/nozzled").rmdir()
    assert find_server(options()).key == "the-key-of-printer-AH02X9"
    another(machine, "BK71C3")
    assert main(["key"]) == 1
    assert f"--config {machine}/etc/nozzled/BK71C3.toml" in capsys.readouterr().err
    assert main(["key", "--config", f"{machine}/etc/nozzled/BK71C3.toml"]) == 0
    assert capsys.readouterr().out == "the-key-of-printer-BK71C3\n"


@pytest.mark.usefixtures("restored_logging")
def test_a_companion_started_by_hand_reads_the_configuration_of_the_installed_service(machine, monkeypatch):
    another(machine, "AH02X9")
    of_service = machine / "etc/nozzled/AH02X9.toml"
    of_service.write_text('[mqtt]\nhost = "broker.local"\n')
    (machine / "run/nozzled").rmdir()
    calls = []

    async def run(_name, make, *_):
        make(None)

    monkeypatch.setattr(companion_process, "_run", run)
    monkeypatch.setattr(companion_process, "leave_threads_behind", lambda _: None)  # pytest-xdist has threads
    companion_process.serve("mqtt", lambda _client, folder, config: calls.append((folder, config)), options(), {})
    assert calls == [(machine / "var/lib/nozzled-AH02X9/companions/mqtt", of_service)]


@pytest.mark.parametrize("words", [["key"], ["keys", "list"], ["keys", "add", "my phone"], ["pair", "--welcome"]])
def test_a_missing_permission_suggests_sudo(machine, words, capsys, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert main(words) == 1
    shown = " ".join(f"'{word}'" if " " in word else word for word in words)
    error = capsys.readouterr().err
    assert "only the service and root may read" in error
    assert f"sudo nozzled {shown}" in error


def test_an_unreadable_key_suggests_sudo_if_it_is_needed(machine, monkeypatch):
    def refused(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_text", refused)
    monkeypatch.setattr("daemon.config.reading._read", lambda _: {})
    server = find_server(options(words=["job", "status"]))
    assert server.key == ""
    assert "sudo nozzled job status" in server.no_key_text


def test_no_key_is_created_while_another_daemon_serves_the_port(tmp_path, capsys, monkeypatch):
    (tmp_path / "mine.toml").write_text("")
    words = ["key", "--config", str(tmp_path / "mine.toml"), "--state-dir", str(tmp_path / "state")]
    monkeypatch.setattr(local_daemon, "is_served", lambda host, port: (host, port) == ("127.0.0.1", 5000))
    for rotate in ([], ["--rotate"]):
        assert main([*words, *rotate]) == 1
        output = capsys.readouterr()
        assert output.out == ""
        assert "the daemon at http://127.0.0.1:5000 does not use" in output.err
        assert not (tmp_path / "state/api-key").exists()
    monkeypatch.setattr(local_daemon, "is_served", lambda _host, _port: False)
    assert main(words) == 0
    key = capsys.readouterr().out
    monkeypatch.setattr(local_daemon, "is_served", lambda _host, _port: True)
    assert main(words) == 0, "one that is there is shown"
    output = capsys.readouterr()
    assert output.out == key
    assert "the daemon at http://127.0.0.1:5000 does not use" in output.err
    assert main(["keys", "add", "phone", *words[1:]]) == 1
    assert "would not accept a key" in capsys.readouterr().err
    assert not (tmp_path / "state/keys.json").exists()
    assert main(["keys", "list", *words[1:]]) == 0
    output = capsys.readouterr()
    assert ("there are no named keys" in output.out, "does not use" in output.err) == (True, True)
    with daemon_in(tmp_path / "state"):
        assert main([*words, "--rotate"]) == 0, "its own daemon serves the port"


def test_the_socket_of_systemd_belongs_to_the_service_before_the_front_starts(machine, capsys, monkeypatch):
    monkeypatch.setattr(local_daemon, "is_served", lambda *_: True)
    assert main(["key"]) == 0
    assert capsys.readouterr().err == ""


def test_no_key_is_created_for_a_daemon_that_was_given_one(tmp_path, capsys):
    with daemon_in(tmp_path / "state"):
        assert main(["key", "--state-dir", str(tmp_path / "state")]) == 1
    assert "got its key from NOZZLED_API_KEY or from systemd" in capsys.readouterr().err
    assert not (tmp_path / "state/api-key").exists()


def test_the_services_key_comes_from_systemd_and_is_never_created(machine, capsys):
    credentials = machine / "run/credentials/nozzled-front.service"
    credentials.mkdir(parents=True)
    (credentials / "nozzled.api-key").write_text("handed-in-by-systemd")
    assert main(["key"]) == 0
    assert capsys.readouterr().out == "handed-in-by-systemd\n"
    (credentials / "nozzled.api-key").unlink()
    (machine / "var/lib/nozzled/api-key").unlink()
    assert main(["key"]) == 1
    assert "sudo systemctl start nozzled" in capsys.readouterr().err
    assert not (machine / "var/lib/nozzled/api-key").exists()
    for left in (machine / "var/lib/nozzled").iterdir():
        left.unlink()
    (machine / "var/lib/nozzled").rmdir()
    with pytest.raises(ConfigError, match="has not run yet"):
        key.find(options(rotate=False))
