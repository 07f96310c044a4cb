import asyncio
import errno
import os
import re
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.job import opening, streamer
from daemon.core.job.opening import open_upload
from daemon.core.job.streamer import FileStream
from gcode.host_commands import CancelJob, HeatAndWait, PauseJob, meaning
from gcode.outgoing import is_link_only, job_line
from support.job_host import InlineExecutor
from support.processes import open_below
from support.reading import read_whole
from support.waiting import TIMEOUT

CUBE = Path(__file__).parents[2] / "examples" / "cube20.gcode"


class Stalled(InlineExecutor):
    """A disk that reads only on request."""

    def __init__(self):
        self.waiting = None

    def submit(self, work, /, *args, **kwargs):
        if work is not os.pread or args[2] == 0:
            return super().submit(work, *args, **kwargs)
        future = Future()
        self.waiting = lambda: future.set_result(work(*args, **kwargs))
        return future

    def go_on(self):
        self.waiting()


def stream(path, executor=None, woken=None, left_out=None, **options):
    return FileStream(
        partial(open_upload, path),
        executor or InlineExecutor(),
        on_more=lambda: woken.append(True) if woken is not None else None,
        on_left_out=lambda *command: left_out.append(command) if left_out is not None else None,
        **options,
    )


def test_without_proc_nothing_is_opened_and_the_reason_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "DESCRIPTORS", tmp_path / "not mounted")
    with pytest.raises(OSError, match="/proc is not mounted"):
        open_upload(CUBE)
    assert not open_below(CUBE.parent)


@pytest.mark.threads
@pytest.mark.parametrize("content", ["G1 X1\n", None])
async def test_a_file_that_is_opened_after_its_print_was_given_up_is_closed_again(tmp_path, content):
    path, begun, go_on = tmp_path / "part.gcode", threading.Event(), threading.Event()

    def open_slowly():
        begun.set()
        go_on.wait(TIMEOUT)
        return open_upload(path)

    if content is not None:
        path.write_text(content)
    with ThreadPoolExecutor(1) as reader:
        source = FileStream(open_slowly, reader, on_more=lambda: None, on_left_out=lambda *_: None)
        opening = asyncio.create_task(source.open())
        await asyncio.to_thread(begun.wait, TIMEOUT)
        opening.cancel()
        await asyncio.wait([opening])
        assert opening.cancelled()
        go_on.set()
        await asyncio.get_running_loop().run_in_executor(reader, str)  # the file has been opened by now
        await asyncio.sleep(0)
        await asyncio.get_running_loop().run_in_executor(reader, str)
        assert not open_below(tmp_path)


async def drain(source):
    lines = []
    while not source.ended:
        if (line := source.next_line()) is not None:
            lines.append(line[:2])
            if len(lines) % 3 == 0:  # as for the wire, which gives the loop its turn between answers
                await asyncio.sleep(0)
        elif source.barrier is not None:
            source.proceed()
        else:
            await asyncio.sleep(0.001)
    return lines


async def test_the_example_is_streamed_as_the_reader_reads_it():
    source = stream(CUBE)
    await source.open()
    assert await drain(source) == read_whole(CUBE.read_bytes())
    assert source.size == len(CUBE.read_bytes())
    assert source.mtime_ns == os.fstat(source._fd).st_mtime_ns
    assert source.error is None
    await source.close()
    await source.close()


def _written(folder, data):
    path = Path(folder, "part.gcode")
    path.write_bytes(data)
    return path


@given(data=st.text("GMTX10.;\n\r @", max_size=200).map(str.encode), block=st.integers(1, 40), ahead=st.integers(1, 3))
async def test_any_file_in_any_blocks_is_streamed_as_the_reader_reads_it(data, block, ahead):
    data = re.sub(rb"(?i)m\s*0*(?:[01]|25)(?!\d)", b"G0", data)  # what stops the stream has a test of its own
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(streamer, "BLOCK", block)
        patch.setattr(streamer, "AHEAD", ahead)
        path, left_out = _written(folder, data), []
        source = stream(path, left_out=left_out)
        await source.open()
        lines = await drain(source)
        expected = read_whole(data)
        refused = [each for each in expected if is_link_only(each[1]) or each[1][:1] == b"@"]
        assert sorted(lines + refused) == expected
        assert [(offset, command.encode()) for offset, command, _ in left_out] == refused
        await source.close()


