"""Session files: read back as written; of a truncated file, all that is there."""

import contextlib
import gzip
import json
import os
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal import session_file
from hal.errors import RecordingError
from hal.session_file import EVENT, HOST, PRINTER, Record, SessionEncoder, SessionHeader, read
from support.recordings import transcript
from support.transcripts import TRANSCRIPTS

HEADER = SessionHeader("2026-11-22T12:00:00+00:00", "sim", 115200, "1.2", {"poll_interval": 2.0, "window_lines": 4})
RECORDS = [Record(n / 8, HOST if n % 2 else PRINTER, b"N%d G1 X%d\n" % (n, n)) for n in range(40)]

times = st.integers(0, 10**11).map(lambda micros: micros / 10**6)
pieces = st.builds(Record, times, st.sampled_from([HOST, PRINTER, EVENT]), st.binary(max_size=60))
flushes = st.lists(st.lists(pieces, max_size=6), max_size=6)


def written(header, *groups):
    encoder = SessionEncoder()
    return encoder.header(header) + b"".join(map(encoder.records, groups)) + encoder.end()


@pytest.fixture
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("session") / "session.jsonl.gz"


@given(groups=flushes)
def test_a_written_session_is_read_back(tmp_path_factory, groups):
    path = tmp_path_factory.mktemp("session") / "a"
    path.write_bytes(written(HEADER, *groups))
    session = read([path])
    assert session.header == HEADER
    assert session.records == [record for group in groups for record in group]
    assert session.why_cut == ""


@given(groups=flushes, data=st.data())
def test_a_truncated_file_is_read_up_to_the_cut_and_marked(tmp_path_factory, groups, data):
    path = tmp_path_factory.mktemp("session") / "a"
    whole = written(HEADER, *groups)
    cut = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(whole[:cut])
    if cut < len(SessionEncoder().header(HEADER)):
        with contextlib.suppress(RecordingError):
            assert read([path]).records == []
        return
    session = read([path])
    everything = [record for group in groups for record in group]
    assert session.records == everything[: len(session.records)]
    assert session.why_cut


def test_a_crash_loses_nothing_that_was_flushed(file):
    encoder = SessionEncoder()
    file.write_bytes(encoder.header(HEADER) + encoder.records(RECORDS[:30]) + encoder.records(RECORDS[30:])[:-9])
    session = read([file])
    assert session.records[:30] == RECORDS[:30]
    assert session.why_cut == "the file ends too early"


def test_any_gzip_reader_shows_a_file(file):
    file.write_bytes(written(HEADER, [Record(1.5, PRINTER, b'ok "\\\xb0\xff\n')]))
    first, second = gzip.decompress(file.read_bytes()).decode("ascii").splitlines()
    assert json.loads(first) == {"format": "nozzled session", "version": 1, **asdict(HEADER)}
    assert second == '[1.500000,"<","ok \\"\\\\\\u00b0\\u00ff\\n"]'


def test_parts_are_read_as_one(tmp_path):
    for number, group in enumerate((RECORDS[:10], RECORDS[10:20], RECORDS[20:]), 1):
        (tmp_path / str(number)).write_bytes(written(replace(HEADER, part=number), group))
    paths = [tmp_path / name for name in "123"]
    assert read(paths).records == RECORDS
    assert read(paths[1:]).records == RECORDS[10:]
    with pytest.raises(RecordingError, match="/3: not part 2 of the session in "):
        read([paths[0], paths[2]])


def test_a_part_of_another_session_is_refused(tmp_path):
    (tmp_path / "1").write_bytes(written(HEADER, RECORDS))
    (tmp_path / "2").write_bytes(written(replace(HEADER, part=2, date="2026-11-23T12:00:00+00:00"), RECORDS))
    with pytest.raises(RecordingError, match="/2: not part 2 of the session in "):
        read([tmp_path / "1", tmp_path / "2"])


def header(**changes):
    return json.dumps({"format": "nozzled session", "version": 1, **asdict(HEADER), **changes})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not a recording, or cut off in its first line"),
        ("[1, 2]\n", "not a recording of a session"),
        ('{"format": "else"}\n', "not a recording of a session"),
        ("[" * 100_000 + "\n", "not a recording of a session"),
        (header(version=2) + "\n", "a recording of version 2; this program reads version 1"),
        (header(**{"\x1b[2J": 1}) + "\n", r"its header has .* '\\x1b\[2J'"),
        (header(surprise=1) + "\n", "its header has missing or unknown fields"),
        ('{"format": "nozzled session", "version": 1}\n', "its header has missing or unknown fields"),
        (header(part="1") + "\n", "in its header, part is '1'"),
        (header(settings=[]) + "\n", r"in its header, settings is \[\]"),
        (header() + "\n[1]\n", "is not a record"),
        (header() + '\n[1,"<",5]\n', "is not a record"),
        (header() + '\n[1,"<","\\u0100"]\n', "is not a record"),
        (header() + '\n[1,"?",""]\n', "is not a record of this version"),
        (header() + '\n[NaN,"<",""]\n', "is not a record of this version"),
        (header() + f'\n[1{"0" * 400},"<",""]\n', "is not a record"),
    ],
)
def test_a_file_that_is_no_recording_is_refused_with_the_reason(file, text, reason):
    file.write_bytes(gzip.compress(text.encode()))
    with pytest.raises(RecordingError, match=reason):
        read([file])


@given(raw=st.binary(max_size=200))
def test_random_bytes_are_refused(tmp_path_factory, raw):
    path = tmp_path_factory.mktemp("session") / "a"
    path.write_bytes(raw)
    with pytest.raises(RecordingError):
        read([path])


def test_a_missing_file_is_named(file):
    with pytest.raises(RecordingError, match=f"cannot read {file}: No such file"):
        read([file])


def test_a_damaged_end_is_reported(file):
    raw = bytearray(written(HEADER, RECORDS))
    raw[-8] ^= 1  # the checksum over everything
    file.write_bytes(raw)
    with pytest.raises(RecordingError, match="cut off in its first line"):
        read([file])  # all of it is one piece, which cannot be trusted
    big = [Record(float(n), PRINTER, os.urandom(60)) for n in range(3000)]
    raw = bytearray(written(HEADER, big))
    raw[-8] ^= 1
    file.write_bytes(raw)
    session = read([file])
    assert session.why_cut == "the file is damaged"
    assert 0 < len(session.records) < len(big)
    assert session.records == big[: len(session.records)]


@pytest.mark.parametrize("tail", [bytes(9), bytes(4096), bytes(range(255, 100, -1))])
def test_a_power_cut_that_leaves_a_bad_tail_loses_nothing_that_was_flushed(file, tail):
    encoder = SessionEncoder()
    file.write_bytes(encoder.header(HEADER) + encoder.records(RECORDS) + tail)
    session = read([file])
    assert session.records == RECORDS
    assert session.why_cut == "the file is damaged"


def test_a_compression_bomb_is_read_up_to_a_limit(file, monkeypatch):
    monkeypatch.setattr(session_file, "MAX_TEXT", 1000)
    file.write_bytes(written(HEADER, [*RECORDS, Record(9.0, PRINTER, b" " * 10**6)]))
    session = read([file])
    assert session.why_cut
    assert session.records == RECORDS[: len(session.records)]
    assert 0 < len(session.records) < 40


@pytest.mark.parametrize("name", sorted(path.name for path in TRANSCRIPTS.glob("*.txt")))
def test_recorded_dialogues_survive_the_format(file, name):
    session = transcript(name)
    file.write_bytes(written(session.header, session.records))
    assert read([file]) == session
    assert len(session.records) > 5
