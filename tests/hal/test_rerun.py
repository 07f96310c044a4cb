"""Today's driver on recorded sessions: it does not differ from itself, and every difference is found."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcode.errors import NozzledError
from gcode.framing import frame
from gcode.packing import text_on_wire
from hal.errors import RecordingError
from hal.link_settings import LinkSettings
from hal.rerun import recover_commands, rerun
from hal.session_file import HOST, Record
from hal.simulated import clock, personalities
from hal.simulated.firmware import FirmwareConfig
from hal.simulated.memory import SimulatedTransport
from hal.simulated.scenario import Fault, Scenario
from support.recordings import JobSource, RecordedPrinter

MOVES = [b"G28", b"M106 S128", *(b"G1 X%d Y%d F6000" % (n % 90, n % 70) for n in range(120)), b"M107", b"G1 X1"]

FIRMWARES = [
    FirmwareConfig(),
    FirmwareConfig(autoreport=False),
    FirmwareConfig(baudrate=115200),
    FirmwareConfig(emergency_parser=True, advanced_ok=True),
    *(personalities.FIRMWARES[name] for name in ("marlin21-meatpack", "repetier", "smoothie", "teacup", "klipper")),
]


class DamagingTransport(SimulatedTransport):
    """Alters a byte of every 15th piece from the host, and loses each 40th plain ok from the printer."""

    pieces = oks = 0

    def write(self, data):
        self.pieces += 1
        if self.pieces % 15 == 0:
            data = data[:-8] + bytes([data[-8] ^ 1]) + data[-7:]
        super().write(data)

    async def open(self, on_data, on_lost):
        await super().open(lambda data: on_data(self._thinned(data)), on_lost)

    def _thinned(self, data):
        if data == b"ok\n":
            self.oks += 1
            if self.oks % 40 == 0:
                return b"\n"
        return data


class DyingPrinter(SimulatedTransport):
    """Loses everything that the printer says from the 30th piece on."""

    pieces = 0

    async def open(self, on_data, on_lost):
        await super().open(lambda data: on_data(self._dying(data)), on_lost)

    def _dying(self, data):
        self.pieces += 1
        return data if self.pieces < 30 else b"\n"


async def a_day(recording):
    """A job, a rest, half a job, commands between its lines, and everything off."""
    await asyncio.sleep(6.3)
    await recording.print(MOVES)
    await asyncio.sleep(9.1)
    printer = recording.printer
    printer.feed(JobSource(MOVES[2:]))
    await asyncio.sleep(2)
    await printer.send("M118 half-way")
    printer.feed(None)
    await asyncio.gather(*(printer.send(each, urgent=True) for each in ("M104 S0", "M140 S0", "M107", "M84")))


def changed(session, at, old, new):
    records = list(session.records)
    assert old in records[at].data
    records[at] = records[at]._replace(data=records[at].data.replace(old, new))
    return replace(session, records=records)


def find(session, piece):
    return next(at for at, record in enumerate(session.records) if record.kind == HOST and piece in record.data)


@pytest.mark.parametrize("config", FIRMWARES)
async def test_the_driver_repeats_its_actions(tmp_path, config):
    async with RecordedPrinter(tmp_path, config) as recording:
        await a_day(recording)
    session = recording.session()
    outcome = await rerun(session)
    assert outcome.difference is None
    assert outcome.played == outcome.records == len(session.records)
    assert outcome.lines > 200


@pytest.mark.parametrize("length", [12, 30, 60])
async def test_heaters_off_beyond_a_full_window_is_repeated(tmp_path, length):
    moves = [b"G1 X%d F300." % (n % 2 * 50) for n in range(60)]
    moves = [move + b"0" * (length - len(move)) for move in moves]
    async with RecordedPrinter(tmp_path) as recording:
        printer = recording.printer
        printer.feed(JobSource([b"G28", *moves]))
        await asyncio.sleep(60)
        offs = asyncio.gather(*(printer.send(each, urgent=True) for each in ("M104 S0", "M140 S0", "M107")))
        await asyncio.sleep(1)
        assert not offs.done()
        printer.feed(None)
        await offs
    outcome = await rerun(recording.session())
    assert outcome.difference is None
    assert outcome.played == outcome.records


async def test_queries_of_a_printer_with_reports_turned_off_are_repeated(tmp_path):
    async with RecordedPrinter(tmp_path) as recording:
        await recording.printer.send("M155 S0")
        await asyncio.sleep(35)
        await recording.printer.send("G21")
    session = recording.session()
    assert sum(b"M105" in record.data for record in session.records) == 3
    outcome = await rerun(session)
    assert outcome.difference is None
    assert outcome.played == outcome.records


async def test_resends_are_repeated(tmp_path):
    async with RecordedPrinter(tmp_path, FirmwareConfig(busy=False), simulated=DamagingTransport) as recording:
        await recording.print(MOVES)
        counters = recording.printer.counters
    assert counters.resends > 3
    assert counters.timeouts > 0
    outcome = await rerun(recording.session())
    assert outcome.difference is None
    assert outcome.lines == len(MOVES)
    assert outcome.played == outcome.records


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("marlin", Fault("lose_ok", line=1)),
        ("malyan-0", Fault("hang", line=1, seconds=40)),
        ("repetier", Fault("lose_ok", line=2)),
        ("repetier", Fault("lose_ok", line=18)),
    ],
)
async def test_what_the_link_does_after_a_lost_answer_is_no_users_command(tmp_path, name, fault):
    config = replace(personalities.FIRMWARES[name], scenario=Scenario((fault,)))
    async with RecordedPrinter(tmp_path, config) as recording:
        await asyncio.sleep(5)
        await recording.print(MOVES[:60])
        await asyncio.sleep(3)
    outcome = await rerun(recording.session())
    assert outcome.difference is None
    assert outcome.played == outcome.records


async def test_a_connection_that_failed_fails_again_without_a_difference(tmp_path):
    with pytest.raises(NozzledError):
        async with RecordedPrinter(tmp_path, simulated=DyingPrinter) as recording:
            await recording.print(MOVES)
    session = recording.session()
    assert b"\nM104 S0\nM140 S0\nM107\n" in [record.data for record in session.records]
    outcome = await rerun(session)
    assert outcome.difference is None
    assert outcome.lines > 5


@pytest.mark.parametrize("config", FIRMWARES)
async def test_an_emergency_stop_is_repeated(tmp_path, config):
    async with RecordedPrinter(tmp_path, config) as recording:
        await asyncio.sleep(3)
        recording.printer.feed(JobSource(MOVES))
        await asyncio.sleep(9)
        recording.printer.emergency_stop()
        await asyncio.sleep(5)
    session = recording.session()
    outcome = await rerun(session)
    assert outcome.difference is None
    assert outcome.played >= outcome.records - 1  # the closing itself need not be waited for
    at = next(n for n, record in enumerate(session.records) if text_on_wire(record.data).lstrip().startswith(b"M112\n"))
    assert (await rerun(changed(session, at, b"M112", b"M410"))).difference.index == at


async def test_a_lost_port_is_no_difference(tmp_path):
    async with RecordedPrinter(tmp_path) as recording:
        recording.printer.feed(JobSource(MOVES))
        await asyncio.sleep(9)
        recording.simulated.unplug()
        await asyncio.sleep(1)
    assert recording.session().records[-1].data.startswith(b"lost ")
    outcome = await rerun(recording.session())
    assert outcome.difference is None
    assert outcome.played == outcome.records


async def test_a_recording_cut_by_a_crash_is_replayed_as_far_as_it_goes(tmp_path):
    async with RecordedPrinter(tmp_path) as recording:
        await recording.print(MOVES)
    session = recording.session()
    for length in (3, 10, 57, 101):
        outcome = await rerun(replace(session, records=session.records[:length]))
        assert outcome.difference is None
        assert outcome.played == length


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """One recorded print for all questions about differences."""

    async def record():
        async with RecordedPrinter(tmp_path_factory.mktemp("printed")) as recording:
            await recording.print(MOVES)
        return recording.session()

    return clock.run(record())


@given(data=st.data())
async def test_a_changed_line_is_found_at_its_place(printed, data):
    hosts = [at for at, record in enumerate(printed.records) if record.kind == HOST]
    at = data.draw(st.sampled_from(hosts))
    piece = printed.records[at].data
    where = data.draw(st.integers(0, len(piece) - 1))
    piece = piece[:where] + bytes([piece[where] ^ data.draw(st.sampled_from([1, 2, 4]))]) + piece[where + 1 :]
    records = [*printed.records[:at], printed.records[at]._replace(data=piece), *printed.records[at + 1 :]]
    difference = (await rerun(replace(printed, records=records))).difference
    assert difference.index == at
    assert piece.endswith(difference.expected.data)


async def test_lenient_replays_everything(printed):
    at = find(printed, b"N60 ")
    session = changed(printed, at, b"N60 ", b"N61 ")
    strict, lenient = await rerun(session), await rerun(session, strict=False)
    assert strict.played == strict.difference.index == lenient.difference.index == at
    assert lenient.played == lenient.records


async def test_a_smaller_window_is_found(printed):
    settings = {**printed.header.settings, "window_lines": 1}
    difference = (await rerun(replace(printed, header=replace(printed.header, settings=settings)))).difference
    assert difference.actual is None
    assert difference.expected.data.startswith(b"N")


async def test_a_different_greeting_is_found(printed):
    session = changed(printed, find(printed, b"M155"), b"M155 S2", b"M155 S3")
    outcome = await rerun(session)
    assert b"M155 S2" in outcome.difference.actual.data
    assert outcome.lines == 0


@pytest.mark.parametrize(
    "settings",
    [
        {"no_such_thing": 1},
        {"poll_interval": "soon"},
        {"window_lines": None},
        {"window_lines": 2.5},
        {"answer_timeout": float("nan")},
        {"\x1b[2J": 1},
    ],
)
async def test_settings_of_another_program_are_refused(printed, settings):
    with pytest.raises(RecordingError, match="setting") as caught:
        await rerun(replace(printed, header=replace(printed.header, settings=settings)))
    assert str(caught.value).isprintable()


def hosts(*pieces):
    return [Record(float(n), HOST, piece) for n, piece in enumerate(pieces)]


def test_a_job_is_recovered_without_the_drivers_own_commands():
    records = hosts(
        b"\n" + frame(0, b"M110 N0"),
        frame(1, b"M115"),
        frame(2, b"M155 S2"),
        frame(3, b"G28") + frame(4, b"M117 5*3"),
        frame(3, b"G28"),  # asked for again
        b"\n" + frame(99_999_999, b"M105") + frame(5, b"G1 X1"),
        frame(6, b"M118 nozzled sync 1"),
        frame(7, b"M105"),
        b"\nM104 S0\nM140 S0\nM107\n",
    )
    assert list(recover_commands(records)) == [(3, b"G28"), (3, b"M117 5*3"), (5, b"G1 X1"), (7, b"M105")]


def test_restarted_numbers_are_not_repeats():
    records = hosts(
        b"\n" + frame(0, b"M110 N0"),
        frame(1, b"M115"),
        frame(900_000, b"G1 X1"),
        b"\n" + frame(99_999_999, b"M105"),
        frame(1000, b"M110 N1000"),
        *(frame(number, b"M105") for number in range(1001, 1006)),
        frame(1006, b"G1 X2"),
    )
    assert list(recover_commands(records)) == [(2, b"G1 X1"), (9, b"M105"), (10, b"G1 X2")]


def test_a_job_without_numbers_is_recovered():
    records = hosts(b"\n" + frame(0, b"M110 N0"), frame(1, b"M115"), b"M105\n", b"G28\n", b"M117 5*3\n", b"M105\n")
    assert list(recover_commands(records)) == [(3, b"G28"), (4, b"M117 5*3"), (5, b"M105")]


def test_a_probe_is_the_drivers_own_whatever_its_number():
    greeting = b"\n" + frame(0, b"M110 N0"), frame(1, b"M115"), frame(2, b"M155 S2"), frame(3, b"G28")
    records = hosts(*greeting, b"\n" + frame(32_771, b"M105") + frame(4, b"G1 X1"), frame(5, b"M105"))
    assert list(recover_commands(records)) == [(3, b"G28"), (4, b"G1 X1"), (5, b"M105")]


def test_the_links_own_text_is_not_the_first_command():
    greeting = b"\n" + frame(0, b"M110 N0"), frame(1, b"M115"), frame(2, b"M118 nozzled sync 1")
    assert list(recover_commands(hosts(*greeting, frame(3, b"M105"), frame(4, b"G28")))) == [(4, b"G28")]
    assert list(recover_commands(hosts(*greeting, frame(3, b"M155 S2"), frame(4, b"G28")))) == [(4, b"G28")]


def test_a_halt_test_is_the_drivers_own():
    greeting = b"\n" + frame(0, b"M110 N0"), b"M115\n", b"STATUS\n", b"M105\n"
    assert list(recover_commands(hosts(*greeting, b"STATUS\n", b"G28\n"))) == [(4, b"STATUS"), (5, b"G28")]


def test_nothing_is_recovered_from_a_greeting_alone():
    assert list(recover_commands([])) == []
    assert list(recover_commands(hosts(b"\n" + frame(0, b"M110 N0")))) == []
    assert list(recover_commands(hosts(b"\n" + frame(0, b"M110 N0"), frame(1, b"M115")))) == []


def test_recovered_settings_match_the_defaults(printed):
    assert LinkSettings(**printed.header.settings) == LinkSettings()
