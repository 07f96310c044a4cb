"""Reports of used filament to Spoolman: each metre once, whatever is lost, and without effect on prints."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.companions.notify.ledger import Ledger
from daemon.companions.notify.spoolman import Spoolman, SpoolmanAway, SpoolmanRefused, spool_of
from daemon.companions.notify.stock import FILE, Stock
from daemon.errors import ConfigError
from support.fake_spoolman import FakeSpoolman

URL = "http://spoolman.local:7912"


def using(job, mm, tool=0):
    return {"job": job, "path": "a.gcode", "size": 100, "tools": [{"tool": tool, "length": mm}]}


def ended(job, mm, **more):
    filament = [{"tool": 0, "length": mm}] if mm is not None else []
    return {"id": job, "path": "a.gcode", "size": 100, "started": 5.0, "ended": 50.0, "began": True,
            "filament": filament, **more}  # fmt: skip


async def stock(server, folder):
    spools = Stock(Spoolman(URL, server), folder, lambda: None)
    await spools.open()
    return spools


async def test_filament_used_by_a_print_is_reported_once(tmp_path):
    server = FakeSpoolman(3)
    books = await stock(server, tmp_path)
    await books.choose(0, 3, None)
    for mm in (500.0, 500.0, 1500.0):
        await books.take(using(1, mm))
        await books.report()
    await books.take_ends([ended(1, 1800.0)], 51.0)
    await books.take_ends([ended(1, 1800.0)], 52.0)
    await books.report()
    assert server.uses == [(3, 500.0), (3, 1000.0), (3, 300.0)]
    assert server.length(3) == pytest.approx(1800)
    assert books.as_json(1)["tools"][0]["spool"]["left_weight"] == pytest.approx(1000 - server.used[3])


@pytest.mark.parametrize("mood", ["late", "hangs", "delayed", "away", "error", "nonsense", "lies", "redirect"])
async def test_each_metre_is_counted_once_whatever_happens_to_a_report(tmp_path, mood):
    server = FakeSpoolman(3)
    books = await stock(server, tmp_path)
    await books.choose(0, 3, None)
    await books.take(using(1, 1000.0))
    server.outcomes = [mood]
    await books.report()
    assert (books.trouble is None) == (mood == "lies")
    await books.take(using(1, 1400.0))  # the print has gone on
    for _ in range(4):
        await books.report()
    assert books.trouble is None
    await books.take(using(1, 2400.0))
    await books.report()
    assert server.length(3) == pytest.approx(2400, abs=0.1)


@pytest.mark.parametrize("mood", ["late", "hangs", "away", "delayed"])
async def test_a_restart_after_an_unanswered_report_counts_nothing_twice(tmp_path, mood):
    server = FakeSpoolman(3)
    books = await stock(server, tmp_path)
    await books.choose(0, 3, None)
    await books.take(using(1, 1000.0))
    server.outcomes = [mood]
    dying = asyncio.create_task(books.report())
    await asyncio.sleep(5)
    dying.cancel()  # in the middle of it
    books = await stock(server, tmp_path)
    await books.take(using(1, 1000.0))
    for _ in range(3):
        await books.report()
    assert server.length(3) == pytest.approx(1000, abs=0.1) or mood == "delayed"
    await books.take(using(1, 3000.0))
    for _ in range(3):
        await books.report()
    assert server.length(3) == pytest.approx(3000, abs=0.1)


async def test_a_report_is_on_the_disk_before_it_is_sent(tmp_path):
    server = FakeSpoolman(3)
    books = await stock(server, tmp_path)
    await books.choose(0, 3, None)
    await books.take(using(1, 1000.0))
    on_disk = []
    send = server.send

    async def noting(request):
        if request.method == "PUT":
            on_disk.append(json.loads((tmp_path / FILE).read_text())["pending"])
        return await send(request)

    server.send = noting
    await books.report()
    assert on_disk == [{"3": [1000.0, 0.0, 1]}]
    assert json.loads((tmp_path / FILE).read_text())["pending"] == {}


async def test_a_spool_weighed_meanwhile_keeps_its_new_weight(tmp_path):
    server = FakeSpoolman(3)
    server.used[3] = 100.0
    books = await stock(server, tmp_path)
    await books.choose(0, 3, None)
    await books.take(using(1, 1000.0))
    server.outcomes = ["hangs"]
    await books.report()
    server.used[3] = 50.0  # a user has weighed the spool
    await books.report()
    assert server.used[3] == 50.0


async def test_reports_to_a_spoolman_that_never_counts_end(tmp_path):
    server = FakeSpoolman(3)
    books = await stock(server, tmp_path)
    await books.choose(0, 3, None)
    await books.take(using(1, 1000.0))
    server.outcomes = ["lies"] * 100
    for _ in range(100):
        await books.report()
    assert len(server.uses) == 10


async def test_a_change_of_the_spool_splits_what_the_print_uses(tmp_path):
    server = FakeSpoolman(3, 4)
    books = await stock(server, tmp_path)
    await books.choose(0, 3, None)
    await books.take(using(1, 1000.0))
    await books.choose(0, 4, using(1, 1200.0))
    await books.take(using(1, 2000.0))
    await books.report()
    assert (server.length(3), server.length(4)) == (pytest.approx(1200), pytest.approx(800))


async def test_without_a_spool_nothing_is_reported(tmp_path):
    server = FakeSpoolman(3)
    books = await stock(server, tmp_path)
    await books.take(using(1, 1000.0))
    await books.choose(0, 3, using(1, 1000.0))
    await books.take(using(1, 1300.0))
    await books.report()
    assert server.length(3) == pytest.approx(300)


async def test_a_deleted_spool_is_reported_and_gets_no_more_reports(tmp_path):
    server = FakeSpoolman(3)
    books = await stock(server, tmp_path)
    await books.choose(0, 3, None)
    await books.take(using(1, 1000.0))
    server.used.clear()
    await books.report()
    assert books.trouble == "spool 3: Spoolman: 404 No spool with ID 3 found."
    assert books.ledger.spools_due() == []
    with pytest.raises(SpoolmanRefused):
        await books.choose(0, 9, None)


async def test_a_print_that_ended_without_the_companion_is_reported_completely(tmp_path):
    server = FakeSpoolman(3)
    books = await stock(server, tmp_path)
    await books.choose(0, 3, None)
    await books.take(using(7, 400.0))
    books = await stock(server, tmp_path)
    await books.take_ends([ended(7, None)], 60.0)  # not known yet
    await books.take_ends([ended(7, 900.0)], 70.0)
    await books.report()
    assert server.length(3) == pytest.approx(900)


async def test_prints_known_before_are_not_reported(tmp_path):
    server = FakeSpoolman(3)
    books = await stock(server, tmp_path)
    await books.skip_old_prints([ended(1, 5000.0)])
    await books.choose(0, 3, None)
    await books.take_ends([ended(1, 5000.0)], 51.0)
    await books.report()
    assert server.uses == []


async def test_a_large_stock_comes_through_the_front(tmp_path):
    server = FakeSpoolman(*range(5000))
    spools = await (await stock(server, tmp_path)).list_spools()
    assert [each["id"] for each in spools] == [*range(4700, 5000)]
    assert len(json.dumps({"answers": [{"id": 1, "status": 200, "body": {"spools": spools}}]})) < 200 * 1024


async def test_a_choice_that_cannot_be_saved_does_not_count(tmp_path, monkeypatch):
    books = await stock(FakeSpoolman(3, 4), tmp_path)
    await books.choose(0, 3, None)

    def full(*_args, **_more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("daemon.companions.notify.stock.write_private", full)
    with pytest.raises(OSError, match="No space"):
        await books.choose(0, 4, None)
    assert books.ledger.spool_of_tool == {0: 3}


@pytest.mark.parametrize("text", ['{"chosen": {"0": "x"}}', '{"chosen": {"0": 1e999}}', "[" * 100_000])
async def test_a_damaged_ledger_is_set_aside(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    books = await stock(FakeSpoolman(3), tmp_path)
    assert books.ledger.spool_of_tool == {}
    assert (tmp_path / f"{FILE}.damaged").exists()


@pytest.mark.parametrize(
    "change",
    [{"id": "3"}, {"used_length": float("inf")}, {"used_length": -1}, {"filament": None}, {"used_weight": True}],
)
def test_an_invalid_spool_is_ignored(change):
    with pytest.raises(SpoolmanAway):
        spool_of({**FakeSpoolman(3).spool(3), **change})


def test_an_address_with_a_password_is_refused():
    with pytest.raises(ConfigError, match="password"):
        Spoolman("http://me:secret@spoolman.local", FakeSpoolman())


@given(st.lists(st.tuples(st.integers(1, 3), st.floats(0, 5000)), max_size=40))
def test_the_ledger_owes_the_filament_used_by_prints(events):
    books = Ledger()
    books.choose(0, 3)
    most = {}
    for job, mm in events:
        if mm >= most.get(job, 0.0):
            most[job] = mm
            books.take(str(job), {0: mm})
            again = Ledger()
            again.restore(json.loads(json.dumps(books.document())))
            books = again
    assert books.owed_mm.get(3, 0.0) == pytest.approx(sum(most.values()))


async def test_a_killed_daemon_with_an_older_record_counts_nothing_twice(tmp_path):
    server = FakeSpoolman(3)
    books = await stock(server, tmp_path)
    await books.choose(0, 3, None)
    await books.take(using(1, 5000.0))
    await books.take(using(1, 2000.0))  # it was started over, from a later place
    await books.take(using(1, 5200.0))
    await books.take_ends([ended(1, 4500.0)], 51.0)  # its record is some seconds older
    await books.take(using(1, 5200.0))  # an answer that was on its way
    await books.report()
    assert server.length(3) == pytest.approx(5200)


async def test_prints_with_numbers_reused_after_a_lost_record_are_counted(tmp_path):
    server = FakeSpoolman(3)
    books = await stock(server, tmp_path)
    await books.choose(0, 3, None)
    await books.take(using(1, 400.0))
    await books.take_ends([ended(1, 1000.0)], 51.0)
    books = await stock(server, tmp_path)
    await books.take(using(1, 300.0))
    await books.take_ends([ended(1, 1000.0, started=900.0, ended=950.0)], 951.0)
    await books.report()
    assert server.length(3) == pytest.approx(2000)
