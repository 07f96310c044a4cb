import asyncio
import errno
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from daemon.bridge.words import JobProgress, Selection
from daemon.core.job import streamer
from daemon.core.record.store import NewJob, Store
from daemon.errors import JobConflict
from hal.errors import NotConnected, PortLost
from hal.printer import ConnectionState, StateChanged
from hal.simulated.firmware import FirmwareConfig
from support.house import MOVES, SCRIPTS, S, house, of_file

# -- whole prints --------------------------------------------------------------------------------------------


async def test_a_print_runs_its_scripts_around_its_file(tmp_path):
    async with house(tmp_path) as it:
        states = []
        it.jobs.subscribe(states.append)
        it.start()
        assert it.jobs.state is S.STARTING
        assert it.jobs.active
        await it.until(S.COMPLETED)
        assert it.accepted == [*SCRIPTS.before_start, *MOVES, "M400", "M114", "M117 after finish"]
        assert states == [S.STARTING, S.PRINTING, S.FINISHING, S.COMPLETED]
        assert not it.jobs.active
        assert it.jobs.error is None


async def test_a_print_is_recorded_from_start_to_end(tmp_path):
    async with house(tmp_path) as it:
        it.start()
        await it.until(S.COMPLETED)
        await it.settle()
        [job], size = it.records.jobs, (tmp_path / "part.gcode").stat().st_size
        assert (job.path, job.size, job.printer) == ("part.gcode", size, "sim")
        assert job.mtime_ns == (tmp_path / "part.gcode").stat().st_mtime_ns
        [(number, outcome, reason, lines, offset, seconds, resends, ejected)] = it.records.ended
        assert (number, outcome, reason, lines) == (0, "COMPLETED", None, 100)
        assert 0 < offset < size
        assert 15 < seconds < 60
        assert (resends, ejected) == (0, False)
        states = [told[1] for told in it.records.checkpoints]
        assert states == sorted(states, key=["PRINTING", "FINISHING"].index)
        assert 3 <= len(it.records.checkpoints) <= 12, "one each 5 s"


async def test_an_empty_file_is_printed(tmp_path):
    async with house(tmp_path) as it:
        it.start([])
        await it.until(S.COMPLETED)
        assert it.of_file == []
        assert it.jobs.progress.completion == 100.0


async def test_two_prints_follow_each_other(tmp_path):
    async with house(tmp_path) as it:
        for _ in range(2):
            it.jobs.select(it.write(MOVES[:8]))
            it.jobs.start()
            await it.until(S.COMPLETED)
        assert it.of_file == MOVES[:8] * 2


async def test_what_a_file_may_not_send_is_left_out(tmp_path):
    async with house(tmp_path) as it:
        it.start(["G1 X1", "M110 N7", "M112", "@other", "G1 X2"])
        await it.until(S.COMPLETED)
        assert it.of_file == ["G1 X1", "G1 X2"]


# -- the table of requests -----------------------------------------------------------------------------------

NOTHING = "does nothing"
REQUESTS = ("start", "restart", "pause", "resume", "toggle", "cancel", "unselect")
TABLE = {
    S.STARTING: {"pause": S.PAUSING, "resume": NOTHING, "toggle": S.PAUSING, "cancel": S.CANCELLING},
    S.PRINTING: {"pause": S.PAUSING, "resume": NOTHING, "toggle": S.PAUSING, "cancel": S.CANCELLING},
    S.PAUSING: {"pause": NOTHING, "resume": NOTHING, "toggle": NOTHING, "cancel": S.CANCELLING},
    S.PAUSED: {
        "pause": NOTHING, "resume": S.RESUMING, "toggle": S.RESUMING, "cancel": S.CANCELLING, "restart": S.STARTING,
    },
    S.RESUMING: {"pause": S.PAUSING, "resume": NOTHING, "toggle": S.PAUSING, "cancel": S.CANCELLING},
    S.FINISHING: {"pause": NOTHING, "resume": NOTHING, "toggle": NOTHING, "cancel": S.CANCELLING},
    S.CANCELLING: {"pause": NOTHING, "resume": NOTHING, "toggle": NOTHING, "cancel": NOTHING},
    S.COMPLETED: {"start": S.STARTING, "unselect": S.COMPLETED},
    S.CANCELLED: {"start": S.STARTING, "unselect": S.CANCELLED},
    S.FAILED: {"start": S.STARTING, "unselect": S.FAILED},
    S.INTERRUPTED: {"unselect": S.INTERRUPTED},  # offline: nothing can be started
}  # fmt: skip


