"""The page in a real browser, used as people use it, against the service as a process."""

import json
import re

import pytest
from playwright.sync_api import expect

from support.browser import stopped
from support.pictures import with_thumbnail
from support.processes import TOKEN, until

pytestmark = pytest.mark.real_time

JSON = {"Content-Type": "application/json"}
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


def test_a_browser_is_paired_and_prints_an_upload(new_tab, service, part):
    link = service.request("POST", "/api/pair/codes", b"{}", JSON)[1]["link"]
    code = link.partition("#")[2]
    assert code.startswith("pair=")
    tab = new_tab()
    tab.page.goto(f"{tab.root}#{code}%")  # with what a chat may add to a link
    tab.expect_state("Ready")
    assert "pair" not in tab.page.url
    key = tab.page.evaluate("localStorage.getItem('nozzled.key')")
    assert key not in {None, TOKEN}

    tab.drop(part("short <b>part<i>.gcode", 60))
    expect(tab.page.get_by_text("no problems found")).to_be_visible()
    tab.button(re.compile("^Print short")).first.click()
    tab.button("Start the print").click()
    expect(tab.page.get_by_text("The last print was completed.")).to_be_visible()
    tab.expect_state("Ready")
    assert service.request("POST", "/api/printer/bed", b'{"command": "target", "target": 40}', JSON)[0] == 204
    expect(tab.page.get_by_text("Still heated: Bed 40 °C.")).to_be_visible()
    assert service.request("POST", "/api/printer/bed", b'{"command": "target", "target": 0}', JSON)[0] == 204
    expect(tab.page.get_by_text("Still heated")).to_have_count(0)
    tab.page.goto(f"{tab.root}#history")
    expect(tab.page.locator(".past").first).to_contain_text("completed")
    assert tab.page.locator("main i").count() == 0  # a name stays text

    again = new_tab()  # a code works once
    again.page.goto(f"{again.root}#{code}")
    expect(again.page.get_by_role("heading", name="Welcome to nozzled")).to_be_visible()


def test_the_first_view_is_light_and_the_modules_also_work_separately(new_tab, service, part):
    service.print_file(part("light.gcode", 4000))
    tab = new_tab()
    sizes_of_first = tab.weigh()
    tab.open()
    expect(tab.page.locator("main progress")).to_be_visible()
    expect(tab.page.locator(".chart .line").first).to_be_visible()
    sizes = sizes_of_first(3)  # seconds; later other views are preloaded
    assert len(sizes) <= 14
    assert 30_000 < sum(sizes) <= 60 * 1024
    tab.page.goto(f"{tab.root}?modules#history")
    tab.expect_state("Printing")
    expect(tab.page.locator("main")).to_contain_text("light.gcode")
    assert len(sizes_of_first(60)) > 30


def test_stop_needs_a_long_press(new_tab, service, part):
    service.print_file(part("stopped.gcode", 4000))
    tab = new_tab(**PHONE)
    tab.page.clock.install()
    tab.open()
    tab.expect_state("Printing")
    expect(tab.page.locator("header")).to_contain_text(re.compile(r"\d+ °C"))
    tab.hold("#stop", 0.3)
    expect(tab.page.get_by_text("Hold to stop")).to_be_visible()
    tab.page.clock.resume()
    methods = []
    tab.page.on("request", lambda request: methods.append(request.method))
    tab.page.evaluate("document.getElementById('stop').click()")  # a script cannot press it
    tab.page.evaluate("fetch('api/version')")  # what it sends comes later
    assert "GET" in methods
    assert "POST" not in methods
    assert service.state == "Printing"
    tab.hold("#stop", 0.6)
    tab.page.clock.resume()
    tab.expect_state("Stopped")
    expect(tab.page.get_by_text("Stopped. The printer confirmed it.")).to_be_visible()
    expect(tab.page.locator("header")).not_to_contain_text("°C")  # unknown
    tab.button("Reconnect").click()
    tab.expect_state("Ready")


