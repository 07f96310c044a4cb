"""The benchmarks are run by hand; these tests keep them runnable."""

import argparse
import importlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bench import __main__ as command
from bench import (
    analysis,
    attacks,
    folders,
    hosts,
    idle,
    link,
    micro,
    prints,
    processes,
    restart,
    simulate,
    stall,
    wear,
)
from bench.client import Client
from bench.fakeprinter import FakePrinter, NoCompiler, build
from bench.load import BLOCK, LoadResult
from gcode.framing import frame
from support.processes import cannot_run, has_ended, until
from support.waiting import TIMEOUT

SHA256_OF_5000 = "f6e1aa644adda18c8ff7eca0abf09bf0f695eb27c46e3129318ccec8e016a38c"


@pytest.fixture(scope="module")
def fakeprinter(tmp_path_factory):
    if shutil.which("cc") is None:
        cannot_run("the fake printer takes a C compiler called cc")
    return build(tmp_path_factory.mktemp("fakeprinter"))


def stream(binary, folder, window, moves, options):
    """Print with a bare loop; return the printer's statistics and the print."""
    job = prints.write(folder, "vase", moves)
    printer = FakePrinter(binary, folder / "ports/raw", options)
    host = hosts.raw(window)
    try:
        host.connect(printer.link, 115200, job)
        host.print_file(1.0, 60.0)
        cpu = processes.cpu_seconds(host.pid)
        host.disconnect()
    finally:
        host.stop()
        stats = printer.stop()
    assert cpu > 0
    return stats, job


def test_every_benchmark_is_listed_with_what_it_measures_and_has_help(capsys):
    assert command.main([]) == 0
    listed = capsys.readouterr().out
    for name in command.NAMES:
        module = importlib.import_module(f"bench.{name}")
        assert f"{name:8} {module.SUMMARY}" in listed
        with pytest.raises(SystemExit, match="0"):
            command.main([name, "--help"])
        assert f"python -m bench {name}" in capsys.readouterr().out


def test_the_readme_lists_every_benchmark_and_names_only_options_that_exist(capsys):
    text = (folders.ROOT / "bench/README.md").read_text("utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", text.partition("\n## ")[0], re.MULTILINE)) == set(command.NAMES)
    calls = re.findall(rf"""[`"]({"|".join(command.NAMES)}) ([^`"\n]*)[`"]""", text)
    assert len(calls) > 10
    for name, words in calls:
        with pytest.raises(SystemExit, match="0"):
            command.main([name, "--help"])
        assert set(re.findall(r"--[\w-]+", words)) <= set(re.findall(r"--[\w-]+", capsys.readouterr().out)), words
        if name == "link":
            assert {each.removesuffix("q") for each in re.findall(r"\b[A-Z]\d\w?", words)} <= link.SCENARIOS.keys()


def test_an_unknown_benchmark_is_refused(capsys):
    assert command.main(["lnik"]) == 2
    assert "link" in capsys.readouterr().out


def test_the_prints_are_the_same_on_every_machine(tmp_path):
    job = prints.write(tmp_path, "vase", 5000)
    assert (job.job_lines, job.sha256) == (5016, SHA256_OF_5000)
    assert prints.job_hash(job.path.read_text().splitlines()) == (job.job_lines, job.sha256)


def test_lines_of_the_wire_scenarios_take_40_bytes_or_one_more():
    lengths = {len(frame(number, line.encode())) for number, line in enumerate(prints.forties(5000), 1000)}
    assert lengths == {40, 41}


def test_200_lines_arrive_intact_and_are_counted(fakeprinter, tmp_path):
    stats, job = stream(fakeprinter, tmp_path, 1, 200, [])
    assert stats["sha256_job"] == job.sha256
    assert stats["job_lines"] == job.job_lines > 200
    assert stats["max_in_flight"] == 1
    assert stats["resends_requested"] == 0
    assert stats["answer_us"]["n"] > 200
    assert 0 < stats["answer_us"]["p50"] <= stats["answer_us"]["p99"] <= stats["answer_us"]["max"]


