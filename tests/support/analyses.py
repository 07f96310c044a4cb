"""The API with analyses that run in the test, not in a process."""

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from daemon.config import ProfileConfig
from daemon.errors import AnalysisFailed
from daemon.front.analysis.file_analysis import machine
from daemon.front.analysis.service import AnalysisTask
from daemon.front.analysis.thumbnails import in_all_sizes
from daemon.front.analysis.toolpath_analysis import analyse_with_toolpath
from gcode.errors import NozzledError
from support.http import api

if TYPE_CHECKING:
    from pathlib import Path


GOOD = (
    b"M104 S200\nG28\nM83\nG1 X50 Y50 Z.3 F6000\n;LAYER:0\n"
    + b"G1 X100 E.04 F600\nG1 X50 E.03\n" * 30
    + b"M104 S0\nM84\n"
)
SIZED = {"width_mm": 200.0, "depth_mm": 200.0, "height_mm": 200.0}


class InlineWorker:
    """Replaces the worker process: records the files; the first `failures` runs fail."""

    def __init__(self, failures: int = 0, profile: ProfileConfig | None = None) -> None:
        self.failures = failures
        self.profile = profile or ProfileConfig()
        self.paths: list[Path] = []
        self.settings: tuple[str, ...] = ()

    async def run(self, task: AnalysisTask) -> dict[str, Any]:
        self.paths.append(task.path)
        self.settings = task.settings
        if self.failures:
            self.failures -= 1
            raise AnalysisFailed("killed")
        try:
            printer = machine(self.profile, task.settings, task.firmware)
            analysis, toolpath = analyse_with_toolpath(task.path, task.toolpath, printer)
        except NozzledError as error:
            return {"error": str(error)}
        return {"analysis": analysis.as_json(), "pictures": in_all_sizes(analysis.thumbnails), "toolpath": toolpath}


@asynccontextmanager
async def analysing(folder, address="sim", worker=None, profile=None, priority="idle", **more):
    analysis = {"enabled": True, "priority": priority}
    async with api(folder, address, analysis=analysis, profile=profile or SIZED, **more) as client:
        worker = worker or InlineWorker()
        worker.profile = client.service.config.profile
        client.service.analyses._run = worker.run
        yield client


async def upload(client, content=GOOD, name="a.gcode", **fields):
    parts = [(field, value.encode()) for field, value in fields.items()]
    return await client.upload(*parts, ("file", name, content))


async def until_analysed(client, path="a.gcode"):
    """Wait until a file has been analysed; return it as clients see it."""
    for _ in range(50):
        answer = (await client.get(f"/api/files/local/{path}?layers=1")).json
        if "gcodeAnalysis" in answer:
            return answer
        await client.settle(0.1)
    raise AssertionError("the file was never analysed")
