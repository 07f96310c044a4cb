"""The farm's page in a real browser, with the real server and list of jobs; only the printers are simulated data."""

import asyncio
import json
import threading
import time

import pytest
from playwright.sync_api import expect

from daemon.farm.list.job_list import JobList
from daemon.farm.list.values import FileFacts, JobChanges, JobRequest
from daemon.farm.messages import Presence
from support.axe import faults_of
from support.browser import Tab, tabs
from support.farm_page import furnished
from support.processes import until

pytestmark = pytest.mark.real_time

DESKTOP = {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"}
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "color_scheme": "dark"}


class FarmTab(Tab):
    """A tab with the farm's page."""

    def open(self, view="printers", language="en", key=True):
        storage = {"nozzled.language": language, **({"nozzled.key": self.daemon.key} if key else {})}
        self.context.add_init_script(
            f"for (const [name, value] of Object.entries({json.dumps(storage)})) localStorage.setItem(name, value)"
        )
        self.page.goto(f"{self.root}#{view}")
        return self

    def card(self, name):
        return self.page.locator("li.printer", has_text=name)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    farm = furnished(tmp_path_factory.mktemp("farm"), time.time())
    yield farm
    farm.close()


@pytest.fixture
def new_tab(chromium, shared):
    with tabs(FarmTab, chromium, shared) as new:
        yield new


