"""The queue: in order, one print after the other, each on a bed known to be clear; nothing printed twice."""

import asyncio
import sqlite3
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.bridge.memory import MemoryChannel
from daemon.bridge.remote import RemoteJobs
from daemon.bridge.words import JobState
from daemon.core import core as core_building
from daemon.core.desk import Desk
from daemon.errors import CoreAway, JobConflict, StoreError, UnfitFile
from daemon.front import front as front_building
from daemon.front.analysis.watch import FileRefusal, PrintableFile, Watch
from daemon.front.queue.document import Document, Entry
from daemon.front.queue.store import QueueStore
from hal.driver import LinePrinter
from hal.printer import PanelPrintChanged
from hal.simulated.clock import run
from hal.simulated.firmware import Firmware, FirmwareConfig
from hal.simulated.memory import SimulatedTransport
from support.http import KEY, NOW, api, config
from support.waiting import until

BOOT = {"NOZZLED_API_KEY": KEY, "NOZZLED_BOOT_ID": "this boot"}


def cube(name: str, lines: int = 10) -> bytes:
    return f"M117 print of {name}\nG28\n".encode() + b"".join(b"G1 X%d Y10 F6000\n" % (n % 100) for n in range(lines))


async def upload_cubes(server, *names: str) -> None:
    for name in names:
        assert (await server.upload(("file", f"{name}.gcode", cube(name)))).status == 201


async def command(server, name: str, **values):
    return await server.post("/api/queue", {"command": name, **values})


async def add(server, name: str, **values) -> int:
    answer = await command(server, "add", path=f"{name}.gcode", **values)
    assert answer.status == 201, answer.body
    return answer.json["id"]


async def entries(server) -> list[tuple]:
    return [
        (each["name"][:-6], each["state"], each["done"]) for each in (await server.get("/api/queue")).json["entries"]
    ]


async def wait_for_prints(server, count: int) -> None:
    """Wait until so many prints have begun, and the last one has ended and been reported."""
    await until(lambda: len(server.begun) >= count and not server.service.jobs.active)
    await server.settle(2)
    assert len(server.begun) == count


@asynccontextmanager
async def queueing(folder, **sections):
    async with api(folder, **sections) as server:
        server.begun = []
        jobs = server.service.jobs
        jobs.subscribe(lambda state: server.begun.append(jobs.selected.name) if state is JobState.STARTING else None)
        yield server


# -- order, and the bed ----------------------------------------------------------------------------------------


async def test_files_are_printed_in_order_each_after_the_bed_is_confirmed_clear(tmp_path):
    async with queueing(tmp_path) as server:
        await upload_cubes(server, "a", "b", "c")
        first = await add(server, "a", copies=2, notes="in grey", material="PLA")
        await add(server, "b")
        assert (await command(server, "move", id=await add(server, "c"), to=1)).status == 200
        assert await entries(server) == [("a", "waiting", 0), ("c", "waiting", 0), ("b", "waiting", 0)]
        await server.settle(60)
        assert server.begun == []
        assert (await server.get("/api/queue")).json["waiting"] == "nobody has said that the bed is clear"
        for expected in (["a"], ["a", "a"], ["a", "a", "c"], ["a", "a", "c", "b"]):
            answer = await command(server, "bed", clear=True)
            assert (answer.status, answer.json["bed"]["by"]) == (200, "owner")
            await wait_for_prints(server, len(expected))
            assert server.begun == [f"{name}.gcode" for name in expected]
            await server.settle(60)
            assert len(server.begun) == len(expected), "the next one waits for the user"
            if expected == ["a"]:
                entry = (await server.get(f"/api/queue/{first}")).json
                assert (entry["done"], entry["copies"], entry["notes"], entry["material"]) == (1, 2, "in grey", "PLA")
        assert await entries(server) == []
        assert (await server.get(f"/api/queue/{first}")).status == 404


async def test_the_queue_waits_while_the_printer_is_being_switched_off(tmp_path):
    async with queueing(tmp_path) as server:
        await upload_cubes(server, "a")
        jobs = server.service.front.jobs
        jobs.reason_not_to_print = lambda: "the printer is being switched off"
        await add(server, "a")
        assert (await command(server, "bed", clear=True)).status == 200
        await server.settle(12)
        assert server.begun == []
        assert (await server.get("/api/queue")).json["bed"]["clear"] is True
        jobs.reason_not_to_print = lambda: None
        await wait_for_prints(server, 1)


