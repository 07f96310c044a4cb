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
from hal.simulated.personalities import FIRMWARES
from support.job_host import MOVES, SCRIPTS, S, is_file_move, job_host

# -- whole prints --------------------------------------------------------------------------------------------


async def test_a_print_runs_its_scripts_around_its_file(tmp_path):
    async with job_host(tmp_path) as host:
        states = []
        host.jobs.subscribe(states.append)
        host.start()
        assert host.jobs.state is S.STARTING
        assert host.jobs.active
        await host.until(S.COMPLETED)
        assert host.accepted == [*SCRIPTS.before_start, *MOVES, "M400", "M114", "M117 after finish"]
        assert states == [S.STARTING, S.PRINTING, S.FINISHING, S.COMPLETED]
        assert not host.jobs.active
        assert host.jobs.error is None


async def test_a_print_is_recorded_from_start_to_end(tmp_path):
    async with job_host(tmp_path) as host:
        host.start()
        await host.until(S.COMPLETED)
        await host.settle()
        [job], size = host.records.jobs, (tmp_path / "part.gcode").stat().st_size
        assert (job.path, job.size, job.printer) == ("part.gcode", size, "sim")
        assert job.mtime_ns == (tmp_path / "part.gcode").stat().st_mtime_ns
        [(number, outcome, reason, lines, offset, seconds, resends, ejected)] = host.records.outcomes
        assert (number, outcome, reason, lines) == (0, "COMPLETED", None, 100)
        assert 0 < offset < size
        assert 15 < seconds < 60
        assert (resends, ejected) == (0, False)
        states = [checkpoint[1] for checkpoint in host.records.checkpoints]
        assert states == sorted(states, key=["PRINTING", "FINISHING"].index)
        assert 3 <= len(host.records.checkpoints) <= 12, "one each 5 s"


async def test_an_empty_file_is_printed(tmp_path):
    async with job_host(tmp_path) as host:
        host.start([])
        await host.until(S.COMPLETED)
        assert host.file_moves == []
        assert host.jobs.progress.completion == 100.0


async def test_two_prints_follow_each_other(tmp_path):
    async with job_host(tmp_path) as host:
        for _ in range(2):
            host.jobs.select(host.write(MOVES[:8]))
            host.jobs.start()
            await host.until(S.COMPLETED)
        assert host.file_moves == MOVES[:8] * 2


async def test_forbidden_commands_of_a_file_are_left_out(tmp_path):
    async with job_host(tmp_path) as host:
        host.start(["G1 X1", "M110 N7", "M112", "@other", "G1 X2"])
        await host.until(S.COMPLETED)
        assert host.file_moves == ["G1 X1", "G1 X2"]


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
async def test_every_request_is_defined_in_every_state(tmp_path, state, request_name):
    async with job_host(tmp_path) as host:
        await host.reach(state)
        ask, expected = getattr(host.jobs, request_name), TABLE[state].get(request_name)
        if expected is None:
            with pytest.raises(JobConflict):
                ask()
        else:
            ask()
        assert host.jobs.state is (state if expected in (None, NOTHING) else expected)


@pytest.mark.parametrize("request_name", ["start", "restart", "pause", "resume", "toggle", "cancel", "unselect"])
async def test_without_a_job_and_a_file_every_request_is_refused(tmp_path, request_name):
    async with job_host(tmp_path) as host:
        with pytest.raises(JobConflict):
            getattr(host.jobs, request_name)()
        assert host.jobs.state is None


async def test_no_file_can_be_selected_while_one_is_printed(tmp_path):
    async with job_host(tmp_path) as host:
        host.start()
        other = host.write(["G1 X1"], "other.gcode")
        with pytest.raises(JobConflict):
            host.jobs.select(other)
        assert host.jobs.selected.path == "part.gcode"


async def test_a_file_in_use_protects_its_folders_too(tmp_path):
    async with job_host(tmp_path) as host:
        (tmp_path / "a").mkdir()
        host.jobs.select(host.write(MOVES, "a/part.gcode"))
        assert not host.jobs.uses("a/part.gcode")
        host.jobs.start()
        assert host.jobs.uses("a/part.gcode")
        assert host.jobs.uses("a")
        assert not host.jobs.uses("a/p")
        assert not host.jobs.uses("part.gcode")


# -- pause and resume ----------------------------------------------------------------------------------------


