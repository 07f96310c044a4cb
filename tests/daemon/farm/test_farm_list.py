"""The farm's list: each copy is given to one printer, and none is lost."""

import os
import re
import sqlite3
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import pytest
import sqlalchemy as sa
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from daemon.errors import ConfigError, StoreError
from daemon.farm.errors import (
    BadJob,
    FarmConflict,
    IdempotencyKeyReused,
    ListAway,
    NoSuchCopy,
    NoSuchJob,
    StaleRevision,
    UnknownFile,
)
from daemon.farm.list import matching, printer_actions, rows, schema, wait_reasons
from daemon.farm.list.database import back_up
from daemon.farm.list.job_list import JobList
from daemon.farm.list.values import BEGUN_STATES, FAULT_PAUSE_S, FINAL_STATES, FileFacts, JobChanges, JobRequest
from daemon.farm.messages import Presence, Report, Tool
from support.postgresql import postgresql
from support.processes import open_below

NIGHTLY = os.environ.get("NOZZLED_PROFILE") == "nightly"
SHA = "ab" * 32
NOW = 1_800_000_000.0
PLA = Tool(material="PLA", colour="black", nozzle_mm=0.4)


class Wall:
    now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def wall():
    return Wall()


ENGINES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.nightly)]


@pytest.fixture(scope="module")
def server():
    with postgresql() as url:
        yield url


def emptied(url):
    """Return the URL of a database without tables."""
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    engine.dispose()
    return url


@pytest.fixture(params=ENGINES)
def url(request):
    """A database that is empty; the nightly tests do the same on PostgreSQL."""
    return "sqlite://" if request.param == "sqlite" else emptied(request.getfixturevalue("server"))


@pytest.fixture
def farm(wall, url):
    jobs = JobList(url, wall)
    jobs.put_file(FileFacts(sha256=SHA, size=1000, name="cube.gcode", extent=(20, 20, 30), hottest=215))
    yield jobs
    jobs.close()


def presence(*tools, at=NOW, ready=True, **more):
    return Presence(at=at, boot="b", ready=ready, bed_clear=True, state="Operational", tools=list(tools), **more)


def submit(farm, **fields):
    return farm.add(JobRequest(sha256=SHA, **fields))


def report_on(offer, kind, **more):
    return Report(copy=offer.copy, attempt=offer.attempt, kind=kind, at=NOW, **more)


def begin(farm, printer="mk3", nonce="n", **fields):
    """Return an offer that its printer has claimed."""
    offer = farm.offer(printer, presence())
    assert farm.claim(printer, offer.copy, offer.attempt, nonce)
    return offer


# -- who prints --------------------------------------------------------------------------------------------


def test_a_copy_goes_from_offer_to_done_and_repeated_steps_change_nothing(farm):
    job = submit(farm, by="anna", copies=2)
    offer = farm.offer("mk3", presence())
    assert farm.offer("mk3", presence()) == offer
    assert (offer.job, offer.sha256, offer.size, offer.attempt) == (job.id, SHA, 1000, 1)
    for _ in range(2):
        assert farm.claim("mk3", offer.copy, 1, "n")
    assert farm.offer("mk3", presence()) is None
    for _ in range(2):
        assert farm.report("mk3", report_on(offer, "printing"))
    assert not farm.report("mk3", report_on(offer, "not_begun"))  # it has begun
    for _ in range(2):
        assert farm.report("mk3", report_on(offer, "done", seconds=60, filament_mm=100))
    copy = farm.copy(offer.copy)
    assert (copy.state, copy.printer, copy.seconds, copy.begun, copy.ended) == ("done", "mk3", 60, NOW, NOW)
    assert farm.job(job.id).counts == {"waiting": 1, "done": 1}
    assert not farm.report("mk3", report_on(offer, "failed", reason="no"))
    assert farm.copy(offer.copy).state == "done"
    assert [each.what for each in farm.events(job=job.id)] == ["submitted", "claimed", "printing", "done"]
    assert farm.events(since=farm.last_event() - 1)[0].what == "done"


def test_a_claim_is_bound_to_its_printer_attempt_and_nonce(farm, wall):
    submit(farm)
    offer = farm.offer("mk3", presence(), 60)
    assert not farm.claim("xl", offer.copy, 1, "n")
    assert not farm.claim("mk3", offer.copy, 2, "n")
    assert not farm.claim("mk3", "no such copy", 1, "n")
    assert farm.claim("mk3", offer.copy, 1, "n")
    assert not farm.claim("mk3", offer.copy, 1, "another nonce")
    assert not farm.report("mk3", report_on(offer, "done", nonce="another nonce"))
    wall.now += 1e6
    assert farm.expire() == []  # no timer takes back what may have begun
    assert farm.held_copies("mk3")[0].state == "claimed"


def test_a_late_claim_of_an_expired_offer_is_refused(farm, wall):
    submit(farm)
    old = farm.offer("mk3", presence(), 60)
    wall.now += 59
    assert farm.renew("mk3", old.copy, 1, 60)
    wall.now += 59
    assert farm.expire() == []
    wall.now += 2
    assert [copy.id for copy in farm.expire()] == [old.copy]
    assert not farm.renew("mk3", old.copy, 1)
    assert farm.offer("mk3", presence()) is None  # for a while: it did not answer
    offer = farm.offer("xl", presence())
    assert (offer.copy, offer.attempt) == (old.copy, 2)
    assert not farm.claim("mk3", old.copy, 1, "n")
    assert farm.file_for("mk3", old.copy, 1) is None
    assert farm.file_for("xl", offer.copy, 2).sha256 == SHA
    assert farm.claim("xl", offer.copy, 2, "m")


