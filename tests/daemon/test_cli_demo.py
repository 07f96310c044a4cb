"""The demonstration's verdict finds every kind of damage on the way to the firmware."""

import contextlib
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.cli import demo, main
from daemon.cli.demo import DemoFailed, compare, example
from daemon.config import logbook_file, stop_socket

WANTED = ["G28", "M104 S210", "G1 X1", "G1 X2", "G1 X3", "M84"]
GREETING = ["M110 N0", "M110 N0", "M115", "M155 S2", "M113 S2"]
ARRIVED = [*GREETING, *WANTED, "M400"]

COMMANDS = st.lists(st.sampled_from([f"G1 X{x}" for x in range(6)]), min_size=1, max_size=20)


def test_a_complete_file_between_the_hosts_commands_is_exact():
    assert compare(WANTED, ARRIVED) == (0, 0)
    assert compare(WANTED, WANTED) == (0, 0)


def test_the_hosts_own_commands_may_come_between_the_lines():
    assert compare(WANTED, ["M110 N0", "M115", *WANTED[:3], "M155 S2", *WANTED[3:], "M400"]) == (0, 0)


def test_a_file_may_contain_the_hosts_commands():
    expected = ["M115", "G28", "M400", "M400", "M84"]
    assert compare(expected, [*GREETING, *expected, "M400"]) == (0, 0)


@pytest.mark.parametrize(
    ("accepted", "lost", "extra"),
    [
        ([*GREETING, *WANTED[:-1], "M400"], 1, 0),  # the last line is lost
        ([*GREETING, *WANTED[:3]], 3, 0),  # it stopped in the middle
        ([], 6, 0),
        ([*GREETING, "G28", *WANTED], 0, 1),  # repeated
        ([*GREETING, *WANTED, *WANTED], 0, 6),
        ([*GREETING, *WANTED[:2], "M106 S255", *WANTED[2:]], 0, 1),  # foreign
        ([*GREETING, *WANTED, "M400", "M400"], 0, 1),  # more than the host sends
        ([*GREETING, "M110 N0", *WANTED], 0, 1),
        ([command.lower() for command in WANTED], 6, 6),  # changed on the way
    ],
)
def test_lost_and_extra_lines_are_counted(accepted, lost, extra):
    assert compare(WANTED, accepted) == (lost, extra)


@pytest.mark.parametrize("at", range(len(WANTED)))
def test_one_lost_line_counts_once(at):
    assert compare(WANTED, [*GREETING, *WANTED[:at], *WANTED[at + 1 :], "M400"]) == (1, 0)


def test_several_differences_are_all_counted():
    swapped = [*WANTED[:2], WANTED[3], WANTED[2], *WANTED[4:]]
    assert compare(WANTED, [*GREETING, *swapped]) == (1, 1)
    expected = [f"G1 X{n}" for n in range(1000)]
    accepted = [*GREETING, *expected[:10], *expected[13:500], "M106", *expected[500:800], *expected[795:]]
    assert compare(expected, accepted) == (3, 6)


def test_a_long_file_lost_completely_is_compared_quickly():
    expected = [f"G1 X{n}" for n in range(20_000)]
    assert compare(expected, [*GREETING, "M400"]) == (20_000, 0)


@given(COMMANDS, st.data())
def test_no_single_difference_is_missed(expected, data):
    at = data.draw(st.integers(0, len(expected) - 1))
    slips = [
        ((1, 0), expected[:at] + expected[at + 1 :]),  # lost
        ((0, 1), expected[:at] + expected[at : at + 1] * 2 + expected[at + 1 :]),  # repeated
        ((0, 1), [*expected[:at], "G1 X99", *expected[at:]]),  # foreign
        ((1, 1), [*expected[:at], expected[at] + "0", *expected[at + 1 :]]),  # changed
    ]
    assert compare(expected, [*GREETING, *expected]) == (0, 0)
    for counted, accepted in slips:
        assert compare(expected, [*GREETING, *accepted]) == counted


@given(COMMANDS, COMMANDS)
def test_only_the_file_itself_is_exact(expected, accepted):
    assert (compare(expected, accepted) == (0, 0)) == (expected == accepted)


def test_a_missing_file_is_reported_before_anything_starts(tmp_path, capsys):
    assert main(["demo", "--exit", "--file", str(tmp_path / "none.gcode")]) == 1
    assert capsys.readouterr().err == f"nozzled: there is no file {tmp_path / 'none.gcode'}\n"


@pytest.mark.parametrize("speed", ["0", "nan", "-1", "inf", "fast"])
def test_an_invalid_speed_is_a_usage_error(speed, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["demo", "--exit", "--speed", speed])
    assert caught.value.code == 2
    assert f"argument --speed: must be a number above 0, like 20 or 0.5, not {speed}" in capsys.readouterr().err


