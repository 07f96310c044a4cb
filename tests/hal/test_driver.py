import asyncio
import contextlib
import re

import pytest

from gcode.dialect import MARLIN
from gcode.errors import (
    CommandError,
    FirmwareHalted,
    ForbiddenCommand,
    NozzledError,
    PrinterReset,
    PrinterSilent,
    QueueFull,
    ResendLoop,
)
from gcode.flight import LinkEstimate, LinkSnapshot
from gcode.link import HostLink
from gcode.modes import Modes
from gcode.outgoing import JobPlace, Ticket, job_line
from gcode.replies import Reading
from hal.driver import LinePrinter, LinkSettings
from hal.errors import HandshakeFailed, NoSuchPort, NotConnected, PortLost
from hal.link_status import LinkStatus
from hal.printer import (
    ActionRequested,
    ConnectionState,
    FirmwareIdentity,
    FirmwareSaid,
    Printer,
    StateChanged,
    StopEnded,
    TemperaturesRead,
)
from hal.session_file import EVENT, HOST, PRINTER
from hal.simulated.firmware import Firmware, FirmwareConfig
from hal.simulated.memory import SimulatedTransport
from hal.simulated.oracle import Oracle
from support.fake_transport import FakeTransport, connected

C = ConnectionState


class Lines:
    """A source of so many moves."""

    def __init__(self, count):
        self.left, self.count, self.requests = count, count, 0

    def next_line(self):
        self.requests += 1
        if not self.left:
            return None
        self.left -= 1
        return job_line((self.count - self.left) * 10, b"G1 X%d" % (self.count - self.left))


class Iterated:
    """A source of given lines."""

    def __init__(self, lines):
        self._lines = lines

    def next_line(self):
        return next(self._lines, None)


def answers(name="Marlin", *caps):
    """Return a firmware that identifies itself, and says ok to everything."""

    def answer(line):
        if b"M115" in line:
            return f"FIRMWARE_NAME:{name} UUID:u-1\n".encode() + b"".join(b"Cap:%b\n" % cap for cap in caps) + b"ok\n"
        return b"ok\n"

    return answer


def mute_after_handshake(line):
    return answers()(line) if b"M110" in line or b"M115" in line else b""


def simulated(oracle=None, **options):
    return SimulatedTransport(Firmware(FirmwareConfig(**options), oracle or Oracle()))


def states(printer):
    return [event.new for event in printer.events if isinstance(event, StateChanged)]


def messages(printer):
    return [(event.severity, event.text) for event in printer.events if isinstance(event, FirmwareSaid)]


# -- opening -------------------------------------------------------------------------------------------------


async def test_a_printer_is_opened_step_by_step():
    printer = LinePrinter(simulated())
    printer.events = []
    unsubscribe = printer.subscribe(printer.events.append)
    assert printer.state is C.OFFLINE
    assert printer.idle
    assert (printer.next_number, printer.place.lines, printer.counters.lines_sent) == (1, 0, 0)
    await printer.open()
    assert states(printer) == [C.OPENING, C.HANDSHAKING, C.READY]
    assert printer.address == "sim"
    assert printer.identity.name.startswith("Marlin bugfix-2.0.x")
    assert printer.identity.uuid == "cede2a2f-41a2-4748-9b12-c55c62f367ff"
    assert printer.identity.capabilities["AUTOREPORT_TEMP"] is True
    assert printer.identity.capabilities["EMERGENCY_PARSER"] is False
    unsubscribe()
    unsubscribe()
    await printer.close()
    assert states(printer)[-1] is C.READY, "who has unsubscribed hears nothing"


async def test_a_board_that_boots_late_is_greeted_again():
    async with connected(simulated(boot_time=5.0), greeting_timeout=10.0) as printer:
        assert printer.state is C.READY


async def test_a_silent_port_is_reported():
    transport = FakeTransport(lambda _line: b"")
    printer = LinePrinter(transport, LinkSettings(greeting_timeout=10.0))
    began = asyncio.get_running_loop().time()
    with pytest.raises(HandshakeFailed, match="within 10 s: it sends nothing"):
        await printer.open()
    assert asyncio.get_running_loop().time() - began == pytest.approx(10)
    assert printer.state is C.FAULT
    assert isinstance(printer.error, HandshakeFailed)
    hellos = [command for command in transport.commands if command == "M110 N0"]
    assert hellos in (["M110 N0"] * 5, ["M110 N0"] * 6), "one each 2 s"
    assert transport.commands[:4] == ["M110 N0", "M110 N0", "M110 N0", "M105"], (
        "after three hellos, what else it may answer"
    )
    assert transport.calls[-1] == "close"


@pytest.mark.parametrize("noise", [b"\xf3\x00\x9c~\n\x80\x80\n", b"\xf3\x9c~"], ids=["lines", "no line feed"])
async def test_noise_on_the_connection_is_reported(noise):
    transport = FakeTransport(lambda _line: noise)
    with pytest.raises(HandshakeFailed, match="are not from a G-code firmware"):
        await LinePrinter(transport, LinkSettings(greeting_timeout=10.0)).open()


