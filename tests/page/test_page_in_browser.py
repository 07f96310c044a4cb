"""What people do with the page, in a real browser, against the service as a process."""

import re

import pytest
from playwright.sync_api import expect

from support.browser import stopped
from support.processes import TOKEN

pytestmark = pytest.mark.real_time

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


def test_pair_upload_and_print_to_the_end(tab, service, part):
    link = service.request("POST", "/api/pair/codes", b"{}", {"Content-Type": "application/json"})[1]["link"]
    code = link.partition("#")[2]
    assert code.startswith("pair=")
    there = tab()
    there.page.goto(f"{there.root}#{code}")
    there.is_in_state("Ready")
    assert "pair" not in there.page.url
    key = there.page.evaluate("localStorage.getItem('nozzled.key')")
    assert key not in {None, TOKEN}

    there.drop(part("short <b>part<i>.gcode", 60))
    expect(there.page.get_by_text("no problems found")).to_be_visible()
    there.button(re.compile("^Print short")).first.click()
    expect(there.page.get_by_text("The last print was completed.")).to_be_visible()
    there.is_in_state("Ready")
    there.page.goto(f"{there.root}#history")
    expect(there.page.locator(".past").first).to_contain_text("completed")
    assert there.page.locator("main i").count() == 0  # a name is text

    again = tab()  # a code is good once
    again.page.goto(f"{again.root}#{code}")
    expect(again.page.get_by_role("heading", name="Welcome to nozzled")).to_be_visible()


def test_pause_resume_and_cancel_after_a_question(tab, service, part):
    service.print_file(part("long.gcode", 4000))
    there = tab().open()
    there.is_in_state("Printing")
    assert re.search(r"\d+ % long .* nozzled", there.page.title())
    there.button("Pause").click()
    there.is_in_state("Paused")
    there.button("Resume").click()
    there.is_in_state("Printing")

    there.button("Cancel print").click()
    question = there.page.get_by_role("dialog", name="Cancel long.gcode?")
    expect(question).to_contain_text("cannot be continued")
    expect(question.get_by_role("button", name="Keep printing")).to_be_focused()
    assert there.page.locator("#stop").is_enabled()  # whatever is asked
    there.page.keyboard.press("Escape")
    expect(question).to_have_count(0)
    there.is_in_state("Printing")
    there.button("Cancel print").click()
    there.button("Cancel the print").click()
    expect(there.page.get_by_text("The last print was cancelled.")).to_be_visible()


def test_the_first_view_is_light_and_the_modules_work_one_by_one_too(tab, service, part):
    service.print_file(part("light.gcode", 4000))
    there = tab()
    sizes = there.weigh()
    there.open()
    expect(there.page.locator("main progress")).to_be_visible()
    expect(there.page.locator(".chart .line").first).to_be_visible()
    assert len(sizes) <= 14
    assert 30_000 < sum(sizes) <= 60 * 1024
    there.page.goto(f"{there.root}?modules#history")
    there.is_in_state("Printing")
    expect(there.page.locator("main")).to_contain_text("light.gcode")
    assert len(sizes) > 30


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
    there.drop(part("hot.gcode", 60, without=["M104 S215"], instead="M104 S280"))
    entry = there.page.locator("main li", has_text="hot.gcode").first
    expect(entry).to_contain_text("280 °C, the profile allows 260 °C (line 14)")
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
        expect(there.page.locator("#banner")).to_contain_text("does not answer", timeout=9000)
        expect(there.page.locator(".heaters.old")).to_be_visible()
    expect(there.page.locator(".fresh")).to_have_text("Live")
    there.is_in_state("Ready")
    assert there.page.evaluate("window.same")  # without a reload


def test_it_speaks_german_on_the_smallest_phone(tab):
    there = tab(**{**PHONE, "viewport": {"width": 320, "height": 640}}, color_scheme="dark")
    there.page.add_init_script("localStorage.setItem('nozzled.language', 'de')")
    there.open()
    there.is_in_state("Bereit")
    for view in ("now", "files", "move", "console", "history", "settings"):
        there.page.goto(f"{there.root}#{view}")
        expect(there.page.locator("nav [aria-current]")).to_have_attribute("href", f"#{view}")
        if view == "settings":
            there.page.locator("option[value=mk3s]").wait_for(state="attached")
        assert there.page.evaluate("document.documentElement.scrollWidth") == 320, view
