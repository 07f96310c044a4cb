"""The rights of printers and server on a real NATS with TLS and the configuration of `nozzled farm init`."""

import asyncio
import os
from contextlib import asynccontextmanager

import nats
import nats.errors
import pytest

from daemon.farm.carrier.agent_end import NatsAgentEnd
from daemon.farm.carrier.connect import NatsAddress, tls_context
from daemon.farm.carrier.errors import FarmUnreachable
from daemon.farm.carrier.server_end import QUESTION_BURST, QUESTION_RATE, NatsServerEnd
from daemon.farm.carrier.subjects import SERVER_INBOX
from daemon.farm.messages import FarmOrder, Offer, OrderAnswer, Presence, YesOrNo
from daemon.farm.nats_server.folder import NatsFolder
from daemon.farm.nats_server.users import make_key
from support.nats import RecordingDuties, nats_server, wait_until_sent
from support.waiting import meanwhile, until

REPLY_TARGETS = [
    "farm.claim.mk4", "farm.report.mk4", "farm.offer.mk4", "farm.order.mk4", "$KV.printers.mk4", "farm.failed.mk4",
    "$JS.API.STREAM.DELETE.FAILED", "$JS.API.STREAM.PURGE.KV_printers", "$O.gcode.M.eA==", "_INBOX_mk4.x",
]  # fmt: skip
PUBLISHED = [
    *(f"farm.{kind}.mk4" for kind in ("file", "renew", "claim", "held", "report", "offer", "order", "failed")),
    "farm.offer.rogue", "farm.order.rogue", "farm.claim.mk4.rogue", "farm.claim", "$KV.printers.mk4",
    "$JS.API.STREAM.DELETE.FAILED", "$JS.API.STREAM.PURGE.KV_printers", "$JS.API.STREAM.INFO.OBJ_gcode",
    "$JS.API.STREAM.NAMES", "$JS.API.STREAM.CREATE.MINE", "$JS.API.CONSUMER.CREATE.OBJ_gcode",
    "$JS.API.STREAM.MSG.GET.KV_printers", "$JS.API.DIRECT.GET.KV_printers", "$O.gcode.M.eA==", "$O.gcode.C.x",
    "$SYS.REQ.SERVER.PING", "_INBOX_mk4.x", f"{SERVER_INBOX}.x",
]  # fmt: skip
SUBSCRIBED = [
    ">", "farm.>", "farm.offer.*", "farm.*.mk4", "farm.offer.mk4", "farm.order.mk4", "farm.claim.mk4", "$KV.>",
    "$KV.printers.mk4", "$O.>", "$JS.>", "$SYS.>", "_INBOX_mk4.>", f"{SERVER_INBOX}.>", "*.offer.mk4",
]  # fmt: skip


class FarmNats:
    """NATS with two printers, mk4 and rogue."""

    def __init__(self, process, folder):
        self.process, self.folder = process, folder
        self.url = f"tls://127.0.0.1:{process.port}"
        self.ca = str(folder.path / "ca.pem")
        self.keys = {name: folder.enrol(name).seed for name in ("good", "mk4", "rogue")}
        self.keys["server"] = (folder.path / "server.seed").read_text().strip()
        assert folder.reload() == ""

    def address(self, name, ca=None):
        return NatsAddress((self.url,), self.keys[name], tls_context(ca or self.ca))

    @asynccontextmanager
    async def raw(self, name):
        """Connect as a printer that obeys no rules; yields the client and the errors from NATS."""
        errors = []

        async def complain(error):
            errors.append(str(error))

        client = await nats.connect(
            self.url, nkeys_seed_str=self.keys[name], tls=tls_context(self.ca), inbox_prefix=f"_INBOX_{name}",
            error_cb=complain, allow_reconnect=False,
        )  # fmt: skip
        try:
            yield client, errors
        finally:
            await client.close()


@pytest.fixture(scope="module")
def farm_nats(tmp_path_factory):
    path = tmp_path_factory.mktemp("farm")
    folder = NatsFolder(path)
    folder.init(["127.0.0.1"], 4222, path / "store")
    with nats_server(path, None) as process:
        yield FarmNats(process, folder)