@pytest.mark.parametrize(("at", "begun"), [(0.0, NOW), (NOW + 5, NOW + 5), (4e9, NOW + 10)])
def test_a_print_begins_between_its_claim_and_its_report_whatever_the_printers_clock_says(farm, wall, at, begun):
    submit(farm)
    offer = begin(farm)
    wall.now += 10
    assert farm.report("mk3", Report(copy=offer.copy, attempt=offer.attempt, kind="printing", at=at, nonce="n"))
    assert farm.copy(offer.copy).begun == begun


def test_a_claim_not_begun_frees_the_copy_and_the_third_fault_fails_it(farm, wall):
    submit(farm)
    for attempt in (1, 2, 3):
        offer = begin(farm)
        assert offer.attempt == attempt
        assert farm.report("mk3", report_on(offer, "not_begun", nonce="n", reason="disk full"))
        assert farm.offer("mk3", presence()) is None
        wall.now += FAULT_PAUSE_S + 1
    copy = farm.copy(offer.copy)
    assert (copy.state, copy.reason, copy.faults) == ("failed", "disk full", 3)
    assert not farm.report("mk3", report_on(offer, "not_begun", reason="again"))


def test_a_printer_unable_to_print_a_job_gets_no_offer_until_the_job_is_released(farm, wall):
    job = submit(farm)
    offer = farm.offer("mk3", presence())
    assert farm.report("mk3", report_on(offer, "declined", fits=False, reason="too tall"))
    wall.now += 1e7
    assert farm.offer("mk3", presence()) is None
    assert farm.why_job_waits(job.id, {"mk3": presence(at=wall.now)}) == [
        "no printer takes it: mk3 declined it: too tall"
    ]
    farm.release(job.id)
    assert farm.has_waiting_copies()
    assert farm.offer("mk3", presence())
    assert not farm.has_waiting_copies()
    assert farm.copy(offer.copy).faults == 0


def test_a_lease_of_an_hour_lasts_an_hour(farm, wall):
    submit(farm)
    offer = farm.offer("mk3", presence(), 3600)
    wall.now += 3599
    assert farm.expire(3600) == []
    wall.now += 2
    assert [copy.id for copy in farm.expire(3600)] == [offer.copy]


def test_a_clock_set_back_delays_nothing(farm, wall):
    """As on a computer without a battery-backed clock, once it has the date from the network."""
    wall.now += 3e7
    submit(farm)
    offer = farm.offer("mk3", presence())
    assert farm.report("mk3", report_on(offer, "declined", reason="the disk is full"))
    assert farm.offer("mk3", presence()) is None
    held = farm.offer("mk4", presence())
    wall.now -= 3e7
    assert [copy.id for copy in farm.expire()] == [held.copy]
    assert farm.offer("mk3", presence()).copy == held.copy
    assert not farm.claim("mk4", held.copy, held.attempt, "n")


def test_a_printer_no_longer_ready_is_no_fault(farm):
    submit(farm)
    for _ in range(5):
        offer = farm.offer("mk3", presence())
        assert farm.report("mk3", report_on(offer, "declined"))
    assert farm.copy(offer.copy).faults == 0


# -- people ------------------------------------------------------------------------------------------------


def test_a_cancel_ends_waiting_copies_and_is_requested_for_printing_ones(farm):
    job = submit(farm, copies=3)
    begun, offered = begin(farm), farm.offer("xl", presence())
    assert [copy.state for copy in farm.cancel_job(job.id, "anna")] == ["claimed", "cancelled", "cancelled"]
    assert not farm.claim("xl", offered.copy, offered.attempt, "n")
    [held] = farm.held_copies("mk3")
    assert held.cancel
    assert farm.job(job.id).state == "printing"
    assert farm.report("mk3", report_on(begun, "cancelled"))
    assert farm.job(job.id).state == "cancelled"
    assert farm.cancel_job(job.id) == []
    assert farm.cancel_copy(begun.copy).state == "cancelled"


def test_a_claim_cancelled_before_it_began_is_cancelled(farm):
    submit(farm)
    offer = begin(farm)
    farm.cancel_copy(offer.copy)
    assert farm.report("mk3", report_on(offer, "not_begun"))
    assert farm.copy(offer.copy).state == "cancelled"


def test_hold_withdraws_offers_and_release_renews_them(farm):
    job = submit(farm)
    offer = farm.offer("mk3", presence())
    assert farm.hold(job.id, "anna").state == "held"
    assert not farm.claim("mk3", offer.copy, offer.attempt, "n")
    assert farm.offer("mk3", presence()) is None
    assert farm.hold(job.id, "ben").held_by == "anna"
    assert farm.release(job.id).state == "waiting"
    assert farm.offer("mk3", presence()).attempt == 2


