"""The API with analyses, which run in the test instead of in a process."""

import asyncio
import base64
import io
import json
import os
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from PIL import Image

from daemon.bridge.words import JobState
from daemon.config import ProfileConfig
from daemon.front.analysis.service import MAX_ATTEMPTS
from gcode.errors import QueueFull
from support import slicers
from support.analysed import sliced
from support.analyses import GOOD, SIZED, InlineWorker, analysing, until_analysed, upload
from support.http import NOW, form
from support.pictures import picture, with_thumbnail
from support.waiting import until

OUTSIDE = GOOD.replace(b"X100", b"X900")


async def test_an_upload_is_analysed_and_its_analysis_shown(tmp_path):
    async with analysing(tmp_path) as client:
        assert (await upload(client)).status == 201
        answer = await until_analysed(client)
        analysis = answer["gcodeAnalysis"]
        assert 250 < analysis["estimatedPrintTime"] < 500
        assert analysis["filament"]["tool0"]["length"] == pytest.approx(2.1)
        assert analysis["filament"]["tool0"]["volume"] == pytest.approx(2.1 * 2.405 / 1000, rel=0.01)
        assert analysis["printingArea"]["maxX"] == 100
        assert analysis["dimensions"]["width"] == 50
        assert (analysis["layers"], analysis["errors"], analysis["warnings"]) == (1, [], [])
        assert [layer["z"] for layer in answer["layers"]] == [0.3]
        assert "layers" not in (await client.get("/api/files/local/a.gcode")).json


async def test_the_end_of_an_analysis_is_an_event(tmp_path):
    async with analysing(tmp_path) as client:
        notices = []
        client.service.events.subscribe(notices.append)
        await upload(client, name="a b.gcode")
        await until_analysed(client, "a%20b.gcode")
        [event] = [each for each in notices if each.name == "MetadataAnalysisFinished"]
        about = {name: event.payload[name] for name in ("name", "path", "origin")}
        assert about == {"name": "a b.gcode", "path": "a b.gcode", "origin": "local"}
        answer = (await client.get("/api/files/local/a%20b.gcode")).json
        assert json.loads(json.dumps(event.payload["result"])) == answer["gcodeAnalysis"]


async def test_a_selected_file_has_an_estimated_print_time(tmp_path):
    async with analysing(tmp_path) as client:
        await upload(client, select="true")
        planned = (await until_analysed(client))["gcodeAnalysis"]["estimatedPrintTime"]
        job = (await client.get("/api/job")).json["job"]
        assert job["estimatedPrintTime"] == planned
        assert job["estimate"] == {"planned": planned, "factor": 1.0, "learntFrom": 0}
        assert job["filament"]["tool0"]["length"] == pytest.approx(2.1)


async def test_a_file_with_errors_is_not_printed(tmp_path):
    async with analysing(tmp_path) as client:
        answer = await upload(client, OUTSIDE, print="true")
        assert (answer.status, answer.json["effectivePrint"], answer.json["effectiveSelect"]) == (201, False, True)
        assert "outside the build volume: X from 50 to 900" in answer.json["notPrinted"]
        assert not client.service.jobs.active
        for path, command in (("/api/job", "start"), ("/api/files/local/a.gcode", "select")):
            refused = await client.post(path, {"command": command, "print": True})
            assert refused.status == 409
            assert "outside the build volume" in refused.error
            assert "force" in refused.error
        assert not client.service.jobs.active


async def test_a_selected_file_that_is_replaced_on_the_disk_is_checked_as_it_is_now(tmp_path):
    async with analysing(tmp_path) as client:
        await upload(client, select="true")
        await until_analysed(client)
        (client.service.files.root / "a.gcode").write_bytes(OUTSIDE)  # as by a network share
        refused = await client.post("/api/job", {"command": "start"})
        assert refused.status == 409
        assert "outside the build volume" in refused.error
        assert not client.service.jobs.active
        assert (await client.post("/api/job", {"command": "start", "force": True})).status == 204
        assert (await client.get("/api/job")).json["job"]["file"]["size"] == len(OUTSIDE)