async def test_a_pause_comes_to_rest_before_its_script(tmp_path):
    async with job_host(tmp_path) as host:
        host.start()
        await host.until(S.PRINTING)
        await asyncio.sleep(3)
        host.jobs.pause()
        await host.until(S.PAUSED)
        printed = host.file_moves
        assert host.accepted[-1] == "M117 after pause"
        last_move = max(at for at, command in enumerate(host.accepted) if is_file_move(command))
        assert "M400" in host.accepted[last_move:]
        assert 0 < len(printed) < 100
        await asyncio.sleep(600)
        assert host.file_moves == printed, "nothing moves in a pause"
        host.jobs.resume()
        await host.until(S.COMPLETED)
        assert host.file_moves == MOVES
        at, next_move = host.accepted.index("M117 before resume"), host.accepted.index(MOVES[len(printed)])
        assert host.accepted[at + 1] == "M117 resume ends"
        assert at < next_move


async def test_a_pause_during_the_start_script_waits_for_its_end(tmp_path):
    async with job_host(tmp_path) as host:
        host.start()
        host.jobs.pause()
        await host.until(S.PAUSED)
        assert host.accepted[:4] == [*SCRIPTS.before_start, "M400"]
        assert host.accepted[-1] == "M117 after pause"
        host.jobs.resume()
        await host.until(S.COMPLETED)
        assert host.file_moves == MOVES


@pytest.mark.parametrize("wait", [0.02, 0.1, 0.4, 3.0])
async def test_a_pause_during_a_resume_runs_its_script_completely_or_not_at_all(tmp_path, wait):
    """What `after_pause` moves away `before_resume` moves back: half of it would print in the air."""
    scripts = replace(SCRIPTS, before_resume=("M117 before resume", "G4 P500", "M117 resume ends"))
    async with job_host(tmp_path, scripts=scripts) as host:
        await host.reach(S.PAUSED)
        host.jobs.resume()
        await asyncio.sleep(wait)
        host.jobs.pause()
        await host.until(S.PAUSED)
        texts = [each for each in host.accepted if each.startswith("M117")][2:]
        assert texts == ["M117 after pause", "M117 before resume", "M117 resume ends", "M117 after pause"]


async def test_a_pause_before_the_resume_has_begun_changes_nothing(tmp_path):
    async with job_host(tmp_path) as host:
        await host.reach(S.PAUSED)
        before = host.accepted
        host.jobs.resume()
        host.jobs.pause()
        await host.until(S.PAUSED)
        assert host.accepted == before
        host.jobs.resume()
        await host.until(S.COMPLETED)
        assert host.file_moves == MOVES


@given(waits=st.lists(st.floats(0, 3), max_size=12))
async def test_toggling_quickly_loses_and_repeats_nothing(waits):
    with TemporaryDirectory() as folder:
        async with job_host(Path(folder)) as host:
            host.start(MOVES[:40])
            for wait in waits:
                if host.jobs.active:
                    host.jobs.toggle()
                await asyncio.sleep(wait)
            if host.jobs.active:
                await host.until(S.PAUSED, S.COMPLETED)
            if host.jobs.state is S.PAUSED:
                host.jobs.resume()
                await host.until(S.COMPLETED)
            assert host.file_moves == MOVES[:40]


# -- cancel and restart --------------------------------------------------------------------------------------


async def test_cancel_ends_with_its_script(tmp_path):
    async with job_host(tmp_path) as host:
        await host.reach(S.CANCELLED)
        await host.settle()
        assert host.accepted[-3:] == list(SCRIPTS.after_cancel)
        assert host.file_moves == MOVES[: len(host.file_moves)]
        assert host.records.outcomes[0][1] == "CANCELLED"
        assert host.board.hotend.target == 0


async def test_cancel_ends_a_wait_for_temperature_if_the_firmware_can(tmp_path):
    async with job_host(tmp_path, firmware=FirmwareConfig(emergency_parser=True)) as host:
        host.start(["M109 S250", *MOVES])
        await host.until(S.PRINTING)
        await asyncio.sleep(5)
        began = asyncio.get_running_loop().time()
        host.jobs.cancel()
        await host.until(S.CANCELLED)
        assert asyncio.get_running_loop().time() - began < 5
        assert host.board.hotend.target == 0


