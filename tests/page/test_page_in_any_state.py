"""The page in any state of the printer: axe finds no fault, and nothing is cut off on a small phone."""

import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from support.axe import faults_of
from support.processes import until

pytestmark = pytest.mark.real_time

SPEED = 1  # nothing is printed: the states are laid over that of an idle printer

DESKTOP = {"color_scheme": "light", "viewport": {"width": 1280, "height": 800}}
PHONE = {"viewport": {"width": 320, "height": 640}, "has_touch": True, "is_mobile": True}
PRINTING = {
    "printer": {"state": "ready", "text": "Printing", "homed": True},
    "job": {
        "state": "printing",
        "active": True,
        "file": {"path": "folder/vase.gcode", "name": "vase.gcode", "size": 3_100_000, "date": 1_795_000_000},
        "progress": {
            "completion": 40.2,
            "time": 4000,
            "left": 4800,
            "origin": "analysis",
            "timeShare": 0.41,
            "layer": 120,
            "layers": 400,
        },
    },
}
NO_PRINTER = {"state": "offline", "text": "Offline", "error": None, "heaters": {}, "position": None, "homed": None}
STATES = {
    "state_offline": {
        "printer": NO_PRINTER,
        "job": {"state": None, "active": False, "file": None, "progress": {}, "last": None},
        "analysis": None,
    },
    "job_printing": PRINTING,
    "job_paused": {
        "printer": {
            **PRINTING["printer"],
            "message": {"text": "Change the filament", "at": 1_795_000_000},
            "prompt": {"text": "Filament is loaded?", "choices": ["Continue", "Load more"]},
            "trouble": "the printer asks for lines again and again; its cable may be bad",
        },
        "job": {**PRINTING["job"], "state": "paused", "pauseReason": "filament ran out", "warning": "line 14 is odd"},
    },
    "state_stopped": {
        "printer": {**NO_PRINTER, "state": "fault", "text": "Error", "error": "emergency stop", "stop": "unconfirmed"},
        "job": {
            "state": "failed",
            "active": False,
            "error": "emergency stop",
            "refused": {
                "path": "hot.gcode",
                "name": "hot.gcode",
                "reasons": ["280 °C, but the profile allows 260 °C (line 14)"],
            },
            "last": {"outcome": "failed", "reason": "emergency stop"},
        },
    },
}
"""States by the name of their text; each is laid over what the service says of a printer that is ready."""

LOST = {
    "id": 7,
    "name": "vase.gcode",
    "path": "vase.gcode",
    "state": "interrupted",
    "ended": 1_795_000_000,
    "reason": "the printer restarted: it has forgotten where it was",
    "lines": 48_210,
    "offset": 1_203_111,
    "filamentLength": 4100.0,
    "layersDone": 118,
}
PROPOSED = {
    "token": "0123456789abcdef",
    "print": {**LOST, "layer": 118},
    "layer": 118,
    "layers": 240,
    "line": 47_893,
    "height": 23.6,
    "top": 23.4,
    "temperatures": {"tool0": 215, "bed": 60},
    "extruded": 4020.5,
    "lift": 5,
    "prime": 5,
    "sequence": ["G21", "G90", "M190 S60", "M109 S215", "G92 Z23.4", "G28 X Y"],
    "warnings": ["scripts.before_start is left out, as it may home Z: M117 hello"],
    "file": "vase-from-layer-118.gcode",
}
ENDS = ("completed", "failed", "cancelled", "interrupted", "printing")
HISTORY = [
    {
        "id": i,
        "name": f"{end}.gcode",
        "path": f"{end}.gcode",
        "state": end,
        "started": 1_795_000_000,
        "printTime": 900,
        "reason": end,
        "notes": "the fan was louder than it used to be",
    }
    for i, end in enumerate(ENDS)
]
SUM = {"prints": 1240, "completed": 1200, "printTime": 4_500_000, "filamentWeight": 12_400.0, "filamentLength": 4.1e6}
TOTALS = {"by": "month", "totals": [{**SUM, "name": "2026-11"}, {**SUM, "name": None}], "all": SUM}
QUEUE = {
    "revision": 1,
    "paused": True,
    "bed": {"clear": False, "by": None, "at": None},
    "waiting": "the bed is not clear",
    "entries": [
        {
            "id": i,
            "name": f"a part with a long name that is {state}.gcode",
            "copies": 3,
            "done": 1,
            "notes": "for the shelf in the hall",
            "material": "PETG black",
            "state": state,
            "reason": "280 °C, but the profile allows 260 °C (line 14)",
        }
        for i, state in enumerate(["printing", "waiting", "refused", "missing", "failed"])
    ],
}
FILLED = {"files": ".file", "history": ".queued ~ .queued", "settings": "option[value=mk3s]"}


PAGE = Path(__file__).parents[2] / "daemon" / "front" / "page"
APP = (PAGE / "app.mjs").read_text()
VIEWS = ["now", *(name for name in re.findall(r"^  (\w+): \(\) => import\(", APP, re.MULTILINE) if name != "access")]
LANGUAGES = {"en": ["texts.mjs", "texts_more.mjs"], "de": ["texts_de.mjs", "texts_more_de.mjs"]}


