"""A hub and a site: whole jobs go over once, states come back, and a disconnected site continues printing."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from daemon.errors import StorageFull
from daemon.farm.carrier.agent_end import NatsAgentEnd
from daemon.farm.carrier.connect import NatsAddress, tls_context
from daemon.farm.carrier.errors import FarmRefused, FarmUnreachable
from daemon.farm.carrier.memory import FarmInMemory
from daemon.farm.list.job_list import JobList
from daemon.farm.list.site_jobs import MAX_ROWS
from daemon.farm.list.values import FileFacts, JobRequest
from daemon.farm.messages import Presence, Report, Tool
from daemon.farm.nats_server.folder import NatsFolder
from daemon.farm.server.files import FarmFiles
from daemon.farm.server.list_thread import ListThread
from daemon.farm.server.sites import MAX_JOBS, OwnSite, SiteHub
from support.nats import FarmServerProcess, nats_server
from support.processes import free_port
from support.waiting import meanwhile, until

GCODE = b"G28\nG1 X10 Y10\n" * 60_000  # of more than one chunk


READY = Presence(0.0, "b", ready=True, tools=[Tool("PLA")])


class Connection:
    """The connection to the hub, which loses questions or answers on request."""

    def __init__(self, hub):
        self.hub, self.cut, self.lose = hub, False, []

    async def ask(self, kind, body):
        fate = self.lose.pop(0) if self.lose else ""
        if self.cut or fate == "question":
            raise FarmUnreachable("the hub does not answer")
        answer = await self.hub.answer("munich", kind, body)
        if fate == "answer":
            raise FarmUnreachable("the hub does not answer")
        return answer


@asynccontextmanager
async def both(folder):
    """Run a hub and a site in memory; yields their lists, the hub's files, the site and the connection."""
    loop = asyncio.get_running_loop()
    lists, files = {}, {}
    for name in ("hub", "site"):
        lists[name] = ListThread()
        await lists[name].open(lambda: JobList("sqlite://", lambda: 1e9 + loop.time()))
        files[name] = FarmFiles(folder / name, FarmInMemory().server(), 1 << 30)
        await files[name].open()
    connection = Connection(SiteHub(lists["hub"], files["hub"], ("munich",)))
    try:
        yield (
            lists["hub"],
            lists["site"],
            files["hub"],
            OwnSite(lists["site"], files["site"], connection, folder),
            connection,
        )
    finally:
        for each in lists.values():
            await each.close()


async def hand_over_a_job(jobs, files, folder, copies=2):
    (folder / "upload").write_bytes(GCODE)
    sha, size = await files.add(folder / "upload")
    await jobs.call(lambda each: each.put_file(FileFacts(sha256=sha, size=size, name="cube.gcode", material="PLA")))
    job = await jobs.call(lambda each: each.add(JobRequest(sha256=sha, copies=copies, priority=5, notes="with brim")))
    await jobs.call(lambda each: each.hand_over(job.id, "munich", "anna"))
    return job


async def states(jobs, job):
    return [copy.state for copy in await jobs.call(lambda each: each.copies(job.id))]


async def print_one(jobs, printer="mk3", kind="done"):
    """Have a printer of the site take a copy, and end it."""
    offer = await jobs.call(lambda each: each.offer(printer, READY, 60))
    assert offer is not None
    assert await jobs.call(lambda each: each.claim(printer, offer.copy, offer.attempt, "n"))
    for each_kind in ("printing", kind):
        report = Report(offer.copy, offer.attempt, each_kind, 1.0, nonce="n")
        await jobs.call(lambda each, report=report: each.report(printer, report))
    return offer


