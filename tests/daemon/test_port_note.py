import asyncio
import json

import pytest

from daemon.config import ProfileConfig
from daemon.core.safety.port_note import PortNote
from hal.ports import UsbDevice
from hal.printer import ConnectionState, StateChanged

READY = StateChanged(ConnectionState.HANDSHAKING, ConnectionState.READY, None)


class FakeConnection:
    def __init__(self, address, baudrate, device=None, stable=None):
        self.printer = self
        self.address, self.baudrate = address, baudrate
        self.remembered = {}
        self.profile, self.ready = ProfileConfig(), True
        self.device = device
        self.stable_port = stable

    def remember(self, port, baudrate, device=None):
        self.remembered[port] = (baudrate, device)

    def subscribe(self, listener):
        self.listener = listener

    def on_profile(self, listener):
        self.chosen = listener


async def connect_and_read_note(folder, address, event=READY, **profile):
    """Return the note for this printer once connected."""
    connection = FakeConnection(address, 250000)
    connection.profile = ProfileConfig(**profile)
    note = PortNote(connection, folder)
    note.follow()
    connection.listener(event)
    if note._writing is not None:
        await note._writing
    path = folder / "line.json"
    return json.loads(path.read_text()) if path.exists() else None


async def test_a_connected_printer_is_noted_for_the_helper(tmp_path):
    note = await connect_and_read_note(tmp_path, "serial:/dev/ttyUSB0?baudrate=250000", extruders=2)
    assert note == {
        "port": "/dev/ttyUSB0", "means": "/dev/ttyUSB0", "device": None,
        "baudrate": 250000, "extruders": 2, "chamber": False,
    }  # fmt: skip
    assert [each.name for each in tmp_path.iterdir()] == ["line.json"]


async def test_a_profile_chosen_later_is_noted_too(tmp_path):
    connection = FakeConnection("serial:/dev/ttyUSB0", 115200)
    note = PortNote(connection, tmp_path)
    note.follow()
    connection.listener(READY)
    await note._writing
    connection.profile = ProfileConfig(extruders=3, heated_chamber=True)
    connection.chosen()
    await note._writing
    result = json.loads((tmp_path / "line.json").read_text())
    assert (result["extruders"], result["chamber"]) == (3, True)


@pytest.mark.parametrize("address", ["sim", "tcp:printer.local:23"])
async def test_a_printer_without_a_port_is_not_noted_and_ends_the_note_of_an_earlier_one(tmp_path, address):
    """The helper would send M112 to whatever is on that port by now."""
    assert await connect_and_read_note(tmp_path, address) is None
    assert await connect_and_read_note(tmp_path, "serial:/dev/ttyUSB0") is not None
    assert await connect_and_read_note(tmp_path, address) is None


async def test_notes_are_written_one_after_the_other_and_the_newest_last(tmp_path, monkeypatch):
    connection = FakeConnection("serial:/dev/ttyUSB0", 115200)
    note = PortNote(connection, tmp_path)
    writing, delays = 0, iter((3.0, 1.0, 0.0))

    async def in_a_thread(work, *args, **options):
        nonlocal writing
        writing += 1
        assert writing == 1
        await asyncio.sleep(next(delays))
        work(*args, **options)
        writing -= 1

    monkeypatch.setattr(asyncio, "to_thread", in_a_thread)
    note.follow()
    tasks = []
    for extruders in (1, 2, 3):
        connection.profile = ProfileConfig(extruders=extruders)
        connection.chosen()
        tasks.append(note._writing)
        await asyncio.sleep(0.1)
    await asyncio.gather(*tasks)
    assert json.loads((tmp_path / "line.json").read_text())["extruders"] == 3


async def test_a_silent_printer_is_not_noted(tmp_path):
    lost = StateChanged(ConnectionState.HANDSHAKING, ConnectionState.FAULT, None)
    assert await connect_and_read_note(tmp_path, "serial:/dev/ttyUSB0", event=lost) is None


async def test_a_note_that_cannot_be_written_ends_nothing(tmp_path):
    assert await connect_and_read_note(tmp_path / "gone", "serial:/dev/ttyUSB0") is None


async def test_the_next_daemon_knows_the_detected_baudrate(tmp_path):
    await connect_and_read_note(tmp_path, "serial:/dev/ttyUSB0?baudrate=250000")
    connection = FakeConnection("serial:/dev/ttyUSB0", 115200)
    PortNote(connection, tmp_path).follow()
    assert connection.remembered == {"/dev/ttyUSB0": (250000, None)}


async def test_the_next_daemon_knows_the_board_and_the_helper_its_stable_name(tmp_path):
    board = UsbDevice(0x2C99, 2, "CZPX", "1.0", "1-1", is_twin=False)
    connection = FakeConnection("serial:auto?baudrate=115200", 115200, board, "/dev/serial/by-id/usb-Prusa-if00")
    note = PortNote(connection, tmp_path)
    note.follow()
    connection.listener(READY)
    await note._writing
    assert json.loads((tmp_path / "line.json").read_text())["port"] == "/dev/serial/by-id/usb-Prusa-if00"
    later = FakeConnection("serial:auto", 115200)
    PortNote(later, tmp_path).follow()
    assert later.remembered == {"auto": (115200, board)}


NO_TEXTS = '"serial_number": null, "interface": null, "place": null'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"port": "/dev/ttyUSB0", "baudrate": null}',
        "\xff",
        '{"means": "auto", "baudrate": 1e999}',
        "[" * 100_000,
        f'{{"means": "auto", "baudrate": 9600, "device": {{"vid": "x", "pid": 1, "is_twin": false, {NO_TEXTS}}}}}',
    ],
)
async def test_an_invalid_note_is_ignored(tmp_path, text):
    (tmp_path / "line.json").write_bytes(text.encode("latin-1"))
    connection = FakeConnection("serial:/dev/ttyUSB0", 115200)
    PortNote(connection, tmp_path).follow()
    assert connection.remembered == {}
