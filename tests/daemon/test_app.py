import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from daemon import app
from daemon.bridge.words import JobState, Selection
from daemon.config import HttpConfig
from daemon.core import core
from daemon.errors import ConfigError, StateDirTaken
from support.both import Service
from support.http import KEY, config
from support.waiting import until

ENVIRON = {"NOZZLED_API_KEY": KEY}


async def start(stack, folder, address="sim?speed=20"):
    return Service(await app.start(stack, config(folder, address), ENVIRON, lambda: 1000.0))


def select(service, lines):
    path = service.files.root / "part.gcode"
    path.write_text(lines)
    service.jobs.select(Selection("part.gcode", "part.gcode", path.stat().st_size, 0))


async def test_a_service_connects_prints_and_records(tmp_path):
    async with AsyncExitStack() as stack:
        service = await start(stack, tmp_path)
        await until(lambda: service.connection.ready)
        select(service, "G1 X1\nG1 X2\n")
        service.jobs.start()
        assert service.files.is_busy("part.gcode")
        await until(lambda: service.jobs.state is JobState.COMPLETED)
        assert not service.files.is_busy("part.gcode")
    async with AsyncExitStack() as stack:
        service = await start(stack, tmp_path, address="")
        [job] = await service.store.jobs(5)
        assert (job.outcome, job.lines, job.path) == ("COMPLETED", 2, "part.gcode")


async def test_a_service_that_is_stopped_interrupts_its_job(tmp_path):
    async with AsyncExitStack() as stack:
        service = await start(stack, tmp_path)
        await until(lambda: service.connection.ready)
        select(service, "G1 X1 F60\nG1 X100\n" * 50)
        service.jobs.start()
        await until(lambda: service.jobs.state is JobState.PRINTING)
    async with AsyncExitStack() as stack:
        service = await start(stack, tmp_path, address="")
        [job] = await service.store.jobs(5)
        assert (job.outcome, job.reason) == ("INTERRUPTED", "the service was stopped")
        assert service.jobs.state is None, "it was ended properly: there is nothing to recover"


async def test_two_services_never_share_a_state_directory(tmp_path):
    async with AsyncExitStack() as stack:
        await start(stack, tmp_path, address="")
        async with AsyncExitStack() as other:
            with pytest.raises(StateDirTaken):
                await start(other, tmp_path, address="")
    async with AsyncExitStack() as stack:
        await start(stack, tmp_path, address="")


async def test_a_failed_start_releases_everything(tmp_path):
    proxies = replace(config(tmp_path, ""), http=HttpConfig(trusted_proxies=("nobody",)))
    async with AsyncExitStack() as stack:
        with pytest.raises(ConfigError, match="nobody"):
            await app.start(stack, proxies, ENVIRON, lambda: 1000.0)
    async with AsyncExitStack() as stack:
        assert (await start(stack, tmp_path, address="")).files.root.is_dir()


async def test_a_logbook_that_the_previous_process_still_closes_is_waited_for(tmp_path):
    environ = {"RUNTIME_DIRECTORY": str(tmp_path)}
    logbook, _ = await core._logbook(environ)
    logbook.write({"job": 7})
    asyncio.get_running_loop().call_later(0.5, logbook.close)
    following, _ = await core._logbook(environ)
    assert following.read() == {"job": 7}
    assert (await core._logbook(environ))[0].read() is None, "in memory, as the other one is in use"
    following.close()