def faults(stage, view, *, filled=True):
    """Go to a view; return what axe finds there, and whether the view is wider than the screen."""
    stage.go(view)
    if view == "health":
        stage.page.locator(".back").wait_for()
    if view == "now" and stage.page.locator("main progress").count():
        stage.page.locator(".toolpath canvas[aria-label*='%']").wait_for()
    stage.page.locator(f"main > :not(p.empty) {FILLED.get(view, '') if filled else ''}").first.wait_for(
        state="attached"
    )
    return faults_of(stage)


def faults_when_opened(stage, words):
    """Open totals, the form of a queue entry, a file and its layers in 3D; return the faults of each."""
    stage.go("history")
    stage.page.locator(".queued").nth(1).get_by_role("button", name=words["change"]).click()
    stage.page.locator("summary").click()
    expect(stage.page.locator("tbody tr")).to_have_count(2)
    violations = {("opened", "history"): faults_of(stage)}
    stage.go("files")
    stage.page.locator("button.what", has_text="example.gcode").click()
    stage.page.locator(".toolpath canvas[data-layer]").wait_for()
    violations["opened", "files"] = faults_of(stage)
    stage.button(words["toolpath_solid"]).click()
    stage.page.locator(".orbit canvas:not([data-vertices='0'])").wait_for()
    violations["opened", "3d"] = faults_of(stage)
    stage.page.locator("button.what", has_text="example.gcode").click()
    return violations


def test_faults_are_found(new_stage, axe):
    stage = new_stage(**PHONE)
    stage.page.set_content("<html lang=en><title>x</title><main><h1>x</h1><img src=x width=999>")
    stage.page.evaluate(axe)
    nameless, wide = faults_of(stage)
    assert nameless.startswith("image-alt | <img")
    assert wide.endswith("px wide")


@pytest.mark.parametrize(
    ("language", "looks"),
    [("en", DESKTOP), ("de", {**PHONE, "color_scheme": "dark"})],
    ids=["light-desktop", "dark-phone-german"],
)
def test_axe_finds_nothing_and_nothing_is_cut_off(new_stage, axe, running, part, language, looks):
    hot = part("hot.gcode", 60, without=["M104 S215"], instead="M104 S400")
    running.upload("hot.gcode", hot.stat().st_size, [hot.read_bytes()])
    example = part("example.gcode", 1500)
    running.upload("example.gcode", example.stat().st_size, [example.read_bytes()])
    until(lambda: running.get("/api/files/local/example.gcode").get("toolpath"), "its analysis")
    words = dict(
        re.findall(
            r'^  (\w+): "(.*)",$', "".join((PAGE / name).read_text() for name in LANGUAGES[language]), re.MULTILINE
        )
    )
    stage = new_stage(**looks)
    stage.page.add_init_script(f"localStorage.setItem('nozzled.language', '{language}')")
    stage.answer("**/api/files?*", {"files": [], "free": 10**9, "total": 10**9})
    stage.answer("**/api/history?*", {"jobs": []})
    stage.open()
    stage.expect_state(words["state_ready"])
    stage.page.evaluate(axe)
    violations = {}
    stage.show(**STATES["state_offline"])
    stage.expect_state(words["state_offline"])
    violations |= {("empty", view): faults(stage, view, filled=False) for view in VIEWS}
    stage.page.unroute("**/api/files?*")
    stage.answer("**/api/history?*", {"jobs": HISTORY})
    stage.answer("**/api/history/totals?*", TOTALS)
    stage.answer("**/api/queue", QUEUE)
    toolpath = running.get("/api/files/local/example.gcode")["toolpath"]
    for state, changes in STATES.items():
        stage.show(**changes, toolpath=toolpath, queue={"revision": state})
        stage.expect_state(words[state])
        violations |= {(state, view): faults(stage, view) for view in VIEWS}
    stage.show(**PRINTING, toolpath=toolpath)
    stage.expect_state(words["job_printing"])
    violations |= faults_when_opened(stage, words)
    height = stage.page.locator("header").bounding_box()["height"]
    stage.lose()
    stage.expect_state(words["state_unknown"])
    assert abs(stage.page.locator("header").bounding_box()["height"] - height) < 2  # nothing moves under a finger
    violations |= {("lost", view): faults(stage, view) for view in VIEWS}
    assert {key: each for key, each in violations.items() if each} == {}


def test_the_chart_has_the_temperatures_of_the_time_without_a_connection(new_stage):
    def answer(route):
        now = stage.page.evaluate("Date.now()") / 1000
        route.fulfill(json={"history": [{"time": now - 5 * each, **heaters} for each in range(120, 0, -1)]})

    stage = new_stage(**DESKTOP)
    heaters = {"bed": {"actual": 60, "target": 60}}
    line = stage.page.locator(".chart .line path").last
    stage.page.route("**/api/printer/temperatures", answer)
    stage.open()
    stage.show(printer={"heaters": heaters})
    expect(line).to_have_attribute("d", re.compile("L"))
    stage.lose()
    stage.page.clock.fast_forward(120_000)
    stage.show(printer={"heaters": heaters})
    stage.page.clock.fast_forward(10_000)
    stage.expect_state("Ready")
    expect(line).to_have_attribute("d", re.compile("^M[^M]*$"))  # it is not interrupted


