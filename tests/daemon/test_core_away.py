"""HTTP while the core is missing or does not answer."""

import pytest

from daemon.bridge.front_end import CORE_AWAY_TEXT
from daemon.bridge.snapshot import PrinterSummary, Snapshot
from daemon.errors import CoreAway
from daemon.front.http.openapi import describe
from support.http import api


async def nobody_there(_question):
    raise CoreAway(CORE_AWAY_TEXT)


REQUESTS = [
    ("job", {"command": "start"}),
    ("job", {"command": "cancel"}),
    ("job", {"command": "pause", "action": "toggle"}),
    ("connection", {"command": "connect"}),
    ("connection", {"command": "disconnect"}),
    ("files/local/part.gcode", {"command": "select"}),
    ("printer/command", {"command": "M105"}),
    ("printer/command", {"command": "M112"}),
    ("printer/tool", {"command": "target", "targets": {"tool0": 200}}),
    ("printer/bed", {"command": "offset", "offset": 5}),
    ("printerpresets", {"command": "use", "preset": None}),
]


@pytest.mark.parametrize(("path", "body"), REQUESTS, ids=lambda value: str(value)[:40])
async def test_requests_are_503_with_a_reason_while_the_core_is_away(tmp_path, monkeypatch, path, body):
    async with api(tmp_path) as server:
        assert (await server.upload(("file", "part.gcode", b"G28\n"))).status == 201
        monkeypatch.setattr(server.service.front.core._channel, "ask", nobody_there)
        response = await server.post(f"/api/{path}", body)
        assert (response.status, response.error) == (503, CORE_AWAY_TEXT)
    described = describe()["paths"][f"/api/{path.replace('part.gcode', '{path}')}"]["post"]["responses"]
    assert "503" in described


@pytest.mark.parametrize(
    ("path", "status"),
    [("job", 200), ("connection", 503), ("files", 200), ("settings", 200), ("version", 200), ("printerprofiles", 200)],
)
async def test_reading_while_the_core_is_away_is_no_internal_error(tmp_path, monkeypatch, path, status):
    async with api(tmp_path) as server:
        channel = server.service.front.core._channel
        monkeypatch.setattr(channel, "ask", nobody_there)
        monkeypatch.setattr(channel, "latest", lambda: Snapshot(printer=PrinterSummary(error=CORE_AWAY_TEXT)))
        response = await server.get(f"/api/{path}")
        assert response.status == status
        assert str(response.status) in describe()["paths"][f"/api/{path}"]["get"]["responses"]
        if path == "job":
            assert response.json["state"] == "Offline"
        if status == 503:
            assert response.error == CORE_AWAY_TEXT
