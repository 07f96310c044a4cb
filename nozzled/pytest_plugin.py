"""Loads our pytest plugin, and says in the head of a run if another distribution has modules of our names."""

from importlib.util import find_spec

from nozzled import ENVIRONMENT, listed, told


def _is_ours() -> bool:
    try:
        return find_spec("hal.testing.plugin") is not None
    except ImportError:  # their `hal` has no such part
        return False


pytest_plugins = ["hal.testing.plugin"] if _is_ours() else []


def pytest_report_header() -> list[str]:
    """Tell it where a user of either looks first."""
    found = listed()
    return [f"nozzled: {told(found)}, and both cannot work; {ENVIRONMENT}"] if found else []
