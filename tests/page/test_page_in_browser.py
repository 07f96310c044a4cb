"""What people do with the page, in a real browser, against the service as a process."""

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


def test_pair_upload_and_print_to_the_end(tab, service, part):
    link = service.request("POST", "/api/pair/codes", b"{}", JSON)[1]["link"]
    code = link.partition("#")[2]
    assert code.startswith("pair=")
    there = tab()
    there.page.goto(f"{there.root}#{code}%")  # as a chat may have cut it
    there.is_in_state("Ready")
    assert "pair" not in there.page.url
    key = there.page.evaluate("localStorage.getItem('nozzled.key')")
    assert key not in {None, TOKEN}

    there.drop(part("short <b>part<i>.gcode", 60))
    expect(there.page.get_by_text("no problems found")).to_be_visible()
    there.button(re.compile("^Print short")).first.click()
    there.button("Start the print").click()
    expect(there.page.get_by_text("The last print was completed.")).to_be_visible()
    there.is_in_state("Ready")
    assert service.request("POST", "/api/printer/bed", b'{"command": "target", "target": 40}', JSON)[0] == 204
    expect(there.page.get_by_text("Still heated: Bed 40 °C.")).to_be_visible()
    assert service.request("POST", "/api/printer/bed", b'{"command": "target", "target": 0}', JSON)[0] == 204
    expect(there.page.get_by_text("Still heated")).to_have_count(0)
    there.page.goto(f"{there.root}#history")
    expect(there.page.locator(".past").first).to_contain_text("completed")
    assert there.page.locator("main i").count() == 0  # a name is text

    again = tab()  # a code is good once
    again.page.goto(f"{again.root}#{code}")
    expect(again.page.get_by_role("heading", name="Welcome to nozzled")).to_be_visible()


def test_the_first_view_is_light_and_the_modules_work_one_by_one_too(tab, service, part):
    service.print_file(part("light.gcode", 4000))
    there = tab()
    sizes_of_first = there.weigh()
    there.open()
    expect(there.page.locator("main progress")).to_be_visible()
    expect(there.page.locator(".chart .line").first).to_be_visible()
    sizes = sizes_of_first(3)  # seconds, behind which views are loaded that nobody has asked for yet
    assert len(sizes) <= 14
    assert 30_000 < sum(sizes) <= 60 * 1024
    there.page.goto(f"{there.root}?modules#history")
    there.is_in_state("Printing")
    expect(there.page.locator("main")).to_contain_text("light.gcode")
    assert len(sizes_of_first(60)) > 30


def test_stop_takes_a_finger_that_stays(tab, service, part):
    service.print_file(part("stopped.gcode", 4000))
    there = tab(**PHONE).open()
    there.is_in_state("Printing")
    expect(there.page.locator("header")).to_contain_text(re.compile(r"\d+ °C"))
    there.hold("#stop", 0.1)
    expect(there.page.get_by_text("Hold to stop")).to_be_visible()
    there.page.evaluate("document.getElementById('stop').click()")  # no script does it either
    assert service.state == "Printing"
    there.hold("#stop", 0.6)
    there.is_in_state("Stopped")
    expect(there.page.get_by_text("Stopped. The printer confirmed it.")).to_be_visible()
    expect(there.page.locator("header")).not_to_contain_text("°C")  # nobody knows
    there.button("Reconnect").click()
    there.is_in_state("Ready")


def test_a_refused_file_is_explained_and_printed_by_who_has_read_why(tab, part):
    there = tab().open("files")
    there.drop(part("hot.gcode", 60, without=["M104 S215"], instead="M104 S400"))
    entry = there.page.locator("main li", has_text="hot.gcode").first
    expect(entry).to_contain_text(re.compile(r"400 °C, the profile allows \d+ °C \(line 14\)"))
    there.button("Print hot.gcode").first.click()
    refusal = there.page.get_by_role("dialog", name="hot.gcode was not printed")
    expect(refusal).to_contain_text("line 14")
    assert there.button("Print anyway, with 1 error").count() == 0
    refusal.get_by_label("I have read these").check()
    there.button("Print anyway, with 1 error").click()
    expect(refusal).to_have_count(0)
    there.page.goto(f"{there.root}#now")
    expect(there.page.locator("main")).to_contain_text("hot.gcode")
    expect(there.page.get_by_text(re.compile("The last print (was completed|failed)"))).to_be_visible()