def test_a_room_of_printers_is_operated_from_the_page(new_tab, shared, axe):
    tab = new_tab(**DESKTOP).open(key=False)
    page = tab.page
    page.get_by_label("Key").fill("not-the-key")
    tab.button("Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("does not know this key")
    page.get_by_label("Key").fill(shared.key)
    with page.expect_request("**/printers/mk3-1/picture"):  # the only one with a camera
        tab.button("Sign in").click()
    expect(page.locator("h1")).to_have_text("Print room")
    expect(page.locator(".sums")).to_contain_text("1 needs help")
    expect(tab.card("mk3-1")).to_contain_text("59 min left, done")
    expect(tab.card("mini-2")).to_contain_text("The firmware has halted: Heating failed.")
    page.evaluate(axe)
    assert faults_of(tab) == []
    # the button is pending until the printer confirms that the bed is clear
    tab.card("mk3-4").get_by_role("button", name="Bed is clear").click()
    expect(tab.card("mk3-4")).to_contain_text("Ready")
    tab.card("mini-1").get_by_role("button", name="Resume").click()
    expect(tab.card("mini-1")).to_contain_text("Printing")
    # cancelling asks, and ignores a tap that was meant for what was there before
    tab.card("mk3-1").get_by_role("button", name="Cancel").click()
    dialog = page.get_by_role("dialog", name="Cancel bracket left.gcode?")
    expect(dialog).to_contain_text("41 % is done")
    expect(dialog.get_by_role("button", name="Keep it")).to_be_focused()
    expect(dialog.get_by_role("button", name="Cancel it")).to_be_disabled()
    assert faults_of(tab) == []
    tab.wait_for_guard()
    dialog.get_by_role("button", name="Cancel it").click()
    expect(dialog).to_have_count(0)
    assert [(name, order.verb) for name, order in shared.printers.orders if order.verb != "picture"] == [
        ("mk3-4", "bed_clear"),
        ("mini-1", "resume"),
        ("mk3-1", "cancel"),
    ]
    page.get_by_role("button", name="Away 1").click()
    expect(page.locator("li.printer")).to_have_count(1)
    page.get_by_role("button", name="All 6").click()
    # a user enters the outcome that the printer cannot report
    orphans = page.locator(".orphans")
    expect(orphans).to_contain_text("copy 3 on mk3-2. It was being printed when")
    orphans.get_by_role("button", name="It was finished").click()
    expect(orphans).to_have_count(0)
    assert shared.do(lambda jobs: jobs.count_copies())["done"] == 2


def test_jobs_are_put_in_order_held_changed_and_submitted(new_tab, shared, axe, tmp_path):
    tab = new_tab(**DESKTOP).open("jobs")
    page = tab.page
    names = page.locator(".job-row h2")
    expect(names).to_have_count(3)
    tab.button("Why does it wait?: benchy.gcode").click()
    expect(page.locator(".details")).to_contain_text("has TPU loaded")
    tab.button("Move hinge.gcode up").click()
    expect(names.nth(1)).to_contain_text("hinge.gcode")
    tab.button("Release: hinge.gcode").click()
    expect(tab.button("Hold: hinge.gcode")).to_be_visible()
    tab.button("Edit: benchy.gcode").click()
    page.evaluate(axe)
    assert faults_of(tab) == []
    page.get_by_label("Material").fill("PLA")
    page.get_by_label("Nozzle, mm").fill("0,4")
    tab.button("Save").click()
    expect(page.locator(".job-row", has_text="benchy")).to_contain_text("PLA · 0.4 mm nozzle")
    tab.button("Cancel: benchy.gcode").click()
    dialog = page.get_by_role("dialog", name="Cancel benchy.gcode?")
    expect(dialog).to_contain_text("3 waiting copies will not be printed.")
    tab.wait_for_guard()
    dialog.get_by_role("button", name="Cancel the job").click()
    expect(names).to_have_count(2)

    tab.go("submit")
    good, empty = tmp_path / "<b>vase.gcode", tmp_path / "empty.gcode"
    good.write_text("G28\n")
    empty.write_text("")
    page.locator("#files").set_input_files([good, empty])
    page.get_by_label("Copies").fill("2")
    page.get_by_label("Group").fill("small")
    tab.button("Submit 2 files").click()
    row = page.locator(".submit li")
    expect(row.nth(1)).to_contain_text("the file is empty")
    expect(row.nth(0)).to_contain_text("is job 4")
    assert faults_of(tab) == []
    tab.button("Try again: empty.gcode").click()
    expect(row.nth(1)).to_contain_text("the file is empty")
    job = shared.do(lambda jobs: jobs.job("4"))
    assert (job.name, job.copies, job.group, job.material) == ("<b>vase.gcode", 2, "small", "PLA")

    tab.go("history")
    benchy = page.locator("main .past", has_text="benchy.gcode")
    expect(benchy).to_have_count(3)
    page.get_by_label("State").select_option("done")
    expect(benchy).to_have_count(0)
    expect(page.locator("main .past").first).to_contain_text("bracket left.gcode")
    assert faults_of(tab) == []
    with page.expect_download() as saved:
        tab.button("Save as CSV").click()
    assert "bracket left.gcode,1,done,mk3-3" in saved.value.path().read_text()


def test_a_file_that_has_arrived_becomes_one_job_even_if_its_user_stops_waiting(new_tab, shared, tmp_path, monkeypatch):
    store, may_go_on = shared.files.add, threading.Event()

    async def store_later(path):
        await asyncio.to_thread(may_go_on.wait)
        return await store(path)

    monkeypatch.setattr(shared.files, "add", store_later)
    tab = new_tab(**DESKTOP).open("submit")
    file = tmp_path / "late.gcode"
    file.write_text("G28\n")
    tab.page.locator("#files").set_input_files([file])
    tab.button("Submit").click()
    row = tab.page.locator(".submit li")
    try:
        expect(row).to_contain_text("being checked")
        assert tab.button("Stop: late.gcode").count() == 0  # now, and not only after the check
        tab.wait_for_guard()
        tab.button("Stop waiting: late.gcode").click()  # the connection may be dead
        expect(row).to_contain_text("the farm may have made a job of the file")
        assert tab.button("Remove: late.gcode").count() == 1
    finally:
        may_go_on.set()
    tab.button("Try again: late.gcode").click()
    expect(row).to_contain_text("is job")
    assert [each.name for each in shared.do(JobList.open_jobs)].count("late.gcode") == 1


def test_files_that_do_not_fit_in_the_list_are_counted(new_tab):
    page = new_tab(**DESKTOP).open("submit").page
    files = [{"name": f"{n}.gcode", "mimeType": "text/plain", "buffer": b"G28\n"} for n in range(203)]
    page.locator("#files").set_input_files(files)
    expect(page.locator(".submit li")).to_have_count(200)
    expect(page.get_by_role("alert").filter(has_text="3 were left out")).to_be_visible()


def test_the_page_works_on_a_phone_in_german_and_without_the_server(new_tab, shared, axe):
    evil = "<img src=x onerror=document.title=1>\u202e"
    shared.change("mini-2", name=evil, reason=evil, group=evil, url="javascript:alert(1)")
    tab = new_tab(**PHONE).open(language="de")
    page = tab.page
    expect(page.locator(".sums")).to_contain_text("braucht Hilfe")
    page.evaluate(axe)
    for view in ("printers", "jobs", "submit", "history", "settings"):
        tab.go(view)
        page.locator("main .card").first.wait_for()
        assert faults_of(tab) == [], view
    tab.button("Schlüssel anlegen").wait_for()
    tab.go("printers")
    expect(page.locator("main")).to_contain_text("<img src=x")
    assert page.locator("main img:not([src^=blob]), main a[href^=javascript], main b img").count() == 0
    page.get_by_label("Suchen").fill("mk3-1")
    expect(page.locator("main img")).to_have_count(1)
    assert page.title() != "1"
    shared.go_away()
    expect(page.locator("#banner")).to_contain_text("Keine Verbindung zum Server der Farm; Drucke laufen weiter")
    expect(tab.card("mk3-1")).to_have_class("card printer old")
    shared.come_back()
    expect(page.locator(".fresh")).to_have_text("Live")
    assert faults_of(tab) == []


def test_only_visible_printers_of_hundreds_are_drawn(new_tab, shared):
    many = {f"x{number:03}": Presence(at=shared.printers.now, boot="b", state="Operational") for number in range(400)}
    shared.do(lambda _: shared.printers.presences.update(many))
    tab = new_tab(**DESKTOP).open()
    expect(tab.page.locator("li.printer")).to_have_count(406)
    expect(tab.card("x399")).to_contain_text("Bed to clear")
    assert tab.page.locator("li.printer", has=tab.page.locator("button")).count() < 60
    tab.card("x399").scroll_into_view_if_needed()
    tab.card("x399").get_by_role("button", name="Hold: x399").click()
    expect(tab.card("x399")).to_contain_text("On hold")
    tab.page.get_by_label("Find").fill("x39")
    expect(tab.page.locator("li.printer")).to_have_count(10)
    shared.do(lambda _: [shared.printers.presences.pop(name) for name in many])


@pytest.mark.parametrize("answer", [{"json": {"copies": []}}, {"status": 503, "json": {"error": "it was busy"}}])
def test_a_late_answer_does_not_replace_the_result_of_a_newer_search(new_tab, answer):
    tab = new_tab(**DESKTOP)
    page, late = tab.page, []

    def hold(route):
        late.append(route)

    page.route("**/api/farm/history?*q=late*", hold)
    tab.open("history")
    past = page.locator("main .past")
    past.first.wait_for()
    count = past.count()
    with page.expect_request("**/api/farm/history?*q=late*"):
        page.get_by_label("Find").fill("late")
    with page.expect_response("**/api/farm/history?*"):
        page.get_by_label("Find").fill("")
    late[0].fulfill(**answer)
    page.wait_for_timeout(300)
    expect(past).to_have_count(count)
    expect(page.get_by_role("alert").filter(has_text="it was busy")).to_have_count(0)


def test_an_edit_begins_with_the_current_values_and_is_refused_after_another_users_change(new_tab, shared):
    shared.do(lambda jobs: jobs.put_file(FileFacts(sha256="f" * 64, size=9, name="fine.gcode")))
    job = shared.do(lambda jobs: jobs.add(JobRequest(sha256="f" * 64, name="fine.gcode", copies=120, nozzle_mm=0.25)))
    tab = new_tab(**DESKTOP).open("jobs")
    page = tab.page
    row = page.locator(".job-row", has_text="fine.gcode")
    expect(row).to_contain_text("0.25 mm nozzle")
    tab.button("Edit: fine.gcode").click()
    expect(row.get_by_label("Nozzle, mm")).to_have_value("0.25")
    shared.do(lambda jobs: jobs.edit(job.id, JobChanges(material="PETG")))  # another user
    expect(row).to_contain_text("PETG")
    row.get_by_label("Notes").fill("for the shelf")
    row.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert").filter(has_text="has been changed in the meantime")).to_be_visible()
    assert shared.do(lambda jobs: jobs.job(job.id)).material == "PETG"
    shared.do(lambda jobs: jobs.cancel_job(job.id))  # all copies end at the same moment
    tab.go("history")
    page.get_by_label("Find").fill("fine")
    past = page.locator("main .past", has_text="fine.gcode")
    for count in (50, 100, 120):
        expect(past).to_have_count(count)
        if count < 120:
            tab.button("Show more").click()
    expect(tab.button("Show more")).to_have_count(0)


def test_a_stream_without_an_answer_is_tried_again(new_tab):
    tab, streams = new_tab(**DESKTOP), []

    def answer_the_second(route):
        streams.append(route)
        if len(streams) > 1:
            route.continue_()

    tab.page.clock.install()
    tab.page.route("**/api/farm/events", answer_the_second)
    tab.open()
    until(lambda: tab.page.wait_for_timeout(50) or streams, "a stream")
    tab.page.clock.run_for(12_500)
    tab.page.wait_for_timeout(300)
    tab.page.clock.run_for(1_000)
    until(lambda: tab.page.wait_for_timeout(50) or len(streams) > 1, "another stream")


def test_more_of_an_older_search_does_not_replace_the_result_of_a_newer_one(new_tab, shared):
    shared.do(lambda jobs: jobs.put_file(FileFacts(sha256="e" * 64, size=9, name="many.gcode")))
    job = shared.do(lambda jobs: jobs.add(JobRequest(sha256="e" * 64, name="many.gcode", copies=120)))
    shared.do(lambda jobs: jobs.cancel_job(job.id))
    tab, late = new_tab(**DESKTOP), []
    page = tab.page

    def hold(route):
        late.append(route)

    page.route("**/api/farm/history?*before=*", hold)
    tab.open("history")
    past = page.locator("main .past")
    expect(past).to_have_count(50)
    with page.expect_request("**/api/farm/history?*before=*"):
        tab.button("Show more").click()
    page.get_by_label("Find").fill("bracket left")
    expect(past.first).to_contain_text("bracket left")
    count = past.count()
    with page.expect_response("**/api/farm/history?*before=*"):
        late[0].continue_()
    page.wait_for_timeout(300)
    expect(past).to_have_count(count)
