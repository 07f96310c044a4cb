"""What reaches the page late or from elsewhere: an answer, another tab's key, the end of rights, a new connection."""

import json
import re
import socket
import threading
from contextlib import contextmanager

import pytest
from playwright.sync_api import expect

from support.pictures import picture
from support.processes import TOKEN, until
from support.stage import merged

pytestmark = pytest.mark.real_time

SPEED = 1  # nothing is printed

JSON = {"Content-Type": "application/json"}
DESKTOP = {"color_scheme": "light", "viewport": {"width": 1280, "height": 800}}
PRINTING = {
    "printer": {"state": "ready", "text": "Printing"},
    "job": {"state": "printing", "active": True, "file": {"path": "vase.gcode", "name": "vase.gcode", "size": 9}},
}
LARGE = b"G28\nG1 Z0.2 F6000\nM83\n" + b"".join(
    b";LAYER:%d\nG1 Z%.1f\n" % (layer, 0.2 + layer / 5)
    + b"".join(
        b"G1 X%.3f Y%.3f E0.1\n" % (50 + x**3 * 7919 % 90_001 / 1000, 50 + x**3 * 104_729 % 90_007 / 1000)
        for x in range(4000)
    )
    for layer in range(20)
)
"""A file whose toolpath does not fit into the first request."""
SET_VISIBILITY = """state => {
    Object.defineProperty(document, "hidden", {get: () => state === "hidden", configurable: true});
    document.dispatchEvent(new Event("visibilitychange"));
}"""


def new_key(service, name, scope="control"):
    """Return a new key."""
    code = service.request("POST", "/api/pair/codes", json.dumps({"scope": scope}).encode(), JSON)[1]["code"]
    return service.request("POST", "/api/pair", json.dumps({"code": code, "name": name}).encode(), JSON)[1]["key"]


def test_a_tab_takes_over_the_key_that_another_tab_has_stored(new_stage, service):
    old, new = new_key(service, "old"), new_key(service, "new")
    stage = new_stage(**DESKTOP)
    stage.page.goto(stage.root)
    stage.page.evaluate("key => localStorage.setItem('nozzled.key', key)", old)
    stage.page.reload()
    stage.expect_state("Ready")
    stage.page.evaluate(SET_VISIBILITY, "hidden")
    stage.page.clock.fast_forward(31_000)  # the tab closes its socket
    stage.page.evaluate("key => localStorage.setItem('nozzled.key', key)", new)  # another tab has signed out and in
    service.request("DELETE", "/api/keys/old")
    stage.page.evaluate(SET_VISIBILITY, "visible")
    expect(stage.page.locator(".fresh")).to_have_text("Live")
    assert stage.page.evaluate("localStorage.getItem('nozzled.key')") == new
    service.request("DELETE", "/api/keys/new")
    stage.expect_state("This browser is no longer allowed")
    assert stage.page.evaluate("localStorage.getItem('nozzled.key')") is None


def test_the_page_keeps_working_when_its_admin_rights_end_early(new_tab, service):
    """They end with a restart of nozzled, and with "Lock" in another tab."""
    key = new_key(service, "phone")
    tab = new_tab(**DESKTOP)
    tab.page.add_init_script(f"localStorage.setItem('nozzled.key', {json.dumps(key)})")
    tab.page.goto(f"{tab.root}#settings")
    tab.page.get_by_label("Admin key or code").fill(TOKEN)
    tab.button("Unlock").click()
    expect(tab.page.get_by_text("Unlocked for")).to_be_visible()
    assert service.request("DELETE", "/api/stepup", None, {"X-Api-Key": key})[0] == 204
    tab.go("files")
    expect(tab.page.get_by_text("No files yet")).to_be_visible()
    tab.go("settings")
    expect(tab.button("Unlock")).to_be_visible()
    expect(tab.page.locator("main")).not_to_contain_text("not valid")


