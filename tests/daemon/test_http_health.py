"""The health of connection, service and machine, and the recordings."""

import gzip

from daemon.front import machine
from support.http import api


async def test_health_covers_the_connection_the_service_and_the_machine(tmp_path):
    async with api(tmp_path) as server:
        await server.post("/api/printer/command", {"commands": ["G28", "M105"]})
        await server.settle(5)
        answer = (await server.get("/api/health")).json
        assert answer["link"]["sent"] >= 2
        assert answer["link"]["resends"] == answer["link"]["badChecksums"] == answer["link"]["wrongNumbers"] == 0
        assert answer["link"]["figures"]["windowLines"] >= 1
        assert answer["link"]["figures"]["waits"] == 0
        assert answer["memory"]["core"] > 10**6
        assert answer["machine"]["memory"]["total"] > answer["machine"]["memory"]["free"] > 0
        assert answer["machine"]["disk"]["free"] > 0
        assert (answer["faults"], answer["recording"], "sessions" in answer) == ([], False, False)
        assert answer["protection"] is not None


async def test_a_fault_is_listed_shown_and_fetched(tmp_path):
    async with api(tmp_path, link={"record": str(tmp_path / "rec")}) as server:
        await server.post("/api/printer/command", {"commands": ["M117 hello"]})
        await server.settle(2)
        server.service.both.core.connection.emergency_stop("test")
        await server.settle(5)
        await server.service.connection.disconnect()
        answer = (await server.get("/api/health")).json
        [fault] = answer["faults"]
        [session] = answer["sessions"]
        file = await server.get(f"/api/recordings/faults/{fault['name']}")
        assert b"nozzled session" in gzip.decompress(file.body)
        assert file.headers["Content-Disposition"].startswith("attachment")
        path = f"/api/recordings/faults/{fault['name']}"
        link = (await server.post("/api/links", {"paths": [path]})).json["links"][path]
        assert (await server.get(link, key=None)).body == file.body
        dialogue = (await server.get(f"/api/recordings/faults/{fault['name']}/dialogue")).json
        assert any("M117 hello" in line for line in dialogue["lines"])
        assert dialogue["address"] == "sim"
        for path in ("faults/none.jsonl.gz", "faults/..%2fnozzled.db", "other/x.jsonl.gz", "faults/.jsonl.gz"):
            for more in ("", "/dialogue"):
                assert (await server.get(f"/api/recordings/{path}{more}")).status in (400, 404)
        (tmp_path / "rec" / session["name"]).write_bytes(b"nonsense")
        broken = await server.get(f"/api/recordings/sessions/{session['name']}/dialogue")
        assert (broken.status, "cannot be read" in broken.error) == (409, True)


def test_a_raspberry_pi_reports_its_power_problems(tmp_path):
    throttled = tmp_path / "devices/platform/soc/soc:firmware/get_throttled"
    throttled.parent.mkdir(parents=True)
    throttled.write_text("50005\n")
    (tmp_path / "class/thermal/thermal_zone0").mkdir(parents=True)
    (tmp_path / "class/thermal/thermal_zone0/temp").write_text("61700\n")
    status = machine.describe(tmp_path, tmp_path)
    assert (status["now"], status["since"]) == (["undervoltage", "throttled"], ["undervoltage", "throttled"])
    assert status["temperature"] == 61.7
    throttled.write_text("error")
    assert machine.describe(tmp_path, tmp_path)["now"] is None


async def test_a_recording_that_vanishes_hides_no_other(tmp_path):
    (tmp_path / "faults").mkdir()
    (tmp_path / "faults/a.jsonl.gz").write_bytes(b"x")
    (tmp_path / "faults/b.jsonl.gz").symlink_to("gone")
    async with api(tmp_path, "") as server:
        assert [each["name"] for each in (await server.get("/api/health")).json["faults"]] == ["a.jsonl.gz"]