def test_a_refused_file_is_explained_and_printed_after_the_reasons_are_read(new_tab, part):
    tab = new_tab().open("files")
    tab.drop(part("hot.gcode", 60, without=["M104 S215"], instead="M104 S400"))
    entry = tab.page.locator("main li", has_text="hot.gcode").first
    expect(entry).to_contain_text(re.compile(r"400 °C, but the profile allows \d+ °C \(line 14\)"))
    tab.button("Print hot.gcode").first.click()
    refusal = tab.page.get_by_role("dialog", name="hot.gcode was not printed")
    expect(refusal).to_contain_text("line 14")
    assert tab.button("Print anyway, with 1 error").count() == 0
    refusal.get_by_label("I have read these").check()
    tab.button("Print anyway, with 1 error").click()
    expect(refusal).to_have_count(0)
    tab.page.goto(f"{tab.root}#now")
    expect(tab.page.locator("main")).to_contain_text("hot.gcode")
    expect(tab.page.get_by_text(re.compile("The last print (was completed|failed)"))).to_be_visible()


def test_a_silent_service_is_not_shown_as_live(new_tab, service):
    tab = new_tab().open()
    tab.expect_state("Ready")
    tab.page.evaluate("window.same = true")
    with stopped(service):
        expect(tab.page.locator("#banner")).to_contain_text("does not answer")
        expect(tab.page.locator(".heaters.old")).to_be_visible()
    expect(tab.page.locator(".fresh")).to_have_text("Live")
    tab.expect_state("Ready")
    service.restart()
    expect(tab.page.locator(".fresh")).to_have_text("Live")
    tab.expect_state("Ready")
    assert tab.page.evaluate("window.same")  # without a reload


PRESS_RESUME_AT_ONCE = """() => {
    window.pressed = false;
    new MutationObserver((_, observer) => {
        const resume = [...document.querySelectorAll("button")].find(each => each.textContent.trim() === "Resume");
        if (resume) {
            observer.disconnect();
            resume.click();
            window.pressed = true;
        }
    }).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""
"""Within the page: a busy machine may take longer than the 0.5 s for which a new button ignores clicks."""


def test_pause_resume_and_confirmed_cancel_work_by_keyboard_alone(new_tab, service, part):
    data = 3 * part("keys.gcode", None).read_bytes()  # on a busy computer each key takes its time
    service.upload("keys.gcode", len(data), [data])
    tab = new_tab().open()
    tab.expect_state("Ready")
    press = tab.page.keyboard.press
    tab.tab_to("Files")
    press("Enter")
    tab.tab_to("Print keys.gcode")
    press("Enter")
    tab.tab_to("Start the print")
    press("Enter")
    tab.expect_state("Printing")
    assert re.search(r"\d+ % keys .* nozzled", tab.page.title())
    tab.tab_to("Pause")
    tab.page.evaluate(PRESS_RESUME_AT_ONCE)  # which is ignored: that press was meant for Pause
    press("Space")
    tab.expect_state("Paused")
    assert tab.page.evaluate("pressed")
    assert service.state == "Paused"
    expect(tab.button("Resume")).to_be_focused()
    tab.wait_for_guard()
    press("Enter")
    tab.expect_state("Printing")

    tab.tab_to("Cancel print")
    press("Enter")
    question = tab.page.get_by_role("dialog", name="Cancel keys.gcode?")
    expect(question).to_contain_text("cannot be resumed")
    expect(tab.button("Keep printing")).to_be_focused()
    assert tab.page.locator("#stop").is_enabled()  # while a question is open
    press("Escape")
    expect(question).to_have_count(0)
    tab.expect_state("Printing")
    tab.tab_to("Cancel print")
    press("Enter")
    expect(question).to_be_visible()
    service.post("/api/job", {"command": "cancel"})  # by another client
    expect(question).to_have_count(0)  # its subject is over
    service.until_state("Operational")
    service.post("/api/job", {"command": "start"})
    tab.expect_state("Printing")
    tab.tab_to("Cancel print")
    press("Enter")
    tab.tab_to("Cancel the print")
    press("Enter")
    expect(tab.page.get_by_text("The last print was cancelled.")).to_be_visible()
    tab.tab_to("Stop")
    press("Enter")
    tab.expect_state("Stopped")


def test_the_rest_of_a_cancelled_print_is_printed_from_prints(new_tab, service):
    data = cold_layers(0.2, 0.4, 0.6)
    service.upload("part.gcode", len(data), [data])
    service.post("/api/files/local/part.gcode", {"command": "select", "print": True, "force": True})
    second = data.index(b";Z:0.4") + 99
    until(lambda: (service.get("/api/job")["progress"]["filepos"] or 0) > second, "its second layer")
    service.post("/api/job", {"command": "cancel"})
    service.until_state("Operational")
    tab = new_tab().open("history")
    tab.button(re.compile("^Continue .*part.gcode$")).click()
    dialog = tab.page.get_by_role("dialog", name="Continue part.gcode?")
    expect(dialog).to_contain_text("Layer2 / 3")
    dialog.get_by_label("The nozzle touches the top of the part").check()
    tab.wait_for_guard()
    dialog.get_by_role("button", name="Print from layer 2 on").click()
    tab.expect_state("Printing")
    expect(tab.page.locator("main")).to_contain_text("part-from-layer-2.gcode")
    service.post("/api/job", {"command": "cancel"})


def cold_layers(*heights):
    """Return a print that needs no heat and takes about 2 s a layer on this module's printer."""
    moves = "".join(f"G1 X{20 + n % 2 * 9} Y{n / 9:.2f} E0.1 F600\n" for n in range(99))
    layers = "".join(f";LAYER_CHANGE\n;Z:{z}\nG1 Z{z} F600\n{moves}" for z in heights)
    return f"M302 S0\nG28\nG90\nM83\n{layers}".encode()


