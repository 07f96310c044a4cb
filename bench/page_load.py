"""A print while pages are open, a file comes in and toolpaths go out: does the planner run dry?"""

import json
import threading
from dataclasses import dataclass
from typing import Any

from tornado.websocket import websocket_connect

from bench import prints
from bench.api import Sockets
from bench.client import Client
from bench.fakeprinter import FakePrinter
from bench.hosts import KEY, ServerHost
from bench.load import Load

PAGES, FETCHERS = 10, 4


@dataclass(frozen=True, slots=True)
class PrintUnderLoad:
    """A print under the load of open pages."""

    underruns: int
    messages: int
    toolpaths: int
    megabytes: float
    intact: bool


class OpenPages(Sockets):
    """The traffic of the sockets of open pages, including the console."""

    async def _listen(self, login: str) -> None:
        socket = await websocket_connect(self._url)
        try:
            await socket.write_message(json.dumps({"subscribe": {"state": False, "page": {"console": True}}}))
            await socket.write_message(login)
            while await socket.read_message() is not None:
                self.messages += 1
        finally:
            socket.close()


class Fetches:
    """Threads that fetch the toolpath of a file, one after the other."""

    def __init__(self, client: Client, name: str) -> None:
        self.done = 0
        self._url, self._name = f"http://{client.netloc}", name
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run, name="fetches") for _ in range(FETCHERS)]

    def start(self) -> None:
        """Begin."""
        for each in self._threads:
            each.start()

    def stop(self) -> int:
        """End; return how many came."""
        self._stopped.set()
        for each in self._threads:
            each.join()
        return self.done

    def _run(self) -> None:
        client = Client(self._url, KEY)
        while not self._stopped.wait(0.1):
            status, _ = client.request("GET", f"/api/files/local/{self._name}/toolpath")
            self.done += status in (200, 206)
        client.close()


def print_under_load(
    host: ServerHost, printer: FakePrinter, baudrate: int, job: prints.PrintFile, megabytes: int, patience: float
) -> PrintUnderLoad:
    """Print under load."""
    try:
        host.connect(printer.link, baudrate, job)
        pages, fetches = OpenPages(host.client, PAGES), Fetches(host.client, job.path.name)
        load = Load(host.client.netloc, host.client.headers, megabytes, 0)
        for each in (pages, fetches, load):
            each.start()
        try:
            host.print_file(1.0, patience)
        finally:
            came, toolpaths, messages = load.stop(), fetches.stop(), pages.stop()
        host.disconnect()
    finally:
        stats: dict[str, Any] = printer.stop()
    return PrintUnderLoad(stats["underruns"], messages, toolpaths, came.megabytes, stats["sha256_job"] == job.sha256)


def show(found: PrintUnderLoad) -> None:
    """Print it."""
    print(
        f"{PAGES} pages, {found.toolpaths} toolpaths, {found.megabytes:.0f} MB uploaded, {found.messages} messages:"
        f" {found.underruns} underruns, {'intact' if found.intact else 'NOT intact'}"
    )