async def test_a_port_that_cannot_be_opened_is_a_fault():
    transport = FakeTransport()
    transport.opening = asyncio.get_running_loop().create_future()
    transport.opening.set_exception(NoSuchPort("no such port"))
    printer = LinePrinter(transport)
    with pytest.raises(NoSuchPort):
        await printer.open()
    assert printer.state is C.FAULT


async def test_a_port_lost_in_the_handshake_is_a_fault():
    transport = FakeTransport(lambda _line: b"")
    printer = LinePrinter(transport)
    opening = asyncio.create_task(printer.open())
    await asyncio.sleep(1)
    transport.on_lost(PortLost("gone"))
    with pytest.raises(PortLost):
        await opening


async def test_closing_ends_an_opening():
    transport = FakeTransport()
    transport.opening = asyncio.get_running_loop().create_future()
    printer = LinePrinter(transport)
    opening = asyncio.create_task(printer.open())
    await asyncio.sleep(1)
    await printer.close()
    transport.opening.set_result(None)
    with pytest.raises(NotConnected):
        await opening
    assert printer.state is C.OFFLINE


@pytest.mark.parametrize("end", ["emergency stop", "close"])
async def test_a_revival_ends_with_the_connection(end):
    transport = FakeTransport(answers())
    printer = LinePrinter(transport)
    opening = asyncio.ensure_future(printer.open(revive=True))
    await asyncio.sleep(1)
    assert "M999" in transport.commands
    if end == "close":
        await printer.close()
    else:
        printer.emergency_stop()
    began = asyncio.get_running_loop().time()
    with pytest.raises((FirmwareHalted, NotConnected), match=f"{end}"):
        await opening
    assert asyncio.get_running_loop().time() - began < 2.0
    await printer.close()


async def test_a_listener_stops_a_printer_that_becomes_ready():
    printer = LinePrinter(FakeTransport(answers()))
    printer.subscribe(
        lambda event: (
            printer.emergency_stop("too hot") if isinstance(event, StateChanged) and event.new is C.READY else None
        )
    )
    with pytest.raises(FirmwareHalted, match="too hot"):
        await printer.open()
    await printer.close()
    assert not printer._reports._temperatures.is_scheduled


async def test_a_listener_stops_a_printer_at_its_first_report():
    known = answers("Marlin", b"AUTOREPORT_TEMP:1")
    printer = LinePrinter(FakeTransport(lambda line: b"ok\nT:300.0 /0.0\n" if b"M155" in line else known(line)))
    printer.subscribe(lambda event: printer.emergency_stop("too hot") if isinstance(event, TemperaturesRead) else None)
    with pytest.raises(FirmwareHalted, match="too hot"):
        await printer.open()
    await printer.close()


async def test_no_query_is_scheduled_after_the_end():
    transport = FakeTransport(answers())
    async with connected(transport) as printer:
        printer.subscribe(
            lambda event: printer.emergency_stop("too hot") if isinstance(event, TemperaturesRead) else None
        )
        transport.say(b"ok T:300.0 /0.0\nFile opened: A.GCO Size: 100\nFile selected\n")
        await asyncio.sleep(10)
        assert printer.state is C.FAULT
        assert not printer._reports._card.is_scheduled


@pytest.mark.parametrize("cancelled", [True, False])
async def test_closing_ends_a_halt_test(cancelled):
    """Klipper's: it identifies itself, and the answer to the test does not come."""
    transport = FakeTransport(lambda line: answers("Klipper")(line) if b"M11" in line else b"")
    printer = LinePrinter(transport)
    opening = asyncio.create_task(printer.open())
    await asyncio.sleep(1)
    assert transport.commands[-1] == "STATUS"
    if cancelled:
        opening.cancel()
        await asyncio.sleep(0)
    await printer.close()
    assert transport.calls == ["open", "close"]
    with pytest.raises(asyncio.CancelledError if cancelled else NotConnected):
        await opening
    assert printer.state is C.OFFLINE


async def test_a_connection_is_opened_once():
    async with connected(FakeTransport(answers())) as printer:
        with pytest.raises(NotConnected):
            await printer.open()
        assert printer.state is C.READY


@pytest.mark.parametrize(
    ("name", "lines", "numbered"),
    [("Marlin 2.1", 4, True), ("Prusa-Firmware 3.14", 4, True), ("Repetier_1.0", 1, True), ("Klipper", 1, False),
     ("never heard of", 1, True)],
)  # fmt: skip
async def test_the_firmware_chooses_the_dialect(name, lines, numbered):
    transport = FakeTransport(answers(name))
    async with connected(transport) as printer:
        transport.written.clear()
        transport.answer = lambda _line: b""
        printer.feed(Lines(9))
        sent = [line for line in bytes(transport.written).split(b"\n") if b"G1" in line]
        assert len(sent) == lines
        assert all(line.startswith(b"N") == numbered for line in sent)


