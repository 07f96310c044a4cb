"""The shipped dashboard and alerts use existing metrics, and Prometheus understands them."""

import asyncio
import json
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest
from tornado.httpclient import AsyncHTTPClient

from daemon.client import OctoPrintClient
from daemon.front.metrics.families import FAMILIES, full_name, table
from support.client import listening
from support.http import KEY, api
from support.processes import free_port, program
from support.waiting import TIMEOUT

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "examples" / "prometheus"
RULES = SHIPPED / "nozzled.rules.yml"
CASES = ROOT / "tests" / "data" / "prometheus" / "rules_test.yml"
DASHBOARD = json.loads((SHIPPED / "nozzled-dashboard.json").read_text())
PANELS = [each for each in DASHBOARD["panels"] if each["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
NAME = re.compile(r"\bnozzled_[a-z0-9_]+")


def queryable_names():
    """Return every name that a query can ask for."""
    names = set()
    for name, family in FAMILIES.items():
        full = full_name(name)
        names |= {f"{full}_bucket", f"{full}_count", f"{full}_sum"} if family.kind == "histogram" else {full}
    names |= {*NAME.findall((ROOT / "daemon" / "farm" / "http" / "metrics.py").read_text())}
    return names - {
        "nozzled_link_turnaround_seconds_sum",
        "nozzled_link_turnaround_seconds_count",
    }  # these are not summed up


def test_every_queried_metric_exists():
    names = set(NAME.findall(" ".join(QUERIES))) | set(NAME.findall(RULES.read_text()))
    assert len(names) > 30
    assert names <= queryable_names()


def test_every_metric_is_in_the_documentation():
    assert table() in (ROOT / "docs" / "metrics.md").read_text(), "paste families.table() into docs/metrics.md"


def test_names_follow_prometheus_and_no_label_is_free_text():
    for name, family in FAMILIES.items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*[a-z0-9]", name)
        assert not name.endswith("_total"), "a counter has it anyway"
        assert family.doc.endswith(".")
        assert not {"file", "path", "name", "job", "id", "message", "instance"} & set(family.labels)


def test_the_dashboard_is_valid():
    ids = [each["id"] for each in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    assert all(panel["title"] and panel["targets"] for panel in PANELS)
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
    taken = [
        (x, y) for at in (each["gridPos"] for each in DASHBOARD["panels"])
        for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    ]  # fmt: skip
    assert len(taken) == len(set(taken)), "no two panels in one place"


def test_promtool_accepts_the_rules_and_they_fire_as_they_should(tmp_path):
    promtool = program("promtool", "prometheus")
    for each in (RULES, CASES, SHIPPED / "prometheus.yml"):
        shutil.copy(each, tmp_path)
    for command in (
        ["check", "rules", RULES.name], ["test", "rules", CASES.name],
        ["check", "config", "--syntax-only", "prometheus.yml"],
    ):  # fmt: skip
        result = subprocess.run(
            [promtool, *command], cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr


async def test_promtool_finds_nothing_wrong_with_the_page(tmp_path):
    promtool = program("promtool", "prometheus")
    async with api(tmp_path) as server:
        text = (await server.get("/metrics")).body
    command = [promtool, "check", "metrics"]
    result = subprocess.run(command, input=text, capture_output=True, timeout=TIMEOUT, check=False)  # noqa: ASYNC221 - a moment
    assert (result.returncode, result.stdout + result.stderr) == (0, b"")


@pytest.mark.nightly
@pytest.mark.real_time
async def test_a_real_prometheus_reads_the_page_and_answers_every_query_of_the_dashboard(tmp_path):
    prometheus = program("prometheus")
    shutil.copy(RULES, tmp_path)
    (tmp_path / "nozzled.key").write_text(KEY)
    async with listening(tmp_path / "state", "sim?speed=60") as (service, url):
        part = tmp_path / "part.gcode"
        part.write_text("M104 S200\nM106 S128\nM220 S100\nM221 S100\nG28\n" + "G1 X9 F600\nG1 X0\n" * 2000)
        while not service.connection.ready:  # noqa: ASYNC110 - no listener left behind
            await asyncio.sleep(0.1)
        async with OctoPrintClient(url, KEY) as client:
            await client.files.upload(part, start=True)
        settings = (SHIPPED / "prometheus.yml").read_text().replace("printer.local:5000", url.removeprefix("http://"))
        (tmp_path / "prometheus.yml").write_text(settings.replace("15s", "1s"))
        address = f"127.0.0.1:{free_port()}"
        process = await asyncio.create_subprocess_exec(
            prometheus, "--config.file=prometheus.yml", "--storage.tsdb.path=data",
            f"--web.listen-address={address}", cwd=tmp_path,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            await until_scraped(address)
            await asyncio.sleep(8)
            answered = {query: await query_result(address, fill_in(query)) for query in QUERIES}
            alerts = (await get(address, "/api/v1/rules"))["groups"][0]["rules"]
        finally:
            process.terminate()
            await process.wait()
        assert service.jobs.active
        await service.jobs.abandon("enough")
    empty = {query for query, result in answered.items() if not result}
    # these exist only with an analysed file, on a Raspberry Pi, with a firmware with ADVANCED_OK, or after trouble
    rare = re.compile(
        r"_job_layer|planner_empty|host_t|reattachments|turnaround|loop_stall"
    )  # the last two need the core's own loop
    assert {query for query in empty if not rare.search(query)} == set()
    assert {each["health"] for each in alerts} == {"ok"}


def fill_in(query):
    return query.replace("$instance", ".*").replace("$__rate_interval", "5s")


async def get(address, path):
    answer = await AsyncHTTPClient().fetch(f"http://{address}{path}", raise_error=False)
    result = json.loads(answer.body)
    assert result["status"] == "success", (path, result)
    return result["data"]


async def query_result(address, query):
    return (await get(address, f"/api/v1/query?query={quote(query)}"))["result"]


async def until_scraped(address):
    """Wait until Prometheus has read the page."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            with suppress(OSError, ValueError):  # it is starting
                result = await query_result(address, 'up{job="nozzled"}')
                if [each["value"][1] for each in result] == ["1"]:
                    return
            await asyncio.sleep(0.2)
