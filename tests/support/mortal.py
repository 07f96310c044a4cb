"""Hosts that are killed one after the other, at any byte, while their printer runs on; on the virtual clock.

The clean-up of a killed host's tasks must have no effect: its transport, logbook and store die at the same instant.
"""

import asyncio
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from daemon.bridge.words import JobState, Selection
from daemon.config import Config, PauseConfig, ScriptsConfig
from daemon.core.connection.connection import Connection
from daemon.core.job.controller import JobController
from daemon.core.job.kept_file import KeptFile
from daemon.core.job.survival import Survival
from daemon.core.record.store import Store
from hal.driver import LinePrinter
from hal.errors import NoSuchPort
from hal.logbook import Logbook
from hal.simulated.config import FirmwareConfig
from hal.simulated.firmware import Firmware
from hal.simulated.memory import DeviceClock, SimulatedTransport
from hal.simulated.oracle import Oracle
from support.job_host import FakeStore, InlineExecutor

HOST_TIMEOUT = 900  # simulated seconds
SCRIPTS = ScriptsConfig(
    before_start=("M117 start 1", "M117 start 2"),
    after_pause=("M117 pause 1", "M117 pause 2"),
    before_resume=("M117 resume 1",),
    after_cancel=("M117 cancel 1",),
    after_finish=("M117 finish 1", "M117 finish 2"),
)


@dataclass
class HostLife:
    """How much a host may still do before it is killed."""

    bytes_left: float = float("inf")
    snapshots_left: float = float("inf")  # of the logbook
    syncs_left: float = float("inf")  # of the store
    damage: int = 0  # alter every n-th byte on the wire; 0: none
    sent: int = 0
    dead: asyncio.Event = field(default_factory=asyncio.Event)
    transports: list = field(default_factory=list)

    killed: bool = False  # by the store's thread

    @property
    def over(self) -> bool:
        return self.killed or self.dead.is_set()

    def kill_from_thread(self) -> None:
        self.killed = True

    def end(self) -> None:
        self.dead.set()
        for each in self.transports:
            each.abandon()


class MortalTransport(SimulatedTransport):
    """A transport that carries nothing more once its host is killed."""

    def __init__(self, life: HostLife, firmware: Firmware, clock: DeviceClock, *, reset_on_open: bool) -> None:
        super().__init__(firmware, "sim", clock=clock, reset_on_open=reset_on_open)
        self._life = life
        life.transports.append(self)

    def _connect(self, on_data, on_lost):
        if self._life.over:
            raise NoSuchPort("the host was killed")
        super()._connect(on_data, on_lost)

    def write(self, data):
        life = self._life
        if life.over:
            return
        cut = self._damaged(data[: max(0, int(min(life.bytes_left, len(data))))])
        life.bytes_left -= len(data)
        if cut:
            super().write(cut)
        if life.bytes_left < 0:
            life.end()

    def _damaged(self, data: bytes) -> bytes:
        """Alter every n-th byte but line feeds: an XOR may not notice two lines joined into one."""
        bad = bytearray(data)
        for at, byte in enumerate(data):
            self._life.sent += 1
            if self._life.damage and self._life.sent % self._life.damage == 0 and byte != ord("\n"):
                bad[at] ^= 1
        return bytes(bad)

    def reset(self):
        if not self._life.over:
            super().reset()


class MortalLogbook(Logbook):
    def __init__(self, life: HostLife, path: Path) -> None:
        super().__init__(path)
        self._life = life

    def note(self, sent, answered, modes):
        if not self._life.over:
            super().note(sent, answered, modes)

    def begin(self):
        if not self._life.over:
            super().begin()

    def begin_job(self):
        if not self._life.over:
            super().begin_job()

    def write(self, snapshot):
        if not self._life.over:
            self._life.snapshots_left -= 1
            if self._life.snapshots_left < 0:
                self._life.end()
                return True
            return super().write(snapshot)
        return True


class MortalKeptFile(KeptFile):
    def __init__(self, life: HostLife, uploads: Path, folder: Path) -> None:
        super().__init__(uploads, folder)
        self._life = life

    def drop(self):
        if not self._life.over:
            super().drop()


class MortalStore(Store):
    """The real store, on a disk that remembers its content at each fsync."""

    def __init__(self, life: HostLife, disk: "MortalDisk") -> None:
        super().__init__(lambda: 0.0, _raise)
        self._life = life
        self._disk = disk

    def _open(self, state_dir):
        db = super()._open(state_dir)
        self._disk.sync()
        return db

    def _insert_job(self, job, started_at):
        if self._life.over:
            return None
        number = super()._insert_job(job, started_at)
        self._sync()
        return number

    def _begin_claimed(self, job_id, job):
        if not self._life.over:
            super()._begin_claimed(job_id, job)
            self._sync()

    def _delete_claim(self, job_id):
        if not self._life.over:
            super()._delete_claim(job_id)
            self._sync()

    def _sync(self) -> None:
        self._disk.sync()
        self._life.syncs_left -= 1
        if self._life.syncs_left < 0:
            self._life.kill_from_thread()

    def _update_jobs(self, batch):
        if not self._life.over:
            super()._update_jobs(batch)
            if any(progress.outcome for progress in batch.values()):
                self._disk.sync()


