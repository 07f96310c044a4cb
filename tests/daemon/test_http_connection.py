import asyncio

import pytest

from hal import ports
from hal.ports import Port
from support.http import api


async def test_without_a_printer_the_state_is_closed_and_options_are_listed(tmp_path):
    async with api(tmp_path, "", profile={"name": "My printer"}) as server:
        answer = (await server.get("/api/connection")).json
        assert answer["current"] == {"state": "Closed", "port": None, "baudrate": None, "printerProfile": "_default"}
        assert answer["options"]["printerProfiles"] == [{"id": "_default", "name": "My printer"}]
        assert "VIRTUAL" in answer["options"]["ports"]
        assert {250000, 115200} <= set(answer["options"]["baudrates"])
        assert answer["options"]["printerProfilePreference"] == "_default"
        assert answer["options"]["portPreference"] is None
        assert answer["options"]["baudratePreference"] is None


async def test_connect_is_accepted_at_once_and_disconnect_ends_it(tmp_path):
    async with api(tmp_path, "") as server:
        body = {"command": "connect", "port": "VIRTUAL", "baudrate": 115200, "printerprofile": "x", "save": True}
        assert (await server.post("/api/connection", body)).status == 204
        await asyncio.sleep(0)
        assert (await server.get("/api/connection")).json["current"]["state"] != "Operational"
        await server.settle(10)
        assert (await server.get("/api/connection")).json["current"]["state"] == "Operational"
        assert (await server.get("/api/connection")).json["current"]["port"] == "VIRTUAL"
        assert (await server.post("/api/connection", {"command": "disconnect"})).status == 204
        assert (await server.get("/api/connection")).json["current"]["state"] == "Closed"
        assert (await server.post("/api/connection", {"command": "disconnect"})).status == 204


@pytest.mark.parametrize("command", ["repair", "fake_ack"])
async def test_commands_without_effect_are_accepted(tmp_path, command):
    async with api(tmp_path, "") as server:
        assert (await server.post("/api/connection", {"command": command})).status == 204


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": "/dev/mem"},
        {"port": 5},
        {"port": "VIRTUAL", "baudrate": "fast"},
        {"port": "VIRTUAL", "baudrate": -1},
        {"port": "VIRTUAL", "baudrate": True},
        {"port": "VIRTUAL", "baudrate": 9.5},
        {"port": "VIRTUAL", "baudrate": 10**30},
        {"port": "VIRTUAL", "baudrate": 10**400},
        {"port": "VIRTUAL", "baudrate": "000115200999999"},
        {"port": "VIRTUAL", "baudrate": "9" * 5000},
        {"port": "COM3"},
        {"port": "sim?oracle=/dev/null"},
        {"port": "serial:/dev/null"},
        {"port": "VIRTUAL", "printerProfile": "other"},
        {},
    ],
)
async def test_forbidden_ports_and_baudrates_are_refused(tmp_path, wrong):
    async with api(tmp_path, "") as server:
        response = await server.post("/api/connection", {"command": "connect", **wrong})
        assert response.status == 400
        assert response.error
        await server.settle(10)
        assert (await server.get("/api/connection")).json["current"]["state"] == "Closed"


async def test_a_port_can_be_given_in_every_form_that_is_listed(tmp_path, monkeypatch):
    listed = Port(str(tmp_path / "ttyACM0"), str(tmp_path / "by-id"))
    monkeypatch.setattr(ports, "list_ports", lambda: [listed])
    async with api(tmp_path, "") as server:
        for port in (listed.address, listed.by_id, listed.path):
            assert (await server.post("/api/connection", {"command": "connect", "port": port})).status == 204


async def test_a_failed_connection_is_reported_with_the_address_as_written(tmp_path):
    allowed = {"address": "", "extra_ports": (f"{tmp_path}/*",)}
    async with api(tmp_path, "", printer=allowed) as server:
        body = {"command": "connect", "port": f"{tmp_path}/none"}
        assert (await server.post("/api/connection", body)).status == 204
        await server.settle(1)
        job = (await server.get("/api/job")).json
        assert job["state"] == "Offline after error"
        assert job["error"].startswith(f"There is no port {tmp_path}/none.")
        assert server.service.connection.address == f"serial:{tmp_path}/none"


async def test_a_second_connect_does_not_end_a_print_but_disconnect_does(tmp_path):
    async with api(tmp_path) as server:
        await server.upload(("file", "a.gcode", b"G4 S100\n" * 10), ("print", b"true"))
        await server.settle(2)
        assert (await server.post("/api/connection", {"command": "connect"})).status == 409
        assert (await server.get("/api/job")).json["state"] == "Printing"
        assert (await server.get("/api/connection")).json["current"]["state"] == "Printing"
        assert (await server.post("/api/connection", {"command": "disconnect"})).status == 204
        assert not server.service.jobs.active
