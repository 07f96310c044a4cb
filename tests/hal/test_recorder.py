"""The recorder writes all traffic to files, and never gets in the way."""

import asyncio
import errno
import os
import threading
from dataclasses import asdict
from io import FileIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal import recorder as recorder_module
from hal.errors import NoSuchPort, PortLost
from hal.link_settings import LinkSettings
from hal.recorder import Recorder, RecordingFolder, RecordingTransport, describe, dump
from hal.session_file import EVENT, HOST, PRINTER, Record, read
from support.recordings import NOON, RecordedPrinter

ABOUT = describe("sim", None, NOON, "1.2", {})

times = st.integers(0, 10**9).map(lambda micros: micros / 10**6)
pieces = st.builds(Record, times, st.sampled_from([HOST, PRINTER, EVENT]), st.binary(max_size=40))


class FakeTransport:
    """Stores its calls; the test sends data and losses."""

    address, baudrate = "fake", 250000

    def __init__(self, error=None):
        self.error, self.calls = error, []

    async def open(self, on_data, on_lost):
        if self.error:
            raise self.error
        self.on_data, self.on_lost = on_data, on_lost

    async def reopen(self, on_data, on_lost):
        await self.open(on_data, on_lost)

    def write(self, data):
        self.calls.append(data)

    def reset(self):
        self.calls.append("reset")

    def close(self):
        self.calls.append("close")


def recorded(folder, *groups, wall=NOON):
    """Record pieces, flushing after each group."""
    recorder = Recorder(folder, describe("sim", None, wall, "1.2", {}))
    for group in groups:
        for piece in group:
            recorder.note(*piece)
        recorder._flush()
    recorder._end_file()
    return recorder


def files(folder, kind="session"):
    return sorted(folder.glob(f"{kind}-*"))


@given(groups=st.lists(st.lists(pieces, max_size=5), max_size=5))
def test_noted_records_are_in_the_file(tmp_path_factory, groups):
    folder = tmp_path_factory.mktemp("recordings")
    heard = [[Record(0.0, PRINTER, b"start\n")], *groups]
    recorded(RecordingFolder(folder), *heard)
    assert read(files(folder)).records == [piece for group in heard for piece in group]


async def test_everything_on_the_wire_is_recorded_with_its_time(tmp_path):
    loop, inner, blocks, lost = asyncio.get_running_loop(), FakeTransport(), [], []
    recorder = Recorder(RecordingFolder(tmp_path), ABOUT)
    transport = RecordingTransport(inner, recorder, loop.time)
    assert (transport.address, transport.baudrate) == ("fake", 250000)
    await transport.open(blocks.append, lost.append)
    await asyncio.sleep(1.5)
    transport.write(b"M105\n")
    await asyncio.sleep(0.25)
    inner.on_data(b"ok\n\xff")
    transport.reset()
    inner.on_lost(PortLost("unplugged"))
    transport.close()
    recorder.join()
    assert inner.calls == [b"M105\n", "reset", "close"]
    assert blocks == [b"ok\n\xff"]
    assert [str(error) for error in lost] == ["unplugged"]
    assert read(files(tmp_path)).records == [
        (0.0, EVENT, b"open"),
        (1.5, HOST, b"M105\n"),
        (1.75, PRINTER, b"ok\n\xff"),
        (1.75, EVENT, b"reset"),
        (1.75, EVENT, b"lost unplugged"),
    ]


async def test_a_connection_that_is_reopened_is_recorded_to_its_end(tmp_path):
    recorder = Recorder(RecordingFolder(tmp_path), ABOUT)
    transport = RecordingTransport(inner := FakeTransport(), recorder, lambda: 0.0)
    await transport.reopen(lambda _: None, print)
    inner.on_data(b"ok\n")
    transport.close()
    recorder.join()
    assert [each.data for each in read(files(tmp_path)).records] == [b"reopen", b"ok\n", b"close"]
    assert not [thread for thread in threading.enumerate() if thread.name == "recorder"]


async def test_a_loss_is_passed_on_whatever_its_text(tmp_path):
    inner, lost = FakeTransport(), []
    transport = RecordingTransport(inner, Recorder(RecordingFolder(tmp_path), ABOUT), lambda: 0.0)
    await transport.open(print, lost.append)
    inner.on_lost(PortLost("\udcff was unplugged"))  # a path that is no UTF-8
    assert len(lost) == 1


