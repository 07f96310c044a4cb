"""A job controller with a simulated printer, on the virtual clock, and the commands that the printer accepted."""

import asyncio
from collections.abc import Iterable
from concurrent.futures import Executor, Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import patch

from daemon.bridge.words import JobState, Selection
from daemon.config import Config, JobConfig, PauseConfig, ProfileConfig, ScriptsConfig
from daemon.core.connection.connection import Connection
from daemon.core.job.controller import JobController
from daemon.core.record.store import NewJob
from hal.driver import LinePrinter
from hal.simulated.firmware import Firmware
from hal.simulated.memory import SimulatedTransport
from hal.simulated.oracle import Oracle
from support.waiting import pause

S = JobState
SCRIPTS = ScriptsConfig(
    before_start=("M117 before start", "M104 S60", "M117 start ends"),
    after_pause=("M117 after pause",),
    before_resume=("M117 before resume", "M117 resume ends"),
    after_cancel=("M104 S0", "M140 S0", "M117 after cancel"),
    after_failure=("M104 S0", "M140 S0", "M117 after failure"),
    after_finish=("M117 after finish",),
)
MOVES = [f"G1 X{n % 2 * 20} Y{n} F5400" for n in range(100)]  # 20 s of moving


def is_file_move(command: str) -> bool:
    """Tell a move of a test's file from those of a pause, to its parking position and back."""
    return command.startswith("G1 X") and not command.endswith((" F6000", " F600", " F2100"))


DEAD_MAN_COMMANDS = ("M85 S600", "M85 S1800", "M85 S0")  # in a print, in a pause, and with the heaters off

# the host's own commands, and those that restore the state after a pause without moves
HOST_COMMANDS = (
    "M113 S2",
    "M115",
    "M155 S2",
    "M110 N0",
    "T0",
    "G21",
    "G90",
    "M82",
    "G1 F5400",
    "M107",
    *DEAD_MAN_COMMANDS,
)


class InlineExecutor(Executor):
    """Runs work in the caller's thread: with another thread the virtual clock would run at real speed."""

    def __init__(self, *_args: object, **_more: object) -> None:
        pass

    def submit(self, work, /, *args, **kwargs):
        future = Future()
        try:
            future.set_result(work(*args, **kwargs))
        except OSError as error:
            future.set_exception(error)
        return future


@dataclass
class FakeStore:
    """Replaces the store: records its calls; beginning a job takes a moment, as on a disk."""

    jobs: list[NewJob] = field(default_factory=list)
    checkpoints: list[tuple] = field(default_factory=list)
    outcomes: list[tuple] = field(default_factory=list)

    async def begin_job(self, job):
        number = len(self.jobs)
        self.jobs.append(job)
        await asyncio.sleep(0.02)
        return number

    def checkpoint(self, *values):
        self.checkpoints.append(values)

    def end_job(self, *values):
        self.outcomes.append(values)

    async def unfinished_jobs(self):
        return []


@dataclass
class JobHost:
    """A job controller with a simulated printer."""

    jobs: JobController
    connection: Connection
    records: FakeStore
    folder: Path
    oracle: Oracle

    @property
    def transport(self) -> SimulatedTransport:
        return self.connection.printer._transport

    @property
    def board(self):
        return self.transport._firmware.board

    @property
    def accepted(self) -> list[str]:
        """The commands that the printer accepted, without those of the host itself."""
        return [each.command for each in self.oracle.commands if each.command not in HOST_COMMANDS]

    @property
    def file_moves(self) -> list[str]:
        return [command for command in self.accepted if is_file_move(command)]

    def write(self, lines: Iterable[str], name: str = "part.gcode") -> Selection:
        path = self.folder / name
        path.write_text("".join(f"{line}\n" for line in lines))
        return Selection(name, name, path.stat().st_size, 0)

    def start(self, lines: Iterable[str] = MOVES) -> None:
        self.jobs.select(self.write(lines))
        self.jobs.start()

    async def until(self, *states: JobState) -> None:
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(10_000):
            while self.jobs.state not in states:  # noqa: ASYNC110 - the state is what clients poll
                await asyncio.sleep(pause(began, 0.01))

    async def until_it_finishes(self) -> None:
        """Wait for the script at the end: it is too short for polling the state."""
        finishing = asyncio.Event()
        self.jobs.subscribe(lambda state: finishing.set() if state is S.FINISHING else None)
        async with asyncio.timeout(10_000):
            await finishing.wait()

    async def reach(self, state: JobState) -> None:
        """Start a job, and bring it into a state; it may be one in which jobs have ended."""
        self.start(["G1 X100 F601"] if state in (S.FINISHING, S.COMPLETED) else MOVES)
        if state is S.INTERRUPTED:
            self.transport.unplug()
        elif state is S.FAILED:
            (self.folder / "part.gcode").unlink()
        elif state in (S.CANCELLING, S.CANCELLED):
            await self.until(S.PRINTING)
            self.jobs.cancel()
        elif state in (S.PAUSING, S.PAUSED, S.RESUMING):
            await self.until(S.PRINTING)
            self.jobs.pause()
        if state is S.RESUMING:
            await self.until(S.PAUSED)
            self.jobs.resume()
        await (self.until_it_finishes() if state is S.FINISHING else self.until(state))

    async def settle(self) -> None:
        """Wait until the last job has released everything."""
        await self.jobs.runner.wait_until_over()


@asynccontextmanager
async def job_host(
    folder, store=None, firmware=None, scripts=SCRIPTS, executor=None, pause=None, job=None, printer=None, **profile
):
    config = replace(Config(), scripts=scripts, profile=replace(ProfileConfig(), **profile), job=job or JobConfig())
    config = replace(
        config,
        printer=replace(config.printer, address="sim", retry_s=1.0, reattach_s=0.0, **(printer or {})),
        pause=pause or PauseConfig(park="none"),
        link=replace(config.link, compact="off"),  # lines arrive as they are in the file
    )
    oracle, records = Oracle(keep=None), store or FakeStore()

    def create(_address, settings, _wrap=None, logbook=None):
        return LinePrinter(SimulatedTransport(Firmware(firmware, oracle)), settings, logbook)

    with patch("daemon.core.connection.making.create", create):
        connection = Connection(config)
        jobs = JobController(config, connection, records, folder, executor or InlineExecutor())
        host = JobHost(jobs, connection, records, folder, oracle)
        await jobs.recover()
        connection.keep_connected()
        while not connection.ready:  # noqa: ASYNC110 - before there is a listener
            await asyncio.sleep(0.1)
        try:
            yield host
        finally:
            await jobs.abandon("the test is over")
            await connection.disconnect()
            if jobs.runner is not None:
                await host.settle()
