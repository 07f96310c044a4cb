"""A real browser for the page: one Chromium and one service for each module, tabs for each test."""

import socket
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from support.browser import TIMEOUT_MS, Tab, tabs
from support.chromium import launch_options
from support.processes import ProcessGroup, cannot_run, head, until
from support.stage import Stage

UNPLUG = '[[fault]]\nwhat = "unplug"\ntemperature = 245\nheater = "hotend"\nseconds = 6\n'
CONFIG = '[job]\nheat_up = "firmware"\n[analysis]\npriority = "low"\n[safety]\ndead_man_min = 0\n'
CONFIG += '[[macros.buttons]]\nname = "Greet"\ncommands = ["M117 hello"]\n'


@pytest.fixture(scope="module")
def node_modules():
    """The folder of the npm tools, whose integrity npm has checked."""
    ready = Path(__file__).with_name("tools") / "node_modules" / ".ready"
    lock = ready.parents[1] / "package-lock.json"
    if not ready.exists() or ready.stat().st_mtime < lock.stat().st_mtime:
        cannot_run("the npm tools are missing or old: run make lint-page")
    return ready.parent


@pytest.fixture(scope="module")
def axe(node_modules):
    return (node_modules / "axe-core" / "axe.min.js").read_text()


@pytest.fixture(scope="module")
def chromium():
    options = launch_options()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**options, timeout=TIMEOUT_MS)
        yield browser
        browser.close()


class PageService:
    """A service with a simulated printer that is unplugged for 6 s when its nozzle reaches 245 °C.

    A printer that is `speed` times as fast reports as many temperatures, to the service and to each open page.
    """

    def __init__(self, folder, speed=60):
        self._config, scenario = folder / "page.toml", folder / "scenario.toml"
        self._config.write_text(CONFIG)
        scenario.write_text(UNPLUG)
        self._printer = f"sim?speed={speed}&scenario={scenario}"
        self.processes = ProcessGroup(folder)
        self._start(0)

    def _start(self, port):
        self.daemon = self.processes.daemon("--config", self._config, "--printer", self._printer, "--port", str(port))
        self.daemon.event("http.listening")

    def restart(self):
        """Kill the service as a crash would, and start it again on the same port."""
        port = self.daemon.address[1]
        self.daemon.end()
        until(lambda: not _answers(port), "the front to end")
        self._start(port)

    def __getattr__(self, name):
        return getattr(self.daemon, name)


def _answers(port):
    with closing(socket.socket()) as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def running(request, tmp_path_factory):
    service = PageService(tmp_path_factory.mktemp("page"), getattr(request.module, "SPEED", 60))
    yield service
    service.processes.close()


@pytest.fixture
def service(running):
    """The service, with a printer that is ready and no print in progress."""
    if running.get("/api/job")["state"] not in {"Operational", "Connecting", "Opening serial connection"}:
        running.post("/api/connection", {"command": "disconnect"})
        until(lambda: running.get("/api/connection")["current"]["state"] in {"Closed", "Offline"}, "no printer")
        running.post("/api/connection", {"command": "connect"})
    running.until_state("Operational")
    return running


@pytest.fixture
def new_tab(chromium, service):
    """A function that opens tabs."""
    with tabs(Tab, chromium, service) as new:
        yield new


@pytest.fixture
def new_stage(chromium, service):
    """A function that opens tabs that show the printer in any state."""
    with tabs(Stage, chromium, service) as new:
        yield new


@pytest.fixture
def part(tmp_path):
    """A function that makes files of the first lines of the example, with an end."""

    def new(name, lines, *, without=(), instead=""):
        text = head(lines, tmp_path).read_text() + "M104 S0\nM140 S0\nM84\n"
        for each in without:
            text = text.replace(each, instead, 1)
        path = tmp_path / name
        path.write_text(text)
        return path

    return new