async def test_no_print_begins_after_one_that_did_not_complete(tmp_path):
    async with queueing(tmp_path) as server:
        await server.upload(("file", "a.gcode", cube("a", 3000)))
        await upload_cubes(server, "b")
        number = await add(server, "a")
        await add(server, "b")
        await command(server, "bed", clear=True)
        await until(lambda: server.service.jobs.state is JobState.PRINTING)
        assert (await command(server, "bed", clear=True)).status == 409
        assert (await command(server, "remove", id=number)).status == 409
        await server.post("/api/job", {"command": "cancel"})
        await wait_for_prints(server, 1)
        await server.settle(60)
        assert await entries(server) == [("a", "failed", 0), ("b", "waiting", 0)]
        assert (await server.get(f"/api/queue/{number}")).json["reason"] == "cancelled"
        await command(server, "bed", clear=True)
        await wait_for_prints(server, 2)
        assert server.begun == ["a.gcode", "b.gcode"]
        await command(server, "retry", id=number)
        assert await entries(server) == [("a", "waiting", 0)]


async def test_a_configured_script_clears_the_bed(tmp_path):
    async with queueing(
        tmp_path, address=f"sim?oracle={tmp_path / 'oracle'}", scripts={"eject": ("M117 away with it",)}
    ) as server:
        await upload_cubes(server, "a", "b")
        await add(server, "a", copies=2)
        await add(server, "b")
        await command(server, "bed", clear=True)
        await wait_for_prints(server, 3)
        bed = (await server.get("/api/queue")).json["bed"]
        assert (bed["clear"], bed["by"]) == (True, "eject script")
        sent = [each.command for each in server.service.core.connection.printer._transport._firmware.oracle.commands]
        assert sent.count("M117 away with it") == 3
        await server.post("/api/files/local/a.gcode", {"command": "select", "print": True})
        await wait_for_prints(server, 4)
        assert not (await server.get("/api/queue")).json["bed"]["clear"], "after a print begun by hand"


async def test_a_pause_and_a_print_of_another_client_hold_the_queue(tmp_path):
    async with queueing(tmp_path) as server:
        await upload_cubes(server, "a", "b")
        await add(server, "a")
        await command(server, "pause")
        await command(server, "bed", clear=True)
        await server.settle(60)
        assert (server.begun, (await server.get("/api/queue")).json["waiting"]) == ([], "the queue is paused")
        await server.post("/api/files/local/b.gcode", {"command": "select", "print": True})
        await wait_for_prints(server, 1)
        await command(server, "resume")
        await server.settle(60)
        assert server.begun == ["b.gcode"], "there is something on the bed now"


async def test_a_file_that_is_replaced_after_its_check_waits_to_be_checked_again(tmp_path, monkeypatch):
    async with queueing(tmp_path) as server:
        await upload_cubes(server, "a")
        check, path = server.service.watch.check, server.service.files.root / "a.gcode"

        async def check_and_replace(chosen, patience, **more):
            passed = await check(chosen, patience, **more)
            path.write_bytes(cube("b", 20))
            return passed

        await add(server, "a")
        with monkeypatch.context() as patched:
            patched.setattr(server.service.watch, "check", check_and_replace)
            await command(server, "bed", clear=True)
            await server.settle(60)
        [entry] = (await server.get("/api/queue")).json["entries"]
        assert (entry["state"], entry["done"]) == ("waiting", 0)
        assert "a.gcode was changed after it had been checked" in entry["reason"]
        await command(server, "bed", clear=True)
        await until(lambda: server.service.jobs.state is JobState.COMPLETED)
        assert (await server.get("/api/queue")).json["entries"] == []


async def test_a_print_begun_during_the_check_of_a_file_occupies_the_bed(tmp_path, monkeypatch):
    async with queueing(tmp_path) as server:
        await upload_cubes(server, "a", "b")
        check, others = server.service.watch.check, []

        async def slow(chosen, patience, **more):
            if chosen.path == "a.gcode" and not others:
                others.append(await server.post("/api/files/local/b.gcode", {"command": "select", "print": True}))
                await wait_for_prints(server, 1)
            return await check(chosen, patience, **more)

        monkeypatch.setattr(server.service.watch, "check", slow)
        await add(server, "a")
        await command(server, "bed", clear=True)
        await server.settle(120)
        assert server.begun == ["b.gcode"]
        assert not (await server.get("/api/queue")).json["bed"]["clear"]


# -- files that cannot be printed ------------------------------------------------------------------------------