@pytest.mark.parametrize("request_name", REQUESTS)
@pytest.mark.parametrize("state", TABLE)
async def test_every_request_in_every_state(tmp_path, state, request_name):
    async with house(tmp_path) as it:
        await it.reach(state)
        ask, expected = getattr(it.jobs, request_name), TABLE[state].get(request_name)
        if expected is None:
            with pytest.raises(JobConflict):
                ask()
        else:
            ask()
        assert it.jobs.state is (state if expected in (None, NOTHING) else expected)


@pytest.mark.parametrize("request_name", ["start", "restart", "pause", "resume", "toggle", "cancel", "unselect"])
async def test_without_job_and_file_there_is_nothing_to_ask_for(tmp_path, request_name):
    async with house(tmp_path) as it:
        with pytest.raises(JobConflict):
            getattr(it.jobs, request_name)()
        assert it.jobs.state is None


async def test_no_file_can_be_selected_while_one_is_printed(tmp_path):
    async with house(tmp_path) as it:
        it.start()
        other = it.write(["G1 X1"], "other.gcode")
        with pytest.raises(JobConflict):
            it.jobs.select(other)
        assert it.jobs.selected.path == "part.gcode"


async def test_uses_names_the_file_and_its_folders(tmp_path):
    async with house(tmp_path) as it:
        (tmp_path / "a").mkdir()
        it.jobs.select(it.write(MOVES, "a/part.gcode"))
        assert not it.jobs.uses("a/part.gcode")
        it.jobs.start()
        assert it.jobs.uses("a/part.gcode")
        assert it.jobs.uses("a")
        assert not it.jobs.uses("a/p")
        assert not it.jobs.uses("part.gcode")


# -- pause and resume ----------------------------------------------------------------------------------------


async def test_a_pause_comes_to_rest_before_its_script(tmp_path):
    async with house(tmp_path) as it:
        it.start()
        await it.until(S.PRINTING)
        await asyncio.sleep(3)
        it.jobs.pause()
        await it.until(S.PAUSED)
        printed = it.of_file
        assert it.accepted[-1] == "M117 after pause"
        last_move = max(at for at, command in enumerate(it.accepted) if of_file(command))
        assert "M400" in it.accepted[last_move:]
        assert 0 < len(printed) < 100
        await asyncio.sleep(600)
        assert it.of_file == printed, "nothing moves in a pause"
        it.jobs.resume()
        await it.until(S.COMPLETED)
        assert it.of_file == MOVES
        at, next_move = it.accepted.index("M117 before resume"), it.accepted.index(MOVES[len(printed)])
        assert it.accepted[at + 1] == "M117 resume ends"
        assert at < next_move


async def test_a_pause_in_the_start_script_lets_it_end(tmp_path):
    async with house(tmp_path) as it:
        it.start()
        it.jobs.pause()
        await it.until(S.PAUSED)
        assert it.accepted[:4] == [*SCRIPTS.before_start, "M400"]
        assert it.accepted[-1] == "M117 after pause"
        it.jobs.resume()
        await it.until(S.COMPLETED)
        assert it.of_file == MOVES


@pytest.mark.parametrize("wait", [0.02, 0.1, 0.4, 3.0])
async def test_a_pause_in_a_resume_runs_its_script_whole_or_not_at_all(tmp_path, wait):
    """What `after_pause` moves away `before_resume` moves back: half of it would print in the air."""
    scripts = replace(SCRIPTS, before_resume=("M117 before resume", "G4 P500", "M117 resume ends"))
    async with house(tmp_path, scripts=scripts) as it:
        await it.reach(S.PAUSED)
        it.jobs.resume()
        await asyncio.sleep(wait)
        it.jobs.pause()
        await it.until(S.PAUSED)
        said = [each for each in it.accepted if each.startswith("M117")][2:]
        assert said == ["M117 after pause", "M117 before resume", "M117 resume ends", "M117 after pause"]


async def test_a_pause_before_the_resume_has_begun_changes_nothing(tmp_path):
    async with house(tmp_path) as it:
        await it.reach(S.PAUSED)
        before = it.accepted
        it.jobs.resume()
        it.jobs.pause()
        await it.until(S.PAUSED)
        assert it.accepted == before
        it.jobs.resume()
        await it.until(S.COMPLETED)
        assert it.of_file == MOVES