def test_a_service_that_says_nothing_is_not_live(tab, service):
    there = tab().open()
    there.is_in_state("Ready")
    there.page.evaluate("window.same = true")
    with stopped(service):
        expect(there.page.locator("#banner")).to_contain_text("does not answer")
        expect(there.page.locator(".heaters.old")).to_be_visible()
    expect(there.page.locator(".fresh")).to_have_text("Live")
    there.is_in_state("Ready")
    service.restart()
    expect(there.page.locator(".fresh")).to_have_text("Live")
    there.is_in_state("Ready")
    assert there.page.evaluate("window.same")  # without a reload


def test_pause_resume_and_cancel_after_a_question_by_keyboard_alone(tab, service, part):
    data = part("keys.gcode", 4000).read_bytes()
    service.upload("keys.gcode", len(data), [data])
    there = tab().open()
    there.is_in_state("Ready")
    press = there.page.keyboard.press
    there.tab_to("Files")
    press("Enter")
    there.tab_to("Print keys.gcode")
    press("Enter")
    there.tab_to("Start the print")
    press("Enter")
    there.is_in_state("Printing")
    assert re.search(r"\d+ % keys .* nozzled", there.page.title())
    there.tab_to("Pause")
    press("Space")
    there.is_in_state("Paused")
    press("Enter")  # at once: it was meant for Pause
    assert service.state == "Paused"
    expect(there.button("Resume")).to_be_focused()
    there.page.wait_for_timeout(600)
    press("Enter")
    there.is_in_state("Printing")

    there.tab_to("Cancel print")
    press("Enter")
    question = there.page.get_by_role("dialog", name="Cancel keys.gcode?")
    expect(question).to_contain_text("cannot be resumed")
    expect(there.button("Keep printing")).to_be_focused()
    assert there.page.locator("#stop").is_enabled()  # whatever is asked
    press("Escape")
    expect(question).to_have_count(0)
    there.is_in_state("Printing")
    there.tab_to("Cancel print")
    press("Enter")
    expect(question).to_be_visible()
    service.post("/api/job", {"command": "cancel"})  # by somebody else
    expect(question).to_have_count(0)  # it was about that print
    service.until_state("Operational")
    service.post("/api/job", {"command": "start"})
    there.is_in_state("Printing")
    there.tab_to("Cancel print")
    press("Enter")
    there.tab_to("Cancel the print")
    press("Enter")
    expect(there.page.get_by_text("The last print was cancelled.")).to_be_visible()
    there.tab_to("Stop")
    press("Enter")
    there.is_in_state("Stopped")


def test_the_rest_of_a_print_that_has_ended_early_is_printed_from_prints(tab, service):
    data = cold_layers(0.2, 0.4, 0.6)
    service.upload("part.gcode", len(data), [data])
    service.post("/api/files/local/part.gcode", {"command": "select", "print": True, "force": True})
    second = data.index(b";Z:0.4") + 99
    until(lambda: (service.get("/api/job")["progress"]["filepos"] or 0) > second, "its second layer")
    service.post("/api/job", {"command": "cancel"})
    service.until_state("Operational")
    there = tab().open("history")
    there.button(re.compile("^Continue .*part.gcode$")).click()
    dialog = there.page.get_by_role("dialog", name="Continue part.gcode?")
    expect(dialog).to_contain_text("Layer2 / 3")
    dialog.get_by_label("The nozzle touches the top of the part").check()
    there.page.wait_for_timeout(600)
    dialog.get_by_role("button", name="Print from layer 2 on").click()
    there.is_in_state("Printing")
    expect(there.page.locator("main")).to_contain_text("part-from-layer-2.gcode")
    service.post("/api/job", {"command": "cancel"})


def cold_layers(*heights):
    """Return a print that needs no heat, of some 2 s a layer on the printer of this module."""
    moves = "".join(f"G1 X{20 + n % 2 * 9} Y{n / 9:.2f} E0.1 F600\n" for n in range(99))
    layers = "".join(f";LAYER_CHANGE\n;Z:{z}\nG1 Z{z} F600\n{moves}" for z in heights)
    return f"M302 S0\nG28\nG90\nM83\n{layers}".encode()


