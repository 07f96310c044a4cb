"""The faults of the carrier in memory, and the messages that each end must refuse."""

import asyncio

import pytest

from daemon.errors import ConfigError
from daemon.farm.carrier.agent_end import NatsAgentEnd
from daemon.farm.carrier.connect import NatsAddress, NatsConnection
from daemon.farm.carrier.ending import run_in_time
from daemon.farm.carrier.errors import FarmUnreachable
from daemon.farm.carrier.memory import FarmFaults, FarmInMemory
from daemon.farm.carrier.rates import PrinterRates
from daemon.farm.carrier.subjects import is_own_inbox, sender
from daemon.farm.messages import Offer
from support.nats import RecordingDuties
from support.waiting import meanwhile, until


async def ask_many(faults, times=60):
    """Send many questions; return the number of answers, and of questions that reached the server."""
    farm, duties = FarmInMemory(faults, seed=1), RecordingDuties()
    agent, server, answered = farm.agent("mk3"), farm.server(), 0
    async with meanwhile(server.run(duties), agent.run()):
        await asyncio.sleep(0.1)
        for number in range(times):
            try:
                await agent.claim("c", number, "n")
                answered += 1
            except FarmUnreachable:
                pass
        await asyncio.sleep(60)
    return answered, len(duties.claims)


async def test_questions_and_answers_may_be_lost_doubled_or_late():
    assert await ask_many(FarmFaults()) == (60, 60)
    answered, questions = await ask_many(FarmFaults(loss=0.3))
    assert answered == questions < 60
    answered, questions = await ask_many(FarmFaults(answer_loss=0.3))
    assert (answered < 60, questions) == (True, 60)
    answered, questions = await ask_many(FarmFaults(repetition=0.3))
    assert (answered, questions > 60) == (60, True)
    answered, questions = await ask_many(FarmFaults(lateness=0.5))
    assert (answered < 60, questions) == (True, 60)


async def test_a_printer_cut_off_neither_sends_nor_receives():
    farm, duties = FarmInMemory(), RecordingDuties()
    agent, server = farm.agent("mk3"), farm.server()
    async with meanwhile(server.run(duties), agent.run()):
        await asyncio.sleep(0.1)
        farm.cut("mk3")
        await server.offer("mk3", Offer("c", 1))
        assert not agent.is_connected
        with pytest.raises(FarmUnreachable, match="not connected"):
            await agent.claim("c", 1, "n")
        farm.mend("mk3")
        assert agent.is_connected
        await server.offer("mk3", Offer("d", 1))
        assert (await anext(agent.receive_offers())).copy == "d"


@pytest.mark.real_time
async def test_a_connection_counts_only_when_nats_has_every_subscription():
    """nats-py writes a PING before subscriptions that wait; a question that came meanwhile found no server."""
    wanted, had, at_last_pong = 30, [], []

    async def nats(reader, writer):
        writer.write(b'INFO {"server_id": "x", "version": "2.11.0", "max_payload": 1048576, "headers": true}\r\n')
        while line := await reader.readline():
            if line.startswith(b"SUB "):
                had.append(line)
            elif line.startswith(b"PING"):
                at_last_pong[:] = [len(had)]
                writer.write(b"PONG\r\n")
        writer.close()

    async def subscribe_all(client):
        for number in range(wanted):
            await client.subscribe(f"farm.{number}", cb=asyncio.sleep)

    async with await asyncio.start_server(nats, "127.0.0.1", 0) as server:
        address = NatsAddress((f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}",))
        connection, connected = NatsConnection(address, "test", subscribe_all), []
        connection.on_change = lambda: connected.extend(at_last_pong if connection.is_connected else ())
        async with meanwhile(connection.run()):
            await until(lambda: connected, "the connection")
    assert connected == [wanted]


@pytest.mark.parametrize("reply", ["farm.claim.mk4", "_INBOX_mk4.x", "_INBOX_mk3", "_INBOX_mk33.x", "_INBOX_mk3.*", ""])
def test_an_answer_goes_only_to_the_inbox_of_its_asker(reply):
    assert not is_own_inbox(reply, "mk3")
    assert is_own_inbox("_INBOX_mk3.abc.1", "mk3")


@pytest.mark.parametrize("subject", ["farm.claim.", "farm.claim.MK3", "farm.claim.*", "farm.claim." + "a" * 33])
def test_the_sender_is_read_from_the_subject(subject):
    assert sender(subject) == ""
    assert sender("farm.claim.mk3-left") == "mk3-left"


def test_only_a_printer_that_asks_too_often_is_dropped_for_a_while():
    rates = PrinterRates(10, 20)
    assert sum(rates.admits("rogue", 5.0) for _ in range(1000)) == 20
    assert rates.admits("mk3", 5.0)
    assert sum(rates.admits("rogue", 6.0) for _ in range(1000)) == 10


async def test_a_library_that_swallows_cancellation_delays_nothing():
    async def deaf():
        while True:
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                return await asyncio.sleep(0.1)

    with pytest.raises(TimeoutError):
        await run_in_time(deaf(), 2)
    waiting = asyncio.ensure_future(run_in_time(deaf(), 100))
    await asyncio.sleep(0.1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(1)


@pytest.mark.parametrize(
    ("urls", "reason"),
    [((), "address of a server"), (("http://a:1",), "must be tls"), (("tls://a:1",), "certificate"),
     (("nats://user:secret@a:1",), "must be tls")],
)  # fmt: skip
def test_an_unusable_address_is_refused(urls, reason):
    with pytest.raises(ConfigError, match=reason):
        NatsAgentEnd("mk3", NatsAddress(urls))
    with pytest.raises(ConfigError, match="use 1 to 32 characters"):
        NatsAgentEnd("MK3!", NatsAddress(("nats://a:1",)))
