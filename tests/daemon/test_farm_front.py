"""The agent beside the whole service in memory: its questions to the front, and the front's answers."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from unittest.mock import patch

import pytest

from daemon.companions.farm.companion import FarmCompanion
from daemon.companions.farm.config import FarmConfig, FarmTool, check, seed
from daemon.companions.farm.printer import FarmFile, PrinterUnreachable, PrintOutcome, StartRefused
from daemon.config.sections import AnalysisConfig
from daemon.errors import ConfigError, CoreAway
from daemon.farm.carrier.memory import FarmInMemory
from daemon.farm.messages import FarmOrder
from daemon.front.analysis.findings import Findings
from support.client import in_memory
from support.companions import HubMessages, companion_key
from support.farm_list_server import ListServer
from support.http import NOW, api
from support.waiting import meanwhile, until

PART = b"M104 S200\nG28\n" + b"G1 X50 F6000\nG1 X0\n" * 40 + b"M104 S0\n"
CONFIG = FarmConfig(id="mk3", servers=("nats://127.0.0.1:4222",), group="large", tools=(FarmTool("PLA", "black"),))
PROFILE = {"profile": {"width_mm": 200.0, "depth_mm": 200.0, "height_mm": 200.0}}


class FarmBeside(HubMessages, FarmCompanion):
    """The companion beside a service in memory."""


@asynccontextmanager
async def agent(server, farm):
    folder = server.service.folder / "companions/farm"
    folder.mkdir(parents=True, exist_ok=True)
    key = companion_key(server, "farm")
    companion = FarmBeside(
        in_memory(server, key), folder, config=CONFIG, environ={}, wall=lambda: NOW, end=farm.agent(CONFIG.id)
    )
    companion.server, companion.key = server, key
    async with meanwhile(companion.serve()):
        yield companion


def printer_of(companion):
    return companion._agent._printer


async def test_an_offer_is_printed_once_and_reported(tmp_path):
    farm = FarmInMemory()
    async with api(tmp_path, switched_on=["farm"], **PROFILE) as server, agent(server, farm) as companion:
        listed = ListServer(farm, PART)
        listed.submit(copies=2)
        async with meanwhile(listed.run()):
            await until(lambda: "mk3" in listed.presences, "its presence")
            await asyncio.sleep(30)
            presence = listed.presences["mk3"]
            assert (presence.ready, presence.reason) == (False, "nobody has said that the bed is clear")
            assert (presence.state, presence.group, presence.size) == ("Operational", "large", (200.0, 200.0, 200.0))
            assert presence.hottest == 300.0
            assert (presence.tools[0].material, presence.tools[0].nozzle_mm) == ("PLA", 0.4)
            assert "takes nothing: nobody has said" in companion.describe_activity()
            assert (await listed.end.order("mk3", FarmOrder("bed_clear"))).ok
            await until(lambda: listed.copies()[0].state == "printing", "the first copy")
            copy = listed.copies()[0]
            job = (await server.get("/api/job")).json
            assert job["print"]["key"] == f"{copy.id}.1"
            assert job["job"]["file"]["path"].startswith("farm/")
            await asyncio.sleep(1)
            state = (await server.get("/api/companions/farm")).json["state"]
            assert (state["copy"], state["stage"], state["connected"]) == (copy.id, "printing", True)
            # what drives OctoPrint's API meanwhile, like FDM Monster
            await server.upload(("file", "other.gcode", PART))
            other = {"command": "select", "print": True}
            assert (await server.post("/api/files/local/other.gcode", other)).status == 409
            await until(lambda: listed.copies()[0].state == "done", "its end")
            assert listed.copies()[0].seconds > 0
            # the other print begins on the bed that was just cleared, so the copy of the farm does not
            assert (await server.post("/api/queue", {"command": "bed", "clear": True})).status == 200
            start = server.service.front.jobs.begin

            async def slow(*args, **more):
                if args[1].startswith(listed.copies()[1].id):
                    with patch.object(type(server.service.front.jobs), "begin", lambda _, *a, **m: start(*a, **m)):
                        assert (await server.post("/api/files/local/other.gcode", other)).status == 204
                return await start(*args, **more)

            with patch.object(type(server.service.front.jobs), "begin", lambda _, *args, **more: slow(*args, **more)):
                await until(lambda: any(r.kind == "not_begun" for _, r, _ in listed.reports), "its report")
            assert listed.copies()[1].state == "waiting"
            history = (await server.get("/api/history")).json["jobs"]
            assert history[0]["path"] == "other.gcode"
            assert len(history) == 2


async def test_a_file_outside_the_bed_is_declined_by_the_front(tmp_path):
    farm = FarmInMemory()
    async with api(tmp_path, switched_on=["farm"], **PROFILE) as server, agent(server, farm):
        listed = ListServer(farm, PART)
        listed.submit()
        findings = Findings({"errors": ["it goes beyond the bed: X900"], "warnings": []})
        keys = []

        async def wait(key, _):
            keys.append(key)
            return findings if len(keys) > 2 else None  # the analysis takes a while

        server.service.front.analyses.wait = wait
        server.service.front.config = replace(server.service.front.config, analysis=AnalysisConfig(enabled=True))
        async with meanwhile(listed.run()):
            await asyncio.sleep(2)
            await server.post("/api/queue", {"command": "bed", "clear": True})
            await until(lambda: listed.reports, "its report")
        report = listed.reports[0][1]
        assert (report.kind, report.fits) == ("declined", False)
        assert "X900" in report.reason
        assert (await server.get("/api/history")).json["jobs"] == []


async def test_the_front_answers_each_question_of_the_agent(tmp_path):
    farm = FarmInMemory()
    async with api(tmp_path, switched_on=["farm"]) as server, agent(server, farm) as companion:
        printer = printer_of(companion)
        await asyncio.sleep(1)
        path = tmp_path / "x.gcode"
        path.write_bytes(PART)
        printer_path = await printer.upload(path, FarmFile("ab" * 32, "", len(PART), "a part!.gcode"))
        assert printer_path == "farm/abababababab-a_part_.gcode"
        hashed = (await server.get(f"/api/files/local/{printer_path}")).json["hash"]
        assert await printer.has_file(printer_path, hashed, len(PART))
        assert not await printer.has_file(printer_path, hashed, 5)
        assert not await printer.has_file("farm/none.gcode", hashed, 5)
        assert await printer.find_objections(printer_path) == ""
        assert await printer.get_newest_job() is None
        with pytest.raises(StartRefused, match="bed is clear"):
            await printer.start(printer_path, "k.1", 30)
        await printer.confirm_bed_clear()
        await printer.start(printer_path, "k.1", 30)
        assert (await printer.get_outcome("k.1", None)) == PrintOutcome("printing")
        await printer.cancel("k.1")
        while (await printer.get_outcome("k.1", None)).state == "printing":  # noqa: ASYNC110 - the clock is virtual
            await asyncio.sleep(1)
        assert (await printer.get_outcome("k.1", None)).state == "cancelled"
        await server.post("/api/printer/tool", {"command": "target", "targets": {"tool0": 50}})
        await server.post("/api/printer/bed", {"command": "target", "target": 40})
        await asyncio.sleep(10)
        assert {name for name, heat in printer.look().heaters if heat.target} == {"tool0", "bed"}
        await printer.turn_heaters_off()
        await asyncio.sleep(10)
        assert not [name for name, heat in printer.look().heaters if heat.target]
        job_before = await printer.get_newest_job()
        assert await printer.get_outcome("k.2", job_before) is None
        assert await printer.get_outcome("k.2", None) == PrintOutcome("doubtful")
        assert await printer.get_outcome("k.2", job_before.__class__(job_before.id, 5.0)) == PrintOutcome("doubtful")
        away = patch.object(type(server.service.front.jobs), "print_of_key", side_effect=CoreAway("away"))
        with away, pytest.raises(PrinterUnreachable):
            await printer.get_outcome("k.2", job_before)
        await printer.remove(printer_path)
        await printer.remove(printer_path)
        assert (await server.get("/api/job/keyed")).status == 400
        assert (await server.get("/api/job/keyed?key=a&behind=x")).status == 400


@pytest.mark.parametrize(
    ("part", "method", "reason"),
    [("watch", "check", "10 s too late and was not carried out"), ("queue", "begin_unless_used", "was dropped")],
)
async def test_a_start_that_waited_too_long_begins_nothing(tmp_path, part, method, reason):
    now = [NOW]
    async with api(tmp_path) as server:
        await server.upload(("file", "cube.gcode", PART))
        server.service.front.wall = lambda: now[0]
        slowed = getattr(server.service, part)
        work = getattr(slowed, method)

        async def slow(*args, **more):
            now[0] += 40
            return await work(*args, **more)

        setattr(slowed, method, slow)
        request = {"command": "select", "print": True, "job": "late"}
        until_then = {"Nozzled-Until": f"{NOW + 30}"}
        answer = await server.post("/api/files/local/cube.gcode", request, headers=until_then)
        assert (answer.status, reason in answer.error) == (408, True), answer.error
        assert (await server.get("/api/job/keyed?key=late")).json["print"] is None
        assert not server.service.jobs.active


async def test_a_second_agent_with_the_same_notes_does_not_begin(tmp_path):
    async with api(tmp_path, switched_on=["farm"]) as server, agent(server, FarmInMemory()):
        with pytest.raises(ConfigError, match="another agent is running"):
            async with agent(server, FarmInMemory()):
                pass


def test_an_invalid_configuration_is_refused(tmp_path):
    for bad in (FarmConfig(), FarmConfig(id="MK3", servers=("a",))):
        with pytest.raises(ConfigError, match=r"farm\.id"):
            check(bad)
    with pytest.raises(ConfigError, match=r"farm\.servers"):
        check(FarmConfig(id="mk3"))
    with pytest.raises(ConfigError, match="nozzled farm join"):
        seed(CONFIG, {})
    (tmp_path / "nozzled.farm-seed").write_text("SUAB\n")
    assert seed(CONFIG, {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == "SUAB"
