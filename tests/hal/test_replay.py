"""A recording in place of a printer."""

import asyncio
from dataclasses import replace

import pytest

from hal.driver import LinePrinter
from hal.errors import AddressError, PortLost, RecordingError, ReplayDiffers
from hal.registry import create
from hal.replay import ReplayTransport
from hal.session_file import EVENT, HOST, PRINTER, Record, RecordedSession, SessionEncoder, SessionHeader
from support.recordings import JobSource, RecordedPrinter, transcript
from support.transcripts import TRANSCRIPTS

HEADER = SessionHeader("2026-11-22T12:00:00+00:00", "sim", 250000)


def session(*records):
    return RecordedSession(HEADER, [Record(0.0, EVENT, b"open"), *(Record(*each) for each in records)])


DIALOGUE = session(
    (1.0, PRINTER, b"start\n"), (2.0, HOST, b"M105\n"), (2.5, PRINTER, b"ok T:2"), (2.6, PRINTER, b"0\n")
)


class Host:
    """Stores what it receives, with the seconds since it opened the port."""

    def __init__(self, recording, **options):
        self.transport = ReplayTransport(recording, **options)
        self.heard, self.lost = [], []

    async def open(self):
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self.transport.open(
            lambda data: self.heard.append((round(loop.time() - began, 3), data)), self.lost.append
        )


async def test_the_printer_sends_at_the_recorded_times():
    host = Host(DIALOGUE)
    await host.open()
    await asyncio.sleep(2)
    host.transport.write(b"M105\n")
    await asyncio.sleep(5)
    assert host.heard == [(1.0, b"start\n"), (2.5, b"ok T:2"), (2.6, b"0\n")]
    assert host.transport.baudrate == 250000
    assert host.transport.difference is None
    host.transport.close()
    assert host.lost == []


@pytest.mark.parametrize("wait", [1.1, 2.8])
async def test_answers_keep_their_delay_after_the_host(wait):
    host = Host(DIALOGUE)
    await host.open()
    await asyncio.sleep(wait)
    host.transport.write(b"M1")
    host.transport.write(b"05\n")
    await asyncio.sleep(5)
    assert host.heard == [(1.0, b"start\n"), (wait + 0.5, b"ok T:2"), (round(wait + 0.6, 3), b"0\n")]


async def test_the_hosts_data_may_be_split_differently():
    host = Host(session((1.0, HOST, b"a\n"), (1.1, HOST, b"b\n"), (1.2, PRINTER, b"ok\n")))
    await host.open()
    await asyncio.sleep(1)
    host.transport.write(b"a\nb\n")
    await asyncio.sleep(1)
    assert host.heard == [(1.1, b"ok\n")]


async def test_data_never_comes_from_within_write():
    host = Host(session((0.0, HOST, b"a\n"), (0.0, PRINTER, b"ok\n")))
    await host.open()
    host.transport.write(b"a\n")
    assert host.heard == []
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(host.heard) == 1


@pytest.mark.parametrize(
    ("at", "data", "difference"),
    [
        (2.0, b"M106\n", "record 2, at 2.000 s: the recording has -> 'M105\\n', the host sent -> 'M106\\n'"),
        (2.0, b"M105\nM106\n", "record 3, at 2.500 s: the recording has <- 'ok T:2', the host sent -> 'M106\\n'"),
        (0.5, b"M105\n", "record 1, at 1.000 s: the recording has <- 'start\\n', the host sent -> 'M105\\n'"),
        (None, b"", "record 2, at 2.000 s: the recording has -> 'M105\\n', the host sent nothing for 1 s"),
    ],
)
async def test_the_connection_is_lost_where_the_host_differs(at, data, difference):
    host = Host(DIALOGUE)
    await host.open()
    if at is not None:
        await asyncio.sleep(at)
        host.transport.write(data)
        assert host.lost == [], "a loss is not told from within write"
        at_once = host.transport.index
        host.transport.write(b"M105\n")
        assert host.transport.index == at_once, "nothing counts after the difference"
    await asyncio.sleep(5)
    assert [type(error) for error in host.lost] == [ReplayDiffers]
    assert str(host.lost[0]) == str(host.transport.difference) == difference


async def test_a_difference_within_a_piece_shows_its_rest():
    host = Host(DIALOGUE)
    await host.open()
    await asyncio.sleep(2)
    host.transport.write(b"M1")
    host.transport.write(b"17\n")
    difference = host.transport.difference
    assert (difference.expected.data, difference.actual.data) == (b"05\n", b"17\n")
    host.transport.close()


async def test_lenient_continues_and_keeps_the_first_difference():
    recording = session((1.0, HOST, b"a\n"), (1.5, PRINTER, b"1\n"), (2.0, HOST, b"b\n"), (2.5, PRINTER, b"2\n"))
    host = Host(recording, strict=False)
    await host.open()
    await asyncio.sleep(1)
    host.transport.write(b"x\n")
    await asyncio.sleep(5)
    assert [data for _, data in host.heard] == [b"1\n", b"2\n"]
    assert host.lost == []
    difference = host.transport.difference
    assert (difference.index, difference.time, difference.expected.data, difference.actual.data) == (
        1,
        1.0,
        b"a\n",
        b"x\n",
    )


