"""What all tests share: coroutines run on the virtual clock, and the profiles of hypothesis."""

import asyncio
import gc
import inspect
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from _pytest.assertion import rewrite

from hal.simulated import clock
from support import turns

NIGHTLY = os.environ.get("NOZZLED_PROFILE") == "nightly"

# tests/hil runs on a computer beside a printer, which needs only pytest and pytest-timeout
if NIGHTLY:
    with suppress(ImportError):
        # Its plugin imports these when the session ends. pytest parses them then, and if what the tests have left is
        # collected in the middle of that, Python 3.11 may say "SystemError: AST constructor recursion depth mismatch",
        # with exit code 1.
        import schemathesis.reporting.html.writer
        import schemathesis.reporting.junitxml  # noqa: F401 - as said
with suppress(ImportError):
    from hypothesis import HealthCheck, settings

    settings.register_profile("ci", max_examples=60, deadline=None, derandomize=True)
    settings.register_profile("nightly", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile(os.environ.get("NOZZLED_PROFILE", "ci"))


IN_MEMORY = Path("/dev/shm")
ROOM = 4 << 30  # bytes; the suite uses less than a quarter of it


def pytest_configure(config):
    if _takes_the_suite(IN_MEMORY):  # each fsync waits for a real disk, and thousands of stores are created
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(IN_MEMORY))
        tempfile.tempdir = str(IN_MEMORY)  # hypothesis' examples make folders of their own
    config.addinivalue_line(
        "markers", "real_time: an `async def` test that runs on a real event loop, not on the virtual clock"
    )
    config.addinivalue_line(
        "markers",
        "threads: an `async def` test on the virtual clock with real threads: some of them wait, or are looked at",
    )


def _takes_the_suite(folder):
    """Return whether tests can write and execute files there, with enough space."""
    if not os.access(folder, os.W_OK):
        return False
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize > ROOM and not status.f_flag & os.ST_NOEXEC


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """Two more than there are processors: some wait for a service manager, a browser or a process most of the time."""
    return (os.cpu_count() or 1) + 2


@pytest.hookimpl(trylast=True)  # of what is left after deselection
def pytest_collection_modifyitems(config, items):
    """Let each worker begin with its share of the slowest tests: one worker would run them one after the other.

    `--dist worksteal` divides the tests into as many parts of the same length as there are workers, and later gives
    those at the end of a part to idle workers.
    """
    slowest = [item for item in items if item.get_closest_marker("slowest")]
    others = [item for item in items if not item.get_closest_marker("slowest")]
    workers = getattr(config, "workerinput", {"workercount": 1})["workercount"]
    total = len(items)
    items.clear()
    for worker in range(workers):
        first = slowest[worker::workers]
        length = max(0, (total - len(items)) // (workers - worker) - len(first))
        items += first + others[:length]
        del others[:length]


@pytest.hookimpl(wrapper=True)
def pytest_collection(session):
    """Collect tests without the garbage collector, which would traverse the objects of 9000 tests repeatedly."""
    worker = getattr(session.config, "workerinput", None)
    if worker is not None:
        _compile_share(session.config, int(worker["workerid"].removeprefix("gw")), worker["workercount"])
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(20_000)  # objects; each service that a test begins makes thousands that stay
        gc.enable()


def _compile_share(config, mine, workers):
    """Compile this worker's share of the tests: in a fresh clone each worker would compile all of them.

    pytest has no public way to do it without importing them; the private one used here only writes its cache.
    """
    if sys.dont_write_bytecode:
        return
    for path in sorted(Path(__file__).parent.rglob("test_*.py"))[mine::workers]:
        compiled = rewrite.get_cache_dir(path) / f"{path.stem}{rewrite.PYC_TAIL}"
        if compiled.exists():  # an old one is left to pytest
            continue
        compiled.parent.mkdir(exist_ok=True)
        source, code = rewrite._rewrite_test(path, config)
        rewrite._write_pyc(config.stash[rewrite.assertstate_key], code, source, compiled)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Run an `async def` test, on the virtual clock unless it is marked `real_time`."""
    run = turns.run
    for name, other in (("threads", clock.run), ("real_time", asyncio.run)):
        if pyfuncitem.get_closest_marker(name) is not None:
            run = other
    property_test = getattr(pyfuncitem.obj, "hypothesis", None)
    if property_test is not None:  # each example is a run of its own
        inner = property_test.inner_test
        if inspect.iscoroutinefunction(inner):
            property_test.inner_test = lambda *args, **kwargs: run(inner(*args, **kwargs))
        return None
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    run(pyfuncitem.obj(**arguments))
    return True


def pytest_terminal_summary(terminalreporter):
    """Show figures measured by tests; on a busy machine they are no reason to fail."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            if name == "measured":
                terminalreporter.write_line(f"measured: {value}")
