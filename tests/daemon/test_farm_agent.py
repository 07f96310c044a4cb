"""The agent beside a printer: a copy begins once at most, whatever process dies, and its end has a reason."""

import asyncio
import os
from collections import Counter
from contextlib import suppress
from functools import partial

import msgspec
import pytest

from daemon.companions.farm import loading, steps
from daemon.companions.farm.agent import Agent
from daemon.companions.farm.diary import FILE
from daemon.companions.farm.printer import PrinterSnapshot
from daemon.farm.carrier.memory import FarmFaults, FarmInMemory
from daemon.farm.list.values import FINAL_STATES
from daemon.farm.messages import FarmOrder, Heat, Tool
from support.farm_list_server import DATA, EPOCH, ListServer
from support.farm_printer import PICTURE, AgentLife, FakePrinter, Killed
from support.waiting import meanwhile, until

FARM_CALLS = ("fetch_chunk", "renew", "claim", "fetch_holdings", "report")
NIGHTLY = os.environ.get("NOZZLED_PROFILE") == "nightly"
STRIDE = 9
PRINTER_CALLS = ("has_file", "upload", "find_objections", "get_newest_job", "start", "get_outcome", "cancel", "remove")


def wall():
    return EPOCH + asyncio.get_running_loop().time()


class Station:
    """A printer and the agent beside it, which may be killed and restarted."""

    def __init__(self, farm, folder, name="mk3", printer=None):
        self.farm, self.folder, self.name = farm, folder / name, name
        self.folder.mkdir()
        self.printer = printer or FakePrinter()
        self.agent = None
        self.life = AgentLife()

    def begin(self, steps=None):
        """Return the run of a new agent, which is killed after this many steps."""
        self.life = life = AgentLife(steps)
        end = life.wrap(self.farm.agent(self.name), *FARM_CALLS)
        self.agent = Agent(end, life.wrap(self.printer, *PRINTER_CALLS), self.folder, wall)
        life.wrap_notes(self.agent._diary)
        return asyncio.ensure_future(self.agent.run())

    async def run(self, steps=None, again=3.0):
        """Run the agent, kill it after some steps, restart it, repeatedly."""
        running = self.begin(steps)
        while True:
            try:
                await running
            except BaseExceptionGroup as group:
                if (others := group.split(Killed)[1]) is not None:
                    raise others from None
            finally:
                self.life.over = True  # what is left of it does nothing more
                running.cancel()
                with suppress(asyncio.CancelledError, BaseExceptionGroup):
                    await running
            await asyncio.sleep(again)
            running = self.begin()


@pytest.fixture(autouse=True)
def _no_disk(monkeypatch):
    """Leave out fsync, which would cost the suite seconds; and wait less after a fault."""
    monkeypatch.setattr("daemon.companions.farm.diary.os.fsync", lambda _: None)
    monkeypatch.setattr("daemon.private_file.os.fsync", lambda _: None)
    monkeypatch.setattr("daemon.farm.list.printer_actions.FAULT_PAUSE_S", 30.0)  # ten minutes of polling cost a second


def ended(server):
    copies = server.copies()
    return bool(copies) and all(copy.state in FINAL_STATES for copy in copies)


def require_once(stations, server):
    """Require that no copy has begun twice, and that exactly the copies that the list calls done were printed."""
    begun = Counter(key.rpartition(".")[0] for station in stations for key in station.printer.begun if key)
    assert not [copy for copy, times in begun.items() if times > 1], begun
    for copy in server.copies():
        if copy.state == "done":
            assert begun[copy.id] == 1, copy
        if begun[copy.id]:
            assert copy.state != "waiting", copy


