"""Loads our pytest plugin, and warns in each run if another distribution has modules of our names."""

from importlib.util import find_spec

import pytest

from nozzled import ENVIRONMENT, described, listed


def _is_ours() -> bool:
    try:
        return find_spec("hal.testing.plugin") is not None
    except ImportError:  # another distribution's `hal`
        return False


pytest_plugins = ["hal.testing.plugin"] if _is_ours() else []


def pytest_report_header() -> list[str]:
    """Return a warning if another distribution has modules of our names."""
    conflicts = listed()
    return [f"nozzled: {described(conflicts)}, and both cannot work; {ENVIRONMENT}"] if conflicts else []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the same at the end of a quiet run, which has no header."""
    if terminalreporter.verbosity < 0:
        for line in pytest_report_header():
            terminalreporter.write_line(line)