def test_axe_finds_nothing_in_dialogs(new_stage, axe):
    stage = new_stage(**PHONE, color_scheme="dark")
    stage.page.goto(stage.root)
    expect(stage.page.get_by_role("heading", name="Welcome to nozzled")).to_be_visible()
    stage.page.evaluate(axe)
    assert faults_of(stage) == []
    stage.open().page.reload()
    stage.expect_state("Ready")
    stage.page.evaluate(axe)
    stage.show(**PRINTING)
    taps = "name => [...document.querySelectorAll('button')].find(each => each.textContent === name)"
    stage.button("Cancel print").click()
    stage.page.get_by_role("dialog").wait_for()
    assert stage.page.evaluate(f"({taps})('Cancel the print').disabled"), "a second tap must not answer the question"
    expect(stage.button("Cancel the print")).to_be_enabled()
    assert faults_of(stage) == []
    stage.page.keyboard.press("Escape")
    before = stage.page.locator("main").bounding_box()
    stage.ask_for_access(app_name="<b>app</b>", remote_address="192.168.1.20", code="K7Q2")
    badge = stage.button("A device asks for access")
    expect(badge).to_be_visible()
    assert stage.page.locator("main").bounding_box() == before  # nothing moves under a finger because someone else asks
    badge.click()
    request = stage.page.get_by_role("dialog", name="A device asks for access")
    expect(request).to_contain_text("<b>app</b> asks for access, from 192.168.1.20.")
    expect(request.get_by_role("button", name="Later")).to_be_focused()
    assert faults_of(stage) == []
    stage.page.keyboard.press("Escape")
    expect(request).to_have_count(0)
    stage.show(**{**PRINTING, "printer": {**NO_PRINTER, "state": "fault", "error": "it was unplugged"}})
    stage.expect_state("Printer is gone")
    expect(stage.page.locator("main")).to_contain_text("the print waits for it")
    expect(stage.page.locator("main")).not_to_contain_text("has ended")
    stage.show(**STATES["state_stopped"])
    stage.page.get_by_label("I have read these").check()
    assert faults_of(stage) == []


def test_earlier_prints_follow_the_print_with_the_id_0(new_stage):
    def answer(route):
        before = parse_qs(urlsplit(route.request.url).query).get("before", [""])[0]
        route.fulfill(json=pages[before])

    first, oldest = {**HISTORY[0], "id": 0}, {**HISTORY[0], "id": -1, "name": "oldest.gcode"}
    pages = {"": {"jobs": [first], "next": 0}, "0": {"jobs": [oldest], "next": None}}
    stage = new_stage(**DESKTOP)
    stage.page.route("**/api/history?*", answer)
    stage.answer("**/api/history/totals?*", TOTALS)
    stage.open()
    stage.go("history")
    stage.button("Show earlier ones").click()
    expect(stage.page.locator("main")).to_contain_text("oldest.gcode")


def test_no_presets_are_shown_if_an_admin_has_removed_them_all(new_stage):
    stage = new_stage(**DESKTOP)
    stage.answer("**/api/settings", {"temperature": {"profiles": []}})
    stage.open()
    stage.expect_state("Ready")
    expect(stage.button("All off")).to_be_visible()
    expect(stage.page.locator(".presets button")).to_have_count(1)


def test_a_lost_print_continues_after_the_user_has_checked_the_part(new_stage, axe):
    stage = new_stage(**PHONE)
    stage.answer("**/api/history?*", {"jobs": [LOST]})
    stage.answer("**/api/resume-at", PROPOSED)
    stage.open()
    stage.expect_state("Ready")
    stage.page.evaluate(axe)
    stage.show(job={**PRINTING["job"], "active": False, "state": "interrupted", "last": {"outcome": "interrupted"}})
    with stage.page.expect_request("**/api/resume-at") as request:
        stage.button("Continue from layer 118… vase.gcode").click()
    assert request.value.post_data_json == {"command": "propose", "print": 7}
    dialog = stage.page.get_by_role("dialog", name="Continue vase.gcode?")
    for text in (
        "It was in layer 118. The printer restarted: it has forgotten where it was. The printer may not",
        "Layer118 / 240",
        "23.60 mm",
        "47,893",
        "Nozzle 215 °C, Bed 60 °C",
        "4.02 m",
        "23.40 mm above the bed",
    ):
        expect(dialog).to_contain_text(text)
    expect(dialog.get_by_role("button", name="Do not print")).to_be_focused()
    assert faults_of(stage) == []
    assert dialog.evaluate("each => each.scrollWidth <= each.clientWidth")
    go_on = dialog.get_by_role("button", name="Print from layer 118 on")
    go_on.click(force=True)
    expect(dialog).to_contain_text("tick that it touches the part")  # not confirmed yet
    dialog.get_by_label("First layer to print").fill("120")
    with stage.page.expect_request("**/api/resume-at") as request:
        dialog.get_by_role("button", name="Show this layer").click()
    assert request.value.post_data_json == {"command": "propose", "print": 7, "layer": 120}
    dialog.get_by_label("The nozzle touches the top of the part").check()
    expect(go_on).to_have_attribute("aria-disabled", "false")
    starts = []

    def hold(route):
        starts.append(route)

    stage.page.route("**/api/resume-at", hold)
    with stage.page.expect_request("**/api/resume-at") as request:
        go_on.click()
    assert request.value.post_data_json == {"command": "start", "token": "0123456789abcdef"}
    stage.page.keyboard.press("Escape")  # too late
    expect(dialog.get_by_role("button", name="Do not print")).to_be_disabled()
    starts[0].fulfill(json={})
    expect(dialog).to_have_count(0)


