"""`finished`: every move sent has been made, as each kind of firmware tells it."""

import asyncio
import re
from dataclasses import dataclass

import pytest

from gcode import dialect
from gcode.errors import NozzledError
from gcode.outgoing import Refusal
from hal import rest
from hal.driver import LinePrinter
from hal.errors import NotConnected, PortLost
from hal.printer import FirmwareSaid, LineRefused
from support.fake_transport import FakeTransport

PLACE = b"X:1.00 Y:2.00 Z:0.30 E:0.00 Count X:80 Y:160 Z:120\n"
"""What M114 says."""


@dataclass(frozen=True)
class Ways(dialect.Dialect):
    """A dialect with a way of its own."""

    at_rest: tuple[bytes, ...] = (b"M400",)
    at_rest_by: str = "ok"


async def ready(answer, at_rest, by):
    transport = FakeTransport(answer)
    printer = LinePrinter(transport)
    await printer.open()
    printer._link.dialect = Ways(at_rest=at_rest, at_rest_by=by)
    return printer, transport


def asked(transport, command):
    return [each for each in transport.commands if each.startswith(command)]


async def test_where_ok_means_done_its_ok_is_all():
    printer, transport = await ready(lambda _: b"ok\n", (b"M400",), "ok")
    await printer.finished()
    assert transport.commands[-1] == "M400"
    await printer.close()


async def test_where_ok_means_received_the_place_has_to_be_told():
    loop = asyncio.get_running_loop()
    rests_at = loop.time() + 35.0

    def answer(line):
        if b"M114" in line:
            loop.call_later(max(0.1, rests_at - loop.time()), transport.say, PLACE)
        return b"ok\n"

    printer, transport = await ready(answer, (b"M400", b"M114"), "position")
    await printer.finished()
    assert loop.time() >= rests_at
    assert loop.time() < rests_at + 1
    assert len(asked(transport, "M400")) == 1
    await printer.close()


async def test_the_answer_to_an_earlier_question_is_none_to_ours():
    loop = asyncio.get_running_loop()
    delays = [1.0, 20.0]  # the client's M114 is carried out before the last move, ours behind it

    def answer(line):
        if b"M114" in line and delays:
            loop.call_later(delays.pop(0), transport.say, PLACE)
        return b"ok\n"

    printer, transport = await ready(answer, (b"M400", b"M114"), "position")
    printer.submit("M114")
    began = loop.time()
    await printer.finished()
    assert loop.time() - began >= 9
    await printer.close()


async def test_a_firmware_that_never_tells_its_place_has_carried_out_what_so_many_questions_are_behind():
    printer, transport = await ready(lambda _: b"ok\n", (b"M400", b"M114"), "position")
    await printer.finished()
    assert len(asked(transport, "M114")) == rest.MOST_QUEUED
    await printer.close()


async def test_where_nothing_is_known_the_same_place_has_to_be_told_twice():
    places = iter([b"X:1 Y:1 Z:1 E:0\n", b"X:2 Y:1 Z:1 E:0\n", b"X:3 Y:1 Z:1 E:0\n", *[PLACE] * 9])

    def answer(line):
        return (next(places) if b"M114" in line else b"") + b"ok\n"

    printer, transport = await ready(answer, (b"M400", b"M114"), "same position")
    await printer.finished()
    assert len(asked(transport, "M114")) == 5
    await printer.close()


async def test_one_that_moves_on_and_on_is_not_waited_for_for_ever():
    said, place = [], iter(range(1_000_000))

    def answer(line):
        return (b"X:%d Y:1 Z:1 E:0\n" % next(place) if b"M114" in line else b"") + b"ok\n"

    printer, _ = await ready(answer, (b"M400", b"M114"), "same position")
    printer.subscribe(lambda event: said.append(event.text) if isinstance(event, FirmwareSaid) else None)
    await printer.finished()
    assert re.search("moved for 60 min", said[-1])
    await printer.close()


@pytest.mark.parametrize("by", ["ok", "position", "same position"])
async def test_whoever_waits_is_told_when_the_line_is_lost(by):
    printer, transport = await ready(lambda line: b"" if b"M400" in line and by == "ok" else b"ok\n", (b"M400",), by)
    waiting = asyncio.ensure_future(printer.finished())
    await asyncio.sleep(1.5)
    transport.on_lost(PortLost("unplugged"))
    with pytest.raises(NozzledError):
        await waiting
    with pytest.raises((NotConnected, PortLost)):
        await printer.finished()


async def test_a_line_that_was_refused_is_told():
    printer, _ = await ready(lambda _: b"ok\n", (b"M400",), "ok")
    told = []
    printer.subscribe(told.append)
    printer._tell(Refusal("Error:Nozzle offset out of range", b"M218 T1", 120))
    assert told == [LineRefused("Error:Nozzle offset out of range", "M218 T1", 120)]
    await printer.close()