def test_the_head_is_jogged_and_heated_within_the_rules(new_tab, service):
    tab = new_tab().open("move")
    tab.expect_state("Ready")
    header, position = tab.page.locator("header"), tab.page.locator(".position")
    tab.button("Home all axes").click()
    expect(position).to_contain_text("0.0")
    tab.button("Move X + by 10 mm").click()
    expect(position).to_contain_text("10.0")
    with tab.page.expect_response("**/api/macros") as answer:
        tab.button("Greet").click()
    assert answer.value.ok
    expect(tab.page.locator("main")).not_to_contain_text("refused")
    tab.page.locator(".pad").focus()
    tab.page.keyboard.press("ArrowUp")
    expect(position).to_have_text(re.compile("10.0.*10.0", re.DOTALL))

    field = tab.page.get_by_label("Nozzle", exact=True)
    field.fill("400")
    tab.button("Set Nozzle").click()
    expect(tab.page.get_by_text("Nozzle: enter a number from 0 to 300 °C.")).to_be_visible()
    assert service.get("/api/printer")["temperature"]["tool0"]["target"] == 0
    tab.button(re.compile("^PLA")).click()
    expect(header).to_contain_text(re.compile("→ 2[0-9]{2}"))
    expect(field).to_have_value("400")  # what the user has typed stays
    expect(tab.button("Extrude")).to_be_enabled()
    tab.button("Nozzle: Off").click()
    expect(header).not_to_contain_text(re.compile("→ 2[0-9]{2}"))
    tab.button("All off").click()
    expect(header).not_to_contain_text("→")


def test_an_unplugged_printer_is_shown_and_reconnected(new_tab, service):
    tab = new_tab().open("move")
    tab.expect_state("Ready")
    tab.page.get_by_label("Nozzle", exact=True).fill("250")
    tab.page.keyboard.press("Enter")
    tab.expect_state("Offline after error")
    expect(tab.page.locator("header")).not_to_contain_text("°C")  # unknown
    tab.go("now")
    expect(tab.page.locator("main")).to_contain_text("was unplugged")
    tab.go("settings")
    tab.button("Connect").click()
    tab.expect_state("Ready")
    expect(tab.page.locator("header")).to_contain_text(re.compile(r"\d+ °C"))


