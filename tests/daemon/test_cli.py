"""The command line: output, refusals and exit codes."""

import argparse
import errno
import importlib
import io
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from daemon import __version__
from daemon.cli import COMMANDS, main
from daemon.cli import ports as ports_command
from daemon.config import COMPANIONS, Config, load, merge, switched_on
from daemon.config.writing import render
from hal.holders import Holder
from hal.ports import Port
from hal.registry import check
from support.processes import NOZZLED, environment

pytestmark = pytest.mark.usefixtures("no_settings")


@pytest.fixture
def empty(tmp_path):
    """An empty configuration file, so that none of this machine's is read."""
    path = tmp_path / "empty.toml"
    path.write_text("")
    return path


def exit_code_of(*arguments):
    """Run a command line that argparse ends; return the exit code."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return caught.value.code


def test_the_version_is_that_of_the_package(capsys):
    assert exit_code_of("--version") == 0
    assert capsys.readouterr().out == f"nozzled {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert exit_code_of(command, "--help") == 0
    shown = capsys.readouterr().out
    module = importlib.import_module(f"daemon.cli.{command.replace('-', '_')}")
    assert f"example: {module.EXAMPLE}" in shown
    assert f"nozzled {command}" in module.EXAMPLE
    assert COMMANDS[command] in shown


def test_help_lists_every_command_and_shows_an_example(capsys):
    assert exit_code_of("--help") == 0
    shown = capsys.readouterr().out
    assert "example: nozzled" in shown
    for command in COMMANDS:
        assert any(line.startswith(f"    {command}") for line in shown.splitlines())


@pytest.mark.parametrize("arguments", [(), ("print",), ("serve", "--port", "x"), ("serve", "--prot", "1")])
def test_a_wrong_command_line_exits_2(arguments, capsys):
    assert exit_code_of(*arguments) == 2
    assert "usage: nozzled" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["jbo"], "nozzled: error: there is no command 'jbo': did you mean 'job'?"),
        (["printer", "jog", "x=10"], "nozzled printer jog: error: unrecognized arguments: x=10"),
        (["ports", "--json"], "nozzled ports: error: unrecognized arguments: --json; see `nozzled ports --help`"),
        (["-v", "serve"], "nozzled: error: unrecognized arguments: -v; options follow the command"),
        (["foo"], "nozzled: error: there is no command 'foo': `nozzled --help` lists them all"),
        (["serve", "--port", "abc"], "nozzled serve: error: argument --port: must be a whole number, not abc"),
        (["printer", "connect", "--baudrate", "x"], "argument --baudrate: must be a whole number, not x"),
        (
            ["queue", "move", "a", "1"],
            "error: argument ENTRY: 'a' is not a number; `nozzled queue list` shows the numbers",
        ),
    ],
)
def test_an_error_comes_with_the_usage_of_its_command(words, error, capsys):
    assert exit_code_of(*words) == 2
    assert error in capsys.readouterr().err


def test_the_word_help_prints_help(capsys):
    assert exit_code_of("help", "printer") == 0
    assert "usage: nozzled printer" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["printer", "preheat", "PLA"], ["printer", "connect", "--port", "/dev/ttyACM0"]])
def test_an_option_of_a_command_is_not_the_setting_of_the_same_name(words, empty, capsys, monkeypatch):
    """The daemon's address comes from the configuration here, in which there are a port and a preset too."""
    monkeypatch.setattr("daemon.client.caller.PAUSES_S", ())
    empty.write_text("[http]\nport = 1\n")
    assert main([*words, "--config", str(empty)]) == 3
    assert "no answer from http://127.0.0.1:1: is nozzled running there?" in capsys.readouterr().err


