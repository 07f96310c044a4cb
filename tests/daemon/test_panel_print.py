"""A print started at the printer's panel is shown, and blocks prints by the host."""

import asyncio

import pytest

from daemon.bridge.words import JobState
from daemon.errors import JobConflict
from hal.driver import LinePrinter
from hal.printer import ConnectionState, Prompt
from hal.simulated.firmware import Firmware, FirmwareConfig
from hal.simulated.memory import SimulatedTransport
from support.http import api
from support.job_host import job_host

CARD = FirmwareConfig(sd_card=True)
PART = b"G28\nG1 X10 F3000\n"


@pytest.fixture
def with_card(monkeypatch):
    """The service's printer has an SD card."""

    def create(_address, settings, _wrap, _logbook):
        return LinePrinter(SimulatedTransport(Firmware(CARD)), settings)

    monkeypatch.setattr("daemon.core.connection.making.create", create)


def transport_of(server):
    return server.service.connection.printer._transport


async def test_a_panel_print_is_shown_and_a_start_is_409_meanwhile(tmp_path, with_card):
    async with api(tmp_path) as server:
        await server.upload(("file", "part.gcode", PART), ("select", b"true"))
        transport_of(server).start_panel_print("CUBE.GCO", 3000)
        await server.settle(16)
        answer = (await server.get("/api/job")).json
        place = answer["progress"]["filepos"]
        assert 1000 <= place <= 1600
        assert answer == {
            "job": {
                "file": {
                    "name": "CUBE.GCO",
                    "display": "CUBE.GCO",
                    "path": "CUBE.GCO",
                    "origin": "sdcard",
                    "size": 3000,
                    "date": None,
                },
                "estimatedPrintTime": None,
                "averagePrintTime": None,
                "lastPrintTime": None,
                "filament": {"length": None, "volume": None},
                "user": None,
            },
            "progress": {
                "completion": pytest.approx(place / 30),
                "filepos": place,
                "printTime": None,
                "printTimeLeft": None,
                "printTimeLeftOrigin": None,
            },
            "state": "Printing from SD",
        }
        state = (await server.get("/api/printer")).json["state"]
        assert state["text"] == "Printing from SD"
        assert [name for name, raised in state["flags"].items() if raised] == ["operational", "printing"]
        assert (await server.get("/api/connection")).json["current"]["state"] == "Printing from SD"
        for command in ("start", "restart", "pause", "cancel"):
            assert (await server.post("/api/job", {"command": command})).status == 409
        refused = await server.post("/api/job", {"command": "start"})
        assert refused.error.startswith("the printer reports a print from its SD card; end it at the printer's panel")
        assert (await server.post("/api/printer/printhead", {"command": "jog", "x": 1})).status == 409
        await server.settle(30)
        assert (await server.get("/api/job")).json["job"]["file"]["name"] == "part.gcode"
        assert (await server.post("/api/job", {"command": "start"})).status == 204


async def test_a_panel_print_is_no_longer_shown_after_a_disconnection(tmp_path, with_card):
    async with api(tmp_path) as server:
        transport_of(server).start_panel_print("CUBE.GCO", 3000)
        await server.settle(1)
        assert server.service.connection.panel_print is not None
        await server.service.connection.disconnect()
        assert server.service.connection.panel_print is None
        assert (await server.get("/api/job")).json["job"]["file"]["origin"] is None


async def test_a_paused_job_waits_for_the_end_of_a_panel_print(tmp_path):
    async with job_host(tmp_path, firmware=CARD) as host:
        await host.reach(JobState.PAUSED)
        host.transport.start_panel_print("CUBE.GCO", 3000)
        await asyncio.sleep(1)
        for command in (host.jobs.resume, host.jobs.toggle, host.jobs.restart):
            with pytest.raises(JobConflict, match="SD card"):
                command()
        host.connection.printer._pump.on_data(b"//action:resume\n")
        assert host.jobs.state is JobState.PAUSED
        await asyncio.sleep(60)
        host.jobs.resume()
        await host.until(JobState.PRINTING)


async def test_a_start_requested_by_the_printer_is_ignored_during_its_own_print(tmp_path):
    async with job_host(tmp_path, firmware=CARD) as host:
        host.jobs.select(host.write(["G1 X1"]))
        host.transport.start_panel_print("CUBE.GCO", 3000)
        await asyncio.sleep(1)
        host.connection.printer._pump.on_data(b"//action:start\n")
        await asyncio.sleep(1)
        assert host.jobs.state is None
        assert host.connection.ready


async def test_the_printers_message_and_prompt_can_be_read(tmp_path):
    async with job_host(tmp_path) as host:
        assert (host.connection.message, host.connection.prompt) == (None, None)
        host.connection.printer._pump.on_data(
            b"//action:notification Bed 60C\n//action:prompt_begin Sure?\n//action:prompt_button Yes\n"
            b"//action:prompt_show\n"
        )
        assert host.connection.message == "Bed 60C"
        assert host.connection.prompt == Prompt("Sure?", ("Yes",), ("",))
        await host.connection.disconnect()
        assert (host.connection.message, host.connection.prompt) == (None, None)


async def test_the_printer_may_request_a_disconnection(tmp_path):
    async with job_host(tmp_path) as host:
        host.start()
        await host.until(JobState.PRINTING)
        host.connection.printer._pump.on_data(b"//action:disconnect\n//action:disconnect\n")
        await host.until(JobState.INTERRUPTED)
        await asyncio.sleep(30)
        assert host.connection.state is ConnectionState.OFFLINE
        assert "M104 S0" in host.accepted, "heaters off before"


@pytest.mark.parametrize("action", ["poweroff", "shutdown", "never_heard_of it"])
async def test_other_actions_change_nothing(tmp_path, action):
    async with job_host(tmp_path) as host:
        host.connection.printer._pump.on_data(f"//action:{action}\n".encode())
        await asyncio.sleep(10)
        assert host.connection.ready
        assert host.jobs.state is None


async def test_no_action_of_the_host_ends_a_panel_print(tmp_path, with_card):
    """A new connection may reset the board; heaters off at a disconnect or at a stop would end the print."""
    async with api(tmp_path) as server:
        transport_of(server).start_panel_print("CUBE.GCO", 3000)
        await server.service.connection.commands.send(["M104 S200"])
        await server.settle(16)
        response = await server.post("/api/connection", {"command": "connect"})
        assert response.status == 409
        board = transport_of(server)._firmware.board
        await server.post("/api/connection", {"command": "disconnect"})
        assert board.hotend.target == 200