async def test_restart_starts_the_file_over_without_the_cancel_script(tmp_path):
    async with job_host(tmp_path) as host:
        await host.reach(S.PAUSED)
        printed = host.file_moves
        active = []
        host.jobs.subscribe(lambda _: active.append(host.jobs.active))
        host.jobs.restart()
        while host.jobs.state is S.STARTING:
            active.append(host.jobs.active)
            await asyncio.sleep(0.0001)
        assert all(active), "a printer without a job is never shown"
        await host.until(S.COMPLETED)
        await host.settle()
        assert host.file_moves == printed + MOVES
        assert "M117 after cancel" not in host.accepted
        assert [outcome[1] for outcome in host.records.outcomes] == ["CANCELLED", "COMPLETED"]


async def test_a_restart_publishes_the_end_of_the_old_job_before_the_new_one(tmp_path):
    async with job_host(tmp_path) as host:
        await host.reach(S.PAUSED)
        states = []
        host.jobs.subscribe(states.append)
        host.jobs.restart()
        assert states == [S.CANCELLED, S.STARTING]


async def test_restart_resets_the_time(tmp_path):
    async with job_host(tmp_path) as host:
        await host.reach(S.PAUSED)
        await asyncio.sleep(100)
        host.jobs.restart()
        assert host.jobs.progress.print_time < 1
        assert host.jobs.progress.lines == 0


# -- failures ------------------------------------------------------------------------------------------------


async def test_a_missing_file_fails_and_turns_heaters_off(tmp_path):
    async with job_host(tmp_path) as host:
        await host.reach(S.FAILED)
        await host.settle()
        assert host.jobs.error == "part.gcode cannot be read: No such file or directory"
        assert host.accepted == ["M104 S0", "M140 S0", "M400", "M114", *SCRIPTS.after_failure]


async def test_a_disk_error_fails_the_job_and_turns_heaters_off(tmp_path, monkeypatch):
    monkeypatch.setattr(streamer, "BLOCK", 256)
    monkeypatch.setattr(streamer, "AHEAD", 1)
    read = os.pread

    def worn_out(fd, size, at):
        if at >= 1024:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(fd, size, at)

    async with job_host(tmp_path) as host:
        monkeypatch.setattr(os, "pread", worn_out)
        host.start()
        await host.until(S.FAILED)
        await host.settle()
        assert "Input/output error" in host.jobs.error
        accepted = [each for each in host.accepted if not each.startswith("M118 nozzled sync")]  # moves take their time
        assert accepted[-7:] == ["M104 S0", "M140 S0", "M400", "M114", *SCRIPTS.after_failure]
        assert host.file_moves == MOVES[: len(host.file_moves)]
        assert host.board.hotend.target == 0
        assert host.records.outcomes[0][1] == "FAILED"


async def test_a_new_start_waits_for_heaters_off_of_a_failed_job(tmp_path):
    """Otherwise the heaters-off of the old job would come after the heating of the new one."""
    slow = FirmwareConfig(execution_time=0.2)
    async with job_host(tmp_path, firmware=slow) as host:
        await host.reach(S.FAILED)
        host.start(MOVES[:5])
        await host.until(S.COMPLETED)
        assert host.accepted.index("M117 after failure") < host.accepted.index("M117 before start")
        assert host.board.hotend.target == 60


async def test_a_kill_in_the_firmware_fails_the_job(tmp_path):
    async with job_host(tmp_path) as host:
        await host.reach(S.PRINTING)
        host.transport._firmware.kill()
        host.transport._run_soon()
        await host.until(S.FAILED)
        assert "halted" in host.jobs.error
        assert host.connection.state is ConnectionState.FAULT


async def test_an_emergency_stop_fails_the_job_and_sends_nothing_more(tmp_path):
    async with job_host(tmp_path) as host:
        await host.reach(S.PRINTING)
        host.connection.emergency_stop()
        assert host.jobs.state is S.FAILED
        accepted = host.accepted
        await asyncio.sleep(2)
        assert host.accepted == accepted


@pytest.mark.parametrize("state", [S.STARTING, S.PRINTING, S.PAUSING, S.PAUSED, S.RESUMING, S.FINISHING, S.CANCELLING])
async def test_a_printer_that_is_unplugged_interrupts_in_every_state(tmp_path, state):
    async with job_host(tmp_path) as host:
        await host.reach(state)
        host.transport.unplug()
        await host.until(S.INTERRUPTED)
        await host.settle()
        assert "unplugged" in host.jobs.error
        assert host.records.outcomes[0][1] == "INTERRUPTED"


