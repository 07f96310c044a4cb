"""The dispatcher on virtual time: offers, claims, leases, cancels, and lost messages."""

import asyncio
import hashlib
import shutil
from contextlib import asynccontextmanager, suppress

import pytest

from daemon.farm.carrier.errors import FarmRefused, FarmUnreachable
from daemon.farm.carrier.memory import FarmFaults, FarmInMemory
from daemon.farm.errors import ListAway, NoSuchJob, UnknownFile
from daemon.farm.http.uploads import picture_of
from daemon.farm.list.job_list import JobList
from daemon.farm.list.values import FileFacts, JobRequest
from daemon.farm.messages import OrderAnswer, Presence, Report
from daemon.farm.server import files as server_files
from daemon.farm.server.dispatcher import Dispatcher
from daemon.farm.server.files import FarmFiles
from daemon.farm.server.list_thread import ListThread
from daemon.farm.server.service import drop_old_files
from support.waiting import meanwhile, until

GCODE = b"G28\nG1 X10 Y10\n"
SHA = hashlib.sha256(GCODE).hexdigest()


class Printer:
    """An agent controlled by the test."""

    def __init__(self, farm, name):
        self.name, self.end = name, farm.agent(name)
        self.ready, self.copy = True, ""
        self.offered, self.orders = [], []
        self.end.set_order_handler(self.obey)

    async def obey(self, order):
        self.orders.append(order)
        return OrderAnswer(ok=True)

    async def run(self):
        listening = asyncio.ensure_future(self.listen())
        running_end = asyncio.ensure_future(self.end.run())
        try:
            while True:
                with suppress(FarmUnreachable):
                    await self.say()
                await asyncio.sleep(10)
        finally:
            listening.cancel()
            running_end.cancel()

    async def say(self, **more):
        at = asyncio.get_running_loop().time()
        self.said_at = at
        await self.end.report_presence(Presence(at, "boot", ready=self.ready, copy=self.copy, **more))

    async def listen(self):
        async for offer in self.end.receive_offers():
            if not self.offered or self.offered[-1] != offer:
                self.offered.append(offer)

    async def offer(self):
        await until(lambda: self.offered and self.offered[-1], f"an offer to {self.name}", 600)
        return self.offered[-1]


class Farm:
    def __init__(self, folder, memory):
        self.folder, self.memory = folder, memory
        self.now = 1_000_000.0

    def wall(self):
        return self.now + self.loop.time()

    async def begin(self, number=0):
        self.loop = asyncio.get_running_loop()
        jobs, end = ListThread(), self.memory.server()
        await jobs.open(lambda: JobList(f"sqlite:///{self.folder}/farm.db", self.wall))
        files = FarmFiles(self.folder / f"cache{number}", end, 1 << 20)
        await files.open()
        return jobs, files, Dispatcher(jobs, end, files, self.wall)


@asynccontextmanager
async def serving(farm, number=0):
    jobs, files, dispatcher = await farm.begin(number)
    try:
        async with meanwhile(dispatcher.run(), files.run()):
            yield jobs, files, dispatcher
    finally:
        await jobs.close()


async def submit(jobs, files, folder, copies=1, **wish):
    path = folder / "upload"
    path.write_bytes(GCODE)
    sha, size = await files.add(path)
    await jobs.call(lambda each: each.put_file(FileFacts(sha256=sha, size=size, name="cube.gcode")))
    return await jobs.call(lambda each: each.add(JobRequest(sha256=sha, copies=copies, **wish)))


async def states(jobs, job):
    return [copy.state for copy in await jobs.call(lambda each: each.copies(job.id))]


@pytest.fixture
def farm(tmp_path):
    return Farm(tmp_path, FarmInMemory())


async def test_the_list_is_in_no_trouble_once_its_database_answers_even_with_a_refusal(farm):
    jobs, _, _ = await farm.begin()

    def fail(_list):
        raise ListAway("the disk is gone")

    with pytest.raises(ListAway):
        await jobs.call(fail)
    assert jobs.trouble == "the disk is gone"
    with pytest.raises(NoSuchJob):
        await jobs.call(lambda each: each.job("1"))
    assert jobs.trouble == ""
    await jobs.close()