def test_without_a_terminal_progress_is_occasional_lines_and_the_last_one(capsys):
    now = 100.0
    progress = demo._progress()
    assert isinstance(progress, demo._ProgressLines), "pytest captures the output"
    progress = demo._ProgressLines(clock=lambda: now)
    for tenth in range(51):  # five seconds
        now = 100.0 + tenth / 10
        progress.show("Printing", tenth * 2, f"layer {tenth}  ")
    assert capsys.readouterr().out.splitlines() == [
        "Printing     0%  layer 0",
        "Printing    40%  layer 20",
        "Printing    80%  layer 40",
    ]
    progress.close()
    progress.close()
    assert capsys.readouterr().out == "Printing   100%  layer 50\n"


def test_over_ssh_the_demo_says_how_another_computer_can_open_the_page(monkeypatch, capsys, tmp_path):
    @contextlib.contextmanager
    def no_daemon(_folder, _printer, _host):
        yield "http://127.0.0.1:44595", "the-key", None

    async def no_print(*_args, **_kwargs):
        raise DemoFailed("there is no daemon")

    file = str(example())

    def output(*options):
        assert main(["demo", "--exit", "--file", file, *options]) == 1
        return capsys.readouterr().out

    monkeypatch.setattr(demo, "_daemon", no_daemon)
    monkeypatch.setattr(demo, "_print", no_print)
    monkeypatch.setattr(demo, "_link", lambda _url, _key: "a link")
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    assert "--host" not in output()
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.7 50000 192.0.2.2 22")
    assert "make run ARGS='--host 0.0.0.0'; nothing is encrypted" in output()
    assert "0.0.0.0" not in output("--host", "192.0.2.2")
    monkeypatch.setattr(demo, "_HERE", tmp_path / "daemon" / "cli" / "demo.py")
    assert "nozzled demo --host 0.0.0.0; nothing is encrypted" in output()


def test_a_daemon_that_ends_after_the_print_ends_the_demo(monkeypatch, capsys):
    """Before, the demo said that it stays up, and waited for ever."""
    monkeypatch.setattr(demo, "_link", lambda _url, _key: "a link")
    event = '{"event": "service.hangs", "level": "error", "reason": "the disk"}'
    watch = demo._LogWatch(SimpleNamespace(stderr=[event]))
    with pytest.raises(DemoFailed, match="has ended by itself"):
        demo._stay_up("http://127.0.0.1:44595", "the-key", watch)
    assert "service.hangs: the disk" in capsys.readouterr().err


def test_the_demo_says_how_other_commands_reach_it(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/local/bin/nozzled")
    line = "NOZZLED_URL=http://127.0.0.1:44595 NOZZLED_API_KEY=the-key"
    assert demo._export("http://127.0.0.1:44595", "the-key") == f"export {line}"
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(sys, "executable", "/my clone/.venv/bin/python")
    assert demo._export("http://127.0.0.1:44595", "the-key") == f"export PATH='/my clone/.venv/bin':\"$PATH\" {line}"


@pytest.mark.parametrize(
    ("event", "details"),
    [
        ({"event": "printer.unreachable", "reason": "no port", "printer": "x"}, "no port"),
        ({"event": "http.x", "level": "warning", "part": "front", "address": "192.0.2.7"}, "address=192.0.2.7"),
    ],
)
def test_a_warning_is_shown_with_its_reason_or_all_its_fields(event, details):
    assert demo._details(event) == details


def test_the_example_is_found_in_the_checkout():
    assert example() == Path(__file__).parents[2] / "examples" / "cube20.gcode"
    assert example().is_file()


def test_the_example_leaves_no_heater_on():
    commands = [command.split() for command in demo._commands(example().read_bytes())]
    for codes in ({"M104", "M109"}, {"M140", "M190"}):
        assert [words for words in commands if words[0] in codes][-1][1] == "S0"


def test_an_installed_example_is_found_next_to_another_distributions_examples(tmp_path, monkeypatch):
    (tmp_path / "examples").mkdir()
    installed = tmp_path / "daemon" / "examples" / "cube20.gcode"
    installed.parent.mkdir(parents=True)
    installed.touch()
    monkeypatch.setattr(demo, "_HERE", tmp_path / "daemon" / "cli" / "demo.py")
    assert example() == installed


def test_the_links_echo_after_a_probe_is_not_foreign(tmp_path, capsys):
    accepted = [*GREETING, "G28", "M118 nozzled sync 1", "M84"]
    oracle = tmp_path / "oracle.jsonl"
    oracle.write_text("".join(f'{{"command": "{each}"}}\n' for each in accepted))
    assert demo._summary(b"G28\nM84\n", oracle, 1.0)
    assert "0 lost, 0 extra" in capsys.readouterr().out


def test_the_demonstration_takes_no_other_daemons_logbook_and_stop_button(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "of the user"))
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "of a service"))
    environs = []

    def refused(*_, env, **__):
        environs.append(env)
        raise OSError("refused")

    monkeypatch.setattr(demo.subprocess, "Popen", refused)
    with pytest.raises(OSError, match="refused"), demo._daemon(tmp_path, "sim", "127.0.0.1"):
        pass
    assert logbook_file(environs[0]) == tmp_path / "nozzled-logbook"
    assert stop_socket(environs[0], tmp_path).parent == tmp_path
