"""What the end-to-end tests share: processes that never outlive their test."""

import pytest

from support.processes import ProcessGroup


@pytest.fixture
def processes(tmp_path):
    processes = ProcessGroup(tmp_path)
    yield processes
    processes.close()