async def test_a_ready_printer_gets_an_offer_the_file_and_its_claim(farm, tmp_path):
    mk3, mk4 = Printer(farm.memory, "mk3"), Printer(farm.memory, "mk4")
    mk4.ready = False
    async with serving(farm) as (jobs, files, _), meanwhile(mk3.run(), mk4.run()):
        job = await submit(jobs, files, tmp_path)
        offer = await mk3.offer()
        assert (offer.attempt, offer.sha256, offer.size, offer.job) == (1, SHA, len(GCODE), job.id)
        assert await mk3.end.fetch_chunk(offer.copy, 1, 0) == GCODE
        assert await mk3.end.fetch_chunk(offer.copy, 1, len(GCODE)) == b""
        with pytest.raises(FarmRefused, match="no longer offered to mk4"):
            await mk4.end.fetch_chunk(offer.copy, 1, 0)
        assert not (await mk4.end.claim(offer.copy, 1, "n")).yes
        assert not (await mk3.end.claim(offer.copy, 2, "n")).yes
        assert not (await mk3.end.claim(offer.copy, 1, "")).yes
        assert (await mk3.end.claim(offer.copy, 1, "n")).yes
        assert (await mk3.end.claim(offer.copy, 1, "n")).yes  # its answer was lost
        assert not (await mk3.end.claim(offer.copy, 1, "another")).yes
        assert [each.nonce for each in (await mk3.end.fetch_holdings()).copies] == ["n"]
        for kind in ("printing", "done"):
            await mk3.end.report(Report(offer.copy, 1, kind, 1.0, nonce="n"))
        await asyncio.sleep(5)
        assert await states(jobs, job) == ["done"]
        assert mk4.offered == []


async def test_a_copy_is_offered_to_another_printer_when_its_lease_ends(farm, tmp_path):
    dead = Printer(farm.memory, "dead")
    async with serving(farm) as (jobs, files, _):
        async with meanwhile(dead.run()):
            job = await submit(jobs, files, tmp_path)
            first = await dead.offer()
            await asyncio.sleep(40)
            assert (await dead.end.renew(first.copy, 1)).yes
            await asyncio.sleep(40)
            assert await states(jobs, job) == ["offered"]
        late = dead.end
        good = Printer(farm.memory, "good")
        async with meanwhile(good.run(), late.run()):
            second = await good.offer()
            assert (second.copy, second.attempt) == (first.copy, 2)
            assert not (await late.claim(first.copy, 1, "n")).yes
            assert (await good.end.claim(first.copy, 2, "n")).yes


async def test_a_claim_stays_however_long_its_printer_is_silent(farm, tmp_path):
    mk3 = Printer(farm.memory, "mk3")
    async with serving(farm) as (jobs, files, dispatcher):
        async with meanwhile(mk3.run()):
            job = await submit(jobs, files, tmp_path)
            offer = await mk3.offer()
            assert (await mk3.end.claim(offer.copy, 1, "n")).yes
        other = Printer(farm.memory, "other")
        async with meanwhile(other.run()):
            await asyncio.sleep(600)
            assert await states(jobs, job) == ["claimed"]
            assert dispatcher.is_away("mk3")
            assert not dispatcher.is_away("other")
            assert other.offered == []
            await jobs.call(lambda each: each.settle(offer.copy, "failed", "anna"))
            await jobs.call(lambda each: each.print_again(offer.copy, "anna"))
            assert (await other.offer()).copy != offer.copy


async def test_a_printer_holds_one_copy_and_gets_the_next_when_it_is_ready_again(farm, tmp_path):
    mk3 = Printer(farm.memory, "mk3")
    async with serving(farm) as (jobs, files, _), meanwhile(mk3.run()):
        job = await submit(jobs, files, tmp_path, copies=2)
        offer = await mk3.offer()
        assert (await mk3.end.claim(offer.copy, 1, "n")).yes
        await asyncio.sleep(100)  # it says that it is ready, which is wrong
        assert await states(jobs, job) == ["claimed", "waiting"]
        await mk3.end.report(Report(offer.copy, 1, "not_begun", 1.0, nonce="n"))
        await until(lambda: mk3.offered[-1].attempt == 2, "the same copy again", 60)
        assert mk3.offered[-1].copy == offer.copy


async def test_an_offer_cancelled_by_the_user_is_withdrawn_and_cannot_be_claimed(farm, tmp_path):
    mk3 = Printer(farm.memory, "mk3")
    async with serving(farm) as (jobs, files, _), meanwhile(mk3.run()):
        job = await submit(jobs, files, tmp_path)
        offer = await mk3.offer()
        await jobs.call(lambda each: each.cancel_job(job.id))
        await until(lambda: mk3.offered[-1] is None, "the offer to be withdrawn", 60)
        assert not (await mk3.end.claim(offer.copy, 1, "n")).yes
        assert not (await mk3.end.renew(offer.copy, 1)).yes