async def test_copies_are_printed_one_after_the_other_each_on_a_bed_that_is_clear(tmp_path):
    farm = FarmInMemory()
    server, station = ListServer(farm), Station(farm, tmp_path)
    server.submit(copies=3)
    async with meanwhile(server.run(), station.run()):
        await until(lambda: ended(server), "three copies")
    assert [copy.state for copy in server.copies()] == ["done"] * 3
    assert len(station.printer.begun) == 3
    require_once([station], server)
    assert [report.kind for _, report, _ in server.reports] == ["printing", "done"] * 3
    assert server.reports[-1][1].seconds == 12.0
    assert len(station.printer.files) == 1, "the same file is loaded once"
    assert not [*station.folder.glob("*.part")]


async def off_and_on(printer, life, late):
    """Have the printer away when the agent restarts, and back when a start sent earlier arrives."""
    while not life.over:  # noqa: ASYNC110 - the clock is virtual
        await asyncio.sleep(0.1)
    printer.operational = not late
    await asyncio.sleep(late / 2)
    printer.operational = True


async def print_with_one_kill(folder, step, late):
    """Have a copy printed by two agents, one of them killed at this step; return its life."""
    farm = FarmInMemory()
    stations = [Station(farm, folder, f"a{step}"), Station(farm, folder, f"b{step}")]
    server = ListServer(farm)
    for station in stations:
        station.printer.start_by_hand()  # with an empty record the agent could not know whether its copy began
        station.printer.stop_by_hand()
        station.printer.begun.clear()
        station.printer.start_delay = late
    server.submit()
    async with meanwhile(server.run()):
        await asyncio.sleep(6)  # the beds are clear by now
        async with meanwhile(stations[0].run(step)):
            await asyncio.sleep(0)
            life = stations[0].life
            await asyncio.sleep(2)  # it has the offer; the other one is there if it declines
            async with meanwhile(stations[1].run(), off_and_on(stations[0].printer, life, late)):
                await until(partial(ended, server), f"its end after step {step} ({life.last})")
    require_once(stations, server)
    assert [copy.state for copy in server.copies()] == ["done"], (step, life.last, server.copies())
    server.jobs.close()
    return life


@pytest.mark.parametrize(("late", "phase"), [(0.0, 0), (20.0, 3)], ids=["at once", "late"])
async def test_an_agent_killed_at_any_step_begins_no_copy_twice(tmp_path, late, phase):
    """Its requests are still carried out, even a start that arrives late. Nightly for each step of its life."""
    step, names = 0 if NIGHTLY else phase, set()
    while (life := await print_with_one_kill(tmp_path, step, late)).last:
        names.add(life.last)
        step += 1 if NIGHTLY else STRIDE
    assert step > 40
    if NIGHTLY:
        assert {"while start", "after start", "before claim", "after claim", "before a note", "while report"} <= names


@pytest.mark.parametrize("seed", range(60 if NIGHTLY else 2))
async def test_each_copy_begins_once_despite_lost_messages_and_killed_processes(tmp_path, seed):
    farm = FarmInMemory(FarmFaults(loss=0.05, answer_loss=0.05, repetition=0.1, lateness=0.1, max_delay=30.0), seed)
    stations = [Station(farm, tmp_path, f"p{number}", FakePrinter(seed=seed + number)) for number in range(3)]
    server = ListServer(farm)
    for station in stations:
        station.printer.loss_rate = 0.1
        station.printer.start_by_hand()
        station.printer.stop_by_hand()
    server.submit(copies=8)

    async def trouble():
        for number in range(6):
            await asyncio.sleep(17 + seed)
            station = stations[(number + seed) % 3]
            station.printer.up = False
            farm.cut(station.name)
            await asyncio.sleep(5)
            station.printer.up = True
            farm.stop()
            await asyncio.sleep(7)
            farm.start()
            farm.mend(station.name)

    runs = [station.run(40 + seed * 7 + number * 13) for number, station in enumerate(stations)]
    async with meanwhile(server.run(), trouble(), *runs):
        await until(lambda: ended(server), "an end of all")
        farm.faults = FarmFaults()
        await asyncio.sleep(120)
    require_once(stations, server)
    assert all(copy.state == "done" or copy.reason for copy in server.copies())