def test_an_edit_needs_the_current_revision(farm):
    job = submit(farm, material="PLA", notes="two\nlines")
    offer = farm.offer("mk3", presence(PLA))
    edited = farm.edit(job.id, JobChanges(material="PETG", priority=5), job.revision, "anna")
    assert (edited.material, edited.priority, edited.revision, edited.notes) == ("PETG", 5, 2, "two\nlines")
    assert not farm.claim("mk3", offer.copy, offer.attempt, "n")  # it was offered for PLA
    assert farm.offer("mk3", presence(PLA)) is None
    with pytest.raises(StaleRevision, match="it has revision 2, not 1"):
        farm.edit(job.id, JobChanges(priority=1), job.revision)


def test_copies_are_added_and_only_waiting_ones_removed(farm):
    job = submit(farm, copies=2)
    begin(farm)
    assert farm.edit(job.id, JobChanges(copies=4)).counts == {"claimed": 1, "waiting": 3}
    assert farm.edit(job.id, JobChanges(copies=1)).counts == {"claimed": 1, "cancelled": 3}
    assert [copy.state for copy in farm.copies(job.id)] == ["claimed", *["cancelled"] * 3]
    farm.edit(job.id, JobChanges(copies=2))
    begin(farm, "xl")
    with pytest.raises(FarmConflict, match="cannot have fewer than 2 copies"):
        farm.edit(job.id, JobChanges(copies=1))


def test_a_reprint_makes_one_copy_with_a_parent_even_if_requested_twice(farm):
    job = submit(farm)
    offer = begin(farm)
    fresh = farm.print_again(offer.copy, "anna")
    assert (fresh.parent, fresh.number, fresh.state) == (offer.copy, 2, "waiting")
    assert farm.print_again(offer.copy, "anna") == fresh
    with pytest.raises(FarmConflict, match="has not begun"):
        farm.print_again(fresh.id)
    assert farm.settle(offer.copy, "failed", "anna").state == "failed"
    assert farm.settle(offer.copy, "failed", "ben").reason == "anna said so"
    with pytest.raises(FarmConflict):
        farm.settle(offer.copy, "done")
    assert not farm.report("mk3", report_on(offer, "done"))
    assert farm.job(job.id).counts == {"failed": 1, "waiting": 1}


def test_the_same_key_or_id_never_makes_a_second_job(farm):
    job = submit(farm, key="k", copies=2)
    assert farm.submit(JobRequest(sha256=SHA, key="k", copies=2, by="ben")) == (job, False)
    with pytest.raises(IdempotencyKeyReused, match="was used for job 1"):
        submit(farm, key="k", copies=3)
    job_id = str(uuid.uuid4())
    assert submit(farm, id=job_id) == submit(farm, id=job_id)
    assert len(farm.open_jobs()) == 2


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"copies": 0}, "from 1 to 1000"),
        ({"copies": 1001}, "from 1 to 1000"),
        ({"nozzle_mm": float("nan")}, "nozzle_mm"),
        ({"priority": 2000}, "priority"),
        ({"due": float("inf")}, "due"),
        ({"printers": ("../x",)}, "not a printer's name"),
        ({"name": "a\x1b[2J"}, "cannot be shown"),
        ({"notes": "n" * 4001}, "4001 characters"),
        ({"id": "1"}, "UUID"),
    ],
)
def test_a_job_out_of_bounds_is_refused_in_a_sentence(farm, fields, text):
    with pytest.raises(BadJob, match=text):
        submit(farm, **fields)
    assert farm.open_jobs() == []


def test_a_missing_file_job_or_copy_is_an_error(farm):
    with pytest.raises(UnknownFile):
        farm.add(JobRequest(sha256="0" * 64))
    with pytest.raises(NoSuchJob):
        farm.hold("x")
    with pytest.raises(NoSuchCopy):
        farm.print_again("x")


# -- which is next -----------------------------------------------------------------------------------------


def test_jobs_are_ordered_by_priority_then_due_date_then_place_then_number(farm):
    names = ["last", "moved", "due later", "due soon", "urgent"]
    jobs = {name: submit(farm, name=name) for name in names}
    jobs["first moved"] = submit(farm, name="first moved")
    farm.edit(jobs["urgent"].id, JobChanges(priority=1))
    farm.edit(jobs["due soon"].id, JobChanges(due=NOW + 10))
    farm.edit(jobs["due later"].id, JobChanges(due=NOW + 20))
    farm.move(jobs["moved"].id, jobs["last"].id)
    farm.move(jobs["first moved"].id, jobs["moved"].id)
    expected = ["urgent", "due soon", "due later", "first moved", "moved", "last"]
    assert [job.name for job in farm.open_jobs()] == expected
    assert [farm.offer(f"p{n}", presence()).name for n in range(6)] == expected
    with pytest.raises(FarmConflict, match="differ in priority"):
        farm.move(jobs["last"].id, jobs["urgent"].id)
    assert farm.move(jobs["moved"].id, None).rank > farm.job(jobs["last"].id).rank


def test_a_new_job_comes_after_those_that_were_moved_to_the_end(farm):
    first, second, third = (submit(farm, name=name) for name in ("first", "second", "third"))
    for job in (first, second, third):
        farm.move(job.id, None)
    submit(farm, name="new")
    assert [job.name for job in farm.open_jobs()] == ["first", "second", "third", "new"]


def test_a_job_can_be_moved_any_number_of_times(farm):
    one, two, three = (submit(farm) for _ in range(3))
    for _ in range(100):
        farm.move(three.id, two.id)
        farm.move(two.id, three.id)
    assert [job.id for job in farm.open_jobs()] == [one.id, two.id, three.id]