def test_a_request_that_only_reads_leaves_no_doubt_about_what_was_done(new_stage):
    stage = new_stage(**DESKTOP).open("files")
    stage.expect_state("Ready")
    stage.page.route("**/api/files?*", lambda route: route.abort())
    stage.lose()
    expect(stage.page.locator("main")).to_contain_text("nozzled did not answer.")
    expect(stage.page.locator("main")).not_to_contain_text("may or may not")


def test_a_preset_that_another_browser_chooses_is_shown(new_tab):
    tab, other = new_tab(**DESKTOP).open("settings"), new_tab(**DESKTOP).open("settings")
    for choice in ("mk3s", ""):
        other.page.get_by_role("combobox", name="Printer model").select_option(choice)
        other.button("Use").click()
        expect(tab.page.get_by_role("combobox", name="Printer model")).to_have_value(choice)


def is_post(route):
    return route.request.method == "POST"


def test_what_is_typed_while_settings_are_saved_stays(new_tab):
    page = new_tab(**DESKTOP).open("settings").page
    held = []
    page.route("**/api/settings", lambda route: held.append(route) if is_post(route) else route.continue_())
    name, picture = page.get_by_label("Name of this printer"), page.get_by_label("Address of a single picture")
    name.fill("One")
    card = page.get_by_role("region", name="Name and camera")
    with page.expect_request("**/api/settings"):
        card.get_by_role("button", name="Save").click()
    picture.fill("http://127.0.0.1:8080/snapshot")
    with page.expect_response("**/api/settings"):
        held[0].continue_()
    expect(card.get_by_role("button", name="Save")).to_have_attribute("aria-busy", "false")
    expect(name).to_have_value("One")
    expect(picture).to_have_value("http://127.0.0.1:8080/snapshot")


def test_the_live_picture_begins_again_with_the_connection(new_stage):
    stage = new_stage(**DESKTOP)
    pictures = []

    def show(route):
        pictures.append(route.request.url)
        route.fulfill(status=200, content_type="image/svg+xml", body="<svg xmlns='http://www.w3.org/2000/svg'/>")

    def sign(route):
        route.fulfill(json={"links": {path: path for path in route.request.post_data_json["paths"]}})

    compat = {"stream": "/webcam/?action=stream"}
    camera = {"name": "classic", "displayName": "Camera", "compat": compat, "extras": {}}
    stage.answer("**/api/settings", {"webcam": {"webcams": [camera]}, "temperature": {"profiles": []}})
    stage.page.route("**/api/links", sign)
    stage.page.route("**/webcam/*", show)
    stage.open()
    stage.show(server={"camera": True})
    stage.page.locator(".camera img").wait_for()
    until(lambda: stage.page.wait_for_timeout(50) or pictures, "the picture")
    stage.lose()
    stage.expect_state("Unknown")
    seen = len(pictures)
    stage.show(server={"camera": True})
    stage.page.clock.fast_forward(10_000)
    stage.expect_state("Ready")
    until(lambda: stage.page.wait_for_timeout(50) or len(pictures) > seen, "a new stream")


def test_late_totals_do_not_replace_those_of_a_newer_search(new_stage):
    stage = new_stage(**DESKTOP)
    late = []

    def totals(route):
        if "q=late" in route.request.url:
            late.append(route)
            return
        route.fulfill(json={"by": "month", "totals": [], "all": {"prints": 3, "completed": 3}})

    stage.answer("**/api/history?*", {"jobs": []})
    stage.page.route("**/api/history/totals?*", totals)
    stage.open("history")
    search = stage.page.get_by_label("Search")
    with stage.page.expect_request("**/totals?*q=late*"):
        search.fill("late")
        stage.page.clock.run_for(400)
    with stage.page.expect_response("**/totals?*"):
        search.fill("")
        stage.page.clock.run_for(400)
    late[0].fulfill(json={"by": "month", "totals": [], "all": {"prints": 77, "completed": 7}})
    stage.page.wait_for_timeout(300)
    expect(stage.page.locator(".figures").first).to_contain_text("3 prints")


