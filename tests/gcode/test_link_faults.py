"""The link against a firmware model over a poor connection: the file arrives once, or a named error says why not.

`docs/link.md` has the figures.
"""

import random
from functools import partial

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gcode.dialect import MARLIN, UNKNOWN, Dialect
from gcode.errors import PrinterSilent
from gcode.link import HostLink
from gcode.outgoing import Ticket, job_line
from support.marlin import MarlinModel, valid
from support.poor_connection import BYTE_TIME, FAULTS, PoorConnection, moves
from support.walks import any_rates, check_arrived_once, count_nightly, count_walks, feed

# a seed rather than each draw from hypothesis: a print makes thousands of them
SEEDS = st.integers(0, 2**32).map(random.Random)
HARMLESS = ("delay", "lose reply", "delay reply", "slow printer", "command", "hold", "report", "busy")
"""What gives the firmware no reason to flush its buffer. An ok too many, or several urgent commands while the printer
does not read, put more bytes in flight than its receive buffer holds."""


def check(
    dialect: Dialect, rates: dict[str, float], chances: random.Random, *, lines: int = 60, **model_options
) -> PoorConnection:
    """Print a file; whatever happens, no line of it is missing, repeated, out of order or altered."""
    file = moves(lines, chances)
    connection = PoorConnection(HostLink(dialect, BYTE_TIME), MarlinModel(**model_options), rates, chances)
    connection.print(file)
    for wrong in connection.wrong:
        assert connection.model.lost, "one altered byte is always found"
        assert valid(wrong), "an overrun loses many bytes, and a checksum of one byte lets some of that pass"
    check_arrived_once(connection, file, b"G1 ")
    return connection


def mixture(chances: random.Random, lines: int = 60) -> PoorConnection:
    """Print with random faults, uses, firmware and window."""
    rates = any_rates(chances)
    return check(
        Dialect("any", window_lines=chances.randint(1, 4)), rates, chances, lines=lines,
        advanced_ok=chances.random() < 0.5, silent_repeats=chances.random() < 0.5, rx_size=chances.choice((64, 128)),
    )  # fmt: skip


# -- one fault at a time -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", [UNKNOWN, MARLIN], ids=["one line", "window"])
@pytest.mark.parametrize("fault", FAULTS)
@settings(max_examples=settings().max_examples // 3)
@given(chances=SEEDS)
def test_each_kind_of_fault_is_repaired(dialect: Dialect, fault: str, chances: random.Random):
    error = check(dialect, {fault: 0.05}, chances).link.error
    assume(not isinstance(error, PrinterSilent))  # three probes lost in a row: one print in some thousand
    assert error is None


@given(chances=SEEDS, window=st.integers(1, 4))
def test_only_sent_commands_are_executed_unless_a_line_is_damaged(chances: random.Random, window: int):
    connection = check(Dialect("any", window_lines=window), dict.fromkeys(HARMLESS, 0.02), chances)
    assert connection.model.executed_tails == []
    assert connection.model.lost == 0


# -- all of them ---------------------------------------------------------------------------------------------


@given(chances=SEEDS)
def test_any_mixture_of_faults_arrives_once_or_fails_by_name(chances: random.Random):
    mixture(chances)


def test_thousands_of_lines_arrive_through_any_mixture():
    totals = count_walks((seed, partial(mixture, random.Random(seed))) for seed in range(80))
    assert totals["lines accepted"] > 6_000
    assert totals["through"] > 75, "failing by name is the exception"


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(20))
def test_a_million_lines_arrive_through_any_mixture(part: int, record_property):
    totals = count_nightly(part, mixture, record_property)
    assert totals["through"] > 780


# -- tails ---------------------------------------------------------------------------------------------------