def test_a_fault_stays_in_view_and_a_target_is_pending_until_the_printer_reports_it(new_stage, axe):
    stage = new_stage(**PHONE)
    stage.open()
    stage.expect_state("Ready")
    stage.page.evaluate(axe)
    halt_text = "the firmware has halted: Heating failed, system stopped! Heater_ID: 0"
    halt = {"at": 1_795_000_000, "text": halt_text, "kind": "not_heating"}
    stage.show(printer={"fault": halt}, job={**PRINTING["job"], "active": False, "state": "failed", "error": halt_text})
    stage.expect_state("Ready, after a fault")
    expect(stage.page.get_by_text(halt_text)).to_have_count(1)
    expect(stage.page.locator("main")).to_contain_text("Switch the printer off, let it cool")
    expect(stage.page.get_by_label("Heat", exact=True)).to_have_count(0)  # no button offers to heat it again
    stage.wait_for_guard()
    stage.button("Print").click()
    expect(stage.page.get_by_role("dialog", name="Print vase.gcode?")).to_contain_text(halt_text)
    assert faults_of(stage) == []
    stage.page.keyboard.press("Escape")
    with stage.page.expect_request("**/api/connection") as request:
        stage.button("I have checked it").click()
    assert request.value.post_data_json == {"command": "seen"}
    at = stage.page.evaluate("Date.now() / 1000 - 37")
    stage.show(printer={"heaters": {"tool0": {"actual": 210.0, "target": 210.0}}, "heatersAt": at})
    expect(stage.page.locator("header .heaters.old")).to_contain_text("210")
    expect(stage.page.locator(".fresh")).to_contain_text("Temperatures are 3")
    stage.go("move")
    ready = {"state": "ready", "heaters": {"tool0": {"actual": 21.0, "target": 0.0}}}
    stage.show(printer=ready)
    stage.page.route("**/api/printer/tool", lambda route: route.fulfill(status=204))
    stage.page.get_by_label("Nozzle", exact=True).fill("50")
    stage.button("Set Nozzle").click()
    stage.page.wait_for_timeout(300)  # the request was accepted, but the printer homes before it heats
    expect(stage.button("Set Nozzle")).to_have_attribute("aria-busy", "true")
    expect(stage.page.get_by_label("Nozzle", exact=True)).to_have_value("50")
    stage.show(printer={**ready, "heaters": {"tool0": {"actual": 21.0, "target": 50.0}}})
    expect(stage.button("Set Nozzle")).to_have_attribute("aria-busy", "false")
    stage.go("now")
    off = {**PRINTING["printer"], "tool": 0, "heaters": {"tool0": {"actual": 120.0, "target": 0.0}}}
    stage.show(**{**PRINTING, "printer": off})
    expect(stage.page.locator("main")).to_contain_text("The nozzle is off during the print")


@pytest.mark.parametrize(
    ("language", "word", "head", "cause", "remedy", "button"),
    [
        (
            "en",
            "Offline after error",
            "No connection to the printer",
            "There is no port /dev/ttyUSB9. There are: serial:/dev/ttyS0.",
            "choose another port",
            "Connect",
        ),
        (
            "de",
            "Getrennt nach Fehler",
            "Keine Verbindung zum Drucker",
            "Diesen Anschluss gibt es nicht: /dev/ttyUSB9. Es gibt: serial:/dev/ttyS0.",
            "anderen Anschluss wählen",
            "Verbinden",
        ),
    ],
)
def test_a_port_that_does_not_exist_is_no_fault_of_the_printer(new_stage, language, word, head, cause, remedy, button):
    stage = new_stage(**PHONE)
    stage.page.add_init_script(f"localStorage.setItem('nozzled.language', '{language}')")
    stage.open()
    error = "There is no port /dev/ttyUSB9. There are: serial:/dev/ttyS0."
    stage.show(printer={**NO_PRINTER, "state": "fault", "text": "Offline after error", "error": error})
    stage.expect_state(word)
    notice = stage.page.locator(".card.notice.bad")
    expect(notice.get_by_role("heading", name=head)).to_be_visible()
    expect(notice).to_contain_text(cause)
    expect(notice).to_contain_text(remedy)
    notice.get_by_role("link", name=button).click()
    expect(stage.page).to_have_url(re.compile("#settings$"))