def test_the_language_chosen_last_counts(new_stage):
    stage = new_stage(**DESKTOP)
    late = []

    def hold(route):
        late.append(route)

    stage.open("settings")
    stage.expect_state("Ready")
    stage.page.route("**/texts_more_de.mjs", hold)
    with stage.page.expect_request("**/texts_more_de.mjs"):
        stage.page.get_by_label("Language").select_option("de")
    stage.page.get_by_label("Language").select_option("en")
    late[0].continue_()
    stage.page.wait_for_timeout(500)
    stage.expect_state("Ready")


def test_a_button_that_is_gone_does_not_complain_about_the_state(new_stage):
    stage = new_stage(**DESKTOP).open()
    stage.expect_state("Ready")
    stage.show(**PRINTING)
    late = []

    def hold(route):
        late.append(route)

    stage.page.route("**/api/job", hold)
    with stage.page.expect_request("**/api/job"):
        stage.button("Pause").click()
    stage.go("files")
    with stage.page.expect_response("**/api/job"):
        late[0].fulfill(status=204)
    stage.page.wait_for_timeout(300)
    stage.go("now")
    stage.button("Pause").wait_for()
    for _ in range(3):  # longer than a button waits for the state
        stage.page.clock.fast_forward(4_000)
        stage.show(**PRINTING)
    stage.page.wait_for_timeout(300)
    stage.expect_state("Printing")
    expect(stage.page.locator("main")).not_to_contain_text("has not changed")


def test_counts_are_true(new_stage):
    """A folder's folders are not files, and one line is not called "lines"."""
    stage = new_stage(**DESKTOP)
    file = {"name": "a.gcode", "path": "parts/old/a.gcode", "type": "machinecode", "size": 1, "date": 1}
    inner = {"name": "old", "path": "parts/old", "type": "folder", "children": [file, {**file, "path": "parts/old/b"}]}
    folders = [inner, {**inner, "name": "new", "path": "parts/new", "children": [{**file, "path": "parts/new/c"}]}]
    outer = {"name": "parts", "path": "parts", "type": "folder", "children": folders}
    stage.answer("**/api/files?*", {"files": [outer], "free": 1, "total": 1})
    stage.open("files")
    expect(stage.page.locator("a.what")).to_contain_text("3 files")
    stage.go("console")
    stage.expect_state("Ready")
    stage.page.get_by_role("log").wait_for()
    stage.send({"console": {"lines": [], "dropped": 1}})
    expect(stage.page.get_by_role("log")).to_contain_text("1 line not shown")


def test_a_toolpath_that_could_not_be_loaded_is_tried_again(new_stage):
    stage = new_stage(**DESKTOP)
    stage.page.route("**/toolpath-of-a-print", lambda route: route.fulfill(status=503, json={"error": "not now"}))
    stage.open().show(**PRINTING, toolpath="toolpath-of-a-print")
    expect(stage.page.locator(".toolpath .empty")).to_have_text("not now")
    stage.page.unroute("**/toolpath-of-a-print")
    stage.page.route("**/toolpath-of-a-print", lambda route: route.fulfill(status=503, json={"error": "still not"}))
    for _ in range(5):  # the connection is not lost meanwhile, which would load everything again
        stage.page.clock.fast_forward(2_200)
        stage.show(**PRINTING, toolpath="toolpath-of-a-print")
    expect(stage.page.locator(".toolpath .empty")).to_have_text("still not")


