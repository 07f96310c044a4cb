"""The guard alone, with reports, jobs and connections as a test wants them: what it does at which second."""

import asyncio
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from daemon.bridge.words import JobState
from daemon.config import Config, PrinterConfig, ProfileConfig, SafetyConfig
from daemon.core.safety import guard as guard_module
from daemon.core.safety.guard import GRACE_PERIOD, Guard
from daemon.core.safety.rules import CONFIRMATION_S, HOTEND, MAX_WITHOUT_REPORT_S
from gcode.replies import Reading
from hal.printer import ConnectionState, PanelPrint, StateChanged, TemperaturesRead

INTERVAL = 2.0  # s between two reports
TOO_HOT = Reading(400.0, 0.0)
MINUTE = 60.0


class Bench:
    """A guard with a fake connection and fake jobs; `done` are its acts."""

    def __init__(self, monkeypatch, *, idle_heat_min=30.0, poll_active_s=2.0):
        self.done = []
        self.is_at_work = False
        self.queries = 0
        self.query_time = MINUTE
        self.printer = SimpleNamespace(
            heaters={},
            identity=SimpleNamespace(can=lambda _: True),
            busy=False,
            emergency_stop=lambda _: self.done.append("stop"),
        )
        self.connection = SimpleNamespace(
            ready=True,
            printer=self.printer,
            profile=ProfileConfig(),
            panel_print=None,
            commands=SimpleNamespace(queued_at=0.0),
            subscribe=lambda _: None,
            on_profile=lambda _: None,
        )
        self.jobs = SimpleNamespace(
            active=False, subscribe=lambda _: None, turn_heaters_off=lambda _: self.done.append("off")
        )
        monkeypatch.setattr(guard_module, "OtherHost", self._other_host)
        config = replace(
            Config(),
            safety=SafetyConfig(idle_heat_min=idle_heat_min),
            printer=PrinterConfig(poll_active_s=poll_active_s),
        )
        self.guard = Guard(config, self.connection, self.jobs)
        self.connect()

    def _other_host(self, _connection, _interval):
        async def is_at_work():
            self.queries += 1
            await asyncio.sleep(self.query_time)
            return self.is_at_work

        return SimpleNamespace(is_at_work=is_at_work)

    def connect(self):
        self.connection.ready = True
        self.guard._on_event(StateChanged(ConnectionState.HANDSHAKING, ConnectionState.READY))

    def lose(self):
        self.connection.ready = False
        self.guard._on_event(StateChanged(ConnectionState.READY, ConnectionState.FAULT))

    async def report(self, seconds, **heaters):
        """Let time pass with reports of these readings."""
        end = asyncio.get_running_loop().time() + seconds
        self.printer.heaters = heaters
        while asyncio.get_running_loop().time() < end:
            self.guard._on_event(TemperaturesRead(heaters))
            await asyncio.sleep(INTERVAL)


@pytest.fixture
def make(monkeypatch):
    """Make a bench; a guard needs a running loop."""
    return partial(Bench, monkeypatch)


async def test_a_sensor_without_a_heater_breaks_no_rule(make):
    bench = make()
    await bench.report(100, board=Reading(400.0, None), P=Reading(400.0, None))
    assert bench.done == []


async def test_reports_before_the_printer_is_ready_count_for_nothing(make):
    bench = make()
    bench.connection.ready = False
    await bench.report(100, tool0=TOO_HOT)
    assert (bench.done, bench.guard.trouble) == ([], None)


async def test_a_heater_may_cool_for_a_minute_before_the_next_rule_counts(make):
    bench = make()
    await bench.report(CONFIRMATION_S + INTERVAL, tool0=TOO_HOT)
    assert bench.done == ["off"]
    await bench.report(GRACE_PERIOD + INTERVAL, tool0=TOO_HOT)
    assert bench.done == ["off"], "and then the rule has to be broken anew"
    await bench.report(CONFIRMATION_S + 4 * INTERVAL, tool0=TOO_HOT)
    assert bench.done == ["off", "off", "stop"]


async def test_a_heater_that_is_heated_again_is_watched_at_once(make):
    bench = make()
    await bench.report(CONFIRMATION_S + INTERVAL, tool0=TOO_HOT)
    await bench.report(INTERVAL, tool0=Reading(200.0, 0.0))
    await bench.report(CONFIRMATION_S + 2 * INTERVAL, tool0=Reading(400.0, 210.0))
    assert bench.done == ["off", "off"], "and heaters off is tried first"


async def test_a_printer_whose_heaters_are_off_is_not_asked_whether_it_is_used(make):
    bench = make()
    await bench.report(100 * MINUTE, tool0=Reading(20.0, 0.0), bed=Reading(20.0, 0.0))
    assert (bench.done, bench.queries, bench.guard.trouble) == ([], 0, None)


async def test_queries_that_fail_are_logged_and_asked_again(make):
    bench = make()
    bench.query_time = "nonsense"  # to sleep for
    with capture_logs() as logs:
        await bench.report(30 * MINUTE + 10, tool0=Reading(200.0, 200.0))
    assert {entry["event"] for entry in logs} == {"safety.bug"}
    bench.query_time = MINUTE
    await bench.report(2 * MINUTE, tool0=Reading(200.0, 200.0))
    assert bench.done == ["off"]