async def test_a_print_started_by_hand_before_a_copy_wins(tmp_path):
    """A print by hand between the checks and the start: nothing begins on top of it, and the copy goes elsewhere."""
    farm = FarmInMemory()
    server, station = ListServer(farm), Station(farm, tmp_path, printer=FakePrinter(clears_after=None))
    server.submit()
    station.printer.start_delay = 3.0
    async with meanwhile(server.run(), station.run()):
        await until(lambda: server.claims, "a claim")
        station.printer.start_by_hand()
        await until(lambda: any(report.kind == "not_begun" for _, report, _ in server.reports), "its report", 120)
        await asyncio.sleep(60)
        assert station.printer.begun == [""]
        assert station.agent.make_presence().bed_clear is False
        assert server.copies()[0].state == "waiting"
        station.printer._clear()
        await until(lambda: ended(server), "the copy, after the pause for a fault")
    require_once([station], server)


async def test_a_printer_accepts_nothing_until_its_bed_is_confirmed_clear(tmp_path):
    farm = FarmInMemory()
    server, station = ListServer(farm), Station(farm, tmp_path, printer=FakePrinter(clears_after=None))
    server.submit(copies=2)
    async with meanwhile(server.run(), station.run()):
        await until(lambda: [copy.state for copy in server.copies()].count("done") == 1, "the first", 300)
        await asyncio.sleep(200)
        assert len(station.printer.begun) == 1
        assert server.presences["mk3"].reason == "nobody has said that the bed is clear"
        assert (await server.end.order("mk3", FarmOrder("bed_clear"))).ok
        await until(lambda: ended(server), "the second", 300)
    assert len(station.printer.begun) == 2


async def test_heaters_left_on_by_a_file_are_turned_off_unless_another_print_has_begun(tmp_path):
    farm = FarmInMemory()
    server, station = ListServer(farm), Station(farm, tmp_path, printer=FakePrinter(clears_after=None))
    station.printer.heaters = (("bed", Heat(60.0, 60.0)),)
    server.submit(copies=2)
    async with meanwhile(server.run(), station.run()):
        await until(lambda: station.printer.cooled, "the bed to be turned off")
        assert station.printer.cooled == [None]
        station.printer.cooled.clear()
        station.printer._clear()
        await until(lambda: len(station.printer.begun) == 2, "the second copy")
        real, ended_at = station.printer._end, len(station.printer.begun)

        def end(*arguments):
            real(*arguments)
            if len(station.printer.begun) == ended_at:
                station.printer.start_by_hand()  # at once

        station.printer._end = end
        await until(lambda: ended(server), "its end")
        await asyncio.sleep(10)
    assert not station.printer.cooled


async def test_orders_are_carried_out(tmp_path):
    farm = FarmInMemory()
    server, station = ListServer(farm), Station(farm, tmp_path, printer=FakePrinter(seconds=300))

    async def order(verb, copy=""):
        return await server.end.order("mk3", FarmOrder(verb, copy))

    async with meanwhile(server.run(), station.run()):
        await asyncio.sleep(1)
        assert (await order("hold")).ok
        server.submit()
        await asyncio.sleep(60)
        assert server.presences["mk3"].reason == "it is on hold"
        assert server.presences["mk3"].on_hold
        station.life.over = True  # the hold survives a restart
        station.life.limit = 0
        station.printer.on_change()
        await asyncio.sleep(200)
        assert not station.printer.begun
        assert (await order("release")).ok
        await until(lambda: server.copies()[0].state == "printing", "the print", 60)
        copy = server.copies()[0].id
        assert (await order("pause", copy)).ok
        assert station.printer.paused
        assert (await order("resume", copy)).ok
        assert not station.printer.paused
        assert not (await order("pause", "another")).ok
        assert not (await order("cancel", "another")).ok
        assert (await order("picture")).data == PICTURE
        assert (await order("cancel", copy)).ok
        await until(lambda: ended(server), "its end", 30)
        assert server.copies()[0].state == "cancelled"
        assert not (await order("cancel", copy)).ok
        station.printer.up = False
        answer = await order("bed_clear")
        assert (answer.ok, answer.reason) == (False, "the printer's service does not answer")