def test_200_lines_arrive_intact_although_every_50th_is_refused(fakeprinter, tmp_path):
    stats, job = stream(fakeprinter, tmp_path, 2, 200, ["--resend-every", "50"])
    assert stats["sha256_job"] == job.sha256
    assert stats["injected_errors"] >= 4
    assert stats["resends_requested"] >= stats["injected_errors"]


def test_the_wire_cannot_carry_more_than_its_limit(fakeprinter, tmp_path):
    stats, job = stream(fakeprinter, tmp_path, 2, 200, ["--baud", "250000"])
    result = link._result("raw2", "W2", job, stats, 0.0, None, "")
    assert result.intact
    assert 0 < result.share <= 1.001


def test_the_printer_unpacks_lines_and_compares_their_meaning(fakeprinter, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NOZZLED_BENCH_DIR", str(fakeprinter.parent))
    assert link.main(["D1q", "--repeat", "1", "--moves", "300", "--only", "nozzled"]) == 0
    [row] = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("D1q")]
    gain, share = float(row[3]), float(row[4].rstrip("%"))
    assert gain / share > 0.017, "1.7 times as many lines as plain ones for the same bytes"
    assert prints.canonical("G1 X0.500 Y-0.0 E+1.") == "G1X0.5Y0E1"


def test_a_print_that_differs_in_one_line_is_not_intact(fakeprinter, tmp_path):
    stats, _ = stream(fakeprinter, tmp_path, 1, 50, [])
    other = prints.write(tmp_path, "vase", 51)
    assert not link._result("raw1", "S1", other, stats, 0.0, None, "").intact


def test_the_fake_printer_is_compiled_once(fakeprinter):
    built = fakeprinter.stat().st_mtime_ns
    assert build(fakeprinter.parent).stat().st_mtime_ns == built


def test_a_missing_compiler_is_reported_with_its_package(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoCompiler, match="cc"):
        build(tmp_path)