async def test_refused_and_deleted_files_are_skipped_and_moved_ones_followed(tmp_path):
    async with queueing(tmp_path) as server:
        await upload_cubes(server, "bad", "gone", "moved")
        events = []
        server.service.front.events.subscribe(lambda notice: events.append((notice.name, notice.payload)))
        for name in ("bad", "gone", "moved"):
            await add(server, name)
        await server.delete("/api/files/local/gone.gcode")
        assert (await server.post("/api/files/local/moved.gcode", {"command": "move", "destination": "m.gcode"})).json
        assert await entries(server) == [("bad", "waiting", 0), ("gone", "missing", 0), ("m", "waiting", 0)]

        async def check(selected, patience):
            if selected.name == "bad.gcode":
                raise UnfitFile("it is too large")
            return PrintableFile(None, has_findings=True)

        with patch("daemon.front.analysis.watch.Watch.check", lambda _, *arguments: check(*arguments)):
            await command(server, "bed", clear=True)
            await wait_for_prints(server, 1)
        assert server.begun == ["m.gcode"]
        rows = (await server.get("/api/queue")).json["entries"]
        assert [(each["name"], each["state"], bool(each["reason"])) for each in rows] == [
            ("bad.gcode", "refused", True),
            ("gone.gcode", "missing", True),
        ]
        assert [payload["state"] for name, payload in events if name == "QueueEntryRefused"] == ["refused"]
        await upload_cubes(server, "gone")
        assert (await entries(server))[1] == ("gone", "waiting", 0)


# -- once --------------------------------------------------------------------------------------------------------


async def test_an_entry_added_twice_with_one_key_is_one(tmp_path):
    async with queueing(tmp_path) as server:
        await upload_cubes(server, "a")
        answers = [await command(server, "add", path="a.gcode", job="k") for _ in range(2)]
        assert [each.status for each in answers] == [201, 201]
        assert answers[0].json == answers[1].json
        assert (await command(server, "add", path="a.gcode", copies=2, job="k")).status == 422
        await command(server, "bed", clear=True)
        await wait_for_prints(server, 1)
        again = await command(server, "add", path="a.gcode", job="k")
        assert (again.status, again.json["state"], again.headers["Idempotent-Replayed"]) == (201, "done", "true")
        assert await entries(server) == []


async def test_the_queue_survives_a_restart_but_not_the_clear_bed(tmp_path):
    async with queueing(tmp_path) as server:
        await upload_cubes(server, "a", "b")
        await add(server, "a")
        await add(server, "b")
        await command(server, "pause")
        await command(server, "bed", clear=True)
        await command(server, "change", id=1, notes="kept")
    async with queueing(tmp_path) as server:
        await server.settle(30)
        answer = (await server.get("/api/queue")).json
        assert ([each["notes"] for each in answer["entries"]], answer["paused"]) == (["kept", ""], True)
        assert not answer["bed"]["clear"], "a user may have printed from the SD card"


async def test_a_restarted_front_remembers_a_clear_bed_unless_something_was_printed(tmp_path):
    async with core_in(tmp_path) as core:
        while not core.connection.ready:  # noqa: ASYNC110 - as clients do
            await asyncio.sleep(0.1)
        desk = Desk(core)
        async with front_of(core, tmp_path, MemoryChannel(desk)) as front:
            await front.queue.set_bed(clear=True, by="me")
        async with front_of(core, tmp_path, MemoryChannel(desk)) as front:
            await asyncio.sleep(10)
            assert front.queue.document.bed.clear
        panel = core.connection.printer._reports.panel
        for begins in (True, False):  # while there is no front
            panel.expect_print() if begins else setattr(panel, "print", None)
            core.connection.printer._reports._publish(PanelPrintChanged(panel.print))
        async with front_of(core, tmp_path, MemoryChannel(desk)) as front:
            await asyncio.sleep(10)
            assert not front.queue.document.bed.clear


CARD = {"CUBE.GCO": b"G4 S1\n"}


def with_card(_address, settings, _wrap, _logbook):
    firmware = Firmware(FirmwareConfig(sd_card=True, sd_files=CARD, autoreport=False))
    return LinePrinter(SimulatedTransport(firmware), settings)