def test_moves_that_may_hit_a_paused_print_have_to_be_confirmed(new_stage):
    stage = new_stage(**PHONE)
    sent = []
    stage.page.on("request", lambda request: request.method == "POST" and sent.append(request.post_data_json))
    stage.page.route("**/api/printer/**", lambda route: route.fulfill(status=204))
    stage.open("move")
    stage.expect_state("Ready")
    stage.show(**{**STATES["job_paused"], "printer": {**STATES["job_paused"]["printer"], "position": {"z": 7.3}}})
    stage.expect_state("Paused")
    for name, questions in {"Home all axes": 1, "Home Z": 1, "Move Z . by 10": 1, "Move X .": 0}.items():
        sent.clear()
        stage.button(re.compile(name)).last.click()
        question = stage.page.get_by_role("dialog", name="Move the nozzle down, in the middle of the print?")
        expect(question).to_have_count(questions)
        if questions:
            question.get_by_role("button", name="Leave it").click()
            assert sent == []
    stage.go("console")
    for command, questions in {"G92 Z0": 1, "M84": 1, "G1 Z-5": 1, "G1 X5 F3000": 0}.items():
        stage.page.get_by_label("G-code command").fill(command)
        stage.button("Send").click()
        question = stage.page.get_by_role("dialog", name=f"Send {command} into the print?")
        expect(question).to_have_count(questions)
        if questions:
            question.get_by_role("button", name="Do not send").click()
    expect(stage.page.get_by_label("G-code command")).to_have_value("")  # it was sent
    assert sent[-1] == {"command": "G1 X5 F3000"}


def test_tools_that_share_a_nozzle_have_its_temperature(new_stage):
    """With an MMU, the firmware reports one nozzle for all tools."""
    stage = new_stage(**DESKTOP).open("move")
    stage.expect_state("Ready")
    stage.show(printer={"tool": 3, "heaters": {"tool0": {"actual": 210.0, "target": 210.0}}}, profile={"extruders": 5})
    expect(stage.button("Extrude")).to_have_attribute("aria-disabled", "false")
    off = {**PRINTING["printer"], "tool": 3, "heaters": {"tool0": {"actual": 120.0, "target": 0.0}}}
    stage.show(**{**PRINTING, "printer": off})
    stage.go("now")
    expect(stage.page.locator("main")).to_contain_text("The nozzle is off during the print")


def test_more_files_than_the_list_of_uploads_holds_are_all_sent(new_stage):
    stage = new_stage(**DESKTOP).open("files")
    accepted = {"files": {"local": {"path": "part.gcode", "name": "part.gcode"}}}
    stage.page.route("**/api/files/local", lambda route: route.fulfill(status=201, json=accepted))
    stage.answer("**/api/files/local/part.gcode", {"gcodeAnalysis": {"errors": [], "warnings": []}})
    stage.expect_state("Ready")
    files = [{"name": f"{number}.gcode", "mimeType": "text/plain", "buffer": b"G28\n"} for number in range(60)]
    stage.page.locator("input[type=file]").set_input_files(files)
    expect(stage.page.get_by_text("Uploaded and checked: no problems found")).to_have_count(len(files))


def test_a_wrong_number_of_copies_is_refused_with_the_bounds(new_stage):
    stage = new_stage(**DESKTOP)
    stage.answer("**/api/queue", QUEUE)
    stage.open("history")
    stage.page.locator(".queued").nth(1).get_by_role("button", name="Change").click()
    stage.page.get_by_label("Copies").fill("1.5")
    stage.button("Save").click()
    expect(stage.page.get_by_text("Copies: enter a whole number from 2 to 999.")).to_be_visible()


def test_a_print_without_a_record_whose_printer_is_away_can_be_cancelled(new_stage):
    """The core prints without a record, and so without an id, while its disk is full."""
    stage = new_stage(**DESKTOP).open()
    stage.expect_state("Ready")
    gone = {**NO_PRINTER, "state": "fault", "error": "serial:/dev/ttyUSB0 is gone"}
    stage.show(printer=gone, job={**PRINTING["job"], "id": None, "state": "reattaching"})
    stage.expect_state("Printer is gone")
    expect(stage.page.locator(".notice")).to_contain_text("The print continues if the printer is back soon")
    expect(stage.button("Cancel print")).to_have_attribute("aria-disabled", "false")
    stage.answer("**/api/job", {})
    stage.button("Cancel print").click()
    stage.page.get_by_role("button", name="Cancel the print").click()
    expect(stage.page.locator(".notice")).to_contain_text("Cancelled: the print ends")
    stage.show()
    stage.expect_state("Ready")
    stage.show(printer=gone, job={**PRINTING["job"], "id": None, "state": "reattaching"})  # the next print
    expect(stage.page.locator(".notice")).to_contain_text("The print continues if the printer is back soon")
    expect(stage.button("Cancel print")).to_have_attribute("aria-disabled", "false")