def test_jog_heat_and_what_the_rules_forbid(tab, service):
    there = tab().open("move")
    there.is_in_state("Ready")
    header, position = there.page.locator("header"), there.page.locator(".position")
    there.button("Home all axes").click()
    expect(position).to_contain_text("0.0")
    there.button("Move X + by 10 mm").click()
    expect(position).to_contain_text("10.0")
    there.button("Greet").click()
    expect(there.page.locator("main")).not_to_contain_text("refused")
    there.page.locator(".pad").focus()
    there.page.keyboard.press("ArrowUp")
    expect(position).to_have_text(re.compile("10.0.*10.0", re.DOTALL))

    field = there.page.get_by_label("Nozzle", exact=True)
    field.fill("400")
    there.button("Set Nozzle").click()
    expect(there.page.get_by_text("Nozzle: enter a number from 0 to 300 °C.")).to_be_visible()
    assert service.get("/api/printer")["temperature"]["tool0"]["target"] == 0
    there.button(re.compile("^PLA")).click()
    expect(header).to_contain_text(re.compile("→ 2[0-9]{2}"))
    expect(field).to_have_value("400")  # what somebody types stays
    expect(there.button("Extrude")).to_be_enabled()
    there.button("Nozzle: Off").click()
    expect(header).not_to_contain_text(re.compile("→ 2[0-9]{2}"))
    there.button("All off").click()
    expect(header).not_to_contain_text("→")


def test_a_printer_that_is_unplugged_and_comes_back(tab, service):
    there = tab().open("move")
    there.is_in_state("Ready")
    there.page.get_by_label("Nozzle", exact=True).fill("250")
    there.page.keyboard.press("Enter")
    there.is_in_state("Fault")
    expect(there.page.locator("header")).not_to_contain_text("°C")  # nobody knows
    there.go("now")
    expect(there.page.locator("main")).to_contain_text("was unplugged")
    there.go("settings")
    there.button("Connect").click()
    there.is_in_state("Ready")
    expect(there.page.locator("header")).to_contain_text(re.compile(r"\d+ °C"))


def test_the_console_shows_sends_filters_and_keeps_what_was_refused(tab):
    there = tab().open("console")
    there.is_in_state("Ready")
    log, field = there.page.get_by_role("log"), there.page.get_by_label("G-code command")
    field.fill("M115")
    there.button("Send").click()
    expect(log).to_contain_text("M115*")
    expect(log).to_contain_text("FIRMWARE_NAME")
    expect(field).to_have_value("")
    field.press("ArrowUp")
    expect(field).to_have_value("M115")
    there.page.get_by_label("temperatures").check()
    expect(log).not_to_contain_text("M105")

    field.fill("M110 N5")
    field.press("Enter")
    expect(there.page.get_by_text("would take the line counter away")).to_be_visible()
    expect(field).to_have_value("M110 N5")


def test_settings_are_kept_and_a_printer_preset_is_used(tab, service):
    there = tab(color_scheme="light").open("settings")
    there.is_in_state("Ready")
    there.page.get_by_role("combobox", name="Preset").select_option("mk3s")
    there.button("Use").click()
    limits = there.page.locator("dl.pairs", has_text="Limits")
    expect(limits).to_contain_text("210 mm")
    there.page.get_by_role("combobox", name="Preset").select_option("")
    there.button("Use").click()
    expect(limits).not_to_contain_text("210 mm")
    there.page.get_by_label("Theme").select_option("dark")
    there.page.get_by_label("Language").select_option("de")
    there.is_in_state("Bereit")
    there.page.reload()
    there.is_in_state("Bereit")
    assert there.page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_a_key_that_is_revoked_ends_the_page_at_once_and_asks_no_more(tab, service):
    code = service.request("POST", "/api/pair/codes", b"{}", JSON)[1]["code"]
    name = "<i>phone</i>"
    given = service.request("POST", "/api/pair", json.dumps({"code": code, "name": name}).encode(), JSON)[1]
    there = tab()
    there.page.add_init_script(f"localStorage.setItem('nozzled.key', {json.dumps(given['key'])})")
    there.page.goto(there.root)
    there.is_in_state("Ready")
    owner = tab().open("settings")
    owner.button(f"Revoke {name}").click()
    owner.button("Revoke", exact=True).click()
    expect(owner.page.get_by_text(name)).to_have_count(0)
    there.is_in_state("This browser is no longer allowed")
    asked = []
    there.page.on("request", lambda request: asked.append(request.url))
    there.page.on("websocket", lambda socket: asked.append(socket.url))
    there.page.wait_for_timeout(1200)  # the first try to connect again would come after half a second
    assert [url for url in asked if "/page/" not in url] == []