def test_the_queue_is_the_newer_of_two_answers_in_the_wrong_order(new_stage):
    def queue(revision, name):
        entry = {"id": 1, "name": name, "copies": 1, "done": 0, "notes": "", "material": None, "state": "waiting"}
        bed = {"clear": False, "by": None, "at": None}
        return {"revision": revision, "paused": True, "bed": bed, "waiting": None, "entries": [entry]}

    def answer_later(route):
        waiting.append(route)

    stage, waiting = new_stage(**DESKTOP), []
    stage.page.route("**/api/queue", answer_later)
    stage.open("history").show(queue={"revision": 1, "waiting": "a"})
    stage.page.wait_for_timeout(500)
    stage.show(queue={"revision": 2, "waiting": "b"})
    until(lambda: stage.page.wait_for_timeout(100) or len(waiting) >= 2, "two requests")
    *older, newest = waiting
    newest.fulfill(json=queue(2, "new.gcode"))
    expect(stage.page.locator(".queued b")).to_have_text("new.gcode")
    for each in older:
        each.fulfill(json=queue(1, "old.gcode"))
    stage.page.wait_for_timeout(500)
    expect(stage.page.locator(".queued b")).to_have_text("new.gcode")


def test_the_chart_in_words_leaves_out_a_heater_without_a_temperature(new_stage):
    def answer(route):
        now = stage.page.evaluate("Date.now()") / 1000
        route.fulfill(json={"history": [{"time": now - 5 * each, **heaters} for each in range(120, 0, -1)]})

    stage = new_stage(**DESKTOP)
    heaters = {"tool0": {"actual": 21, "target": 0}, "chamber": {"actual": None, "target": 40}}
    stage.page.route("**/api/printer/temperatures", answer)
    stage.open().show(printer={"heaters": heaters})
    chart = stage.page.locator(".chart svg")
    expect(chart).to_have_attribute("aria-label", re.compile("21, between 21 and 21"))
    expect(stage.page.locator(".chart .line", has_text="Chamber")).to_be_attached()
    assert "Infinity" not in chart.get_attribute("aria-label")


@contextmanager
def streamer():
    """A camera's streamer; yields its address and its connections, of which each has sent two pictures."""
    image = picture("JPEG", 64, 48)
    part = b"--part\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(image), image)
    parts = 2 * part + b"--part\r\n"  # a browser shows a part when the next one begins
    head = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=part\r\n"
    head += b"Transfer-Encoding: chunked\r\n\r\n"
    connections = []

    def serve():
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            connection.recv(65536)
            connection.sendall(head + b"%x\r\n%b\r\n" % (len(parts), parts))
            connections.append(connection)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/stream", connections
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
    for each in connections:
        each.close()


def test_a_stream_that_breaks_off_after_a_picture_is_requested_again(new_stage):
    """Chromium reports no error then, although it no longer has a picture."""
    width = "document.querySelector('.camera img')?.naturalWidth"
    stage = new_stage(**DESKTOP, bypass_csp=True)
    with streamer() as (address, connections):
        camera = {"name": "classic", "displayName": "Camera", "compat": {"stream": address}, "extras": {}}
        stage.answer("**/api/settings", {"webcam": {"webcams": [camera]}, "temperature": {"profiles": []}})
        stage.open().show(server={"camera": True})
        stage.page.wait_for_function(f"{width} === 64")
        connections[0].shutdown(socket.SHUT_RDWR)
        stage.page.wait_for_function(f"{width} === 0")
        for _ in range(5):  # the connection to nozzled is not lost meanwhile
            stage.page.clock.fast_forward(2_200)
            stage.show(server={"camera": True})
        stage.page.wait_for_function(f"{width} === 64")
        expect(stage.page.locator(".camera .warn")).to_have_count(0)
        assert len(connections) == 2


