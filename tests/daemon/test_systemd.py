import argparse
import asyncio
import sys
from dataclasses import replace

import pytest
import structlog

from daemon.bridge.words import JobState, Selection
from daemon.cli import front
from daemon.config import Config
from daemon.core.main import SECTIONS
from daemon.core.supervision import Supervision, forget_job_type, job_type
from daemon.errors import ConfigError
from daemon.log import journal
from daemon.reloading import Reloader
from daemon.systemd.heartbeat import STATUS_INTERVAL
from support.http import api

PID = 4711


def print_lines(service, lines):
    path = service.files.root / "part.gcode"
    path.write_text(lines)
    service.jobs.select(Selection("part.gcode", "part.gcode", path.stat().st_size, 0))
    service.jobs.start()


def watched(manager, seconds="20", whose=str(PID)):
    return {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": f"{seconds}000000", "WATCHDOG_PID": whose}


async def beats(manager, service, environ, seconds):
    """Return the messages within this time."""
    supervision = Supervision(service, environ, PID)
    supervision.start()
    await asyncio.sleep(seconds)
    supervision.stop()
    await asyncio.sleep(100)
    manager.sync()
    return manager.messages


async def test_the_watchdog_is_fed_four_times_in_its_period(manager, tmp_path):
    async with api(tmp_path / "state", "") as server:
        messages = await beats(manager, server.service, watched(manager, "8"), 7.9)
    assert messages.count("WATCHDOG=1") == 4
    assert messages.count("STATUS=Offline") == 1, "what has not changed is not repeated"


@pytest.mark.parametrize("variables", [{}, {"WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "no"}, {"WATCHDOG_USEC": "0"}])
async def test_no_watchdog_is_fed_if_none_is_configured(manager, tmp_path, variables):
    environ = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "8000000", **variables}
    if not variables:
        del environ["WATCHDOG_USEC"]
    async with api(tmp_path / "state", "") as server:
        assert Supervision(server.service, environ, PID).interval == STATUS_INTERVAL
        assert "WATCHDOG=1" not in await beats(manager, server.service, environ, 60)


async def test_a_driver_that_hangs_feeds_no_watchdog(manager, tmp_path):
    async with api(tmp_path / "state", "sim?speed=20") as server:
        printer = server.service.connection.printer
        assert "WATCHDOG=1" in await beats(manager, server.service, watched(manager), 60)
        assert not printer.hangs
        printer._transport.close()
        printer.submit("M105")
        printer._reports.stop()
        if printer._pump._timer is not None:  # the bug that this is about
            printer._pump._timer.cancel()
        await asyncio.sleep(100)
        assert printer.hangs
        manager.messages.clear()
        assert "WATCHDOG=1" not in await beats(manager, server.service, watched(manager), 60)


async def test_without_a_service_manager_nothing_is_sent(tmp_path, monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    async with api(tmp_path / "state", "") as server:
        supervision = Supervision(server.service, {}, PID)
        supervision.start()
        assert supervision._timer is None
        supervision.stop()


async def test_the_status_shows_the_print(manager, tmp_path):
    async with api(tmp_path / "state", "sim?speed=20") as server:
        supervision = Supervision(server.service, {"NOTIFY_SOCKET": str(manager.path)}, PID)
        supervision.start()
        print_lines(server.service, "G1 X1 F600\nG1 X100\n" * 50)
        await asyncio.sleep(30)
        server.service.jobs.cancel()
        await asyncio.sleep(60)
        supervision.stop()
    manager.sync()
    shown = [line for line in manager.messages if line.startswith("STATUS=")]
    assert shown[0] == "STATUS=Operational"
    assert any(line.startswith("STATUS=Printing part.gcode, ") and line.endswith(" %") for line in shown)
    assert shown[-1] == "STATUS=Operational"


@pytest.mark.parametrize("below_systemd", [True, False])
def test_a_front_that_cannot_start_ends_slowly_if_it_is_always_restarted(manager, monkeypatch, tmp_path, below_systemd):
    slept = []
    monkeypatch.setattr("daemon.cli.front.time.sleep", slept.append)
    if not below_systemd:
        monkeypatch.delenv("NOTIFY_SOCKET")
    wrong = tmp_path / "nozzled.toml"
    wrong.write_text("[http]\nport = -1\n")
    parser = argparse.ArgumentParser()
    front.arguments(parser)
    with pytest.raises(ConfigError, match="port"):
        front.run(parser.parse_args(["--config", str(wrong)]))
    manager.sync()
    assert slept == ([front.RETRY_INTERVAL] if below_systemd else [])
    assert any("port" in message for message in manager.messages if message.startswith("STATUS=")) == below_systemd


def test_a_front_with_a_missing_part_ends_slowly_too(manager, monkeypatch):
    slept = []
    monkeypatch.setattr("daemon.cli.front.time.sleep", slept.append)
    monkeypatch.setitem(sys.modules, "daemon.front.main", None)
    parser = argparse.ArgumentParser()
    front.arguments(parser)
    with pytest.raises(ImportError):
        front.run(parser.parse_args([]))
    assert slept == [front.RETRY_INTERVAL]


async def test_journal_entries_name_printer_and_job(tmp_path):
    async with api(tmp_path / "state", "sim?speed=20") as server:
        supervision = Supervision(server.service, {}, PID)
        supervision.start()
        assert journal.context() == {"JOB_ID": None, "PRINTER": "sim?speed=20"}
        print_lines(server.service, "G1 X1\n")
        await asyncio.sleep(10)
        assert server.service.jobs.state is JobState.COMPLETED
        assert journal.context()["JOB_ID"] == 1
        supervision.stop()
        assert journal.context() == {}


@pytest.mark.parametrize(
    ("left", "type_"),
    [("stop\n", "stop"), ("restart\n", "restart"), ("", None), ("reload\n", None), ("x" * 10_000, None), (None, None)],
)
def test_the_reason_of_a_stop_is_read_from_the_unit(tmp_path, left, type_):
    if left is not None:
        (tmp_path / "job-type").write_text(left)
    environ = {"RUNTIME_DIRECTORY": f"{tmp_path}:/run/other"}
    assert job_type(environ) == type_
    forget_job_type(environ)
    assert job_type(environ) is None


def test_without_systemd_the_reason_of_a_stop_is_unknown():
    assert job_type({}) is None
    forget_job_type({})


@pytest.mark.usefixtures("restored_logging")
async def test_a_reload_applies_the_settings_that_it_can(manager, tmp_path):
    async with api(tmp_path / "state", "") as server:
        service = server.service
        now = service.config
        new = replace(
            now,
            appearance=replace(now.appearance, name="Kitchen"),
            http=replace(now.http, port=1),
            log=replace(now.log, level="error"),
        )
        passed_on = []
        reloader = Reloader(service.core, now, lambda: new, SECTIONS, lambda: passed_on.append("to the front"))
        reloader.begin()
        reloader.begin()
        await reloader._task
        assert service.core.config == replace(new, http=now.http)
        assert passed_on == ["to the front"]
    manager.sync()
    assert [line.partition("=")[0] for line in manager.messages] == ["RELOADING", "MONOTONIC_USEC", "READY"]


@pytest.mark.usefixtures("restored_logging")
async def test_a_printer_chosen_over_the_api_needs_no_restart_at_a_reload(tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    (state / "preset").write_text("mk3s\n")
    async with api(state, "") as server:
        core, configured = server.service.core, Config()
        assert core.config.profile.preset == "mk3s"
        new = replace(configured, appearance=replace(configured.appearance, name="Kitchen"))
        with structlog.testing.capture_logs() as logged:
            reloader = Reloader(core, configured, lambda: new, SECTIONS, lambda: None)
            reloader.begin()
            await reloader._task
        assert core.config.appearance.name == "Kitchen"
        assert core.config.profile.preset == "mk3s"
    assert not [each for each in logged if each["event"] == "config.needs_restart"]


@pytest.mark.usefixtures("restored_logging")
async def test_an_unreadable_configuration_changes_nothing(manager, tmp_path):
    def reread():
        raise ConfigError("nozzled.toml: not valid TOML")

    async with api(tmp_path / "state", "") as server:
        before = server.service.config
        reloader = Reloader(server.service.core, before, reread, SECTIONS, lambda: None)
        with structlog.testing.capture_logs() as logged:
            reloader.begin()
            await reloader._task
        assert server.service.config is before
    assert logged[0]["reason"] == "nozzled.toml: not valid TOML"
    assert manager.has_received("READY=1"), "else systemd waits, and ends the service"