async def test_a_late_order_is_not_carried_out(tmp_path):
    """The agent hung meanwhile; a user got the error that it did not answer, and something else was printed."""
    farm = FarmInMemory()
    server, station = ListServer(farm), Station(farm, tmp_path, printer=FakePrinter(clears_after=None))
    async with meanwhile(server.run(), station.run()):
        await asyncio.sleep(1)
        boot = server.presences["mk3"].boot
        station.printer.bed_clear = False
        for late in (
            FarmOrder("bed_clear", boot=boot, until=wall() - 1),
            FarmOrder("bed_clear", boot="before", until=wall() + 9),
            FarmOrder("hold", boot=boot, until=wall() - 1),
            FarmOrder("cancel", boot=boot, until=wall() - 1),
        ):
            answer = await server.end.order("mk3", late)
            assert (answer.ok, "too late" in answer.reason) == (False, True), late
        assert not station.printer.bed_clear
        assert not station.agent.on_hold
        assert (await server.end.order("mk3", FarmOrder("bed_clear", boot=boot, until=wall() + 9))).ok
        named = FarmOrder("cancel", "a copy", boot=boot, until=wall() - 1)
        assert "does not hold this copy" in (await server.end.order("mk3", named)).reason


async def test_heaters_left_on_by_a_file_are_turned_off_with_a_full_disk_of_the_agent(tmp_path):
    farm = FarmInMemory()
    server, station = ListServer(farm), Station(farm, tmp_path)
    station.printer.heaters = (("bed", Heat(60.0, 60.0)),)
    server.submit()
    async with meanwhile(server.run(), station.run()):
        await until(lambda: server.copies()[0].state == "printing", "the print")
        await asyncio.sleep(1)
        real = station.agent._diary.note

        def full(**_):
            raise OSError(28, "No space left on device")

        station.agent._diary.note = full
        await asyncio.sleep(60)
        assert station.printer.cooled == [None]
        assert "No space left" in station.agent.trouble
        station.agent._diary.note = real
        await until(lambda: ended(server), "its end")
    assert server.copies()[0].state == "done"


async def test_heaters_left_on_by_a_file_are_turned_off_once_the_printer_is_back(tmp_path):
    farm = FarmInMemory()
    server, station = ListServer(farm), Station(farm, tmp_path)
    station.printer.heaters = (("bed", Heat(60.0, 60.0)),)
    server.submit()
    async with meanwhile(server.run(), station.run()):
        await until(lambda: server.copies()[0].state == "printing", "the print")
        real = station.printer.look
        station.printer.look = PrinterSnapshot  # its service answers, and has pushed nothing yet
        await until(lambda: ended(server), "its end")
        assert not station.printer.cooled
        station.printer.look = real
        await asyncio.sleep(10)
    assert station.printer.cooled == [None]


async def test_heaters_left_on_by_a_file_are_turned_off_while_the_farm_is_away(tmp_path):
    farm = FarmInMemory()
    server, station = ListServer(farm), Station(farm, tmp_path)
    station.printer.heaters = (("bed", Heat(60.0, 60.0)),)
    server.submit()
    async with meanwhile(server.run(), station.run()):
        await until(lambda: server.copies()[0].state == "printing", "the print")
        farm.stop()
        await asyncio.sleep(60)
        assert station.printer.cooled == [None]
        farm.start()
        await until(lambda: ended(server), "its end")
    assert station.printer.cooled == [None], "once"


async def test_a_cancel_during_the_claim_prevents_the_start(tmp_path):
    farm = FarmInMemory()
    server, station = ListServer(farm), Station(farm, tmp_path)
    server.submit()
    real = server.claim

    async def claim(printer, question):
        answer = await real(printer, question)
        await server._cancel(server.jobs.cancel_copy(question.copy))  # the order arrives before the answer
        return answer

    server.claim = claim
    async with meanwhile(server.run(), station.run()):
        await until(lambda: ended(server), "its end", 120)
    assert server.copies()[0].state == "cancelled"
    assert not station.printer.begun


