"""The service's own log, read from the journal."""

import asyncio
import os
from contextlib import aclosing

import pytest

from daemon.front import own_log
from support.http import NOW
from support.waiting import TIMEOUT

SIZE = 1_000_000  # bytes; more than the pipe and the buffer hold


@pytest.fixture
def journal(tmp_path, monkeypatch):
    """A journal of zeros."""
    program = tmp_path / "journalctl"
    program.write_text(f"#!/bin/sh\nexec head -c {SIZE} /dev/zero\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


@pytest.mark.real_time
@pytest.mark.usefixtures("journal")
async def test_a_slow_reader_of_the_journal_is_not_cancelled(monkeypatch):
    monkeypatch.setattr(own_log, "JOURNAL_TIMEOUT", 3.0)
    sizes = []
    async with asyncio.timeout(TIMEOUT), aclosing(own_log._journal("9")) as blocks:
        async for block in blocks:
            if not sizes:
                await asyncio.sleep(3.2)  # longer than the journal may take for a block
            sizes.append(len(block))
    assert sum(sizes) == SIZE


@pytest.mark.real_time
@pytest.mark.usefixtures("journal")
async def test_a_reader_of_the_journal_may_go_in_the_middle():
    async with asyncio.timeout(TIMEOUT):
        async with aclosing(own_log._journal("9")) as blocks:
            async for _ in blocks:
                await asyncio.sleep(0.2)  # the buffer fills
                break


async def test_a_log_that_only_root_may_read_is_not_offered(tmp_path, monkeypatch):
    with (tmp_path / "log").open("w") as file:
        monkeypatch.setattr(own_log, "STDERR", file.fileno())
        assert await own_log.find(lambda: NOW) is not None
        monkeypatch.setattr(own_log.os, "access", lambda path, _: path != own_log.STDERR_FILE)
        monkeypatch.setattr(own_log.journal, "is_journal", lambda _: False)
        assert await own_log.find(lambda: NOW) is None