async def test_forbidden_commands_of_a_file_are_reported(tmp_path):
    path, left_out = tmp_path / "part.gcode", []
    path.write_text("G28\nM110 N1\nm112\nM112\n@other\nm28 x\nG1 X1\nM1120\n")
    source = stream(path, left_out=left_out)
    await source.open()
    assert [command for _, command in await drain(source)] == [b"G28", b"G1 X1", b"M1120"]
    assert [each[:2] for each in left_out] == [
        (4, "M110 N1"), (12, "m112"), (17, "M112"), (22, "@other"), (29, "m28 x"),
    ]  # fmt: skip
    assert all(reason for _, _, reason in left_out)
    await source.close()


async def test_a_code_that_only_begins_like_m112_is_sent(tmp_path):
    path = tmp_path / "part.gcode"
    path.write_text("M1120\nM112\nM0112\nM 112\nG1 X1\n")
    source = stream(path)
    await source.open()
    assert [command for _, command in await drain(source)] == [b"M1120", b"G1 X1"]
    await source.close()


async def test_an_empty_file_ends_at_once(tmp_path):
    (tmp_path / "empty").touch()
    source = stream(tmp_path / "empty")
    await source.open()
    assert source.next_line() is None
    assert source.ended
    await source.close()


@pytest.mark.threads
async def test_a_starved_stream_wakes_the_wire_when_there_is_more(tmp_path, monkeypatch):
    monkeypatch.setattr(streamer, "BLOCK", 7)
    path, woken, disk = tmp_path / "part.gcode", [], Stalled()
    path.write_text("G1 X1\nG1 X2\n")
    source = stream(path, disk, woken)
    await source.open()
    assert source.next_line() == job_line(0, b"G1 X1")
    assert source.next_line() is None
    assert not source.attention.is_set(), "None is not the end"
    assert woken == []
    await asyncio.sleep(2)
    assert source.tally.underruns == 1
    disk.go_on()
    await asyncio.sleep(0.01)
    assert woken == [True]
    assert source.tally.starved == pytest.approx(2, abs=0.1)
    assert source.next_line() == job_line(6, b"G1 X2")
    assert source.next_line() is None
    disk.go_on()
    await asyncio.sleep(0.01)
    assert source.next_line() is None
    assert source.ended
    await source.close()


async def test_the_wire_is_not_woken_unless_it_was_starved(tmp_path, monkeypatch):
    monkeypatch.setattr(streamer, "BLOCK", 7)
    path, woken = tmp_path / "part.gcode", []
    path.write_text("G1 X1\n" * 10)
    source = stream(path, woken=woken)
    await source.open()
    await asyncio.sleep(0.1)
    assert woken == []
    await source.close()


async def test_lines_are_parsed_while_the_printer_waits_for_none(tmp_path, monkeypatch):
    path, looked = tmp_path / "a.gcode", []
    moves = [f"G1 X{at}" for at in range(3 * streamer.LINES_A_TURN)]
    special = 2 * streamer.LINES_A_TURN
    path.write_text("\n".join([*moves[:special], "M117 here", *moves[special:]]))
    source = stream(path, check=looked.append)
    await source.open()
    taken = [source.next_line() for _ in range(streamer.LINES_A_TURN)]
    await asyncio.sleep(0)
    with monkeypatch.context() as patch:
        patch.setattr(source, "_prepare", lambda: pytest.fail("the printer waits for it"))
        taken += [source.next_line() for _ in range(streamer.LINES_A_TURN)]
        await asyncio.sleep(0)
    assert not looked, "its turn has not come"
    taken.append(source.next_line())
    assert looked == [b"M117 here"]
    assert [line[1].decode() for line in taken] == [*moves[:special], "M117 here"]
    assert [command.decode() for _, command in await drain(source)] == moves[special:]
    assert (source.waits, source.left_out_count) == (0, 0)


async def test_no_more_is_read_ahead_than_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr(streamer, "BLOCK", 10)
    monkeypatch.setattr(streamer, "AHEAD", 3)
    path = tmp_path / "part.gcode"
    path.write_text("G1 X1\n" * 1000)
    source = stream(path)
    await source.open()
    await asyncio.sleep(0.1)
    assert len(source._blocks) == 3
    assert len(await drain(source)) == 1000
    await source.close()


async def test_a_disk_error_in_the_middle_ends_the_stream(tmp_path, monkeypatch):
    monkeypatch.setattr(streamer, "BLOCK", 7)
    path, read = tmp_path / "part.gcode", os.pread
    path.write_text("G1 X1\n" * 10)
    source = stream(path)

    def worn_out(fd, size, at):
        if at > 7:
            raise OSError(errno.EIO, "worn out")
        return read(fd, size, at)

    monkeypatch.setattr(os, "pread", worn_out)
    await source.open()
    await asyncio.wait_for(source.attention.wait(), 1)
    assert source.error.errno == errno.EIO
    await source.close()


