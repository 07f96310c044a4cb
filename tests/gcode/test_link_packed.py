"""Packed lines against a decoder over a poor connection: the file arrives once, or a named error says why not.

`docs/dense-wire.md` has the figures.
"""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcode import packing
from gcode.dialect import MARLIN, Dialect
from gcode.errors import PrinterReset
from gcode.link import HostLink
from gcode.meatpack import pack
from gcode.outgoing import LinkNotice, Ticket
from gcode.packing import BEGIN, DOUBT_S, RESET, Packer, decoder_state, text_on_wire
from support.marlin import valid
from support.packed_connection import PackedConnection, PackedMarlin, compact
from support.poor_connection import BYTE_TIME, FAULTS, moves
from support.walks import FakeLogbook, Hosts, any_rates, check_arrived_once, count_nightly, feed


def check(
    dialect: Dialect, rates: dict[str, float], chances: random.Random, *, lines: int = 60, **options
) -> PackedConnection:
    file = [compact(each) for each in moves(lines, chances)]
    connection = PackedConnection(HostLink(dialect, BYTE_TIME), PackedMarlin(**options), rates, chances)
    with pytest.MonkeyPatch.context() as patched:
        if chances.random() < 0.5:  # lines go packed for ever, and get all the damage
            patched.setattr(Packer, "give_up", lambda _packer, _why: None)
        connection.print(file)
    assert all(map(valid, connection.wrong))
    check_arrived_once(connection, file, b"G1X")
    return connection


def mixture(chances: random.Random, lines: int = 60) -> PackedConnection:
    rates = any_rates(chances)
    dialect = Dialect("any", window_lines=chances.randint(1, 4), compact="")
    return check(
        dialect, rates, chances, lines=lines, advanced_ok=chances.random() < 0.5,
        silent_repeats=chances.random() < 0.5, rx_size=chances.choice((64, 128)), prusa=chances.random() < 0.5,
        usb=chances.random() < 0.5,
    )  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_each_kind_of_fault_is_repaired(fault):
    for seed in range(4):
        connection = check(MARLIN, {fault: 0.05}, random.Random(seed))
        assert connection.link.error is None


@given(seed=st.integers(0, 2**32))
def test_any_mixture_of_faults_arrives_once_or_fails_by_name(seed):
    mixture(random.Random(seed), lines=15)


def test_a_good_connection_stays_packed():
    connection = check(MARLIN, {}, random.Random(1), lines=200)
    assert connection.link.counters.resends == 0
    assert connection.model.seen_at_once == [], "what goes packed looks like no emergency"


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(20))
def test_a_million_lines_arrive_through_any_mixture(part, record_property):
    totals = count_nightly(part, mixture, record_property)
    assert totals["through"] > 760


# -- what is the decoder's own -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_an_unnoticed_reset_fails_by_name(seed):
    """After the reset the firmware unpacks nothing and counts from 0. It ignores packed lines; the probe shows that."""
    connection = PackedConnection(HostLink(MARLIN, BYTE_TIME), PackedMarlin(), {}, random.Random(seed))
    execute, resets = connection.model.execute_one, [0]

    def execute_one() -> None:
        execute()
        if len(connection.model.accepted) >= 30 and resets:
            connection.model.last = resets.pop()
            connection.model.forget_orders()

    connection.model.execute_one = execute_one
    connection.print([compact(each) for each in moves(60, random.Random(seed))])
    assert isinstance(connection.link.error, PrinterReset)
    assert {tail[:5] for tail in connection.model.executed_tails} <= {b"M105*"}, "what is no text is no command"


@given(
    kills=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 90), st.booleans()), min_size=1, max_size=4),
    late=st.booleans(), usb=st.booleans(), prusa=st.booleans(),
)  # fmt: skip
def test_the_next_host_continues_in_any_state_of_the_decoder(kills, late, usb, prusa):
    """A host is killed in the middle of a write; the next host continues plain, or packed again."""
    model, logbook = PackedMarlin(usb=usb, prusa=prusa), FakeLogbook()
    model.receive(BEGIN)
    model.out.clear()

    def begin() -> HostLink:
        link = HostLink(MARLIN, record_line=logbook.note)
        link.assume_packing()
        return link

    def ready(link: HostLink) -> None:
        model.receive(BEGIN)
        link.pack()

    first = HostLink(MARLIN, record_line=logbook.note)
    first.pack()
    Hosts(model, [b"G1X%d.%dY.5" % (n, n) for n in range(40)], first, logbook, begin, ready).walk(kills, late=late)
    assert model.executed_tails == []


def fed(*commands, dialect=MARLIN):
    link = HostLink(dialect)
    link.pack()
    return feed(link, commands)


