"""The real worker process of analyses."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.config import Config
from daemon.errors import AnalysisFailed
from daemon.front.analysis import worker
from daemon.front.analysis.service import AnalysisTask, Worker
from support.analysed import sliced


def order(path: Path, *, urgent: bool = False) -> AnalysisTask:
    return AnalysisTask(path, path.with_name("toolpath"), ("M204 P1000 T1000",), urgent)


@pytest.mark.real_time
async def test_the_process_returns_its_analysis(tmp_path):
    path = tmp_path / "cube.gcode"
    path.write_bytes(sliced("cube20"))
    answer = await Worker(Config()).run(order(path, urgent=True))
    assert answer["analysis"]["limits_from"] == "printer"
    assert len(answer["analysis"]["layers"]) == 99
    assert answer["pictures"] == []


def test_a_result_that_is_not_json_is_an_error(monkeypatch):
    task = io.StringIO(json.dumps({"urgent": True}))
    monkeypatch.setattr("sys.stdin", task)
    monkeypatch.setattr(worker, "_lower_priority", lambda **_: None)
    monkeypatch.setattr(worker, "_analyse", lambda _: {"analysis": {"duration_s": float("nan")}})
    with pytest.raises(ValueError, match="not JSON compliant"):
        worker.main()


@pytest.mark.real_time
async def test_a_missing_file_is_reported(tmp_path):
    answer = await Worker(Config()).run(order(tmp_path / "none.gcode", urgent=True))
    assert "No such file" in answer["error"]


@pytest.mark.parametrize(("urgent", "expected"), [(False, f"{os.SCHED_IDLE} 19"), (True, f"{os.SCHED_OTHER} 5")])
def test_the_process_lowers_its_priority(urgent, expected):
    code = (
        "import os; from daemon.front.analysis.worker import _lower_priority;"
        "from daemon.front.bounded_process import OOM_SCORE;"
        f"_lower_priority(urgent={urgent}); print(os.sched_getscheduler(0), os.nice(0), OOM_SCORE.read_text())"
    )
    # as nice as this test, which may run with a niceness of its own
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    policy, nice = expected.split()
    assert result.stdout.split() == [policy, str(min(19, int(nice) + os.nice(0))), "1000"]


@pytest.mark.real_time
async def test_a_process_that_is_killed_is_a_failure(monkeypatch, tmp_path):
    path = tmp_path / "cube.gcode"
    path.write_bytes(sliced("cube20"))
    begin = asyncio.create_subprocess_exec

    async def killed(*command, **options):
        process = await begin(*command, **options)
        process.send_signal(signal.SIGKILL)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", killed)
    with pytest.raises(AnalysisFailed, match="ended with code -9"):
        await Worker(Config()).run(order(path))


@pytest.mark.real_time
@pytest.mark.parametrize("times", [1, 3])
async def test_no_process_remains(monkeypatch, tmp_path, times):
    path = tmp_path / "cube.gcode"
    path.write_bytes(sliced("cube20"))
    begin, begun = asyncio.create_subprocess_exec, []

    async def watched(*command, **options):
        begun.append(await begin(*command, **options))
        return begun[0]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", watched)
    running = asyncio.create_task(Worker(Config()).run(order(path)))
    while not begun:  # noqa: ASYNC110 - what is waited for is within the code under test
        await asyncio.sleep(0.01)
    for _ in range(times):  # a more urgent file comes, then the service ends
        running.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await running
    assert begun[0].returncode is not None


def test_the_service_does_not_load_numpy():
    code = (
        "import sys, daemon.app, daemon.front.http.server, daemon.cli;"
        "print([name for name in ('numpy', 'PIL', 'matplotlib') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_neither_process_loads_what_it_does_not_need():
    """TLS costs 4.5 MB, libcrypto 3.5, the other part of the daemon 6."""
    unwanted = {
        "serve": ("tornado", "multipart", "hashlib", "importlib.metadata", "daemon.front.front", "http", "email"),
        "front": ("daemon.core.core", "serial", "transitions", "hal.driver", "hal.registry"),
    }
    for command, names in unwanted.items():
        code = (
            f"import sys; from daemon.cli import _parser; _parser({command!r}).parse_args([{command!r}]);"
            f"print([name for name in {names} if name in sys.modules], sys.modules.get('ssl'))"
        )
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert result.stdout.startswith("[]"), result.stdout
        assert command == "front" or result.stdout.strip() == "[] None"