async def test_a_cancel_of_a_print_is_repeated_until_its_printer_reports_the_end(farm, tmp_path):
    mk3 = Printer(farm.memory, "mk3")
    async with serving(farm) as (jobs, files, _), meanwhile(mk3.run()):
        job = await submit(jobs, files, tmp_path)
        offer = await mk3.offer()
        await mk3.end.claim(offer.copy, 1, "n")
        farm.memory.cut("mk3")
        await jobs.call(lambda each: each.cancel_job(job.id))
        await asyncio.sleep(120)
        assert mk3.orders == []
        farm.memory.mend("mk3")
        await asyncio.sleep(60)
        assert {(order.verb, order.copy) for order in mk3.orders} == {("cancel", offer.copy)}
        assert mk3.orders[-1].boot == "boot"
        assert mk3.orders[-1].until == pytest.approx(mk3.said_at + 10, abs=0.1)
        assert len(mk3.orders) >= 3
        assert (await mk3.end.fetch_holdings()).copies[0].cancel
        await mk3.end.report(Report(offer.copy, 1, "cancelled", 1.0, nonce="n"))
        await asyncio.sleep(20)
        before = len(mk3.orders)
        await asyncio.sleep(60)
        assert len(mk3.orders) == before
        assert await states(jobs, job) == ["cancelled"]


async def test_a_restarted_server_requeues_only_expired_offers(farm, tmp_path):
    one, two = Printer(farm.memory, "one"), Printer(farm.memory, "two")
    async with meanwhile(one.run(), two.run()):
        async with serving(farm) as (jobs, files, _):
            job = await submit(jobs, files, tmp_path, copies=3)
            first, second = await one.offer(), await two.offer()
            assert (await one.end.claim(first.copy, 1, "n")).yes
        await asyncio.sleep(10)
        with pytest.raises(FarmUnreachable):
            await two.end.claim(second.copy, 1, "m")
        async with serving(farm) as (jobs, files, _):
            assert sorted(await states(jobs, job)) == ["claimed", "offered", "waiting"]
            assert (await two.end.claim(second.copy, 1, "m")).yes
            assert (await one.end.claim(first.copy, 1, "n")).yes
        await asyncio.sleep(600)
        async with serving(farm) as (jobs, files, _):
            await asyncio.sleep(100)
            assert sorted(await states(jobs, job)) == ["claimed", "claimed", "waiting"]


async def test_without_nats_nothing_is_offered_and_the_list_still_answers(farm, tmp_path):
    mk3 = Printer(farm.memory, "mk3")
    async with serving(farm) as (jobs, files, dispatcher), meanwhile(mk3.run()):
        await asyncio.sleep(1)
        farm.memory.stop()
        job = await submit(jobs, files, tmp_path)
        await asyncio.sleep(300)
        assert "NATS" in dispatcher.trouble
        assert await states(jobs, job) == ["waiting"]
        assert files.new_file_count == 1
        farm.memory.start()
        assert (await mk3.offer()).job == job.id
        assert dispatcher.trouble == ""
        await until(lambda: SHA in farm.memory.files, "the file to be stored", 60)


async def test_a_copy_that_fails_too_often_is_published_with_its_reason(farm, tmp_path):
    async with serving(farm) as (jobs, files, _):
        job = await submit(jobs, files, tmp_path)
        for number in range(1, 4):
            printer = Printer(farm.memory, f"p{number}")
            async with meanwhile(printer.run()):
                offer = await printer.offer()
                assert offer.attempt == number
                await printer.end.report(Report(offer.copy, number, "declined", 1.0, reason="its card is full"))
                await asyncio.sleep(5)
                printer.ready = False
        assert await states(jobs, job) == ["failed"]
        (failure,) = farm.memory.failures
        assert (failure.copy, failure.reason, failure.job) == (offer.copy, "its card is full", job.id)