def test_the_sentences_about_a_file_are_separated(new_stage):
    stage = new_stage(**DESKTOP)
    prints = {"success": 3, "failure": 0, "last": {"success": True, "date": 1_795_000_000, "printTime": 600}}
    known = {"errors": [], "warnings": []}
    file = {"name": "a.gcode", "path": "a.gcode", "type": "machinecode", "size": 900, "date": 1_795_000_000}
    file |= {"prints": prints, "gcodeAnalysis": known}
    stage.answer("**/api/files?*", {"files": [file], "free": 10**9, "total": 10**9})
    layers = [{"duration_s": seconds, "height": 0.2, "z": seconds / 25} for seconds in (5, 10)]
    stage.answer("**/api/files/local/a.gcode?*", {"layers": layers})
    stage.open("files")
    stage.page.locator("button.what").click()
    details = stage.page.locator(".details")
    expect(details).to_contain_text("takes longest: 10 s. All layers are 0.20 mm high.")
    expect(details).to_contain_text("Printed 3 times; last print completed, ")


def test_a_file_whose_last_print_was_interrupted_is_not_said_to_have_failed(new_stage):
    stage = new_stage(**DESKTOP)
    last = {"success": False, "outcome": "interrupted", "date": 1_795_000_000, "printTime": 600}
    file = {"name": "a.gcode", "path": "a.gcode", "type": "machinecode", "size": 900, "date": 1_795_000_000}
    file |= {"prints": {"success": 0, "failure": 1, "last": last}}
    stage.answer("**/api/files?*", {"files": [file], "free": 10**9, "total": 10**9})
    stage.open("files")
    expect(stage.page.locator("button.what")).to_contain_text("last print interrupted")


def test_letters_of_twice_the_size_leave_room_for_the_view(new_stage):
    stage = new_stage(**PHONE)
    stage.context.new_cdp_session(stage.page).send("Page.setFontSizes", {"fontSizes": {"standard": 32, "fixed": 26}})
    stage.open()
    stage.expect_state("Ready")
    stage.show(**PRINTING)
    for view in ("now", "files", "move", "console", "history", "settings", "health"):
        stage.go(view)
        stage.page.locator("main .card").first.wait_for()
        assert stage.page.evaluate("document.documentElement.scrollWidth") <= PHONE["viewport"]["width"], view
        stage.page.evaluate("scrollTo(0, document.body.scrollHeight)")
        bar, nav = (stage.page.locator(each).bounding_box() for each in (".always", "nav"))
        assert (bar["y"], stage.page.locator("header").bounding_box()["y"] < 0) == (0, True), "Stop alone stays"
        assert bar["height"] + nav["height"] < PHONE["viewport"]["height"] / 3


def test_foreign_text_is_escaped(new_stage):
    evil = "<img src=x onerror=document.title=1><script>document.title=1</script>\u202e&amp;"
    stage = new_stage(**DESKTOP)
    stage.answer("**/api/history?*", {"jobs": [{**each, "name": evil, "reason": evil} for each in HISTORY]})
    entry = {
        "name": evil,
        "path": evil,
        "type": "machinecode",
        "size": 1,
        "date": 1,
        "gcodeAnalysis": {"errors": [evil]},
    }
    stage.answer("**/api/files?*", {"files": [entry], "free": 1, "total": 1})
    stage.answer("**/api/keys", {"keys": [{"name": evil, "scope": "read", "own": False}]})
    stage.open()
    stage.expect_state("Ready")
    stage.ask_for_access(app_name=evil, remote_address=evil, code=evil)
    stop, badge = (each.bounding_box() for each in (stage.page.locator("#stop"), stage.page.locator(".access")))
    assert badge["x"] >= stop["x"] + stop["width"] + 16, "a slip of the finger must not reach Stop"
    printer = {
        "state": "fault",
        "error": evil,
        "firmware": evil,
        "address": evil,
        "heaters": {evil: {"actual": 1, "target": 1}},
        "message": {"text": evil, "at": 1},
        "prompt": {"text": evil, "choices": [evil]},
        "trouble": evil,
        "protection": {"after": None, "reason": evil},
    }
    refused = {"path": evil, "name": evil, "reasons": [evil]}
    job = {**PRINTING["job"], "active": False, "file": {"name": evil}, "error": evil, "refused": refused}
    stage.show(printer=printer, job=job, server={"name": evil, "version": evil}, profile={"name": evil})
    stage.expect_state("Offline after error")
    for view in VIEWS:
        stage.go(view)
        if view != "console":
            expect(stage.page.locator("body")).to_contain_text("<img src=x")
        assert stage.page.locator("img:not([src^=blob]):not([src^=downloads]), body script, main i").count() == 0
    assert "\u202e" not in stage.page.locator("body").inner_text()
    assert stage.page.title() != "1"