@given(waits=st.lists(st.floats(0, 3), max_size=12))
async def test_toggling_quickly_loses_and_repeats_nothing(waits):
    with TemporaryDirectory() as folder:
        async with house(Path(folder)) as it:
            it.start(MOVES[:40])
            for wait in waits:
                if it.jobs.active:
                    it.jobs.toggle()
                await asyncio.sleep(wait)
            if it.jobs.active:
                await it.until(S.PAUSED, S.COMPLETED)
            if it.jobs.state is S.PAUSED:
                it.jobs.resume()
                await it.until(S.COMPLETED)
            assert it.of_file == MOVES[:40]


# -- cancel and restart --------------------------------------------------------------------------------------


async def test_cancel_ends_in_its_script(tmp_path):
    async with house(tmp_path) as it:
        await it.reach(S.CANCELLED)
        await it.settle()
        assert it.accepted[-3:] == list(SCRIPTS.after_cancel)
        assert it.of_file == MOVES[: len(it.of_file)]
        assert it.records.ended[0][1] == "CANCELLED"
        assert it.board.hotend.target == 0


async def test_a_wait_for_temperature_ends_on_cancel_where_the_firmware_can(tmp_path):
    async with house(tmp_path, firmware=FirmwareConfig(emergency_parser=True)) as it:
        it.start(["M109 S250", *MOVES])
        await it.until(S.PRINTING)
        await asyncio.sleep(5)
        began = asyncio.get_running_loop().time()
        it.jobs.cancel()
        await it.until(S.CANCELLED)
        assert asyncio.get_running_loop().time() - began < 5
        assert it.board.hotend.target == 0


async def test_restart_begins_the_file_anew_without_the_cancel_script(tmp_path):
    async with house(tmp_path) as it:
        await it.reach(S.PAUSED)
        printed = it.of_file
        active = []
        it.jobs.subscribe(lambda _: active.append(it.jobs.active))
        it.jobs.restart()
        while it.jobs.state is S.STARTING:
            active.append(it.jobs.active)
            await asyncio.sleep(0.0001)
        assert all(active), "nobody ever sees a printer without a job"
        await it.until(S.COMPLETED)
        await it.settle()
        assert it.of_file == printed + MOVES
        assert "M117 after cancel" not in it.accepted
        assert [told[1] for told in it.records.ended] == ["CANCELLED", "COMPLETED"]


async def test_a_restart_tells_the_end_of_the_old_job_before_the_new_one(tmp_path):
    async with house(tmp_path) as it:
        await it.reach(S.PAUSED)
        states = []
        it.jobs.subscribe(states.append)
        it.jobs.restart()
        assert states == [S.CANCELLED, S.STARTING]


async def test_restart_begins_the_time_anew(tmp_path):
    async with house(tmp_path) as it:
        await it.reach(S.PAUSED)
        await asyncio.sleep(100)
        it.jobs.restart()
        assert it.jobs.progress.print_time < 1
        assert it.jobs.progress.lines == 0


# -- failures ------------------------------------------------------------------------------------------------


async def test_a_missing_file_fails_and_makes_the_printer_cold(tmp_path):
    async with house(tmp_path) as it:
        await it.reach(S.FAILED)
        await it.settle()
        assert "part.gcode" in it.jobs.error
        assert it.accepted == ["M104 S0", "M140 S0", "M400", "M114", *SCRIPTS.after_failure]


async def test_a_disk_error_in_the_file_fails_and_makes_the_printer_cold(tmp_path, monkeypatch):
    monkeypatch.setattr(streamer, "BLOCK", 256)
    monkeypatch.setattr(streamer, "AHEAD", 1)
    read = os.pread

    def worn_out(fd, size, at):
        if at >= 1024:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(fd, size, at)

    async with house(tmp_path) as it:
        monkeypatch.setattr(os, "pread", worn_out)
        it.start()
        await it.until(S.FAILED)
        await it.settle()
        assert "Input/output error" in it.jobs.error
        accepted = [each for each in it.accepted if not each.startswith("M118 nozzled sync")]  # moves take their time
        assert accepted[-7:] == ["M104 S0", "M140 S0", "M400", "M114", *SCRIPTS.after_failure]
        assert it.of_file == MOVES[: len(it.of_file)]
        assert it.board.hotend.target == 0
        assert it.records.ended[0][1] == "FAILED"