async def test_the_window_can_be_set():
    transport = FakeTransport(answers("Marlin"))
    async with connected(transport, window_lines=2) as printer:
        transport.answer = lambda _line: b""
        printer.feed(Lines(9))
        assert [command for command in transport.commands if command.startswith("G1")] == ["G1 X1", "G1 X2"]


# -- temperatures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("autoreport", [True, False])
async def test_temperatures_are_reported_automatically_or_queried(autoreport):
    oracle = Oracle()
    transport = simulated(oracle, autoreport=autoreport, noise=0.0)
    async with connected(transport, poll_interval=2.0, idle_interval=2.0) as printer:
        printer.events.clear()
        await asyncio.sleep(20.5)
        read = [event.heaters for event in printer.events if isinstance(event, TemperaturesRead)]
        assert len(read) in (9, 10, 11)
        assert set(read[-1]) == {"tool0", "bed"}
        assert printer.heaters == read[-1]
        assert read[-1]["bed"].target == 0
        query_count = [each.command for each in oracle.commands].count("M105")
        assert query_count == 0 if autoreport else query_count >= 9


@pytest.mark.parametrize(
    ("capabilities", "requests"), [((b"BUSY_PROTOCOL:1",), 1), ((b"BUSY_PROTOCOL:0",), 0), ((), 0)]
)
async def test_busy_messages_are_requested_every_two_seconds(capabilities, requests):
    transport = FakeTransport(answers("Marlin", *capabilities))
    async with connected(transport):
        assert [each for each in transport.commands if each.startswith("M113")] == ["M113 S2"] * requests


async def test_a_printer_with_reports_turned_off_is_queried():
    oracle = Oracle(keep=None)
    async with connected(simulated(oracle), poll_interval=2.0) as printer:
        printer.submit("M155 S0")
        await asyncio.sleep(0.1)
        printer.events.clear()
        assert await asked_in(printer, oracle, 100) == 10
        assert sum(isinstance(event, TemperaturesRead) for event in printer.events) == 10
        printer.submit("M155 S2")
        await asyncio.sleep(10)
        assert await asked_in(printer, oracle, 100) == 0


async def asked_in(printer, oracle, seconds):
    before = len(oracle.commands)
    await asyncio.sleep(seconds)
    return [each.command for each in oracle.commands][before:].count("M105")


async def test_an_idle_printer_is_queried_less_often():
    oracle = Oracle(keep=None)
    transport = simulated(oracle, autoreport=False)
    async with connected(transport, poll_interval=2.0, idle_interval=20.0) as printer:
        assert await asked_in(printer, oracle, 100) == pytest.approx(5, abs=1)
        await printer.send("M140 S40")
        await asyncio.sleep(40)  # by then a report has the target, and the next poll has come
        assert await asked_in(printer, oracle, 100) == pytest.approx(50, abs=1)
        await printer.send("M140 S0")
        await asyncio.sleep(4)
        assert await asked_in(printer, oracle, 100) == pytest.approx(5, abs=1)
        printer.feed(Lines(0))
        assert await asked_in(printer, oracle, 100) == pytest.approx(50, abs=1)
        printer.feed(None)
        await asyncio.sleep(20)
        assert await asked_in(printer, oracle, 100) == pytest.approx(5, abs=1)


async def test_the_printer_is_not_queried_while_an_answer_is_pending():
    transport = FakeTransport(mute_after_handshake)
    async with connected(transport, poll_interval=1.0):
        await asyncio.sleep(20)
        assert transport.commands.count("M105") == 1


async def test_a_full_queue_of_client_commands_does_not_hinder_the_job():
    transport = FakeTransport(mute_after_handshake)
    async with connected(transport) as printer:
        printer.submit(*["M117 x"] * 3)  # with the request for temperatures they are the window
        printer.submit(*["M117 x"] * 256)
        with pytest.raises(QueueFull):
            printer.submit("M117 y")
        waiting = asyncio.create_task(printer.send("M400"))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        transport.answer = lambda _line: b"ok\n"
        transport.say(b"ok\n")
        assert await waiting == ["ok"]


async def test_queries_continue_after_a_full_queue():
    transport = FakeTransport(mute_after_handshake)
    async with connected(transport, poll_interval=1.0) as printer:
        transport.say(b"ok T:20 /0\n")
        for _ in range(256):
            printer.submit("M117 x")
        await asyncio.sleep(3)
        transport.answer = lambda line: b"ok T:21 /0\n" if b"M105" in line else b"ok\n"
        transport.say(b"ok\n")
        await asyncio.sleep(3)
        assert printer.heaters == {"tool0": Reading(21.0, 0.0)}


# -- commands ------------------------------------------------------------------------------------------------