@pytest.mark.nightly
def test_an_hour_of_messages_does_not_grow_the_heap(new_stage):
    stage = new_stage(**DESKTOP)
    stage.open("console")
    stage.expect_state("Ready")
    stage.show(**PRINTING)
    stage.expect_state("Printing")
    tools = stage.context.new_cdp_session(stage.page)

    def heap():
        for view in ("now", "console"):
            stage.go(view)
        tools.send("HeapProfiler.collectGarbage")
        return tools.send("Runtime.getHeapUsage")["usedSize"] / 1e6

    def minutes(first, last):
        for minute in range(first, last):
            for second in range(60):
                at = 60 * minute + second
                heaters = {"tool0": {"actual": 215 + at % 7 / 7, "target": 215}, "bed": {"actual": 60, "target": 60}}
                progress = {**PRINTING["job"]["progress"], "time": at, "timeShare": at / 10_000, "layer": minute}
                stage.send({"set": {"printer.heaters": heaters, "job.progress": progress}})
                stage.add_to_console([[">", at, f"N{at * 9 + i} G1 X{at % 200}.{i} Y{i} E.0313*88"] for i in range(9)])
                stage.page.clock.run_for(1000)

    minutes(0, 31)  # until every buffer is full: half an hour of temperatures
    before = heap()
    minutes(31, 92)
    assert heap() - before < 2
    assert stage.page.get_by_role("log").locator("div").count() <= 1000


NOTIFY = {
    "classes": {"done": True, "failed": True, "cancelled": False, "power": True},
    "targets": [{"name": "phone", "kind": "tgram"}],
    "results": [
        {"target": "phone", "kind": "failed", "what": "failed", "date": 1_764_000_000, "tries": 3, "reason": "401",
         "over": True, "text": "given up after 3 attempts: 401"},
        {"target": "phone", "kind": "done", "what": "done", "date": 1_764_000_000, "tries": 1, "reason": None,
         "over": True, "text": "sent"},
    ],
    "problem": None,
    "spoolman": {
        "away": "Spoolman did not answer within 10 s",
        "owed": 1500,
        "tools": [{"tool": 0, "id": 3, "spool": None}, {"tool": 1, "id": None, "spool": None}],
    },
}  # fmt: skip
SPOOL = {"id": 7, "name": "Galaxy Black", "material": "PLA", "vendor": "Prusament", "left_weight": 812.4}


@pytest.mark.nightly
def test_settings_show_messages_and_spools_if_they_are_switched_on(new_stage, axe):
    stage = new_stage(**PHONE)
    requests = []

    def answer(route):
        requests.append(route.request.post_data_json)
        answers = {"spools": {"spools": [SPOOL]}, "test": {"results": NOTIFY["results"][:1], "waiting": ["mail"]}}
        body = answers.get(requests[-1]["do"])
        route.fulfill(json=body) if body is not None else route.fulfill(status=204)

    stage.page.route("**/api/companions/notify/ask", answer)
    stage.open()
    stage.expect_state("Ready")
    stage.show(companions={"notify": {"state": NOTIFY, "away": False}})
    stage.go("settings")
    stage.page.get_by_label("A print was cancelled").check()
    stage.button("Send a test").click()
    expect(stage.page.get_by_text("mail: no answer yet")).to_be_visible()
    expect(stage.page.locator("main")).to_contain_text("given up after 3 tries: 401")
    with stage.page.expect_request("**/ask"):
        stage.page.get_by_role("combobox", name=re.compile("^T1")).select_option("7")
    expect(stage.page.locator("main")).to_contain_text("24 Nov 2025")
    expect(stage.page.locator("main")).to_contain_text("1.5 m have not been reported to Spoolman yet")
    warning = "T0 needs 4.2 m, but spool 3 (Galaxy Black) has 3.4 m left"
    file = {"name": "a.gcode", "path": "a b/a.gcode", "size": 1, "date": 1, "user": None, "origin": "local"}
    stage.answer("**/api/files/local/a%20b/a.gcode", {"gcodeAnalysis": {"warnings": [warning, "another one"]}})
    stage.show(companions={"notify": {"state": NOTIFY, "away": False}}, job={"file": file})
    stage.go("now")
    stage.button("Print").click()
    question = stage.page.get_by_role("dialog")
    expect(question).to_contain_text(f"{warning}.")
    expect(question).not_to_contain_text("another one")
    stage.page.keyboard.press("Escape")
    stage.go("settings")
    assert {"do": "choose", "with": {"classes": {"cancelled": True}}} in requests
    assert {"do": "spool", "with": {"tool": 1, "spool": 7}} in requests
    stage.page.evaluate(axe)
    assert faults_of(stage) == []


POWER = {
    "devices": [
        {"name": "Printer", "on": True, "error": None, "printer": True},
        {"name": "lamp", "on": None, "error": "lamp does not answer: connection refused", "printer": False},
    ],
    "printer": "Printer",
    "on": True,
    "connects": False,
    "auto": True,
    "offAt": None,
    "waits": None,
    "sensors": {"filament": [{"name": "left", "present": False}], "stop": {"pushed": False, "confirmed": None}},
}