async def test_a_restart_checks_a_file_that_was_replaced_during_its_print(tmp_path):
    async with analysing(tmp_path) as client:
        await upload(client, print="true")
        await client.settle(1)
        await client.post("/api/job", {"command": "pause"})
        await until(lambda: client.service.jobs.state is JobState.PAUSED)
        (client.service.files.root / "a.gcode").write_bytes(OUTSIDE)  # as by a network share
        refused = await client.post("/api/job", {"command": "restart"})
        assert refused.status == 409
        assert "outside the build volume" in refused.error
        assert client.service.jobs.state is JobState.PAUSED
        assert (await client.post("/api/job", {"command": "restart", "force": True})).status == 204


class GatedWorker(InlineWorker):
    """Waits before it analyses."""

    def __init__(self):
        super().__init__()
        self.gate = asyncio.Event()

    async def run(self, order):
        await self.gate.wait()
        return await super().run(order)


@pytest.mark.parametrize("path", ["/api/job", "/api/files/local/a.gcode"])
async def test_a_file_that_is_replaced_while_it_is_checked_is_not_printed_unchecked(tmp_path, path):
    worker = GatedWorker()
    async with analysing(tmp_path, worker=worker) as client:
        await upload(client, select="true")
        command = "start" if path == "/api/job" else "select"
        starting = asyncio.create_task(client.post(path, {"command": command, "print": True}))
        await client.settle(1)
        assert not starting.done()
        assert (await upload(client, OUTSIDE * 2)).status == 201
        worker.gate.set()
        answer = await starting
        assert (answer.status, client.service.jobs.active) == (409, False)
        assert "a.gcode was replaced while it was checked" in answer.error


async def test_an_upload_that_another_replaces_while_it_is_checked_is_not_printed(tmp_path):
    worker = GatedWorker()
    async with analysing(tmp_path, worker=worker) as client:
        uploading = asyncio.create_task(upload(client, print="true"))
        await client.settle(1)
        assert (await upload(client, OUTSIDE * 2)).status == 201
        worker.gate.set()
        answer = (await uploading).json
        assert (answer["effectivePrint"], client.service.jobs.active) == (False, False)
        assert "a.gcode was replaced while it was checked" in answer["notPrinted"]


@contextmanager
def replacing_after_the_check(client, content=OUTSIDE):
    """Put another file in the place of a.gcode, as a network share does, as soon as the front has checked it."""
    watch, path = client.service.watch, client.service.files.root / "a.gcode"
    check = watch.check

    async def check_and_replace(*args, **kwargs):
        passed = await check(*args, **kwargs)
        other = path.with_suffix(".new")
        other.write_bytes(content)
        other.replace(path)
        return passed

    with patch.object(watch, "check", check_and_replace):
        yield