async def test_send_returns_the_answer():
    async with connected(simulated(noise=0.0)) as printer:
        position, ok = await printer.send("M114")
        assert re.fullmatch(r"X:\S+ Y:\S+ Z:\S+ E:\S+ Count .*", position)
        assert ok == "ok"
        answers = await printer.send("M119")
        assert answers[0] == "Reporting endstop status"
        assert answers[-1] == "ok"
        assert (await printer.send("M105"))[0].startswith("ok T:")


async def test_an_unknown_command_is_published_and_answered():
    async with connected(simulated()) as printer:
        assert await printer.send("M9999") == ['echo:Unknown command: "M9999"', "ok"]
        assert messages(printer) == [("warning", 'echo:Unknown command: "M9999"')]


async def test_forbidden_commands_are_refused():
    transport = FakeTransport(answers())
    async with connected(transport) as printer:
        before = len(transport.written)
        for command, error in (
            ("M110 N5", ForbiddenCommand), ("m28 x", ForbiddenCommand), ("M105\nM112", CommandError),
            ("M105\rM112", CommandError), ("", CommandError), ("; comment", CommandError),
        ):  # fmt: skip
            with pytest.raises(error):
                await printer.send(command)
            with pytest.raises(error):
                printer.submit(command)
        assert len(transport.written) == before


async def test_nothing_can_be_sent_to_a_disconnected_printer():
    printer = LinePrinter(FakeTransport())
    with pytest.raises(NotConnected):
        printer.submit("M105")
    with pytest.raises(NotConnected):
        await printer.send("M105")
    with pytest.raises(NotConnected):
        printer.feed(Lines(1))
    with pytest.raises(NotConnected):
        await printer.wait_until_acknowledged()
    printer.hold()
    printer.release()
    printer.wake()
    printer.emergency_stop()
    await printer.close()
    assert printer.state is C.OFFLINE


async def test_an_urgent_command_goes_out_at_once():
    transport = FakeTransport(answers())
    async with connected(transport) as printer:
        transport.answer = lambda _line: b""
        printer.feed(Lines(9))
        printer.submit("M117 later")
        waiting = asyncio.create_task(printer.send("M104 S0", urgent=True))
        await asyncio.sleep(0)
        assert transport.commands[-1] == "M104 S0"
        waiting.cancel()


async def test_a_caller_that_stops_waiting_disturbs_no_other():
    async with connected(simulated()) as printer:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(printer.send("G4 S10"), 1)
        assert (await printer.send("M105"))[0].startswith("ok T:")
        assert printer.counters.stray_oks == 0


async def test_a_text_that_the_firmware_would_search_for_commands_is_left_out():
    transport = FakeTransport(answers("Teacup"))
    async with connected(transport) as printer:
        assert await printer.send("M117 on to G28") == []
        printer.submit("M118 G28", "G1 X1")
        assert await printer.send("M114") == ["ok"]
        assert [command for command in transport.commands if "G" in command] == ["G1 X1"]


async def test_actions_and_errors_are_published():
    transport = FakeTransport(answers())
    async with connected(transport) as printer:
        lines = ["Error:No SD card", "Error:checksum mismatch, Last Line: 9", "echo: cold extrusion prevented"]
        transport.say("\n".join(["//action:notification hello", "echo:of no concern", *lines, ""]).encode())
        assert ActionRequested("notification", "hello") in printer.events
        assert messages(printer) == [("warning", line) for line in lines]


async def test_a_text_right_before_a_pause_is_its_reason():
    transport = FakeTransport(answers())
    async with connected(transport) as printer:
        transport.say(b"echo:of no concern\n")
        await asyncio.sleep(3)
        transport.say(b"//action:pause\n")
        assert messages(printer) == []
        transport.say(b"Filament runout detected!\n// action:paused\n//action:paused\n")
        assert messages(printer) == [("warning", "Filament runout detected!")]


# -- a job's lines -------------------------------------------------------------------------------------------


async def test_a_job_is_fed_to_its_end():
    oracle = Oracle(keep=None)
    async with connected(simulated(oracle)) as printer:
        source, before = Lines(50), printer.counters.lines_acknowledged
        printer.feed(source)
        while source.left:  # noqa: ASYNC110 - nothing tells it
            await asyncio.sleep(0.01)
        await printer.wait_until_acknowledged()
        assert (printer.place.lines, printer.place.offset) == (50, 500)
        assert printer.counters.lines_acknowledged - before == 50
        assert printer.idle
        assert [each.command for each in oracle.commands if "G1" in each.command] == [f"G1 X{n}" for n in range(1, 51)]
        printer.feed(Lines(1))
        assert printer.place.lines == 0, "a new job counts from zero"


async def test_hold_stops_the_job_until_release():
    oracle = Oracle(keep=None)
    async with connected(simulated(oracle)) as printer:
        source = Lines(50)
        printer.feed(source)
        printer.hold()
        await printer.wait_until_acknowledged()
        left = source.left
        assert left > 0
        assert await printer.send("M400") == ["ok"], "commands still go"
        assert source.left == left
        printer.release()
        await asyncio.sleep(60)
        assert source.left == 0
        await printer.wait_until_acknowledged()


