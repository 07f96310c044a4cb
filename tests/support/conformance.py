"""A server with OctoPrint's API, used by HTTP alone, with methods to bring it into a state."""

import http.client
import json
from urllib.parse import urlsplit

from support.http import form
from support.processes import until
from support.waiting import TIMEOUT

FILE = "conformance.gcode"
LONG = b"G4 P100\n" * 30_000  # 50 min; less on a printer that is faster than real time


class ServerAnswer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)


class ServerUnderTest:
    """One server; `octoprint` tells whether it is the real one."""

    def __init__(self, url, key):
        self._netloc = urlsplit(url).netloc
        self._key = key
        self.octoprint = "nozzled" not in self.get("/api/version").json["text"]

    def request(self, method, path, body=None, headers=None, key=True):
        authentication = {"X-Api-Key": self._key} if key else {}
        connection = http.client.HTTPConnection(self._netloc, timeout=TIMEOUT)
        try:
            connection.request(method, path, body, {**authentication, **(headers or {})})
            return ServerAnswer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def delete(self, path, **more):
        return self.request("DELETE", path, **more)

    def post(self, path, data=None, **more):
        headers = {"Content-Type": "application/json", **more.pop("headers", {})}
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        return self.request("POST", path, body, headers, **more)

    def upload(self, *parts, **more):
        body, kind = form(*parts)
        return self.request("POST", "/api/files/local", body, {"Content-Type": kind}, **more)

    @property
    def state(self):
        return self.get("/api/connection").json["current"]["state"]

    def until(self, *states):
        until(lambda: self.state in states, f"one of {states}", TIMEOUT)

    # -- states --------------------------------------------------------------------------------------------

    def is_busy(self):
        return self.get("/api/job").json["state"] in ("Printing", "Paused", "Pausing", "Resuming", "Starting")

    def go_offline(self):
        if self.is_busy():
            self.cancel()
        self.post("/api/connection", {"command": "disconnect"})
        self.until("Closed", "Offline")

    def go_online(self):
        if self.state == "Operational":
            return
        if self.is_busy():
            self.cancel()
            return
        self.post("/api/connection", {"command": "connect", "port": "VIRTUAL"})
        self.until("Operational")

    def cancel(self):
        self.post("/api/job", {"command": "cancel"})
        self.until("Operational")

    def choose(self):
        self.go_online()
        if self.get(f"/api/files/local/{FILE}").status == 404:
            assert self.upload(("file", FILE, LONG)).status == 201
        assert self.post(f"/api/files/local/{FILE}", {"command": "select"}).status == 204
        until(lambda: self.get("/api/job").json["job"]["file"]["name"] == FILE, "the file to be selected", TIMEOUT)

    def choose_nothing(self):
        self.go_online()
        if self.get("/api/job").json["job"]["file"]["name"] is not None:
            self.post("/api/files/local/current", {"command": "unselect"})
            until(lambda: self.get("/api/job").json["job"]["file"]["name"] is None, "no file to be selected", TIMEOUT)

    def print(self):
        self.choose()
        assert self.post("/api/job", {"command": "start"}).status == 204
        self.until("Printing")

    def pause(self):
        self.print()
        self.post("/api/job", {"command": "pause", "action": "pause"})
        self.until("Paused")