@pytest.mark.real_time
async def test_access_needs_a_key_of_the_farm_and_encryption(farm_nats):
    for key in {}, {"nkeys_seed_str": make_key()[0]}:
        # NATS says why and closes the connection, which the client may notice first, as it is still sending
        with pytest.raises((nats.errors.Error, ConnectionResetError)) as refusal:
            await nats.connect(farm_nats.url, tls=tls_context(farm_nats.ca), allow_reconnect=False, **key)
        assert refusal.errisinstance(ConnectionResetError) or "authorization" in str(refusal.value).lower()
    reader, writer = await asyncio.open_connection("127.0.0.1", farm_nats.process.port)
    assert b'"tls_required":true' in await reader.readline()
    writer.write(b'CONNECT {"verbose":true}\r\nPING\r\n')
    assert b"PONG" not in await reader.read(-1)
    writer.close()


@pytest.mark.real_time
async def test_a_server_with_another_certificate_is_refused(farm_nats, tmp_path):
    other = NatsFolder(tmp_path / "other")
    other.init(["127.0.0.1"], 4222, tmp_path / "store")
    agent = NatsAgentEnd("mk4", farm_nats.address("mk4", str(tmp_path / "other/ca.pem")))
    async with meanwhile(agent.run()):
        await until(lambda: "certificate" in agent.trouble, "the agent to say what is wrong")
        assert not agent.is_connected


@pytest.mark.real_time
async def test_a_printer_does_its_work_with_the_least_permissions(farm_nats):
    server, agent, duties = (
        NatsServerEnd(farm_nats.address("server")),
        NatsAgentEnd("good", farm_nats.address("good")),
        RecordingDuties(),
    )
    duties.contents = os.urandom(700_000)

    async def obey(order):
        return OrderAnswer(ok=True, data=bytes(500_000))

    agent.set_order_handler(obey)
    async with meanwhile(server.run(duties), agent.run()):
        await until(lambda: server.is_connected and agent.is_connected and duties.connections, "both")
        await agent.report_presence(Presence(1.0, "boot", ready=True))
        await until(lambda: "good" in duties.presences, "the presence")
        assert await agent.claim("c", 1, "n") == YesOrNo(yes=True)
        assert await agent.fetch_chunk("c", 1, 0) == duties.contents[: 512 * 1024]
        await server.offer("good", Offer("c", 1))
        assert (await anext(agent.receive_offers())).copy == "c"
        for _ in range(3):  # each order may be answered once
            assert len((await server.order("good", FarmOrder("picture"))).data) == 500_000


async def messages_to(mk4):
    """Subscribe to messages for mk4; return their list."""
    received = []
    for subject in ("farm.offer.mk4", "farm.order.mk4", "_INBOX_mk4.>"):
        await mk4.subscribe(subject, cb=_into(received))
    await wait_until_sent(mk4)
    return received


@pytest.mark.real_time
async def test_a_rogue_printer_can_neither_send_nor_receive_for_others(farm_nats):
    server, duties = NatsServerEnd(farm_nats.address("server")), RecordingDuties()
    async with (
        meanwhile(server.run(duties)),
        farm_nats.raw("rogue") as (rogue, errors),
        farm_nats.raw("mk4") as (mk4, _),
    ):
        await until(lambda: server.is_connected and duties.connections, "the server")
        received = await messages_to(mk4)
        for subject in PUBLISHED:
            await rogue.publish(subject, b'{"copy":"c","attempt":1,"nonce":"n","kind":"done","at":1,"boot":"b"}')
        for subject in SUBSCRIBED:
            await rogue.subscribe(subject, cb=_into(received))
        await wait_until_sent(rogue)
        await until(lambda: len(errors) >= len(PUBLISHED) + len(SUBSCRIBED), "NATS to refuse all of it")
        refused = "\n".join(errors).lower()
        for subject in PUBLISHED:
            assert f'publish to "{subject}"'.lower() in refused
        for subject in SUBSCRIBED:
            assert f'subscription to "{subject}"'.lower() in refused
        await server.offer("rogue", Offer("its own", 1))
        await asyncio.sleep(0.2)
        assert received == []
        assert (duties.claims, duties.reports, duties.presences.keys() & {"mk4", "rogue"}) == ([], [], set())