async def test_wake_continues_a_starved_job():
    transport = FakeTransport(answers())
    async with connected(transport) as printer:
        source = Lines(0)
        printer.feed(source)
        await asyncio.sleep(1)
        source.left, source.count = 3, 3
        printer.wake()
        await asyncio.sleep(1)
        assert [each for each in transport.commands if each[0] == "G"] == ["G1 X1", "G1 X2", "G1 X3"]


async def test_the_end_of_a_job_keeps_lines_in_flight():
    transport = FakeTransport(answers("Marlin"), delay=1.0)
    async with connected(transport, poll_interval=1000.0) as printer:
        await asyncio.sleep(2)
        printer.feed(Lines(9))
        printer.feed(None)
        await printer.wait_until_acknowledged()
        assert printer.place.lines == 4
        assert printer.idle


async def test_one_line_costs_no_task_no_future_and_no_timer():
    transport = FakeTransport(answers("Marlin"))
    loop, calls = asyncio.get_running_loop(), []
    async with connected(transport, poll_interval=1000.0) as printer:
        transport.answer = lambda _line: b""
        originals = {name: getattr(loop, name) for name in ("call_soon", "call_at", "create_task", "create_future")}
        try:
            for name, original in originals.items():
                setattr(loop, name, _counting(name, original, calls))
            printer.feed(Lines(1000))
            while printer.place.lines < 1000:
                printer._pump.on_data(b"ok\n")
        finally:
            for name, original in originals.items():
                setattr(loop, name, original)
        assert len(calls) <= 2, calls


def _counting(name, original, calls):
    def call(*args, **kwargs):
        calls.append(name)
        return original(*args, **kwargs)

    return call


# -- failures ------------------------------------------------------------------------------------------------


async def test_the_first_cause_ends_every_wait_exactly_once():
    transport = FakeTransport(mute_after_handshake)
    async with connected(transport) as printer:
        printer.feed(Lines(9))
        pending = (printer.send("M400"), printer.send("M105"), printer.wait_until_acknowledged())
        waiting = [asyncio.create_task(work) for work in pending]
        await asyncio.sleep(0.1)
        transport.on_lost(PortLost("the first cause"))
        transport.on_lost(PortLost("the second"))
        ends = await asyncio.gather(*waiting, return_exceptions=True)
        assert [str(end) for end in ends] == ["the first cause"] * 3
        assert str(printer.error) == "the first cause"
        assert states(printer) == [C.OPENING, C.HANDSHAKING, C.READY, C.FAULT]
        with pytest.raises(NotConnected):
            await printer.send("M105")
        with pytest.raises(PortLost):
            printer.feed(Lines(1))
        with pytest.raises(PortLost):
            await printer.wait_until_acknowledged()
    assert printer.state is C.FAULT, "closing does not hide the cause"


@pytest.mark.parametrize(
    ("line", "error", "heaters_off"),
    [
        (b"start\n", PrinterReset, False),
        (b"Error:Printer halted. kill() called!\n", FirmwareHalted, True),
        (b"Resend: 1\nok\n" * 30, ResendLoop, True),
    ],
)
async def test_some_messages_of_the_printer_end_the_connection(line, error, heaters_off):
    transport = FakeTransport(mute_after_handshake)
    async with connected(transport) as printer:
        transport.say(b"ok\n")
        transport.written.clear()
        for piece in line.splitlines(keepends=True):
            transport.say(piece)
            await asyncio.sleep(0.5)  # the line was sent again meanwhile
        assert isinstance(printer.error, error)
        assert transport.calls[-1] == "close"
        assert bytes(transport.written).endswith(b"M104 S0\nM140 S0\nM107\n") == heaters_off


async def test_a_silent_printer_is_detected_and_gets_its_heaters_off():
    transport = FakeTransport(mute_after_handshake)
    async with connected(transport, answer_timeout=5.0) as printer:
        began = asyncio.get_running_loop().time()
        with pytest.raises(PrinterSilent):
            await printer.send("G1 X1")
        assert asyncio.get_running_loop().time() - began == pytest.approx(20, abs=1)
        assert transport.written.endswith(b"M104 S0\nM140 S0\nM107\n")


@pytest.mark.parametrize(("outlasts", "fed"), [(True, True), (True, False), (False, True)])
async def test_a_print_that_may_be_resumed_after_a_silence_gets_no_heaters_off(outlasts, fed):
    """A connection that only stalls would deliver it after the print has been resumed."""
    transport = FakeTransport(mute_after_handshake)
    async with connected(transport, answer_timeout=5.0, outlasts_silence=outlasts) as printer:
        if fed:
            printer.feed(Lines(9))
        with pytest.raises(PrinterSilent):
            await printer.send("M117 x")
        assert (b"M104 S0" in transport.written) != (outlasts and fed)