def test_health_says_how_the_line_does_and_shows_a_fault(tab, service, part):
    service.print_file(part("healthy.gcode", 4000))
    there = tab().open("health")
    there.is_in_state("Printing")
    expect(there.page.locator("main")).to_contain_text(re.compile(r"The printer requested 0 of [\d,]+ lines again"))
    expect(there.page.locator("main")).to_contain_text(re.compile("The printer (never|may have) had to wait"))
    expect(there.page.locator("header")).to_contain_text(re.compile("→ 2[0-9]{2}"))
    there.go("move")
    there.button("Nozzle: Off").click()  # in the middle of a print
    question = there.page.get_by_role("dialog", name="Nozzle: off, in the middle of the print?")
    question.get_by_text("Keep it as it is").click()
    assert service.get("/api/printer")["temperature"]["tool0"]["target"] > 0
    there.go("console")
    field = there.page.get_by_label("G-code command")
    field.fill("g28 X")
    field.press("Enter")
    there.page.get_by_role("dialog", name="Send g28 X into the print?").get_by_text("Do not send").click()
    expect(field).to_have_value("g28 X")
    expect(there.page.get_by_role("log")).not_to_contain_text("28 X")
    there.go("health")
    there.page.locator("#stop").click()
    there.is_in_state("Stopped")
    there.page.reload()
    there.button(re.compile("^Show ")).first.click()
    expect(there.page.locator(".recording .log")).to_contain_text("M112")
    with there.page.expect_download() as fetched:
        there.button(re.compile("^Download ")).first.click()
    assert fetched.value.suggested_filename.endswith(".jsonl.gz")


def test_several_files_are_moved_into_a_new_folder_inspected_and_deleted(tab, service, part):
    for name in ("one.gcode", "two.gcode"):
        data = with_thumbnail("PNG", part(name, 60).read_bytes() + b"; fill_density = 15%\n")
        service.upload(name, len(data), [data])
        until(lambda name=name: service.get(f"/api/files/local/{name}").get("thumbnail"), "its analysis")
    there = tab().open("files")
    picture = there.page.locator(".file img").nth(1)
    expect(picture).to_have_attribute("src", re.compile("signature="))
    expect(picture).to_have_js_property("naturalWidth", 32)
    there.button("New folder").click()
    there.page.get_by_role("textbox", name="New folder").fill("parts")
    there.button("Create").click()
    expect(there.page.get_by_text("parts/")).to_be_visible()
    there.button("Choose several").click()
    for name in ("one.gcode", "two.gcode"):
        there.page.get_by_label(f"Choose {name}").check()
    there.page.get_by_label("Move to").select_option("parts")
    there.button("Move").click()
    expect(there.page.get_by_text("0 chosen")).to_be_visible()
    there.page.get_by_text("parts/").click()
    expect(there.page.locator(".file")).to_have_count(2)

    there.page.locator(".file button.what", has_text="two.gcode").click()
    there.page.get_by_text("Settings of the slicer").click()
    expect(there.page.locator(".details .log")).to_contain_text("fill_density = 15%")
    there.button("Choose several").click()
    there.button("All").click()
    there.button("Delete").first.click()
    question = there.page.get_by_role("dialog", name="Delete 2 entries?")
    expect(question).to_contain_text("parts/one.gcode")
    question.get_by_role("button", name="Delete").click()
    expect(there.page.locator(".file")).to_have_count(0)
    assert service.request("DELETE", "/api/files/local/parts")[0] == 204


def test_the_first_run_ends_with_a_test_in_the_air(tab, service):
    there = tab().open("setup")
    there.is_in_state("Ready")
    expect(there.page.locator("main")).to_contain_text("A printer answers at sim")
    expect(there.page.locator("main")).to_contain_text("Marlin")
    there.button("Run the test").click()
    expect(there.page.get_by_text("The square is done.")).to_be_visible()
    there.go("now")
    expect(there.page.locator("main")).to_contain_text("No printer model is selected")


