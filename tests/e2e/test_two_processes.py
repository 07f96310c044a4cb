"""`nozzled serve` as two real processes: each behaves well whatever happens to the other."""

import http.client
import os
import signal
import socket
import subprocess
from contextlib import closing, suppress
from pathlib import Path

import pytest

from support.processes import (
    FAST,
    NOZZLED,
    SLOW,
    TIMEOUT,
    TOKEN,
    Daemon,
    commands_of,
    environment,
    free_port,
    has_ended,
    head,
    until,
)


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def front_of(daemon: Daemon) -> int:
    return int(daemon.events("front.started")[-1]["pid"])


def job_text(daemon: Daemon) -> str | None:
    """Return the answer of /api/job; None if there is none."""
    with (
        suppress(OSError, http.client.HTTPException),
        closing(http.client.HTTPConnection(*daemon.address, timeout=1)) as connection,
    ):
        connection.request("GET", "/api/job", headers={"X-Api-Key": TOKEN})
        response = connection.getresponse()
        return response.read().decode() if response.status == 200 else None
    return None


def is_free(host: str, port: int) -> bool:
    with suppress(OSError), socket.create_server((host, port)):
        return True
    return False


@pytest.fixture
def part(tmp_path):
    """Moves of a tenth of a second, or of half a second where the print is slow."""
    path = tmp_path / "part.gcode"
    path.write_text("".join(f"G1 X{n % 2 * 10} Y{n} F6000\n" for n in range(100)))
    return path


@pytest.fixture
def printing(processes, part):
    """A daemon on a port that stays the same, in the middle of a print that is slow."""
    printer = processes.printer(1)
    daemon = processes.daemon("--printer", printer.address, "--port", str(free_port()))
    daemon.print_file(part)
    until(lambda: "G1 X10 Y1 F6000" in printer.accepted(), "the first lines of the print")
    daemon.post("/api/printer/command", {"command": SLOW})
    return daemon, printer


def wait_for_progress(printer) -> None:
    before = len(printer.accepted())
    until(lambda: len(printer.accepted()) > before + 2, "the print to go on")


def test_a_print_survives_its_front_and_the_api_returns_with_the_same_state(printing, part):
    daemon, printer = printing
    for _ in range(2):
        before, front = len(printer.accepted()), front_of(daemon)
        os.kill(front, signal.SIGKILL)
        until(lambda: front_of(daemon) != front, "the next front")  # noqa: B023 - used at once
        until(lambda: '"Printing"' in (job_text(daemon) or ""), "the API")
        until(lambda: len(printer.accepted()) > before, "the print to go on")  # noqa: B023 - used at once
    daemon.post("/api/printer/command", {"command": FAST})
    until(lambda: '"Operational"' in (job_text(daemon) or ""), "the end of the print")
    moves = [command for command in printer.accepted() if command.endswith(" F6000")]
    assert moves == commands_of(part), "each line once, in its order"
    until(lambda: [job["outcome"] for job in daemon.jobs()] == ["COMPLETED"], "the end in the record, which lags")
    assert [each["status"] for each in daemon.events("front.ended")] == [-9, -9]


def test_a_stopped_front_does_not_affect_a_print(printing):
    daemon, printer = printing
    front = front_of(daemon)
    os.kill(front, signal.SIGSTOP)
    assert job_text(daemon) is None
    wait_for_progress(printer)
    with suppress(ProcessLookupError):
        os.kill(front, signal.SIGCONT)
    until(lambda: '"Printing"' in (job_text(daemon) or ""), "the API")
    assert front_of(daemon) == front or daemon.events("front.hangs")  # after 6 s, on a busy machine


def test_sigterm_ends_a_stopped_front_too(printing):
    daemon, printer = printing
    front = front_of(daemon)
    os.kill(front, signal.SIGSTOP)
    daemon.signal(signal.SIGTERM)
    assert daemon.wait(TIMEOUT) == 0
    until(lambda: has_ended(front), "the front to end")
    assert daemon.events("front.hangs")
    assert "M104 S0" in printer.accepted()


@pytest.mark.parametrize("stands_still", [False, True], ids=["works", "stands still"])
def test_the_front_ends_with_its_core_and_the_port_is_free_at_once(printing, stands_still):
    daemon, _ = printing
    host, port = daemon.address
    front = front_of(daemon)
    below = children(front)
    if stands_still:
        os.kill(front, signal.SIGSTOP)
    daemon.signal(signal.SIGKILL)
    daemon.wait(TIMEOUT)
    until(lambda: has_ended(front) and all(map(has_ended, below)), "the front to end")
    until(lambda: is_free(host, port), "the port")  # a zombie's threads may still be about to end


@pytest.mark.parametrize(  # test_print sends it to the core alone, as systemd does
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.nightly)], ids=["SIGINT", "SIGTERM"]
)
def test_ctrl_c_reaches_both_processes_and_heaters_go_off_first(tmp_path, processes, number):
    printer = processes.printer(4)
    config = tmp_path / "serve.toml"
    config.write_text('[analysis]\nenabled = false\n[job]\nheat_up = "firmware"\n')
    log = (tmp_path / "serve.log").open("wb")
    daemon = subprocess.Popen(
        [NOZZLED, "serve", "--state-dir", tmp_path / "s", "--port", "0", "--printer", printer.address],
        stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
        env={**environment(), "NOZZLED_API_KEY": TOKEN, "NOZZLED_CONFIG": str(config)},
    )  # fmt: skip
    try:
        until(lambda: b"http.listening" in Path(log.name).read_bytes(), "HTTP")
        until(lambda: b"printer.connected" in Path(log.name).read_bytes(), "the printer")
        fronts = children(daemon.pid)
        os.killpg(daemon.pid, number)
        assert daemon.wait(TIMEOUT) == 0
        until(lambda: all(map(has_ended, fronts)), "the front to end")
        log_text = Path(log.name).read_text()
        assert "Traceback" not in log_text
        if number is signal.SIGINT:
            assert "front.ended" not in log_text, "the front waits for the core to end it"
    finally:
        daemon.kill()
        daemon.wait()
        log.close()


