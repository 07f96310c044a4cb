"""The farm's real API and page on a port, in a thread with its own loop; its printers are data."""

import asyncio
import threading
from concurrent.futures import Future
from pathlib import Path

import msgspec

from daemon.farm.http.seams import FarmSeams
from daemon.farm.http.server import listen, make_app, prepare
from daemon.farm.list.job_list import JobList
from daemon.farm.list.values import FileFacts, JobRequest
from daemon.farm.messages import Heat, OrderAnswer, Presence, Report, Tool
from support.farm_http import FakeDispatcher, FakeFiles, ThreadlessCalls, fake_analysis

JPEG = b"\xff\xd8\xff\xd9"


class PrintersThatObey(FakeDispatcher):
    """Printers that obey each order, and report it."""

    wake = staticmethod(lambda: None)
    picture = JPEG

    async def order(self, printer, order):
        self.orders.append((printer, order))
        changes = {
            "bed_clear": {"bed_clear": True, "ready": True, "reason": ""},
            "pause": {"state": "Paused"},
            "resume": {"state": "Printing"},
            "hold": {"on_hold": True, "ready": False},
            "release": {"on_hold": False, "ready": True},
        }
        self.change(printer, **changes.get(order.verb, {}))
        return OrderAnswer(ok=True, data=self.picture)

    def change(self, printer, **changes):
        """Change the presence of a printer."""
        known = self.presences.get(printer, Presence(at=self.now, boot="b"))
        self.presences[printer] = msgspec.structs.replace(known, **changes)
        self.wake()


class FarmServed:
    """A farm on a port; `do` calls a function in its thread."""

    def __init__(self, folder: Path, now: float) -> None:
        self.folder = folder
        self.printers = PrintersThatObey(now=now)
        self.files = FakeFiles()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.port = 0
        self._await(self._open())
        self.key = (folder / "admin.key").read_text("utf-8").strip()

    async def _open(self):
        self.list = JobList("sqlite://", lambda: self.printers.now)
        self.printers.calls = ThreadlessCalls(self.list)
        farm = FarmSeams(
            self.printers.calls,
            self.files,
            self.printers,
            self.folder,
            lambda: self.printers.now,
            "Print room",
            fake_analysis,
        )
        self._app = make_app(farm)
        if not (self.folder / "admin.key").exists():
            await prepare(self._app, farm)
        self.list.on_change = self.printers.wake = self._app.settings["farm_feed"].wake
        self._server = listen(self._app, "127.0.0.1", self.port)
        self.port = self._server.port

    @property
    def address(self):
        return "127.0.0.1", self.port

    def _await(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def do(self, function):
        """Call a function with the list, in the farm's thread; return its result."""
        done: Future = Future()

        def call():
            try:
                done.set_result(function(self.list))
            except Exception as error:  # noqa: BLE001 - it goes to the caller
                done.set_exception(error)

        self._loop.call_soon_threadsafe(call)
        return done.result(60)

    def change(self, printer, **changes):
        self.do(lambda _: self.printers.change(printer, **changes))

    def go_away(self):
        """Close all connections, and refuse new ones."""
        self._await(self._server.close())

    def come_back(self):
        async def again():
            self._server = listen(self._app, "127.0.0.1", self.port)

        self._await(again())

    def close(self):
        self._await(self._server.close())
        self.do(lambda jobs: jobs.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()


def furnished(folder, now):
    """Return a farm with printers of each kind, jobs, an orphan and a history."""
    farm = FarmServed(folder, now)
    kinds = {
        "mk3-1": {"state": "Printing", "file": "bracket left.gcode", "progress": 41.3, "remaining_s": 3540.0,
                  "camera": True, "heaters": {"tool0": Heat(214.6, 215.0), "bed": Heat(60.1, 60.0)}},
        "mk3-2": {"state": "Printing", "file": "bracket left.gcode", "progress": 12.0},
        "mk3-3": {"state": "Operational", "ready": True, "bed_clear": True},
        "mk3-4": {"state": "Operational", "reason": "nobody has said that the bed is clear"},
        "mini-1": {"state": "Paused", "file": "hinge.gcode", "progress": 77.0, "reason": "the print is paused"},
        "mini-2": {"state": "Offline after error", "reason": "the firmware has halted: Heating failed"},
    }  # fmt: skip
    tools = [Tool("PLA", "black", 0.4)]
    cold = {"tool0": Heat(24.1, 0.0), "bed": Heat(23.4, 0.0)}
    for name, changes in kinds.items():
        group = "large" if name.startswith("mk3") else "small"
        base = {"at": now, "name": name, "group": group, "url": f"http://{name}.local:5000/", "tools": tools}
        farm.change(name, **{**base, "heaters": cold, **changes})

    def fill(jobs):
        for number, (name, seconds) in enumerate([("bracket left", 8730), ("benchy", 5420), ("hinge", 2900)]):
            jobs.put_file(FileFacts(sha256=f"{number}" * 64, size=10_000, name=f"{name}.gcode", seconds=seconds))
        bracket = {"group": "large", "priority": 1, "due": now + 200_000, "by": "anna"}
        jobs.add(JobRequest(sha256="0" * 64, name="bracket left.gcode", copies=10, material="PLA", **bracket))
        jobs.add(JobRequest(sha256="1" * 64, name="benchy.gcode", copies=3, material="TPU", by="anna"))
        jobs.add(JobRequest(sha256="2" * 64, name="hinge.gcode", copies=1, by="ben", held=True))
        for name in ("mk3-3", "mk3-1", "mk3-2"):
            ready = Presence(at=now, boot="b", ready=True, bed_clear=True, group="large", tools=tools)
            offer = jobs.offer(name, ready, 60)
            report = {"copy": offer.copy, "attempt": offer.attempt, "nonce": "n", "at": now}
            assert jobs.claim(name, offer.copy, offer.attempt, "n")
            jobs.report(name, Report(kind="printing", **report))
            if name == "mk3-3":
                jobs.report(name, Report(kind="done", seconds=8700.0, **report))

    farm.do(fill)
    farm.change("mk3-2", at=now - 400)  # it is away
    return farm