def test_the_console_shows_sends_filters_and_keeps_a_refused_command(new_tab):
    tab = new_tab().open("console")
    tab.expect_state("Ready")
    log, field = tab.page.get_by_role("log"), tab.page.get_by_label("G-code command")
    field.fill("M115")
    tab.button("Send").click()
    expect(log).to_contain_text("M115*")
    expect(log).to_contain_text("FIRMWARE_NAME")
    expect(field).to_have_value("")
    field.press("ArrowUp")
    expect(field).to_have_value("M115")
    temperature = log.get_by_text(re.compile(r"\bT:\d"))
    expect(temperature.first).to_be_visible()
    tab.page.get_by_label("temperatures").check()
    expect(temperature).to_have_count(0)

    field.fill("M110 N5")
    field.press("Enter")
    expect(tab.page.get_by_text("would change the line number")).to_be_visible()
    expect(field).to_have_value("M110 N5")


def test_settings_are_stored_and_a_printer_preset_is_used(new_tab, service):
    tab = new_tab(color_scheme="light").open("settings")
    tab.expect_state("Ready")
    tab.page.get_by_role("combobox", name="Printer model").select_option("mk3s")
    tab.button("Use").click()
    limits = tab.page.locator("dl.pairs", has_text="Limits")
    expect(limits).to_contain_text("210 mm")
    tab.page.get_by_role("combobox", name="Printer model").select_option("")
    tab.button("Use").click()
    expect(limits).not_to_contain_text("210 mm")
    tab.page.get_by_label("Theme").select_option("dark")
    tab.page.get_by_label("Language").select_option("de")
    tab.expect_state("Bereit")
    tab.page.reload()
    tab.expect_state("Bereit")
    assert tab.page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_a_revoked_key_ends_the_page_at_once_and_for_good(new_tab, service):
    code = service.request("POST", "/api/pair/codes", b"{}", JSON)[1]["code"]
    name = "<i>phone</i>"
    pairing = service.request("POST", "/api/pair", json.dumps({"code": code, "name": name}).encode(), JSON)[1]
    tab = new_tab()
    tab.page.add_init_script(f"localStorage.setItem('nozzled.key', {json.dumps(pairing['key'])})")
    tab.page.goto(tab.root)
    tab.expect_state("Ready")
    owner = new_tab().open("settings")
    owner.button(f"Revoke {name}").click()
    owner.button("Revoke", exact=True).click()
    expect(owner.page.get_by_text(name)).to_have_count(0)
    tab.expect_state("This browser is no longer allowed")
    urls = []
    tab.page.on("request", lambda request: urls.append(request.url))
    tab.page.on("websocket", lambda socket: urls.append(socket.url))
    tab.page.wait_for_timeout(1200)  # a retry would come after half a second
    assert [url for url in urls if "/page/" not in url] == []


def test_health_describes_the_connection_and_shows_a_fault(new_tab, service, part):
    service.print_file(part("healthy.gcode", 4000))
    tab = new_tab().open("health")
    tab.expect_state("Printing")
    expect(tab.page.locator("main")).to_contain_text(re.compile(r"The printer requested 0 of [\d,]+ lines again"))
    expect(tab.page.locator("main")).to_contain_text(re.compile("The printer (never|may have) had to wait"))
    expect(tab.page.locator("header")).to_contain_text(re.compile("→ 2[0-9]{2}"))
    tab.go("move")
    tab.button("Nozzle: Off").click()  # in the middle of a print
    question = tab.page.get_by_role("dialog", name="Nozzle: off, in the middle of the print?")
    question.get_by_text("Keep it as it is").click()
    assert service.get("/api/printer")["temperature"]["tool0"]["target"] > 0
    tab.go("console")
    field = tab.page.get_by_label("G-code command")
    field.fill("g28 X")
    field.press("Enter")
    tab.page.get_by_role("dialog", name="Send g28 X into the print?").get_by_text("Do not send").click()
    expect(field).to_have_value("g28 X")
    expect(tab.page.get_by_role("log")).not_to_contain_text("28 X")
    tab.go("health")
    tab.page.locator("#stop").click()
    tab.expect_state("Stopped")
    tab.page.reload()
    tab.button(re.compile("^Show ")).first.click()
    expect(tab.page.locator(".recording .log")).to_contain_text("M112")
    with tab.page.expect_download() as fetched:
        tab.button(re.compile("^Download ")).first.click()
    assert fetched.value.suggested_filename.endswith(".jsonl.gz")


