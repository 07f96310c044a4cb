"""`make pictures`: takes the pictures of both pages, a printer's and the farm's, in docs/images.

The service is real and its printer is simulated. Values that differ from run to run are replaced by fixed ones, so
that a picture changes only if the page does.
"""

import json
import math
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from conftest import PageService
from support.chromium import launch_options
from support.farm_page import furnished
from support.processes import EXAMPLE
from support.stage import Stage

FOLDER = Path(__file__).parents[2] / "docs" / "images"
MAX_BYTES = 100_000  # of a picture
NOW = 1_795_880_520  # the Unix time in every picture, in s
DESKTOP = {"viewport": {"width": 1100, "height": 700}}
TALL = {"viewport": {"width": 1100, "height": 880}}
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
FARM = {"viewport": {"width": 1000, "height": 700}}
CAMERA = """<body style="margin:0;background:#20262c"><svg viewBox="0 0 640 360">
<rect y="270" width="640" height="90" fill="#39424b"/>
<path d="M150 270h340l40 30H110z" fill="#565f68"/><path d="M250 270v-90h60v50h80v40z" fill="#e07b39"/>
<path d="M0 60h640v18H0z" fill="#4a545e"/><path d="M270 50h70v80l-20 30h-30l-20-30z" fill="#8a949e"/>
<path d="M297 160h16l-5 18h-6z" fill="#c9d1d9"/></svg>"""
PICTURES = {
    "now-dark": ("now", {**TALL, "color_scheme": "dark"}),
    "now-light": ("now", {**TALL, "color_scheme": "light"}),
    "files-light": ("files", {**DESKTOP, "color_scheme": "light"}),
    "control-dark": ("move", {**DESKTOP, "color_scheme": "dark"}),
    "console-dark": ("console", {**DESKTOP, "color_scheme": "dark"}),
    "settings-light": ("settings", {"viewport": {"width": 1100, "height": 600}, "color_scheme": "light"}),
    "now-phone": ("now", {**PHONE, "color_scheme": "light"}),
    "control-phone": ("move", {**PHONE, "color_scheme": "dark"}),
}
STATE = {
    "printer": {
        "address": "serial:/dev/serial/by-id/usb-Printer-if00",
        "baudrate": 115200,
        "firmware": "Marlin 2.1.2.4",
        "heaters": {"tool0": {"actual": 214.6, "target": 215.0}, "bed": {"actual": 60.1, "target": 60.0}},
        "position": {"x": 104.2, "y": 96.8, "z": 5.55},
        "fan": 1.0,
        "feed": 1.0,
        "flow": 0.97,
        "protection": {"after": 90, "reason": None},
    },
    "job": {
        "state": "printing",
        "active": True,
        "progress": {
            "completion": 40.6,
            "time": 2466,
            "left": 3540,
            "origin": "analysis",
            "timeShare": 0.41,
            "planned": 500,
            "pace": None,
            "layer": 27,
            "layers": 99,
        },
    },
    "profile": {"name": "i3", "width": 250, "depth": 210, "height": 210},
    "link": {"sent": 12_400, "acknowledged": 12_396, "resends": 0, "timeouts": 0},
}


KEYS = [
    {"name": "Firefox on Linux", "scope": "admin", "made": NOW - 9e6, "used": NOW - 60, "own": True},
    {"name": "Chrome on Android", "scope": "control", "made": NOW - 8e6, "used": NOW - 4000, "own": False},
    {"name": "PrusaSlicer", "scope": "control", "made": NOW - 8e6, "used": NOW - 90000, "own": False},
]
WAIT = {
    "now": "main:has(.toolpath canvas[aria-label^=Layer]) .chart .line",
    "files": ".file",
    "console": ".log .got",
    "settings": "option[value=mk3s]",
}
TALK = """> N8120 G1 X104.2 Y96.8 E0.0313*88
< ok
> N8121 G1 X103.917 Y97.266 E0.0313*109
< ok
<  T:214.63 /215.00 B:60.08 /60.00 @:71 B@:33
> N8122 G1 X103.5 Y97.614 E0.0311*93
< ok
> N8123 M106 S255*103
< ok"""
FILES = [
    # name, size, seconds, errors, warnings, last print
    ("benchy.gcode", 3_412_000, 5420, [], [], True),
    ("bracket left.gcode", 1_208_000, 8730, [], ["the bed stays at 80 °C at the end"], None),
    ("cube20.gcode", 179_000, 1260, [], [], True),
    ("hinge.gcode", 842_000, 2900, ["line 14: 320 °C, but the profile allows 300 °C"], [], False),
]