def test_sighup_reaches_both_processes(processes, tmp_path):
    config = tmp_path / "own.toml"
    config.write_text('[appearance]\nname = "one"\n')
    daemon = processes.daemon("--config", config)
    name = lambda: daemon.get("/api/settings")["appearance"]["name"]  # noqa: E731 - read as a sentence below
    assert name() == "one"
    config.write_text('[appearance]\nname = "two"\n[log]\nlevel = "debug"\n')
    daemon.signal(signal.SIGHUP)
    until(lambda: name() == "two", "the new name")
    assert daemon.event("config.reloaded")["sections"] == ["log", "appearance"]
    assert not daemon.events("front.ended")


def test_a_front_that_cannot_start_ends_the_service_with_its_reason(processes, tmp_path):
    config = tmp_path / "own.toml"
    config.write_text('[http]\ntrusted_proxies = ["nobody"]\n')
    daemon = processes.daemon("--config", config)
    assert daemon.wait(TIMEOUT) == 1
    assert "trusted_proxies: nobody" in daemon.output()
    assert "Traceback" not in daemon.output()


def test_a_front_that_has_worked_does_not_end_the_service_however_often_it_ends(printing):
    daemon, printer = printing
    for ended in range(4):
        front = front_of(daemon)
        os.kill(front, signal.SIGABRT)  # a bug in C
        until(lambda: len(daemon.events("front.ended")) > ended and front_of(daemon) != front, "the next one")  # noqa: B023 - used at once
    assert [each["status"] for each in daemon.events("front.ended")] == [-signal.SIGABRT] * 4
    wait_for_progress(printer)
    until(lambda: '"Printing"' in (job_text(daemon) or ""), "the API")


def test_an_idle_service_does_not_end_with_a_front_that_has_worked(processes):
    daemon = processes.daemon("--printer", "sim", "--port", str(free_port()))
    daemon.until_state("Operational")
    front = front_of(daemon)
    os.kill(front, signal.SIGABRT)
    until(lambda: front_of(daemon) != front and '"Operational"' in (job_text(daemon) or ""), "the next one")
    assert daemon.running


@pytest.mark.parametrize("closed", [pytest.param("2>&-", marks=pytest.mark.nightly), "2>&- >&- <&-"])
def test_the_service_works_without_a_standard_error(tmp_path, closed):
    port = free_port()
    command = f'exec "{NOZZLED}" serve --state-dir "{tmp_path / "s"}" --port {port} --printer sim {closed}'
    daemon = subprocess.Popen(["/bin/sh", "-c", command], env={**environment(), "NOZZLED_API_KEY": TOKEN})

    def listens() -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    try:
        until(lambda: listens() or daemon.poll() is not None, "HTTP")
        assert daemon.poll() is None, "it works without a notify socket"
        [front] = children(daemon.pid)
        for pid in (daemon.pid, front):
            for fd in (0, 1, 2):
                assert not str(Path(f"/proc/{pid}/fd/{fd}").readlink()).startswith(("socket:", "anon_inode:")), (
                    "output that goes there by mistake must not reach a client"
                )
        daemon.terminate()
        assert daemon.wait(TIMEOUT) == 0
        until(lambda: has_ended(front), "the front to end")
    finally:
        daemon.kill()
        daemon.wait()


def test_without_a_standard_error_the_reason_of_an_end_goes_to_the_standard_output(tmp_path):
    command = f'exec "{NOZZLED}" serve --state-dir "{tmp_path}" --port 0 --printer nonsense 2>&-'
    shell = ["/bin/sh", "-c", command]
    ended = subprocess.run(shell, check=False, capture_output=True, env=environment(), timeout=TIMEOUT)
    assert ended.returncode == 1
    assert b"nozzled: 'nonsense': unknown kind of printer" in ended.stdout


def test_the_process_that_analyses_a_file_does_not_get_the_key(processes, tmp_path):
    config = tmp_path / "own.toml"
    config.write_text("[analysis]\nenabled = true\n")
    daemon = processes.daemon("--config", config, "--printer", "sim")
    daemon.until_state("Operational")
    front = front_of(daemon)
    data = head(None, tmp_path).read_bytes()
    assert daemon.upload("part.gcode", len(data), [data])[0] == 201

    def environments() -> list[bytes]:
        """Return those of the processes that analyse; until it has begun, a child is a copy of the front."""
        own, found = command_line(front), []
        for pid in children(front):
            with suppress(OSError):
                found.append((command_line(pid), Path(f"/proc/{pid}/environ").read_bytes()))
        return [environ for command, environ in found if command not in (b"", own) and environ]

    for environ in until(environments, "the process that analyses"):
        assert TOKEN.encode() not in environ