async def test_a_file_with_errors_is_declined_for_good(tmp_path):
    farm = FarmInMemory()
    server, station = ListServer(farm), Station(farm, tmp_path)
    station.printer.objection = "it goes beyond the bed"
    server.submit()
    async with meanwhile(server.run(), station.run()):
        await until(lambda: server.reports, "a report", 60)
        await asyncio.sleep(200)
    [(_, report, _)] = server.reports
    assert (report.kind, report.fits, report.reason) == ("declined", False, "it goes beyond the bed")
    assert not station.printer.begun


async def test_an_offer_with_a_short_lease_is_renewed_while_the_printer_checks_the_file(tmp_path):
    farm = FarmInMemory()
    server, station = ListServer(farm, lease=9.0), Station(farm, tmp_path)

    async def check(_):
        await asyncio.sleep(120)
        return ""

    station.printer.find_objections = check
    server.submit()
    async with meanwhile(server.run(), station.run()):
        await until(lambda: ended(server), "the copy", 600)
    [copy] = server.copies()
    assert (copy.state, copy.attempt) == ("done", 1)


async def test_a_file_that_differs_from_the_offer_is_not_printed(tmp_path):
    farm = FarmInMemory()
    server, station = ListServer(farm), Station(farm, tmp_path)
    server.submit()
    server.data = DATA[:-1] + b"!"
    async with meanwhile(server.run(), station.run()):
        await until(lambda: server.reports, "a report", 60)
    assert "not the one that it offered" in server.reports[0][1].reason
    assert not station.printer.files


async def test_material_that_is_not_loaded_is_declined(tmp_path):
    farm = FarmInMemory()
    server, station = ListServer(farm), Station(farm, tmp_path)
    server.submit(material="PLA")
    real = server.on_presence
    server.on_presence = lambda name, presence: real(name, msgspec.structs.replace(presence, tools=[Tool("PLA")]))
    station.printer.tools = (Tool("PETG"),)  # a user has changed the spool since
    async with meanwhile(server.run(), station.run()):
        await until(lambda: server.reports, "a report", 60)
    assert server.reports[0][1].reason == "PLA is not loaded"


@pytest.mark.parametrize(
    ("tools", "end"), [((Tool("PLA"), Tool("PVA  Plus")), ""), ((Tool("pla"),), "pva plus is not loaded")]
)
async def test_all_materials_of_an_offer_have_to_be_loaded(tmp_path, tools, end):
    farm = FarmInMemory()
    server, station = ListServer(farm), Station(farm, tmp_path)
    server.submit(material="PLA; pva plus")
    real, listed = server.on_presence, [Tool("PLA"), Tool("PVA Plus")]
    server.on_presence = lambda name, presence: real(name, msgspec.structs.replace(presence, tools=listed))
    station.printer.tools = tools
    async with meanwhile(server.run(), station.run()):
        await until(lambda: server.reports, "a report", 60)
    assert server.reports[0][1].reason == end


async def test_lost_notes_are_restored_from_the_printers_record(tmp_path):
    farm = FarmInMemory()
    server, station = ListServer(farm), Station(farm, tmp_path, printer=FakePrinter(seconds=60))
    server.submit()
    async with meanwhile(server.run()):
        async with meanwhile(station.run()):
            await until(lambda: server.copies()[0].state == "printing", "the print", 60)
            station.life.over = True
        (station.folder / FILE).write_text("{ damaged")
        async with meanwhile(station.run()):
            await until(lambda: ended(server), "its end", 120)
    assert server.copies()[0].state == "done"
    assert (station.folder / f"{FILE}.damaged").exists()
    require_once([station], server)


