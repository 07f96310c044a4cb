"""Layers and time left of a job, also after its host was killed; test_analysis has them with the whole service."""

import asyncio
import json
import zlib
from dataclasses import replace

import pytest

from daemon.bridge.words import JobState
from daemon.front.analysis.findings import from_analysis
from daemon.front.analysis.store import LearntPace
from daemon.front.analysis.watch import Watch
from support.analysed import analyse
from support.mortal import HostLife, World
from support.waiting import until

MOVES = ["G90", "M83", "G1 Z.3 F6000"] + ["G1 X100 E1 F1200", "G1 X0 E1"] * 30


class FakeAnalyses:
    """The stored analyses of files, and facts about printers."""

    def __init__(self, analysis):
        self.analysis = analysis

    async def wait(self, _key, _seconds):
        return self.analysis

    async def pace_of(self, _printer):
        return LearntPace()


def watching(host, analysis) -> Watch:
    known = FakeAnalyses(analysis)
    return Watch(host.jobs, known, known, lambda: "sim")


async def test_a_marked_layer_without_extrusion_has_no_height(tmp_path):
    world = World(tmp_path)
    lines = [";LAYER:0", *MOVES]
    analysis = from_analysis(analyse("\n".join(lines)).as_json())
    analysis = replace(analysis, details=zlib.compress(json.dumps({"layers": [{"offset": 0, "z": None}]}).encode()))
    async with world.host() as host:
        watch = watching(host, analysis)
        host.jobs.select(world.write(lines))
        host.jobs.start()
        await until(lambda: watch.outlook() is not None and watch.outlook().layer == 1)
        assert watch.height() is None
        await watch.close()


@pytest.mark.parametrize("pauses", [False, True])
async def test_a_job_of_the_previous_host_has_its_layers(tmp_path, pauses):
    world = World(tmp_path)
    analysis = from_analysis(analyse("\n".join(MOVES)).as_json())
    assert analysis.duration > 250
    async with world.host(HostLife()) as host:
        host.jobs.select(world.write(MOVES))
        host.jobs.start()
        await asyncio.sleep(100)
        if pauses:
            host.jobs.pause()
            await until(lambda: host.jobs.state is JobState.PAUSED)
        host.life.end()
    async with world.host() as host:
        watch = watching(host, analysis)
        await until(lambda: watch.outlook() is not None)
        assert host.jobs.state is (JobState.PAUSED if pauses else JobState.PRINTING)
        outlook = watch.outlook()
        assert outlook.origin == "mixed-analysis"
        assert (outlook.layer, outlook.layers) == (1, 1)
        # the printer's queue alone lasts for some of these 40 s
        assert outlook.time_left == pytest.approx(analysis.duration - 100, abs=40)
        if pauses:
            host.jobs.resume()
        await until(lambda: not host.jobs.active)
        assert host.jobs.state is JobState.COMPLETED
        assert watch.outlook() is None
        await watch.close()
