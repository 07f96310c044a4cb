"""What a printer does by itself, as the driver sees it: prints from its SD card, prompts, its name, targets."""

import asyncio
from itertools import pairwise

import pytest

from gcode import dialect
from gcode.replies import Reading
from hal.driver import LinePrinter, LinkSettings
from hal.printer import ActionRequested, PanelPrint, PanelPrintChanged, Prompt, TemperaturesRead
from hal.rerun import rerun
from hal.simulated.firmware import Firmware, FirmwareConfig
from hal.simulated.memory import SimulatedTransport
from hal.simulated.oracle import Oracle
from support.fake_transport import FakeTransport, connected
from support.recordings import JobSource, RecordedPrinter


class Simulated(SimulatedTransport):
    """A simulated printer that can be made to send anything, and stores what it receives."""

    def __init__(self, **config):
        self.oracle = Oracle(keep=None)
        super().__init__(Firmware(FirmwareConfig(**config), self.oracle))

    def say(self, *lines):
        self._on_data("".join(f"{line}\n" for line in lines).encode())

    def times(self, command):
        return [each.time for each in self.oracle.commands if each.command == command]


class Scripted:
    """A transport whose firmware sends a banner when opened, and answers by a table, otherwise ok."""

    address, baudrate = "scripted", None

    def __init__(self, banner=b"", **answers):
        self._banner, self._answers = banner, answers
        self.written = []

    async def open(self, on_data, on_lost):  # noqa: ARG002 - nothing is lost
        self.say = on_data
        asyncio.get_running_loop().call_later(0.001, on_data, self._banner)

    def write(self, data):
        for line in filter(None, data.split(b"\n")):
            self.written.append(line)
            code = next((code for code in self._answers if code.encode() in line), None)
            answer = (self._answers[code] if code else b"") + b"ok\n"
            asyncio.get_running_loop().call_later(0.001, self.say, answer)

    def reset(self):
        pass

    def close(self):
        self.say = lambda _data: None


def changes(printer):
    return [event.print for event in printer.events if isinstance(event, PanelPrintChanged)]


# -- a print from the SD card --------------------------------------------------------------------------------


async def test_a_print_at_the_panel_is_followed_by_its_reports():
    transport = Simulated(sd_card=True)
    async with connected(transport) as printer:
        assert len(transport.times("M27 S5")) == 1
        assert printer.panel_print is None
        transport.start_panel_print("CUBE.GCO", 3000)
        await asyncio.sleep(0.1)
        assert printer.panel_print == PanelPrint("CUBE.GCO", 0, 3000)
        await asyncio.sleep(12)
        assert printer.panel_print.name == "CUBE.GCO"
        assert 500 <= printer.panel_print.position <= 1200
        await asyncio.sleep(20)
        assert printer.panel_print is None
        assert changes(printer) == [PanelPrint("CUBE.GCO", 0, 3000), None]
        assert transport.times("M27") == []


async def test_a_panel_print_without_reports_is_queried():
    transport = Simulated(sd_card=True, autoreport=False)
    async with connected(transport, card_interval=5.0) as printer:
        await asyncio.sleep(60)
        assert transport.times("M27") == transport.times("M27 S5") == []
        transport.start_panel_print("CUBE.GCO", 3000)
        await asyncio.sleep(12)
        assert printer.panel_print.position == pytest.approx(1000, abs=50)
        await asyncio.sleep(100)
        query_times = transport.times("M27")
        assert printer.panel_print is None
        assert [later - sooner for sooner, later in pairwise(query_times)] == pytest.approx([5.0] * 4)


async def test_two_successive_panel_prints_share_one_timer():
    transport = Simulated(sd_card=True, autoreport=False)
    async with connected(transport, card_interval=5.0) as printer:
        transport.start_panel_print("ONE.GCO", 100)
        await asyncio.sleep(2)
        transport.start_panel_print("TWO.GCO", 1200)
        await asyncio.sleep(60)
        assert [each and each.name for each in changes(printer)] == ["ONE.GCO", None, "TWO.GCO", None]
        assert len(transport.times("M27")) == 2


async def test_a_print_stopped_at_the_panel_is_noticed():
    transport = Simulated(sd_card=True, autoreport=False)
    async with connected(transport) as printer:
        transport.start_panel_print("CUBE.GCO", 100_000)
        await asyncio.sleep(7)
        transport._firmware.board.sd.stop()
        await asyncio.sleep(16)
        assert printer.panel_print is None