@pytest.mark.parametrize("lose", [[], ["answer"], ["question", "answer"], ["", "answer", "", "answer", "answer"]])
async def test_a_job_reaches_its_site_once_despite_lost_messages(tmp_path, lose):
    async with both(tmp_path) as (hub, site_list, files, site, connection):
        connection.lose = lose
        job = await hand_over_a_job(hub, files, tmp_path)
        async with meanwhile(site.run()):
            await until(lambda: site._added_jobs, "the job", 600)
            (site_job,) = await site_list.call(lambda each: each.open_jobs())
            assert (site_job.id, site_job.copies, site_job.material, site_job.priority, site_job.notes) == (
                job.id, 2, "PLA", 5, "with brim",
            )  # fmt: skip
            assert await hub.call(lambda each: each.offer("hub-mk3", READY, 60)) is None
            await print_one(site_list)
            await asyncio.sleep(60)
            assert sorted(await states(hub, job)) == ["done", "waiting"]
            await print_one(site_list, kind="failed")
            await asyncio.sleep(60)
            assert sorted(await states(hub, job)) == ["done", "failed"]
            assert site._open_jobs == []
            assert len(await site_list.call(lambda each: each.copies(job.id))) == 2


async def test_a_job_that_cannot_be_taken_holds_up_no_other(tmp_path):
    async with both(tmp_path) as (hub, site_list, files, site, _connection), meanwhile(site.run()):
        other = await hand_over_a_job(hub, files, tmp_path, copies=3)
        await until(lambda: other.id in site._added_jobs, "the first job", 600)
        for number in range(MAX_JOBS + 1):
            sha = f"{number:064}"  # its file is lost
            await hub.call(lambda each, sha=sha: each.put_file(FileFacts(sha256=sha, size=1, name="lost.gcode")))
            lost = await hub.call(lambda each, sha=sha: each.add(JobRequest(sha256=sha)))
            await hub.call(lambda each, lost=lost: each.hand_over(lost.id, "munich"))
        await hub.call(lambda each: each.cancel_job(other.id))
        (tmp_path / "upload").write_bytes(GCODE)
        later = await hand_over_a_job(hub, files, tmp_path)
        await until(lambda: later.id in site._added_jobs, "the job behind them", 600)
        assert "job lost.gcode of the hub cannot be taken: " in site.trouble
        await asyncio.sleep(60)
        assert await states(hub, other) == ["cancelled"] * 3
        await hub.call(lambda each: each.cancel_job(lost.id))
        assert len(await site_list.call(lambda each: each.open_jobs())) == 1


async def test_jobs_with_the_longest_texts_reach_their_site(tmp_path):
    """NATS carries no message of more than 1 MiB: the site would wait for such an answer for ever."""
    async with both(tmp_path) as (hub, site_list, files, site, connection):
        (tmp_path / "upload").write_bytes(GCODE)
        sha, size = await files.add(tmp_path / "upload")
        facts = FileFacts(sha256=sha, size=size, name="cube.gcode", warnings=("😀" * 300,) * 20)
        await hub.call(lambda each: each.put_file(facts))
        printers = tuple(f"{number:032}" for number in range(200))
        request = JobRequest(sha256=sha, name="😀" * 255, notes="😀" * 4000, printers=printers)
        for _ in range(MAX_JOBS + 1):
            job = await hub.call(lambda each: each.add(request))
            await hub.call(lambda each, job=job: each.hand_over(job.id, "munich"))
        answers = []

        async def ask(kind, body):
            answers.append(await Connection.ask(connection, kind, body))
            return answers[-1]

        connection.ask = ask
        async with meanwhile(site.run()):
            await until(lambda: len(site._added_jobs) == MAX_JOBS + 1, "the jobs", 600)
        ids = 2 * MAX_ROWS * len(f'"{job.id}",')  # so many jobs may be open, and so many copies to be cancelled
        assert max(map(len, answers)) + ids < 1 << 20
        assert len(await site_list.call(lambda each: each.open_jobs())) == MAX_JOBS + 1


async def test_a_site_cut_off_continues_printing_and_reports_later(tmp_path):
    async with both(tmp_path) as (hub, site_list, files, site, connection):
        job = await hand_over_a_job(hub, files, tmp_path)
        async with meanwhile(site.run()):
            await until(lambda: site._added_jobs, "the job", 600)
            connection.cut = True
            await asyncio.sleep(60)
            assert site.trouble == "the hub does not answer"
            await print_one(site_list)
            await print_one(site_list)
            await asyncio.sleep(3600)
            assert await states(hub, job) == ["waiting", "waiting"]
            connection.cut = False
            await asyncio.sleep(60)
            assert (site.trouble, await states(hub, job)) == ("", ["done", "done"])


