"""The daemon's recordings: whole conversations if configured, and the last lines of failed ones."""

import time

from structlog.testing import capture_logs

from hal.errors import PortLost
from hal.recorder import Recorder
from hal.rerun import rerun
from hal.session_file import HOST, read
from hal.simulated.memory import SimulatedTransport
from support.http import api
from support.waiting import until


async def test_a_connection_is_recorded_and_can_be_replayed(tmp_path):
    folder = tmp_path / "recordings"
    async with api(tmp_path / "state", link={"record": str(folder), "window_lines": 2}) as client:
        answer = await client.post("/api/printer/command", {"commands": ["G28", "G1 X10 F600", "M118 hello"]})
        assert answer.status == 204
        await client.settle(30)
    (file,) = folder.iterdir()
    session = read([file])
    dialogue = b"".join(record.data for record in session.records if record.kind == HOST)
    assert b"G28*" in dialogue
    assert b"M118 hello*" in dialogue
    assert session.why_cut == ""
    assert session.header.address == "sim"
    assert session.header.settings["window_lines"] == 2
    outcome = await rerun(session)
    assert outcome.difference is None
    assert outcome.lines >= 3
    assert outcome.played == outcome.records


async def test_a_disconnection_waits_until_the_recording_is_complete(tmp_path, monkeypatch):
    flush = Recorder._flush

    def slowly(recorder):
        time.sleep(0.3)
        flush(recorder)

    monkeypatch.setattr(Recorder, "_flush", slowly)
    async with api(tmp_path / "state", link={"record": str(tmp_path / "recordings")}) as client:
        await client.service.connection.disconnect()
        (file,) = (tmp_path / "recordings").iterdir()
        assert read([file]).records[-1].data == b"close"


async def test_nothing_is_recorded_unless_configured(tmp_path):
    async with api(tmp_path) as client:
        await client.post("/api/printer/command", {"commands": ["G28"]})
        await client.settle(5)
    assert list(tmp_path.rglob("*.jsonl.gz")) == []


async def test_the_last_lines_before_a_fault_are_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(SimulatedTransport, "baudrate", 115200)
    async with api(tmp_path, link={"window_lines": 3}) as client:
        printer = client.service.connection.printer
        for n in range(99):
            await printer.send(f"M118 line {n}")
        await client.post("/api/printer/command", {"commands": ["M118 famous last words"]})
        await client.settle(5)
        printer._fail(PortLost("unplugged"))
        session = await the_fault(client, tmp_path)
        assert [each[1:] for each in session.records] == [each[1:] for each in printer.flight_recorder.records()]
    assert session.header.baudrate == 115200
    assert session.header.settings["window_lines"] == 3
    assert any(b"famous last words" in record.data for record in session.records)
    assert session.records[-1].data == b"lost unplugged"
    assert 4 < session.records[-1].time < 60
    assert session.why_cut == ""


async def test_a_fault_soon_after_the_opening_can_be_replayed(tmp_path):
    async with api(tmp_path) as client:
        await client.post("/api/printer/command", {"commands": ["M118 famous last words"]})
        await client.settle(5)
        client.service.connection.printer._fail(PortLost("unplugged"))
        session = await the_fault(client, tmp_path)
    outcome = await rerun(session)
    assert outcome.difference is None
    assert outcome.played == outcome.records
    assert outcome.lines >= 1


async def the_fault(client, folder):
    await until(lambda: not client.service.connection._recordings._dumps)
    (file,) = (folder / "faults").iterdir()
    return read([file])


async def test_a_failing_disk_disturbs_nothing_and_is_reported(tmp_path):
    (tmp_path / "file").touch()
    with capture_logs() as log:
        async with api(tmp_path / "state", link={"record": str(tmp_path / "file" / "folder")}) as client:
            (tmp_path / "state" / "faults").touch()
            await client.post("/api/printer/command", {"commands": ["G28"]})
            await client.settle(5)
            assert client.service.connection.ready
            client.service.connection.printer._fail(PortLost("unplugged"))
            await until(lambda: not client.service.connection._recordings._dumps)
            client.service.connection._recordings._recorder.join()
    events = [entry["event"] for entry in log]
    assert events.count("printer.not_recorded") == 1
    assert events.count("printer.fault_not_recorded") == 1
    assert (tmp_path / "state" / "faults").read_bytes() == b""