def tails(dialect: Dialect, fault: str, prints: int = 25) -> tuple[list[PoorConnection], float]:
    """Print with a fault on each fiftieth line; return the runs and the share of executed tails."""
    runs = [check(dialect, {fault: 0.02}, random.Random(seed), lines=200) for seed in range(prints)]
    return runs, sum(len(run.model.executed_tails) for run in runs) / sum(run.damaged for run in runs)


def test_an_executed_tail_is_the_end_of_a_sent_line():
    runs, share = tails(MARLIN, "drop")
    assert 0.05 < share < 0.35
    for run in runs:
        frames = [b"N%d %s*" % (number, command) for number, command in run.sent.items()]
        for tail in run.model.executed_tails:
            assert any(tail.rpartition(b"*")[0] + b"*" in frame for frame in frames)


def test_with_one_line_in_flight_only_an_altered_byte_makes_a_tail():
    assert tails(UNKNOWN, "drop")[1] == 0.0
    assert tails(UNKNOWN, "flip")[1] < 0.03


def test_fewer_lines_in_flight_make_fewer_tails():
    shares = [tails(Dialect("any", window_lines=window), "flip")[1] for window in (1, 2, 4)]
    assert shares == sorted(shares)
    assert shares[2] < 0.35


# -- what this found -----------------------------------------------------------------------------------------


def test_a_lost_echo_is_requested_again():
    link = HostLink(UNKNOWN)
    lines = iter([job_line(0, b"G1 X1"), job_line(6, b"G1 X2")])
    link.feed(lambda: next(lines, None))
    link.data_to_send(0.0)
    for at in (30.0, 60.0):  # neither the ok of line 1 nor the answer to the first echo arrives
        link.tick(at)
        assert link.data_to_send(at) == b"\nN99999999 M105*23\n"
        link.receive(b"Resend: %d\nok\n" % link.next_number, at)
        assert b"M118 nozzled sync %d*" % (at // 30) in link.data_to_send(at)
    link.receive(b"nozzled sync 2\r\nok\n", 60.1)
    assert link.place.lines == 1
    assert b"G1 X2" in link.data_to_send(60.2)


def test_an_echo_that_was_lost_leaves_the_window_as_it_was():
    link = HostLink(UNKNOWN)
    feed(link, [b"G1 X%d" % at for at in range(9)])
    link.data_to_send(0.0)
    link.tick(30.0)
    link.data_to_send(30.0)
    link.receive(b"Resend: 2\nok\n", 30.1)
    link.data_to_send(30.1)
    link.receive(b"ok\nok\n", 30.2)  # of line 1 after all, and of the echo without its text
    assert link.data_to_send(30.3).count(b"\n") == 1
    assert link.data_to_send(30.4) == b""


def test_a_clean_line_costs_no_resend_and_never_overruns_the_buffer():
    connection = check(MARLIN, {}, random.Random(1), lines=500)
    counters = connection.link.counters
    assert counters.resends == counters.timeouts == counters.stray_oks == 0
    assert connection.model.lost == connection.model.flushed == 0
    assert counters.lines_acknowledged == 503  # three come after every file


def test_commands_of_users_come_between_the_lines_at_once():
    connection = check(MARLIN, {"command": 0.05, "urgent": 0.05, "hold": 0.02}, random.Random(1), lines=300)
    assert len(connection.commands) > 30
    assert all(isinstance(ticket, Ticket) and ticket.replies for ticket in connection.commands)


def test_only_urgent_commands_are_sent_behind_a_probe():
    link = HostLink(MARLIN)
    feed(link, [b"G1 X1"])
    link.data_to_send(0.0)
    link.tick(30.0)
    link.send(Ticket(b"M117 later"))
    assert link.data_to_send(30.0) == b"\nN99999999 M105*23\n"
    link.send(Ticket(b"M104 S0", urgent=True))
    assert b"M104 S0" in link.data_to_send(30.1)
    assert link.data_to_send(30.2) == b""
    link.receive(b"Resend: 1\nok\nResend: 1\nok\n", 30.3)
    assert b"M117 later" in link.data_to_send(30.3)
