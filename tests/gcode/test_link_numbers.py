"""Line numbers restart before a firmware overflows, and no line is lost or repeated."""

import random
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcode import dialect
from gcode.dialect import KLIPPER, MARLIN, REPETIER, SMOOTHIE, Dialect
from gcode.errors import PrinterReset, RemoteProtocolError
from gcode.flight import FILLERS, HISTORY, MAX_WIRE_NUMBER, RENUMBER_ABOVE, START_NUMBER
from gcode.framing import frame
from gcode.link import HostLink
from gcode.outgoing import Ticket
from support.marlin import MarlinModel
from support.poor_connection import BYTE_TIME, PoorConnection, moves
from support.walks import FakeLogbook, Hosts, any_rates, feed

FIRST = MAX_WIRE_NUMBER - 20


def link_at(number, spoken=MARLIN, record_line=None):
    link = HostLink(spoken, record_line=record_line)
    link._flight.next = link._flight.replay = number
    return link


def wire(link, now=0.0):
    return [tuple(line[1:].rpartition(b"*")[0].split(b" ", 1)) for line in link.data_to_send(now).splitlines() if line]


def answer_probe(link):
    """Answer the probe: all lines have arrived."""
    link.receive(b"Resend: %d\nok\n" % link.next_on_wire, 0.1)
    return wire(link, 0.1)


def link_after_m110(spoken=MARLIN):
    """Return a link that has sent M110 in the middle of a print, and has no answer yet."""
    link = link_at(MAX_WIRE_NUMBER - 1, spoken)
    feed(link, [b"G1 X%d" % n for n in range(99)], keep_place=True)
    wire(link)
    while not (lines := wire(link, 0.1)):
        link.receive(b"ok\n", 0.1)
    assert lines == [(b"99999999", b"M105")]
    assert wire(link, 0.1) == []
    lines = answer_probe(link)
    assert lines == [(b"1000", b"M110 N1000")]
    return link


def test_every_firmware_counts_beyond_the_limit_of_numbers():
    for each in (*dialect.DIALECTS, dialect.UNKNOWN):
        assert each.counting.highest > MAX_WIRE_NUMBER + HISTORY
        assert each.longest_command == each.room(MAX_WIRE_NUMBER + 1000), "a number has six digits"


def test_in_a_print_m110_is_sent_alone_and_harmless_lines_follow():
    link = link_after_m110()
    lines = []
    for _ in range(FILLERS + 1):
        link.receive(b"ok\n", 0.2)
        lines.append(wire(link, 0.2))
    assert lines[: FILLERS - 1] == [[(b"100%d" % n, b"M105")] for n in (1, 2, 3)], "one at a time"
    assert lines[FILLERS - 1] == [(b"1004", b"M105"), *((b"100%d" % n, b"G1 X%d" % (n - 1)) for n in (5, 6, 7))]
    assert [number for number, _ in lines[FILLERS]] == [b"1008"]


@pytest.mark.parametrize("spoken", [MARLIN, SMOOTHIE])
def test_a_job_begins_with_small_numbers(spoken):
    link = link_at(RENUMBER_ABOVE + 5, spoken)
    feed(link, [b"G1 X1"], keep_place=False)
    assert wire(link) == [(b"99999999", b"M105")]
    assert answer_probe(link) == [(b"1000", b"M110 N1000")]


def test_numbers_continue_after_few_lines():
    link = link_at(RENUMBER_ABOVE - 5)
    feed(link, [b"G1 X1"], keep_place=False)
    assert wire(link) == [(b"%d" % (RENUMBER_ABOVE - 5), b"G1 X1")]


def test_numbers_restart_on_a_printer_idle_for_years_too():
    link = link_at(MAX_WIRE_NUMBER)
    link.send(Ticket(b"M105"))
    assert wire(link) == [(b"99999999", b"M105")]
    assert answer_probe(link) == [(b"1000", b"M110 N1000")]


def test_a_missing_line_is_sent_before_numbers_restart():
    """A doubled `ok` stood for it, and a firmware accepts M110 whatever line is missing before it."""
    link = link_at(MAX_WIRE_NUMBER - 1)
    feed(link, [b"G1 X1", b"G1 X2"], keep_place=True)
    wire(link)
    link.receive(b"ok\nok\n", 0.1)
    wire(link, 0.1)
    link.receive(b"Resend: %d\nok\n" % MAX_WIRE_NUMBER, 0.1)
    link.tick(1.0)
    assert wire(link, 1.0) == [(b"900000", b"G1 X2")]
    link.receive(b"ok\n", 1.1)
    assert wire(link, 1.1) == [(b"99999999", b"M105")], "probed again"


def test_a_firmware_that_counts_nothing_is_probed_once():
    link = link_at(MAX_WIRE_NUMBER)
    link.send(Ticket(b"M105"))
    wire(link)
    link.receive(b"ok T:20.0 /0.0\n", 0.1)
    assert wire(link, 0.1) == [(b"1000", b"M110 N1000")]


