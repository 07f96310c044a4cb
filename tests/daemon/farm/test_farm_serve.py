"""`nozzled farm serve` as a process, with a real NATS: a job is printed, whatever process ends meanwhile."""

import asyncio
import signal

import pytest

from daemon.farm.carrier.agent_end import NatsAgentEnd
from daemon.farm.carrier.connect import NatsAddress
from daemon.farm.carrier.errors import FarmUnreachable
from daemon.farm.messages import Presence, Report
from support.nats import FarmServerProcess, nats_server
from support.waiting import meanwhile, until

GCODE = b"G28\nG1 X10 Y10 E1\n" + (b";" * 99 + b"\n") * 7000  # of more than one chunk


@pytest.mark.real_time
async def test_a_job_survives_a_restart_and_an_outage_of_nats(tmp_path):
    with nats_server(tmp_path) as nats:
        server = FarmServerProcess(tmp_path / "farm", nats.url)
        agent = NatsAgentEnd("mk3", NatsAddress((nats.url,)))
        try:
            async with meanwhile(agent.run()):
                await until(lambda: agent.is_connected, "the agent's connection")
                job = await asyncio.to_thread(server.upload, "cube.gcode", GCODE, copies=2)
                await agent.report_presence(Presence(1.0, "boot", ready=True))
                offer = await anext(agent.receive_offers())
                assert (offer.job, offer.size) == (job["id"], len(GCODE))
                contents = b""
                while chunk := await agent.fetch_chunk(offer.copy, offer.attempt, len(contents)):
                    contents += chunk
                assert contents == GCODE
                assert (await agent.claim(offer.copy, offer.attempt, "n")).yes
                await agent.report(Report(offer.copy, offer.attempt, "printing", 1.0, nonce="n"))
            server.signal(signal.SIGTERM)
            assert await asyncio.to_thread(server.wait, 60) == 0, server.output()
            nats.stop()
            server = FarmServerProcess(tmp_path / "farm", nats.url)
            status, about = await asyncio.to_thread(server.ask, "GET", "")
            assert (status, about["nats"]["connected"], "NATS" in about["nats"]["trouble"]) == (200, False, True)
            counts = (await asyncio.to_thread(server.ask, "GET", f"/jobs/{job['id']}"))[1]["counts"]
            assert {state: count for state, count in counts.items() if count} == {
                "printing": 1,
                "waiting": 1,
                "total": 2,
            }
            nats.start()
            agent = NatsAgentEnd("mk3", NatsAddress((nats.url,)))
            async with meanwhile(agent.run()):
                await until(lambda: agent.is_connected, "the agent to reconnect")
                await _report_until_received(agent, Report(offer.copy, offer.attempt, "done", 2.0, nonce="n"))
                await agent.report_presence(Presence(2.0, "boot", ready=True))
                second = await anext(agent.receive_offers())
                assert second.copy not in ("", offer.copy)
        finally:
            server.end()


async def _report_until_received(agent, report):
    """Report until the server receives it, as the agent does."""
    while True:
        try:
            return await agent.report(report)
        except FarmUnreachable:
            await asyncio.sleep(0.2)