@pytest.mark.real_time
async def test_an_answer_goes_only_to_the_printer_that_asked(farm_nats):
    server, duties = NatsServerEnd(farm_nats.address("server")), RecordingDuties()
    async with meanwhile(server.run(duties)), farm_nats.raw("rogue") as (rogue, _), farm_nats.raw("mk4") as (mk4, _):
        await until(lambda: server.is_connected and duties.connections, "the server")
        received = await messages_to(mk4)
        for long in (
            b'{"copy":"%s","attempt":1,"nonce":"n"}' % (b"x" * 900),
            b'{"copy":"c","attempt":%d,"nonce":"n"}' % 2**63,
        ):
            await rogue.publish("farm.claim.rogue", long, reply="_INBOX_rogue.x")
        await rogue.publish(
            "farm.claim.rogue", b'{"copy":"c","attempt":1,"nonce":"n"}' + b" " * 20_000, reply="_INBOX_rogue.x"
        )
        question = b'{"copy":"c","attempt":1,"nonce":"n","kind":"done","at":1}'
        for reply in REPLY_TARGETS:
            for kind in ("file", "renew", "claim", "held", "report"):
                await rogue.publish(f"farm.{kind}.rogue", question, reply=reply)
            await rogue.publish("$KV.printers.rogue", b'{"at":1,"boot":"b"}', reply=reply)
        await wait_until_sent(rogue)
        await until(lambda: "rogue" in duties.presences, "its presences")
        await asyncio.sleep(0.3)
        assert received == []
        assert (duties.claims, duties.reports, "mk4" in duties.presences) == ([], [], False)
        streams = server._connection.client.jetstream()
        assert (await streams.stream_info("FAILED")).state.messages == 0
        assert (await streams.stream_info("OBJ_gcode")).state.messages == 0
        info = await streams.stream_info("KV_printers", subjects_filter=">")
        assert info.state.subjects.keys() - {"$KV.printers.good"} == {"$KV.printers.rogue"}


@pytest.mark.real_time
async def test_a_flood_from_one_printer_does_not_affect_the_others(farm_nats):
    server, agent, duties = (
        NatsServerEnd(farm_nats.address("server")),
        NatsAgentEnd("mk4", farm_nats.address("mk4")),
        RecordingDuties(),
    )
    async with meanwhile(server.run(duties), agent.run()), farm_nats.raw("rogue") as (rogue, _):
        await until(lambda: server.is_connected and agent.is_connected and duties.connections, "both")
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(3000):
            await rogue.publish(
                "farm.claim.rogue", b'{"copy":"c","attempt":1,"nonce":"n"}', reply=f"_INBOX_rogue.{number}"
            )
        await wait_until_sent(rogue)
        assert await agent.claim("c", 1, "n") == YesOrNo(yes=True)
        claims = sum(printer == "rogue" for printer, _ in duties.claims)
        assert 0 < claims <= QUESTION_BURST + QUESTION_RATE * (loop.time() - began) + 1


@pytest.mark.real_time
async def test_a_revoked_printer_is_disconnected_at_once_and_enrolled_again_with_a_new_key(farm_nats):
    farm_nats.keys["lost"] = farm_nats.folder.enrol("lost", "large").seed
    assert farm_nats.folder.reload() == ""
    agent = NatsAgentEnd("lost", farm_nats.address("lost"))
    async with meanwhile(agent.run()):
        await until(lambda: agent.is_connected, "the agent to be let in")
        farm_nats.folder.revoke("lost")
        assert farm_nats.folder.reload() == ""
        await until(lambda: not agent.is_connected and "revoked" in agent.trouble, "the agent to be put out")
        with pytest.raises(FarmUnreachable, match="revoked"):
            await agent.fetch_holdings()
        old = farm_nats.keys["lost"]
        farm_nats.keys["lost"] = farm_nats.folder.enrol("lost").seed
        assert farm_nats.folder.reload() == ""
        assert farm_nats.keys["lost"] != old
        again = NatsAgentEnd("lost", farm_nats.address("lost"))
        async with meanwhile(again.run()):
            await until(lambda: again.is_connected, "the new key to be let in")
            assert not agent.is_connected


def _into(received):
    async def hear(message):
        received.append((message.subject, message.data))

    return hear
