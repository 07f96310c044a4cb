"""A client of the OctoPrint HTTP API, enough to print a file; standard library only."""

import http.client
import json
import time
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

POLL = 0.05
UNFINISHED_STATES = ("Operational", "Starting", "Printing", "Finishing")


class Client:
    """One keep-alive connection; one object per thread."""

    def __init__(self, url: str, key: str) -> None:
        self.netloc = urlsplit(url).netloc
        self.headers = {"X-Api-Key": key}
        self._connection: http.client.HTTPConnection | None = None

    def request(
        self, method: str, path: str, body: bytes | None = None, kind: str = "application/json"
    ) -> tuple[int, bytes]:
        """Return status and body; repeat the request once if the server had closed an idle connection."""
        headers = self.headers | ({"Content-Type": kind} if body is not None else {})
        for last in (False, True):
            self._connection = self._connection or http.client.HTTPConnection(self.netloc, timeout=60)
            try:
                self._connection.request(method, path, body, headers)
                response = self._connection.getresponse()
                return response.status, response.read()
            except (OSError, http.client.HTTPException):
                self.close()
                if last:
                    raise
        raise AssertionError("the second try returns or raises")

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Make a request that has to succeed; return the parsed answer."""
        return self._checked(method, path, *self.request(method, path, json.dumps(body).encode() if body else None))

    @staticmethod
    def _checked(method: str, path: str, status: int, data: bytes) -> Any:
        if not http.HTTPStatus.OK <= status < http.HTTPStatus.MULTIPLE_CHOICES:
            raise RuntimeError(f"{method} {path}: HTTP {status} {data[:300]!r}")
        return json.loads(data) if data else None

    def alive(self) -> bool:
        """Tell whether the server answers."""
        try:
            return self.request("GET", "/api/version")[0] == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False

    def until_connection(self, states: tuple[str, ...], seconds: float = 60.0) -> None:
        """Wait for the connection to be in one of these states."""
        end = time.monotonic() + seconds
        while (state := self.call("GET", "/api/connection")["current"]["state"]) not in states:
            if time.monotonic() > end:
                raise TimeoutError(f"the connection is {state!r}, none of {states}")
            time.sleep(POLL)

    def connect(self, port: str, baudrate: int) -> None:
        """Have the server connect to a printer."""
        options = {"port": port, "baudrate": baudrate, "printerProfile": "_default", "save": False}
        self.call("POST", "/api/connection", {"command": "connect", "autoconnect": False, **options})
        self.until_connection(("Operational",))

    def disconnect(self) -> None:
        """Have the server disconnect from the printer."""
        self.call("POST", "/api/connection", {"command": "disconnect"})
        self.until_connection(("Closed", "Offline"))

    def upload(self, path: Path) -> None:
        """Upload a file."""
        boundary = uuid.uuid4().hex
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        body = head.encode() + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        kind = f"multipart/form-data; boundary={boundary}"
        self._checked("POST", "/api/files/local", *self.request("POST", "/api/files/local", body, kind))

    def select(self, path: Path) -> None:
        """Upload a file and choose it for the next print."""
        self.upload(path)
        self.call("POST", f"/api/files/local/{quote(path.name)}", {"command": "select", "print": False})
        end = time.monotonic() + 30
        while (self.job()["job"]["file"] or {}).get("name") != path.name:  # the server may select it after its answer
            if time.monotonic() > end:
                raise TimeoutError(f"{path.name} was not selected")
            time.sleep(POLL)

    def start(self) -> None:
        """Print the selected file."""
        self.call("POST", "/api/job", {"command": "start"})

    def job(self) -> Any:
        """Return /api/job."""
        return self.call("GET", "/api/job")

    def finished(self) -> bool:
        """Tell whether the print has ended well.

        Raises:
            RuntimeError: it has not, and never will.
        """
        job = self.job()
        if not job["state"].startswith(UNFINISHED_STATES):
            raise RuntimeError(f"the print failed: {job['state']} {job.get('error', '')}")
        return job["state"] == "Operational" and (job["progress"]["completion"] or 0) >= 100

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
