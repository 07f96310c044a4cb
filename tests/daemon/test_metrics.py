"""/metrics: its content for Prometheus, access to it, and its cost."""

import asyncio
import sys

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as parsed

from daemon.bridge.questions import CoreTally
from daemon.bridge.remote import RemoteConnection
from daemon.errors import ConfigError, CoreAway
from daemon.front.metrics.exposition import exposition
from daemon.front.metrics.families import FAMILIES, full_name
from daemon.front.metrics.samples import Buckets, MetricSample, Scrape, samples
from support.http import KEY, api

PART = b"M104 S200\nG28\nG1 X10 F6000\n" + b"G1 X20\nG1 X10\n" * 200
PROMETHEUS = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


async def scraped(server, accept=""):
    """Return all samples: by name and labels."""
    answer = await server.get("/metrics", headers={"Accept": accept} if accept else {})
    assert answer.status == 200
    read = openmetrics if answer.headers["Content-Type"].startswith("application/openmetrics") else parsed
    return {
        (each.name, *each.labels.values()): each.value
        for family in read(answer.body.decode())
        for each in family.samples
    }


async def test_a_print_is_visible_during_and_after_it(tmp_path):
    async with api(tmp_path) as server:
        await server.upload(("print", b"true"), ("file", "secret name.gcode", PART))
        await server.settle(20)
        metrics = await scraped(server)
        assert metrics["nozzled_job_state", "printing"] == 1
        assert sum(value for (name, *_), value in metrics.items() if name == "nozzled_job_state") == 1
        assert metrics["nozzled_connection_state", "ready"] == 1
        assert 0 <= metrics["nozzled_job_progress_ratio",] <= 1
        assert metrics["nozzled_job_file_bytes",] == len(PART)
        assert metrics["nozzled_temperature_target_celsius", "tool0"] == 200
        assert metrics["nozzled_link_lines_sent_total",] > 1
        assert metrics["nozzled_core_up",] == 1
        assert metrics["nozzled_disk_free_bytes",] > 0
        while server.service.jobs.active:
            await server.settle(10)
        await server.settle(5)
        text = (await server.get("/metrics")).body.decode()
        assert "secret" not in text
        metrics = await scraped(server)
        assert metrics["nozzled_jobs_total", "completed"] == 1
        assert metrics["nozzled_job_printing_seconds_total",] > 1
        assert ("nozzled_job_progress_ratio",) not in metrics
        assert metrics["nozzled_http_requests_total", "200"] >= 2


async def test_skipped_entries_of_the_queue_do_not_count_as_waiting(tmp_path):
    async with api(tmp_path) as server:
        for name in ("a.gcode", "b.gcode"):
            await server.upload(("file", name, PART))
            assert (await server.post("/api/queue", {"command": "add", "path": name})).status == 201
        assert (await scraped(server))["nozzled_queue_entries",] == 2
        assert (await server.request("DELETE", "/api/files/local/a.gcode")).status == 204
        assert (await scraped(server))["nozzled_queue_entries",] == 1


async def test_both_formats_have_the_same_content(tmp_path):
    async with api(tmp_path) as server:
        await server.get("/metrics")
        old = await scraped(server)
        new = await scraped(server, PROMETHEUS)
    assert set(old) == set(new)


async def test_access_to_metrics_is_configurable(tmp_path):
    async with api(tmp_path, "", metrics={"open_to": ("192.0.2.0/24",)}) as server:

        def get(**more):
            return server.get("/metrics", **{"key": None, "headers": {"Host": "127.0.0.1"}, **more})  # fmt: skip

        assert (await get(key=KEY, headers={})).status == 200
        assert (await get(headers={"Authorization": f"Bearer {KEY}"})).status == 200
        assert (await get()).status == 200
        assert (await get(headers={"Host": "evil.example"})).status == 403
        assert (await get(peer="198.51.100.9")).status == 403
        assert (await get(headers={"Host": "127.0.0.1", "X-Forwarded-For": "8.8.8.8"})).status == 403
        assert (await get(key="wrong")).status == 403
        assert (await server.get("/api/job", key=None, headers={"Host": "127.0.0.1"})).status == 403