async def lose_twice(host, lose):
    """Lose the printer of a print, and lose it again when it is ready; return the log until it is ready once more."""
    lost = []

    def lose_once(event):
        if isinstance(event, StateChanged) and event.new is ConnectionState.READY and not lost:
            lost.append(host.connection.printer)
            lose()

    host.connection.subscribe(lose_once)
    host.transport.unplug()
    await host.until(S.INTERRUPTED)
    with capture_logs() as log:
        while not host.connection.ready or host.connection.printer in lost:  # noqa: ASYNC110 - as a client polls
            await asyncio.sleep(0.1)
        await asyncio.sleep(3)
    assert len(lost) == 1
    return log


async def test_a_printer_lost_once_ready_gets_heaters_off_after_reconnecting(tmp_path):
    async with job_host(tmp_path) as host:
        await host.reach(S.PRINTING)
        log = await lose_twice(host, lambda: host.connection.printer._fail(PortLost("gone again")))
        [entry] = [entry for entry in log if entry["event"] == "printer.still_hot"]
        assert entry["reason"] == "gone again"
        assert host.board.hotend.target == 0
        assert [entry["event"] for entry in log].count("printer.heaters_off") == 2


async def test_a_printer_lost_before_heaters_off_gets_them_off_after_reconnecting(tmp_path):
    async with job_host(tmp_path) as host:
        await host.reach(S.PRINTING)
        loop = asyncio.get_running_loop()
        log = await lose_twice(host, lambda: loop.call_soon(lambda: loop.call_soon(host.transport._lose)))
        assert [entry["event"] for entry in log].count("printer.heaters_off") == 2
        assert host.board.hotend.target == 0


async def test_a_job_after_a_reconnection_prints_the_whole_file(tmp_path):
    async with job_host(tmp_path) as host:
        await host.reach(S.PRINTING)
        await asyncio.sleep(2)
        host.transport.unplug()
        await host.until(S.INTERRUPTED)
        with pytest.raises(JobConflict, match="not operational"):
            host.jobs.start()
        while not host.connection.ready:  # noqa: ASYNC110 - it comes back by itself
            await asyncio.sleep(0.1)
        host.oracle.commands.clear()
        host.jobs.start()
        await host.until(S.COMPLETED)
        assert host.file_moves == MOVES


async def test_a_reset_of_the_board_interrupts(tmp_path):
    async with job_host(tmp_path) as host:
        await host.reach(S.PRINTING)
        await asyncio.sleep(2)
        host.transport.reset()
        await host.until(S.INTERRUPTED)
        assert "restarted" in host.jobs.error


async def test_a_bug_in_an_effect_fails_the_job(tmp_path, monkeypatch):
    async with job_host(tmp_path) as host:
        monkeypatch.setitem(host.jobs._effects.by_state, S.PRINTING, _broken)
        host.start()
        await host.until(S.FAILED)
        await host.settle()
        assert host.accepted[-1] == "M117 after failure"


async def _broken(_job):
    raise RuntimeError("a mistake of ours")


async def test_a_forbidden_script_fails_the_job(tmp_path):
    async with job_host(tmp_path, scripts=replace(SCRIPTS, before_start=("M110 N5",))) as host:
        host.start()
        await host.until(S.FAILED)
        assert "M110 N5" in host.jobs.error


async def test_a_script_that_heats_too_much_fails_the_job(tmp_path):
    async with job_host(tmp_path, scripts=replace(SCRIPTS, before_start=("M104 S999",))) as host:
        host.start()
        await host.until(S.FAILED)
        assert "M104 S999 asks for 999 °C" in host.jobs.error
        assert "M104 S999" not in host.accepted


# -- ending from outside -------------------------------------------------------------------------------------


async def test_abandon_turns_the_heaters_off_at_once(tmp_path):
    async with job_host(tmp_path) as host:
        await host.reach(S.PRINTING)
        await asyncio.sleep(1)
        await host.jobs.abandon("the service was stopped")
        assert host.jobs.state is S.INTERRUPTED
        assert host.jobs.error == "the service was stopped"
        assert host.accepted[-2:] == ["M104 S0", "M140 S0"]
        assert host.records.outcomes[0][1:3] == ("INTERRUPTED", "the service was stopped")


async def test_abandon_waits_until_an_ended_job_is_recorded(tmp_path):
    async with job_host(tmp_path) as host:
        host.jobs.subscribe(lambda state: ended.set() if state is S.COMPLETED else None)
        ended = asyncio.Event()
        host.start(MOVES[:3])
        await ended.wait()
        await host.jobs.abandon()
        assert [outcome[1] for outcome in host.records.outcomes] == ["COMPLETED"]


