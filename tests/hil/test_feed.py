"""The lines of a job: fed, held, released, acknowledged, and commands in between. Nothing here heats or moves."""

import asyncio
import re

from gcode.outgoing import job_line

LENGTH = 24  # bytes from one line of the file to the next
MARK = re.compile(r"(?:line|send)-\d{3}")


class Lines:
    """A job's lines, as they are taken."""

    def __init__(self, commands):
        self.commands = commands
        self.count = 0
        self.empty = asyncio.Event()
        self._reached = {}

    def reached(self, number):
        """Return an event for when that many lines have been taken."""
        return self._reached.setdefault(number, asyncio.Event())

    def next_line(self):
        if self.count == len(self.commands):
            self.empty.set()
            return None
        self.count += 1
        self.reached(self.count).set()
        return job_line(self.count * LENGTH, self.commands[self.count - 1].encode())


def numbered(count, name="line"):
    return [f"M118 {name}-{number:03}" for number in range(count)]


def harmless(count):
    """Return lines; every third takes the printer a moment."""
    return [line for text in numbered(count) for line in (text, "M105", "G4 P30")]


def accepted_marks(device):
    """Return the numbered lines that the device has accepted; None if it cannot be known."""
    commands = device.accepted()
    return None if commands is None else [each for each in commands if MARK.search(each)]


def assert_accepted(device, commands):
    accepted = accepted_marks(device)
    assert accepted is None or accepted == [each for each in commands if each.startswith("M118")]


async def finish(printer, lines):
    await lines.empty.wait()
    await printer.wait_until_acknowledged()


async def test_every_line_arrives_once_in_order_as_the_place_confirms(device):
    lines = Lines(harmless(20))
    async with device.ready() as printer:
        printer.feed(lines)
        await finish(printer, lines)
        assert (printer.place.lines, printer.place.offset) == (60, 60 * LENGTH)
        assert_accepted(device, lines.commands)


async def test_the_place_only_ever_grows(device):
    lines, places = Lines(harmless(10)), []
    async with device.ready() as printer:
        printer.feed(lines)
        while not lines.empty.is_set():
            places.append((printer.place.lines, printer.place.offset))
            assert printer.place.lines <= lines.count
            await asyncio.sleep(0.01 / device.speed)
        await printer.wait_until_acknowledged()
    assert places == sorted(places)
    assert all(offset == count * LENGTH for count, offset in places)


async def test_a_held_job_sends_no_lines_but_commands_are_sent(device):
    lines = Lines(numbered(10))
    async with device.ready() as printer:
        printer.hold()
        printer.feed(lines)
        assert (await printer.send("M105"))[-1].startswith("ok")
        await printer.wait_until_acknowledged()
        assert (lines.count, printer.place.lines) == (0, 0)
        printer.release()
        await finish(printer, lines)
        assert printer.place.lines == 10
        assert_accepted(device, lines.commands)


async def test_a_job_held_in_the_middle_is_acknowledged_waits_and_continues(device):
    lines = Lines(harmless(15))
    async with device.ready() as printer:
        printer.feed(lines)
        await lines.reached(8).wait()
        printer.hold()
        await printer.wait_until_acknowledged()
        at = printer.place.lines
        assert 8 <= at + 1 <= 30  # the last one taken may still wait for room on the wire
        assert lines.count - at in (0, 1)
        await printer.send("M118 send-000")
        await asyncio.sleep(0.3)
        assert printer.place.lines == at
        printer.release()
        await finish(printer, lines)
        assert printer.place.lines == 45
        count = len([each for each in lines.commands[:at] if each.startswith("M118")])
        marks = [each for each in lines.commands if each.startswith("M118")]
        assert_accepted(device, [*marks[:count], "M118 send-000", *marks[count:]])


async def test_a_starved_source_is_read_again_when_it_wakes(device):
    lines = Lines([])
    async with device.ready() as printer:
        printer.feed(lines)
        await finish(printer, lines)
        assert printer.place.lines == 0
        for count in (5, 10):
            lines.empty.clear()
            lines.commands = numbered(count)
            printer.wake()
            await finish(printer, lines)
            assert printer.place.lines == count
        assert_accepted(device, lines.commands)


async def test_an_early_end_of_a_job_drops_nothing_in_flight(device):
    lines = Lines(harmless(15))
    async with device.ready() as printer:
        printer.feed(lines)
        await lines.reached(8).wait()
        printer.feed(None)
        await printer.wait_until_acknowledged()
        at = printer.place.lines
        assert lines.count - at in (0, 1)
        await asyncio.sleep(0.3)
        assert (printer.place.lines, lines.count - at in (0, 1)) == (at, True)
        assert_accepted(device, lines.commands[:at])


async def test_the_next_job_counts_from_its_own_start(device):
    async with device.ready() as printer:
        for count in (7, 4):
            lines = Lines(numbered(count))
            printer.hold()
            printer.feed(lines)
            assert (printer.place.lines, printer.place.offset) == (0, 0)
            printer.release()
            await finish(printer, lines)
            assert (printer.place.lines, printer.place.offset) == (count, count * LENGTH)


async def test_waiting_for_oks_with_nothing_in_flight_returns_at_once(device):
    async with device.ready() as printer:
        await printer.wait_until_acknowledged()
        lines = Lines(numbered(3))
        printer.feed(lines)
        await finish(printer, lines)
        await asyncio.wait_for(printer.wait_until_acknowledged(), 1.0)


async def test_commands_go_out_between_the_lines_of_a_job_in_order(device):
    lines, answers = Lines(harmless(6)), []
    async with device.ready() as printer:
        printer.feed(lines)
        for number, reached in enumerate((4, 8, 12)):
            await lines.reached(reached).wait()
            answers.append(await printer.send(f"M118 send-{number:03}"))
        await finish(printer, lines)
        assert printer.place.lines == 18
        order, heard = (MARK.findall("".join(dialogue(printer, whose))) for whose in ("> ", "< "))
    for number, answer in enumerate(answers):
        assert any(f"send-{number:03}" in line for line in answer)
    assert heard == order[-len(heard) :]  # the recorder is short: what it still has
    if (commands := accepted_marks(device)) is not None:
        assert [each for each in commands if "line" in each] == numbered(6)
        assert [each for each in commands if "send" in each] == numbered(3, "send")
        assert commands.index("M118 send-000") < commands.index("M118 line-005")


def dialogue(printer, whose):
    return [line.removeprefix(whose) for line in printer.flight_recorder.tail() if line.startswith(whose)]