def files() -> list[dict[str, object]]:
    """Return the files that the list shows."""
    folder = {"name": "spare parts", "path": "spare parts", "type": "folder", "children": [{}] * 12}
    return [folder] + [
        {
            "name": name,
            "path": name,
            "type": "machinecode",
            "size": size,
            "date": NOW - 5000 * i - 4000,
            "gcodeAnalysis": {"estimatedPrintTime": seconds, "errors": errors, "warnings": warnings},
            "prints": {"last": {"success": good}} if good is not None else {},
        }
        for i, (name, size, seconds, errors, warnings, good) in enumerate(FILES)
    ]


def history() -> list[dict[str, object]]:
    """Return the temperatures of half an hour: cold, heating up, then steady."""
    rows: list[dict[str, object]] = []
    for ago in range(1800, 0, -5):
        since = 1500 - ago
        nozzle = 22 + 193 * min(1.0, max(0.0, since / 110)) + math.sin(ago / 7) * 0.6
        bed = 22 + 38 * min(1.0, max(0.0, since / 240)) + math.sin(ago / 11) * 0.2
        targets = (215.0, 60.0) if since > 0 else (0.0, 0.0)
        heaters = {"tool0": {"actual": nozzle, "target": targets[0]}, "bed": {"actual": bed, "target": targets[1]}}
        rows.append({"time": NOW - ago, **heaters})
    return rows


def take(browser: Browser, service: PageService, name: str, view: str, options: dict[str, object]) -> None:
    """Take one picture."""
    stage = Stage(browser, service, **options)
    stage.page.clock.set_system_time(NOW)
    stage.answer("**/api/printer/temperatures", {"history": history()})
    stage.answer("**/api/files?*", {"files": files(), "free": 21 * 10**9, "total": 32 * 10**9})
    stage.answer("**/api/keys", {"keys": KEYS})
    stage.show(**STATE, server={"time": NOW})
    stage.open(view)
    stage.expect_state("Printing")
    stage.add_to_console([[line[0], NOW, line[2:]] for line in TALK.splitlines()])
    stage.page.locator(WAIT.get(view, "main .card")).first.wait_for(state="attached")
    stage.page.wait_for_timeout(2500)  # for what the page loads later; the chart is redrawn every 2 s
    save(stage.page, FOLDER / f"page-{name}.png")
    stage.context.close()


def take_farm(browser: Browser) -> None:
    """Take the picture of a farm; its server and list are real, its printers are data."""
    with tempfile.TemporaryDirectory() as folder:
        farm = furnished(Path(folder), NOW)
        try:
            farm.printers.picture = browser_drawn(browser)
            context = browser.new_context(locale="en-GB", color_scheme="light", **FARM)
            context.add_init_script(f"localStorage.setItem('nozzled.key', {json.dumps(farm.key)})")
            page = context.new_page()
            page.clock.set_system_time(NOW)
            page.goto(f"http://127.0.0.1:{farm.port}/#printers")
            page.locator("li.printer img").wait_for()
            page.wait_for_timeout(500)  # for what the page loads later
            save(page, FOLDER / "farm-light.png")
            context.close()
        finally:
            farm.close()


def browser_drawn(browser: Browser) -> bytes:
    """Return a drawing as the picture of a printer's camera."""
    page = browser.new_page(viewport={"width": 640, "height": 360})
    page.set_content(CAMERA)
    data = page.screenshot(type="jpeg", quality=100)
    page.close()
    return data


def save(page: Page, path: Path) -> None:
    """Write a picture, and check that it is small."""
    page.screenshot(path=path, animations="disabled")
    size = path.stat().st_size
    sys.stdout.write(f"{path.relative_to(Path.cwd())} {size // 1000} kB\n")
    assert size < MAX_BYTES, f"{path} has {size} bytes, more than {MAX_BYTES}"


def main(names: list[str]) -> int:
    """Take the named pictures, or all."""
    FOLDER.mkdir(exist_ok=True)
    chosen = names or [*PICTURES, "farm"]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(**launch_options())
        if "farm" in chosen:
            take_farm(browser)
        if chosen == ["farm"]:
            return 0
        service = PageService(Path(folder), speed=4)
        try:
            service.print_file(EXAMPLE)
            for name in [each for each in chosen if each != "farm"]:
                take(browser, service, name, *PICTURES[name])
        finally:
            service.processes.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