async def happen(server, what: str) -> None:
    """Do something that may leave a part on the bed, and wait for its end."""
    core = server.service.core
    if what == "panel":
        core.connection.printer._transport.start_panel_print("CUBE.GCO", 6)
    elif what == "console":
        await server.post("/api/printer/command", {"commands": ["M23 CUBE.GCO", "M24"]})
    elif what == "extrusion":
        await server.post("/api/printer/command", {"commands": ["G91", "G1 X1 E0.5 F300"]})
    elif what == "disconnection":
        await server.post("/api/connection", {"command": "disconnect"})
        await server.post("/api/connection", {"command": "connect"})
    else:
        core.connection.printer._transport.reset()
    await server.settle(30)
    assert core.connection.ready
    assert core.connection.panel_print is None


@pytest.mark.parametrize(
    ("what", "when"),
    [
        *((what, "before") for what in ("console", "disconnection", "reset", "extrusion")),
        ("panel", "while the file is looked at"),
        ("disconnection", "while the file is looked at"),
        ("panel", "at last"),
    ],
)
async def test_anything_that_may_be_on_the_bed_revokes_its_confirmation(tmp_path, monkeypatch, what, when):
    monkeypatch.setattr("daemon.core.connection.making.create", with_card)

    def first(work):
        async def late(*arguments, **wishes):
            await happen(server, what)
            return await work(*arguments, **wishes)

        return late

    async with queueing(tmp_path) as server:
        await upload_cubes(server, "a")
        with monkeypatch.context() as patched:
            if when == "while the file is looked at":
                patched.setattr(Watch, "check", first(Watch.check))
            elif when == "at last":
                patched.setattr(RemoteJobs, "begin", first(RemoteJobs.begin))
            assert (await command(server, "bed", clear=True)).status == 200
            if when == "before":
                await happen(server, what)
            await add(server, "a")
            if (what, when) == ("panel", "while the file is looked at"):
                await server.settle(2)
                assert not (await server.get("/api/queue")).json["bed"]["clear"], "told at once"
            await server.settle(60)
        assert server.begun == []
        answer = (await server.get("/api/queue")).json
        assert (answer["bed"]["clear"], [each["state"] for each in answer["entries"]]) == (False, ["waiting"])
        await command(server, "bed", clear=True)
        await wait_for_prints(server, 1)


async def test_the_bed_of_a_missing_printer_cannot_be_confirmed_clear(tmp_path):
    async with queueing(tmp_path, address="") as server:
        refused = await command(server, "bed", clear=True)
        assert (refused.status, "the printer is not connected" in refused.error) == (409, True)
        assert (await command(server, "bed", clear=False)).status == 200


@asynccontextmanager
async def core_in(folder):
    async with AsyncExitStack() as stack:
        yield await core_building.begin_core(stack, config(folder), BOOT, lambda: NOW)


@asynccontextmanager
async def front_of(core, folder, channel):
    async with AsyncExitStack() as stack:
        yield await front_building.begin(stack, config(folder), BOOT, lambda: NOW, channel)


class Lossy(MemoryChannel):
    """A bridge that may break before a question has arrived, or before its answer has."""

    lost_before = lost_after = -1

    async def ask(self, question):
        self.lost_before, self.lost_after = self.lost_before - 1, self.lost_after - 1
        if self.lost_before == 0:
            raise CoreAway("the connection was lost")
        answer = await super().ask(question)
        if self.lost_after == 0:
            raise CoreAway("the connection was lost")
        return answer


LIVES = st.lists(
    st.tuples(st.sampled_from(["before", "after", "no"]), st.integers(1, 9), st.sampled_from([0.1, 1.0, 5.5, 30.0])),
    min_size=2,
    max_size=5,
)


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cores=st.lists(LIVES, min_size=1, max_size=2))
def test_each_copy_begins_once_at_most_and_on_a_clear_bed_whatever_process_dies(tmp_path_factory, cores):
    """Fronts die at any time and lose questions and answers; cores are restarted. Each front clears the bed."""
    folder = tmp_path_factory.mktemp("state")
    (folder / "uploads").mkdir()
    for name in ("a", "b"):
        (folder / "uploads" / f"{name}.gcode").write_bytes(cube(name))

    async def main() -> None:
        begun, cleared = [], 0
        entered = False
        for lives in [*cores, [("no", 1, 40.0)] * 4]:
            async with core_in(folder) as core:
                jobs = core.jobs
                jobs.subscribe(
                    lambda state, jobs=jobs: begun.append(jobs.selected.name) if state is JobState.STARTING else None
                )
                while not core.connection.ready:  # noqa: ASYNC110 - as clients do
                    await asyncio.sleep(0.1)
                desk = Desk(core)
                for lost, at, seconds in lives:
                    channel = Lossy(desk)
                    async with front_of(core, folder, channel) as front:
                        if not entered:
                            for name, copies in (("a", 2), ("b", 1)):
                                entry = Entry(0, f"{name}.gcode", f"{name}.gcode", NOW, copies=copies)
                                await front.queue.add(entry, front=False)
                            entered = True
                        setattr(channel, f"lost_{lost}", at)
                        try:
                            await front.queue.set_bed(clear=True, by="me")
                            cleared += 1
                        except (JobConflict, CoreAway, StoreError):
                            pass
                        await asyncio.sleep(seconds)
                        assert len(begun) <= cleared, "each print needs a cleared bed"
        counts = {name: begun.count(f"{name}.gcode") for name in ("a", "b")}
        interrupted = [each for each in front.queue.document.entries if each.state == "failed"]
        assert counts["a"] <= 2
        assert counts["b"] <= 1
        assert interrupted or begun == ["a.gcode", "a.gcode", "b.gcode"]

    run(main())


