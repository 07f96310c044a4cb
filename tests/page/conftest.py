"""The page in a real browser: one Chromium and one service for a module, and a tab for each test."""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from support.browser import PATIENCE, Tab
from support.processes import House, cannot_run, head, until

CONFIG = '[job]\nheat_up = "firmware"\n[safety]\ndead_man_min = 0\n[profile]\nmax_hotend_c = 260\n'


@pytest.fixture(scope="module")
def node_modules():
    """The folder with the tools of npm, whose integrity npm has checked."""
    ready = Path(__file__).with_name("tools") / "node_modules" / ".ready"
    lock = ready.parents[1] / "package-lock.json"
    if not ready.exists() or ready.stat().st_mtime < lock.stat().st_mtime:
        cannot_run("the tools of npm are not there, or old: make lint-page")
    return ready.parent


@pytest.fixture(scope="module")
def chromium():
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        cannot_run("there is no Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"], timeout=2 * PATIENCE)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A service with a simulated printer."""
    folder = tmp_path_factory.mktemp("page")
    config = folder / "page.toml"
    config.write_text(CONFIG)
    house = House(folder)
    daemon = house.daemon("--config", config, "--printer", "sim?speed=60")
    daemon.event("http.listening", 30)
    yield daemon
    house.close()


@pytest.fixture
def service(running):
    """The service with a printer that is ready, and no print going on."""
    if running.get("/api/job")["state"] not in {"Operational", "Connecting", "Opening serial connection"}:
        running.post("/api/connection", {"command": "disconnect"})
        until(lambda: running.get("/api/connection")["current"]["state"] in {"Closed", "Offline"}, "no printer")
        running.post("/api/connection", {"command": "connect"})
    running.until_state("Operational")
    return running


@pytest.fixture
def tab(chromium, service):
    """Makes tabs; they are closed at the end, and must not have had errors."""
    made = []

    def new(**options):
        made.append(Tab(chromium, service, **options))
        return made[-1]

    yield new
    for each in made:
        each.context.close()
    assert [error for each in made for error in each.errors] == []


@pytest.fixture
def part(tmp_path):
    """Makes files of the first lines of the example, with an end."""

    def new(name, lines, *, without=(), instead=""):
        made = head(lines, tmp_path)
        text = made.read_text() + "M104 S0\nM140 S0\nM84\n"
        for each in without:
            text = text.replace(each, instead, 1)
        path = tmp_path / name
        path.write_text(text)
        return path

    return new