def test_a_printer_gets_only_jobs_that_fit(farm):
    petg = Tool(material="petg ", colour="red", nozzle_mm=0.6)
    submit(farm, name="group", group="large")
    submit(farm, name="named", printers=("xl",))
    submit(farm, name="red", material="PETG", colour="Red", nozzle_mm=0.6)
    submit(farm, name="any")
    assert farm.offer("mk3", presence(PLA)).name == "any"
    assert farm.offer("mini", presence(PLA, size=(180, 180, 29))) is None
    assert farm.offer("cold", presence(PLA, hottest=200)) is None
    assert farm.offer("two", presence(PLA, petg)).name == "red"
    assert farm.offer("xl", presence()).name == "named"
    assert farm.offer("big", presence(group="Large")).name == "group"


def test_all_materials_of_a_job_have_to_be_loaded(farm):
    pva = Tool(material="PVA", nozzle_mm=0.4)
    job = submit(farm, material="PLA; pva", colour="black", nozzle_mm=0.4)
    assert farm.offer("mk3", presence(PLA)) is None
    assert farm.offer("mk4", presence(pva)) is None
    assert farm.why_job_waits(job.id, {"mk3": presence(PLA)}) == ["no printer has PLA; pva loaded: mk3 has PLA"]
    assert farm.offer("busy", presence(PLA, pva, ready=False)) is None
    assert farm.offer("xl", presence(pva, PLA)).material == "PLA; pva"


def test_why_many_jobs_wait_asks_each_printer_once(farm, monkeypatch):
    """Not each printer for each file: 100 files and 2,000 printers held up the list, and thus the claims, for 0.6 s."""
    for number in range(20):
        sha = f"{number:064}"
        extent = (100, 100, 100 + 10 * number)
        farm.put_file(FileFacts(sha256=sha, size=1, name="a.gcode", extent=extent, material="PLA"))
        farm.add(JobRequest(sha256=sha))
    sizes = [(200, 200, 180), (200, 200, 250)]
    printers = {f"mk{number}": presence(PLA, ready=False, size=sizes[number % 2]) for number in range(10)}
    alone = [farm.why_job_waits(job.id, printers) for job in farm.open_jobs()]
    asked, dates, tool_reasons = [], [], matching._tool_misfits
    monkeypatch.setattr(matching, "_tool_misfits", lambda job, *rest: asked.append(job) or tool_reasons(job, *rest))
    busy = wait_reasons._say_busy
    monkeypatch.setattr(wait_reasons, "_say_busy", lambda *values: dates.append(values) or busy(*values))
    together = farm.why_jobs_wait(printers)
    assert [*together.values()] == alone
    assert (len(asked), len(dates)) == (10, 4 * 16)
    texts = [text for (text,) in alone]
    assert [texts.count(each) for each in dict.fromkeys(texts)] == [9, 7, 1, 1, 1, 1]
    assert texts[0].startswith("no printer that fits is ready: mk0 is not ready")
    assert texts[0].endswith(", and 6 more")
    assert texts[9].startswith("no printer that fits is ready: mk1 is not ready")
    assert texts[9].endswith(", and 1 more")
    assert texts[-1].startswith("no printer is large enough: it needs 290 mm in Z, and mk0 has 180 mm, it needs")


def test_reasons_why_a_copy_waits(farm, wall):
    first = submit(farm, copies=3, group="large")
    job = submit(farm, material="PETG", group="large")
    held = farm.hold(submit(farm).id, "anna")
    clock = {NOW + 600: "14:20", NOW: "13:00"}.get

    def why(job=job, **printers):
        return farm.why_job_waits(job.id, printers, clock)

    petg = Tool(material="PETG")
    assert why(held) == ["on hold since 13:00 by anna"]
    assert why() == ["no printer has joined the farm"]
    assert why(mk3=presence(PLA)) == ["no printer is in group large"]
    assert why(mk3=presence(PLA, group="large"), xl=presence(group="large")) == [
        "no printer of group large has PETG loaded: mk3 has PLA, xl does not say what is loaded"
    ]
    uncleared = Presence(at=NOW, boot="b", group="large", state="Operational", tools=[petg])
    printing = presence(petg, ready=False, group="large", file="a.gcode", remaining_s=600)
    assert why(mk3=uncleared, xl=printing) == [
        "no printer of group large that fits is ready: mk3 waits for its bed to be cleared, xl prints until about 14:20"
    ]
    endless = presence(petg, ready=False, group="large", file="a.gcode", remaining_s=1e12)
    assert why(xl=endless) == ["no printer of group large that fits is ready: xl prints"]
    assert why(mk3=presence(petg, group="large")) == ["3 copies are before it"]
    together = farm.why_jobs_wait({"mk3": presence(petg, group="large")})
    assert re.fullmatch(r"on hold since \d\d:\d\d by anna", *together.pop(held.id))
    assert together == {first.id: ["it is next: mk3 is about to take it"], job.id: ["3 copies are before it"]}
    assert farm.why_jobs_wait({}, offset=3) == {}
    assert why(first, mk3=presence(group="large")) == ["it is next: mk3 is about to take it"]
    many = {f"mk{number}": presence(group="large") for number in range(1, 8)}
    assert why(first, **many) == ["it is next: mk1, mk2, mk3, mk4 or one of 3 more is about to take it"]
    wall.now += 61
    assert why(mk3=presence(petg, group="large")) == [
        "no printer of group large that fits is ready: mk3 has been away since 13:00"
    ]