async def test_a_silence_turns_heaters_off_if_the_printer_counts_no_lines():
    """Such a print ends: it cannot be reattached to."""
    transport = FakeTransport(answers("Teacup"))
    async with connected(transport, answer_timeout=5.0, outlasts_silence=True) as printer:
        printer.feed(Lines(9))
        transport.answer = lambda _line: b""
        with pytest.raises(PrinterSilent):
            await printer.send("M114")
        assert b"M104 S0" in transport.written


@pytest.mark.parametrize(("ends", "kept"), [(False, True), (True, False)])
async def test_heat_that_a_job_uses_before_its_first_line_outlasts_a_silence(ends, kept):
    transport = FakeTransport(mute_after_handshake)
    async with connected(transport, answer_timeout=5.0, outlasts_silence=True) as printer:
        printer.keep_heat()
        if ends:
            printer.feed(None)
        with pytest.raises(PrinterSilent):
            await printer.send("M117 x")
        assert (b"M104 S0" not in transport.written) == kept


@pytest.mark.parametrize(("seconds_left", "kept"), [(300.0, True), (4.0, False)])
async def test_only_the_last_attempt_to_reattach_to_a_silent_printer_turns_its_heaters_off(seconds_left, kept):
    """Once the connection no longer stalls, a later attempt may succeed, and the print continue."""

    class ReopenableTransport(FakeTransport):
        reopen = FakeTransport.open

    transport = ReopenableTransport(lambda _line: b"")
    settings = LinkSettings(answer_timeout=5.0, outlasts_silence=True)
    link = HostLink(MARLIN)
    link.send(Ticket(b"M105"))
    sent = [(1, link.data_to_send(0.0), -1, -1, Ticket(b"M105"))]
    snapshot = LinkSnapshot(sent=sent, answered=0, place=JobPlace(), fed=JobPlace(), modes=Modes())
    end = asyncio.get_running_loop().time() + seconds_left
    with pytest.raises(PrinterSilent):
        await LinePrinter(transport, settings).reattach(snapshot, FirmwareIdentity("Marlin"), keep_heat_until=end)
    assert (b"M104 S0" not in transport.written) == kept


async def test_a_lost_ok_after_a_long_command_is_noticed_soon():
    """The long command may take 600 s, the commands after it may not."""
    transport = FakeTransport(answers("Marlin", b"AUTOREPORT_TEMP:1"))
    async with connected(transport, answer_timeout=5.0) as printer:
        await asyncio.sleep(100)
        lines = iter([job_line(0, b"M109 S200"), job_line(10, b"G1 X1"), job_line(20, b"G1 X2")])
        transport.answer = lambda sent: b"ok\n" if b"M109" in sent else b""
        printer.feed(Iterated(lines))
        began = asyncio.get_running_loop().time()
        with pytest.raises(PrinterSilent):
            await printer.wait_until_acknowledged()
        assert asyncio.get_running_loop().time() - began < 40


async def test_a_printer_with_busy_messages_that_dies_is_noticed_soon():
    transport = FakeTransport(answers("Marlin", b"AUTOREPORT_TEMP:1"))
    async with connected(transport) as printer:
        await asyncio.sleep(100)
        transport.answer = lambda _line: b""
        waiting = asyncio.create_task(printer.send("G28"))
        await asyncio.sleep(2)
        transport.say(b"echo:busy: processing\n")
        began = asyncio.get_running_loop().time()
        with pytest.raises(PrinterSilent):
            await waiting
        assert asyncio.get_running_loop().time() - began < 60


@pytest.mark.parametrize("ask", ["wake", "hold", "release"])
async def test_nothing_is_sent_after_the_end(ask):
    transport = FakeTransport(answers())
    async with connected(transport) as printer:
        source = Lines(0)
        if ask == "release":
            printer.hold()
        printer.feed(source)
        transport.on_lost(PortLost("gone"))
        source.left = source.count = 9
        request_count = source.requests
        getattr(printer, ask)()
        await asyncio.sleep(1000)
        assert source.requests == request_count


async def test_close_is_idempotent_and_ends_every_wait():
    transport = FakeTransport(mute_after_handshake)
    async with connected(transport) as printer:
        waiting = asyncio.create_task(printer.send("M105"))
        await asyncio.sleep(0.1)
        await printer.close()
        await printer.close()
        with pytest.raises(NotConnected):
            await waiting
        assert states(printer) == [C.OPENING, C.HANDSHAKING, C.READY, C.OFFLINE]
        printer.events.clear()
        await asyncio.sleep(1000)
        assert printer.events == []
        assert transport.calls == ["open", "close"]