async def test_a_stream_that_stores_no_failure_blocks_no_printer(farm, tmp_path, monkeypatch):
    async def full(*_):
        raise FarmUnreachable("NATS did not store the message: insufficient storage")

    monkeypatch.setattr("daemon.farm.carrier.memory.MemoryServerEnd.store_failed", full)
    mk3 = Printer(farm.memory, "mk3")
    async with serving(farm) as (jobs, files, _), meanwhile(mk3.run()):
        job = await submit(jobs, files, tmp_path)
        offer = await mk3.offer()
        assert (await mk3.end.claim(offer.copy, 1, "n")).yes
        await mk3.end.report(Report(offer.copy, 1, "failed", 1.0, nonce="n", reason="it came loose"))
        assert await states(jobs, job) == ["failed"]


async def test_a_lost_offer_is_repeated_and_an_outdated_presence_ignored(farm, tmp_path):
    farm.memory.faults = FarmFaults(loss=1.0)
    mk3 = Printer(farm.memory, "mk3")
    async with serving(farm) as (jobs, files, dispatcher), meanwhile(mk3.run()):
        await submit(jobs, files, tmp_path)
        await dispatcher.on_presence("mk3", Presence(50.0, "boot", ready=True))
        await asyncio.sleep(3)
        assert mk3.offered == []
        await dispatcher.on_presence("mk3", Presence(49.0, "boot", ready=False))
        farm.memory.faults = FarmFaults()
        await dispatcher.on_presence("mk3", Presence(60.0, "boot", ready=True))
        assert (await mk3.offer()).attempt == 1


async def test_two_agents_with_one_name_get_no_offers_until_one_is_gone(farm, tmp_path):
    async with serving(farm) as (jobs, files, dispatcher):
        await dispatcher.on_presence("mk1", Presence(1.0, "first", ready=True))
        for number in range(3):
            for boot in ("second", "first"):
                await dispatcher.on_presence("mk1", Presence(2.0 + number, boot, ready=True))
                await asyncio.sleep(5)
        assert "two agents have the name mk1" in dispatcher.presences["mk1"].reason
        job = await submit(jobs, files, tmp_path)
        await asyncio.sleep(10)
        assert await states(jobs, job) == ["waiting"]
        for number in range(8):
            await dispatcher.on_presence("mk1", Presence(20.0 + number, "second", ready=True))
            await asyncio.sleep(10)
        assert dispatcher.presences["mk1"].reason == ""
        assert "offered" in await states(jobs, job)


async def test_a_restarted_agent_and_a_late_presence_are_not_two_agents(farm):
    async with serving(farm) as (_, _, dispatcher):
        for boot in ("first", "second", "first", "second", "third"):
            await dispatcher.on_presence("mk1", Presence(1.0, boot, ready=True))
            await asyncio.sleep(40)
        assert dispatcher.presences["mk1"].ready
        assert dispatcher.silence_of("mk1") < 50


async def test_two_servers_with_one_list_offer_no_copy_twice(farm, tmp_path):
    printers = [Printer(farm.memory, f"p{number}") for number in range(6)]
    async with serving(farm, 1) as (jobs, files, _), serving(farm, 2), meanwhile(*(each.run() for each in printers)):
        job = await submit(jobs, files, tmp_path, copies=6)
        offers = [await each.offer() for each in printers]
        assert len({offer.copy for offer in offers}) == 6
        for printer, offer in zip(printers, offers, strict=True):
            assert (await printer.end.claim(offer.copy, offer.attempt, "n")).yes
            await printer.end.report(Report(offer.copy, offer.attempt, "printing", 1.0, nonce="n"))
        await asyncio.sleep(5)
        assert await states(jobs, job) == ["printing"] * 6


async def test_a_file_evicted_from_the_cache_is_read_from_the_object_store(farm, tmp_path):
    jobs, files, _ = await farm.begin()
    files.max_bytes = 10
    async with meanwhile(files.run()):
        named = []
        for text in (b"first file", b"second file"):
            (tmp_path / "upload").write_bytes(text)
            named.append((await files.add(tmp_path / "upload"))[0])
            await until(lambda: not files.new_file_count, "the file to be stored", 60)
        assert len([*(tmp_path / "cache0").iterdir()]) == 1
        assert await files.read_chunk(named[0], 6) == b"file"
        with pytest.raises(FarmRefused, match="no file"):
            await files.read_chunk("0" * 64, 0)
        (tmp_path / "cache0" / f"{named[0]}.gcode").unlink()  # by another program
        assert await files.read_chunk(named[0], 0) == b"first file"
    await jobs.close()