# -- sites, keeping, the database --------------------------------------------------------------------------


def test_a_printer_is_away_as_late_as_configured(wall):
    jobs = JobList("sqlite://", wall, 600)
    jobs.put_file(FileFacts(sha256=SHA, size=1, name="cube.gcode"))
    job = submit(jobs)
    assert jobs.why_job_waits(job.id, {"mk3": presence(at=NOW - 599)}) == ["it is next: mk3 is about to take it"]
    assert "has been away since" in jobs.why_job_waits(job.id, {"mk3": presence(at=NOW - 601)})[0]
    jobs.close()


def test_a_site_owns_its_job_and_the_hub_shows_its_reports(farm, wall):
    job = submit(farm, copies=2)
    assert farm.hand_over(job.id, "north").site == "north"
    assert farm.hand_over(job.id, "north").site == "north"
    assert farm.offer("mk3", presence()) is None
    assert farm.why_job_waits(job.id, {}) == ["the site north has it"]
    for refused in (farm.hold, lambda job: farm.hand_over(job, "south")):
        with pytest.raises(FarmConflict, match="the site north has job 1"):
            refused(job.id)
    site = JobList("sqlite://", wall)
    site.put_file(farm.file(SHA))
    site.add(JobRequest(sha256=SHA, copies=2, id=job.id))
    done = begin(site)
    site.report("mk3", report_on(done, "done"))
    farm.mirror("south", site.copies(job.id))
    assert farm.job(job.id).counts == {"waiting": 2}
    farm.mirror("north", site.copies(job.id))
    assert farm.job(job.id).counts == {"done": 1, "waiting": 1}
    site.close()
    begun = submit(farm)
    begin(farm)
    with pytest.raises(FarmConflict, match="copies of job 2 have begun or ended here"):
        farm.hand_over(begun.id, "north")


def test_a_copy_at_a_site_is_no_copy_of_the_hubs_printers(farm, wall):
    """Each site names its printers itself, so both may have one called mk3."""
    job = submit(farm)
    farm.hand_over(job.id, "north")
    site = JobList("sqlite://", wall)
    site.put_file(farm.file(SHA))
    site.add(JobRequest(sha256=SHA, id=job.id))
    offer = site.offer("mk3", presence())
    farm.mirror("north", site.copies(job.id))
    wall.now += 3600
    assert farm.expire() == []
    assert farm.copy(offer.copy).state == "offered"
    site.claim("mk3", offer.copy, offer.attempt, "n")
    farm.mirror("north", site.copies(job.id))
    site.close()
    assert (farm.all_held_copies(), farm.held_copies("mk3")) == ([], [])
    with pytest.raises(FarmConflict, match="the site north has job 1"):
        farm.settle(offer.copy, "done", "anna")
    own = submit(farm)
    assert farm.offer("mk3", presence()).job == own.id


def test_events_are_kept_for_90_days_and_jobs_for_two_years(farm, wall):
    job = submit(farm)
    farm.cancel_job(job.id)
    wall.now += 91 * 86400
    new_job = submit(farm)
    farm.tidy()
    assert {each.job for each in farm.events()} == {new_job.id}
    wall.now += 700 * 86400
    farm.tidy()
    with pytest.raises(NoSuchJob):
        farm.job(job.id)
    assert farm.job(new_job.id).state == "waiting"  # what has not ended stays
    assert farm.history() == []


def test_copies_that_end_at_the_same_moment_are_listed_part_by_part(farm):
    job = submit(farm, copies=7)
    farm.cancel_job(job.id)
    listed, last = [], None
    while part := farm.history(3, *([last.ended, "", "", "", last.id] if last else [])):
        listed += part
        last = part[-1]
    assert sorted(each.number for each in listed) == [1, 2, 3, 4, 5, 6, 7]
    assert farm.history(3, last.ended) == []  # without the copy's id: only those that ended earlier


def test_printers_are_remembered_until_they_are_forgotten(farm):
    farm.store_presence("mk3", presence(PLA))
    farm.store_presence("mk3", presence(at=NOW + 1))
    assert farm.load_presences() == {"mk3": presence(at=NOW + 1)}
    submit(farm)
    offer = begin(farm)
    with pytest.raises(FarmConflict, match="mk3 holds a copy"):
        farm.forget_printer("mk3")
    farm.report("mk3", report_on(offer, "done"))
    farm.forget_printer("mk3")
    assert farm.load_presences() == {}


def test_a_backup_upgrades_neither_the_list_nor_its_copy(tmp_path, wall):
    """Users make one before they restart the server of an older version."""
    url, copy = f"sqlite:///{tmp_path / 'farm.db'}", tmp_path / "copy.db"
    JobList(url, wall).close()
    with closing(sqlite3.connect(tmp_path / "farm.db")) as database, database:
        database.execute("UPDATE farm_counters SET value = 1 WHERE name = 'schema'")
    back_up(url, copy)
    for path in (tmp_path / "farm.db", copy):
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("SELECT value FROM farm_counters WHERE name = 'schema'").fetchone() == (1,)