def test_a_layer_that_cannot_be_loaded_is_not_requested_with_every_update(new_stage, service):
    def answer(route):
        part = route.request.headers["range"]
        if part == "bytes=0-65535":
            route.continue_()
        else:
            parts.append(part)
            route.fulfill(status=409, json={"error": "it is being computed"})

    service.upload("large.gcode", len(LARGE), [LARGE])
    toolpath = until(lambda: service.get("/api/files/local/large.gcode").get("toolpath"), "a toolpath")
    stage, parts = new_stage(**DESKTOP), []
    stage.page.route("**/large.gcode/toolpath*", answer)
    late = merged(PRINTING, {"job": {"progress": {"planned": 10**6}}})
    stage.open().show(**late, toolpath=toolpath)
    until(lambda: stage.page.wait_for_timeout(50) or parts, "the last layer")
    seen = len(parts)
    for _ in range(3):
        stage.page.clock.run_for(2_000)
        stage.show(**late, toolpath=toolpath)
    assert len(parts) == seen
    for _ in range(3):
        stage.page.clock.run_for(2_000)
        stage.show(**late, toolpath=toolpath)
    until(lambda: stage.page.wait_for_timeout(50) or len(parts) > seen, "another request")


def findings(*errors):
    return {"gcodeAnalysis": {"errors": errors, "warnings": []}}


def refused(name, *reasons):
    return {"refused": {"path": name, "name": name, "reasons": reasons}}


def test_a_refused_file_is_shown_with_its_own_findings_only(new_stage):
    """Otherwise a tick for one file would force the print of another."""
    stage, late = new_stage(**DESKTOP), []

    def hold(route):
        late.append(route)

    refusal, has_read = stage.page.locator(".refusal"), stage.page.get_by_label("I have read these")
    stage.page.route("**/api/files/local/a.gcode", hold)
    stage.answer("**/api/files/local/b.gcode", findings("b is hot"))
    stage.open().expect_state("Ready")
    stage.show(job=refused("a.gcode", "a is refused"))
    has_read.check()
    stage.show(job=refused("b.gcode", "b is refused"))
    expect(refusal.locator("li")).to_have_text("b is hot")
    expect(has_read).not_to_be_checked()
    with stage.page.expect_response("**/api/files/local/a.gcode"):
        late[0].fulfill(json=findings("a is hot"))
    stage.page.wait_for_timeout(300)
    expect(refusal.locator("li")).to_have_text("b is hot")
    has_read.check()
    stage.page.unroute("**/api/files/local/b.gcode")
    stage.answer("**/api/files/local/b.gcode", findings("b is too large"))
    stage.show(job=refused("b.gcode", "the new b is refused"))  # the file was replaced
    expect(refusal.locator("li")).to_have_text("b is too large")
    expect(has_read).not_to_be_checked()


def test_the_page_connects_again_after_a_clock_was_set(new_stage):
    """A Raspberry Pi without a clock sets its own once it is online."""
    stage = new_stage(**DESKTOP).open()
    stage.expect_state("Ready")
    stage.show(server={"time": stage.page.evaluate("Date.now()") / 1000 - 3600})
    statuses = []
    stage.page.on("response", lambda response: response.url.endswith("/login") and statuses.append(response.status))
    stage.lose()
    stage.show()
    stage.page.clock.fast_forward(10_000)
    until(lambda: stage.page.wait_for_timeout(50) or statuses, "a login")
    assert set(statuses) == {200}


def test_an_unlocked_browser_that_may_only_watch_uploads(new_tab, service):
    key = new_key(service, "watcher", scope="read")
    tab = new_tab(**DESKTOP)
    tab.page.add_init_script(f"localStorage.setItem('nozzled.key', {json.dumps(key)})")
    tab.page.goto(f"{tab.root}#settings")
    tab.page.get_by_label("Admin key or code").fill(TOKEN)
    tab.button("Unlock").click()
    expect(tab.page.get_by_text("Unlocked for")).to_be_visible()
    tab.go("files")
    upload = {"name": "first.gcode", "mimeType": "text/plain", "buffer": b"G28\n"}
    with tab.page.expect_response("**/api/files/local") as answer:
        tab.page.locator("input[type=file]").set_input_files(upload)
    assert answer.value.status == 201
    # the rights end early
    assert service.request("DELETE", "/api/stepup", None, {"X-Api-Key": key})[0] == 204
    tab.page.locator("input[type=file]").set_input_files({**upload, "name": "second.gcode"})
    expect(tab.page.locator("main li", has_text="second.gcode").first).to_contain_text("does not allow this")
    tab.go("settings")
    expect(tab.button("Unlock")).to_be_visible()


