"""Packed lines from the driver to the simulated firmwares: negotiated, used, ended, and never without consent."""

import asyncio
import re

import pytest

from gcode.errors import FirmwareHalted
from gcode.meatpack import pack
from gcode.packing import BEGIN, RESET
from hal.driver import LinePrinter, LinkSettings
from hal.logbook import Logbook
from hal.printer import ConnectionState
from hal.replay import dialogue
from hal.session_file import HOST, PRINTER, Record
from hal.simulated.firmware import Firmware
from hal.simulated.memory import SimulatedTransport
from hal.simulated.oracle import Oracle
from hal.simulated.personalities import FIRMWARES
from support.fake_transport import FakeTransport
from support.recordings import JobSource

UNPACK = sorted(name for name, config in FIRMWARES.items() if config.meatpack)
MOVES = [b"G1X%d.25Y.5F%d" % (n, 3000 + n) for n in range(40)]


class WireTap(SimulatedTransport):
    """Keeps what goes over the wire."""

    def __init__(self, name, **options):
        self.oracle, self.wire = Oracle(keep=None), b""
        super().__init__(Firmware(FIRMWARES[name], self.oracle), **options)

    def write(self, data):
        self.wire += data
        super().write(data)

    @property
    def moves(self):
        return [each.command.encode() for each in self.oracle.commands if each.command.startswith("G1")]


async def printed(transport, logbook=None, **settings):
    printer = LinePrinter(transport, LinkSettings(**settings), logbook)
    await printer.open()
    await asyncio.sleep(1)
    printer.feed(JobSource(MOVES))
    await printer.wait_until_acknowledged()
    return printer


@pytest.mark.parametrize("name", UNPACK)
async def test_lines_are_packed_if_the_firmware_reports_a_decoder(name):
    transport, logbook = WireTap(name), Logbook()
    printer = await printed(transport, logbook)
    assert transport.moves == MOVES
    assert b"G1X" not in transport.wire
    assert pack(b"G1X7.25Y.5")[1:-1] in transport.wire or pack(b"\nG1X7.25Y.5")[1:-1] in transport.wire
    assert logbook.may_expect_packed
    assert printer.counters.resends == 0
    assert any(line.startswith("> N") and "G1X39.25Y.5F3039*" in line for line in printer.flight_recorder.tail())
    assert not any("[MP]" in line for line in printer.flight_recorder.tail() if line.startswith(">"))
    await printer.close()
    assert transport.wire.endswith(RESET), "the next host may know nothing of it"


@pytest.mark.parametrize("name", sorted(FIRMWARES))
async def test_nothing_is_packed_if_switched_off_or_without_a_decoder(name):
    transport = WireTap(name)
    printer = await printed(transport, packing="off" if name in UNPACK else "auto")
    reset = RESET if name == "prusa-3.9" else b""  # it reports no capabilities, so a reset finds out about a decoder
    assert transport.wire.count(b"\xff") == reset.count(b"\xff")
    assert transport.moves == MOVES
    await printer.close()


@pytest.mark.parametrize("packs", [True, False])
@pytest.mark.parametrize("before", [BEGIN, BEGIN + b"\x1f", BEGIN + b"\xff", BEGIN + b"\xff\xff"])
async def test_a_decoder_left_on_by_another_host_is_detected(before, packs):
    transport, logbook = WireTap("marlin21-meatpack"), Logbook()
    await transport.open(lambda _: None, lambda _: None)
    transport._reset_on_open = False
    await asyncio.sleep(1)
    transport.write(before)
    await asyncio.sleep(1)
    transport.close()
    logbook.may_expect_packed = packs  # noted by the previous host; another program notes nothing
    began = asyncio.get_running_loop().time()
    printer = await printed(transport, logbook)
    assert transport.moves == MOVES
    assert (asyncio.get_running_loop().time() - began < 4) == packs
    rest = {each.command for each in transport.oracle.commands if each.command.encode() not in MOVES}
    others = {each for each in rest if not each.startswith(("M110 ", "M115", "M155 ", "M113 ", "M105", "M27 "))}
    assert len(others) <= 1
    assert all(re.fullmatch("[.1]?0?X40302G4[0-9GX.]+", each) for each in others), "the hello, unpacked, is no command"
    await printer.close()


@pytest.mark.parametrize("name", UNPACK)
@pytest.mark.parametrize("begun", [b"", b"\xff", b"\xff\xff", b"\x1f", b"\xff\x4e"])
async def test_an_emergency_stop_is_read_in_any_state_of_the_decoder(name, begun):
    transport = WireTap(name)
    printer = await printed(transport)
    transport.write(begun)
    printer.emergency_stop("test")
    await asyncio.sleep(2)
    assert not printer.is_stopping
    assert printer.state is ConnectionState.FAULT
    config = transport._firmware.config
    assert transport._firmware.halted == config.emergency_parser, "without the parser, DTR has reset the board since"
    await printer.close()


@pytest.mark.parametrize("begun", [b"", b"\xff", b"\xff\xff", b"\x1f", b"\xff\x4e"])
async def test_an_emergency_stop_passes_the_decoder_where_nothing_resets_the_board(begun):
    """Over TCP there is no DTR, and without EMERGENCY_PARSER M112 is read behind the decoder."""
    transport = WireTap("prusa")
    transport.reset = lambda: None
    printer = await printed(transport)
    transport.write(begun)
    printer.emergency_stop("test")
    await asyncio.sleep(0.5)
    assert "M112" in [each.command for each in transport.oracle.commands]
    await printer.close()


async def test_a_decoder_is_not_set_up_after_an_emergency_stop():
    def answer(sent):
        if b"M115" in sent:
            return b"FIRMWARE_NAME:Marlin\nCap:MEATPACK:1\nok\n"
        if sent != RESET:
            return b"" if b"M112" in sent else b"ok\n"
        asyncio.get_running_loop().call_later(0.2, printer.emergency_stop)
        return b"[MP] PV01 ON ESP\n"  # that is not what it was told, so the host waits for more

    transport = FakeTransport(answer)
    printer = LinePrinter(transport, LinkSettings(), Logbook())
    with pytest.raises(FirmwareHalted):
        await printer.open()
    assert b"M112" in transport.written
    assert BEGIN not in transport.written
    await printer.close()


async def test_heaters_off_is_sent_unpacked_when_the_conversation_fails():
    transport = WireTap("marlin21-meatpack")
    printer = await printed(transport)
    transport._deliver(b"Error:Printer halted. kill() called!\n")
    await asyncio.sleep(2)
    assert printer.state is ConnectionState.FAULT
    assert transport.wire.rpartition(RESET)[2].startswith(b"\nM104 ")


def test_a_recording_is_shown_unpacked():
    wire = BEGIN + pack(b"N12G1X5*99\n") + pack(b"N13 M117 hi*5\n")
    records = [Record(1.0, HOST, wire), Record(2.0, PRINTER, b"[MP] PV01 ON ESP\nok\n"), Record(3.0, HOST, RESET)]
    assert [line.split(maxsplit=1)[1] for line in dialogue(records)] == [
        "-> N12G1X5*99",
        "-> N13 M117 hi*5",
        "<- [MP] PV01 ON ESP",
        "<- ok",
    ]