def test_a_firmware_that_counts_modulo_gets_no_m110():
    link = link_at(MAX_WIRE_NUMBER - 1, REPETIER)
    feed(link, [b"G1 X%d" % n for n in range(9)], keep_place=True)
    lines = wire(link)
    while not link.idle:
        number = lines[-1][0]
        link.receive(b"ok %s\n" % number, 0.1)
        lines += wire(link, 0.1)
    assert [command for _, command in lines] == [b"G1 X%d" % n for n in range(9)]
    numbers = [int(number) for number, _ in lines]
    assert [number % 65536 for number in numbers] == [(MAX_WIRE_NUMBER - 1 + n) % 65536 for n in range(9)]
    assert max(numbers[1:]) < 2 * 65536
    assert link.place.lines == 9


def test_a_firmware_without_line_numbers_gets_no_m110():
    link = link_at(MAX_WIRE_NUMBER, KLIPPER)
    feed(link, [b"G1 X1"], keep_place=True)
    assert link.data_to_send(0.0) == b"G1 X1\n"


def test_a_damaged_m110_is_repeated():
    link = link_after_m110()
    number = link._flight.last_renumbering
    link.receive(b"Error:checksum mismatch\nResend: %d\nok\n" % number, 0.2)
    link.tick(5.0)
    assert wire(link, 5.0) == [(b"1000", b"M110 N1000")]


def test_a_lost_ok_of_m110_is_recovered():
    link = link_after_m110()
    link.tick(200.0)
    assert wire(link, 200.0) == [(b"99999999", b"M105")]
    link.receive(b"Error:Line Number\nResend: 1001\nok\n", 200.1)
    link.tick(203.0)
    assert wire(link, 203.0)[0][0] == b"1001"


def test_a_misread_m110_is_repeated():
    """Smoothieware does not check the checksum of M110."""
    link = link_after_m110(SMOOTHIE)
    link.receive(b"ok\n", 0.2)
    assert wire(link, 0.2) == [(b"1001", b"M105")]
    link.receive(b"rs N1009\n", 0.3)
    link.tick(5.0)
    assert wire(link, 5.0) == [(b"1000", b"M110 N1000")]


def test_a_reset_board_is_not_mistaken_for_restarted_numbers():
    link = link_after_m110()
    for at in (0.2, 0.6):
        link.receive(b"Resend: 1\nok\n", at)
        link.tick(at + 0.3)
        wire(link, at + 0.3)
    assert isinstance(link.error, PrinterReset)


# -- over a poor connection -------------------------------------------------------------------------------------


@given(chances=st.integers(0, 2**32).map(random.Random))
def test_restarting_numbers_on_a_bad_connection_neither_loses_nor_repeats_lines(chances):
    rates = any_rates(chances, (0.0, 0.02, 0.1))
    link = link_at(FIRST, Dialect("any", window_lines=chances.randint(1, 4)))
    link._wire.byte_time = BYTE_TIME
    model = MarlinModel(advanced_ok=chances.random() < 0.5, silent_repeats=chances.random() < 0.5)
    model.last = FIRST - 1
    file = moves(40, chances)
    connection = PoorConnection(link, model, rates, chances)
    if chances.random() < 0.8:
        link.feed = partial(link.feed, keep_place=True)  # else numbers restart with the job
    connection.print(file)
    if any(connection.wrong):
        return  # an overrun: the checksum is of one byte
    job = [command for number, command in connection.accepted if command.startswith(b"G1 ")]
    if link.error is None:
        assert job == file
        assert max(number for number, _ in connection.accepted) <= MAX_WIRE_NUMBER + 4 + len(file)
    else:
        assert isinstance(link.error, RemoteProtocolError)
        assert job == file[: len(job)]


# -- from host to host -----------------------------------------------------------------------------------------


@given(kills=st.lists(st.integers(1, 60), min_size=1, max_size=6), cut=st.integers(0, 40), late=st.booleans())
def test_the_next_host_continues_at_the_right_place(kills, cut, late):
    """A host is killed after some turns, in the middle of a write; the firmware may have executed the line by then."""
    model, logbook = MarlinModel(), FakeLogbook()
    model.last = MAX_WIRE_NUMBER - 13
    hosts = Hosts(
        model,
        [b"G1 X%d" % n for n in range(40)],
        link_at(MAX_WIRE_NUMBER - 12, MARLIN, logbook.note),
        logbook,
        lambda: HostLink(MARLIN, record_line=logbook.note),
    )
    hosts.walk([(turns, cut, False) for turns in kills], late=late)
    assert model.last < MAX_WIRE_NUMBER


def test_the_snapshot_has_the_numbers_on_the_wire():
    logbook = FakeLogbook()
    link = link_at(MAX_WIRE_NUMBER - 1, MARLIN, logbook.note)
    feed(link, [b"G1 X%d" % n for n in range(9)], keep_place=True)
    link.data_to_send(0.0)
    link.receive(b"ok\n" * 4, 0.0)
    link.data_to_send(0.0)
    answer_probe(link)
    while link._flight.lines:
        link.receive(b"ok\n", 0.0)
        link.data_to_send(0.0)
    after = HostLink(MARLIN)
    after.reattach(logbook.snapshot(), 1.0)
    assert after.data_to_send(1.0) == b"\n" + frame(99_999_999, b"M105")
    assert (after.next_number, after.next_on_wire) == (link.next_number, link.next_on_wire)
    assert after.next_on_wire < START_NUMBER + 20