async def test_an_invalid_network_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"metrics\.open_to: monitor is neither an IP address"):
        async with api(tmp_path, "", metrics={"open_to": ("monitor",)}):
            pass


async def test_a_missing_core_leaves_the_other_metrics(tmp_path, monkeypatch):
    async with api(tmp_path, "") as server:

        async def away(_):
            raise CoreAway("the core is away")

        monkeypatch.setattr(RemoteConnection, "core_tally", away)
        metrics = await scraped(server)
    assert metrics["nozzled_core_up",] == 0
    assert ("nozzled_process_start_time_seconds", "core") not in metrics
    assert metrics["nozzled_process_start_time_seconds", "front"] > 0


async def test_a_core_of_another_version_leaves_out_what_it_counts_otherwise(tmp_path, monkeypatch):
    async with api(tmp_path, "") as server:

        async def other(_):
            return CoreTally(began=5.0, turnarounds=[1, 2, 3], stalls=[1], stall_bounds=[0.02, 0.05])

        monkeypatch.setattr(RemoteConnection, "core_tally", other)
        metrics = await scraped(server)
    assert metrics["nozzled_process_start_time_seconds", "core"] == 5
    assert not [name for name, *_ in metrics if "turnaround" in name or "stall" in name]


async def test_simultaneous_scrapes_ask_the_core_once(tmp_path, monkeypatch):
    async with api(tmp_path, "") as server:
        calls = []
        first = RemoteConnection.core_tally

        async def core_tally(self):
            calls.append(1)
            return await first(self)

        monkeypatch.setattr(RemoteConnection, "core_tally", core_tally)
        await asyncio.gather(*(server.get("/metrics") for _ in range(5)))
        await server.get("/metrics")
        assert len(calls) == 1
        await asyncio.sleep(1)
        await server.get("/metrics")
        assert len(calls) == 2


async def test_nothing_is_loaded_before_the_first_scrape(tmp_path):
    code = "import daemon.front.main, daemon.core.main, sys; print('prometheus_client' in sys.modules)"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert (await process.communicate())[0] == b"False\n"


async def test_every_sample_belongs_to_a_family_and_has_its_labels(tmp_path):
    async with api(tmp_path) as server:
        await server.get("/metrics")
        known = await server.application.settings["metrics"].scrape()
        front = server.service.both.front
        full, nothing = [*samples(front, known)], [*samples(front, Scrape())]
    for each in (*full, *nothing):
        assert len(each.labels) == len(FAMILIES[each.name].labels), each
    assert {each.name for each in nothing} < {each.name for each in full}
    names = [full_name(name) for name in FAMILIES]
    assert len(names) == len(set(names))


def test_histograms_are_cumulative_and_have_a_sum_where_it_is_known():
    with_sum = MetricSample("loop_stall_seconds", Buckets((0.02, 0.05), (3, 0, 1), 0.5))
    without = MetricSample("link_turnaround_seconds", Buckets((0.001,), (5, 2)))
    text = exposition([with_sum, without], "")[0].decode()
    assert [line for line in text.splitlines() if not line.startswith("#")] == [
        'nozzled_link_turnaround_seconds_bucket{le="0.001"} 5.0',
        'nozzled_link_turnaround_seconds_bucket{le="+Inf"} 7.0',
        'nozzled_loop_stall_seconds_bucket{le="0.02"} 3.0',
        'nozzled_loop_stall_seconds_bucket{le="0.05"} 3.0',
        'nozzled_loop_stall_seconds_bucket{le="+Inf"} 4.0',
        "nozzled_loop_stall_seconds_count 4.0",
        "nozzled_loop_stall_seconds_sum 0.5",
    ]