def test_a_backup_that_fails_leaves_nothing_that_looks_like_one(tmp_path, wall):
    url = f"sqlite:///{tmp_path / 'farm.db'}"
    farm = JobList(url, wall)
    farm.put_file(FileFacts(sha256=SHA, size=1, name="a.gcode"))
    farm.close()
    with (tmp_path / "farm.db").open("r+b") as file:
        file.truncate(20_000)  # the copy breaks off at the missing pages
    with pytest.raises(StoreError, match="cannot be copied"):
        back_up(url, tmp_path / "copy.db")
    with pytest.raises(ConfigError, match=r"there is no list at .*none\.db"):
        back_up(f"sqlite:///{tmp_path / 'none.db'}", tmp_path / "copy.db")
    with pytest.raises(ConfigError, match="pg_dump"):
        back_up("postgresql://x/y", tmp_path / "copy.db")
    with pytest.raises(ConfigError, match=r"copy\.db cannot be made: Not a directory"):
        back_up(url, tmp_path / "farm.db" / "copy.db")
    (tmp_path / "other.db").touch()
    with pytest.raises(ConfigError, match="exists"):
        back_up(url, tmp_path / "other.db")
    assert (tmp_path / "other.db").exists()
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(("copy", "none"))] == []


def test_the_list_is_stored_and_a_newer_schema_is_not_touched(tmp_path, wall):
    url = f"sqlite:///{tmp_path / 'farm.db'}"
    farm = JobList(url, wall)
    farm.put_file(FileFacts(sha256=SHA, size=1, name="a.gcode"))
    job = submit(farm)
    back_up(url, tmp_path / "backup.db")
    farm.close()
    for name in ("farm.db", "backup.db"):
        again = JobList(f"sqlite:///{tmp_path / name}", wall)
        assert again.job(job.id) == job
        with again.read() as tx:
            pragmas = ("journal_mode", "synchronous", "foreign_keys")
            values = [tx.connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in pragmas]
            assert values == ["wal", 2, 1]
        again.close()
    with sqlite3.connect(tmp_path / "farm.db") as db:
        db.execute("UPDATE farm_counters SET value = 99 WHERE name = 'schema'")
    db.close()
    with pytest.raises(StoreError, match="has version 99"):
        JobList(url, wall)
    (tmp_path / "text.db").write_text("no database, and longer than the header of one would be" * 3)
    with pytest.raises(StoreError, match="cannot be used"):
        JobList(f"sqlite:///{tmp_path / 'text.db'}", wall)
    with pytest.raises(ConfigError, match="not 'mysql'"):
        JobList("mysql://x/y", wall)


def test_a_list_that_cannot_be_opened_leaves_no_file_open(tmp_path, wall):
    newer, text = tmp_path / "newer.db", tmp_path / "text.db"
    JobList(f"sqlite:///{newer}", wall).close()
    with closing(sqlite3.connect(newer)) as db, db:
        db.execute("UPDATE farm_counters SET value = 99 WHERE name = 'schema'")
    text.write_text("no database, and longer than the header of one would be" * 3)
    for path in (newer, text):
        with pytest.raises(StoreError) as caught:
            JobList(f"sqlite:///{path}", wall)
        assert not open_below(tmp_path), caught.value  # whose traceback holds all that was opened


def test_a_database_that_is_read_only_for_a_while_is_away(farm):
    """As PostgreSQL is after a failover, until it is promoted; it must not end the server."""
    error = sa.exc.InternalError("SELECT", {}, Exception("cannot execute SELECT FOR UPDATE in a read-only transaction"))
    with pytest.raises(ListAway, match="does not answer: cannot execute SELECT FOR UPDATE"), farm.write():
        raise error


def test_a_list_of_an_earlier_version_is_upgraded(tmp_path, wall, monkeypatch):
    url = f"sqlite:///{tmp_path / 'farm.db'}"
    JobList(url, wall).close()
    monkeypatch.setattr(schema, "VERSION", 3)
    monkeypatch.setattr(
        schema,
        "STEPS",
        {2: ("ALTER TABLE farm_keys ADD COLUMN note TEXT",), 3: ("UPDATE farm_counters SET value = 7",)},
    )
    for _ in range(2):  # the second time changes nothing
        farm = JobList(url, wall)
        with farm.read() as tx:
            assert "note" in {each["name"] for each in sa.inspect(tx.connection).get_columns("farm_keys")}
            values = dict(tx.rows(sa.select(schema.counters)))
            assert values == {"schema": 3, "writer": 7}
        farm.close()


def test_the_next_offer_is_found_by_an_index():
    """A list of 20,000 copies is neither sorted nor read completely for each ready printer."""
    farm = JobList("sqlite://", Wall())
    with farm.read() as tx:
        values = {"kind": 1, "printer": "a", "now": NOW, "count": 4, "offset": 0}
        statement = printer_actions._CANDIDATES.compile(tx.connection.engine)
        plan = tx.connection.exec_driver_sql(
            f"EXPLAIN QUERY PLAN {statement}", tuple(values[name] for name in statement.positiontup)
        ).all()
    farm.close()
    steps = [row[3] for row in plan]
    assert steps[0] == "SEARCH farm_jobs USING INDEX farm_jobs_queued (kind=?)"
    assert not any("TEMP B-TREE" in step for step in steps)