async def test_a_full_disk_or_an_unreadable_answer_does_not_end_a_site(tmp_path, monkeypatch):
    async with both(tmp_path) as (hub, _, files, site, connection):
        await hand_over_a_job(hub, files, tmp_path)
        ask = connection.ask

        async def unreadable(kind, body):
            await ask(kind, body)
            return b'{"open": 1}'

        async def full(_):
            raise StorageFull("cannot store the file: no space left on device")

        monkeypatch.setattr(connection, "ask", unreadable)
        monkeypatch.setattr(site._files, "add", full)
        async with meanwhile(site.run()):
            await asyncio.sleep(60)
            assert "cannot read the hub's answer" in site.trouble
            monkeypatch.setattr(connection, "ask", ask)
            await asyncio.sleep(60)
            assert "no space left" in site.trouble
            monkeypatch.undo()
            await until(lambda: site._added_jobs, "the job", 600)


async def test_a_damaged_part_of_a_file_is_fetched_again_and_not_stored(tmp_path):
    async with both(tmp_path) as (hub, _, files, site, _):
        job = await hand_over_a_job(hub, files, tmp_path)
        (tmp_path / f"{job.sha256}.site").write_bytes(b"x" * len(GCODE))
        async with meanwhile(site.run()):
            await until(lambda: site._added_jobs, "the job", 600)
        assert [each.name for each in (tmp_path / "site").iterdir()] == [f"{job.sha256}.new"]


async def test_a_cancel_at_the_hub_is_pending_until_the_site_confirms_it(tmp_path):
    async with both(tmp_path) as (hub, site_list, files, site, connection):
        job = await hand_over_a_job(hub, files, tmp_path)
        async with meanwhile(site.run()):
            await until(lambda: site._added_jobs, "the job", 600)
            offer = await site_list.call(lambda each: each.offer("mk3", READY, 60))
            await site_list.call(lambda each: each.claim("mk3", offer.copy, 1, "n"))
            connection.cut = True
            await hub.call(lambda each: each.cancel_job(job.id, "anna"))
            assert await states(hub, job) == ["waiting", "waiting"]
            connection.cut = False
            await asyncio.sleep(60)
            assert sorted(await states(site_list, job)) == ["cancelled", "claimed"]
            assert sorted(await states(hub, job)) == ["cancelled", "claimed"]
            assert [each.cancel for each in await site_list.call(lambda each: each.held_copies("mk3"))] == [True]
            await site_list.call(lambda each: each.report("mk3", Report(offer.copy, 1, "cancelled", 1.0, nonce="n")))
            await asyncio.sleep(60)
            assert await states(hub, job) == ["cancelled", "cancelled"]


async def test_a_restarted_site_reports_its_jobs_again_and_accepts_none_twice(tmp_path):
    async with both(tmp_path) as (hub, site_list, files, site, connection):
        job = await hand_over_a_job(hub, files, tmp_path)
        async with meanwhile(site.run()):
            await until(lambda: site._added_jobs, "the job", 600)
        await print_one(site_list)
        again = OwnSite(site_list, site._files, connection, tmp_path)
        async with meanwhile(again.run()):
            await asyncio.sleep(60)
        assert sorted(await states(hub, job)) == ["done", "waiting"]
        assert len(await site_list.call(lambda each: each.open_jobs())) == 1


async def test_a_site_gets_only_its_own_jobs_and_files(tmp_path):
    async with both(tmp_path) as (hub, _, files, _, connection):
        job = await hand_over_a_job(hub, files, tmp_path)
        (tmp_path / "upload").write_bytes(b"another's")
        other, _ = await files.add(tmp_path / "upload")
        with pytest.raises(FarmRefused, match="no job of munich has this file"):
            await connection.ask("file", b'{"sha256":"%s"}' % other.encode())
        with pytest.raises(FarmRefused, match="not a site of this farm"):
            await connection.hub.answer("paris", "sync", b"{}")
        for kind, body in (("sync", b"x"), ("delete", b"{}")):
            with pytest.raises(FarmRefused):
                await connection.ask(kind, body)
        assert await states(hub, job) == ["waiting", "waiting"]


