"""A connection with occasional delays, such as Wi-Fi: resend requests cross with lines sent again."""

import pytest

from gcode.dialect import MARLIN
from gcode.link import HostLink
from gcode.outgoing import Ticket, job_line

CROSSED = b"Error:Line Number is not Last Line Number+1, Last Line: 0\nResend: 1\nok\n"
PROBE = b"\nN99999999 M105*23\n"


def crossed(count: int) -> tuple[HostLink, float]:
    """Return a link that has sent all lines twice when one more request arrives, which crossed with them."""
    link = HostLink(MARLIN)
    lines = iter([job_line(10 * at, b"G1 X%d" % at) for at in range(1, count + 1)])
    link.feed(lambda: next(lines, None))
    assert link.data_to_send(0.0).count(b"\n") == 4
    link.receive(CROSSED * 4, 0.1)
    assert link.data_to_send(0.1).count(b"\n") == 4, "all are sent again"
    link.receive(CROSSED, 0.11)
    assert link.data_to_send(0.11) == b"", "it waits for the lines in flight"
    return link, 0.11


def test_oks_during_a_rewind_acknowledge_accepted_lines():
    link, now = crossed(8)
    link.receive(b"ok\nok\nok\n", now)
    link.tick(now + 1.0)
    assert link.data_to_send(now + 1.0) == PROBE, "nothing is sent again that has arrived"
    link.receive(b"Error:Line Number is not Last Line Number+1, Last Line: 4\nResend: 5\nok\nok\n", now + 1.1)
    assert link.place.lines == 4
    assert link.data_to_send(now + 1.1).count(b"\n") == 4, "no place of the window is lost"


@pytest.mark.parametrize("early", [0, 1, 2, 3])
def test_an_unacknowledged_line_still_waits_for_its_ok(early):
    link, now = crossed(4)
    link.receive(b"ok\n" * early, now)
    link.tick(now + 1.0)
    link.data_to_send(now + 1.0)
    link.receive(b"Resend: 5\nok\n", now + 1.1)
    assert link.place.lines == early
    assert link.job_in_flight
    link.data_to_send(now + 1.1)
    link.receive(b"ok\n" * (4 - early), now + 1.2)
    assert link.place.lines == 4


def test_a_foreign_ok_skips_no_line():
    """The firmware executes the tail of a cut line as a command, whose ok comes during the rewind."""
    link, now = crossed(8)
    link.receive(b"ok\nok\n", now)
    link.receive(CROSSED, now)
    link.tick(now + 1.0)
    assert link.data_to_send(now + 1.0).startswith(b"N1 G1 X1*"), "nothing had arrived, as it says itself"
    link.receive(b"Resend: 3\nok\n", now + 1.1)
    assert link.place.lines == 0


def test_the_probe_reveals_that_no_line_arrived():
    link, now = crossed(8)
    link.receive(b"ok\nok\n", now)
    link.tick(now + 1.0)
    assert link.data_to_send(now + 1.0) == PROBE
    link.receive(b"Resend: 1\nok\n", now + 1.1)
    assert link.data_to_send(now + 1.1).startswith(b"N1 G1 X1*")
    link.receive(b"ok\n", now + 1.2)
    assert link.place.lines == 1


def test_a_command_whose_ok_came_early_is_done():
    link = HostLink(MARLIN)
    ticket = Ticket(b"M220 S90")
    link.send(ticket)
    link.send(Ticket(b"M221 S90"))
    link.data_to_send(0.0)
    link.receive(CROSSED, 0.1)
    link.receive(CROSSED, 0.2)
    link.data_to_send(0.2)
    link.receive(CROSSED, 0.21)
    link.receive(b"ok\n", 0.21)
    link.tick(1.0)
    link.data_to_send(1.0)
    assert ticket in link.receive(b"Resend: 3\nok\n", 1.1)
    assert ticket.done


def test_an_early_answer_measures_no_round_trip():
    """The answer is to a line sent earlier; if its time counted, everything would be sent again each time."""
    link, now = crossed(4)
    assert link._recovery.round_trip > 0.05
    link.receive(b"ok\nok\nok\nok\n", now)
    link.tick(now + 1.0)
    link.data_to_send(now + 1.0)
    link.receive(b"Resend: 5\nok\n", now + 1.0)
    assert link.idle
    assert link._recovery.round_trip > 0.05