async def test_a_file_that_becomes_shorter_during_its_print_is_an_error(tmp_path, monkeypatch):
    """Another file is written over it in place: what is left is not the whole print."""
    monkeypatch.setattr(streamer, "BLOCK", 7)
    monkeypatch.setattr(streamer, "AHEAD", 1)
    path = tmp_path / "part.gcode"
    path.write_text("G1 X1\n" * 10)
    source = stream(path)
    await source.open()
    os.truncate(path, 0)
    while source.error is None and not source.ended:
        source.next_line()
        await asyncio.sleep(0)
    assert str(source.error) == "[Errno 5] it has become shorter: 7 of 60 bytes are left"
    await source.close()


async def test_a_disk_error_at_the_beginning_is_raised(tmp_path, monkeypatch):
    def worn_out(*_):
        raise OSError(errno.EIO, "worn out")

    (tmp_path / "part.gcode").write_text("G1 X1\n")
    source = stream(tmp_path / "part.gcode")
    monkeypatch.setattr(os, "pread", worn_out)
    with pytest.raises(OSError, match="worn out"):
        await source.open()
    await source.close()


async def test_a_missing_file_is_raised(tmp_path):
    source = stream(tmp_path / "gone.gcode")
    with pytest.raises(FileNotFoundError):
        await source.open()
    await source.close()


@pytest.mark.parametrize("change", ["replaced", "deleted"])
async def test_a_file_deleted_during_its_print_is_printed_completely(tmp_path, monkeypatch, change):
    monkeypatch.setattr(streamer, "BLOCK", 7)
    monkeypatch.setattr(streamer, "AHEAD", 1)
    path = tmp_path / "part.gcode"
    path.write_text("G1 X1\n" * 10)
    source = stream(path)
    await source.open()
    if change == "replaced":
        (tmp_path / "new").write_text("G1 X2\n" * 10)
        (tmp_path / "new").rename(path)
    else:
        path.unlink()
    assert [command for _, command in await drain(source)] == [b"G1 X1"] * 10
    await source.close()


@pytest.mark.parametrize(
    ("line", "sent", "kind"),
    [
        ("M0", [], PauseJob),
        ("@pause", [], PauseJob),
        ("@cancel", [], CancelJob),
        ("M109 S60", [b"M104 S60"], HeatAndWait),
    ],
)
async def test_a_command_for_the_host_holds_the_stream_until_it_is_released(tmp_path, line, sent, kind):
    path = tmp_path / "part.gcode"
    path.write_text(f"G1 X1\n{line}\nG1 X2\n")
    source = stream(path, understand=partial(meaning, host_waits=True))
    await source.open()
    before = [source.next_line() for _ in range(3)]
    assert [each[1] for each in before if each] == [b"G1 X1", *sent]
    assert isinstance(source.barrier, kind)
    assert source.attention.is_set()
    assert not source.ended
    source.proceed()
    assert not source.attention.is_set()
    assert source.next_line()[1] == b"G1 X2"
    await source.close()


class Narrow:
    """A receiver that has room for short commands only, and refuses M486 with its text."""

    longest_command = 12
    compact = None

    def fit(self, command):
        return None if command.startswith(b"M486") else command[: self.longest_command].rstrip()


async def test_texts_are_fitted_and_unsafe_ones_reported(tmp_path):
    path = tmp_path / "texts.gcode"
    path.write_bytes(b"G1 X1\nM117 a long text\nM486 Abox\nG1 X2\n")
    left_out = []
    source = stream(path, left_out=left_out, receiver=Narrow)
    await source.open()
    assert await drain(source) == [(0, b"G1 X1"), (6, b"M117 a long"), (33, b"G1 X2")]
    assert source.left_out_count == 1
    reason = "this firmware does not know the command, or would take its text for commands"
    assert left_out == [(23, "M486 Abox", reason)]
    await source.close()


async def test_the_room_for_a_line_is_measured_for_each_line(tmp_path):
    path = tmp_path / "long.gcode"
    path.write_bytes(b"G1 X1 Y1 Z1\n" * 100)
    narrow = Narrow()
    source = stream(path, receiver=lambda: narrow)
    await source.open()
    assert source.next_line()
    narrow.longest_command = 5
    narrow.fit = lambda command: command
    while source.error is None:
        source.next_line()
        await asyncio.sleep(0.001)
    assert "has 11 characters, but the firmware reads 5" in str(source.error)
    await source.close()
