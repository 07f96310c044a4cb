"""Plugs as their vendors document them, on a small HTTP server that can also misbehave."""

import asyncio
import base64
import hashlib
import json
import re
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs, unquote, urlsplit


class Plug:
    """A server with a relay.

    Attributes:
        requests: method, target and body of each.
        misbehaviour: instead of an answer: bytes to send, or "drip", "silence" or "flood".
        stuck: commands are acknowledged and not executed.
    """

    def __init__(self, password=""):
        self.on = False
        self.requests = []
        self.password = password
        self.misbehaviour = None
        self.address = ""
        self.serving = set()
        self.stuck = False

    def switch(self, on):
        if not self.stuck:
            self.on = on

    async def serve(self, reader, writer):
        self.serving.add(asyncio.current_task())
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines if each)
            }
            body = (await reader.readexactly(int(headers.get("content-length", 0)))).decode()
            method, target, _ = first.split(" ")
            self.requests.append(f"{method} {target}" + (f" {body}" if body else ""))
            if self.misbehaviour is not None:
                await misbehave(writer, self.misbehaviour)
            else:
                writer.write(http(*self.answer(method, target, headers, body)))
            await writer.drain()
        writer.close()

    def answer(self, method, target, headers, body):
        raise NotImplementedError

    @asynccontextmanager
    async def running(self):
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield self
            for task in self.serving:
                task.cancel()
            await asyncio.gather(*self.serving)


def http(status, body, headers=None):
    text = body if isinstance(body, str) else json.dumps(body)
    more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    kind = "text/plain" if isinstance(body, str) else "application/json"
    size = len(text.encode())
    return f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n{more}Content-Length: {size}\r\n\r\n{text}".encode()


async def misbehave(writer, how):
    if isinstance(how, bytes):
        writer.write(how)
    elif how == "silence":
        await asyncio.sleep(60)
    elif how == "drip":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(600):
            writer.write(b"{")
            await writer.drain()
            await asyncio.sleep(0.05)
    elif how == "flood":
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(200):
            writer.write(b"[" * 65536)
            await writer.drain()


class Tasmota(Plug):
    """One relay, or several; answers as the documentation of Tasmota's commands says."""

    def __init__(self, password="", relays=1, old=False):
        super().__init__(password)
        self.relays, self.old = relays, old

    def answer(self, method, target, headers, body):
        query = parse_qs(urlsplit(target).query)
        if self.password and (query.get("user"), query.get("password")) != (["admin"], [self.password]):
            warning = {"WARNING": "Need user=<username>&password=<password>"}
            return (200 if self.old else 401), warning
        command = re.fullmatch(r"Power(\d*)(?: (On|Off))?", query["cmnd"][0], re.IGNORECASE)
        number = int(command[1] or 1) if command else 0
        if not 1 <= number <= self.relays:
            return 200, {"Command": "Unknown"}
        if command[2]:
            self.switch(command[2].lower() == "on")
        return 200, {f"POWER{number if self.relays > 1 else ''}": "ON" if self.on else "OFF"}


class ShellyFirst(Plug):
    """A Shelly 1 or Plug S."""

    def answer(self, method, target, headers, body):
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        if path == "/shelly":
            return 200, {"type": "SHPLG-S", "mac": "4022D882B600", "auth": bool(self.password), "fw": "20230913"}
        credentials = base64.b64encode(f"admin:{self.password}".encode()).decode()
        if self.password and headers.get("authorization") != f"Basic {credentials}":
            return 401, "401 Unauthorized", {"WWW-Authenticate": 'Basic realm="shellyplug-s-B600"'}
        if path != "/relay/0":
            return 404, "Not Found"
        if "turn" in query:
            self.switch(query["turn"] == ["on"])
        return 200, {"ison": self.on, "has_timer": False, "timer_started": 0, "timer_remaining": 0, "source": "http"}


class ShellyLater(Plug):
    """A Shelly Plus, Pro, or of the third or fourth generation, with digest authentication by RFC 7616."""

    nonce = "60dc2c69"

    def answer(self, method, target, headers, body):
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        if path == "/shelly":
            return 200, {"id": "shellyplugus-c049ef8b3a44", "model": "SNPL-00116US", "gen": 2, "auth_en": True}
        if self.password and not self.is_proven(method, target, headers.get("authorization", "")):
            challenge = f'Digest qop="auth", realm="shellyplugus-c049ef8b3a44", nonce="{self.nonce}", algorithm=SHA-256'
            return 401, "", {"WWW-Authenticate": challenge}
        if query.get("id") != ["0"]:
            return 500, {"code": -105, "message": "Argument 'id', value 4 not found!"}
        if path == "/rpc/Switch.Set":
            was = self.on
            self.switch(query["on"] == ["true"])
            return 200, {"was_on": was}
        if path == "/rpc/Switch.GetStatus":
            return 200, {"id": 0, "source": "init", "output": self.on, "apower": 0.0, "temperature": {"tC": 40.1}}
        return 404, {"code": 404, "message": f"No handler for {path}"}

    def is_proven(self, method, target, header):
        parts = {name: a or b for name, a, b in re.findall(r'(\w+)=(?:"([^"]*)"|([\w-]+))', header)}
        if parts.get("nonce") != self.nonce or parts.get("uri") != target:
            return False

        def sha(text):
            return hashlib.sha256(text.encode()).hexdigest()

        secret = sha(f"admin:shellyplugus-c049ef8b3a44:{self.password}")
        middle = f"{self.nonce}:{parts['nc']}:{parts['cnonce']}:{parts['qop']}"
        return parts["response"] == sha(f"{secret}:{middle}:{sha(f'{method}:{target}')}")


class AnySwitch(Plug):
    """A switch with arbitrary URLs, as a user may have built."""

    def answer(self, method, target, headers, body):
        self.headers = headers
        if target in ("/on", "/off"):
            self.switch(target == "/on")
        return 200, f"relay is {'ON' if self.on else 'OFF'}" if target != "/json" else {"relays": [{"ison": self.on}]}


class HomeAssistant(Plug):
    """Home Assistant's REST API."""

    state = None

    def answer(self, method, target, headers, body):
        if headers.get("authorization") != f"Bearer {self.password}":
            return 401, "401: Unauthorized"
        path = unquote(urlsplit(target).path)
        if method == "POST" and path in ("/api/services/switch/turn_on", "/api/services/switch/turn_off"):
            if json.loads(body) == {"entity_id": "switch.printer"}:
                self.switch(path.endswith("on"))
            return 200, "[]"
        if path != "/api/states/switch.printer":
            return 404, {"message": "Entity not found."}
        return 200, {
            "entity_id": "switch.printer",
            "state": self.state or ("on" if self.on else "off"),
            "attributes": {},
        }