def test_a_list_of_an_earlier_version_gets_indexes_that_were_added_since(farm):
    with farm.write() as tx:
        tx.connection.execute(sa.text("DROP INDEX farm_copies_state"))
    farm._database.migrate()
    with farm.read() as tx:
        assert "farm_copies_state" in {each["name"] for each in sa.inspect(tx.connection).get_indexes("farm_copies")}


def test_what_printers_hold_and_the_counts_are_read_from_an_index():
    """Both are read at each change, and copies that have ended stay for two years."""
    farm = JobList("sqlite://", Wall())
    plans = []

    def explain(connection, cursor, statement, parameters, *_):
        plans.append([row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)])

    with farm.read() as tx:
        engine = tx.connection.engine
    sa.event.listen(engine, "before_cursor_execute", explain)
    farm.all_held_copies()
    farm.count_copies()
    farm.history(state="failed")
    farm.close()
    held, counts, failed = ([step for step in plan if "farm_copies" in step] for plan in plans if plan)
    assert held == ["SEARCH farm_copies USING INDEX farm_copies_state (state=?)"]
    assert counts == ["SCAN farm_copies USING COVERING INDEX farm_copies_state"]
    assert [step.split(" (")[0] for step in failed] == ["SEARCH farm_copies USING INDEX farm_copies_state"]


def test_each_change_is_announced_and_reading_is_not(farm):
    calls = []
    farm.on_change = lambda: calls.append(1)
    submit(farm)
    assert len(calls) == 1
    farm.open_jobs()
    farm.store_presence("mk3", presence())
    assert farm.offer("mk3", presence(ready=True)) is not None
    assert len(calls) == 2


# -- any sequence ------------------------------------------------------------------------------------------

PRINTERS = ("a", "b", "c")


class Farm(RuleBasedStateMachine):
    """Printers whose messages are lost, late and repeated, and people who change their minds."""

    @staticmethod
    def url():
        """Return the URL of its list."""
        return "sqlite://"

    def __init__(self):
        super().__init__()
        self.wall = Wall()
        self.wall.now = NOW
        self.list = JobList(self.url(), self.wall)
        self.list.put_file(FileFacts(sha256=SHA, size=1, name="a.gcode"))
        self.jobs = []
        self.offers = []  # (printer, copy, attempt): all that were ever made
        self.owner = {}  # copy -> (printer, attempt, nonce) of granted claims, unless reported as not begun
        self.sent = []  # (printer, report): all that were ever sent
        self.final = {}
        self.known = set()

    def teardown(self):
        self.list.close()

    @initialize(copies=st.integers(1, 3))
    def first(self, copies):
        self.submits(copies, "")

    @rule(copies=st.integers(1, 3), material=st.sampled_from(["", "PLA"]))
    def submits(self, copies, material):
        if len(self.jobs) < 5:
            same_each_time = str(uuid.uuid5(uuid.NAMESPACE_URL, str(len(self.jobs))))
            self.jobs.append(submit(self.list, id=same_each_time, copies=copies, material=material).id)

    @rule(
        printer=st.sampled_from(PRINTERS),
        tools=st.sampled_from([(), (PLA,)]),
        answers=st.sampled_from(["nothing", "claim", "claim", "printing"]),
    )
    def offer(self, printer, tools, answers):
        offer = self.list.offer(printer, presence(*tools), 60)
        if offer is None:
            return
        self.offers.append((printer, offer.copy, offer.attempt))
        self._nobody_else_may_have(offer.copy)
        if answers != "nothing":
            assert self.list.claim(printer, offer.copy, offer.attempt, "x")
            assert offer.copy not in self.owner
            self.owner[offer.copy] = (printer, offer.attempt, "x")
        if answers == "printing":
            self._send(printer, report_on(offer, "printing"))

    @precondition(lambda self: self.offers)
    @rule(data=st.data(), nonce=st.sampled_from("xy"))
    def claim(self, data, nonce):
        printer, copy, attempt = data.draw(st.sampled_from(self.offers[-8:]))
        before = self.list.copy(copy)
        if self.list.claim(printer, copy, attempt, nonce):
            assert self.owner.setdefault(copy, (printer, attempt, nonce)) == (printer, attempt, nonce)
            assert before.state in ("offered", *BEGUN_STATES)
        self._nobody_else_may_have(copy)

    def _nobody_else_may_have(self, copy):
        """Claim this copy for every printer that was ever offered it, and for others."""
        before = self.list.copy(copy)
        if before.state == "offered":
            askers = {(each, attempt, "x") for each in PRINTERS for attempt in range(before.attempt)}
            askers |= {(each, before.attempt, "x") for each in PRINTERS if each != before.printer}
        else:
            askers = {(each, before.attempt, nonce) for each in PRINTERS for nonce in "xyz"} - {self.owner.get(copy)}
        for printer, attempt, nonce in askers:
            assert not self.list.claim(printer, copy, attempt, nonce)
            assert not self.list.renew(printer, copy, attempt, 60) or before.state == "offered"
        assert self.list.copy(copy) == before

    @precondition(lambda self: self.offers)
    @rule(
        data=st.data(),
        kind=st.sampled_from(["declined", "not_begun", "printing", "done", "failed", "cancelled"]),
        fits=st.booleans(),
        reason=st.sampled_from(["", "why"]),
    )
    def report(self, data, kind, fits, reason):
        printer, copy, attempt = data.draw(st.sampled_from(self.offers[-8:]))
        nonce = self.owner[copy][2] if self.owner.get(copy, ())[:2] == (printer, attempt) else ""
        self._send(
            printer, Report(copy=copy, attempt=attempt, kind=kind, at=NOW, nonce=nonce, fits=fits, reason=reason)
        )

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def repeated(self, data):
        self._send(*data.draw(st.sampled_from(self.sent)))

    def _send(self, printer, report):
        before = self.list.copy(report.copy)
        taken = self.list.report(printer, report)
        after = self.list.copy(report.copy)
        if (printer, report) in self.sent and before.state == after.state:
            assert after == before
        if taken and report.kind in FINAL_STATES:
            assert after.state == report.kind
        if taken and report.kind == "not_begun":
            assert before.state == "claimed"
            assert self.owner.pop(report.copy) == (printer, report.attempt, before.nonce)
        self.sent.append((printer, report))
        again = self.list.report(printer, report)
        assert self.list.copy(report.copy) == after
        assert not again or taken

    @rule(seconds=st.sampled_from([30.0, 61.0, 700.0]))
    def time_goes_by(self, seconds):
        self.wall.now += seconds
        for copy in self.list.expire():
            assert copy.state == "offered"

    @precondition(lambda self: self.offers)
    @rule(data=st.data())
    def renew(self, data):
        self.list.renew(*data.draw(st.sampled_from(self.offers)), 60)

    @rule(data=st.data(), verb=st.sampled_from(["hold", "release", "cancel_job"]))
    def on_job(self, data, verb):
        getattr(self.list, verb)(data.draw(st.sampled_from(self.jobs)))

    @rule(data=st.data(), copies=st.integers(1, 4), material=st.sampled_from(["", "PLA"]))
    def edit(self, data, copies, material):
        with suppress(FarmConflict):
            self.list.edit(data.draw(st.sampled_from(self.jobs)), JobChanges(copies=copies, material=material))

    @rule(data=st.data(), verb=st.sampled_from(["print_again", "cancel_copy", "done", "failed"]))
    def on_copy(self, data, verb):
        copy = data.draw(st.sampled_from(sorted(self.known)))
        with suppress(FarmConflict):
            self.list.settle(copy, verb) if verb in FINAL_STATES else getattr(self.list, verb)(copy)

    @invariant()
    def nothing_vanishes_and_what_has_ended_stays(self):
        with self.list.read() as tx:
            copies = {row.id: rows.copy_of(row) for row in tx.rows(sa.select(schema.copies))}
            counted = tx.rows(sa.select(schema.jobs.c.id, schema.jobs.c.waiting, schema.jobs.c.unfinished))
        assert self.known <= set(copies)
        self.known = set(copies)
        assert all(copies[copy].state == state for copy, state in self.final.items())
        self.final = {copy.id: copy.state for copy in copies.values() if copy.state in FINAL_STATES}
        for copy in copies.values():
            if copy.state in BEGUN_STATES:
                assert self.owner[copy.id] == (copy.printer, copy.attempt, copy.nonce)
            assert (copy.state == "waiting") == (not copy.printer and copy.state not in FINAL_STATES)
            assert (copy.ended is not None) == (copy.state in FINAL_STATES)
        held = [copy.printer for copy in copies.values() if copy.state in ("offered", *BEGUN_STATES)]
        assert len(held) == len(set(held)), "a printer holds one copy"
        for job, waiting, unfinished in counted:
            states = [copy.state for copy in copies.values() if copy.job == job]
            assert (waiting, unfinished) == (
                states.count("waiting"),
                sum(state not in FINAL_STATES for state in states),
            )