async def test_a_reset_is_replayed():
    host = Host(session((1.0, EVENT, b"reset"), (1.2, PRINTER, b"start\n")))
    await host.open()
    await asyncio.sleep(1)
    host.transport.reset()
    await asyncio.sleep(1)
    assert host.heard == [(1.2, b"start\n")]
    other = Host(DIALOGUE)
    await other.open()
    other.transport.reset()
    assert other.transport.difference.actual.data == b"reset"


async def test_a_lost_connection_is_lost_again():
    host = Host(session((1.0, PRINTER, b"start\n"), (3.0, EVENT, b"lost the cable\x1b[2J is out")))
    await host.open()
    await asyncio.sleep(5)
    assert [type(error) for error in host.lost] == [PortLost]
    assert str(host.lost[0]).startswith("the cable")
    assert "\x1b" not in str(host.lost[0])
    assert host.transport.difference is None


async def test_closing_earlier_than_recorded_is_noted():
    host = Host(DIALOGUE)
    await host.open()
    await asyncio.sleep(1.5)
    host.transport.close()
    host.transport.close()
    await asyncio.sleep(5)
    assert host.heard == [(1.0, b"start\n")]
    assert host.lost == []
    assert host.transport.difference.actual.data == b"close"


@pytest.mark.parametrize(
    "records", [[], [Record(1.0, PRINTER, b"ok\n")], [Record(0.0, EVENT, b"dropped 3"), Record(0.0, EVENT, b"open")]]
)
def test_the_middle_of_a_conversation_is_refused(records):
    with pytest.raises(RecordingError, match="can be shown, not replayed"):
        ReplayTransport(RecordedSession(HEADER, records))


def test_nothing_is_replayed_after_a_gap_or_an_end():
    pieces = [(1.0, PRINTER, b"a"), (2.0, EVENT, b"dropped 4"), (3.0, PRINTER, b"b")]
    assert [each.data for each in ReplayTransport(session(*pieces)).records] == [b"open", b"a"]
    pieces[1] = (2.0, EVENT, b"close")
    assert [each.data for each in ReplayTransport(session(*pieces)).records] == [b"open", b"a", b"close"]


@pytest.mark.parametrize("name", sorted(path.name for path in TRANSCRIPTS.glob("*.txt")))
async def test_recorded_dialogues_can_be_replayed(name):
    recording = transcript(name)
    transport, blocks = ReplayTransport(recording), []
    ended = asyncio.Event()
    transport.on_end = ended.set
    transport.on_turn = lambda at: transport.write(recording.records[at].data)
    await transport.open(blocks.append, blocks.append)
    await ended.wait()
    assert blocks == [record.data for record in recording.records if record.kind == PRINTER]
    assert len(blocks) > 3
    assert transport.difference is None


# -- as a kind of printer ----------------------------------------------------------------------------------


async def recorded_file(folder):
    async with RecordedPrinter(folder / "made") as recording:
        await recording.print([b"G28", b"G1 X10 F600"])
    return next((folder / "made").iterdir())


@pytest.mark.parametrize("lenient", ["", "?lenient=yes", "?lenient=no"])
async def test_a_recording_is_the_address_of_a_printer(tmp_path, lenient):
    address = f"replay:{await recorded_file(tmp_path)}{lenient}"
    printer = create(address)
    assert isinstance(printer, LinePrinter)
    await printer.open()
    printer.feed(JobSource([b"G28", b"G1 X10 F600"]))
    await printer.wait_until_acknowledged()
    assert printer.address == address
    assert printer.identity.name.startswith("Marlin")
    assert printer.place.lines == 2
    assert printer.error is None
    await printer.close()


async def test_a_job_other_than_the_recorded_one_loses_the_connection(tmp_path):
    printer = create(f"replay:{await recorded_file(tmp_path)}")
    await printer.open()
    printer.feed(JobSource([b"G28", b"G1 X11 F600"]))
    with pytest.raises(ReplayDiffers, match=r"G1 X10 F600.*G1 X11 F600"):
        await printer.wait_until_acknowledged()
    await printer.close()


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("replay", "name the file of the recording"),
        ("replay:x?lenient=perhaps", "lenient is 'perhaps'; allowed: yes or no"),
        ("replay:x?speed=2", "unknown option 'speed'"),
    ],
)
async def test_a_wrong_address_is_refused(address, reason):
    with pytest.raises(AddressError, match=reason):
        create(address)


async def test_a_file_that_is_no_recording_is_refused(tmp_path):
    with pytest.raises(RecordingError, match="No such file"):
        create(f"replay:{tmp_path}/none")
    path = tmp_path / "tail"
    encoder = SessionEncoder()
    path.write_bytes(encoder.header(replace(HEADER, part=2)) + encoder.end())
    with pytest.raises(RecordingError, match="begins in the middle"):
        create(f"replay:{path}")