def test_the_page_is_in_english_until_other_texts_are_loaded(new_tab):
    tab = new_tab(**DESKTOP)
    tab.context.add_init_script("localStorage.setItem('nozzled.language', 'de')")
    tab.page.route("**/texts_de.mjs", lambda route: route.abort())
    tab.open()
    tab.expect_state("Ready")
    expect(tab.page.locator("#stop")).to_have_text("Stop")
    tab.page.unroute("**/texts_de.mjs")
    tab.go("files")
    tab.expect_state("Bereit")


def test_a_late_answer_to_a_request_for_access_does_not_replace_a_key(new_tab, service):
    tab, polls = new_tab(**DESKTOP), []

    def hold(route):
        polls.append(route)

    tab.page.goto(tab.root)
    tab.page.route("**/plugin/appkeys/request/*", hold)
    tab.button("Ask").click()
    until(lambda: tab.page.wait_for_timeout(50) or polls, "a poll")
    code = service.request("POST", "/api/pair/codes", b"{}", JSON)[1]["code"]
    tab.page.get_by_label("Code").fill(code)
    tab.button("Pair").click()
    tab.expect_state("Ready")
    key = tab.page.evaluate("localStorage.getItem('nozzled.key')")
    polls[0].fulfill(json={"api_key": "of another scope"})
    tab.page.wait_for_timeout(500)
    assert tab.page.evaluate("localStorage.getItem('nozzled.key')") == key
    tab.expect_state("Ready")


def test_a_second_stop_does_not_wait_for_an_answer_after_the_reconnection(new_stage):
    stage, presses = new_stage(**DESKTOP).open(), []

    def hold(route):
        presses.append(route)

    stage.expect_state("Ready")
    stage.page.route("**/api/printer/command", hold)
    notice = stage.page.locator("header .notice")
    for _ in range(2):
        with stage.page.expect_request("**/api/printer/command"):
            stage.page.locator("#stop").click()
    presses[1].fulfill(status=204)
    expect(notice).to_contain_text("was sent")
    with stage.page.expect_event("requestfailed"):
        presses[0].abort()
    stage.page.wait_for_timeout(300)
    expect(notice).to_contain_text("was sent")  # and not that the other one may have been sent
    with stage.page.expect_request("**/api/printer/command"):
        stage.page.locator("#stop").click()
    stage.show(printer={"state": "fault", "error": "emergency stop", "stop": "confirmed"})
    stage.expect_state("Stopped")
    stage.page.wait_for_timeout(500)
    presses[2].fulfill(status=204)
    stage.page.wait_for_timeout(300)
    expect(notice).to_contain_text("The printer confirmed it")
    stage.show()
    stage.expect_state("Ready")
    expect(notice).to_have_count(0)


def test_an_unlocked_browser_sees_the_cameras_own_addresses(new_stage):
    camera = {"streamUrl": "/webcam/?action=stream", "cameras": []}
    shared = {"appearance": {"name": ""}, "temperature": {"profiles": []}, "webcam": camera}
    stage = new_stage(**DESKTOP)
    is_admin = []

    def answer(route):
        own = {"nozzled": {"webcam": {**camera, "streamUrl": "http://127.0.0.1:8080/stream"}}}
        route.fulfill(json={**shared, **(own if is_admin else {})})

    def log_in(route):
        route.fulfill(json={"name": "phone", "session": "s", "permissions": ["PRINT"]})

    def unlock(route):
        is_admin.append(True)
        route.fulfill(json={"key": "k", "expires": 900})

    stage.page.route("**/api/settings", answer)
    stage.page.route("**/api/login", log_in)
    stage.page.route("**/api/stepup", unlock)
    stage.open("settings")
    address = stage.page.get_by_label("Address of the live picture")
    expect(address).to_have_value("/webcam/?action=stream")
    stage.page.get_by_label("Admin key or code").fill(TOKEN)
    stage.button("Unlock").click()
    expect(address).to_have_value("http://127.0.0.1:8080/stream")