async def test_abandon_without_a_job_does_nothing(tmp_path):
    async with job_host(tmp_path) as host:
        await host.jobs.abandon()
        assert host.jobs.state is None
        assert host.accepted == []


async def test_disconnecting_during_a_print_turns_heaters_off_first(tmp_path):
    async with job_host(tmp_path) as host:
        await host.reach(S.PRINTING)
        printer = host.connection.printer
        await host.connection.disconnect()
        assert host.jobs.state is S.INTERRUPTED
        assert host.accepted[-2:] == ["M104 S0", "M140 S0"]
        assert printer.state is ConnectionState.OFFLINE


def _open_files():
    return {each.name for each in Path("/proc/self/fd").iterdir()}


async def test_files_are_closed_however_a_job_ends(tmp_path):
    for at in range(12):  # turns of the loop after the start
        async with job_host(tmp_path) as host:
            opened = _open_files()
            host.start()
            for _ in range(at):
                await asyncio.sleep(0)
            host.jobs.cancel()
            await host.until(S.CANCELLED)
            await host.settle()
            assert not _open_files() - opened  # what others left to the collector may close meanwhile
            assert len(host.records.outcomes) == len(host.records.jobs)
            assert [outcome[0] for outcome in host.records.outcomes] == [0], "the record that was begun is ended"


# -- progress ------------------------------------------------------------------------------------------------


async def test_progress_counts_bytes_and_excludes_pauses(tmp_path):
    async with job_host(tmp_path) as host:
        assert host.jobs.progress == JobProgress()
        host.start()
        await host.until(S.PRINTING)
        await asyncio.sleep(8)
        before = host.jobs.progress
        assert 0 < before.completion < 100
        assert before.left_origin == "linear"
        assert before.print_time + before.print_time_left == pytest.approx(100 * before.print_time / before.completion)
        host.jobs.pause()
        await host.until(S.PAUSED)
        paused = host.jobs.progress
        await asyncio.sleep(1000)
        assert host.jobs.progress == paused
        host.jobs.resume()
        await host.until(S.PRINTING)
        assert host.jobs.progress.print_time < paused.print_time + 1
        await host.until(S.COMPLETED)
        done = host.jobs.progress
        await asyncio.sleep(10)
        assert host.jobs.progress == done
        assert (done.completion, done.print_time_left, done.lines) == (100.0, 0.0, 100)
        assert done.offset == host.jobs.selected.size
        assert done.print_time < 60


async def test_progress_belongs_to_the_selected_file(tmp_path):
    async with job_host(tmp_path) as host:
        await host.reach(S.COMPLETED)
        host.jobs.select(host.write(["G1 X1"], "other.gcode"))
        assert host.jobs.progress == JobProgress()


async def test_progress_of_an_interrupted_job_stays(tmp_path):
    async with job_host(tmp_path) as host:
        await host.reach(S.PRINTING)
        await asyncio.sleep(8)
        before = host.jobs.progress
        host.transport.unplug()
        await host.until(S.INTERRUPTED)
        assert before.lines <= host.jobs.progress.lines < 100
        assert host.jobs.progress.print_time_left is None


# -- after a crash -------------------------------------------------------------------------------------------


async def test_an_unfinished_job_of_the_previous_run_is_interrupted_and_heaters_are_off(tmp_path):
    (tmp_path / "part.gcode").write_text("G1 X1\n")
    store = Store(lambda: 1000.0, _no_trouble)
    await store.open(tmp_path / "state")
    number = await store.begin_job(NewJob("part.gcode", "part.gcode", 6, None, 0, "local", "ann", "sim"))
    store.checkpoint(number, "PRINTING", 17, 300)
    with ThreadPoolExecutor(1) as reader:
        async with job_host(tmp_path, store=store, executor=reader) as host:
            assert host.jobs.state is S.INTERRUPTED
            assert "17 lines" in host.jobs.error
            assert host.jobs.selected == Selection(
                "part.gcode", "part.gcode", 6, int((tmp_path / "part.gcode").stat().st_mtime), "ann"
            )
            await asyncio.sleep(1)
            assert host.accepted == ["M27", "M104 S0", "M140 S0"]
            host.jobs.start()
            await host.until(S.COMPLETED)
            assert host.file_moves == ["G1 X1"]
    assert [(job.outcome, job.lines) for job in await store.jobs(5)] == [("COMPLETED", 1), ("INTERRUPTED", 17)]
    await store.close()