@pytest.mark.nightly
def test_now_switches_the_power_and_announces_that_it_goes_off(new_stage, axe):
    stage = new_stage(**PHONE)
    requests = []

    def answer(route):
        requests.append(route.request.post_data_json)
        if requests[-1] == {"do": "off", "with": {"device": "Printer"}}:
            error = 'the printer is busy (Printing): Printer stays on. Send "force": true to switch it off anyway'
            route.fulfill(status=409, json={"error": error})
            return
        if requests[-1]["do"] == "off":
            stage.show(companions={"power": {"state": {**POWER, "devices": [off], "on": False}, "away": False}})
        if requests[-1]["do"] == "cancel":
            stage.show(companions={"power": {"state": POWER, "away": False}})
        route.fulfill(status=200, json={})

    off = {**POWER["devices"][0], "on": False}
    stage.page.route("**/api/companions/power/ask", answer)
    stage.open()
    stage.expect_state("Ready")
    soon = stage.page.evaluate("Date.now() / 1000") + 30
    stage.show(companions={"power": {"state": {**POWER, "offAt": soon}, "away": False}})
    main = stage.page.locator("main")
    expect(main).to_contain_text("Printer is idle and cold, and will be switched off soon.")
    expect(main).to_contain_text("lamp: unknown lamp does not answer: connection refused")
    expect(main).to_contain_text("Filament sensor left: no filament")
    expect(main).to_contain_text("The stop button is ready.")
    stage.page.evaluate(axe)
    assert faults_of(stage) == []
    stage.button("Keep it on").click()
    expect(main).not_to_contain_text("will be switched off soon")
    stage.button("Switch off: Printer").click()
    dialog = stage.page.get_by_role("dialog")
    expect(dialog).to_contain_text("the printer is busy (Printing): Printer stays on. A print in progress is lost")
    stage.wait_for_guard()
    dialog.get_by_role("button", name="Switch it off").click()
    expect(stage.button("Switch on: Printer")).to_be_visible()
    assert requests[-1] == {"do": "off", "with": {"device": "Printer", "force": True}}
    stage.show(companions={"power": {"state": None, "away": True}})
    expect(main).to_contain_text("sudo systemctl enable --now nozzled-power")


def test_an_error_in_one_part_leaves_the_others(new_stage):
    stage = new_stage(**DESKTOP).open()
    stage.expect_state("Ready")
    stage.show(**{**PRINTING, "companions": {"power": {"state": {"on": True}, "away": False}}})  # no devices
    expect(stage.page.get_by_role("alert").filter(has_text="This part of the page cannot be shown")).to_be_visible()
    assert len(stage.errors) == 1
    stage.errors.clear()
    expect(stage.button("Pause")).to_be_visible()
    stage.show(**{**PRINTING, "companions": {"power": {"state": POWER, "away": False}}})
    stage.button("Try again").click()
    expect(stage.page.locator("main")).to_contain_text("The stop button is ready.")
    broken = {"name": "parts", "type": "folder", "children": []}  # no path
    stage.answer("**/api/files?*", {"files": [broken], "free": 1, "total": 1})
    stage.go("files")
    expect(stage.page.get_by_role("alert").filter(has_text="This part of the page cannot be shown")).to_be_visible()
    stage.errors.clear()
    stage.go("console")
    expect(stage.page.get_by_role("log")).to_be_visible()


def test_a_refused_choice_is_not_shown_as_made(new_stage):
    stage = new_stage(**DESKTOP)

    def answer(route):
        is_list = route.request.post_data_json["do"] == "spools"
        route.fulfill(**({"json": {"spools": [SPOOL]}} if is_list else {"status": 409, "json": {"error": "not now"}}))

    stage.page.route("**/api/companions/notify/ask", answer)
    stage.open("settings")
    stage.expect_state("Ready")
    stage.show(companions={"notify": {"state": NOTIFY, "away": False}})
    box = stage.page.get_by_label("A print was cancelled")
    box.click()
    expect(stage.page.get_by_role("region", name="Messages")).to_contain_text("not now")
    expect(box).not_to_be_checked()
    spool = stage.page.get_by_role("combobox", name=re.compile("^T1"))
    spool.select_option("7")
    expect(stage.page.get_by_role("region", name="Spools")).to_contain_text("not now")
    expect(spool).to_have_value("")


def test_power_that_stays_on_because_the_user_said_so_is_no_failure(new_stage):
    stage = new_stage(**DESKTOP)
    error = 'the printer is busy (Printing): Printer stays on. Send "force": true to switch it off anyway'
    stage.page.route("**/api/companions/power/ask", lambda route: route.fulfill(status=409, json={"error": error}))
    stage.open()
    stage.expect_state("Ready")
    stage.show(companions={"power": {"state": POWER, "away": False}})
    switch = stage.button("Switch off: Printer")
    switch.click()
    stage.page.get_by_role("dialog").get_by_role("button").first.click()
    expect(switch).to_have_attribute("aria-busy", "false")