async def test_the_thread_writes_while_the_port_is_open_and_ends_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder_module, "FLUSH_INTERVAL", 0.01)
    async with RecordedPrinter(tmp_path) as recording:
        loop = asyncio.get_running_loop()
        with loop.real_time():
            while not recording.recorder._file:  # noqa: ASYNC110 - a thread of its own
                await asyncio.sleep(0.01)
        early = read(files(tmp_path))
        assert early.why_cut
        await recording.print([b"G28", b"G1 X10"])
    session = recording.session()
    assert not session.why_cut
    assert session.records[: len(early.records)] == early.records
    assert session.records[-1].data == b"close"
    assert not [thread for thread in threading.enumerate() if thread.name == "recorder"]


async def test_the_header_has_what_a_replay_needs(tmp_path):
    settings = LinkSettings(window_lines=3, poll_interval=7.5)
    async with RecordedPrinter(tmp_path, settings=settings) as recording:
        pass
    header = recording.session().header
    assert header.date == "2026-11-22T12:00:00+00:00"
    assert LinkSettings(**header.settings) == settings
    assert header.settings == asdict(settings)
    assert files(tmp_path)[0].name == "session-20261122-120000-0.part001.jsonl.gz"


async def test_a_port_that_cannot_be_opened_leaves_no_recording(tmp_path):
    recorder = Recorder(RecordingFolder(tmp_path / "none"), ABOUT)
    transport = RecordingTransport(FakeTransport(NoSuchPort("no")), recorder, asyncio.get_running_loop().time)
    with pytest.raises(NoSuchPort):
        await transport.open(print, print)
    transport.close()
    recorder.join()
    assert not (tmp_path / "none").exists()


def test_a_silent_port_leaves_no_recording(tmp_path):
    recorded(
        RecordingFolder(tmp_path),
        [Record(0.0, EVENT, b"open"), Record(0.1, HOST, b"M110\n")],
        [Record(1.0, EVENT, b"close")],
    )
    assert files(tmp_path) == []


def test_the_beginning_is_kept_until_the_first_answer(tmp_path):
    groups = [[Record(0.0, EVENT, b"open")], [Record(2.0, HOST, b"hello\n")], [Record(3.0, PRINTER, b"ok\n")]]
    recorded(RecordingFolder(tmp_path), *groups)
    assert read(files(tmp_path)).records == [piece for group in groups for piece in group]


def test_a_large_recording_is_split_and_its_oldest_parts_removed(tmp_path):
    groups = [[Record(float(n), PRINTER, os.urandom(256))] for n in range(20)]
    recorded(RecordingFolder(tmp_path, max_bytes=1500, max_files=100), *groups)
    parts = files(tmp_path)
    assert len(parts) > 3
    assert all(path.stat().st_size < 3000 for path in parts)
    assert read(parts).records == [group[0] for group in groups]
    recorded(RecordingFolder(tmp_path, max_bytes=1500, max_files=3), *groups, wall=NOON + 60)
    assert [path.name for path in files(tmp_path)] == [
        path.name.replace("120000", "120100") for path in parts[-3:]
    ]  # fmt: skip


def test_only_recordings_are_removed(tmp_path):
    for name in ("session.txt", "my-session-1.jsonl.gz", "fault-1.jsonl.gz"):
        (tmp_path / name).touch()
    for _ in range(3):
        recorded(RecordingFolder(tmp_path, max_files=1), [Record(0.0, PRINTER, b"ok\n")])
    assert len(files(tmp_path)) == 1
    assert len(list(tmp_path.iterdir())) == 4


def test_older_recordings_are_removed_although_one_cannot_be(tmp_path):
    (tmp_path / "session-20200101-000000-0.part001.jsonl.gz").mkdir()
    for n in range(1, 4):
        (tmp_path / f"session-20200101-00000{n}-0.part001.jsonl.gz").touch()
    recorded(RecordingFolder(tmp_path, max_files=2), [Record(0.0, PRINTER, b"ok\n")])
    assert len(files(tmp_path)) == 3  # 2, and the folder that is none of ours
    assert files(tmp_path)[-1].stat().st_size


def test_a_full_buffer_drops_and_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder_module, "MAX_PIECES", 10)
    pieces = [Record(float(n), PRINTER, b"%d\n" % n) for n in range(15)]
    last = Record(20.0, PRINTER, b"ok\n")
    recorder = recorded(RecordingFolder(tmp_path), pieces, [last])
    assert recorder.dropped == 5
    assert read(files(tmp_path)).records == [*pieces[:10], Record(10.0, EVENT, b"dropped 5"), last]


async def test_pieces_that_are_dropped_at_the_end_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder_module, "MAX_PIECES", 2)
    recorder = Recorder(RecordingFolder(tmp_path), ABOUT)
    pieces = [Record(float(n), PRINTER, b"%d\n" % n) for n in range(5)]
    for piece in pieces:
        recorder.note(*piece)
    recorder.start()
    recorder.close()
    recorder.join()
    assert read(files(tmp_path)).records == [*pieces[:2], Record(2.0, EVENT, b"dropped 3")]