def test_several_files_are_moved_into_a_new_folder_inspected_and_deleted(new_tab, service, part):
    for name in ("one.gcode", "two.gcode"):
        data = with_thumbnail("PNG", part(name, 60).read_bytes() + b"; fill_density = 15%\n")
        service.upload(name, len(data), [data])
        until(lambda name=name: service.get(f"/api/files/local/{name}").get("thumbnail"), "its analysis")
    tab = new_tab().open("files")
    picture = tab.page.locator(".file img").nth(1)
    expect(picture).to_have_attribute("src", re.compile("signature="))
    expect(picture).to_have_js_property("naturalWidth", 32)
    tab.button("New folder").click()
    tab.page.get_by_role("textbox", name="New folder").fill("parts")
    tab.button("Create").click()
    expect(tab.page.get_by_text("parts/")).to_be_visible()
    tab.button("Choose several").click()
    tab.page.get_by_label("Choose parts").check()
    tab.button("Add to the queue").click(force=True)  # it says why it is off
    expect(tab.page.get_by_text("Only folders are chosen.")).to_be_visible()
    tab.page.get_by_label("Choose parts").uncheck()
    for name in ("one.gcode", "two.gcode"):
        tab.page.get_by_label(f"Choose {name}").check()
    tab.page.get_by_label("Move to").select_option("parts")
    tab.button("Move").click()
    expect(tab.page.get_by_text("0 chosen")).to_be_visible()
    tab.page.get_by_text("parts/").click()
    expect(tab.page.locator(".file")).to_have_count(2)

    tab.page.locator(".file button.what", has_text="two.gcode").click()
    tab.page.get_by_text("Settings of the slicer").click()
    expect(tab.page.locator(".details .log")).to_contain_text("fill_density = 15%")
    tab.button("Choose several").click()
    tab.button("All").click()
    tab.button("Delete").first.click()
    question = tab.page.get_by_role("dialog", name="Delete 2 entries?")
    expect(question).to_contain_text("parts/one.gcode")
    question.get_by_role("button", name="Delete").click()
    expect(tab.page.locator(".file")).to_have_count(0)
    assert service.request("DELETE", "/api/files/local/parts")[0] == 204


def test_the_first_run_ends_with_a_test_in_the_air(new_tab, service):
    tab = new_tab().open("setup")
    tab.expect_state("Ready")
    expect(tab.page.locator("main")).to_contain_text("A printer answers at sim")
    expect(tab.page.locator("main")).to_contain_text("Marlin")
    tab.button("Run the test").click()
    expect(tab.page.get_by_text("The square is done.")).to_be_visible()
    tab.go("now")
    expect(tab.page.locator("main")).to_contain_text("No printer model is selected")


