"""A farm in real processes, any of which is killed: each copy is printed once, and no heater stays on."""

import http.client
import json
import os
import random
from contextlib import closing

import pytest

from support.fleet import Fleet, verify
from support.mqtt import Mosquitto
from support.processes import Child, free_port, program, until

COPIES = (1, 2, 1, 1, 3, 1, 2, 1)
OF_EACH = 8  # copies of each job of the large farm
PRINTERS, JOBS = (int(each) for each in os.environ.get("NOZZLED_FLEET", "50,200").split(","))
SHARE = 0.02  # of the copies, during which an agent, a front or a core is killed
LONG = 3600.0  # s
PARTS = ("agent", "front", "service")


@pytest.fixture
def fleet(tmp_path):
    farm = Fleet(tmp_path / "farm", 4)
    yield farm
    farm.close()


@pytest.mark.slowest
def test_each_copy_is_printed_once_whatever_process_is_killed(fleet):
    fleet.start()
    for number, copies in enumerate(COPIES):
        fleet.submit(number, copies)
    kills = [(1, "agent"), (2, "front"), (4, "nats"), (5, "server"), (6, "service"), (7, "agent")]
    copies = fleet.run(500, kills)
    assert len(copies) == sum(COPIES)
    assert verify(fleet, copies) == []
    assert verify(fleet, [{**copies[0], "state": "failed", "reason": "a lie"}, *copies[1:]]), "a lie is found out"
    assert sum(copy["state"] == "done" for copy in copies) >= len(copies) - 1, [copy["reason"] for copy in copies]


class Prometheus(Child):
    """Reads the figures of every printer."""

    def __init__(self, folder, ports):
        targets = ", ".join(f"'127.0.0.1:{port}'" for port in ports)
        config, self.port = folder / "prometheus.yml", free_port()
        config.write_text(
            "global: {scrape_interval: 15s}\n"
            f"scrape_configs: [{{job_name: nozzled, static_configs: [{{targets: [{targets}]}}]}}]\n"
        )
        address = f"--web.listen-address=127.0.0.1:{self.port}"
        storage = f"--storage.tsdb.path={folder / 'prometheus'}"
        command = [program("prometheus"), f"--config.file={config}", storage, address]
        super().__init__(command, folder / "prometheus.log")

    def value(self, query):
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request("GET", f"/api/v1/query?query={query}")
            result = json.loads(connection.getresponse().read())["data"]["result"]
        return float(result[0]["value"][1]) if result else 0.0


@pytest.mark.nightly
@pytest.mark.timeout(2 * LONG)
def test_many_printers_survive_random_kills_with_broker_and_metrics(tmp_path):
    """Nightly; NOZZLED_FLEET=20,60 makes it smaller."""
    broker = Mosquitto(tmp_path).start()
    fleet, chance = Fleet(tmp_path / "farm", PRINTERS, broker=broker.port), random.Random(JOBS)
    prometheus = None
    try:
        fleet.start()
        prometheus = Prometheus(tmp_path, [printer.port for printer in fleet.printers])
        for number in range(JOBS // OF_EACH):  # as jobs of one copy, the first would be done before the last is there
            fleet.submit(number, OF_EACH, moves=4 * PRINTERS)
        each = max(1, round(SHARE * JOBS))
        what = [*PARTS * each, "server", "server", "nats", "nats"]
        copies = fleet.run(LONG, sorted((chance.randrange(int(JOBS * 0.9)), part) for part in what))
        assert verify(fleet, copies) == []
        assert all(copy["state"] == "done" or copy["reason"] for copy in copies)
        until(lambda: prometheus.value("sum(up)") == PRINTERS, "all printers to be read", 120)
        assert all(printer.mqtt.running for printer in fleet.printers)
        ends = {state: sum(copy["state"] == state for copy in copies) for state in ("done", "failed", "cancelled")}
        summary = f"{PRINTERS} printers, {len(copies)} copies: {ends}; killed {dict(fleet.killed)}\n"
        (tmp_path / "fleet.txt").write_text(summary)  # for a reader after the run
    finally:
        fleet.close()
        broker.end()
        if prometheus is not None:
            prometheus.end()
