"""A board is recognised by its stable properties, and not confused with another."""

from dataclasses import replace

import pytest

from daemon.core.connection.port_memory import PortMemory, at_path
from hal import ports
from hal.errors import AmbiguousPort, NoSuchPort
from hal.ports import Port
from hal.registry import parse

PRUSA = Port("/dev/ttyACM0", "/dev/serial/by-id/usb-Prusa-if00", "Prusa", 0x2C99, 2, "CZPX1", "1-1.2", "1.0")
OTHER = Port("/dev/ttyUSB0", None, "CH340", 0x1A86, 0x7523, None, "1-1.3", "1.0")


@pytest.fixture
def plugged(monkeypatch):
    """The ports that are there; a test changes the list."""
    there = []
    monkeypatch.setattr(ports, "list_ports", lambda *_: there)
    monkeypatch.setattr(ports, "is_locked", lambda _path: False)
    return there


async def remember_board(target, port):
    memory = PortMemory()
    await memory.note_board(parse(f"serial:{target}"), port.path)
    memory.confirm_board()
    return memory


def moved(port, path, **changes):
    return replace(port, path=path, by_id=None, **changes)


@pytest.mark.parametrize("target", ["/dev/ttyACM0", "auto", "/dev/serial/by-id/usb-Prusa-if00"])
async def test_a_board_is_recognised_on_another_port(plugged, target):
    plugged.append(PRUSA)
    memory, address = await remember_board(target, PRUSA), parse(f"serial:{target}")
    plugged[:] = [moved(PRUSA, "/dev/ttyACM1", place="1-1.4")]
    assert await memory.find_same_board(address) == "/dev/ttyACM1"
    assert await memory.find_path(address, seek_board=True) == "/dev/ttyACM1"


async def test_auto_reattaches_only_to_the_same_board(plugged):
    plugged.append(PRUSA)
    memory = await remember_board("auto", PRUSA)
    plugged[:] = [replace(OTHER, by_id="/dev/serial/by-id/usb-1a86-if00")]
    with pytest.raises(NoSuchPort, match=r"2c99:0002 with serial number CZPX1 in 1-1\.2"):
        await memory.find_same_board(parse("serial:auto"))
    assert await memory.find_path(parse("serial:auto"), seek_board=True) == OTHER.path, (
        "a new connection, unlike a print that goes on, may use another board"
    )
    with pytest.raises(NoSuchPort, match="no longer known"):
        await PortMemory().find_same_board(parse("serial:auto"))


async def test_a_board_without_a_serial_number_is_known_by_its_socket(plugged):
    plugged.append(OTHER)
    memory, address = await remember_board("/dev/ttyUSB0", OTHER), parse("serial:/dev/ttyUSB0")
    plugged[:] = [moved(OTHER, "/dev/ttyUSB1")]
    assert await memory.find_same_board(address) == "/dev/ttyUSB1"
    plugged[:] = [moved(OTHER, "/dev/ttyUSB0", place="1-1.1")]
    with pytest.raises(NoSuchPort):
        await memory.find_same_board(address)


async def test_two_boards_with_one_serial_number_are_distinguished_by_socket(plugged):
    twin = replace(PRUSA, path="/dev/ttyACM1", by_id=None, place="1-1.3", is_twin=True, by_path="/dev/serial/by-path/3")
    first = replace(PRUSA, is_twin=True, by_path="/dev/serial/by-path/2")
    plugged[:] = [first, twin]
    memory, address = await remember_board("/dev/ttyACM0", first), parse("serial:/dev/ttyACM0")
    assert memory.stable_name("/dev/ttyACM0") == "/dev/serial/by-path/2"
    plugged[:] = [replace(twin, path="/dev/ttyACM0", is_twin=False)]
    with pytest.raises(NoSuchPort):
        await memory.find_same_board(address)
    plugged[:] = [replace(twin, path="/dev/ttyACM0"), replace(first, path="/dev/ttyACM2")]
    assert await memory.find_same_board(address) == "/dev/ttyACM2"
    with pytest.raises(AmbiguousPort, match="by-path/2"):
        await PortMemory().find_path(parse("serial:auto"), seek_board=False)


async def test_a_board_that_does_not_answer_is_not_remembered(plugged):
    plugged[:] = [PRUSA, OTHER]
    memory, address = await remember_board("/dev/ttyACM0", PRUSA), parse("serial:/dev/ttyACM0")
    await memory.note_board(address, OTHER.path)
    assert memory.device("/dev/ttyACM0") == PRUSA.device


async def connect_unlisted(plugged, memory, target, path):
    """Open a port that is not listed just before, as its name is missing for a moment."""
    plugged.clear()
    await memory.note_board(parse(f"serial:{target}"), path)
    memory.confirm_board()


@pytest.mark.parametrize("target", ["/dev/ttyACM0", "auto", PRUSA.by_id])
async def test_a_board_is_remembered_although_its_name_by_id_was_missing_for_a_moment(plugged, target):
    plugged.append(PRUSA)
    memory = await remember_board(target, PRUSA)
    await connect_unlisted(plugged, memory, target, PRUSA.by_id)
    assert memory.device(target) == PRUSA.device
    assert memory.stable_name(target) == PRUSA.by_id
    after_a_restart = PortMemory()
    after_a_restart.remember(PRUSA.by_id, PRUSA.device)
    await connect_unlisted(plugged, after_a_restart, PRUSA.by_id, PRUSA.by_id)
    assert after_a_restart.device(PRUSA.by_id) == PRUSA.device


@pytest.mark.parametrize(
    ("port", "path"),
    [
        (PRUSA, PRUSA.path),
        (replace(PRUSA, serial_number=None), PRUSA.by_id),
        (replace(PRUSA, is_twin=True), PRUSA.by_id),
        (PRUSA, "/dev/serial/by-id/usb-another-if00"),
    ],
    ids=["path", "no serial number", "twin", "another name"],
)
async def test_an_unlisted_port_that_may_have_another_board_is_forgotten(plugged, port, path):
    plugged.append(port)
    memory = await remember_board("/dev/ttyACM0", port)
    await connect_unlisted(plugged, memory, "/dev/ttyACM0", path)
    assert memory.device("/dev/ttyACM0") is None
    assert memory.stable_name("/dev/ttyACM0") == "/dev/ttyACM0"


async def test_an_unknown_port_keeps_its_path(plugged):
    plugged.append(Port("/dev/ttyAMA0"))
    memory = await remember_board("/dev/ttyAMA0", plugged[0])
    assert await memory.find_same_board(parse("serial:/dev/ttyAMA0")) == "/dev/ttyAMA0"
    assert await memory.find_same_board(parse("sim?speed=2")) == ""


def test_an_address_keeps_the_name_that_the_user_gave_it():
    address = at_path(parse("serial:auto?baudrate=250000"), "/dev/ttyACM3")
    assert (address.target, address.options, str(address)) == (
        "/dev/ttyACM3", {"baudrate": "250000"}, "serial:auto?baudrate=250000",
    )  # fmt: skip
