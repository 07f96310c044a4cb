"""What the end-to-end tests share: processes that never outlive their test."""

import pytest

from support.processes import ProcessGroup


@pytest.fixture
def house(tmp_path):
    house = ProcessGroup(tmp_path)
    yield house
    house.close()