async def test_a_new_start_waits_until_a_failed_job_is_cold(tmp_path):
    """Otherwise the heaters-off of the old job would come after the heating of the new one."""
    slow = FirmwareConfig(execution_time=0.2)
    async with house(tmp_path, firmware=slow) as it:
        await it.reach(S.FAILED)
        it.start(MOVES[:5])
        await it.until(S.COMPLETED)
        assert it.accepted.index("M117 after failure") < it.accepted.index("M117 before start")
        assert it.board.hotend.target == 60


async def test_a_kill_in_the_firmware_fails_the_job(tmp_path):
    async with house(tmp_path) as it:
        await it.reach(S.PRINTING)
        it.transport._firmware.kill()
        it.transport._run_soon()
        await it.until(S.FAILED)
        assert "halted" in it.jobs.error
        assert it.connection.state is ConnectionState.FAULT


async def test_an_emergency_stop_fails_the_job_and_sends_nothing_more(tmp_path):
    async with house(tmp_path) as it:
        await it.reach(S.PRINTING)
        it.connection.emergency_stop()
        assert it.jobs.state is S.FAILED
        accepted = it.accepted
        await asyncio.sleep(2)
        assert it.accepted == accepted


@pytest.mark.parametrize("state", [S.STARTING, S.PRINTING, S.PAUSING, S.PAUSED, S.RESUMING, S.FINISHING, S.CANCELLING])
async def test_a_printer_that_is_unplugged_interrupts_in_every_state(tmp_path, state):
    async with house(tmp_path) as it:
        await it.reach(state)
        it.transport.unplug()
        await it.until(S.INTERRUPTED)
        await it.settle()
        assert "unplugged" in it.jobs.error
        assert it.records.ended[0][1] == "INTERRUPTED"


async def test_a_printer_lost_in_the_turn_it_is_ready_is_made_cold_when_it_comes_back(tmp_path):
    async with house(tmp_path) as it:
        await it.reach(S.PRINTING)
        lost = []

        def lose_once(event):
            if isinstance(event, StateChanged) and event.new is ConnectionState.READY and not lost:
                lost.append(it.connection.printer)
                it.connection.printer._fail(PortLost("gone again"))

        it.connection.subscribe(lose_once)
        it.transport.unplug()
        await it.until(S.INTERRUPTED)
        with capture_logs() as said:
            while not it.connection.ready or it.connection.printer in lost:  # noqa: ASYNC110 - it comes back by itself
                await asyncio.sleep(0.1)
            it.oracle.commands.clear()
            await asyncio.sleep(3)
        assert len(lost) == 1
        [told] = [entry for entry in said if entry["event"] == "printer.still_hot"]
        assert told["reason"] == "gone again"
        assert it.board.hotend.target == 0
        assert [entry["event"] for entry in said].count("printer.heaters_off") == 2


async def test_a_printer_lost_before_it_was_cold_is_made_cold_when_it_comes_back(tmp_path):
    async with house(tmp_path) as it:
        await it.reach(S.PRINTING)
        lost = []

        def lose_once(event):
            if isinstance(event, StateChanged) and event.new is ConnectionState.READY and not lost:
                lost.append(it.connection.printer)
                asyncio.get_running_loop().call_soon(lambda: asyncio.get_running_loop().call_soon(it.transport._lose))

        it.connection.subscribe(lose_once)
        it.transport.unplug()
        await it.until(S.INTERRUPTED)
        with capture_logs() as said:
            while not it.connection.ready or it.connection.printer in lost:  # noqa: ASYNC110 - it comes back by itself
                await asyncio.sleep(0.1)
            await asyncio.sleep(3)
        assert [entry["event"] for entry in said].count("printer.heaters_off") == 2
        assert it.board.hotend.target == 0


async def test_a_job_after_the_printer_came_back_prints_the_file_anew(tmp_path):
    async with house(tmp_path) as it:
        await it.reach(S.PRINTING)
        await asyncio.sleep(2)
        it.transport.unplug()
        await it.until(S.INTERRUPTED)
        with pytest.raises(JobConflict, match="not operational"):
            it.jobs.start()
        while not it.connection.ready:  # noqa: ASYNC110 - it comes back by itself
            await asyncio.sleep(0.1)
        it.oracle.commands.clear()
        it.jobs.start()
        await it.until(S.COMPLETED)
        assert it.of_file == MOVES


async def test_a_reset_of_the_board_interrupts(tmp_path):
    async with house(tmp_path) as it:
        await it.reach(S.PRINTING)
        await asyncio.sleep(2)
        it.transport.reset()
        await it.until(S.INTERRUPTED)
        assert "restarted" in it.jobs.error


