"""The carrier between server and agents: one suite for the one in memory and the one over a real NATS."""

import asyncio
import hashlib
from contextlib import aclosing

import msgspec
import nats as nats_client
import pytest

from daemon.farm.carrier import files
from daemon.farm.carrier.agent_end import NatsAgentEnd
from daemon.farm.carrier.connect import NatsAddress
from daemon.farm.carrier.errors import FarmRefused, FarmUnreachable
from daemon.farm.carrier.memory import FarmInMemory
from daemon.farm.carrier.server_end import NatsServerEnd
from daemon.farm.messages import (
    FailedCopy,
    FarmOrder,
    HeldCopy,
    Holdings,
    Offer,
    OrderAnswer,
    Presence,
    Report,
    YesOrNo,
)
from support.nats import RecordingDuties, nats_server
from support.waiting import TIMEOUT, meanwhile, until


class InMemory:
    def __init__(self):
        self.farm = FarmInMemory()
        self.agent, self.server = self.farm.agent, self.farm.server
        self.stop, self.start = self.farm.stop, self.farm.start

    async def newest_failure(self, _server, _printer):
        return self.farm.failures[-1]


class OverNats:
    def __init__(self, process):
        self.address = NatsAddress((process.url,))
        self.stop, self.start = process.stop, process.start

    def agent(self, printer):
        return NatsAgentEnd(printer, self.address)

    def server(self):
        return NatsServerEnd(self.address)

    async def newest_failure(self, server, printer):
        message = await server._connection.client.jetstream().get_last_msg("FAILED", f"farm.failed.{printer}")
        return msgspec.json.decode(message.data, type=FailedCopy)


async def wait_until_connected(*ends):
    await until(lambda: all(end.is_connected for end in ends), "the ends to be connected")


async def an_offer_arrives_and_is_withdrawn(way, tmp_path):
    server, agent, duties = way.server(), way.agent("offered"), RecordingDuties()
    async with meanwhile(server.run(duties), agent.run()), aclosing(agent.receive_offers()) as offers:
        await wait_until_connected(server, agent)
        await until(lambda: duties.connections, "the streams")
        await server.offer("offered", Offer("copy-1", 1, name="cube", size=7))
        assert await anext(offers) == Offer("copy-1", 1, name="cube", size=7)
        await server.withdraw("offered")
        assert await anext(offers) is None


async def an_offer_reaches_its_printer_alone(way, tmp_path):
    server, duties = way.server(), RecordingDuties()
    one, other = way.agent("alone"), way.agent("alone-2")
    async with meanwhile(server.run(duties), one.run(), other.run()), aclosing(one.receive_offers()) as offers:
        await wait_until_connected(server, one, other)
        await server.offer("alone", Offer("old", 1))
        await server.offer("alone", Offer("new", 2))
        async with asyncio.timeout(TIMEOUT):
            while (await anext(offers)).copy != "new":
                pass
        listening = asyncio.ensure_future(anext(other.receive_offers()))
        await asyncio.sleep(0.1)
        assert not listening.done()
        listening.cancel()


async def questions_are_answered(way, tmp_path):
    server, agent, duties = way.server(), way.agent("asking"), RecordingDuties()
    duties.contents = bytes(range(256)) * 4096
    duties.held_copies = Holdings([HeldCopy("c", 3, "claimed", "n", cancel=True)])
    async with meanwhile(server.run(duties), agent.run()):
        await wait_until_connected(server, agent)
        assert await agent.claim("c", 3, "nonce") == YesOrNo(yes=True)
        assert [(printer, each.nonce) for printer, each in duties.claims] == [("asking", "nonce")]
        duties.answer = YesOrNo(yes=False, reason="it is another's")
        assert await agent.renew("c", 3) == duties.answer
        assert await agent.fetch_holdings() == duties.held_copies
        contents = b""
        while chunk := await agent.fetch_chunk("c", 3, len(contents)):
            contents += chunk
        assert hashlib.sha256(contents).digest() == hashlib.sha256(duties.contents).digest()
        duties.errors.append(FarmRefused("this copy is not offered to asking"))
        with pytest.raises(FarmRefused, match="not offered to asking"):
            await agent.fetch_chunk("c", 3, 0)


