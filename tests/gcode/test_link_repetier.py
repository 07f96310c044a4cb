"""The link against a model of Repetier over a poor connection: ok on receipt, repeated requests, modulo 65536."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from gcode.dialect import REPETIER
from gcode.errors import RemoteProtocolError
from gcode.link import HostLink
from support.poor_connection import BYTE_TIME, FAULTS, USES, PoorConnection, moves
from support.repetier import RepetierModel

FIRST = 65_536 - 8


def check(chances, rates):
    """Print across the number 65536; each line is accepted once, in order, and unchanged if it has a checksum."""
    link = HostLink(REPETIER, BYTE_TIME)
    link._flight.next = link._flight.replay = FIRST
    model, file = RepetierModel(last=FIRST - 1), moves(16, chances)
    connection = PoorConnection(link, model, rates, chances)
    connection.print(file)
    numbers = [number for number in model.numbers if number is not None]
    assert numbers == list(range(FIRST, FIRST + len(numbers)))
    job = [connection.sent[number] for number in numbers if connection.sent[number].startswith(b"G1 ")]
    for number, command, checked in zip(model.numbers, model.accepted, model.checked, strict=True):
        assert number is None or not checked or command == connection.sent[number]
    if link.error is None:
        assert job == file
        assert link.place.lines == len(file)
    else:
        assert isinstance(link.error, RemoteProtocolError)
        assert job == file[: len(job)]
    return connection


def test_a_resend_request_is_answered_even_with_nothing_to_send():
    link = HostLink(REPETIER)
    link.receive(b"\r\nResend:1\r\nok\r\n", 0.0)
    link.tick(0.3)
    assert link.data_to_send(0.3) == b"N1 M105*38\n"
    link.receive(b"\r\nResend:1\r\nok\r\n" * 3, 0.3)  # on their way by then
    link.tick(0.6)
    assert link.data_to_send(0.6) == b"N1 M105*38\n"
    link.receive(b"ok 1\r\nT:20.0 /0 B:20.0 /0\r\n", 0.7)
    assert link.idle


@settings(max_examples=20)
@given(chances=st.integers(0, 2**32).map(random.Random))
def test_any_mixture_of_faults_arrives_once_or_fails_by_name(chances):
    rates = {fault: chances.choice((0.0, 0.01, 0.1)) for fault in FAULTS}
    rates |= {use: chances.choice((0.0, 0.01, 0.05)) for use in USES}
    check(chances, rates)


def test_most_prints_come_through():
    runs = [check(random.Random(seed), dict.fromkeys((*FAULTS, *USES), 0.02)) for seed in range(12)]
    assert sum(run.link.error is None for run in runs) >= 11
    assert sum(run.model.requests for run in runs) > 10
