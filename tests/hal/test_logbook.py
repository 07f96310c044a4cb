import errno
import os

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gcode.framing import frame
from gcode.link import HISTORY, Sent
from gcode.modes import Modes
from gcode.outgoing import JobPlace, Ticket
from hal.logbook import HALF_SIZE, MAX_FRAME, MAX_LONG_FRAME, UNREADABLE, Logbook

FEEDRATES = st.sampled_from([b"", b"1500", b"7200.5"])


def line(number: int, command: bytes = b"G1 X1") -> Sent:
    return number, frame(number, command), number, number * 10, None


def test_the_next_host_reads_the_last_lines_sent(tmp_path):
    first = Logbook(tmp_path / "logbook")
    modes = Modes(relative_e=True, inches=False, feedrate=b"1200", tool=1, fan=77, homed=True)
    for number in range(1, 300):
        first.note(line(number), max(0, number - 4), modes)
    first.note((300, frame(300, b"M105"), -1, -1, Ticket(b"M105", step=5)), 296, modes)
    first.close()
    left = Logbook(tmp_path / "logbook").snapshot()
    assert [sent[0] for sent in left.sent] == list(range(300 - HISTORY + 1, 301))
    assert left.sent[:-1] == [line(number) for number in range(300 - HISTORY + 1, 300)]
    assert (left.answered, left.place, left.fed) == (296, JobPlace(296, 2960), JobPlace(299, 2990))
    assert left.modes == modes
    assert (left.sent[-1][1], left.sent[-1][4].command, left.sent[-1][4].step) == (frame(300, b"M105"), b"M105", 5)


@given(
    modes=st.builds(
        Modes,
        relative=st.booleans(),
        relative_e=st.booleans(),
        inches=st.sampled_from([None, False, True]),
        feedrate=FEEDRATES,
        tool=st.sampled_from([None, 0, 99]),
        fan=st.sampled_from([None, 0, 255]),
        homed=st.booleans(),
    )
)
def test_modes_are_read_back(modes):
    logbook = Logbook()
    logbook.note(line(1), 0, modes)
    assert logbook.snapshot().modes == modes


def test_a_logbook_without_frames_cannot_be_continued():
    logbook = Logbook()
    assert logbook.snapshot() is None
    logbook.note(line(1), 0, Modes())
    logbook.begin()
    assert logbook.snapshot() is None


def test_a_frame_too_long_for_the_logbook_prevents_reattaching():
    logbook = Logbook()
    logbook.note(line(1, b"M117 " + b"x" * MAX_LONG_FRAME), 0, Modes())
    logbook.note(line(2), 0, Modes())
    assert logbook.snapshot() is None  # line 1 may be asked for
    logbook.note(line(3), 1, Modes())
    assert [sent[0] for sent in logbook.snapshot().sent] == [2, 3]


@settings(max_examples=50)
@given(cut=st.integers(0, 159), byte=st.integers(0, 255))
def test_a_half_written_frame_does_not_count(cut, byte):
    logbook = Logbook()
    for number in range(1, 10):
        logbook.note(line(number), number - 1, Modes())
    at = 2 * HALF_SIZE + 10 * 160
    logbook.note(line(10), 9, Modes())
    logbook._map[at + cut : at + 160] = bytes(160 - cut)  # as if killed there, in memory that was empty
    left = logbook.snapshot()
    assert left.sent[-1][0] in (9, 10)
    assert left.sent[-1] == line(left.sent[-1][0])


@example(snapshots=[{}], cut=1)
@given(
    snapshots=st.lists(st.dictionaries(st.text(max_size=5), st.integers(), max_size=4), min_size=1), cut=st.integers(0)
)
def test_a_half_written_snapshot_leaves_the_previous_one(tmp_path_factory, snapshots, cut):
    path = tmp_path_factory.mktemp("snapshot") / "logbook"
    logbook = Logbook(path)
    for snapshot in snapshots:
        assert logbook.write(snapshot)
    before = bytes(logbook._map)
    logbook.write({"the": "last"})
    after = bytes(logbook._map)
    differ = [at for at, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    for at in differ[cut % (len(differ) + 1) :]:
        logbook._map[at] = before[at]
    logbook.close()
    assert Logbook(path).read() in (snapshots[-1], {"the": "last"})


@pytest.mark.parametrize("length", [MAX_FRAME, MAX_FRAME + 1, 200, MAX_LONG_FRAME])
def test_a_long_frame_is_stored_completely(tmp_path, length):
    logbook = Logbook(tmp_path / "logbook")
    sent = [line(1), line(2), line(3)]
    number, raw, ordinal, offset, ticket = sent[1]
    sent[1] = (number, raw + b"x" * (length - len(raw)), ordinal, offset, ticket)
    for each in sent:
        logbook.note(each, 0, None)
    logbook.close()
    left = Logbook(tmp_path / "logbook").snapshot()
    assert [each[:2] for each in left.sent] == [each[:2] for each in sent]


def test_the_rest_of_an_older_frame_is_ignored():
    logbook = Logbook()
    for number in (1, 1 + HISTORY):
        logbook.note(line(number, b"M117 " + b"x" * (200 if number == 1 else MAX_LONG_FRAME)), 0, None)
    assert logbook.snapshot() is None


@pytest.mark.parametrize("text", [b"\x81\xa1a\x01", b"[1]", b"nonsense", b"[" * 20000])
def test_an_unknown_format_is_not_mistaken_for_no_snapshot(text, monkeypatch):
    book = Logbook()
    monkeypatch.setattr("json.dumps", lambda *_, **__: text.decode("latin-1"))
    book.write({})
    assert book.read() == UNREADABLE


def test_an_oversized_snapshot_leaves_none():
    logbook = Logbook()
    assert logbook.write({"a": 1})
    assert not logbook.write({"a": "x" * HALF_SIZE})
    assert logbook.read() is None


def test_a_symbolic_link_is_not_followed(tmp_path):
    (tmp_path / "logbook").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        Logbook(tmp_path / "logbook")


def test_its_memory_is_allocated_before_use(tmp_path):
    """Where the file system is full, the first frame would end the process by SIGBUS."""
    logbook = Logbook(tmp_path / "logbook")
    status = (tmp_path / "logbook").stat()
    assert status.st_blocks * 512 >= status.st_size
    logbook.close()


def test_a_full_file_system_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        Logbook(tmp_path / "logbook")


def full(_fd, _offset, _length):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_two_daemons_do_not_share_a_logbook(tmp_path):
    path = tmp_path / "logbook"
    logbook = Logbook(path)
    logbook.write({"job": 7})
    with pytest.raises(OSError, match="another daemon of this user uses it"):
        Logbook(path)
    logbook.close()
    following = Logbook(path)
    assert following.read() == {"job": 7}
    following.close()