def test_devices_are_not_said_to_be_missing_before_they_are_loaded(new_stage):
    stage, late = new_stage(**DESKTOP), []

    def hold(route):
        late.append(route)

    stage.page.route("**/api/keys", hold)
    stage.open("settings")
    stage.expect_state("Ready")
    devices = stage.page.get_by_role("region", name="Devices")
    until(lambda: stage.page.wait_for_timeout(50) or late, "a request")
    expect(devices).not_to_contain_text("No device")
    expect(devices.get_by_role("button")).to_have_count(1)  # and not that to sign out an unknown browser
    late[0].abort()
    expect(devices).to_contain_text("nozzled did not answer")
    stage.page.unroute("**/api/keys")
    stage.answer("**/api/keys", {"keys": [{"name": "phone", "scope": "read", "own": True}]})
    stage.lose()
    stage.show()
    stage.page.clock.fast_forward(6_000)
    expect(devices).to_contain_text("phone")


BROKEN_OFF = """() => {
    const real = window.fetch;
    const body = signal => new ReadableStream({
        start: controller => signal.addEventListener("abort", () => controller.error(signal.reason)),
    });
    window.fetch = async (path, options) =>
        path === "api/keys" ? new Response(body(options.signal)) : real(path, options);
}"""
"""An answer that begins and does not end."""


def test_an_answer_that_breaks_off_is_not_waited_for_without_an_end(new_stage):
    stage = new_stage(**DESKTOP).open()
    stage.expect_state("Ready")
    stage.page.evaluate(BROKEN_OFF)
    stage.go("settings")
    devices = stage.page.get_by_role("region", name="Devices")
    devices.wait_for()
    for _ in range(31):  # the connection is not lost meanwhile
        stage.page.clock.run_for(2_000)
        stage.show()
    expect(devices).to_contain_text("nozzled did not answer")


def test_a_picture_gets_a_new_address_after_the_old_one_was_refused(new_stage):
    """Addresses are signed by a process: with its end they become invalid."""
    stage, signed = new_stage(**DESKTOP), []

    def sign(route):
        signed.append(f"/downloads/thumbnails/{len(signed)}.png")
        route.fulfill(json={"links": dict.fromkeys(route.request.post_data_json["paths"], signed[-1])})

    def show(route):
        is_old = route.request.url.endswith("/0.png")
        route.fulfill(status=403) if is_old else route.fulfill(content_type="image/png", body=picture("PNG", 8, 8))

    file = {"name": "a.gcode", "path": "a.gcode", "type": "machinecode", "size": 1, "date": 1, "thumbnail": "t.png"}
    stage.answer("**/api/files?*", {"files": [file], "free": 1, "total": 1})
    stage.page.route("**/api/links", sign)
    stage.page.route("**/downloads/thumbnails/*", show)
    stage.open("files")
    until(lambda: stage.page.wait_for_timeout(50) or signed, "an address")
    for _ in range(2):
        stage.page.wait_for_timeout(300)
        stage.page.clock.run_for(2_000)
    stage.page.wait_for_function("document.querySelector('.file img')?.naturalWidth === 8")
    assert len(signed) == 2