async def test_a_forgotten_print_that_reads_on_is_noticed():
    """It was paused at the panel. Marlin 1, which does not report by itself, shows only in its answers to M27 that it
    reads on.
    """
    transport = Scripted(M115=b"FIRMWARE_NAME:Marlin\n", M27=b"SD printing byte 900/3000\n")
    async with connected(transport, card_interval=5.0) as printer:
        await printer.send("M27")
        printer.forget_panel_print()
        await asyncio.sleep(60)
        assert printer.panel_print is None
        transport._answers["M27"] = b"SD printing byte 1000/3000\n"
        await asyncio.sleep(6)
        assert printer.panel_print == PanelPrint(None, 1000, 3000)


async def test_a_forgotten_print_is_not_queried_during_a_job():
    transport = Scripted(M115=b"FIRMWARE_NAME:Marlin\n", M27=b"SD printing byte 900/3000\n")
    async with connected(transport, card_interval=5.0) as printer:
        await printer.send("M27")
        printer.forget_panel_print()
        printer.feed(JobSource(b""))
        sent = len(transport.written)
        await asyncio.sleep(20)
        assert not [line for line in transport.written[sent:] if b"M27" in line]
        printer.feed(None)
        await asyncio.sleep(6)
        assert [line for line in transport.written[sent:] if b"M27" in line]


async def test_a_printer_that_waits_for_heat_is_busy():
    transport = Scripted(M115=b"FIRMWARE_NAME:Marlin\n")
    async with connected(transport) as printer:
        transport.say(b"T:21.0 E:0 B:21.0\n")
        assert printer.busy
        await asyncio.sleep(60)
        assert not printer.busy
        transport.say(b"T:21.0 /0.0 B:21.0 /0.0\n")
        assert not printer.busy


async def test_a_board_without_m27_is_queried_once():
    transport = Simulated(sd_card=False)
    async with connected(transport) as printer:
        transport.start_panel_print("CUBE.GCO", 100_000)
        await asyncio.sleep(60)
        assert printer.panel_print is None
        assert len(transport.times("M27")) == 1


@pytest.mark.parametrize("by", ["send", "submit"])
async def test_a_file_selected_by_a_client_is_no_print(by):
    opened = b"File opened: CUBE.GCO Size: 10\nFile selected\n"
    transport = Scripted(M115=b"FIRMWARE_NAME:Marlin\n", M23=opened)
    async with connected(transport) as printer:
        if by == "send":
            await printer.send("M23 CUBE.GCO")
        else:
            printer.submit("M23 CUBE.GCO")
        await asyncio.sleep(1)
        assert printer.panel_print is None
        transport.say(b"File selected\n")
        assert printer.panel_print == PanelPrint("CUBE.GCO", 0, 10), "that was not ours"


@pytest.mark.parametrize("autoreport", [True, False])
@pytest.mark.parametrize("commands", [["M23 CUBE.GCO", "M24"], ["M32 !CUBE.GCO#"]])
async def test_a_card_print_begun_by_a_client_is_shown_at_once(autoreport, commands):
    transport = Simulated(sd_card=True, autoreport=autoreport, sd_files={"CUBE.GCO": b"G4 S1\n" * 30})
    async with connected(transport) as printer:
        for command in commands:
            printer.submit(command)
        assert printer.panel_print is not None, "before anything else can begin"
        await asyncio.sleep(12)
        assert printer.panel_print.name == "CUBE.GCO"
        assert 0 < printer.panel_print.position < printer.panel_print.total == 180
        await asyncio.sleep(60)
        assert changes(printer)[1:] == [None]


@pytest.mark.parametrize("answer", [b"", b"Not SD printing\n", b'echo:Unknown command: "M27"\n'])
async def test_a_requested_card_print_that_does_not_begin_is_soon_over(answer):
    transport = Scripted(M115=b"FIRMWARE_NAME:Marlin\n", M27=answer)
    async with connected(transport) as printer:
        printer.submit("M24")
        await asyncio.sleep(1)
        assert printer.panel_print == PanelPrint(None, 0, 0)
        await asyncio.sleep(20)
        assert changes(printer) == [PanelPrint(None, 0, 0), None]
        queries = sum(b"M27" in line for line in transport.written)
        assert queries <= 3


async def test_reports_do_not_hide_a_lost_ok():
    """They come by themselves, even if the firmware has no line to answer."""
    transport = Simulated(sd_card=True)
    async with connected(transport, answer_timeout=30.0) as printer:
        lose = iter([True])
        firmware_says = transport._on_data

        def on_data(data):
            firmware_says(data.replace(b"ok\n", b"", 1) if b"ok\n" in data and next(lose, False) else data)

        transport._on_data = on_data
        sending = asyncio.create_task(printer.send("G21"))
        await asyncio.wait([sending], timeout=45)
        assert sending.done()
        assert printer.counters.timeouts == 1


# -- messages and prompts ------------------------------------------------------------------------------------


