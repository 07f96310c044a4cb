"""The events that users are notified of, and the texts."""

import pytest

from daemon.companions.front_state import FrontState
from daemon.companions.notify.notice_finder import REPEAT_AFTER_S, RUNOUT_S, NoticeFinder, end_key, find_ends
from daemon.companions.notify.notices import UserNotice
from daemon.companions.notify.texts import _BODIES, _TITLES, LANGUAGES, body_of, duration, title_of


def state_of(**values):
    base = {"server.name": "MK3", "job.id": 7, "job.state": "printing", "job.file": {"name": "cube.gcode"}}
    return {**base, **{name.replace("__", "."): value for name, value in values.items()}}


def notices(finder, now=0.0, **values):
    return [(each.kind, each.what) for each in finder.check_snapshot(state_of(**values), now, 0.0)]


def test_the_snapshot_is_updated_from_messages():
    snapshot = FrontState()
    assert snapshot.take({"seq": 1, "all": {"job": {"state": "printing", "id": 1}, "analysis": {"layers": 3}}})
    assert snapshot.take({"seq": 2, "set": {"job.state": "paused"}})
    assert not snapshot.take({"seq": 3, "beat": 1.0})
    assert snapshot == {"job.state": "paused", "job.id": 1, "analysis": {"layers": 3}}
    snapshot.take({"all": {"job": {"id": 2}}})
    assert snapshot == {"job.id": 2}


def test_a_pause_by_the_printer_is_reported_once_and_one_by_a_user_never():
    finder = NoticeFinder()
    paused = {"job__state": "paused", "job__pauseReason": "filament runout", "job__progress": {"completion": 41.7}}
    assert notices(finder) == []
    assert notices(finder, job__state="paused", job__pauseReason=None) == []
    assert notices(finder, **{**paused, "job__state": "pausing"}) == [("paused", "paused")]
    assert notices(finder, **paused) == []
    again = NoticeFinder(standing_conditions=set(finder.standing_conditions))  # a restart in the middle of it
    assert notices(again, **paused) == []
    assert notices(again) == []
    later = {**paused, "job__progress": {"completion": 80.0}}
    assert notices(again, **later) == [("paused", "paused")]


def test_two_pauses_of_a_print_are_two_notices():
    finder, keys = NoticeFinder(), set()
    for share in (10.0, 20.0):
        finder.check_snapshot(state_of(), 0.0, 0.0)
        at = {"job__state": "paused", "job__pauseReason": "M600", "job__progress": {"completion": share}}
        keys |= {each.key for each in finder.check_snapshot(state_of(**at), 0.0, 0.0)}
    assert len(keys) == 2


def test_a_lost_connection_is_reported_when_the_print_continues():
    finder = NoticeFinder()
    assert notices(finder, job__state="reattaching") == []
    restarted = NoticeFinder(lost_prints=set(finder.lost_prints))
    assert notices(restarted, job__state="printing") == [("back", "back")]
    assert notices(restarted, job__state="printing") == []


def test_a_print_ended_by_a_lost_connection_is_reported_only_as_ended():
    finder = NoticeFinder()
    notices(finder, job__state="reattaching")
    assert notices(finder, job__state="failed") == []


def test_a_warning_is_reported_once_whatever_its_numbers():
    finder = NoticeFinder()
    text = "the print has made no progress for 15 min: the printer has acknowledged none of its lines"
    assert notices(finder, job__warning=text) == [("warning", "warning")]
    assert notices(finder, job__warning=text.replace("15", "16")) == []
    assert notices(finder, job__warning=None) == []
    assert notices(finder, job__warning=text) == [("warning", "warning")]


def test_a_halt_is_identified_by_its_date_and_names_the_remedy():
    fault = {"at": 1_764_000_000, "text": "Thermal Runaway, system stopped! Heater_ID: 0", "kind": "runaway"}
    [notice] = NoticeFinder().check_snapshot(state_of(printer__fault=fault), 0.0, 0.0)
    assert (notice.kind, notice.key) == ("fault", "fault 1764000000")
    assert title_of(notice, "en") == "MK3: The printer has halted"
    assert body_of(notice, "en").splitlines() == [
        "Thermal runaway: turn the printer off, and check heater and thermistor before the next print.",
        "Thermal Runaway, system stopped! Heater_ID: 0.",
    ]


def test_a_broken_safety_rule_is_reported_again_only_if_it_was_kept_for_a_while():
    finder = NoticeFinder()
    broken = {"printer__trouble": "the heaters could not be turned off"}
    assert notices(finder, 0.0, **broken) == [("fault", "trouble")]
    assert notices(finder, 1.0) == []  # a front that has just begun knows nothing
    assert notices(finder, 2.0, **broken) == []
    assert notices(finder, 3.0) == []
    assert notices(finder, 3.0 + REPEAT_AFTER_S) == []
    assert notices(finder, 4.0 + REPEAT_AFTER_S, **broken) == [("fault", "trouble")]


def test_a_condition_at_the_same_time_after_another_boot_is_another_notice():
    keys = {
        NoticeFinder().check_snapshot(state_of(printer__stop="unconfirmed"), 45.0, date)[0].key
        for date in (1_764_000_000.0, 1_764_500_000.0)
    }
    assert len(keys) == 2


def test_a_stop_without_confirmation_is_reported():
    assert notices(NoticeFinder(), printer__stop="unconfirmed") == [("fault", "stop")]
    assert notices(NoticeFinder(), printer__stop="confirmed") == []


