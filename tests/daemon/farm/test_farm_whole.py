"""The API over the real list's thread and the real dispatcher; only NATS is in memory."""

import asyncio
import json
import time
from contextlib import asynccontextmanager

from daemon.farm.carrier.memory import FarmInMemory
from daemon.farm.http.seams import FarmSeams
from daemon.farm.http.server import make_app, prepare
from daemon.farm.list.job_list import JobList
from daemon.farm.messages import OrderAnswer, Presence, Report
from daemon.farm.server.dispatcher import Dispatcher
from daemon.farm.server.files import FarmFiles
from daemon.farm.server.list_thread import ListThread
from support.farm_http import FarmApi, events, fake_analysis
from support.http import form
from support.waiting import meanwhile, until


@asynccontextmanager
async def whole_farm(folder, memory):
    """Run a server; yield its API."""
    jobs, end = ListThread(), memory.server()
    await jobs.open(lambda: JobList(f"sqlite:///{folder}/farm.db", time.time))
    files = FarmFiles(folder / "files", end, 1 << 20)
    await files.open()
    dispatcher = Dispatcher(jobs, end, files, time.time)
    farm = FarmSeams(jobs, files, dispatcher, folder, time.time, analyse=fake_analysis)
    app = make_app(farm)
    jobs.on_any_change = dispatcher.on_new_presence = app.settings["farm_feed"].wake
    key = await prepare(app, farm)
    api = FarmApi(farm, app)
    api.first_key = key.read_text("utf-8").strip()
    try:
        async with meanwhile(dispatcher.run(), files.run()):
            yield api
    finally:
        await app.settings["farm_feed"].close()
        await jobs.close()


async def test_a_copy_goes_from_upload_to_history_while_every_address_answers(tmp_path):
    memory = FarmInMemory()
    agent, offers, orders = memory.agent("mk3"), [], []

    async def present(**more):
        await agent.report_presence(Presence(asyncio.get_running_loop().time(), "b", camera=True, **more))

    async def listen():
        async for offer in agent.receive_offers():
            offers[:] = [offer]

    async def obey(order):
        orders.append(order.verb)
        return OrderAnswer(ok=True, data=b"\xff\xd8")

    agent.set_order_handler(obey)
    async with whole_farm(tmp_path, memory) as api, meanwhile(agent.run(), listen()):
        await until(lambda: agent.is_connected, "the agent")
        await present(ready=True, state="Operational", bed_clear=True, tools=[])
        watcher = api.begin("/api/farm/events")
        body, kind = form(("material", b""), ("file", "cube.gcode", b"G28\n"))
        job = (await api.request("POST", "/api/farm/jobs", body, headers={"Content-Type": kind})).json
        offer = await until(lambda: offers and offers[-1], "an offer", 60)
        assert (await agent.claim(offer.copy, offer.attempt, "n")).yes
        await present(ready=False, state="Printing", file="cube.gcode", copy=offer.copy)
        await agent.report(Report(offer.copy, offer.attempt, "printing", 1.0, nonce="n"))

        async def ask_all():
            """Ask every address that changes nothing; return the answers."""
            bodies = {}
            for path in (
                "", "/jobs", f"/jobs/{job['id']}", f"/copies/{offer.copy}", "/printers", "/printers/mk3", "/orphans",
                "/printers/mk3/picture", "/history", "/history.csv", "/log", "/keys", "/openapi.json",
                f"/files/{job['sha256']}",
            ):  # fmt: skip
                answer = await api.get(f"/api/farm{path}")
                assert answer.status == 200, (path, answer.body)
                bodies[path] = answer.body
            assert (await api.get("/metrics")).status == 200
            return bodies

        bodies = await ask_all()
        assert json.loads(bodies["/orphans"]) == {"copies": []}
        assert json.loads(bodies["/printers/mk3"])["holds"] == offer.copy
        assert (await api.request("POST", "/api/farm/printers/mk3/pause")).status == 204
        assert orders == ["picture", "pause"]
        await asyncio.sleep(75)
        bodies = await ask_all()
        assert [copy["id"] for copy in json.loads(bodies["/orphans"])["copies"]] == [offer.copy]
        assert [copy["id"] for copy in events(watcher.response.body)[-1]["orphans"]] == [offer.copy]
        assert (await agent.report(Report(offer.copy, offer.attempt, "done", 1.0, nonce="n", seconds=9.0))) is None
        [done] = json.loads((await ask_all())["/history"])["copies"]
        assert (done["id"], done["state"], done["seconds"], done["job_name"]) == (offer.copy, "done", 9, "cube.gcode")
        watcher.gone = True
        await asyncio.sleep(5)