REQUESTS = {
    "start": ("/api/job", {"command": "start"}),
    "start with a key": ("/api/job", {"command": "start", "job": "k"}),
    "select and print": ("/api/files/local/a.gcode", {"command": "select", "print": True}),
    "select and print with a key": ("/api/files/local/a.gcode", {"command": "select", "print": True, "job": "k"}),
    "reprint": ("/api/history/1", {"command": "reprint"}),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_file_that_is_replaced_after_its_check_is_not_printed(tmp_path, name):
    """Between the check by the front and the moment in which the core opens the file."""
    path, body = REQUESTS[name]
    async with analysing(tmp_path) as client:
        await upload(client, select="true", print="true" if name == "reprint" else "")
        await until_analysed(client)
        await until(lambda: not client.service.jobs.active)
        with replacing_after_the_check(client):
            assert (await client.post(path, body)).status == 204
        await until(lambda: client.service.jobs.state is JobState.FAILED)
        error = (await client.get("/api/job")).json["error"]
        assert "a.gcode was changed after it had been checked, so it was not printed: start it again" in error
        refused = await client.post("/api/job", {"command": "start"})
        assert (refused.status, "outside the build volume" in refused.error) == (409, True)


async def test_an_upload_that_is_replaced_after_its_check_is_not_printed(tmp_path):
    async with analysing(tmp_path) as client:
        with replacing_after_the_check(client):
            await upload(client, print="true")
        await until(lambda: client.service.jobs.state is JobState.FAILED)


async def test_a_file_of_the_same_size_and_time_that_replaces_the_checked_one_is_not_printed(tmp_path):
    async with analysing(tmp_path) as client:
        await upload(client, select="true")
        path = client.service.files.root / "a.gcode"
        before, start = path.stat(), client.service.jobs.start

        def replace_and_start(*args, **kwargs):
            other = path.with_suffix(".new")
            other.write_bytes(OUTSIDE)
            os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
            other.replace(path)
            start(*args, **kwargs)

        with patch.object(client.service.jobs, "start", replace_and_start):
            await client.post("/api/job", {"command": "start"})
        assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
        await until(lambda: client.service.jobs.state is JobState.FAILED)


async def test_a_file_that_is_replaced_just_before_its_restart_is_not_printed(tmp_path):
    async with analysing(tmp_path) as client:
        await upload(client, print="true")
        await client.settle(1)
        await client.post("/api/job", {"command": "pause"})
        await until(lambda: client.service.jobs.state is JobState.PAUSED)
        restart = client.service.jobs.restart

        def replace_and_restart(*args, **kwargs):
            (client.service.files.root / "a.gcode").write_bytes(OUTSIDE)
            restart(*args, **kwargs)

        with patch.object(client.service.jobs, "restart", replace_and_restart):
            assert (await client.post("/api/job", {"command": "restart"})).status == 204
        await until(lambda: client.service.jobs.state is JobState.FAILED)


async def test_a_file_that_another_client_selects_during_the_check_is_not_printed_unchecked(tmp_path):
    async with analysing(tmp_path) as client:
        await upload(client, OUTSIDE, name="b.gcode")
        await upload(client, select="true")
        check = client.service.watch.check

        async def check_and_select(*args, **kwargs):
            passed = await check(*args, **kwargs)
            await client.post("/api/files/local/b.gcode", {"command": "select"})
            return passed

        with patch.object(client.service.watch, "check", check_and_select):
            refused = await client.post("/api/job", {"command": "start"})
        assert (refused.status, client.service.jobs.active) == (409, False)
        assert refused.error == "b.gcode was selected while a.gcode was checked: select the file to print again"


async def test_a_forced_file_is_printed_whatever_is_there(tmp_path):
    async with analysing(tmp_path) as client:
        await upload(client, select="true")
        start = client.service.jobs.start

        def replace_and_start(*args, **kwargs):
            (client.service.files.root / "a.gcode").write_bytes(OUTSIDE)
            start(*args, **kwargs)

        with patch.object(client.service.jobs, "start", replace_and_start):
            await client.post("/api/job", {"command": "start", "force": True})
        await client.settle(1)
        assert client.service.jobs.active


async def test_a_file_with_errors_can_be_forced(tmp_path):
    async with analysing(tmp_path) as client:
        await upload(client, OUTSIDE, select="true")
        assert (await client.post("/api/job", {"command": "start", "force": True})).status == 204
        assert client.service.jobs.active
        await client.post("/api/job", {"command": "cancel"})
        await client.settle(60)
        assert (await upload(client, OUTSIDE, print="true", force="true")).json["effectivePrint"] is True


async def test_select_without_print_is_never_refused(tmp_path):
    async with analysing(tmp_path) as client:
        await upload(client, OUTSIDE)
        assert (await client.post("/api/files/local/a.gcode", {"command": "select"})).status == 204


async def test_a_replaced_file_is_analysed_again(tmp_path):
    async with analysing(tmp_path) as client:
        await upload(client, OUTSIDE)
        assert (await until_analysed(client))["gcodeAnalysis"]["errors"]
        await upload(client, GOOD)
        assert (await until_analysed(client))["gcodeAnalysis"]["errors"] == []
        await upload(client, GOOD.replace(b"S200", b"S999"))  # of the same size, in the same second
        assert (await until_analysed(client))["gcodeAnalysis"]["errors"] == [
            "the file heats tool0 to 999 °C, but the profile allows 300 °C (line 1)"
        ]


async def test_an_analysis_outlives_the_daemon(tmp_path):
    async with analysing(tmp_path) as client:
        await upload(client)
        first = await until_analysed(client)
    worker = InlineWorker()
    async with analysing(tmp_path, worker=worker) as client:
        assert await until_analysed(client) == first
        assert worker.paths == []


@pytest.mark.parametrize(
    ("damage", "analyses", "layers"), [("summary = '{\"errors'", 1, True), ("details = x'789c00'", 0, False)]
)
async def test_damaged_findings_in_the_database_are_no_error(tmp_path, damage, analyses, layers):
    async with analysing(tmp_path) as client:
        await upload(client)
        await until_analysed(client)
        await client.service.cache.keep((f"UPDATE analyses SET {damage}", ()))
    worker = InlineWorker()
    async with analysing(tmp_path, worker=worker) as client:
        assert (await client.get("/api/files")).status == 200
        found = await until_analysed(client)
        assert (len(worker.paths), bool(found["layers"])) == (analyses, layers)


async def test_a_deleted_file_is_forgotten(tmp_path):
    async with analysing(tmp_path) as client:
        await upload(client)
        await until_analysed(client)
        await client.delete("/api/files/local/a.gcode")
        assert await client.service.cache.query("SELECT * FROM analyses") == []


async def test_the_analysis_process_is_restarted_but_not_for_a_file_that_kills_it(tmp_path):
    worker = InlineWorker(failures=1)
    async with analysing(tmp_path, worker=worker) as client:
        await upload(client)
        assert (await until_analysed(client))["gcodeAnalysis"]["estimatedPrintTime"]
        assert len(worker.paths) == 2
        worker.failures = 10
        answer = await upload(client, name="b.gcode", print="true")
        assert answer.json["effectivePrint"] is True  # nothing is known against it
        analysis = (await until_analysed(client, "b.gcode"))["gcodeAnalysis"]
        assert analysis == {"errors": [], "warnings": ["the file could not be analysed: killed"]}
        assert len(worker.paths) == 2 + MAX_ATTEMPTS


async def test_a_slow_analysis_delays_a_print_only_for_a_while(tmp_path):
    async with analysing(tmp_path) as client:
        loop, stuck = asyncio.get_running_loop(), asyncio.Event()
        client.service.analyses._run = lambda _order: stuck.wait()
        began = loop.time()
        answer = await upload(client, OUTSIDE, print="true")
        assert answer.json["effectivePrint"] is True
        assert loop.time() - began == pytest.approx(client.service.config.analysis.patience_s, abs=0.1)


@pytest.mark.parametrize("requested", ["a file", "a job"])
async def test_no_print_begins_after_its_client_has_given_up(tmp_path, monkeypatch, requested):
    async with analysing(tmp_path) as client:
        loop, stuck = asyncio.get_running_loop(), asyncio.Event()
        started = loop.time()
        monkeypatch.setattr(client.service.both.front, "wall", lambda: NOW + loop.time() - started)
        client.service.analyses._run = lambda _order: stuck.wait()
        await upload(client, GOOD)
        path, command = "/api/files/local/a.gcode", {"command": "select", "print": True}
        if requested == "a job":
            await client.post(path, {"command": "select"})
            path, command = "/api/job", {"command": "start"}
        late = await client.post(path, command, headers={"Nozzled-Until": f"{NOW + 10}"})  # the analysis may take 20 s
        assert (late.status, client.service.jobs.active) == (408, False)
        in_time = await client.post(path, command, headers={"Nozzled-Until": f"{NOW + 60}"})
        assert (in_time.status, client.service.jobs.active) == (204, True)


async def test_an_upload_is_stored_but_not_printed_after_its_client_has_given_up(tmp_path, monkeypatch):
    async with analysing(tmp_path) as client:
        loop, stuck = asyncio.get_running_loop(), asyncio.Event()
        started = loop.time()
        monkeypatch.setattr(client.service.both.front, "wall", lambda: NOW + loop.time() - started)
        client.service.analyses._run = lambda _order: stuck.wait()
        body, kind = form(("file", "a.gcode", GOOD), ("print", b"true"))
        headers = {"Content-Type": kind, "Nozzled-Until": f"{NOW + 10}"}
        answer = await client.request("POST", "/api/files/local", body, headers=headers)
        assert (answer.status, answer.json["effectivePrint"], client.service.jobs.active) == (201, False, False)


async def test_binary_gcode_is_analysed(tmp_path):
    async with analysing(tmp_path) as client:
        root = client.service.files.root
        (root / "a.gcode").write_bytes(b"GCDE" + bytes(100))  # put there by hand: as an upload it would be refused
        assert "binary G-code" in (await until_analysed(client))["gcodeAnalysis"]["errors"][0]


async def test_thumbnails_are_served(tmp_path):
    out = io.BytesIO()
    Image.new("RGB", (32, 16), "red").save(out, "JPEG")
    data = base64.b64encode(out.getvalue()).decode()
    lines = [f"; {data[at : at + 78]}" for at in range(0, len(data), 78)]
    picture = f"; thumbnail_JPG begin 32x16 {len(data)}\n" + "\n".join(lines) + "\n; thumbnail_JPG end\n"
    async with analysing(tmp_path) as client:
        await upload(client, picture.encode() + GOOD)
        path = (await until_analysed(client))["thumbnail"]
        answer = await client.get(f"/{path}")
        assert (answer.status, answer.headers["Content-Type"]) == (200, "image/png")
        shown = Image.open(io.BytesIO(answer.body))
        assert (shown.format, shown.size) == ("PNG", (32, 16))
        await upload(client, GOOD, name="b.gcode")
        await until_analysed(client, "b.gcode")
        assert (await client.get("/downloads/thumbnails/local/b.gcode")).status == 404
        assert (await client.get("/downloads/thumbnails/local/none.gcode")).status == 404


async def test_pictures_are_served_in_all_sizes(tmp_path):
    async with analysing(tmp_path) as client:
        small, large = (with_thumbnail("PNG", b"", picture("PNG", *size)) for size in ((16, 16), (64, 48)))
        large = large.replace(b"begin 32x16", b"begin 64x48")
        await upload(client, small.replace(b"begin 32x16", b"begin 16x16") + large + GOOD)
        thumbnails = (await until_analysed(client))["gcodeAnalysis"]["thumbnails"]
        assert [(each["width"], each["height"]) for each in thumbnails] == [(64, 48), (16, 16)]
        for each in thumbnails:
            answer = await client.get(f"/{each['relative_path']}")
            assert len(answer.body) == each["size"]
            assert Image.open(io.BytesIO(answer.body)).size == (each["width"], each["height"])
        assert (await client.get("/downloads/thumbnails/local/a.gcode")).body == (
            await client.get("/downloads/thumbnails/local/a.gcode?size=64x48")
        ).body
        for size in ("1x1", "x", "64", "64x48x1", "-1x2", "9" * 99):
            assert (await client.get(f"/downloads/thumbnails/local/a.gcode?size={size}")).status == 404


async def test_metadata_of_the_slicer_has_moonraker_names(tmp_path):
    async with analysing(tmp_path) as client:
        await upload(client, (slicers.FOLDER / "prusaslicer.gcode").read_bytes())
        analysis = (await until_analysed(client))["gcodeAnalysis"]
    expected = {
        "slicer": "PrusaSlicer", "slicer_version": "2.8.1+linux-x64", "estimated_time": 3723, "layer_height": 0.2,
        "first_layer_height": 0.3, "first_layer_extr_temp": 215, "first_layer_bed_temp": 60, "chamber_temp": None,
        "nozzle_diameter": 0.4, "printer_model": "MK9", "filament_type": "PLA", "filament_name": "Made PLA",
        "filament_colors": ["#FF8000"], "filament_weights": [4.5], "filament_weight_total": 4.5,
        "filament_cost_total": 0.12, "slicerEstimate": 3723, "objects": ["part.stl"], "layers": 3,
    }  # fmt: skip
    assert {name: analysis[name] for name in expected} == expected
    tool = analysis["filament"]["tool0"]
    assert tool.pop("length") == pytest.approx(7.92)
    assert tool.pop("volume") == pytest.approx(0.01905, rel=1e-3)
    assert tool == {"type": "PLA", "name": "Made PLA", "color": "#FF8000", "weight": 4.5, "cost": 0.12}


@pytest.mark.parametrize(
    "name", ["cube20", pytest.param("knob", marks=pytest.mark.nightly), pytest.param("vase", marks=pytest.mark.nightly)]
)
async def test_time_left_is_right_throughout_a_print_and_the_pace_of_the_printer_is_learnt(tmp_path, name):
    async with analysing(tmp_path) as client:
        await upload(client, sliced(name).replace(b"\n;LAYER_CHANGE", b"\nM73 P0 R7\n;LAYER_CHANGE", 1), print="true")
        loop = asyncio.get_running_loop()
        began, samples = loop.time(), []
        ends = []
        client.service.jobs.subscribe(lambda state: ends.append(loop.time() - began) if state.ended else None)
        while client.service.jobs.active:
            samples.append((loop.time() - began, (await client.get("/api/job")).json["progress"]))
            await client.settle(15)
        [total] = ends
        for at, progress in samples:
            if 0.05 * total < at < total:
                assert abs(progress["printTimeLeft"] - (total - at)) < 0.02 * total
                assert progress["printTimeLeftOrigin"] == ("mixed-analysis" if progress["layer"] else "analysis")
                assert progress["m73"] == ({"completion": 0, "printTimeLeft": 420} if progress["layer"] else None)
        layers = [progress["layer"] for _, progress in samples[:-1]]
        assert layers == sorted(layers)
        assert samples[0][1]["layers"] >= layers[-1] > samples[0][1]["layers"] - 5
        assert 90 < samples[-2][1]["timeCompletion"] <= 100
        await client.settle(5)
        learnt = (await client.get("/api/job")).json["job"]["estimate"]
        assert learnt["learntFrom"] == 1
        assert learnt["factor"] == pytest.approx(1.0, abs=0.01)  # the simulated printer's own clock


async def test_limits_come_from_the_printer(tmp_path):
    worker = InlineWorker()
    async with analysing(tmp_path, worker=worker) as client:
        await upload(client)
        assert (await until_analysed(client))["gcodeAnalysis"]["limitsFrom"] == "printer"
        assert [line.split()[0] for line in worker.settings] == ["M203", "M201", "M204", "M205"]


async def test_a_core_that_refuses_to_name_the_limits_ends_no_analysis(tmp_path):
    async with analysing(tmp_path) as client:
        analyses = client.service.analyses

        async def refuse():
            raise QueueFull("32 requests are not done yet; try again later")

        analyses._ask_limits = refuse
        await upload(client)
        assert (await until_analysed(client))["gcodeAnalysis"]["errors"] == []
        assert await analyses.area() is None


async def test_a_file_is_analysed_again_for_another_printer(tmp_path):
    async with analysing(tmp_path, address="") as client:
        await upload(client)
        assert (await until_analysed(client))["gcodeAnalysis"]["limitsFrom"] == "defaults"
    worker = InlineWorker()
    async with analysing(tmp_path, worker=worker) as client:
        await upload(client, name="b.gcode")
        await until_analysed(client, "b.gcode")  # the printer has been asked by now
        await client.get("/api/files/local/a.gcode")
        await client.settle(1)
        assert (await until_analysed(client))["gcodeAnalysis"]["limitsFrom"] == "printer"


async def test_a_file_awaited_by_a_client_is_not_analysed_at_idle_priority(tmp_path):
    urgent, may_finish = [], asyncio.Event()

    async def run(order):
        urgent.append(order.urgent)
        if not order.urgent:
            await may_finish.wait()
        return await InlineWorker(profile=ProfileConfig(**SIZED)).run(order)

    async with analysing(tmp_path) as client:
        client.service.analyses._run = run
        await upload(client, OUTSIDE, select="true")
        await client.settle(1)
        assert urgent == [False]
        assert (await client.post("/api/job", {"command": "start"})).status == 409
        assert urgent == [False, True]


async def test_on_a_busy_processor_no_file_is_analysed_at_idle_priority(tmp_path):
    async with analysing(tmp_path, priority="low") as client:
        run, urgent = client.service.analyses._run, []

        async def noted(order):
            urgent.append(order.urgent)
            return await run(order)

        client.service.analyses._run = noted
        await upload(client)
        await until_analysed(client)
        assert urgent == [True]


async def test_an_awaited_file_does_not_wait_for_the_idle_analysis_of_another(tmp_path):
    orders, may_finish = [], asyncio.Event()

    async def run(order):
        orders.append((order.path.name, order.urgent))
        if not order.urgent and not may_finish.is_set():
            await may_finish.wait()
        return await InlineWorker(profile=ProfileConfig(**SIZED)).run(order)

    async with analysing(tmp_path) as client:
        client.service.analyses._run = run
        await upload(client, name="large.gcode")
        await client.settle(1)
        await upload(client, OUTSIDE, name="b.gcode", select="true")
        assert (await client.post("/api/job", {"command": "start"})).status == 409
        assert orders[:2] == [("large.gcode", False), ("b.gcode", True)]
        may_finish.set()
        await client.settle(1)
        assert orders[2:] == [("large.gcode", False)], "it was put aside, not forgotten"
        assert "gcodeAnalysis" in (await client.get("/api/files/local/large.gcode")).json


async def test_a_refused_print_is_an_event_and_a_log_entry(tmp_path, capsys):
    async with analysing(tmp_path) as client:
        notices = []
        client.service.events.subscribe(notices.append)
        await upload(client, OUTSIDE, print="true")
        reasons = ["prints outside the build volume: X from 50 to 900, allowed 0 to 200"]
        expected = {"name": "a.gcode", "path": "a.gcode", "reasons": reasons}
        assert (await client.get("/api/job")).json["refused"] == expected
        [event] = [each for each in notices if each.name == "PrintRefused"]
        assert dict(event.payload) == {**expected, "origin": "local"}
        assert "print.refused" in capsys.readouterr().out
        await client.post("/api/queue", {"command": "add", "path": "a.gcode"})
        await client.post("/api/queue", {"command": "bed", "clear": True})
        await client.settle(1)
        [entry] = (await client.get("/api/queue")).json["entries"]
        assert (entry["state"], entry["reason"]) == ("refused", reasons[0])
        assert (await client.post("/api/job", {"command": "start", "force": True})).status == 204
        assert "refused" not in (await client.get("/api/job")).json


async def test_an_upload_that_cannot_be_printed_now_gives_the_reason(tmp_path):
    async with analysing(tmp_path, address="") as client:
        answer = await upload(client, print="true")
        assert (answer.status, answer.json["notPrinted"]) == (201, "no printer is connected")


async def test_a_printer_of_unknown_size_prints_a_file_of_any_size(tmp_path):
    async with analysing(tmp_path, profile={"name": "new"}) as client:
        assert (await upload(client, OUTSIDE, print="true")).json["effectivePrint"] is True