@pytest.mark.parametrize("error", [FarmUnreachable("the connection was lost"), OSError(28, "No space left on device")])
async def test_what_has_arrived_of_a_file_before_an_error_does_not_stay(farm, tmp_path, monkeypatch, error):
    """No limit counts such parts, so they would fill the disk until the next start of the server."""
    jobs, files, _ = await farm.begin()

    async def broken(sha256, path):
        path.write_bytes(GCODE[:10])
        raise error

    monkeypatch.setattr(files._end, "get_file", broken)
    for sha256 in (SHA, "0" * 64):
        with pytest.raises(FarmUnreachable):
            await files.read_chunk(sha256, 0)
    assert [*(tmp_path / "cache0").iterdir()] == []
    await jobs.close()


async def test_a_file_uploaded_twice_at_once_is_stored(farm, tmp_path, monkeypatch):
    jobs, files, _ = await farm.begin()
    move, moves, second = shutil.move, [], tmp_path / "second"
    second.write_bytes(GCODE)

    def moved_by_both(source, target):
        """Have the second upload move its file before the first one gives its own the final name."""
        move(source, target)
        moves.append(target)
        if len(moves) == 1:
            server_files._move(second, tmp_path / "cache0" / f"{SHA}.new")

    monkeypatch.setattr(shutil, "move", moved_by_both)
    (tmp_path / "first").write_bytes(GCODE)
    assert await files.add(tmp_path / "first") == (SHA, len(GCODE))
    assert await files.read_chunk(SHA, 0) == GCODE
    await jobs.close()


async def test_a_file_that_nats_has_lost_is_stored_again_by_an_upload(farm, tmp_path):
    async with serving(farm) as (jobs, files, _):
        await submit(jobs, files, tmp_path)
        await until(lambda: SHA in farm.memory.files, "the file to be stored", 60)
        farm.memory.files.clear()
        await submit(jobs, files, tmp_path)
        await until(lambda: not files.new_file_count, "the file to be stored again", 60)
        assert [*farm.memory.files] == [SHA]


async def test_a_file_that_is_uploaded_while_old_files_are_dropped_stays(farm, tmp_path, monkeypatch):
    async with serving(farm) as (jobs, files, _):
        job = await submit(jobs, files, tmp_path)

        async def upload():
            (tmp_path / "other").write_bytes(b"G1")
            sha, size = await files.add(tmp_path / "other")
            await jobs.call(lambda each: each.put_file(FileFacts(sha256=sha, size=size, name="other.gcode")))
            return sha

        await asyncio.sleep(1)
        other = await upload()
        await until(lambda: not files.new_file_count, "the files to be stored", 60)
        await jobs.call(lambda each: each.cancel_job(job.id))
        farm.now += 181 * 86400
        assert await jobs.call(lambda each: each.old_files(180)) == [SHA, other]
        forget = files.forget

        async def upload_and_forget(sha256):
            await upload()
            await forget(sha256)

        monkeypatch.setattr(files, "forget", upload_and_forget)
        await drop_old_files(jobs, files, 180, tmp_path)
        assert [*farm.memory.files] == [other]
        assert (await jobs.call(lambda each: each.file(other))).name == "other.gcode"


async def test_an_old_unused_file_is_removed_and_its_history_stays(farm, tmp_path):
    async with serving(farm) as (jobs, files, _):
        job = await submit(jobs, files, tmp_path)
        await until(lambda: SHA in farm.memory.files, "the file to be stored", 60)
        picture = picture_of(tmp_path, SHA)
        picture.parent.mkdir(parents=True)
        picture.write_bytes(b"")
        farm.now += 200 * 86400
        await drop_old_files(jobs, files, 180, tmp_path)
        assert await files.read_chunk(SHA, 0) == GCODE  # it waits to be printed
        await jobs.call(lambda each: each.cancel_job(job.id))
        farm.now += 179 * 86400
        await drop_old_files(jobs, files, 180, tmp_path)
        assert SHA in farm.memory.files
        farm.now += 2 * 86400
        await drop_old_files(jobs, files, 180, tmp_path)
        assert farm.memory.files == {}
        assert not picture.exists()
        with pytest.raises(FarmRefused, match="no file"):
            await files.read_chunk(SHA, 0)
        assert await states(jobs, job) == ["cancelled"]
        with pytest.raises(UnknownFile, match="upload it"):
            await jobs.call(lambda each: each.add(JobRequest(sha256=SHA)))
        await submit(jobs, files, tmp_path)  # uploaded again, it is a new file
        assert await files.read_chunk(SHA, 0) == GCODE