Farm.TestCase.settings = settings(
    max_examples=300 if NIGHTLY else 14,
    stateful_step_count=60 if NIGHTLY else 30,
    deadline=None,
    phases=tuple(Phase) if NIGHTLY else (Phase.generate,),  # to make a sequence shorter takes minutes
)
test_any_sequence_of_messages_and_requests = Farm.TestCase


@pytest.mark.nightly
def test_any_sequence_of_actions_holds_on_postgresql_too(server):
    class OnPostgresql(Farm):
        @staticmethod
        def url():
            return emptied(server)

    run_state_machine_as_test(OnPostgresql, settings=settings(Farm.TestCase.settings, max_examples=20))


@pytest.mark.nightly
def test_four_servers_on_one_postgresql_never_offer_a_copy_twice(server, wall):
    """Each in its thread, on its own connections: what decides is the database."""
    url = emptied(server)
    lists = [JobList(url, wall) for _ in range(4)]
    lists[0].put_file(FileFacts(sha256=SHA, size=1, name="a.gcode"))
    for _ in range(20):
        submit(lists[0], copies=5)

    def work(number):
        copies = []
        for turn in range(60):
            printer = f"p{number}-{turn}"
            if offer := lists[number].offer(printer, presence()):
                assert lists[0].claim(printer, offer.copy, offer.attempt, "n"), "by whichever server"
                copies.append(offer.copy)
        return copies

    with ThreadPoolExecutor(4) as pool:
        offered = [copy for copies in pool.map(work, range(4)) for copy in copies]
    assert len(offered) == len(set(offered)) == 100
    assert lists[0].count_copies() == {"claimed": 100}
    assert len({event.number for event in lists[0].events()}) == len(lists[0].events()) == 120
    for each in lists:
        each.close()