async def a_report_is_answered_once_it_is_written_down(way, tmp_path):
    server, agent, duties = way.server(), way.agent("reporting"), RecordingDuties()
    report = Report("c", 1, "done", 5.0, seconds=77)
    async with meanwhile(server.run(duties), agent.run()):
        await wait_until_connected(server, agent)
        duties.errors.append(RuntimeError("the disk is full"))
        with pytest.raises(FarmUnreachable, match="the disk is full"):
            await agent.report(report)
        assert duties.reports == []
        await agent.report(report)
        duties.answer = YesOrNo(yes=False, reason="the list knows otherwise")
        await agent.report(report)
        assert duties.reports == [("reporting", report)] * 2


async def a_presence_is_heard_and_remembered(way, tmp_path):
    server, agent, duties = way.server(), way.agent("present"), RecordingDuties()
    async with meanwhile(agent.run()):
        async with meanwhile(server.run(duties)):
            await until(lambda: server.is_connected and agent.is_connected and duties.connections, "both")
            await agent.report_presence(Presence(1.0, "boot", ready=True, state="Operational"))
            await until(lambda: "present" in duties.presences, "the presence")
        another, later = way.server(), RecordingDuties()
        async with meanwhile(another.run(later)):
            await until(lambda: "present" in later.presences, "what was said before the server began")
            assert another.presences["present"] == Presence(1.0, "boot", ready=True, state="Operational")


async def an_order_is_answered_or_given_up(way, tmp_path):
    server, agent, duties = way.server(), way.agent("ordered"), RecordingDuties()
    done = []

    async def obey(order):
        done.append(order)
        if order.verb == "picture":
            await asyncio.sleep(30)
        return OrderAnswer(ok=True, data=b"\xff\xd8")

    agent.set_order_handler(obey)
    async with meanwhile(server.run(duties), agent.run()):
        await wait_until_connected(server, agent)
        answer = await server.order("ordered", FarmOrder("cancel", copy="c", by="anna"))
        assert (answer, done) == (OrderAnswer(ok=True, data=b"\xff\xd8"), [FarmOrder("cancel", copy="c", by="anna")])
        with pytest.raises(FarmUnreachable, match="ordered: its agent did not answer"):
            await server.order("ordered", FarmOrder("picture"), within=0.2)
        # NATS knows that nobody listens, and says so
        absent, within = ("is not connected", TIMEOUT) if isinstance(way, OverNats) else ("did not answer", 0.2)
        with pytest.raises(FarmUnreachable, match=f"nobody: its agent {absent}"):
            await server.order("nobody", FarmOrder("cancel"), within=within)


async def files_and_failures_are_kept(way, tmp_path):
    server, duties = way.server(), RecordingDuties()
    data = b"G28\n" * 300_000
    name = hashlib.sha256(data).hexdigest()
    (tmp_path / "part").write_bytes(data)
    async with meanwhile(server.run(duties)):
        await until(lambda: server.is_connected and duties.connections, "the server")
        for _ in range(2):
            await server.put_file(name, tmp_path / "part")
        await server.get_file(name, tmp_path / "got")
        assert (tmp_path / "got").read_bytes() == data
        await server.remove_file(name)
        await server.remove_file(name)
        with pytest.raises(FarmRefused, match="no file"):
            await server.get_file(name, tmp_path / "got")
        assert getattr(server, "stream_differences", []) == [], "its own streams are configured as it wants them"
        failed = FailedCopy("c", "j", 1.0, "cube", "it came loose")
        await server.store_failed("kept", failed)
        assert await way.newest_failure(server, "kept") == failed