def test_the_bed_is_reported_for_each_copy():
    finder = NoticeFinder()
    waits = {"queue__waiting": "nobody has said that the bed is clear", "job__state": "completed"}
    keys = [
        finder.check_snapshot(state_of(queue__next={"id": 3, "done": done, "path": "a.gcode"}, **waits), 0.0, 0.0)[
            0
        ].key
        for done in (0, 0, 1)
    ]
    assert keys == ["bed 3 0", "bed 3 0", "bed 3 1"]
    assert notices(finder, queue__next={"id": 3, "done": 1}, queue__waiting="the queue is paused") == []


def test_a_disk_getting_full_is_reported_once():
    finder, low = NoticeFinder(), 100.0
    assert [bool(finder.check_disk(free, low, "", 0.0)) for free in (90, 80, 110, 90, 151, 99)] == [1, 0, 0, 0, 0, 1]


def job(number, state, **more):
    return {"id": number, "state": state, "started": 10.0 * number, "ended": 100.0, "name": "a.gcode", **more}


def test_ends_come_from_the_history_oldest_first_and_once():
    jobs = [job(3, "printing", ended=None), job(2, "failed", reason="PortLost"), job(1, "completed")]
    items = find_ends(jobs, set(), "", None)
    assert [(each.kind, each.what) for each in items] == [("done", "done"), ("failed", "failed")]
    assert find_ends(jobs, {each.key for each in items}, "", None) == []
    assert find_ends(jobs, set(), "", 100.1) == []  # too long ago


def test_a_cancelled_print_has_not_failed():
    assert [each.kind for each in find_ends([job(1, "cancelled")], set(), "", None)] == ["cancelled"]


def test_a_reused_job_number_is_another_print():
    assert end_key(job(1, "completed")) != end_key({**job(1, "completed"), "started": 5000.0})


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_notice_has_texts(language):
    about = {"file": "a.gcode", "device": "printer", "reason": "x", "seconds": 90, "free": 10**8, "share": 12.3}
    for what in _TITLES["en"]:
        notice = UserNotice("done", "k", what, about)
        assert "{" not in title_of(notice, language) + body_of(notice, language, 2)
        assert "\n" not in title_of(notice, language)


def test_names_cannot_add_lines_to_a_message():
    notice = UserNotice("done", "k", "done", {"printer": "MK3", "file": "a\nTo: all\r\x1b[31m{0}\u2028" + "x" * 300})
    title = title_of(notice, "en")
    assert title.startswith("MK3: a To: all [31m{0} x")
    assert len(title) < 120
    assert title.isprintable()


def test_the_end_of_a_print_is_reported_with_time_and_filament():
    used = [{"tool": 0, "length": 12345.6, "weight": 36.2, "material": "PLA 2.0"}, {"tool": 1, "length": 0.0}]
    notice = UserNotice("done", "k", "done", {"printer": "", "file": "a.gcode", "seconds": 11_520, "filament": used})
    assert title_of(notice, "de") == "a.gcode ist fertig"
    assert body_of(notice, "de") == "Dauer: 3 h 12 min.\nFilament: 12,3 m, 36 g PLA 2.0."
    assert [duration(each) for each in (5, 65, 3599, 7300)] == ["5 s", "1 min", "1 h 0 min", "2 h 2 min"]


def test_both_languages_have_the_same_texts():
    assert _TITLES["en"].keys() == _TITLES["de"].keys()
    assert _BODIES["en"].keys() == _BODIES["de"].keys()


def test_a_runout_is_reported_once_even_if_the_printer_then_pauses():
    finder = NoticeFinder()
    notices(finder)
    [notice] = finder.check_event("FilamentRunout", {"sensor": "left", "why": "no filament at left"}, state_of(), 5.0)
    assert (notice.kind, title_of(notice, "en")) == ("paused", "MK3: cube.gcode: the filament has run out")
    assert notices(finder) == []  # M600 was sent, and the print advances to it
    assert notices(finder, job__state="paused", job__pauseReason="the printer asks for it") == []


def test_a_pause_long_after_a_runout_is_reported():
    finder = NoticeFinder()
    finder.check_event("FilamentRunout", {"sensor": "left", "why": "no filament at left"}, state_of(), 5.0)
    assert finder.check_snapshot(state_of(), 6.0, 6.0) == []  # M600 was answered without a pause
    paused = state_of(job__state="paused", job__pauseReason="the nozzle is cold")
    assert [each.what for each in finder.check_snapshot(paused, 0.0, 5.0 + RUNOUT_S)] == ["paused"]


def test_power_off_is_reported_before_and_after():
    finder = NoticeFinder()
    soon = {"companions.power": {"away": False, "state": {"offAt": 1_764_000_060, "printer": "plug"}}}
    [notice] = finder.check_snapshot(state_of(**soon), 0.0, 0.0)
    assert (notice.kind, title_of(notice, "de")) == ("power", "MK3: plug wird gleich abgeschaltet")
    assert finder.check_snapshot(state_of(**soon), 1.0, 1.0) == []
    gone = finder.check_event("PowerOffByItself", {"switch": "plug"}, state_of(), 9.0)
    cut = finder.check_event(
        "PowerCut", {"switch": "plug", "why": "stop button", "done": False, "error": "x"}, state_of(), 9.0
    )
    assert [(each.kind, each.what) for each in gone + cut] == [("power", "power_off"), ("fault", "not_cut")]
    assert finder.check_event("Whatever", {}, state_of(), 9.0) == []
