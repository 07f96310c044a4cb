"""`wait_for_rest`: the end of every move sent, as each kind of firmware reports it."""

import asyncio
import re

import pytest

from gcode import dialect
from gcode.errors import NozzledError
from gcode.frozen import frozen
from gcode.outgoing import RefusedLine
from hal import rest
from hal.driver import LinePrinter
from hal.errors import NotConnected, PortLost
from hal.printer import FirmwareSaid, LineRefused
from support.fake_transport import FakeTransport

POSITION = b"X:1.00 Y:2.00 Z:0.30 E:0.00 Count X:80 Y:160 Z:120\n"
"""What M114 says."""


@frozen
class ConfigurableRest(dialect.Dialect):
    """A dialect with a configurable rule for coming to rest."""

    at_rest: tuple[bytes, ...] = (b"M400", b"M114")
    rest_sign: str = "position"


async def ready(answer, by="position", ok_at="receipt"):
    transport = FakeTransport(answer)
    printer = LinePrinter(transport)
    await printer.open()
    printer._link.dialect = ConfigurableRest(rest_sign=by, ok_at=ok_at)
    return printer, transport


def echo(line):
    return line.partition(b"M118 ")[2].partition(b"*")[0] + b"\n"


class InOrder:
    """A firmware that acknowledges commands once executed; M400 takes half a minute."""

    def __init__(self, *, positions=True, too_many=0):
        self.transport = None
        self.free_at = 0.0
        self._positions, self._too_many = positions, too_many

    def answer(self, line):
        loop = asyncio.get_running_loop()
        self.free_at = max(self.free_at, loop.time()) + (30.0 if b"M400" in line else 0.001)
        report = POSITION if b"M114" in line and self._positions else b""
        loop.call_at(self.free_at, self.transport.say, report + b"ok\n")
        for at in range(self._too_many if b"M400" in line else 0):
            loop.call_later(1 + at, self.transport.say, b"ok\n")
        return b""


async def in_order(**options):
    firmware = InOrder(**options)
    firmware.transport = FakeTransport(firmware.answer)
    printer = LinePrinter(firmware.transport)
    await printer.open()
    printer._link.dialect = ConfigurableRest(window_lines=1)
    return printer, firmware


def sent_commands(transport, command):
    return [each for each in transport.commands if each.startswith(command)]


@pytest.mark.parametrize("too_many", range(6))
@pytest.mark.parametrize("positions", [True, False])
async def test_surplus_oks_do_not_end_the_wait(too_many, positions):
    printer, firmware = await in_order(positions=positions, too_many=too_many)
    began = asyncio.get_running_loop().time()
    position = await printer.wait_for_rest()
    assert 30 <= asyncio.get_running_loop().time() - began < 31
    assert position == ({"X": 1.0, "Y": 2.0, "Z": 0.3, "E": 0.0} if positions else None)
    assert len(sent_commands(firmware.transport, "M114")) == (
        min(1 + too_many, rest.MAX_STRAY_OKS) if positions else rest.MAX_STRAY_OKS
    )
    await printer.close()


async def test_unrequested_positions_answer_no_query():
    printer, firmware = await in_order(too_many=2)
    firmware.transport.say(POSITION * 3)
    began = asyncio.get_running_loop().time()
    asyncio.get_running_loop().call_later(2, firmware.transport.say, POSITION)
    await printer.wait_for_rest()
    assert asyncio.get_running_loop().time() - began >= 30
    await printer.close()


async def test_a_query_with_a_lost_answer_is_repeated():
    printer, firmware = await in_order()
    printer._commands.positions_due = 1
    await printer.wait_for_rest()
    assert len(sent_commands(firmware.transport, "M114")) == 2
    await printer.close()


async def test_if_ok_means_received_the_position_must_be_reported():
    loop = asyncio.get_running_loop()
    rests_at = loop.time() + 35.0

    def answer(line):
        if b"M114" in line or b"M118" in line:
            loop.call_later(
                max(0.1, rests_at - loop.time()), transport.say, POSITION if b"M114" in line else echo(line)
            )
        return b"ok\n"

    printer, transport = await ready(answer)
    await printer.wait_for_rest()
    assert loop.time() >= rests_at
    assert loop.time() < rests_at + 1
    assert len(sent_commands(transport, "M400")) == 1
    await printer.close()


async def test_the_answer_to_an_earlier_query_does_not_count():
    loop = asyncio.get_running_loop()
    delays = [1.0, 20.0]  # the client's M114 is carried out before the last move, ours after it

    def answer(line):
        if b"M114" in line and delays:
            loop.call_later(delays.pop(0), transport.say, POSITION)
        return b"ok\n"

    printer, transport = await ready(answer)
    printer.submit("M114")
    began = loop.time()
    await printer.wait_for_rest()
    assert loop.time() - began >= 9
    await printer.close()


async def test_without_positions_enough_acknowledged_queries_mean_rest():
    printer, transport = await ready(lambda _: b"ok\n")
    await printer.wait_for_rest()
    assert len(sent_commands(transport, "M114")) == rest.MAX_QUEUED
    await printer.close()


async def test_an_unknown_firmware_must_report_the_same_position_twice():
    positions = iter([b"X:1 Y:1 Z:1 E:0\n", b"X:2 Y:1 Z:1 E:0\n", b"X:3 Y:1 Z:1 E:0\n", *[POSITION] * 9])

    def answer(line):
        return (next(positions) if b"M114" in line else b"") + b"ok\n"

    printer, transport = await ready(answer, "same position")
    await printer.wait_for_rest()
    assert len(sent_commands(transport, "M114")) == 5
    await printer.close()


async def test_the_wait_for_an_endless_move_is_bounded():
    texts, position = [], iter(range(1_000_000))

    def answer(line):
        return (b"X:%d Y:1 Z:1 E:0\n" % next(position) if b"M114" in line else b"") + b"ok\n"

    printer, _ = await ready(answer, "same position")
    printer.subscribe(lambda event: texts.append(event.text) if isinstance(event, FirmwareSaid) else None)
    await printer.wait_for_rest()
    assert re.search("moved for 60 min", texts[-1])
    await printer.close()


@pytest.mark.parametrize(
    ("by", "ok_at"), [("position", "execution"), ("position", "receipt"), ("same position", "execution")]
)
async def test_waiting_callers_get_an_error_when_the_connection_is_lost(by, ok_at):
    printer, transport = await ready(
        lambda line: b"" if b"M400" in line and (by, ok_at) == ("position", "execution") else b"ok\n", by, ok_at
    )
    waiting = asyncio.ensure_future(printer.wait_for_rest())
    await asyncio.sleep(1.5)
    transport.on_lost(PortLost("unplugged"))
    with pytest.raises(NozzledError):
        await waiting
    with pytest.raises((NotConnected, PortLost)):
        await printer.wait_for_rest()


async def test_a_refused_line_is_published():
    printer, _ = await ready(lambda _: b"ok\n")
    events = []
    printer.subscribe(events.append)
    printer._on_link_event(RefusedLine("Error:Nozzle offset out of range", b"M218 T1", 120))
    assert events == [LineRefused("Error:Nozzle offset out of range", "M218 T1", 120)]
    await printer.close()