def test_a_benchmark_fails_without_a_compiler(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NOZZLED_BENCH_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert link.main(["S1", "--repeat", "1", "--only", "raw1"]) == 2
    assert "install a compiler" in capsys.readouterr().err


def test_a_missing_peer_is_named_with_its_installation(fakeprinter, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NOZZLED_BENCH_DIR", str(fakeprinter.parent))
    arguments = ["S1", "--repeat", "1", "--only", "raw1", "--peers", "printcore", "--peers-dir", str(tmp_path / "none")]
    assert link.main(arguments) == 2
    assert "bench/peers.sh" in capsys.readouterr().err


def test_unknown_scenarios_and_peers_are_refused(capsys):
    for arguments in (["S9"], ["--peers", "klippy"]):
        with pytest.raises(SystemExit, match="2"):
            link.main(arguments)
    assert "S9" in capsys.readouterr().err


def test_our_daemon_and_the_bare_loops_print_side_by_side(fakeprinter, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NOZZLED_BENCH_DIR", str(fakeprinter.parent))
    out = tmp_path / "out.jsonl"
    assert link.main(["S1q", "--repeat", "1", "--moves", "200", "--out", str(out)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("S1q")]
    assert [row[1] for row in rows] == ["raw1", "raw2", "nozzled"]
    assert len(out.read_text().splitlines()) == 3


def result(host, **values):
    base = {
        "scenario": "S2q",
        "lines_per_s": 257.0,
        "share": 0.9,
        "gain": 0.9,
        "cpu": 0.2,
        "underruns": 0,
        "answer_ms": 0.5,
    }
    return link.Result(
        host=host, **base | {"in_flight": 4, "resends": 0, "turnaround_ms": 0.1, "intact": True} | values
    )


def test_limits_are_relative_to_the_floor_of_the_same_run():
    medians = {("S2q", "nozzled"): result("nozzled", cpu=0.3, underruns=2), ("S2q", "raw2"): result("raw2", cpu=0.1)}
    judged = list(link._wanted(medians))
    assert any(line.startswith("NOT MET") and "CPU / raw2: 3," in line for line in judged)
    assert any(line.startswith("NOT MET") and "underruns: 2" in line for line in judged)
    medians["S2q", "nozzled"] = result("nozzled", cpu=0.2)
    assert all(line.startswith("met") for line in link._wanted(medians))


def test_medians_include_all_prints_and_a_broken_print_shows():
    runs = [result("nozzled", lines_per_s=rate, intact=rate != 7.0) for rate in (5.0, 7.0, 100.0)]
    median = link._median(runs, "S2q", "nozzled")
    assert median.lines_per_s == 7.0
    assert not median.intact


def test_a_stopped_run_shows_its_partial_results(monkeypatch, capsys):
    def stopped(_):
        yield result("nozzled")
        raise KeyboardInterrupt

    monkeypatch.setattr(link, "measure", stopped)
    assert link.main(["S2q"]) == 0
    output = capsys.readouterr()
    assert "stopped" in output.err
    assert "S2q      nozzled        257" in output.out


def test_sigterm_ends_the_printer_and_the_hosts_too(fakeprinter, tmp_path):
    environment = {**os.environ, "NOZZLED_BENCH_DIR": str(fakeprinter.parent), "TMPDIR": str(tmp_path)}
    command_line = [sys.executable, "-m", "bench", "link", "S2q", "--only", "raw1", "--repeat", "1"]
    with subprocess.Popen(command_line, env=environment, cwd=folders.ROOT, stderr=subprocess.PIPE) as process:
        try:
            until(lambda: len(processes.tree(process.pid)) == 3, "the printer and the host")
            children = processes.tree(process.pid)[1:]
            process.terminate()
            _, output = process.communicate(timeout=TIMEOUT)
        finally:
            process.kill()
    assert b"stopped" in output
    until(lambda: all(map(has_ended, children)), "the end of the printer and the host")
    assert list(tmp_path.iterdir()) == []


def test_niceness_is_restored(monkeypatch):
    before, set_to = os.getpriority(os.PRIO_PROCESS, 0), []
    monkeypatch.setattr(os, "setpriority", lambda _which, _who, value: set_to.append(value))
    with processes.niceness(-15):
        assert set_to == [-15]
    assert set_to == [-15, before]


def test_a_forbidden_niceness_is_reported_and_ignored(monkeypatch, capsys):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refuse)
    with processes.niceness(-15):
        assert "-15 needs root" in capsys.readouterr().err


def test_a_job_is_streamed_while_an_upload_and_clients_load_the_daemon(fakeprinter, monkeypatch, capsys):
    monkeypatch.setenv("NOZZLED_BENCH_DIR", str(fakeprinter.parent))
    assert stall.main(["--megabytes", "2", "--clients", "3", "--moves", "50", "--baudrate", "19200"]) == 0
    alone, loaded = (row.split() for row in capsys.readouterr().out.splitlines()[1:3])
    assert alone[0] == "alone"
    assert int(alone[2]) > 10, "19200 baud are too slow for this print"
    assert loaded[:2] == ["under", "load"]
    assert loaded[-1] == "yes"
    assert loaded[-2] == "0", "no request failed"


@pytest.mark.nightly
@pytest.mark.parametrize("attack", attacks.ATTACKS)
def test_a_job_is_streamed_under_attack(fakeprinter, monkeypatch, capsys, attack):
    monkeypatch.setenv("NOZZLED_BENCH_DIR", str(fakeprinter.parent))
    monkeypatch.setattr(attacks, "FILES", 100)
    assert stall.main(["--attack", attack, "--moves", "300"]) == 0
    alone, attacked = capsys.readouterr().out.splitlines()[1:3]
    assert alone.split()[0] == "alone"
    assert attacked.split()[0] == attack
    assert re.search(r" yes  .*[1-9]", attacked), "it did something"


def test_the_idle_daemon_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(idle, "SETTLE", 0.0)
    result = idle.measure(Path(sys.executable), tmp_path / "run", 0.5)
    assert 0 < result.http < 30
    assert 0 < result.ready < 30
    assert 0.05 < result.start_cpu < 30
    assert 10 < result.core_rss < result.peak < 300
    assert 10 < result.front_rss < result.peak
    assert result.threads >= 1
    assert 0 <= result.cpu_share < 1


def test_the_writes_of_a_print_are_measured(tmp_path, monkeypatch):
    uploads, upload = [], Client.upload
    monkeypatch.setattr(Client, "upload", lambda client, path: uploads.append(path.name) or upload(client, path))
    monkeypatch.setattr(wear, "MOVES", 2000)
    monkeypatch.setattr(wear, "SETTLE", 0.5)
    figures = wear.measure(tmp_path / "print", "marlin1.0", 2.0)
    assert len(uploads) == 1
    assert figures.written >= 0
    assert figures.notes > 0


def test_each_layer_is_measured_as_a_multiple_of_framing(capsys):
    assert micro.main(["--lines", "200", "--rounds", "1"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[0] for row in rows] == [
        *("frame", "unframe", "compact", "reader", "link", "packed", "driver", "simulator")
    ]
    assert rows[0][2] == "1.0"


def test_the_uploaded_block_has_only_whole_moves():
    assert BLOCK.count(b"\nG1 X") == 4_999
    assert BLOCK.endswith(b"\n")


def test_the_load_counts_its_requests():
    assert LoadResult(seconds=[0.001, 0.002, 0.1]).requests == 3
    assert 90 <= LoadResult(seconds=[0.001] * 50 + [0.1] * 50).p99_ms <= 101


def test_scenarios_configure_the_printer():
    assert link.SCENARIOS["S5"].options == ["--baud", "115200", "--planner", "--resend-every", "50"]
    assert link.SCENARIOS["S1"].options == []
    with pytest.raises(argparse.ArgumentTypeError):
        link._scenario("S3qq")


def test_the_longest_silence_after_a_kill_ends_with_the_awaited_line(tmp_path):
    oracle = tmp_path / "oracle"
    oracle.write_text("")

    def print_on():
        for wait in (0.0, 0.05, 0.6, 0.05, 0.05):  # what the board has in its buffers, then the next daemon's lines
            time.sleep(wait)
            with oracle.open("a") as file:
                file.write("line\n")

    printer = threading.Thread(target=print_on)
    killed = time.monotonic()
    printer.start()
    silence = restart._longest_silence(oracle, killed, 0)
    printer.join()
    assert silence > 600


def test_a_print_that_does_not_continue_is_no_result(tmp_path, monkeypatch):
    monkeypatch.setattr(restart, "SILENCE_TIMEOUT", 0.2)
    (tmp_path / "oracle").write_text("")
    with pytest.raises(restart.PrintEnded):
        restart._longest_silence(tmp_path / "oracle", time.monotonic(), 0)


def test_a_simulated_print_is_measured(tmp_path):
    path = tmp_path / "part.gcode"
    path.write_text("G28\n" + "G1 X10 F6000\nG1 X20\n" * 20)
    cost = simulate.measure(path, tmp_path)
    assert (cost.exact, cost.lines) == (True, 41)
    assert cost.duration > 2
    assert cost.cpu > 0
    assert 10 < cost.memory < 200
    assert cost.row("part").split()[:2] == ["part", "41"]


def test_an_analysis_is_measured_and_its_limits_are_shown(capsys, monkeypatch):
    monkeypatch.setattr(analysis, "FILES", ("tests/data/gcode/vase.gcode.gz",))
    assert analysis.main(["--size", "0.1", "--repeat", "1", "--no-octoprint"]) == 0
    shown = capsys.readouterr().out
    assert "large.gcode" in shown
    assert "peak MiB:" in shown


def test_a_missing_octoprint_is_named_with_its_installation(tmp_path, capsys):
    assert analysis.main(["--peers-dir", str(tmp_path)]) == 2
    assert "bench/peers.sh" in capsys.readouterr().err