async def test_an_entry_that_cannot_be_stored_is_refused(tmp_path):
    async with queueing(tmp_path) as server:
        await upload_cubes(server, "a")
        with patch("daemon.front.cache.cache.Cache.keep", side_effect=StoreError("the disk is full")):
            assert (await command(server, "add", path="a.gcode")).status == 500
        assert await entries(server) == []


# -- storage ----------------------------------------------------------------------------------------------------


async def leave_queue(folder) -> None:
    """Leave a queue behind that waits for the bed."""
    async with queueing(folder) as server:
        await upload_cubes(server, "a")
        await add(server, "a", copies=3, job="k")


@contextmanager
def front_db(folder):
    with closing(sqlite3.connect(folder / "front.db")) as db, db:
        yield db


async def test_an_unreadable_queue_is_not_overwritten_and_read_once_possible(tmp_path):
    await leave_queue(tmp_path)
    load = QueueStore.load
    with patch.object(QueueStore, "load", side_effect=StoreError("the disk does not answer")) as broken:
        async with queueing(tmp_path) as server:
            for answer in (
                await server.get("/api/queue"),
                await server.get("/api/queue/1"),
                await command(server, "add", path="a.gcode"),
                await command(server, "add", path="a.gcode", job="k"),
                await command(server, "clear"),
                await command(server, "bed", clear=True),
            ):
                assert (answer.status, "cannot be read" in answer.json["error"]) == (500, True)
            assert "the disk does not answer" in server.service.front.queue.reason_to_wait()
            await server.delete("/api/files/local/a.gcode")
            await upload_cubes(server, "a")
            await server.settle(20)
            broken.side_effect = None
            with patch.object(QueueStore, "load", load):
                assert await entries(server) == [("a", "waiting", 0)]
                assert (await command(server, "add", path="a.gcode")).json["id"] == 2
                await command(server, "bed", clear=True)
                await wait_for_prints(server, 1)


@pytest.mark.parametrize("content", ["{}]", '"text"', b"\xff\xfe{", "[" * 10_000, '{"entries": [{"id": "x"}]}'])
async def test_a_damaged_queue_is_set_aside_and_reported(tmp_path, capsys, content):
    await leave_queue(tmp_path)
    with front_db(tmp_path) as db:
        db.execute("UPDATE documents SET content = ?", (content,))
        db.execute("UPDATE queue_keys SET entry = ?", (content,))
    capsys.readouterr()
    async with queueing(tmp_path) as server:
        assert "file.damaged" in capsys.readouterr().out
        assert await entries(server) == []
        assert (await command(server, "add", path="a.gcode", job="k")).status == 500, (
            "the job may have been in the queue"
        )
        await add(server, "a")
    with front_db(tmp_path) as db:
        [(damaged,)] = db.execute("SELECT content FROM documents WHERE name = 'queue.damaged'")
    assert damaged == content


@pytest.mark.parametrize("lost", ["all of it", "what is newer than a backup"])
async def test_a_copy_whose_record_was_lost_is_printed_again_only_on_request(tmp_path, lost):
    async with queueing(tmp_path) as server:
        await upload_cubes(server, "a")
        await server.upload(("file", "b.gcode", cube("b", 3000)))
        await server.post("/api/files/local/a.gcode", {"command": "select", "print": True})
        await wait_for_prints(server, 1)
        await add(server, "b", copies=2)
        await command(server, "bed", clear=True)
        await until(lambda: server.service.front.queue.document.entries[0].state == "printing")
    if lost == "all of it":
        (tmp_path / "nozzled.db").unlink()
    else:
        with closing(sqlite3.connect(tmp_path / "nozzled.db")) as db, db:
            db.execute("DELETE FROM jobs WHERE path = 'b.gcode'")
    async with queueing(tmp_path) as server:
        await server.settle(30)
        [entry] = (await server.get("/api/queue")).json["entries"]
        assert (entry["state"], entry["done"]) == ("failed", 0)
        assert "unknown whether this copy was printed" in entry["reason"]
        assert (await command(server, "bed", clear=True)).status == 200
        await server.settle(30)
        assert server.begun == []
        await command(server, "retry", id=entry["id"])
        await until(lambda: server.begun == ["b.gcode"])