def test_the_output_of_config_is_a_configuration(tmp_path, capsys):
    config = merge(
        Config(),
        {
            "http": {"port": 8080},
            "printer": {"address": "sim?speed=20", "retry_s": 0.5},
            "scripts": {"after_finish": ['M117 it\'s "done" \\o/', "M84"]},
            "appearance": {"name": "Küche №2"},
        },
        "test",
    )
    path = tmp_path / "given.toml"
    path.write_text(render(config) + "[spoolman]\nevery_s = 30\n", "utf-8")
    assert main(["config", "--config", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "port = 8080" in printed
    again = tmp_path / "again.toml"
    again.write_text(printed, "utf-8")
    assert main(["config", "--config", str(again)]) == 0
    assert capsys.readouterr().out == printed
    assert printed.startswith(render(config))
    assert "\nevery_s = 30.0\n" in printed


@pytest.mark.parametrize("program", [[NOZZLED], [sys.executable, "-m", "daemon"]])
def test_every_command_reads_and_writes_utf8_whatever_the_locale(program, tmp_path):
    path = tmp_path / "Küche.toml"
    path.write_text('[appearance]\nname = "Küche №2"\n', "utf-8")
    ascii_locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    printed = subprocess.run(
        [*program, "config", "--config", path], env=environment() | ascii_locale, capture_output=True, check=True
    )
    again = tmp_path / "again.toml"
    again.write_bytes(printed.stdout)
    assert load(again, {}) == load(path, {})


def test_the_output_of_config_switches_no_companion_on(tmp_path, capsys, empty):
    assert main(["config", "--config", str(empty)]) == 0
    printed = capsys.readouterr().out
    for name in [each for sections in COMPANIONS.values() for each in sections]:
        assert f"\n# [{name}]\n" in printed
    (path := tmp_path / "given.toml").write_text(printed, "utf-8")
    assert switched_on(path, {}) == frozenset()


def test_the_command_line_overrides_the_file_named_in_the_environment(tmp_path, capsys, monkeypatch):
    named = tmp_path / "named.toml"
    named.write_text('[paths]\nstate_dir = "/srv/file"\n[http]\nport = 81\n')
    monkeypatch.setenv("NOZZLED_CONFIG", str(named))
    assert main(["config", "--state-dir", "/srv/option"]) == 0
    printed = capsys.readouterr().out
    assert 'state_dir = "/srv/option"' in printed
    assert "port = 81" in printed


@pytest.mark.parametrize("command", ["serve", "key", "config"])
def test_an_unknown_key_is_refused_with_the_allowed_ones(command, tmp_path, capsys):
    path = tmp_path / "wrong.toml"
    path.write_text("[http]\nprot = 80\n")
    assert main([command, "--config", str(path), "--state-dir", str(tmp_path / "state")]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(
        f"nozzled: {path}: http.prot = 80: unknown key; did you mean port? known keys: host, port"
    )
    assert not (tmp_path / "state").exists()


def test_a_wrong_value_on_the_command_line_is_refused_like_one_in_a_file(tmp_path, empty, capsys):
    state = tmp_path / "state"
    assert main(["serve", "--config", str(empty), "--state-dir", str(state), "--port", "99999"]) == 1
    assert (
        capsys.readouterr().err == "nozzled: command line: http.port = 99999: must be a whole number from 0 to 65535\n"
    )
    assert not state.exists()


def test_key_creates_a_private_key_once(tmp_path, empty, capsys):
    state = tmp_path / "state"
    arguments = ["key", "--config", str(empty), "--state-dir", str(state)]
    assert main(arguments) == 0
    output = capsys.readouterr()
    assert (
        output.err == f"nozzled: created a key in {state}; a daemon with another state directory does not accept it\n"
    )
    key = output.out
    assert key == (state / "api-key").read_text()
    assert len(key.strip()) >= 32
    assert stat.S_IMODE((state / "api-key").stat().st_mode) == 0o600
    assert main(arguments) == 0
    output = capsys.readouterr()
    assert (output.out, output.err) == (key, "")


def test_key_prints_the_key_of_the_environment_without_creating_a_file(tmp_path, empty, capsys, monkeypatch):
    monkeypatch.setenv("NOZZLED_API_KEY", "from-the-environment")
    assert main(["key", "--config", str(empty), "--state-dir", str(tmp_path / "state")]) == 0
    assert capsys.readouterr().out == "from-the-environment\n"
    assert not (tmp_path / "state").exists()


def test_a_short_key_is_refused(tmp_path, empty, capsys, monkeypatch):
    monkeypatch.setenv("NOZZLED_API_KEY", "short")
    assert main(["key", "--config", str(empty), "--state-dir", str(tmp_path / "state")]) == 1
    output = capsys.readouterr()
    assert "at least 16 characters" in output.err
    assert "short" not in output.err.removeprefix("nozzled: NOZZLED_API_KEY: ")


def test_ports_reports_that_there_are_none(capsys, monkeypatch):
    monkeypatch.setattr(ports_command, "list_ports", list)
    assert main(["ports"]) == 0
    assert "no serial port found" in capsys.readouterr().out


def test_ports_are_listed_as_addresses_with_their_holders(capsys, monkeypatch):
    listed = [
        Port("/dev/ttyUSB0", "/dev/serial/by-id/usb-Prusa", "Prusa MK3"),
        Port("/dev/ttyACM1"),
    ]
    monkeypatch.setattr(ports_command, "list_ports", lambda: listed)
    monkeypatch.setattr(ports_command, "is_locked", lambda path: path == "/dev/ttyUSB0")
    monkeypatch.setattr(ports_command.holders, "of_file", lambda _: [Holder(8, "octoprint")])
    assert main(["ports"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "serial:/dev/serial/by-id/usb-Prusa  Prusa MK3  (in use by octoprint (pid 8))",
        "serial:/dev/ttyACM1",
    ]


def test_ports_of_this_machine_can_be_listed():
    assert main(["ports"]) == 0


def test_ctrl_c_prints_no_traceback(monkeypatch):
    def interrupted(_: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(ports_command, "run", interrupted)
    assert main(["ports"]) == 1
    monkeypatch.setattr(ports_command, "arguments", interrupted)  # as if while the command is loaded
    assert main(["ports"]) == 1


def test_a_character_that_the_locale_cannot_write_is_escaped(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    monkeypatch.setattr(ports_command, "run", lambda _: sys.stdout.write("Würfel 21 °C\n") * 0)
    assert main(["ports"]) == 0
    sys.stdout.flush()
    assert written.getvalue() == rb"W\xfcrfel 21 \xb0C" + b"\n"


def test_a_file_that_this_user_may_not_open_is_named(capsys, monkeypatch):
    def refuse(_):
        raise PermissionError(errno.EACCES, "Permission denied", "/root/part.gcode")

    monkeypatch.setattr(ports_command, "run", refuse)
    assert main(["ports"]) == 1
    assert capsys.readouterr().err == "nozzled: /root/part.gcode: Permission denied\n"


@pytest.mark.parametrize("command", [["ports"], ["config"]])
def test_an_output_to_a_full_disk_is_an_error_of_one_line(command, empty):
    with Path("/dev/full").open("w") as full:
        run = [NOZZLED, *command, *(["--config", empty] if command == ["config"] else [])]
        ended = subprocess.run(run, env=environment(), stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (1, "nozzled: the output cannot be written: No space left on device\n")


def test_serving_without_a_printer_lists_the_ports(tmp_path, empty, capsys, monkeypatch):
    monkeypatch.setattr("daemon.cli.serve.run_with", lambda *_: 0)
    listed = [Port("/dev/ttyUSB0", "/dev/serial/by-id/usb-Prusa", "Prusa MK3"), Port("/dev/ttyACM1")]
    monkeypatch.setattr("hal.ports.list_ports", lambda: listed)
    monkeypatch.setattr("hal.ports.is_locked", lambda path: path == "/dev/ttyACM1")
    words = ["serve", "--config", str(empty), "--state-dir", str(tmp_path), "--port", "0"]
    assert main(words) == 0
    assert capsys.readouterr().err.splitlines() == [
        "nozzled: no printer is configured; clients can connect one. To connect one at once, start with:",
        "  --printer serial:/dev/serial/by-id/usb-Prusa  Prusa MK3",
        "  --printer serial:/dev/ttyACM1    (in use)",
        "  --printer sim  the simulated printer",
    ]
    monkeypatch.setattr("hal.ports.list_ports", list)
    assert main(words) == 0
    assert "is the printer plugged in and switched on?" in capsys.readouterr().err
    assert main([*words, "--printer", "/dev/ttyUSB0"]) == 0
    assert capsys.readouterr().err == ""


def test_a_plain_path_names_a_printer(tmp_path):
    for text in ("/dev/ttyUSB0", "/dev/ttyUSB0?baudrate=250000", "serial:/dev/ttyUSB0"):
        assert check(text).target == "/dev/ttyUSB0"
