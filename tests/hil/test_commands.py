"""Single commands: answers, refusals, and automatic messages."""

import asyncio

import pytest

from gcode.errors import CommandError, ForbiddenCommand
from gcode.replies import PositionReply, parse
from hal.printer import ConnectionState, FirmwareSaid, TemperaturesRead

FORBIDDEN = ["M110 N0", "m110 n5", "N7 M110 N0*36", "M28 part.g", "M29", "M575 B250000", "M999"]
MALFORMED = ["", "   ", "; a comment", "M105\nM105", "M105\r", "M118 a\r\nM110 N0"]
PLAUSIBLE = range(-30, 400)  # °C


@pytest.mark.parametrize("command", ["M105", "M114", "M115", "G4 P10", "M400", "G21"])
async def test_an_answer_ends_with_ok(device, command):
    async with device.ready() as printer:
        answer = await printer.send(command)
        assert answer[-1].startswith("ok")
        assert not any(line.startswith("ok") for line in answer[:-1])


async def test_the_position_is_reported_at_rest(device):
    async with device.ready() as printer:
        answer = await printer.send("M114")
        positions = [reply for line in answer if isinstance(reply := parse(line.encode()), PositionReply)]
        assert len(positions) == 1
        assert {"X", "Y", "Z"} <= positions[0].axes.keys()


async def test_simultaneous_commands_get_their_own_answers_in_order(device):
    answered = []

    async def ask(printer, mark):
        answer = await printer.send(f"M118 {mark}")
        answered.append(mark)
        return answer

    marks = [f"mark-{number}" for number in range(8)]
    async with device.ready() as printer:
        answers = await asyncio.gather(*(ask(printer, mark) for mark in marks))
    assert answered == marks
    for mark, answer in zip(marks, answers, strict=True):
        assert [other for other in marks if any(other in line for line in answer)] == [mark]


async def test_an_urgent_command_is_answered_like_any_other(device):
    async with device.ready() as printer:
        dwell = asyncio.create_task(printer.send(f"G4 P{500 * device.speed:g}"))
        await device.until(lambda: not printer.idle)
        answer = await printer.send("M118 mark-1", urgent=True)
        assert any("mark-1" in line for line in answer)
        assert (await dwell)[-1].startswith("ok")


@pytest.mark.parametrize(
    ("command", "error"),
    [*((each, ForbiddenCommand) for each in FORBIDDEN), *((each, CommandError) for each in MALFORMED)],
)
async def test_a_refused_command_raises_and_nothing_goes_out(device, command, error):
    async with device.ready() as printer:
        lines, number = printer.flight_recorder.tail(), printer.next_number
        with pytest.raises(error):
            await printer.send(command)
        with pytest.raises(error):
            await printer.send(command, urgent=True)
        with pytest.raises(error):
            printer.submit(command)
        assert (printer.flight_recorder.tail(), printer.next_number) == (lines, number)
        assert (await printer.send("M105"))[-1].startswith("ok")
        assert printer.counters.resends == 0


async def test_a_submitted_command_goes_out_before_a_later_one(device):
    async with device.ready() as printer:
        printer.submit("M118 mark-1")
        await printer.send("M118 mark-2")
        dialogue = " ".join(printer.flight_recorder.tail())
        assert 0 < dialogue.index("mark-1") < dialogue.index("mark-2")
        if (accepted := device.accepted()) is not None:
            assert [each for each in accepted if "mark" in each] == ["M118 mark-1", "M118 mark-2"]


async def test_an_unknown_command_is_reported_and_harmless(device):
    events = []
    async with device.ready(events.append) as printer:
        answer = await printer.send("M9999")
        assert answer[-1].startswith("ok")
        texts = [event.text for event in events if isinstance(event, FirmwareSaid)]
        assert any("9999" in text for text in texts)
        assert printer.state is ConnectionState.READY
        assert (await printer.send("M105"))[-1].startswith("ok")


async def test_temperatures_are_reported_automatically(device):
    events = []
    async with device.ready(events.append) as printer:
        await device.until(lambda: sum(isinstance(event, TemperaturesRead) for event in events) >= 3)
        last = [event for event in events if isinstance(event, TemperaturesRead)][-1]
        assert printer.heaters == last.heaters
        assert last.heaters.keys() & {"tool0", "bed"}
        for reading in last.heaters.values():
            assert round(reading.actual) in PLAUSIBLE


async def test_modes_follow_sent_commands(device):
    async with device.ready() as printer:
        await printer.send("G90")
        assert (printer.modes.relative, printer.modes.relative_e) == (False, False)
        await printer.send("G91")
        await printer.send("M82")
        by_g91 = printer.modes.e_mode == "either"  # on some firmwares G91 is about E, too, whatever M82 says
        assert (printer.modes.relative, printer.modes.relative_e) == (True, by_g91)
        await printer.send("G90")
        assert (printer.modes.relative, printer.modes.relative_e) == (False, False)


async def test_the_printer_is_idle_exactly_while_nothing_is_in_flight(device):
    async with device.ready() as printer:
        await device.until(lambda: printer.idle)  # where temperatures are polled, a query may be in flight
        dwell = asyncio.create_task(printer.send(f"G4 P{500 * device.speed:g}"))
        await asyncio.sleep(0)
        assert not printer.idle
        await dwell
        await device.until(lambda: printer.idle)


async def test_traffic_is_counted_and_recorded(device):
    async with device.ready() as printer:
        before = printer.counters.lines_sent
        number = printer.next_number
        for _ in range(3):
            await printer.send("M118 mark-1")
        await device.until(lambda: printer.idle)
        assert printer.counters.lines_sent >= before + 3
        assert printer.counters.lines_acknowledged == printer.counters.lines_sent
        assert printer.next_number - number == printer.counters.lines_sent - before
        tail = printer.flight_recorder.tail()
        assert {line[:2] for line in tail} == {"> ", "< "}
        assert sum("mark-1" in line for line in tail if line.startswith("> ")) == 3


async def test_cancelling_one_wait_does_not_affect_other_answers(device):
    async with device.ready() as printer:
        waiting = asyncio.create_task(printer.send(f"G4 P{300 * device.speed:g}"))
        await device.until(lambda: not printer.idle)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        for mark in ("mark-1", "mark-2"):
            assert any(mark in line for line in await printer.send(f"M118 {mark}"))
