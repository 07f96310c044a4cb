"""Fixtures of several tests of the daemon."""

import logging

import pytest
import structlog

from support.service_manager import ServiceManager


@pytest.fixture
def restored_logging():
    """Restore the configuration of logging after the test."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
    structlog.reset_defaults()


@pytest.fixture
def no_settings(monkeypatch, tmp_path):
    """Hide the caller's settings of the command line, and a daemon of theirs."""
    for name in ("NOZZLED_API_KEY", "NOZZLED_CONFIG", "NOZZLED_URL", "STATE_DIRECTORY", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("daemon.cli.local_daemon.is_served", lambda *_: False)


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """Run a service manager, at NOTIFY_SOCKET."""
    manager = ServiceManager(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", str(manager.path))
    yield manager
    manager.close()