async def test_a_disconnect_turns_off_heaters_that_a_lost_print_may_have_left_on(tmp_path):
    """Right after it has connected, the printer has reported neither its heaters nor a print from its SD card."""
    async with job_host(tmp_path) as host:
        host.jobs._heaters_off.is_due = True
        await host.connection.disconnect()
        assert host.accepted == ["M104 S0", "M140 S0"]
        assert not host.jobs._heaters_off.is_due


async def test_the_place_of_a_print_from_the_card_that_has_ended_keeps_nothing_hot(tmp_path):
    """Marlin 1 reports a place whenever a card is in."""
    async with job_host(tmp_path, firmware=FIRMWARES["marlin1"]) as host:
        sd = host.board.sd
        host.board.hotend.target = 200.0
        sd.report = lambda _now: sd._say("SD printing byte 2999/3000")
        host.jobs._heaters_off.is_due = True
        host.jobs._heaters_off.turn_off_if_due(host.connection.printer, lambda: host.jobs.active)
        await asyncio.sleep(30)
        assert host.connection.panel_print is not None
        await asyncio.sleep(60)
        assert (host.board.hotend.target, host.jobs._heaters_off.is_due) == (0, False)
        await host.connection.printer.send("M27")
        assert host.connection.panel_print is None, "a job may begin"


@pytest.mark.parametrize("seconds", [1, 30])
async def test_a_disconnect_turns_heaters_off_if_the_print_from_the_card_may_have_ended(tmp_path, seconds):
    async with job_host(tmp_path, firmware=FIRMWARES["marlin1"]) as host:
        board, sd = host.board, host.board.sd
        board.hotend.target = 200.0
        sd.report = lambda _now: sd._say("SD printing byte 2999/3000")
        host.jobs._heaters_off.is_due = True
        host.jobs._heaters_off.turn_off_if_due(host.connection.printer, lambda: host.jobs.active)
        await asyncio.sleep(seconds)
        await host.connection.disconnect()
        assert board.hotend.target == 0


async def test_the_file_of_an_unfinished_job_may_be_gone(tmp_path):
    store = Store(lambda: 1000.0, _no_trouble)
    await store.open(tmp_path / "state")
    await store.begin_job(NewJob("gone.gcode", "gone.gcode", 6, None, 0, "local", None, "sim"))
    async with job_host(tmp_path, store=store) as host:
        assert host.jobs.state is S.INTERRUPTED
        assert host.jobs.selected is None
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
async def test_any_requests_at_any_time_keep_the_lines_in_order_and_end_with_heaters_off(steps):
    with TemporaryDirectory() as folder:
        async with job_host(Path(folder)) as host:
            host.start(MOVES[:40])
            for step, wait in steps:
                await ask(host, step)
                await asyncio.sleep(wait)
            await host.until(S.PAUSED, S.COMPLETED, S.CANCELLED, S.FAILED, S.INTERRUPTED)
            if host.jobs.state is not S.PAUSED:
                await host.settle()
            check(host)


async def ask(host, step):
    if step in ("unplug", "kill"):
        if host.connection.ready:
            host.transport.unplug() if step == "unplug" else host.transport._firmware.kill()
            host.transport._run_soon()
        return
    try:
        getattr(host.jobs, step)()
    except (JobConflict, NotConnected):
        return
    if host.jobs.state is S.STARTING and step in ("start", "restart"):
        host.oracle.commands.append(host.oracle.commands[0]._replace(command="-- a new print"))


def check(host):
    state, accepted, printed = host.jobs.state, host.accepted, []
    for command in accepted:
        if command == "-- a new print":
            printed.clear()
        elif is_file_move(command):
            printed.append(command)
    assert printed == MOVES[:40][: len(printed)], "a gap or a repeat"
    if state is S.COMPLETED:
        assert printed == MOVES[:40]
    if state is S.CANCELLED:
        assert accepted[-3:] == list(SCRIPTS.after_cancel)
    if state in (S.CANCELLED, S.FAILED):
        assert host.board.hotend.target == 0
    if state is not S.PAUSED:
        assert len(host.records.outcomes) == len(host.records.jobs)
        assert host.records.outcomes[-1][1] == state.name
