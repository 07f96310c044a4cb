"""Marks the tests of what the host does not do right yet; whoever mends it takes the line out of `pending.txt`."""

from pathlib import Path

import pytest

PENDING = Path(__file__).with_name("pending.txt")


def pytest_collection_modifyitems(items):
    """A line there is the end of a test's id; one that begins with a question mark fails now and then."""
    pending = set(PENDING.read_text().splitlines()) if PENDING.exists() else set()
    for item in items:
        name = item.nodeid.removeprefix("tests/printers/")
        if name in pending or f"? {name}" in pending:
            item.add_marker(pytest.mark.xfail(strict=name in pending, reason="the host does not do this right yet"))
