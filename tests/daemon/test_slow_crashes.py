"""A daemon that dies slowly and repeatedly is slowed down by a limit of its own."""

import os
import subprocess
import sys
import time
from itertools import pairwise

import pytest

from daemon.cli import EXIT_GAVE_UP
from daemon.core.slow_crashes import CRASH_PERIOD, FILE, MAX_CRASHES, SlowCrashes
from daemon.errors import KeepsCrashing
from hal.printer import ConnectionState, StateChanged
from support.waiting import TIMEOUT

READY = StateChanged(ConnectionState.HANDSHAKING, ConnectionState.READY)


def crash(folder, times, every=11.0, since=1000.0):
    """Start this many times at equal intervals; return the time of the next start."""
    for number in range(times):
        SlowCrashes(folder, lambda at=since + number * every: at).mark_start()
    return since + times * every


def test_too_many_crashes_without_an_answer_end_the_restarts(tmp_path):
    now = crash(tmp_path, MAX_CRASHES)
    with pytest.raises(KeepsCrashing, match="5 times within 10 min"):
        SlowCrashes(tmp_path, lambda: now).mark_start()


def test_an_answering_printer_clears_the_marks(tmp_path):
    crash(tmp_path, MAX_CRASHES)
    SlowCrashes(tmp_path, lambda: 0.0).on_event(READY)
    crash(tmp_path, MAX_CRASHES)


def test_a_port_that_opens_is_no_answer(tmp_path):
    now = crash(tmp_path, MAX_CRASHES)
    for old, new in pairwise((ConnectionState.OFFLINE, ConnectionState.OPENING, ConnectionState.HANDSHAKING)):
        SlowCrashes(tmp_path, lambda: now).on_event(StateChanged(old, new))
    with pytest.raises(KeepsCrashing):
        SlowCrashes(tmp_path, lambda: now).mark_start()


def test_an_orderly_end_is_no_crash(tmp_path):
    for _ in range(3 * MAX_CRASHES):
        crashes = SlowCrashes(tmp_path, lambda: 1000.0)
        crashes.mark_start()
        crashes.remove_marks()


def test_crashes_that_are_far_apart_are_not_counted_together(tmp_path):
    crash(tmp_path, 3 * MAX_CRASHES, every=CRASH_PERIOD / (MAX_CRASHES - 1))


@pytest.mark.parametrize("content", ["", "{", "{}", '["a"]', "[1e99]", f"[1{'0' * 400}]", "[NaN]"])
def test_unreadable_marks_are_ignored(tmp_path, content):
    (tmp_path / FILE).write_text(content)
    crash(tmp_path, MAX_CRASHES)


def test_nothing_is_counted_without_a_folder(tmp_path):
    crash(None, 3 * MAX_CRASHES)
    crash(tmp_path / "gone", 3 * MAX_CRASHES)


def test_the_service_gives_up_with_its_own_exit_status(tmp_path):
    crash(tmp_path, MAX_CRASHES, every=0.0, since=time.monotonic())
    variables = {"RUNTIME_DIRECTORY": str(tmp_path), "NOTIFY_SOCKET": str(tmp_path / "nobody")}
    command = [sys.executable, "-m", "daemon", "serve", "--state-dir", tmp_path / "state", "--port", "0"]
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=TIMEOUT, check=False, env={**os.environ, **variables}
    )
    assert (result.returncode, "heaters are turned off" in result.stderr) == (EXIT_GAVE_UP, True)
    assert not (tmp_path / "state").exists()
