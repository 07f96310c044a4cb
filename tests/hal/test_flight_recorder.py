"""The last pieces on the line, as a person reads them."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hal.flight_recorder import lines, records
from hal.session_file import EVENT, HOST, PRINTER

WHOLE = b"echo:busy: processing\nok T:20.1 /0.0\r\n\nok\n"


def test_nothing_was_said():
    assert lines([]) == []
    assert records([]) == []


def test_times_count_from_the_first_piece():
    assert records([(7.5, EVENT, b"open"), (9.0, HOST, b"M105\n")]) == [(0.0, EVENT, b"open"), (1.5, HOST, b"M105\n")]


@given(st.lists(st.integers(0, len(WHOLE)), max_size=6))
def test_what_is_cut_between_two_reads_is_one_line(cuts):
    at = [0, *sorted(cuts), len(WHOLE)]
    ring = [(0.0, PRINTER, WHOLE[begin:end]) for begin, end in pairwise(at)]
    assert lines(ring) == ["< echo:busy: processing", "< ok T:20.1 /0.0", "< ok"]


def test_what_the_host_says_meanwhile_comes_before_a_line_that_ends_later():
    ring = [(0.0, PRINTER, b"ok\nok T:2"), (0.1, HOST, b"N1 G28*18\nN2 G1 X1*0\n"), (0.2, PRINTER, b"0.1\nbegun")]
    assert lines(ring) == ["< ok", "> N1 G28*18", "> N2 G1 X1*0", "< ok T:20.1", "< begun"]


def test_events_are_not_for_people_and_control_characters_do_not_act():
    assert lines([(0.0, EVENT, b"open"), (0.1, PRINTER, b"\x1b[31mred\n")]) == ["< [31mred"]