@pytest.mark.nightly
@pytest.mark.real_time
async def test_a_site_is_cut_off_and_reconnects_over_two_real_nats_servers(tmp_path):
    folders, servers = {}, []
    for name in ("hub", "munich"):
        folders[name] = NatsFolder(tmp_path / name)
    folders["hub"].init(["127.0.0.1"], 4222, tmp_path / "hub/store", leaf_port=free_port())
    with nats_server(tmp_path / "hub", None) as hub_nats:
        enrolled = folders["hub"].enrol("munich", role="site")
        assert folders["hub"].reload() == ""
        folders["munich"].init(["127.0.0.1"], 4222, tmp_path / "munich/store", hub=enrolled)
        with nats_server(tmp_path / "munich", None) as site_nats:
            hub = _serve(tmp_path, "hub", hub_nats, 'sites = ["munich"]')
            servers.append(hub)
            site = _serve(tmp_path, "munich", site_nats, 'site = "munich"\npoll_s = 0.1')
            servers.append(site)
            try:
                await _hand_over_and_print_while_cut_off(tmp_path, folders, hub, site, hub_nats, site_nats)
            finally:
                for each in servers:
                    each.end()


async def _hand_over_and_print_while_cut_off(tmp_path, folders, hub, site, hub_nats, site_nats):
    job = await asyncio.to_thread(hub.upload, "cube.gcode", GCODE[:3000], copies=2)
    status, _ = await asyncio.to_thread(hub.ask, "POST", f"/jobs/{job['id']}/hand_over", {"site": "munich"})
    assert status == 200
    seeds = {"hub-mk3": folders["hub"].enrol("hub-mk3").seed, "mk3": folders["munich"].enrol("mk3").seed}
    assert (folders["hub"].reload(), folders["munich"].reload()) == ("", "")
    ca = {name: tls_context(str(tmp_path / name / "ca.pem")) for name in folders}
    at_hub = NatsAgentEnd("hub-mk3", NatsAddress((f"tls://127.0.0.1:{hub_nats.port}",), seeds["hub-mk3"], ca["hub"]))
    agent = NatsAgentEnd("mk3", NatsAddress((f"tls://127.0.0.1:{site_nats.port}",), seeds["mk3"], ca["munich"]))
    async with meanwhile(agent.run(), at_hub.run()):
        await until(lambda: agent.is_connected and at_hub.is_connected, "both agents")
        await at_hub.report_presence(Presence(1.0, "boot", ready=True))
        taken = 0
        for is_cut_off in (False, True):  # the second copy begins and ends while the site is cut off
            if is_cut_off:
                hub_nats.stop()
            taken += 1
            offer = None
            while offer is None:
                await agent.report_presence(Presence(float(taken), "boot", ready=True))
                try:
                    async with asyncio.timeout(1):
                        offer = await anext(agent.receive_offers())
                except TimeoutError:
                    continue
            assert await agent.fetch_chunk(offer.copy, offer.attempt, 0) == GCODE[:3000]
            assert (await agent.claim(offer.copy, offer.attempt, "n")).yes
            for kind in ("printing", "done"):
                await agent.report(Report(offer.copy, offer.attempt, kind, 1.0, nonce="n"))
        counts = (await asyncio.to_thread(site.ask, "GET", f"/jobs/{job['id']}"))[1]["counts"]
        assert counts["done"] == 2
        hub_nats.start()

        done = 0
        while done < 2:
            done = (await asyncio.to_thread(hub.ask, "GET", f"/jobs/{job['id']}"))[1]["counts"]["done"]
        assert at_hub._offers._values == []


def _serve(folder, name, nats, sites):
    where = folder / name
    more = f'ca_file = "{where}/ca.pem"\nseed_file = "{where}/server.seed"\n[sites]\n{sites}\n'
    return FarmServerProcess(folder / f"farm-{name}", f"tls://127.0.0.1:{nats.port}", more)