def test_the_details_of_a_file_that_was_replaced_are_loaded_again(new_stage):
    stage, layers = new_stage(**DESKTOP), []

    def answer(route):
        layers.append(route.request.url)
        rows = [{"duration_s": 5 * len(layers), "height": 0.2, "z": each} for each in (1, 2)]
        route.fulfill(json={"layers": rows})

    file = {"name": "a.gcode", "path": "a.gcode", "type": "machinecode", "size": 1, "gcodeAnalysis": {"errors": []}}
    stage.answer("**/api/files?*", {"files": [{**file, "date": 1}], "free": 1, "total": 1})
    stage.page.route("**/api/files/local/a.gcode?*", answer)
    stage.open("files")
    stage.page.locator("button.what").click()
    expect(stage.page.locator(".details")).to_contain_text("takes longest: 5 s")
    stage.page.unroute("**/api/files?*")
    stage.answer("**/api/files?*", {"files": [{**file, "date": 2}], "free": 1, "total": 1})
    stage.show(**PRINTING)
    expect(stage.page.locator(".details")).to_contain_text("takes longest: 10 s")


def test_the_power_is_not_shown_without_a_connection(new_stage):
    stage = new_stage(**DESKTOP).open()
    device = {"name": "Printer", "on": True, "error": None, "printer": True}
    state = {"devices": [device], "printer": "Printer", "offAt": None, "sensors": {"filament": [], "stop": None}}
    stage.show(companions={"power": {"state": state, "away": False}})
    power = stage.page.get_by_role("region", name="Power")
    expect(power).to_contain_text("Printer: on")
    stage.lose()
    stage.expect_state("Unknown")
    expect(power).not_to_contain_text("Printer: on")
    expect(power).to_contain_text("No connection to nozzled.")


def test_a_printer_with_many_heaters_has_a_chart(new_stage):
    """A function takes a limited number of arguments: half an hour of forty heaters is more."""

    def answer(route):
        now = stage.page.evaluate("Date.now()") / 1000
        heaters = {f"tool{number}": {"actual": 20, "target": 0} for number in range(40)}
        route.fulfill(json={"history": [{"time": now - each, **heaters} for each in range(1790, 0, -1)]})

    stage = new_stage(**DESKTOP)
    stage.page.route("**/api/printer/temperatures", answer)
    stage.open()
    expect(stage.page.locator(".chart .line path").last).to_have_attribute("d", re.compile("L"))


def test_the_print_that_can_be_continued_is_the_last_one(new_stage):
    def lost(number, name):
        job = {"id": number, "name": name, "path": name, "state": "interrupted", "offset": 9, "layersDone": 2}
        return {"jobs": [job]}

    def shown(number):
        last = {"outcome": "interrupted", "reason": "the service was stopped"}
        return {"id": number, "state": "interrupted", "active": False, "last": last}

    def hold(route):
        late.append(route)

    stage, late = new_stage(**DESKTOP), []
    stage.page.route("**/api/history?limit=1", hold)
    stage.open().show(job=shown(1))
    until(lambda: stage.page.wait_for_timeout(300) or late, "a request")
    before = len(late)
    stage.show(job=shown(2))
    until(lambda: stage.page.wait_for_timeout(300) or len(late) > before, "another request")
    late[-1].fulfill(json=lost(2, "new.gcode"))
    expect(stage.page.get_by_role("button", name=re.compile("new.gcode"))).to_be_visible()
    late[0].fulfill(json=lost(1, "old.gcode"))
    stage.page.wait_for_timeout(300)
    expect(stage.page.get_by_role("button", name=re.compile("new.gcode"))).to_be_visible()


def test_a_date_that_no_calendar_has_is_a_dash(new_stage):
    stage = new_stage(**DESKTOP)
    file = {"name": "a.gcode", "path": "a.gcode", "type": "machinecode", "size": 900, "date": 1e14}
    stage.answer("**/api/files?*", {"files": [file], "free": 1, "total": 1})
    stage.open("files")
    expect(stage.page.locator("button.what small").first).to_have_text(re.compile(r"900\sB · \u2013"))
