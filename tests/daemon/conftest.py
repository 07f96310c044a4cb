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
def manager(tmp_path, monkeypatch):
    """Run a service manager, at NOTIFY_SOCKET."""
    manager = ServiceManager(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", str(manager.path))
    yield manager
    manager.close()