async def test_a_copy_unknown_to_notes_and_printer_is_left_to_people(tmp_path):
    """Another agent has claimed under the same name: its intention is unknown here."""
    farm = FarmInMemory()
    server, station = ListServer(farm), Station(farm, tmp_path)
    server.submit()
    async with meanwhile(server.run(), station.run()):
        await until(lambda: station.printer.begun, "its print")
        [held] = server.jobs.held_copies("mk3")
        station.life.over = True
        (station.folder / FILE).unlink()
        station.printer.prints.clear()  # another card in the printer's computer
        station.printer._active = None
        await asyncio.sleep(300)
        assert held.copy in station.agent.doubt
        assert server.copies()[0].state in ("claimed", "printing")
    assert len(station.printer.begun) == 1


async def test_a_copy_whose_record_was_lost_fails_and_is_not_printed_again(tmp_path):
    farm = FarmInMemory()
    server, station = ListServer(farm), Station(farm, tmp_path)
    station.printer.start_by_hand()
    station.printer.stop_by_hand()
    server.submit()
    async with meanwhile(server.run(), station.run()):
        await until(lambda: server.copies()[0].state == "printing", "the print")
        station.printer.prints.clear()
        station.printer._active = None
        await until(lambda: ended(server), "its end", 120)
    [copy] = server.copies()
    assert (copy.state, copy.reason) == ("failed", steps.DOUBT)


async def test_a_recorded_print_that_never_began_returns_to_the_list(tmp_path):
    farm = FarmInMemory()
    server, station = ListServer(farm), Station(farm, tmp_path)
    station.printer.unbegun = True
    server.submit()
    async with meanwhile(server.run(), station.run()):
        await until(lambda: ended(server), "its end")
    assert server.copies()[0].state == "done"
    assert len(station.printer.begun) == 1


async def test_a_copy_settled_by_a_person_is_not_begun(tmp_path):
    """The agent was dead for hours between claim and start: it claims again first."""
    farm = FarmInMemory()
    server, station = ListServer(farm), Station(farm, tmp_path)
    station.printer.start_by_hand()
    station.printer.stop_by_hand()
    station.printer.begun.clear()
    server.submit()
    real = station.printer.start

    async def dies(*_):
        station.life.over = True
        raise Killed

    station.printer.start = dies
    async with meanwhile(server.run(), station.run(again=900)):
        await until(lambda: server.claims, "a claim")
        await asyncio.sleep(60)
        station.printer.start = real
        server.jobs.settle(server.copies()[0].id, "failed", "somebody")
        await asyncio.sleep(1200)
    assert not station.printer.begun
    assert station.agent.entry is None


async def test_of_two_files_the_one_that_was_used_last_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "MAX_FILES", 2)
    farm = FarmInMemory()
    server, station = ListServer(farm), Station(farm, tmp_path, printer=FakePrinter(seconds=1, clears_after=1))
    hashes = {}
    async with meanwhile(server.run(), station.run()):
        for name in "ABAC":
            other = ListServer(farm, DATA + f";{name}\n".encode())
            server.data, server.sha = other.data, other.sha
            server.jobs.put_file(other.jobs.file(other.sha))
            other.jobs.close()
            server.submit()
            await until(partial(ended, server), "its end")
            hashes[server.sha] = name
    assert [hashes[each] for each in station.agent._diary.notes.files] == ["A", "C"]


async def test_only_the_last_files_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "MAX_FILES", 3)
    farm = FarmInMemory()
    server, station = ListServer(farm), Station(farm, tmp_path, printer=FakePrinter(seconds=1, clears_after=1))
    async with meanwhile(server.run(), station.run()):
        for number in range(5):
            other = ListServer(farm, DATA + f";{number}\n".encode())
            server.data, server.sha = other.data, other.sha
            server.jobs.put_file(other.jobs.file(other.sha))
            other.jobs.close()
            server.submit()
            await until(partial(ended, server), "its end")
    assert len(station.printer.files) == 3 == len(station.agent._diary.notes.files)
    assert loading.PART not in " ".join(path.name for path in station.folder.iterdir())