async def test_a_bug_in_an_effect_fails_the_job(tmp_path, monkeypatch):
    async with house(tmp_path) as it:
        monkeypatch.setitem(it.jobs._effects.of_state, S.PRINTING, _broken)
        it.start()
        await it.until(S.FAILED)
        await it.settle()
        assert it.accepted[-1] == "M117 after failure"


async def _broken(_job):
    raise RuntimeError("a mistake of ours")


async def test_a_script_that_may_not_be_sent_fails_the_job(tmp_path):
    async with house(tmp_path, scripts=replace(SCRIPTS, before_start=("M110 N5",))) as it:
        it.start()
        await it.until(S.FAILED)
        assert "M110 N5" in it.jobs.error


async def test_a_script_that_heats_too_much_fails_the_job(tmp_path):
    async with house(tmp_path, scripts=replace(SCRIPTS, before_start=("M104 S999",))) as it:
        it.start()
        await it.until(S.FAILED)
        assert "M104 S999 asks for 999 °C" in it.jobs.error
        assert "M104 S999" not in it.accepted


# -- ending from outside -------------------------------------------------------------------------------------


async def test_abandon_turns_the_heaters_off_at_once(tmp_path):
    async with house(tmp_path) as it:
        await it.reach(S.PRINTING)
        await asyncio.sleep(1)
        await it.jobs.abandon("the service was stopped")
        assert it.jobs.state is S.INTERRUPTED
        assert it.jobs.error == "the service was stopped"
        assert it.accepted[-2:] == ["M104 S0", "M140 S0"]
        assert it.records.ended[0][1:3] == ("INTERRUPTED", "the service was stopped")


async def test_abandon_waits_until_a_job_that_just_ended_is_recorded(tmp_path):
    async with house(tmp_path) as it:
        it.jobs.subscribe(lambda state: ended.set() if state is S.COMPLETED else None)
        ended = asyncio.Event()
        it.start(MOVES[:3])
        await ended.wait()
        await it.jobs.abandon()
        assert [told[1] for told in it.records.ended] == ["COMPLETED"]


async def test_abandon_without_a_job_does_nothing(tmp_path):
    async with house(tmp_path) as it:
        await it.jobs.abandon()
        assert it.jobs.state is None
        assert it.accepted == []


async def test_disconnecting_in_a_print_makes_the_printer_cold_first(tmp_path):
    async with house(tmp_path) as it:
        await it.reach(S.PRINTING)
        printer = it.connection.printer
        await it.connection.disconnect()
        assert it.jobs.state is S.INTERRUPTED
        assert it.accepted[-2:] == ["M104 S0", "M140 S0"]
        assert printer.state is ConnectionState.OFFLINE


def _open_files():
    return {each.name for each in Path("/proc/self/fd").iterdir()}


async def test_every_file_is_closed_whatever_becomes_of_the_job(tmp_path):
    for at in range(12):  # turns of the loop after the start
        async with house(tmp_path) as it:
            opened = _open_files()
            it.start()
            for _ in range(at):
                await asyncio.sleep(0)
            it.jobs.cancel()
            await it.until(S.CANCELLED)
            await it.settle()
            assert not _open_files() - opened  # what others left to the collector may close meanwhile
            assert len(it.records.ended) == len(it.records.jobs)
            assert [told[0] for told in it.records.ended] == [0], "the record that was begun is ended"


# -- progress ------------------------------------------------------------------------------------------------


async def test_progress_goes_by_bytes_and_leaves_pauses_out(tmp_path):
    async with house(tmp_path) as it:
        assert it.jobs.progress == JobProgress()
        it.start()
        await it.until(S.PRINTING)
        await asyncio.sleep(8)
        before = it.jobs.progress
        assert 0 < before.completion < 100
        assert before.left_origin == "linear"
        assert before.print_time + before.print_time_left == pytest.approx(100 * before.print_time / before.completion)
        it.jobs.pause()
        await it.until(S.PAUSED)
        paused = it.jobs.progress
        await asyncio.sleep(1000)
        assert it.jobs.progress == paused
        it.jobs.resume()
        await it.until(S.PRINTING)
        assert it.jobs.progress.print_time < paused.print_time + 1
        await it.until(S.COMPLETED)
        done = it.jobs.progress
        await asyncio.sleep(10)
        assert it.jobs.progress == done
        assert (done.completion, done.print_time_left, done.lines) == (100.0, 0.0, 100)
        assert done.offset == it.jobs.selected.size
        assert done.print_time < 60