def test_the_queue_waits_for_the_bed_and_begins_when_somebody_says_so(tab, service, part):
    data = part("queued.gcode", 60).read_bytes()
    service.upload("queued.gcode", len(data), [data])
    told = service.request(
        "POST", "/api/queue", b'{"command": "bed", "clear": false}', {"Content-Type": "application/json"}
    )
    assert told[0] == 200
    there = tab().open("files")
    there.page.locator(".file button.what", has_text="queued.gcode").click()
    there.button("Add to the queue: queued.gcode").click()
    expect(there.page.get_by_text("It has been added to the queue: Prints")).to_be_visible()
    there.page.goto(f"{there.root}#history")
    expect(there.page.locator(".queued")).to_contain_text("waiting")
    second = json.dumps({"command": "add", "path": "queued.gcode", "material": "PETG", "notes": "later"}).encode()
    assert service.request("POST", "/api/queue", second, JSON)[0] == 201
    rows = there.page.locator(".queued")
    expect(rows).to_have_count(2)
    grip, first = rows.nth(1).locator(".grip").bounding_box(), rows.nth(0).bounding_box()
    there.page.mouse.move(grip["x"] + 20, grip["y"] + 10)
    there.page.mouse.down()
    there.page.mouse.move(grip["x"] + 20, first["y"] + 3, steps=3)
    there.page.mouse.up()
    expect(rows.nth(0)).to_contain_text("PETG")
    there.button("Move queued.gcode down").first.press("Enter")
    expect(rows.nth(1)).to_contain_text("PETG")
    rows.nth(1).get_by_role("button", name="Change").click()
    rows.nth(1).get_by_label("Notes").fill("for <b>Ada</b>")
    rows.nth(1).get_by_label("Material").fill("ASA")
    there.button("Save").click()
    expect(rows.nth(1)).to_contain_text(re.compile("ASA.*for <b>Ada</b>", re.DOTALL))
    there.button("Remove queued.gcode").nth(1).click()
    expect(rows).to_have_count(1)
    there.button("The bed is clear").click()
    question = there.page.get_by_role("dialog", name="Is the bed clear?")
    expect(question).to_contain_text("queued.gcode starts at once")
    question.get_by_role("button", name="It is clear, start").click()
    expect(there.page.locator(".past", has_text="queued.gcode").first).to_contain_text("completed")
    expect(there.page.locator(".queued")).to_have_count(0)
    expect(there.page.locator("main")).to_contain_text("nothing starts until somebody does")
    there.page.get_by_label("Search").fill("queued")
    expect(there.page.locator("main")).to_contain_text("1 print")
    there.page.locator("summary").click()
    expect(there.page.get_by_role("row", name=re.compile(r"\w+ 20\d\d 1 1 "))).to_be_visible()
    there.page.get_by_role("combobox", name="Totals by").select_option("material")
    expect(there.page.get_by_role("columnheader", name="Material")).to_be_visible()
    with there.page.expect_download() as fetched:
        there.button("Save the prints as CSV").click()
    assert fetched.value.suggested_filename == "history.csv"
    assert fetched.value.path().read_text().count("queued.gcode") >= 1
    there.button("Print again queued.gcode").first.click()
    there.button("Start the print").click()
    expect(there.page.get_by_text("The last print was completed.")).to_be_visible()


def test_presets_are_changed_by_who_has_unlocked_that(tab, service):
    code = service.request("POST", "/api/pair/codes", b"{}", {"Content-Type": "application/json"})[1]["link"]
    there = tab()
    there.page.goto(f"{there.root}#{code.partition('#')[2]}")
    there.is_in_state("Ready")
    there.page.goto(f"{there.root}#settings")
    presets = there.page.get_by_role("region", name="Temperature presets")
    presets.get_by_label("Name").last.fill("Silk")
    expect(presets.get_by_role("button", name="Save")).to_have_attribute("title", re.compile("Only an admin may do this"))
    expect(there.button("Use")).to_have_attribute("title", re.compile("Only an admin may do this"))
    there.page.get_by_label("Admin key or code").fill(TOKEN)
    there.button("Unlock").click()
    expect(there.page.get_by_text("Unlocked for")).to_be_visible()
    presets.get_by_role("button", name="Save").click()
    expect(presets.get_by_role("button", name="Save")).to_have_attribute("title", "There is nothing to save.")
    names = [each["name"] for each in service.get("/api/settings")["temperature"]["profiles"]]
    assert names[-1] == "Silk"
    there.page.goto(f"{there.root}#move")
    expect(there.button(re.compile("^Silk"))).to_be_visible()