async def test_messages_and_prompts_are_stored_and_published():
    transport = Simulated()
    async with connected(transport) as printer:
        assert (printer.message, printer.prompt) == (None, None)
        transport.say("//action:notification Bed heating", "//action:prompt_begin Go on?", "//action:prompt_button Yes")
        transport.say("//action:prompt_show")
        assert printer.message == "Bed heating"
        assert printer.prompt == Prompt("Go on?", ("Yes",), ("",))
        assert [event for event in printer.events if isinstance(event, ActionRequested)] == [
            ActionRequested("notification", "Bed heating"),
            ActionRequested("prompt_begin", "Go on?"),
            ActionRequested("prompt_button", "Yes"),
            ActionRequested("prompt_show", ""),
        ]


# -- identity and targets ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("banner", "expected"),
    [
        (b"start\necho:Marlin 1.1.9\n", dialect.MARLIN_1_1),
        (b"start\necho: 3.9.0-3421\n", dialect.PRUSA),
        (b"start\nRepetier_1.0.4\n", dialect.REPETIER),
        (b"Smoothie\nok\n", dialect.SMOOTHIE),
        (b"start\n", dialect.UNKNOWN),
    ],
)
async def test_a_firmware_without_a_name_in_m115_is_known_by_its_banner(banner, expected):
    async with connected(Scripted(banner)) as printer:
        assert printer.identity.name == expected.name
        assert printer._link.dialect.window_lines == expected.window_lines
        assert printer._link.dialect.name == expected.name


async def test_malyan_names_itself_in_its_own_way():
    async with connected(Scripted(M115=b"NAME. Malyan VER: 3.7 MODEL: M200\n")) as printer:
        assert printer.identity.name == "Malyan"
        assert printer._link.dialect.name == "Malyan"


async def test_separately_reported_targets_apply_to_reports_without_targets():
    transport = Scripted(M115=b"FIRMWARE_NAME:Repetier_1.0.4\n", M105=b"T:20.0 B:21.0\n")
    async with connected(transport) as printer:
        assert printer.heaters == {"tool0": Reading(20.0), "bed": Reading(21.0)}
        transport.say(b"TargetExtr0:205\nTargetExtr7:1\n")
        assert printer.heaters == {"tool0": Reading(20.0, 205.0), "bed": Reading(21.0)}
        assert printer.events[-1] == TemperaturesRead(printer.heaters)
        transport.say(b"T:30.0 B:21.0\n")
        assert printer.heaters["tool0"] == Reading(30.0, 205.0)
        transport.say(b"T:30.0 /190 B:21.0\n")
        assert printer.heaters["tool0"] == Reading(30.0, 190.0), "a target in a report takes precedence"


@pytest.mark.parametrize("autoreport", [True, False])
async def test_queries_of_the_card_come_from_the_recording_in_a_rerun(tmp_path, autoreport):
    config = FirmwareConfig(sd_card=True, autoreport=autoreport)
    async with RecordedPrinter(tmp_path, config) as recording:
        recording.simulated.start_panel_print("CUBE.GCO", 1700)
        await asyncio.sleep(30)
        await recording.printer.send("G21")
    outcome = await rerun(recording.session())
    assert outcome.difference is None
    assert outcome.played == outcome.records


# -- whose hotend ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "report", "in_use", "shared", "expected"),
    [
        (1, "T:20.0 /0.0 B:20.0 /0.0", "T0", False, ["tool0", "tool1", "tool2"]),
        (5, "T:20.0 /0.0 B:20.0 /0.0 T0:20.0 /0.0", "T3", False, ["tool0", "tool0", "tool0"]),  # Prusa's MMU
        (2, "T:20.0 /0.0 B:20.0 /0.0", "T1", False, ["tool0", "tool0", "tool2"]),  # SINGLENOZZLE
        (1, "T:20.0 /0.0 B:20.0 /0.0", "T1", False, ["tool0", "tool0", "tool2"]),  # reports only the tool in use
        (2, "T:20.0 /0.0 B:20.0 /0.0 T0:20.0 /0.0 T1:20.0 /0.0", "T1", False, ["tool0", "tool1", "tool2"]),
        (1, "T:20.0 /0.0", "T0", True, ["tool0", "tool0", "tool0"]),
    ],
)
async def test_each_tool_has_its_hotend(count, report, in_use, shared, expected):
    def answer(line):
        if b"M115" in line:
            return f"FIRMWARE_NAME:Marlin 2.1 EXTRUDER_COUNT:{count}\nok\n".encode()
        return f"ok {report}\n".encode() if b"M105" in line else b"ok\n"

    printer = LinePrinter(FakeTransport(answer), LinkSettings(shared_nozzle=shared))
    await printer.open()
    await printer.send(in_use)
    await printer.send("M105")
    assert [printer.hotend(tool) for tool in range(3)] == expected
    await printer.close()
