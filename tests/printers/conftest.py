"""Marks the tests of what the host does not do right yet; whoever mends it takes the line out of `pending.txt`."""

from pathlib import Path

import pytest

PENDING = Path(__file__).with_name("pending.txt")


def pytest_collection_modifyitems(items):
    pending = set(PENDING.read_text().splitlines()) if PENDING.exists() else set()
    for item in items:
        if item.nodeid.removeprefix("tests/printers/") in pending:
            item.add_marker(pytest.mark.xfail(strict=True, reason="the host does not do this right yet"))