async def test_progress_is_of_the_selected_file_only(tmp_path):
    async with house(tmp_path) as it:
        await it.reach(S.COMPLETED)
        it.jobs.select(it.write(["G1 X1"], "other.gcode"))
        assert it.jobs.progress == JobProgress()


async def test_progress_stays_where_a_job_was_interrupted(tmp_path):
    async with house(tmp_path) as it:
        await it.reach(S.PRINTING)
        await asyncio.sleep(8)
        before = it.jobs.progress
        it.transport.unplug()
        await it.until(S.INTERRUPTED)
        assert before.lines <= it.jobs.progress.lines < 100
        assert it.jobs.progress.print_time_left is None


# -- after a crash -------------------------------------------------------------------------------------------


async def test_a_job_left_unfinished_by_another_run_is_interrupted_and_made_cold(tmp_path):
    (tmp_path / "part.gcode").write_text("G1 X1\n")
    store = Store(lambda: 1000.0, _no_trouble)
    await store.open(tmp_path / "state")
    number = await store.begin_job(NewJob("part.gcode", "part.gcode", 6, None, 0, "local", "ann", "sim"))
    store.checkpoint(number, "PRINTING", 17, 300)
    with ThreadPoolExecutor(1) as reader:
        async with house(tmp_path, store=store, executor=reader) as it:
            assert it.jobs.state is S.INTERRUPTED
            assert "17 lines" in it.jobs.error
            assert it.jobs.selected == Selection(
                "part.gcode", "part.gcode", 6, int((tmp_path / "part.gcode").stat().st_mtime), "ann"
            )
            await asyncio.sleep(1)
            assert it.accepted == ["M104 S0", "M140 S0"]
            it.jobs.start()
            await it.until(S.COMPLETED)
            assert it.of_file == ["G1 X1"]
    assert [(job.outcome, job.lines) for job in await store.jobs(5)] == [("COMPLETED", 1), ("INTERRUPTED", 17)]
    await store.close()


async def test_the_file_of_an_unfinished_job_may_be_gone(tmp_path):
    store = Store(lambda: 1000.0, _no_trouble)
    await store.open(tmp_path / "state")
    await store.begin_job(NewJob("gone.gcode", "gone.gcode", 6, None, 0, "local", None, "sim"))
    async with house(tmp_path, store=store) as it:
        assert it.jobs.state is S.INTERRUPTED
        assert it.jobs.selected is None
    await store.close()


def _no_trouble(error):
    raise AssertionError(error)


# -- anything at any time ------------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["start", "restart", "pause", "resume", "toggle", "cancel", "unplug", "kill"]),
        st.floats(0, 4) | st.sampled_from([0.0, 0.001, 0.03]),
    ),
    max_size=10,
)


@given(steps=STEPS)
async def test_any_requests_at_any_time_leave_the_file_in_order_and_the_printer_cold(steps):
    with TemporaryDirectory() as folder:
        async with house(Path(folder)) as it:
            it.start(MOVES[:40])
            for step, wait in steps:
                await ask(it, step)
                await asyncio.sleep(wait)
            await it.until(S.PAUSED, S.COMPLETED, S.CANCELLED, S.FAILED, S.INTERRUPTED)
            if it.jobs.state is not S.PAUSED:
                await it.settle()
            check(it)


async def ask(it, step):
    if step in ("unplug", "kill"):
        if it.connection.ready:
            it.transport.unplug() if step == "unplug" else it.transport._firmware.kill()
            it.transport._run_soon()
        return
    try:
        getattr(it.jobs, step)()
    except (JobConflict, NotConnected):
        return
    if it.jobs.state is S.STARTING and step in ("start", "restart"):
        it.oracle.commands.append(it.oracle.commands[0]._replace(command="-- a new print"))


def check(it):
    state, accepted, printed = it.jobs.state, it.accepted, []
    for command in accepted:
        if command == "-- a new print":
            printed.clear()
        elif of_file(command):
            printed.append(command)
    assert printed == MOVES[:40][: len(printed)], "a gap or a repeat"
    if state is S.COMPLETED:
        assert printed == MOVES[:40]
    if state is S.CANCELLED:
        assert accepted[-3:] == list(SCRIPTS.after_cancel)
    if state in (S.CANCELLED, S.FAILED):
        assert it.board.hotend.target == 0
    if state is not S.PAUSED:
        assert len(it.records.ended) == len(it.records.jobs)
        assert it.records.ended[-1][1] == state.name
