"""Other people's clients, unmodified, run whole prints on the simulated printer of a real daemon.

They are installed from the package index; if it cannot be reached, the tests are skipped, and fail in CI.
"""

import re

import pytest
from playwright.sync_api import sync_playwright

from support.chromium import launch_options
from support.foreign import INSTALLING, RUNNING, SCRIPTS, install, run
from support.processes import TOKEN, until

pytestmark = [pytest.mark.slowest, pytest.mark.timeout(INSTALLING + 2 * RUNNING)]

OCTOPRINT = "OctoPrint==1.11.8"
LIBRARIES = ("lib/jquery/jquery.min.js", "lib/lodash.min.js", "lib/sockjs.min.js")
PARTS = ("base", "browser", "job", "files", "printer", "connection", "control", "settings", "socket")
IN_PAGE = """async ([scenario, ...given]) => {
    const source = URL.createObjectURL(new Blob([scenario], { type: "text/javascript" }));
    return (await import(source)).scenario(...given);
}"""


def moves(count, distance):
    return "".join(f"G1 X{n % 2 * distance} F6000\n" for n in range(count))


LONG, SHORT = moves(3000, 100), moves(100, 20)  # fifty minutes, half a minute; the printer is 50 times faster


@pytest.fixture
def start(processes, monkeypatch):
    """Returns a function that starts the daemon. Call it after the installations, which take minutes: it lives for
    `2 * RUNNING` s only.
    """
    monkeypatch.setattr("support.processes.LIFETIME", 2 * RUNNING)
    return lambda: processes.daemon("--printer", "sim?speed=50")


@pytest.fixture
def files(tmp_path):
    paths = tmp_path / "long.gcode", tmp_path / "short.gcode"
    for path, text in zip(paths, (LONG, SHORT), strict=True):
        path.write_text(text)
    return paths


def url(daemon):
    return "http://{}:{}".format(*daemon.address)


@pytest.mark.nightly  # whole prints of clients from a package index; this one and the next two took 35 s
def test_octorest_prints(start, files, tmp_path):
    programs = install(tmp_path / "octorest", "octorest==0.4")
    daemon = start()
    run(programs / "python", SCRIPTS / "octorest_print.py", url(daemon), TOKEN, *files)


@pytest.mark.nightly
def test_pyoctoprintapi_of_home_assistant_prints(start, files, tmp_path):
    programs = install(tmp_path / "pyoctoprintapi", "pyoctoprintapi==0.1.14")
    daemon = start()
    daemon.print_file(files[0])
    daemon.until_state("Printing")
    daemon.post("/api/job", {"command": "cancel"})
    run(programs / "python", SCRIPTS / "pyoctoprintapi_print.py", url(daemon), TOKEN, files[0].name)


@pytest.mark.nightly
def test_octoprint_cli_prints(start, files, tmp_path):
    program = install(tmp_path / "octoprint-cli", "octoprint-cli==3.3.2.post1") / "octoprint-cli"
    daemon = start()
    config = tmp_path / "octoprint-cli.ini"
    config.write_text(
        f"[server]\nServerAddress = {url(daemon)}\nApiKey = {TOKEN}\n"
        "[preferences]\nFormattedText = false\nUpdateCheck = false\n"
        "[print]\nMaxExtruderTemp = 250\nMaxBedTemp = 85\n"
    )

    def cli(*words):
        return run(program, "-c", config, *words)

    daemon.until_state("Operational")
    assert "OctoPrint v1.11" in cli("version")
    for path in files:
        cli("files", "upload", path)
    assert {"long.gcode", "short.gcode"} <= set(re.split(r"[\s/]+", cli("files", "list")))
    cli("print", "select", "long.gcode")
    cli("print", "start")
    daemon.until_state("Printing")
    assert "long.gcode" in cli("print", "status")
    cli("print", "pause")
    daemon.until_state("Paused")
    cli("print", "resume")
    daemon.until_state("Printing")
    cli("print", "cancel")
    daemon.until_state("Operational")
    cli("temp", "bed", "40")
    cli("temp", "status")
    cli("gcode", "M117 hello")
    cli("print", "select", "short.gcode")
    cli("print", "start")
    until(lambda: daemon.get("/api/job")["progress"]["completion"] == 100.0, "the print's end", RUNNING)
    assert "Operational" in cli("connection", "status")
    cli("connection", "disconnect")
    daemon.until_state("Offline")


@pytest.mark.nightly  # the whole OctoPrint, for two requests
def test_octoprints_own_client_for_python_prints(start, tmp_path):
    programs = install(tmp_path / "octoprint", OCTOPRINT)
    daemon = start()
    host, port = daemon.address
    options = ("--apikey", TOKEN, "--host", host, "--port", str(port))
    daemon.until_state("Operational")
    output = run(programs / "octoprint", "client", *options, "get", "/api/version")
    assert "OctoPrint 1.11" in output
    run(programs / "octoprint", "client", *options, "post_json", "/api/printer/command", '{"command": "M117 hello"}')


@pytest.mark.nightly  # 12 s; its requests are tests of their own
def test_octoprints_own_client_for_browsers_prints(start, tmp_path):
    options = launch_options()
    install(tmp_path / "octoprint", "--no-deps", OCTOPRINT)
    [static] = tmp_path.glob("octoprint/lib/python*/site-packages/octoprint/static/js")
    daemon = start()
    daemon.until_state("Operational")
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(**options).new_page(bypass_csp=True)
        page.goto(f"{url(daemon)}/client/octoprint.mjs")  # any page of this origin
        for name in (*LIBRARIES, *(f"app/client/{part}.js" for part in PARTS)):
            page.add_script_tag(path=static / name)
        result = page.evaluate(IN_PAGE, [(SCRIPTS / "octoprint_js.mjs").read_text(), TOKEN, LONG, SHORT])
    assert result["ready"] is result["settings"] is True
    assert result["completion"] == 100.0
    assert result["files"] == ["long.gcode", "parts", "short.gcode"]
    assert result["options"]
    assert result["heard"][:2] == ["connected", "history"]
    assert {"current", "PrintStarted", "PrintPaused", "PrintResumed", "PrintCancelled", "PrintDone"} <= {
        *result["heard"]
    }
    assert "reauthRequired" not in result["heard"]
