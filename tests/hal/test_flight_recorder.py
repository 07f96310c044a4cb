"""The last lines on the wire, as readable text."""

from collections import deque
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hal.flight_recorder import MAX_RECENT, RING_SIZE, RecentLines, find_recent_lines, to_lines, to_records
from hal.session_file import EVENT, HOST, PRINTER

WHOLE = b"echo:busy: processing\nok T:20.1 /0.0\r\n\nok\n"


def test_an_empty_ring_has_no_lines():
    assert to_lines([]) == []
    assert to_records([]) == []


def test_times_count_from_the_first_piece():
    assert to_records([(7.5, EVENT, b"open"), (9.0, HOST, b"M105\n")]) == [
        (0.0, EVENT, b"open"),
        (1.5, HOST, b"M105\n"),
    ]


@given(st.lists(st.integers(0, len(WHOLE)), max_size=6))
def test_a_line_split_between_two_reads_is_one(cuts):
    at = [0, *sorted(cuts), len(WHOLE)]
    ring = [(0.0, PRINTER, WHOLE[begin:end]) for begin, end in pairwise(at)]
    assert to_lines(ring) == ["< echo:busy: processing", "< ok T:20.1 /0.0", "< ok"]


def test_lines_are_ordered_by_their_end():
    ring = [(0.0, PRINTER, b"ok\nok T:2"), (0.1, HOST, b"N1 G28*18\nN2 G1 X1*0\n"), (0.2, PRINTER, b"0.1\nbegun")]
    assert to_lines(ring) == ["< ok", "> N1 G28*18", "> N2 G1 X1*0", "< ok T:20.1", "< begun"]


def test_events_are_hidden_and_control_characters_escaped():
    assert to_lines([(0.0, EVENT, b"open"), (0.1, PRINTER, b"\x1b[31mred\n")]) == ["< [31mred"]


# -- what is new since a time ------------------------------------------------------------------------------


def test_an_incomplete_line_is_returned_when_complete():
    ring = [(1.0, PRINTER, b"ok\nok T:2"), (2.0, HOST, b"N1 G28*18\n")]
    assert find_recent_lines(ring, 0.0) == RecentLines([("<", 1.0, "ok"), (">", 2.0, "N1 G28*18")], gap=False)
    ring += [(3.0, PRINTER, b"0."), (4.0, EVENT, b"reset"), (5.0, PRINTER, b"1\n")]
    assert find_recent_lines(ring, 2.0) == RecentLines([("<", 5.0, "ok T:20.1")], gap=False)
    assert find_recent_lines(ring, 5.0) == RecentLines([], gap=False)


@given(
    st.lists(
        st.tuples(st.sampled_from([HOST, PRINTER]), st.sampled_from([b"a\n", b"b", b"c\nd", b"\r\n"])), max_size=30
    ),
    st.lists(st.integers(0, 30), max_size=6),
)
def test_repeated_reads_return_each_line_once(entries, times):
    ring = [(float(at + 1), kind, data if kind == PRINTER else b"h\n") for at, (kind, data) in enumerate(entries)]
    polls = [0, *sorted(min(time, len(ring)) for time in times), len(ring)]
    parts = [find_recent_lines(ring[:end], float(begin)).lines for begin, end in pairwise(polls)]
    assert [line for part in parts for line in part] == find_recent_lines(ring, 0.0).lines


def test_lines_no_longer_in_memory_are_a_gap():
    ring = deque(((float(at), PRINTER, b"ok\n") for at in range(RING_SIZE + 10)), maxlen=RING_SIZE)
    assert find_recent_lines(ring, 0.0).gap
    assert find_recent_lines(ring, 8.0).gap
    assert not find_recent_lines(ring, 10.0).gap
    many = [(1.0, HOST, b"M105\n"), (2.0, PRINTER, b"x" * (MAX_RECENT + 1) + b"\n"), (3.0, HOST, b"M114\n")]
    assert find_recent_lines(many, 0.0) == RecentLines([(">", 3.0, "M114")], gap=True)