def test_the_window_counts_what_the_receive_buffer_holds():
    """Three of these lines have more than 127 bytes; packed, four have fewer."""
    link = fed(*[b"G1X111.111Y111.111E11.11111F11111"] * 9)
    out = link.data_to_send(0.0)
    assert text_on_wire(out).count(b"\n") == 4
    assert len(text_on_wire(out)) > 127 > len(out) == link._flight.bytes


def test_a_text_that_packing_makes_longer_waits_for_room():
    text = b"M117 " + b"y" * 70
    out = fed(b"G1X1", text, b"G1X2").data_to_send(0.0)
    assert text_on_wire(out).count(b"\n") == 2
    assert 110 < len(out) <= 127
    assert b"y" not in fed(b"G1X111.111Y111.111E11.11111F11111", text).data_to_send(0.0)


def test_commands_that_end_a_wait_are_sent_unpacked_for_the_emergency_parser():
    dialect = Dialect("any", window_lines=4, urgent_if_parser=frozenset({"M108"}))
    link, model = fed(b"M109 S200", b"G1X1", dialect=dialect), PackedMarlin()
    model.receive(BEGIN + link.data_to_send(0.0))
    link.send(Ticket(b"M108", urgent=True))
    out = link.data_to_send(0.1)
    assert out.startswith(RESET + b"\nN3 M108*")
    assert out.endswith(b"\n" + BEGIN)
    model.receive(out)
    assert model.seen_at_once == ["M108"]
    for _ in range(3):
        model.execute_one()
    assert model.accepted == [b"M109 S200", b"G1X1", b"M108"]
    assert model.out.endswith(b"[MP] PV01 ON ESP\nok\nok\nok\n")


@given(st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60), max_size=30))
def test_no_packed_bytes_look_like_an_emergency_command(texts):
    model = PackedMarlin()
    for number, text in enumerate(texts, 1):
        model.arrive(pack(b"N%d %s*%d\n" % (number, text.encode(), number)))
    for number in range(100):
        model.arrive(pack(b"N%dG1X%d.0%d*%d\n" % (number, number, 7 * number, number % 256)))
    assert model.seen_at_once == []


def test_a_decoder_in_a_wrong_state_is_corrected_and_finally_given_up():
    link = fed(*[b"G1X%d" % n for n in range(40)])
    for doubts in range(1, packing.MAX_DOUBTS + 1):
        now, last = 10.0 * doubts, doubts == packing.MAX_DOUBTS
        link.data_to_send(now)
        assert link.receive(b"[MP] PV01 OFF ESP\n", now) == [decoder_state(b"[MP] PV01 OFF ESP")]
        assert link.deadline == now + DOUBT_S
        events = link.tick(now + DOUBT_S)
        assert [type(each) for each in events] == ([LinkNotice] if last else [])
        probe = link.data_to_send(now + DOUBT_S)
        assert probe.startswith(RESET + b"\nN99999999 M105*"), "what has become of the lines in flight?"
        link.receive(b"[MP] PV01 OFF ESP\nResend: %d\nok\n" % (4 * doubts - 3), now + 1)
        link.tick(now + 2)
        again = link.data_to_send(now + 2)
        assert again.startswith(RESET + b"\n" if last else BEGIN)
        assert text_on_wire(again).lstrip(b"\n").startswith(b"N%d" % (4 * doubts - 3))
        link.receive(b"ok\n" * 4, now + 2)
    assert link.data_to_send(99.0).startswith(b"N"), "plain from here on"


def test_a_momentarily_wrong_state_is_ignored():
    link = fed(b"G1X1", b"G1X2")
    link.data_to_send(0.0)
    link.receive(b"[MP] PV01 OFF ESP\n [MP] PV01 ON NSP\n [MP] PV01 ON ESP\n", 1.0)
    assert link.deadline > 1.0 + DOUBT_S


def test_a_line_refused_repeatedly_is_sent_unpacked():
    link, notices, now = fed(b"G1X1", b"G1X2"), [], 0.0
    out = link.data_to_send(now)
    for _ in range(packing.MAX_REFUSALS):
        assert notices == []
        assert text_on_wire(out).startswith(b"N1G1X1*")
        now += 1.0
        replies = link.receive(b"Error:checksum mismatch, Last Line: 0\nResend: 1\nok\n", now)
        notices = [each for each in replies if isinstance(each, LinkNotice)]
        link.tick(now + 0.5)
        out = link.data_to_send(now + 0.5)
    assert "unpacked" in notices[0].text
    assert out.startswith(RESET + b"\nN1G1X1*")
