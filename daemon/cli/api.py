"""Api: the daemon's HTTP API as the command line uses it."""

import http.client
import json
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from gcode.errors import NozzledError

TIMEOUT = 60.0  # seconds for one request


class ApiError(NozzledError):
    """The daemon refused a request, or cannot be reached."""


class Api:
    """One keep-alive connection to a daemon."""

    def __init__(self, url: str, key: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT)
        self._headers = {"X-Api-Key": key}

    def get(self, path: str) -> Any:
        """Return what the daemon answers, parsed.

        Raises:
            ApiError: it refuses, or cannot be reached.
        """
        return self._request("GET", path, None, {})

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Send a command; return the answer, None where it is empty.

        Raises:
            ApiError: it is refused, or the daemon cannot be reached.
        """
        return self._request("POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def upload(self, path: Path) -> str:
        """Upload a file; return its path among the uploads.

        Raises:
            ApiError: it is refused, or the daemon cannot be reached.
            OSError: the file cannot be read.
        """
        boundary = secrets.token_hex(16)
        name = f"filename*=UTF-8''{quote(path.name)}"  # RFC 5987
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="file.gcode"; {name}\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        body = head.encode() + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        answer = self._request(
            "POST", "/api/files/local", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        )
        return str(answer["files"]["local"]["path"])

    def select(self, path: str) -> None:
        """Choose the file that `start` prints.

        Raises:
            ApiError: it is refused, or the daemon cannot be reached.
        """
        self.post(f"/api/files/local/{quote(path)}", {"command": "select"})

    def _request(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Any:
        try:
            self._connection.request(method, path, body, {**self._headers, **headers})
            response = self._connection.getresponse()
            data = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise ApiError(f"the daemon does not answer {method} {path}: {error}") from error
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            raise ApiError(f"{method} {path}: {response.status} {_reason(data)}")
        return json.loads(data) if data else None


def _reason(data: bytes) -> str:
    try:
        return str(json.loads(data)["error"])
    except (ValueError, KeyError, TypeError):
        return data.decode("utf-8", "replace")[:200]