def test_the_queue_waits_until_the_bed_is_confirmed_clear(new_tab, service, part):
    data = part("queued.gcode", 60).read_bytes()
    service.upload("queued.gcode", len(data), [data])
    answer = service.request(
        "POST", "/api/queue", b'{"command": "bed", "clear": false}', {"Content-Type": "application/json"}
    )
    assert answer[0] == 200
    tab = new_tab().open("files")
    tab.page.locator(".file button.what", has_text="queued.gcode").click()
    tab.button("Add to the queue: queued.gcode").click()
    expect(tab.page.get_by_text("It has been added to the queue: Prints")).to_be_visible()
    tab.page.goto(f"{tab.root}#history")
    expect(tab.page.locator(".queued")).to_contain_text("waiting")
    second = json.dumps({"command": "add", "path": "queued.gcode", "material": "PETG", "notes": "later"}).encode()
    assert service.request("POST", "/api/queue", second, JSON)[0] == 201
    rows = tab.page.locator(".queued")
    expect(rows).to_have_count(2)
    grip, first = rows.nth(1).locator(".grip").bounding_box(), rows.nth(0).bounding_box()
    tab.page.mouse.move(grip["x"] + 20, grip["y"] + 10)
    tab.page.mouse.down()
    tab.page.mouse.move(grip["x"] + 20, first["y"] + 3, steps=3)
    tab.page.mouse.up()
    expect(rows.nth(0)).to_contain_text("PETG")
    tab.button("Move queued.gcode down").first.press("Enter")
    expect(rows.nth(1)).to_contain_text("PETG")
    rows.nth(1).get_by_role("button", name="Change").click()
    rows.nth(1).get_by_label("Notes").fill("for <b>Ada</b>")
    rows.nth(1).get_by_label("Material").fill("ASA")
    tab.button("Save").click()
    expect(rows.nth(1)).to_contain_text(re.compile("ASA.*for <b>Ada</b>", re.DOTALL))
    tab.button("Remove queued.gcode").nth(1).click()
    expect(rows).to_have_count(1)
    tab.button("Confirm that the bed is clear").click()
    question = tab.page.get_by_role("dialog", name="Is the bed clear?")
    expect(question).to_contain_text("queued.gcode starts at once")
    question.get_by_role("button", name="It is clear, start").click()
    expect(tab.page.locator(".past", has_text="queued.gcode").first).to_contain_text("completed")
    expect(tab.page.locator(".queued")).to_have_count(0)
    expect(tab.page.locator("main")).to_contain_text("nothing starts until somebody does")
    tab.page.get_by_label("Search").fill("queued")
    expect(tab.page.locator("main")).to_contain_text("1 print")
    tab.page.locator("summary").click()
    expect(tab.page.get_by_role("row", name=re.compile(r"\w+ 20\d\d 1 1 "))).to_be_visible()
    tab.page.get_by_role("combobox", name="Totals by").select_option("material")
    expect(tab.page.get_by_role("columnheader", name="Material")).to_be_visible()
    with tab.page.expect_download() as fetched:
        tab.button("Save the prints as CSV").click()
    assert fetched.value.suggested_filename == "history.csv"
    assert fetched.value.path().read_text().count("queued.gcode") >= 1
    tab.button("Print again queued.gcode").first.click()
    tab.button("Start the print").click()
    expect(tab.page.get_by_text("The last print was completed.")).to_be_visible()


def test_a_link_with_an_invalid_code_is_refused_with_the_command_for_a_new_one(new_tab):
    tab = new_tab()
    tab.page.goto(f"{tab.root}#pair=AAAA-BBBB-CCCC")
    reason = tab.page.get_by_role("alert").filter(has_text="this code is wrong, used or expired")
    expect(reason).to_contain_text("; nozzled pair makes a new one")
    expect(reason.locator("code")).to_have_text("nozzled pair")


def test_presets_are_changed_after_unlocking(new_tab, service):
    code = service.request("POST", "/api/pair/codes", b"{}", {"Content-Type": "application/json"})[1]["link"]
    tab = new_tab()
    tab.page.goto(f"{tab.root}#{code.partition('#')[2]}")
    tab.expect_state("Ready")
    tab.page.goto(f"{tab.root}#settings")
    presets = tab.page.get_by_role("region", name="Temperature presets")
    presets.get_by_label("Name").last.fill("Silk")
    expect(presets.get_by_role("button", name="Save")).to_have_attribute(
        "title", re.compile("Only an admin may do this")
    )
    expect(tab.button("Use")).to_have_attribute("title", re.compile("Only an admin may do this"))
    tab.page.get_by_label("Admin key or code").fill(TOKEN)
    tab.button("Unlock").click()
    expect(tab.page.get_by_text("Unlocked for")).to_be_visible()
    presets.get_by_role("button", name="Save").click()
    expect(presets.get_by_role("button", name="Save")).to_have_attribute("title", "There is nothing to save.")
    names = [each["name"] for each in service.get("/api/settings")["temperature"]["profiles"]]
    assert names[-1] == "Silk"
    tab.page.goto(f"{tab.root}#move")
    expect(tab.button(re.compile("^Silk"))).to_be_visible()