# -- emergency stop ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deaf_to", [b"M110", b"M115"])
async def test_an_emergency_stop_waits_for_no_handshake(deaf_to):
    """When a host reattaches to a print, the printer may still be moving."""
    transport = FakeTransport(lambda line: b"" if deaf_to in line else b"ok\n")
    printer = LinePrinter(transport, LinkSettings())
    opening = asyncio.create_task(printer.open())
    await asyncio.sleep(1)
    assert printer.state is C.HANDSHAKING
    printer.emergency_stop()
    assert b"\nM112\n" in transport.written
    assert transport.calls == ["open", "reset"]
    with pytest.raises(FirmwareHalted):
        await opening
    assert printer.state is C.FAULT
    await asyncio.sleep(5)
    assert transport.calls[-1] == "close"
    await printer.close()


async def test_an_emergency_stop_during_opening_is_sent_first():
    transport = FakeTransport(lambda _line: b"")
    transport.opening = asyncio.get_running_loop().create_future()
    printer = LinePrinter(transport, LinkSettings())
    opening = asyncio.create_task(printer.open())
    await asyncio.sleep(1)
    assert printer.state is C.OPENING
    printer.emergency_stop()
    assert not transport.written
    transport.opening.set_result(None)
    with pytest.raises(FirmwareHalted):
        await opening
    assert transport.written.startswith(b"M112\n")
    assert transport.calls == ["open", "reset"]
    transport.say(b"start\n")
    assert transport.calls[-1] == "close"


async def test_a_port_can_be_opened_just_to_send_an_emergency_stop():
    transport = FakeTransport(lambda _line: b"")
    printer, texts = LinePrinter(transport, LinkSettings()), []
    printer.subscribe(lambda event: texts.append(event.text) if isinstance(event, FirmwareSaid) else None)
    await printer.open_to_stop("emergency stop")
    assert (printer.state, printer.is_stopping) == (C.FAULT, True)
    written = len(transport.written)
    printer.emergency_stop()
    assert transport.written[written:].startswith(b"M112\n"), "it can be said again"
    transport.say(b"// Klipper state: Shutdown\n")
    assert texts == ["the printer has stopped"]
    assert not printer.is_stopping
    assert {each for each in transport.commands if "M112" not in each} == set()
    printer.emergency_stop()
    assert transport.calls[-1] == "close", "the port is closed, and stays so"


async def test_an_emergency_stop_is_on_the_wire_before_it_returns():
    transport = FakeTransport(answers())
    async with connected(transport) as printer:
        transport.answer = lambda _line: b""
        printer.feed(Lines(9))
        before = bytes(transport.written)
        assert before.endswith(b"\n")
        number = printer.next_number
        body = b"N%d M112" % number
        check = 0
        for byte in body:
            check ^= byte
        printer.emergency_stop()
        assert bytes(transport.written) == before + b"M112\n" + body + b"*%d\n" % check
        assert transport.calls == ["open", "reset"]
        assert printer.state is C.FAULT
        assert isinstance(printer.error, FirmwareHalted)


async def test_no_reset_follows_if_the_firmware_reads_m112_at_once():
    transport = FakeTransport(answers("Marlin", b"EMERGENCY_PARSER:1"))
    async with connected(transport) as printer:
        printer.emergency_stop()
        assert "reset" not in transport.calls


@pytest.mark.parametrize(
    "pieces",
    [
        [b"start\n"],
        [b"Error:Printer hal", b"ted. kill() called!\n"],
        [b"s", b"tart\n"],
        [b"RepRapFirmware for Duet 2 is up an", b"d running.\n"],
        [b"Error:Printer halted. kill() called!"],
        [b"\0\0start\r\n"],
    ],
)
async def test_a_stop_is_confirmed_by_the_firmwares_answer(pieces):
    transport = FakeTransport(answers())
    async with connected(transport) as printer:
        transport.answer = lambda _line: b""
        printer.emergency_stop()
        for piece in pieces:
            transport.say(piece)
        assert messages(printer) == [("info", "the printer has stopped")]
        assert transport.calls[-1] == "close"
        await asyncio.sleep(10)
        assert len(messages(printer)) == 1
        assert [event for event in printer.events if isinstance(event, StopEnded)] == [StopEnded(confirmed=True)]


async def test_an_unconfirmed_stop_is_reported():
    transport = FakeTransport(answers())
    async with connected(transport) as printer:
        transport.answer = lambda _line: b""
        printer.hold()
        printer.feed(Lines(5))
        printer.emergency_stop()
        written = len(transport.written)
        printer.wake()
        printer.release()
        transport.say(b"ok\nok\n")
        await asyncio.sleep(2.9)
        assert messages(printer) == []
        await asyncio.sleep(0.2)
        [(severity, text)] = messages(printer)
        assert severity == "error"
        assert "CUT THE PRINTER'S POWER" in text
        assert [event for event in printer.events if isinstance(event, StopEnded)] == [StopEnded(confirmed=False)]
        assert transport.written[written:] == b"M112\nM112\n", "nothing but itself follows a stop"