async def both_reconnect_when_nats_is_back(way, tmp_path):
    server, agent, duties = way.server(), way.agent("again"), RecordingDuties()
    connections = []
    agent.on_connect = lambda: connections.append(1)
    async with meanwhile(server.run(duties), agent.run()), aclosing(agent.receive_offers()) as offers:
        await until(lambda: server.is_connected and agent.is_connected and duties.connections, "both")
        await server.offer("again", Offer("kept", 1))
        assert (await anext(offers)).copy == "kept"
        way.stop()
        await until(lambda: not server.is_connected and not agent.is_connected, "both to notice")
        assert "NATS" in server.trouble
        assert "NATS" in agent.trouble
        with pytest.raises(FarmUnreachable, match=r"cannot reach again: .*NATS"):
            await server.order("again", FarmOrder("bed_clear"))
        for lost in (agent.claim("c", 1, "n"), agent.report(Report("c", 1, "done", 1.0)), server.withdraw("again")):
            with pytest.raises(FarmUnreachable):
                await lost
        way.start()
        await until(lambda: duties.connections == 2 and agent.is_connected, "both to reconnect")
        await server.offer("again", Offer("later", 1))
        assert (await anext(offers)).copy == "later"
        assert await agent.claim("c", 1, "n") == YesOrNo(yes=True)
        assert len(connections) == 2


async def two_servers_share_the_questions(way, tmp_path):
    one, two, agent = RecordingDuties(), RecordingDuties(), way.agent("shared")
    ends = way.server(), way.server()
    async with meanwhile(ends[0].run(one), ends[1].run(two), agent.run()):
        await wait_until_connected(*ends, agent)
        for number in range(40):
            await agent.claim("c", number, "n")
        attempts = [each.attempt for _, each in one.claims + two.claims]
        assert sorted(attempts) == [*range(40)]
        assert one.claims
        assert two.claims


SCENARIOS = [
    an_offer_arrives_and_is_withdrawn,
    an_offer_reaches_its_printer_alone,
    questions_are_answered,
    a_report_is_answered_once_it_is_written_down,
    a_presence_is_heard_and_remembered,
    an_order_is_answered_or_given_up,
    files_and_failures_are_kept,
    two_servers_share_the_questions,
    both_reconnect_when_nats_is_back,
]
each_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)


@pytest.fixture(scope="module")
def nats(tmp_path_factory):
    with nats_server(tmp_path_factory.mktemp("nats")) as server:
        yield server


@each_scenario
async def test_the_contract_holds_in_memory(scenario, tmp_path):
    await scenario(InMemory(), tmp_path)


@pytest.mark.real_time
@each_scenario
async def test_the_contract_holds_over_nats(scenario, tmp_path, nats):
    await scenario(OverNats(nats), tmp_path)


@pytest.mark.real_time
async def test_what_interrupted_uploads_have_left_is_deleted_and_nothing_else(tmp_path, nats, monkeypatch):
    """nats-py removes the chunks of an upload neither when it is cancelled nor when the process ends."""
    monkeypatch.setattr(files, "INTERRUPTED_AFTER_S", 0.0)
    server, duties = OverNats(nats).server(), RecordingDuties()
    data = b"G28\n" * 300_000
    name = hashlib.sha256(data).hexdigest()
    (tmp_path / "whole").write_bytes(data)
    (tmp_path / "large").write_bytes(bytes(64 << 20))

    async def chunks():
        client = await nats_client.connect(nats.url)
        try:
            info = await client.jetstream().stream_info("OBJ_gcode", subjects_filter="$O.gcode.C.>")
            return info.state.subjects or {}
        finally:
            await client.close()

    async def begin_another(name):
        before, upload = await chunks(), asyncio.ensure_future(server.put_file(name, tmp_path / "large"))
        while not (new := (await chunks()).keys() - before.keys()):  # noqa: ASYNC110 - NATS sets no event
            await asyncio.sleep(0.01)
        return upload, new.pop()

    async with meanwhile(server.run(duties)):
        await until(lambda: server.is_connected and duties.connections, "the server")
        await server.put_file(name, tmp_path / "whole")
        (stored,) = await chunks()
        upload, cancelled = await begin_another("0" * 64)
        upload.cancel()
        await asyncio.wait([upload])
        upload, running = await begin_another("1" * 64)
        assert await server.remove_leftovers() == 0, "any of them may still be an upload of another server"
        before = (await chunks())[running]
        while (await chunks())[running] == before and not upload.done():  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
        assert await server.remove_leftovers() == 1
        left = await chunks()
        assert cancelled not in left
        assert {stored, running} <= left.keys()
        await upload
        await server.get_file(name, tmp_path / "got")
        assert (tmp_path / "got").read_bytes() == data
        await server.remove_leftovers()
        assert await server.remove_leftovers() == 0
        assert {*await chunks()} == {stored, running}