class PlaceDisk:
    """The storage for the place of a print: a put takes a while, and may be on the disk before it returns."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = random.Random(seed)
        self.text: bytes | None = None
        self.texts: list[bytes] = []  # all that were ever stored
        self.write_seconds = [0.005, 0.01, 0.03, 0.2]  # s of a put; one is chosen at random
        self.failures_left = 0  # of the next puts

    def of(self, life: HostLife) -> "MortalPlace":
        return MortalPlace(self, life)


class MortalPlace:
    def __init__(self, disk: PlaceDisk, life: HostLife) -> None:
        self._disk = disk
        self._life = life

    async def get(self):
        return self._disk.text

    async def put(self, text):
        disk, life = self._disk, self._life
        if disk.failures_left:
            disk.failures_left -= 1
            raise OSError("the card does not answer")
        seconds = disk.rng.choice(disk.write_seconds)
        stored_after = seconds * disk.rng.random()  # s; the text is on the card before the host knows
        await asyncio.sleep(stored_after)
        if life.over:
            raise OSError("the power is off")
        disk.text = text
        disk.texts.append(text)
        await asyncio.sleep(seconds - stored_after)


class MortalDisk:
    """The store's database and log: as they were at each fsync, and at the power cut."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.synced: list[tuple[bytes, bytes]] = []
        self.at_power_cut: tuple[bytes, bytes] = b"", b""

    def _now(self) -> tuple[bytes, bytes]:
        log = self.folder / "nozzled.db-wal"
        return (self.folder / "nozzled.db").read_bytes(), log.read_bytes() if log.exists() else b""

    def sync(self) -> None:
        self.synced.append(self._now())

    def cut_power(self) -> None:
        self.at_power_cut = self._now()

    def roll_back(self, to: int = -1, torn: int = 0) -> None:
        """Restore the files of an earlier fsync, and `torn` bytes of the log written after it."""
        database, log = self.synced[to]
        if self.at_power_cut[1].startswith(log):
            log = self.at_power_cut[1][: len(log) + torn]
        (self.folder / "nozzled.db").write_bytes(database)
        (self.folder / "nozzled.db-wal").write_bytes(log)
        self.synced.clear()


def _raise(error: Exception) -> None:
    raise error


@dataclass
class MortalHost:
    jobs: JobController
    connection: Connection
    life: HostLife
    records: FakeStore | Store


class World:
    """One printer, one folder, and host after host."""

    def __init__(
        self, folder: Path, firmware: FirmwareConfig | None = None, pause: PauseConfig | None = None, window: int = 0,
        compact: str = "off",
    ) -> None:  # fmt: skip
        self.folder = folder
        self.oracle = Oracle(keep=None)
        self.firmware = Firmware(firmware, self.oracle)
        self.clock = DeviceClock(self.firmware)
        self.boot = "boot"
        self.config = replace(
            Config(),
            scripts=SCRIPTS,
            pause=pause or PauseConfig(park="none"),
            link=replace(Config().link, window_lines=window, compact=compact),
            printer=replace(Config().printer, address="sim", retry_s=1.0, reattach_s=10.0),
        )
        (folder / "uploads").mkdir(exist_ok=True)
        self.reset_on_open = True
        self.client_connects = True  # if no printer is configured
        self.disk: MortalDisk | None = None  # None: records are in memory
        self.place: PlaceDisk | None = None  # None: no print survives a power cut
        self.outcomes: list[tuple] = []

    def write(self, lines) -> Selection:
        path = self.folder / "uploads" / "part.gcode"
        path.write_text("".join(f"{line}\n" for line in lines))
        return Selection("part.gcode", "part.gcode", path.stat().st_size, 0)

    @asynccontextmanager
    async def host(self, life: HostLife | None = None):
        """Run a host that reattaches to the work of the previous one; it is killed at the end of the block."""
        life = life or HostLife()
        uploads = self.folder / "uploads"
        logbook = MortalLogbook(life, self.folder / "logbook")

        def make(_address, settings, _wrap):
            transport = MortalTransport(life, self.firmware, self.clock, reset_on_open=self.reset_on_open)
            return LinePrinter(transport, settings, logbook)

        records = await self._records(life)
        connection = Connection(self.config, make=make, logbook=logbook)
        place = self.place.of(life) if self.place is not None else None
        survival = Survival(connection, logbook, MortalKeptFile(life, uploads, self.folder), self.boot, place)
        jobs = JobController(self.config, connection, records, uploads, InlineExecutor(), survival)
        await jobs.recover()
        if not jobs.active:
            if self.config.printer.address:
                connection.keep_connected()
            elif self.client_connects:
                await connection.connect("VIRTUAL")
            while self.client_connects and not connection.ready and not life.over:  # noqa: ASYNC110 - before there is a listener
                await asyncio.sleep(0.05)
        try:
            yield MortalHost(jobs, connection, life, records)
        finally:
            self.outcomes += records.outcomes if isinstance(records, FakeStore) and not life.over else []
            life.end()
            if self.disk is not None:
                self.disk.cut_power()
            await jobs.abandon("killed")
            await connection.disconnect()
            if jobs.runner is not None:
                await jobs.runner.wait_until_over()
            logbook.close()
            if isinstance(records, Store):
                await records.close()

    async def _records(self, life: HostLife) -> FakeStore | Store:
        if self.disk is None:
            return FakeStore()
        store = MortalStore(life, self.disk)
        await store.open(self.disk.folder)
        return store


async def until_over(host: MortalHost) -> None:
    """Wait until the job has ended, or the host has been killed."""
    async with asyncio.timeout(HOST_TIMEOUT):
        while host.jobs.active and not host.life.over:  # noqa: ASYNC110 - as clients poll
            await asyncio.sleep(0.05)


async def until_state(host: MortalHost, *states: JobState | None) -> None:
    """Wait until the job is in one of these states, or the host has been killed."""
    async with asyncio.timeout(HOST_TIMEOUT):
        while host.jobs.state not in states and not host.life.over:  # noqa: ASYNC110 - as clients poll
            await asyncio.sleep(0.02)