async def test_what_a_printer_says_after_a_stop_is_not_collected():
    transport = FakeTransport(answers())
    async with connected(transport) as printer:
        transport.answer = lambda _line: b""
        printer.emergency_stop()
        for _ in range(100):
            transport.say(b"x" * 1000)
        assert len(printer._stopping._partial) <= 1000
        transport.say(b"\nstart\n")
        assert messages(printer) == [("info", "the printer has stopped")]


async def test_a_user_who_repeats_a_stop_still_reads_that_it_was_not_confirmed():
    transport = FakeTransport(answers())
    async with connected(transport) as printer:
        transport.answer = lambda _line: b""
        for _ in range(6):
            printer.emergency_stop()
            await asyncio.sleep(0.9)
        assert messages(printer) == []
        assert transport.calls.count("reset") == 6, "each time, as the board may have missed one"
        printer.emergency_stop()
        await asyncio.sleep(0.7)
        assert [severity for severity, _ in messages(printer)] == ["error"]
        assert not printer.is_stopping


async def test_closing_does_not_hide_that_a_stop_was_not_confirmed():
    transport = FakeTransport(answers())
    async with connected(transport) as printer:
        transport.answer = lambda _line: b""
        printer.emergency_stop()
        await printer.close()
        assert [severity for severity, _ in messages(printer)] == ["error"]


@pytest.mark.parametrize("emergency_parser", [True, False])
async def test_the_simulated_printer_obeys_an_emergency_stop(emergency_parser):
    transport = simulated(emergency_parser=emergency_parser)
    async with connected(transport) as printer:
        await printer.send("M104 S200")
        printer.submit("G4 S100")
        await asyncio.sleep(1)
        printer.emergency_stop()
        await asyncio.sleep(1)
        assert messages(printer)[-1] == ("info", "the printer has stopped")
        assert transport._firmware.board.hotend.target == 0


# -- the tail ------------------------------------------------------------------------------------------------


async def test_the_tail_has_the_last_lines_on_the_wire():
    transport = FakeTransport(answers())
    async with connected(transport, idle_interval=1000.0) as printer:
        await printer.send("M117 hello")
        transport.say(b"echo:\x1b[31mred\n")
        number = printer.next_number - 1
        assert printer.flight_recorder.tail()[-3].startswith(f"> N{number} M117 hello*")
        assert printer.flight_recorder.tail()[-2:] == ["< ok", "< echo:[31mred"]
        for _ in range(500):
            transport.say(b"echo:more\n")
        assert printer.flight_recorder.tail() == ["< echo:more"] * 200


async def test_the_last_pieces_keep_their_time_and_every_byte():
    transport = FakeTransport(answers())
    async with connected(transport, idle_interval=1000.0) as printer:
        assert printer.flight_recorder.records()[0] == (0.0, EVENT, b"open")
        await asyncio.sleep(2.4)
        transport.say(b"echo:\x1b\xff")
        await asyncio.sleep(0.5)
        printer.emergency_stop()
        (at, *cut), stop, reset = printer.flight_recorder.records()[-3:]
        assert at == pytest.approx(2.5, abs=0.1)
        assert cut == [PRINTER, b"echo:\x1b\xff"]
        assert stop.time == reset.time == pytest.approx(at + 0.5)
        assert stop.kind == HOST
        assert stop.data.startswith(b"M112\n")
        assert reset[1:] == (EVENT, b"reset")
        for n in range(500):
            transport.say(b"%d\n" % n)
        assert [data for _, _, data in printer.flight_recorder.records()] == [b"%d\n" % n for n in range(300, 500)]
        assert printer.flight_recorder.records()[0].time == 0.0


async def test_a_lost_connection_is_the_last_record():
    transport = FakeTransport(answers())
    async with connected(transport) as printer:
        transport.on_lost(PortLost("unplugged"))
        assert printer.flight_recorder.records()[-1][1:] == (EVENT, b"lost unplugged")


async def test_a_reattached_connection_does_not_count_as_opened():
    """A dump of it begins in the middle of a conversation, so it cannot be replayed."""
    transport = simulated()
    async with connected(transport) as printer:
        snapshot = LinkEstimate(printer.next_number - 1, Modes())
        identity = printer.identity
    again = LinePrinter(SimulatedTransport(transport._firmware))
    with contextlib.suppress(NozzledError):
        await again.reattach(snapshot, identity)
    assert again.flight_recorder.records()[0] == (0.0, EVENT, b"reopen")
    await again.close()


def test_each_contract_of_a_printer_is_written_once():
    members = {name: each for kind in (LinkStatus, LinePrinter) for name, each in vars(kind).items() if name[0] != "_"}
    contracts = {name: getattr(getattr(Printer, name, None), "__doc__", None) for name in members}
    assert len(members) > 40
    assert [name for name, each in members.items() if not each.__doc__ and not contracts[name]] == []
    assert [name for name, each in members.items() if each.__doc__ and each.__doc__ == contracts[name]] == []