@pytest.mark.parametrize("used_by", ["a job", "the panel"])
async def test_heat_that_a_print_uses_is_not_left_on(make, used_by):
    bench = make()
    hot = {"tool0": Reading(200.0, 200.0)}
    bench.jobs.active = used_by == "a job"
    bench.connection.panel_print = PanelPrint("a.g", 1, 2) if used_by == "the panel" else None
    await bench.report(300 * MINUTE, **hot)
    bench.jobs.active, bench.connection.panel_print = False, None
    await bench.report(29 * MINUTE, **hot)
    assert (bench.done, bench.queries) == ([], 0)
    await bench.report(3 * MINUTE, **hot)
    assert bench.done == ["off"]


async def test_the_end_of_a_job_counts_as_use(make):
    bench = make()
    await bench.report(29 * MINUTE, tool0=Reading(200.0, 200.0))
    bench.guard._on_job(JobState.COMPLETED)
    await bench.report(29 * MINUTE, tool0=Reading(200.0, 200.0))
    assert bench.queries == 0


async def test_a_new_print_forgets_the_trouble_of_the_last(make):
    bench = make()
    await bench.report(CONFIRMATION_S + INTERVAL, tool0=TOO_HOT)
    assert bench.guard.trouble is not None
    bench.guard._on_job(JobState.PRINTING)
    assert bench.guard.trouble is not None
    bench.guard._on_job(JobState.STARTING)
    assert bench.guard.trouble is None


async def test_a_printer_that_works_for_another_host_is_asked_again_after_the_same_time(make):
    bench = make()
    bench.is_at_work = True
    await bench.report(100 * MINUTE, tool0=Reading(200.0, 200.0))
    assert (bench.done, bench.queries) == ([], 3)


@pytest.mark.parametrize("use", ["a command", "a job"])
async def test_heat_that_is_used_during_the_queries_stays_on(make, use):
    bench = make()
    await bench.report(30 * MINUTE + 10, tool0=Reading(200.0, 200.0))
    assert bench.queries == 1
    if use == "a command":
        bench.connection.commands.queued_at = asyncio.get_running_loop().time()
    else:
        bench.guard._on_job(JobState.STARTING)
    await bench.report(2 * MINUTE, tool0=Reading(200.0, 200.0))
    assert (bench.done, bench.queries) == ([], 1)


async def test_queries_of_a_lost_connection_turn_no_heater_off_on_the_next(make):
    bench = make()
    await bench.report(30 * MINUTE + 10, tool0=Reading(200.0, 200.0))
    errors = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    bench.lose()
    bench.connect()
    await bench.report(2 * MINUTE, tool0=Reading(200.0, 200.0))
    assert (bench.done, bench.queries, errors) == ([], 1, [])


async def test_missing_reports_do_not_matter_while_no_heater_is_on(make):
    bench = make()
    await bench.report(INTERVAL, tool0=Reading(20.0, 0.0))
    await asyncio.sleep(3600)
    assert bench.done == []


async def test_missing_reports_turn_heaters_off_once_a_minute_and_cause_no_stop(make):
    """Without reports nobody knows whether heaters off has helped; a printer that does not take it gets M112 anyway."""
    bench = make()
    await bench.report(10 * INTERVAL, tool0=Reading(200.0, 200.0))
    await asyncio.sleep(MAX_WITHOUT_REPORT_S - 4)
    assert bench.done == []
    await asyncio.sleep(8)
    assert bench.done == ["off"]
    await asyncio.sleep(MAX_WITHOUT_REPORT_S)
    assert bench.done == ["off", "off"]


async def test_reports_may_be_as_rare_as_they_are_asked_for(make):
    bench = make(poll_active_s=100.0)
    await bench.report(INTERVAL, tool0=Reading(200.0, 200.0))
    await asyncio.sleep(190)
    assert bench.done == []
    await asyncio.sleep(40)
    assert bench.done == ["off"]


async def test_the_end_of_a_long_command_shortens_the_silence_that_is_allowed(make):
    bench = make()
    bench.printer.busy = True  # it may be silent for 15 minutes
    bench.connect()
    await bench.report(INTERVAL, tool0=Reading(200.0, 200.0))
    await asyncio.sleep(MAX_WITHOUT_REPORT_S / 2)
    bench.printer.busy = False
    await asyncio.sleep(MAX_WITHOUT_REPORT_S)
    assert bench.done == ["off"]


async def test_a_lost_connection_is_not_a_missing_report(make):
    bench = make()
    await bench.report(INTERVAL, tool0=Reading(200.0, 200.0))
    bench.lose()
    await asyncio.sleep(3600)
    assert bench.done == []


async def test_a_new_connection_starts_over(make):
    """Nothing that was measured before counts: how long ago the last report was, how warm, how long in use."""
    bench = make()
    await bench.report(HOTEND.rise_within - 4 * INTERVAL, tool0=Reading(20.0, 200.0))
    bench.lose()
    await asyncio.sleep(60 * MINUTE)
    bench.connect()
    await asyncio.sleep(MAX_WITHOUT_REPORT_S - 5)
    await bench.report(4 * INTERVAL, tool0=Reading(20.0, 200.0))
    assert (bench.done, bench.queries) == ([], 0)
    await bench.report(29 * MINUTE, tool0=Reading(200.0, 200.0))
    assert (bench.done, bench.queries) == ([], 0)


async def test_on_a_new_connection_heaters_off_comes_before_an_emergency_stop(make):
    bench = make()
    await bench.report(CONFIRMATION_S + INTERVAL, tool0=TOO_HOT)
    bench.lose()
    await asyncio.sleep(2 * GRACE_PERIOD)
    bench.connect()
    await bench.report(CONFIRMATION_S + INTERVAL, tool0=TOO_HOT)
    assert bench.done == ["off", "off"]