class FullDisk:
    """Takes `room` bytes, then none."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def write(self, data):
        if self.room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = min(self.room, len(data))
        self.room -= taken
        return self.file.write(data[:taken])

    def close(self):
        self.file.close()


def test_a_full_disk_disturbs_nothing_and_leaves_a_noted_gap(tmp_path):
    troubles = []
    recorder = Recorder(RecordingFolder(tmp_path), ABOUT, troubles.append)
    groups = [[Record(float(n), PRINTER, b"%d " % n * 50)] for n in range(4)]
    for n, group in enumerate(groups):
        recorder.note(*group[0])
        if n == 1:
            recorder._file.file = FullDisk(recorder._file.file, 10)
        recorder._flush()
    recorder._end_file()
    first, second = (read([path]) for path in files(tmp_path))
    assert [error.errno for error in troubles] == [errno.ENOSPC]
    assert recorder.dropped == 1
    assert first.why_cut
    assert first.records == groups[0]
    assert second.records == [Record(2.0, EVENT, b"dropped 1"), *groups[2], *groups[3]]


class FullDiskFile(FileIO):
    """A file that takes nothing, not even its header, or only some bytes at a time."""

    room = 0

    def write(self, data):
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data[: self.room])


def test_a_full_disk_costs_no_older_recording(tmp_path, monkeypatch):
    old = [tmp_path / f"session-20200101-00000{n}-0.part001.jsonl.gz" for n in range(3)]
    for path in old:
        path.touch()
    monkeypatch.setattr(recorder_module.Path, "open", lambda path, mode, **_: FullDiskFile(path, mode.replace("b", "")))
    recorder = recorded(
        RecordingFolder(tmp_path, max_files=3), *[[Record(float(n), PRINTER, b"ok\n")] for n in range(9)]
    )
    assert files(tmp_path) == old
    assert recorder.dropped == 9
    with pytest.raises(OSError, match="No space left"):
        dump(tmp_path, ABOUT, [Record(0.0, PRINTER, b"ok\n")])
    assert files(tmp_path, "fault") == []


def test_a_dump_that_the_disk_takes_in_pieces_is_complete(tmp_path, monkeypatch):
    monkeypatch.setattr(FullDiskFile, "room", 20)
    monkeypatch.setattr(recorder_module.Path, "open", lambda path, mode, **_: FullDiskFile(path, mode.replace("b", "")))
    records = [Record(0.0, PRINTER, b"ok\n")]
    path = dump(tmp_path, ABOUT, records)
    monkeypatch.undo()
    assert read([path]).records == records


def test_a_folder_that_cannot_be_created_is_reported_once(tmp_path):
    (tmp_path / "file").touch()
    troubles = []
    recorder = Recorder(RecordingFolder(tmp_path / "file" / "folder"), ABOUT, troubles.append)
    for n in range(3):
        recorder.note(float(n), PRINTER, b"ok\n")
        recorder._flush()
    assert [type(error) for error in troubles] == [NotADirectoryError]
    assert recorder.dropped == 3


async def test_every_line_of_a_print_is_in_its_recording(tmp_path):
    commands = [b"G28", *(b"G1 X%d F6000" % (n % 90) for n in range(100))]
    async with RecordedPrinter(tmp_path) as recording:
        await recording.print(commands)
    dialogue = b"".join(record.data for record in recording.session().records if record.kind == HOST)
    assert recording.printer.counters.lines_acknowledged >= len(commands)
    assert all(b" %s*" % command in dialogue for command in commands)


def test_the_last_lines_before_a_fault_are_recorded(tmp_path):
    tail = [Record(0.0, HOST, b"N1 G28*18\n"), Record(0.25, PRINTER, b"ok T:2"), Record(1.5, PRINTER, b"0.1 \xff\n")]
    session = read([dump(tmp_path / "faults", ABOUT, tail)])
    assert session.records == tail
    assert session.header == ABOUT
    assert session.why_cut == ""


def test_the_last_faults_are_kept(tmp_path):
    paths = [
        dump(tmp_path, describe("sim", None, NOON + n, "1.2", {}), [Record(0.0, PRINTER, b"%d\n" % n)])
        for n in range(23)
    ]
    contents = {read([path]).records[0].data for path in files(tmp_path, "fault")}
    assert files(tmp_path, "fault") == paths[3:]
    assert contents == {b"%d\n" % n for n in range(3, 23)}