@pytest.mark.parametrize("record", ["kept", "lost", "another"])
async def test_an_unanswered_copy_is_queued_again_only_if_the_record_is_unchanged(tmp_path, record):
    async with queueing(tmp_path) as server:
        await upload_cubes(server, "a", "b")
        await server.post("/api/files/local/a.gcode", {"command": "select", "print": True})
        await wait_for_prints(server, 1)

        async def lost(*_, **__):
            with closing(sqlite3.connect(tmp_path / "nozzled.db")) as db, db:
                if record == "lost":
                    db.execute("DELETE FROM jobs")
                elif record == "another":
                    db.execute("UPDATE jobs SET started_at = started_at + 60")
            raise CoreAway("the connection was lost")

        with patch.object(RemoteJobs, "begin", lost):
            await add(server, "b")
            await command(server, "bed", clear=True)
            await server.settle(10)
        expected = "waiting" if record == "kept" else "failed"
        assert await entries(server) == [("b", expected, 0)]
        await command(server, "bed", clear=True)
        await server.settle(60)
        assert server.begun == (["a.gcode", "b.gcode"] if record == "kept" else ["a.gcode"])


async def test_a_file_that_is_moved_while_its_copy_begins_is_found_for_the_next_one():
    queue = Document()
    entry = queue.add(Entry(0, "parts/a.gcode", "a.gcode", NOW, copies=2), front=False)
    for state in ("waiting", "beginning", "printing", "failed"):
        entry.state = state
        assert queue.follow_move("parts", state)
        assert entry.path == f"{state}/a.gcode"
        queue.follow_move(state, "parts")


async def test_a_refusal_has_the_reasons_of_its_own_file(tmp_path):
    async with queueing(tmp_path) as server:
        await upload_cubes(server, "bad")

        async def check(watch, selected, patience):
            watch.refusal = FileRefusal("other.gcode", "other.gcode", ["it is somebody else's"])  # requested meanwhile
            raise UnfitFile("bad.gcode should not be printed: it is too large", ["it is too large"])

        with patch("daemon.front.analysis.watch.Watch.check", check):
            await add(server, "bad")
            await command(server, "bed", clear=True)
            await server.settle(5)
        [entry] = (await server.get("/api/queue")).json["entries"]
        assert entry["reason"] == "it is too large"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"command": "add", "path": "none.gcode"}, 404),
        ({"command": "add", "path": "../x"}, 400),
        ({"command": "add", "path": 5}, 400),
        ({"command": "add", "path": "/"}, 400),
        ({"command": "add", "path": "a.gcode", "copies": 0}, 400),
        ({"command": "add", "path": "a.gcode", "copies": True}, 400),
        ({"command": "add", "path": "a.gcode", "notes": "\ud800"}, 400),
        ({"command": "add", "path": "a.gcode", "material": "x" * 61}, 400),
        ({"command": "move", "id": 7, "to": 0}, 404),
        ({"command": "move", "id": 7}, 400),
        ({"command": "remove", "id": "1"}, 400),
        ({"command": "bed", "clear": "yes"}, 400),
        ({"command": "dance"}, 400),
    ],
)
async def test_invalid_requests_are_refused(tmp_path, body, status):
    async with queueing(tmp_path, address="") as server:
        await upload_cubes(server, "a")
        assert (await server.post("/api/queue", body)).status == status


async def test_an_entry_is_not_taken_for_another_whose_number_begins_alike(tmp_path):
    async with api(tmp_path, "") as server:
        await server.upload(("file", "a.gcode", b"G28\n"))
        await add(server, "a")
        for number in (10**15, "0000000000000010"):
            assert (await server.get(f"/api/queue/{number}")).status == 404
            assert (await server.delete(f"/api/queue/{number}")).status == 404
        assert (await server.get("/api/queue/1")).status == 200
