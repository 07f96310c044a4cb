"""The link rule by rule, with literal bytes; `test_link_faults.py` tests it over a poor connection."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcode.dialect import KLIPPER, MARLIN, PRUSA, REPETIER, REPRAPFIRMWARE, SMOOTHIE, TEACUP, UNKNOWN, Dialect
from gcode.errors import (
    CommandError,
    FirmwareHalted,
    ForbiddenCommand,
    PrinterReset,
    PrinterSilent,
    QueueFull,
    ResendLoop,
    ResendOutOfReach,
)
from gcode.flight import LinkEstimate, LinkSnapshot
from gcode.framing import frame
from gcode.link import HISTORY, HostLink
from gcode.modes import Modes
from gcode.outgoing import JobPlace, LinkNotice, RefusedLine, Ticket, check_command, is_link_only, job_line
from gcode.replies import MAX_LINE, Temperatures, Text
from hal.logbook import Logbook

PROBE = b"\nN99999999 M105*23\n"


def fed(*commands, dialect=MARLIN):
    """Return a link with a job of these commands; the byte offset of each is 10, 20, …"""
    link = HostLink(dialect)
    lines = iter([job_line(10 * (at + 1), command) for at, command in enumerate(commands)])
    link.feed(lambda: next(lines, None))
    return link


def sent(link, now=0.0):
    """Return the commands that may go out now."""
    return [line.partition(b" ")[2].rpartition(b"*")[0] for line in link.data_to_send(now).splitlines() if line]


def numbers(link, now=0.0):
    return [int(line[1:].partition(b" ")[0]) for line in link.data_to_send(now).splitlines() if line]


def moves(count):
    return [b"G1 X%d" % at for at in range(1, count + 1)]


# -- what may be sent ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "cleaned"),
    [("M105", b"M105"), ("  g28 ; home", b"g28"), ("N5 M105*23", b"M105"), (b"M117 \xff", b"M117 ?"),
     ("M1100", b"M1100"),
     ("M117 M110", b"M117 M110"), ("M280 P0", b"M280 P0"), ("M291", b"M291")],
)  # fmt: skip
def test_a_command_is_cleaned(command, cleaned):
    assert check_command(command) == cleaned


@pytest.mark.parametrize(
    "command", ["M110", "M110 N0", "m110N5", "M 110", "M0110", "M28 a.g", "M29", "M575 B9", "M999", "N4 M110"]
)
def test_commands_of_the_link_are_refused(command):
    with pytest.raises(ForbiddenCommand):
        check_command(command)
    assert is_link_only(command.encode()) or command.startswith("N")


@pytest.mark.parametrize("command", ["", " ", ";", "G28\nM112", "G28\rM112", "G28\n", "N5"])
def test_an_invalid_command_is_refused(command):
    with pytest.raises(CommandError):
        check_command(command)


# -- numbers, window, order ----------------------------------------------------------------------------------


def test_lines_are_numbered_and_carry_a_checksum():
    link = fed(b"G1 X1", b"G1 X2")
    assert link.data_to_send(0.0) == b"N1 G1 X1*96\nN2 G1 X2*96\n"
    assert link.next_number == 3
    assert link.counters.lines_sent == 2


@pytest.mark.parametrize("lines", [1, 2, 4, 8])
def test_the_window_counts_lines(lines):
    link = fed(*moves(20), dialect=Dialect(window_lines=lines, window_bytes=1000))
    assert numbers(link) == list(range(1, lines + 1))
    assert link.data_to_send(0.0) == b""
    link.receive(b"ok\n", 0.1)
    assert numbers(link) == [lines + 1]


def test_the_window_counts_bytes():
    link = fed(*(b"G1 " + b"X" * 40 for _ in range(9)), dialect=MARLIN)
    out = link.data_to_send(0.0)
    assert out.count(b"\n") == 2
    assert len(out) <= 127
    link.receive(b"ok\n", 0.1)
    assert link.data_to_send(0.1).count(b"\n") == 1


def test_a_single_line_is_always_sent_however_long():
    link = fed(b"M117 " + b"x" * 300, b"G1 X1")
    assert len(sent(link)) == 1
    link.receive(b"ok\n", 0.1)
    assert sent(link) == [b"G1 X1"]


@given(st.lists(st.integers(1, 90), max_size=60), st.integers(1, 6), st.integers(40, 200))
def test_no_more_is_in_flight_than_the_window(sizes, lines, size):
    link = fed(*(b"M" * each for each in sizes), dialect=Dialect(window_lines=lines, window_bytes=size))
    flight, accepted = [], 0
    for _ in range(len(sizes) + 1):
        flight += link.data_to_send(0.0).splitlines(keepends=True)
        assert len(flight) <= lines
        assert sum(map(len, flight)) <= size or len(flight) == 1
        if flight:
            flight.pop(0)
            accepted += 1
            link.receive(b"ok\n", 0.0)
    assert accepted == len(sizes) == link.place.lines


def test_commands_go_before_lines_of_the_job():
    link = fed(*moves(3), dialect=UNKNOWN)
    link.send(Ticket(b"M105"))
    order = []
    for _ in range(4):
        order += sent(link)
        link.receive(b"ok\n", 0.0)
    assert order == [b"M105", b"G1 X1", b"G1 X2", b"G1 X3"]


def test_an_urgent_command_goes_first_and_beyond_the_window():
    link = fed(*moves(9))
    assert len(sent(link)) == 4
    link.send(Ticket(b"M117 waits"))
    urgent = Ticket(b"M104 S0", urgent=True)
    link.send(urgent)
    assert sent(link) == [b"M104 S0"]
    assert sent(link) == []
    events = link.receive(b"ok\n" * 5, 0.1)
    assert events == [urgent]
    assert urgent.done


def of_client(count=1):
    return [Ticket(b"M105", from_client=True) for _ in range(count)]


def test_too_many_waiting_commands_of_clients_are_refused_but_no_others():
    link = HostLink()
    link.submit(of_client(255))
    with pytest.raises(QueueFull, match="255 are waiting"):
        link.submit(of_client(2))  # all or none
    link.submit(of_client())
    with pytest.raises(QueueFull):
        link.submit(of_client())
    for _ in range(9):
        link.send(Ticket(b"M400"))
    link.send(Ticket(b"M104 S0", urgent=True))
    assert sent(link) == [b"M104 S0"]


def test_commands_of_the_host_do_not_count_against_clients():
    link = HostLink()
    for _ in range(300):
        link.send(Ticket(b"M105"))
    link.submit(of_client(256))


def test_hold_stops_lines_of_the_job_until_release():
    link = fed(*moves(9), dialect=UNKNOWN)
    link.hold()
    link.send(Ticket(b"M400"))
    assert sent(link) == [b"M400"]
    link.receive(b"ok\n", 0.0)
    assert sent(link) == []
    assert link.idle
    assert not link.job_in_flight
    link.release()
    assert sent(link) == [b"G1 X1"]
    assert link.job_in_flight
    assert not link.idle


def test_a_line_that_did_not_fit_is_not_lost_by_a_hold():
    link = fed(b"G1 " + b"X" * 80, b"G1 " + b"Y" * 80)
    assert len(sent(link)) == 1
    link.hold()
    link.receive(b"ok\n", 0.0)
    assert sent(link) == []
    link.release()
    assert sent(link) == [b"G1 " + b"Y" * 80]


def test_a_feed_counts_from_zero_and_ends_with_none():
    link = fed(*moves(9), dialect=UNKNOWN)
    sent(link)
    link.receive(b"ok\n", 0.0)
    assert (link.place.lines, link.place.offset) == (1, 10)
    sent(link)
    link.feed(None)
    link.receive(b"ok\n", 0.0)
    assert (link.place.lines, link.place.offset) == (2, 20)
    assert sent(link) == []
    link.feed(lambda: None)
    assert (link.place.lines, link.place.offset) == (0, 0)


def test_discard_drops_the_job_and_returns_waiting_commands():
    link = fed(*moves(3), dialect=UNKNOWN)
    waiting = [Ticket(b"M105"), Ticket(b"M106")]
    for ticket in waiting:
        link.send(ticket)
    assert link.discard() == waiting
    assert sent(link) == []


# -- answers -------------------------------------------------------------------------------------------------


def test_a_reply_belongs_to_the_oldest_command():
    link = HostLink(MARLIN)
    first, second = Ticket(b"M119"), Ticket(b"M114")
    link.send(first)
    link.send(second)
    sent(link)
    events = link.receive(b"x_min: open\necho:busy: processing\nok\nX:1.00 Y:2.00 Z:0.00 E:0.00\r\nok\n", 0.1)
    assert [each for each in events if isinstance(each, Ticket)] == [first, second]
    assert first.replies == ["x_min: open", "ok"]
    assert second.replies == ["X:1.00 Y:2.00 Z:0.00 E:0.00", "ok"]


def test_replies_to_a_line_of_the_job_belong_to_no_command():
    link = fed(b"G28")
    sent(link)
    ticket = Ticket(b"M105")
    link.send(ticket)
    sent(link)
    link.receive(b"echo:of the job\nok\nok T:20\n", 0.0)
    assert ticket.replies == ["ok T:20"]


@given(st.integers(0, 40))
def test_replies_may_be_split_anywhere(at):
    link, whole = HostLink(), b"T:20.0 /0.0\nok T:21.0 /0.0\nok\n"
    ticket = Ticket(b"M105")
    link.send(ticket)
    sent(link)
    events = link.receive(whole[:at], 0.0) + link.receive(whole[at:], 0.0)
    assert isinstance(events[0], Temperatures)
    assert ticket in events
    assert link.counters.stray_oks == 1


def test_a_stray_ok_is_counted_and_harmless():
    link = HostLink(MARLIN)
    link.receive(b"ok\nok\n", 0.0)
    assert link.counters.stray_oks == 2
    link.feed(iter([job_line(0, b"G1"), None, None]).__next__)
    assert len(sent(link)) == 1


def test_advanced_ok_acknowledges_by_number():
    link = fed(*moves(9))
    sent(link)
    link.receive(b"ok N3 P15 B3\n", 0.0)
    assert link.place.lines == 3, "the oks of 1 and 2 were lost"
    link.receive(b"ok N2 P15 B3\n", 0.0)
    assert link.place.lines == 3, "a stale one acknowledges nothing"


def test_a_line_without_end_is_bounded():
    link = HostLink()
    for _ in range(100):
        link.receive(b"x" * 10_000, 0.0)
    assert len(link._partial) <= MAX_LINE
    [text] = link.receive(b"\n", 0.0)
    assert isinstance(text, Text)
    assert len(text.line) <= MAX_LINE


# -- resend --------------------------------------------------------------------------------------------------


def test_a_resend_rewinds_and_each_line_is_accepted_once():
    link = fed(*moves(6))
    assert numbers(link) == [1, 2, 3, 4]
    link.receive(b"ok\nError:checksum mismatch, Last Line: 1\nResend: 2\nok\n", 0.1)
    assert link.counters.resends == 1
    assert link.data_to_send(0.1) == b"", "lines after the bad one may still be answered"
    link.tick(link.deadline)
    assert numbers(link, 0.2) == [2, 3, 4, 5]
    link.receive(b"ok\n" * 4, 0.3)
    assert link.place.lines == 5


def test_each_line_after_a_damaged_one_may_request_a_resend_too():
    link = fed(*moves(6))
    sent(link)
    link.receive(b"Error:checksum mismatch, Last Line: 0\nResend: 1\nok\n", 0.1)
    link.receive(b"Error:Line Number is not Last Line Number+1, Last Line: 0\nResend: 1\nok\n" * 2, 0.1)
    assert link.data_to_send(0.1) == b""
    link.receive(b"Resend: 1\nok\n", 0.1)
    assert numbers(link, 0.1) == [1, 2, 3, 4], "all four are answered: no need to wait"


def test_lines_accepted_before_a_resend_are_still_answered():
    link = fed(*moves(6))
    sent(link)
    link.receive(b"Error:checksum mismatch, Last Line: 2\nResend: 3\nok\nok\nok\n", 0.1)
    assert link.place.lines == 2
    link.tick(link.deadline)
    assert numbers(link, 1.0) == [3, 4, 5, 6]


def test_the_oks_of_a_resend_may_be_missing():
    link = fed(*moves(2), dialect=UNKNOWN)
    sent(link)
    link.receive(b"Resend: 1\n", 0.0)
    assert link.data_to_send(0.0) == b""
    assert 0.4 < link.deadline < 0.7
    link.tick(link.deadline)
    assert numbers(link, 1.0) == [1]


def test_a_dialect_may_send_no_ok_after_a_resend_request():
    link = fed(*moves(2), dialect=Dialect(ok_after_resend=False))
    sent(link)
    link.receive(b"Resend: 1\n", 0.0)
    assert numbers(link) == [1]
    link.receive(b"ok\n", 0.1)
    assert link.place.lines == 1


def test_commands_wait_until_a_resend_is_answered():
    link = fed(*moves(4))
    sent(link)
    link.receive(b"Resend: 1\nok\n", 0.0)
    link.send(Ticket(b"M104 S0", urgent=True))
    assert link.data_to_send(0.0) == b""
    link.tick(link.deadline)
    order = []
    for _ in range(6):
        order += sent(link, 1.0)
        link.receive(b"ok\n", 1.0)
    assert order == [*moves(4), b"M104 S0"], "a new number comes after the repeated ones"


def test_the_ok_for_the_tail_of_a_cut_line_acknowledges_nothing():
    link = fed(*moves(4))
    sent(link)
    link.receive(b'Resend: 2\nok\necho:Unknown command: "87"\nok\n', 0.1)
    assert link.place.lines == 0, "the ok was none of ours"
    link.receive(b"ok\n", 0.1)
    assert link.place.lines == 1


def test_an_unknown_command_is_acknowledged_by_its_ok():
    link = fed(b"M9999", b"G1 X1", dialect=UNKNOWN)
    sent(link)
    link.receive(b'echo:Unknown command: "M9999"\nok\n', 0.1)
    assert link.place.lines == 1


@pytest.mark.parametrize("command", [b"PRINT_START BED=60", b"hello"])
def test_an_unknown_command_without_a_code_word_is_acknowledged_by_its_ok(command):
    link = fed(command, b"G1 X1", dialect=MARLIN)
    sent(link)
    link.receive(b'echo:Unknown command: "' + command + b'"\nok\n', 0.1)
    assert link.place.lines == 1


def test_endless_requests_for_one_line_end_the_conversation():
    link = fed(*moves(2), dialect=UNKNOWN)
    for times in range(1, 11):
        assert link.error is None, times
        sent(link, float(times))
        link.receive(b"Resend: 1\nok\n", float(times))
    assert isinstance(link.error, ResendLoop)
    assert link.data_to_send(99.0) == b""
    assert link.receive(b"ok\n", 99.0) == []
    assert link.deadline is None


@pytest.mark.parametrize("gap", [0.001, 0.1, 0.6])
def test_a_storm_of_requests_without_oks_ends_the_conversation(gap):
    link = fed(*moves(9))
    sent(link)
    for times in range(round(40 / gap)):
        link.receive(b"Resend: 1\n", gap * times)
        link.tick(gap * times)
        link.data_to_send(gap * times)
    assert isinstance(link.error, ResendLoop)


def test_alternating_requests_for_two_lines_are_no_progress():
    link = fed(*moves(9))
    sent(link)
    for times in range(20):
        link.receive(b"Resend: %d\nok\n" % (1 + times % 2), float(times))
        link.tick(times + 0.5)
        link.data_to_send(times + 0.5)
    assert isinstance(link.error, ResendLoop)


def test_requests_for_successive_lines_are_progress():
    link = fed(*moves(50))
    for number in range(1, 40):
        sent(link, float(number))
        link.receive(b"Resend: %d\nok\n" % number, number + 0.1)
        link.tick(number + 0.5)
        sent(link, number + 0.5)
        link.receive(b"ok\n", number + 0.6)
    assert link.error is None


@pytest.mark.parametrize("lines", [17, HISTORY + 20])
def test_a_request_for_line_1_reveals_a_reset_with_a_lost_start(lines):
    link = fed(*moves(2 * lines), dialect=UNKNOWN)
    for _ in range(lines):
        sent(link)
        link.receive(b"ok\n", 0.0)
    refusal = b"Error:Line Number is not Last Line Number+1, Last Line: 0\nResend: 1\nok\n"
    link.receive(b"st\xffrt\n" + refusal, 0.1)
    assert link.data_to_send(0.1) == PROBE, "the beginning of the print is not made again"
    link.receive(refusal, 0.2)
    assert isinstance(link.error, PrinterReset)


def test_a_request_cut_to_line_1_is_probed():
    link = fed(*moves(300), dialect=UNKNOWN)
    for _ in range(122):
        sent(link)
        link.receive(b"ok\n", 0.0)
    assert numbers(link) == [123]
    link.receive(b"Resend: 1\nok\n", 0.1)
    assert link.data_to_send(0.1) == PROBE
    link.receive(b"Resend: 123\nok\n", 0.2)
    link.tick(link.deadline)
    assert numbers(link, 1.0) == [123]


def test_the_history_has_a_limit():
    for number, fine in ((HISTORY + 1, False), (HISTORY, True)):
        link = fed(*moves(2 * HISTORY), dialect=UNKNOWN)
        for _ in range(2 * HISTORY):
            sent(link)
            link.receive(b"ok\n", 0.0)
        request = b"Resend: %d\nok\n" % (link.next_number - number)
        link.receive(request, 0.0)
        assert (link.data_to_send(0.0) == PROBE) != fine, "it may be damaged"
        link.receive(request, 0.0)
        assert (link.error is None) == fine
        assert fine or isinstance(link.error, ResendOutOfReach)


@pytest.mark.parametrize("number", [0, 3, 999])
def test_a_request_for_an_unsent_line_is_out_of_reach(number):
    link = fed(*moves(1))
    sent(link)
    link.receive(b"Resend: %d\nok\n" % number, 0.0)
    assert link.data_to_send(0.0) == PROBE
    link.receive(b"Resend: %d\nok\n" % number, 0.0)
    assert isinstance(link.error, ResendOutOfReach)


def test_a_damaged_request_is_probed():
    link = fed(*moves(9))
    sent(link)
    link.receive(b"ok\nResend: 99\x1a4\nok\n", 0.0)
    assert link.data_to_send(0.0) == PROBE
    assert link.data_to_send(0.1) == b"", "nothing is sent after the probe"
    link.receive(b"Resend: 2\nok\n", 0.2)
    link.tick(link.deadline)
    assert numbers(link, 1.0) == [2, 3, 4, 5]


def test_endless_nonsensical_requests_end_the_conversation():
    link = fed(*moves(9))
    sent(link)
    for number in range(100, 110):
        link.receive(b"Resend: %d\nok\n" % number, 0.0)
        link.data_to_send(0.0)
    assert isinstance(link.error, ResendOutOfReach)


# -- silence -------------------------------------------------------------------------------------------------


def test_nothing_is_awaited_while_nothing_is_in_flight():
    link = HostLink(MARLIN)
    assert link.deadline is None
    link.tick(1e9)
    assert link.idle


def test_a_probe_finds_a_lost_line():
    link = fed(*moves(1))
    link.data_to_send(0.0)
    assert link.deadline == 30.0
    link.tick(29.9)
    assert link.data_to_send(29.9) == b""
    link.tick(30.0)
    assert link.data_to_send(30.0) == PROBE
    link.receive(b"Error:Line Number is not Last Line Number+1, Last Line: 0\nResend: 1\nok\n", 30.1)
    assert numbers(link, 30.2) == [1]
    assert link.counters.timeouts == 1


def test_a_probe_and_an_echo_find_a_lost_ok():
    link = fed(*moves(3), dialect=UNKNOWN)
    sent(link)
    link.tick(30.0)
    assert link.data_to_send(30.0) == PROBE
    link.receive(b"Error:Line Number is not Last Line Number+1, Last Line: 1\nResend: 2\nok\n", 30.1)
    assert sent(link, 30.2) == [b"M118 nozzled sync 1"]
    link.receive(b"nozzled sync 1\r\nok\n", 30.3)
    assert link.place.lines == 1
    assert sent(link, 30.4) == [b"G1 X2"]
    assert link.counters.lines_acknowledged == 2


def test_an_unknown_echo_command_reveals_a_lost_ok_too():
    link = fed(*moves(3), dialect=UNKNOWN)
    sent(link)
    link.tick(30.0)
    link.data_to_send(30.0)
    link.receive(b"Resend: 2\nok\n", 30.1)
    sent(link, 30.2)
    link.receive(b'echo:Unknown command: "M118 nozzled sync 1"\nok\n', 30.3)
    assert link.place.lines == 1
    assert sent(link, 30.4) == [b"G1 X2"]


def test_three_unanswered_probes_end_the_conversation():
    link = fed(*moves(1))
    link.data_to_send(0.0)
    for at in (30.0, 60.0, 90.0):
        link.tick(at)
        assert link.data_to_send(at) == PROBE
    link.tick(120.0)
    assert isinstance(link.error, PrinterSilent)
    assert "G1 X1" in str(link.error)


def test_a_silent_printer_is_reported_without_a_command_if_no_line_is_in_flight():
    link = HostLink(MARLIN)
    link.reattach(LinkEstimate(7, Modes()).snapshot(8, MARLIN), 0.0)
    for at in (0.0, 30.0, 60.0, 90.0, 120.0):
        link.tick(at)
        link.data_to_send(at)
    assert str(link.error) == "no answer to any of the probes"


def test_a_firmware_that_executes_the_probe_ends_the_conversation():
    """If the answer to the probe counted as that to the line, the line would be lost without a word."""
    link = fed(*moves(3), dialect=UNKNOWN)
    sent(link)
    link.tick(30.0)
    assert link.data_to_send(30.0) == PROBE
    link.receive(b"ok T:20.0 /0.0\n", 30.1)
    assert isinstance(link.error, PrinterSilent)
    assert "G1 X1" in str(link.error)
    assert link.place.lines == 0


def test_a_lost_m105_is_no_loss_on_a_firmware_that_executes_the_probe():
    link = HostLink(UNKNOWN)
    link.send(Ticket(b"M105"))
    sent(link)
    for at in (30.0, 61.0):
        link.tick(at)
        assert link.data_to_send(at) == PROBE
        link.receive(b"ok T:20.0 /0.0\n", at + 0.1)
    link.send(Ticket(b"M114"))
    assert sent(link, 62.0) == [b"M114"]


def test_a_firmware_that_executes_the_probe_is_reattached_if_no_line_is_in_flight():
    link = HostLink(REPRAPFIRMWARE)
    link.reattach(LinkEstimate(7, Modes()).snapshot(8, REPRAPFIRMWARE), 0.0)
    link.data_to_send(0.0)
    assert not link.idle
    link.receive(b"ok T:20.0 /0.0\n", 0.1)
    assert link.error is None
    assert link.idle


def test_a_late_answer_to_m105_does_not_hide_that_the_board_was_reset():
    """Marlin does not execute the probe: that was the answer to a command of the previous host."""
    lines = [(number, frame(number, b"G90"), -1, -1, Ticket(b"G90")) for number in (1, 2)]
    link = HostLink(MARLIN)
    link.reattach(LinkSnapshot(sent=lines, answered=2, place=JobPlace(), fed=JobPlace(), modes=Modes()), 0.0)
    link.data_to_send(0.0)
    link.receive(b"ok T:20.0 /0.0\n", 0.1)
    link.receive(b"Error:Line Number is not Last Line Number+1, Last Line: 0\nResend: 1\nok\n", 0.2)
    assert isinstance(link.error, PrinterReset)


def test_wait_means_that_all_lines_are_acknowledged():
    link = fed(*moves(3), dialect=TEACUP)
    link.data_to_send(0.0)
    link.receive(b"wait\n", 0.5)
    assert link.place.lines == 0, "it may have crossed with the line"
    link.receive(b"wait\n", 2.0)
    assert link.place.lines == 1


def test_a_firmware_that_waits_is_probed_if_it_counts_lines():
    """Some firmwares say `wait` while they heat."""
    link = fed(*moves(3), dialect=REPETIER)
    sent(link)
    link.receive(b"wait\n", 0.5)
    assert link.data_to_send(0.5) == b""
    link.receive(b"wait\n", 2.0)
    assert b"M105" in link.data_to_send(2.0)
    link.receive(b"wait\n", 9.0)
    assert link.data_to_send(9.0) == b"", "once is enough"
    link.receive(b"Resend:2\r\nok\r\n", 9.1)
    assert link.place.lines == 1, "what was received is answered, there"
    assert sent(link, 9.2) == [b"G1 X2"]


@pytest.mark.parametrize(
    ("command", "silence"),
    [
        (b"G28", 600),
        (b"M109 S200", 600),
        (b"g28 x", 600),
        (b"M600", 600),
        (b"G4 S7200", 7800),
        (b"G04 S7200", 7800),
        (b"g 4 p5000", 605),
        (b"M0109 S200", 600),
        (b"G4 P5000", 605),
        (b"G4 S9999999", 600 + 86400),
        (b"G425", 600),
        (b"print_start BED=60", 600),
    ],
)
def test_a_long_command_may_be_silent(command, silence):
    link = fed(command, dialect=replace(MARLIN, long_commands=frozenset({b"G425", b"PRINT_START"})))
    link.data_to_send(0.0)
    assert link.deadline == silence


@pytest.mark.parametrize("command", [b"G280", b"M1090", b"G1 X28", b"G040 P9", b"M100"])
def test_a_command_that_only_looks_long_is_not(command):
    link = fed(command)
    link.data_to_send(0.0)
    assert link.deadline == 30.0


def test_busy_is_a_sign_of_life_and_shortens_later_silence():
    link = fed(b"G28")
    link.data_to_send(0.0)
    for at in range(2, 100, 2):
        link.receive(b"echo:busy: processing\n", float(at))
        assert link.deadline == at + 10.0
        link.tick(at + 1.9)
        assert link.data_to_send(at + 1.9) == b""


def test_reports_of_a_wait_are_signs_of_life_but_automatic_ones_are_not():
    link = fed(b"G1 X1")
    link.data_to_send(0.0)
    link.receive(b" T:20.0 /200.0 B:20.0 /0.0 @:127 B@:0\n", 20.0)
    assert link.deadline == 30.0
    link.receive(b" T:20.0 /200.0 B:20.0 /0.0 @:127 B@:0 W:?\n", 20.0)
    assert link.deadline == 50.0


# -- the end -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "error"),
    [(b"start", PrinterReset), (b"\xffstart\r", PrinterReset),
     (b"Error:Printer halted. kill() called!", FirmwareHalted),
     (b"Error:MINTEMP triggered, system stopped! Heater_ID: bed", FirmwareHalted)],
)  # fmt: skip
def test_some_messages_end_the_conversation(line, error):
    link = fed(*moves(3))
    sent(link)
    link.receive(line + b"\nok\nok\n", 0.0)
    assert isinstance(link.error, error)
    assert link.place.lines == 0, "nothing counts after the end"


@pytest.mark.parametrize(
    ("dialect", "line"),
    [(KLIPPER, b"!! Shutdown due to M112 command"), (SMOOTHIE, b"!!"),
     (SMOOTHIE, b"Limit switch +X was hit - reset or M999 required"),
     (REPETIER, b"fatal:Heater decoupled - Printer stopped and heaters disabled due to this error."),
     (MARLIN, b"Error:Printer stopped due to errors. Fix the error and use M999 to restart.")],
)  # fmt: skip
def test_each_dialect_has_its_own_halting_messages(dialect, line):
    link = fed(*moves(3), dialect=dialect)
    sent(link)
    link.receive(line + b"\nok\n", 0.0)
    assert isinstance(link.error, FirmwareHalted)
    assert line.decode().strip("!").removeprefix("Error:").removeprefix("fatal:")[:20] in str(link.error)


def test_klipper_is_queried_for_the_reason_of_its_shutdown():
    link = fed(*moves(9), dialect=KLIPPER)
    assert link.data_to_send(0.0) == b"G1 X1\n"
    link.receive(b"ok\n", 0.1)
    assert link.data_to_send(0.1) == b"G1 X2\n"
    link.receive(b"// Klipper state: Shutdown\n", 0.2)
    assert link.error is None
    assert link.data_to_send(0.2) == b"STATUS\n"
    link.receive(b"// Once the underlying issue is corrected, use the\n!! Timer too close\nok\n", 0.3)
    assert str(link.error) == "the firmware has halted: Timer too close; send FIRMWARE_RESTART or connect again"


def test_a_klipper_that_gives_no_reason_has_shut_down():
    link = fed(*moves(9), dialect=KLIPPER)
    link.data_to_send(0.0)
    link.receive(b"// Klipper state: Shutdown\nok\n", 0.2)
    assert link.data_to_send(0.2) == b"STATUS\n"
    link.tick(link.deadline)
    error = "the firmware has halted: // Klipper state: Shutdown; send FIRMWARE_RESTART or connect again"
    assert str(link.error) == error


def test_an_error_that_answers_a_line_of_the_job_is_reported_with_the_line():
    link = fed(b"G1 X1", b"M218 T1 X99", b"G1 X2")
    sent(link)
    events = link.receive(b"ok\nError:Nozzle offset out of range\nok\nok\n", 0.0)
    assert [item for item in events if isinstance(item, RefusedLine)] == [
        RefusedLine("Error:Nozzle offset out of range", b"M218 T1 X99", 20)
    ]
    assert link.error is None
    assert link.place.lines == 3


def test_an_unknown_error_with_a_resend_request_is_no_refusal():
    link = fed(*moves(3))
    sent(link)
    events = link.receive(b"Error:Bad line\n", 0.0)
    events += link.receive(b"Resend: 1\nok\n", 0.1)
    assert not [item for item in events if isinstance(item, RefusedLine)]


@pytest.mark.parametrize("line", [b"Error:Probing Failed", b"Error:EEPROM datasize error.", b"Error:checksum mismatch"])
def test_an_error_after_which_the_firmware_continues_is_no_refusal(line):
    link = fed(b"G29")
    sent(link)
    events = link.receive(line + b"\n", 0.0)
    assert not [item for item in events if isinstance(item, RefusedLine)]
    assert link.error is None


def test_an_error_that_answers_a_users_command_does_not_concern_the_job():
    link = HostLink(KLIPPER)
    link.send(Ticket(b"G1 X999"))
    sent(link)
    events = link.receive(b"!! Move out of range: 999.000 0.000 0.000 [0.000]\nok\n", 0.0)
    assert not [item for item in events if isinstance(item, RefusedLine)]
    assert link.error is None


def test_the_first_cause_is_kept():
    link = HostLink()
    link.receive(b"start\nError:Printer halted. kill() called!\n", 0.0)
    link.fail(PrinterSilent("later"))
    assert isinstance(link.error, PrinterReset)


@pytest.mark.parametrize("text", [b"start", b"Error:Printer halted", b"!! shutdown", b"Resend: 3"])
def test_an_echo_of_m118_does_not_end_the_conversation(text):
    link = HostLink()
    ticket = Ticket(b"M118 " + text)
    link.send(ticket)
    sent(link)
    link.receive(text + b"\r\nok\n", 0.0)
    assert link.error is None
    assert ticket.replies == [text.decode(), "ok"]


@pytest.mark.parametrize("command", [b"M117 start", b"M23 start.g", b"M117 restarting"])
def test_a_reset_is_detected_even_if_a_command_contains_start(command):
    """The board has forgotten everything: if `start` counted as an echo, the print's first lines would be repeated."""
    link = fed(command)
    sent(link)
    link.receive(b"start\n", 0.0)
    assert isinstance(link.error, PrinterReset)


# -- dialects without numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", [TEACUP, KLIPPER])
def test_a_firmware_without_line_numbers_gets_none(dialect):
    link = fed(*moves(2), dialect=dialect)
    assert link.data_to_send(0.0) == b"G1 X1\n"
    link.receive(b"ok\n", 0.1)
    assert link.data_to_send(0.1) == b"G1 X2\n"
    for times in range(1, 5):
        link.tick(0.1 + 30.0 * times)
        assert link.data_to_send(0.1 + 30.0 * times) == b"", "it cannot be probed"
    assert isinstance(link.error, PrinterSilent)
    assert str(link.error) == "no answer to 'G1 X2', and no other sign of life"


def test_an_unknown_command_is_answered_whatever_number_the_firmware_quotes():
    """Teacup has eight bits for a code. Every print ends with M400."""
    link = fed(b"M400", dialect=TEACUP)
    assert link.data_to_send(0.0) == b"M400\n"
    link.receive(b"E: Bad M-code 144\nok\n", 0.1)
    assert link.place.lines == 1


def test_klippers_identity_counts_as_an_ok():
    link = HostLink(UNKNOWN)
    ticket = Ticket(b"M115")
    link.send(ticket)
    sent(link)
    link.receive(b"ok FIRMWARE_NAME:Klipper FIRMWARE_VERSION:?\n", 0.0)
    assert ticket.done


# -- what ADVANCED_OK tells, and errors in two lines -------------------------------------------------------------------


def test_advanced_ok_tells_how_many_lines_the_command_queue_holds():
    link = HostLink(replace(MARLIN, window_bytes=10_000))
    link.send(Ticket(b"M115"))
    link.data_to_send(0.0)
    link.receive(b"ok N1 P15 B7\n", 0.0)  # seven are free, the eighth was M115's own
    lines = iter(job_line(n, b"G1 X%d" % n) for n in range(20))
    link.feed(lambda: next(lines, None))
    assert link.data_to_send(0.0).count(b"\n") == 8


def test_a_configured_window_is_kept():
    link = HostLink(replace(MARLIN, window_lines=2, learns_window=False))
    link.send(Ticket(b"M115"))
    link.data_to_send(0.0)
    link.receive(b"ok N1 P15 B7\n", 0.0)
    lines = iter(job_line(n, b"G1 X%d" % n) for n in range(20))
    link.feed(lambda: next(lines, None))
    assert link.data_to_send(0.0).count(b"\n") == 2


def test_the_last_text_before_a_halt_is_reported():
    link = HostLink(MARLIN)
    link.receive(b"echo:Homing Failed\n", 1.0)
    link.receive(b"Error:Printer halted. kill() called!\n", 1.1)
    assert "Homing Failed" in str(link.error)


def test_an_older_text_before_a_halt_is_not_reported():
    link = HostLink(MARLIN)
    link.receive(b"echo:SD card ok\n", 1.0)
    link.receive(b"Error:Printer halted. kill() called!\n", 9.0)
    assert str(link.error) == "the firmware has halted: Printer halted. kill() called!"


def test_an_error_in_two_lines_counts_as_one():
    link = HostLink(MARLIN)
    link.receive(b"Error:0\n", 0.0)
    assert link.error is None
    link.receive(b": Extruder switched off. MINTEMP triggered !\n", 0.0)
    assert isinstance(link.error, FirmwareHalted)
    assert "MINTEMP triggered" in str(link.error)


def test_half_an_error_does_not_end_the_conversation():
    link = HostLink(MARLIN)
    link.receive(b"Error:0\nok\n", 0.0)
    assert link.error is None


@pytest.mark.parametrize("report", [b"Not SD printing\n", b"SD printing byte 1/2\n"])
def test_reports_of_the_sd_card_are_not_signs_of_life(report):
    """The reports come unasked every few seconds, so a lost `ok` would never be noticed."""
    link = fed(b"G1 X1", dialect=replace(MARLIN, answer_timeout=30.0))
    assert sent(link, 0.0) == [b"G1 X1"]
    for at in range(1, 7):
        link.receive(report, 5.0 * at)
    assert link.deadline == 30.0


# -- urgent commands and the receive buffer ----------------------------------------------------------------------------


def test_an_urgent_command_waits_until_the_receive_buffer_has_room_for_it():
    """Bytes that overrun a firmware's 128 bytes are lost in the middle of a line, and with them all that follow."""
    link = fed(*(b"G1 X1 Y2 E%d.000000" % at for at in range(100, 110)))
    assert len(link.data_to_send(0.0)) > 90
    link.hold()
    for command in (b"M104 S0", b"M140 S0"):
        link.send(Ticket(command, urgent=True))
    first = sent(link, 0.001)
    assert len(first) < 2
    assert link.deadline == pytest.approx(0.05, abs=0.01)
    assert [*first, *sent(link, 0.06)] == [b"M104 S0", b"M140 S0"]


def test_an_urgent_command_goes_at_once_after_lines_waited_in_flight():
    link = fed(*(b"G1 X1 Y2 E%d.000000" % at for at in range(100, 110)))
    link.data_to_send(0.0)
    link.hold()
    for command in (b"M104 S0", b"M140 S0"):
        link.send(Ticket(command, urgent=True))
    assert sent(link, 1.0) == [b"M104 S0", b"M140 S0"]


# -- numbers that the firmware tells, and those that it cannot tell ----------------------------------------------------


def numbered(link, count):
    """Send so many lines through a link with a window of one, each answered as Repetier does."""
    for _ in range(count):
        [number] = numbers(link)
        link.receive(b"ok %d\r\n" % (number % 65536), 0.0)


def test_repetier_quotes_the_rest_of_a_number():
    link = fed(*moves(400), dialect=REPETIER)
    link._flight.next = link._flight.replay = 65400  # ten seconds of lines would get there too
    numbered(link, 200)
    assert link.place.lines == 200
    [number] = numbers(link)
    link.receive(b"Resend:%d\r\nok\r\n" % (number % 65536), 0.1)
    assert numbers(link, 0.2) == [number]


@pytest.mark.parametrize("last", [1, 40, 32768, 57598, 57620, 65535, 65600, 10**6])
def test_the_impossible_number_is_invalid_for_repetier(last):
    link = fed(*moves(9), dialect=REPETIER)
    link._flight.next = link._flight.replay = last + 1
    [number] = numbers(link)
    link.tick(link.deadline)
    [requested_number] = numbers(link)
    ahead = (requested_number - number) % 65536
    assert 1 < ahead < 65536 - 40, "neither the next line nor one of the last forty"


def asked_again(link, answer, times):
    """Have a resent line requested this many times, each far later than the shortest round trip."""
    now = 1.0
    for _ in range(times):
        link.receive(answer, now)
        while not sent(link, now) and link.error is None:
            now = link.deadline
            link.tick(now)
        now += 0.3


def test_repeated_requests_of_repetier_may_come_late():
    """Over a connection that is slow now and then, requests for the line as first sent may still be under way."""
    link = fed(*moves(9), dialect=REPETIER)
    numbered(link, 3)
    sent(link)
    link.receive(b"Error:Wrong checksum\r\n", 0.5)
    asked_again(link, b"\r\nResend:4\r\nok\r\n", 30)
    assert link.error is None
    link.receive(b"ok 4\r\n", 60.0)
    assert link.place.lines == 4


def test_a_line_that_repetier_refuses_each_time_ends_the_conversation():
    link = fed(*moves(9), dialect=REPETIER)
    numbered(link, 3)
    sent(link)
    asked_again(link, b"Error:Wrong checksum\r\n\r\nResend:4\r\nok\r\n", 12)
    assert isinstance(link.error, ResendLoop)


def test_an_ok_for_an_acknowledged_line_acknowledges_no_other():
    link = fed(*moves(9), dialect=REPETIER)
    numbered(link, 5)
    sent(link)
    link.receive(b"ok 5\r\n", 0.1)
    assert link.place.lines == 5, "it answers a tail that was taken for a command"
    link.receive(b"ok 6\r\n", 0.1)
    assert link.place.lines == 6


def test_an_ok_with_an_invalid_number_is_an_ok():
    """Malyan says `ok N0` to each line."""
    link = fed(*moves(3), dialect=UNKNOWN)
    for _ in range(3):
        sent(link)
        link.receive(b"ok N0 P15 B15\n", 0.0)
    assert link.place.lines == 3


@pytest.mark.parametrize(
    ("echo", "dialect"),
    [(b'echo:Unknown command: "N1 M900 K0.05*33"', MARLIN), (b"Unknown command:N1 M900 K0.05 ", UNKNOWN),
     (b"Unknown M code: M900 K0.05", MARLIN), (b'echo:Unknown command: "M900 K0.05"', MARLIN)],
)  # fmt: skip
def test_an_unknown_command_is_acknowledged_however_it_is_quoted(echo, dialect):
    link = fed(b"M900 K0.05", b"G1 X1", dialect=dialect)
    sent(link)
    link.receive(echo + b"\nok\n", 0.1)
    assert link.place.lines == 1


def test_a_line_that_repetier_already_has_counts_as_acknowledged():
    link = fed(*moves(9), dialect=REPETIER)
    numbered(link, 5)
    [number] = numbers(link)
    link.receive(b"skip %d\r\nok\r\n" % number, 0.1)
    assert link.place.lines == 6


def test_a_skip_of_repetier_after_a_request_acknowledges_no_line():
    link = fed(*moves(9), dialect=REPETIER)
    numbered(link, 5)
    sent(link)
    link.receive(b"Error:Wrong checksum\r\n\r\nResend:6\r\nok\r\nskip 7\r\nok\r\n", 0.1)
    assert numbers(link, 0.2) == [6]
    assert link.place.lines == 5


# -- the same request, and the same again ------------------------------------------------------------------------------


def test_requests_repeated_while_the_host_was_away_count_once():
    link = fed(*moves(99), dialect=REPETIER)
    numbered(link, 32)
    sent(link)
    link.receive(b"Resend:33\r\nok\r\n" * 40, 5.0)
    assert link.error is None
    link.tick(link.deadline or 5.0)
    assert numbers(link, 5.1) == [33]


def test_requests_that_crossed_with_the_line_are_no_storm():
    link = fed(*moves(99), dialect=REPETIER)
    for at in range(20):  # 100 ms there and back
        link.data_to_send(0.1 * at)
        link.receive(b"ok\n", 0.1 * at + 0.1)
    now = 2.1
    link.data_to_send(now)
    for _ in range(30):
        link.receive(b"Resend:21\r\nok\r\n", now)
        link.data_to_send(now)
        link.tick(now)
        now += 0.02
    assert link.error is None


@pytest.mark.parametrize("round_trip", [0.0, 0.005, 0.02, 0.1, 0.5])
def test_lines_in_flight_after_a_damaged_line_are_awaited(round_trip):
    """Otherwise each later line would be refused in turn, for ever."""
    link = fed(*moves(99))
    now = 0.0
    for _ in range(10):
        count = len(numbers(link, now))
        now += round_trip
        link.receive(b"ok\n" * count, now)
    [first, *_] = numbers(link, now)
    refusal = b"Resend: %d\nok\n" % first
    link.receive(refusal, now + round_trip / 2)
    assert link.deadline >= now + round_trip
    assert link.data_to_send(now + round_trip / 2) == b""
    link.receive(refusal * 3, now + round_trip)
    assert numbers(link, now + round_trip) == [first, first + 1, first + 2, first + 3], "all four are answered"


# -- unrequested replies -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [b"X:%d.00 Y:2.00 Z:0.30 E:0.00 Count X:80 Y:160 Z:40", b"E0:%d RPM PRN1:0 RPM E0@:128 PRN1@:0", b"echo:tick %d"],
)
def test_unrequested_reports_are_not_signs_of_life(line):
    link = fed(b"G1 X1")
    link.data_to_send(0.0)
    for at in range(1, 25):
        link.receive(line % at + b"\n", float(at))
    assert link.deadline == 33.0


def test_output_of_a_long_command_is_a_sign_of_life():
    link = fed(b"G29")
    link.data_to_send(0.0)
    for at in range(1, 25):
        link.receive(b"Bed X: %d.000 Y: 5.000 Z: 0.100\n" % at, float(at))
    assert link.deadline == 624.0


def test_an_endless_answer_is_not_stored_completely():
    link = HostLink(MARLIN)
    ticket = Ticket(b"M503")
    link.send(ticket)
    sent(link)
    link.receive(b"echo:more\n" * 5000 + b"ok\n", 0.0)
    assert ticket.done
    assert len(ticket.replies) <= 1001
    assert ticket.replies[-1] == "ok"


# -- where the ok comes at the receipt ---------------------------------------------------------------------------------


def link_and_tickets(*commands):
    """Return a link to a Repetier that has received all these commands."""
    link = HostLink(REPETIER)
    tickets = [Ticket(command) for command in commands]
    for number, ticket in enumerate(tickets, 1):
        link.send(ticket)
        sent(link)
        events = link.receive(b"ok %d\r\n" % number, 0.0)
        assert ticket not in events
    return link, tickets


def test_answers_are_assigned_by_their_content():
    link, (where, how_hot, echo, who) = link_and_tickets(b"M114", b"M105", b"M118 hello there", b"M115")
    events = link.receive(b"T:21.00 /0 B:22.00 /0 B@:0 @:0\r\n", 0.1)
    assert how_hot in events
    assert not where.done, "a report may have come by itself"
    events = link.receive(b"X:1.00 Y:2.00 Z:0.000 E:0.0000\r\n", 0.1)
    assert where in events
    events = link.receive(b"hello\r\n", 0.1)
    assert echo in events
    link.receive(b"FIRMWARE_NAME:Repetier_1.0.4 PROTOCOL_VERSION:1.0\r\nCap:PROGRESS:0\r\n", 0.1)
    assert not who.done
    assert who in link.tick(link.deadline)
    assert where.replies == ["X:1.00 Y:2.00 Z:0.000 E:0.0000", "ok 1"]
    assert how_hot.replies == ["T:21.00 /0 B:22.00 /0 B@:0 @:0", "ok 2"]
    assert echo.replies == ["hello", "ok 3"]
    assert who.replies[1:] == ["Cap:PROGRESS:0", "ok 4"]
    assert link.idle


def test_a_command_with_any_output_ends_after_a_silence():
    link, (settings, target) = link_and_tickets(b"M503", b"M104 S200")
    link.receive(b"EPR:3 11 0.0000 something\r\n", 0.1)
    link.receive(b"EPR:3 15 0.0000 else\r\n", 0.25)
    assert link.tick(0.26) == [target]
    assert link.deadline == pytest.approx(0.45)
    assert link.tick(0.45) == [settings]
    assert settings.replies == ["EPR:3 11 0.0000 something", "EPR:3 15 0.0000 else", "ok 1"]


def test_an_answer_in_order_ends_earlier_commands():
    link, (lost, where) = link_and_tickets(b"M115", b"M114")
    assert link.receive(b"X:1.00 Y:2.00 Z:0.000 E:0.0000\r\n", 0.1)[1:] == [lost, where]


def test_the_unknown_command_message_is_an_answer():
    link, (unknown,) = link_and_tickets(b"M600")
    assert unknown in link.receive(b"Unknown command:N1 M600\r\n", 0.1)


def test_the_wait_for_an_answer_is_bounded():
    link, (where,) = link_and_tickets(b"M114")
    assert link.deadline == 30.0
    assert link.tick(30.0) == [where]
    assert where.replies == ["ok 1"]


def test_a_long_command_ends_when_a_later_echo_returns():
    link, (heat,) = link_and_tickets(b"M109 S200")
    assert sent(link, 0.1) == [b"M118 nozzled-1"]
    assert link.deadline > 300, "the next line is not read before it is done"
    link.receive(b"T:21.00 /200 B:22.00 /0\r\n" * 9, 20.0)
    assert not heat.done
    events = link.receive(b"ok 2\r\n", 90.0)
    events += link.receive(b"nozzled-1\r\n", 90.1)
    assert heat in events
    assert heat.replies == ["ok 1"]


def test_a_long_command_ends_even_without_an_echo():
    link, (heat,) = link_and_tickets(b"M109 S200")
    sent(link, 0.1)
    assert heat in link.receive(b"ok 2\r\nUnknown command:N2 M118\r\n", 90.0)


def test_moves_end_when_they_are_received():
    link = HostLink(REPETIER)
    move = Ticket(b"G1 X1")
    link.send(move)
    sent(link)
    assert move in link.receive(b"ok 1\r\n", 0.0)


def test_an_older_repetier_may_answer_before_its_ok():
    link = HostLink(REPETIER)
    how_hot = Ticket(b"M105")
    link.send(how_hot)
    sent(link)
    events = link.receive(b"T:21.00 /0\nok 1\n", 0.0)
    assert events[-1] is how_hot
    assert how_hot.replies == ["T:21.00 /0", "ok 1"]


@given(st.lists(st.sampled_from([b"M105", b"M114", b"M115", b"M118 x", b"M104 S1", b"G1 X1", b"M503"]), max_size=12),
       st.lists(st.sampled_from([b"T:1 /0", b"X:1 Y:1 Z:1 E:1", b"x", b"FIRMWARE_NAME:R", b"text", b"wait", b""]),
                max_size=30))  # fmt: skip
def test_each_command_is_answered_once_for_any_replies(commands, replies):
    link = HostLink(REPETIER)
    tickets = [Ticket(command) for command in commands]
    items, now = [], 0.0
    for number, ticket in enumerate(tickets, 1):
        link.send(ticket)
        link.data_to_send(now)
        items += link.receive(b"ok %d\r\n" % number, now)
        now += 0.01
    for line in replies:
        items += link.receive(line + b"\r\n", now)
        now += 0.01
    while (deadline := link.deadline) is not None:
        items += link.tick(deadline)
        now = deadline
    done = [item for item in items if isinstance(item, Ticket)]
    assert len(done) == len(tickets)
    assert set(done) == set(tickets)
    assert all(ticket.done and ticket.replies[-1].startswith("ok") for ticket in tickets)
    assert now < 61


# -- what goes alone, and what is left out -----------------------------------------------------------------------------


def test_nothing_is_sent_behind_a_command_answered_twice():
    link = fed(b"G1 X1", b"M105", b"G1 X2", b"G1 X3", dialect=PRUSA)
    assert sent(link) == [b"G1 X1", b"M105"]
    link.receive(b"ok\n", 0.1)
    assert sent(link, 0.1) == []
    link.send(Ticket(b"M114"))
    assert sent(link, 0.1) == []
    link.send(Ticket(b"M108", urgent=True))
    assert sent(link, 0.1) == [b"M108"], "that never waits"
    link.receive(b"ok T:20.0 /0.0\nok\n", 0.2)
    assert sent(link, 0.2) == [b"M114", b"G1 X2", b"G1 X3"]


def test_a_prusa_m105_is_sent_alone_even_when_repeated():
    link = fed(b"M105", b"G1 X2", b"G1 X3", dialect=PRUSA)
    assert sent(link) == [b"M105"]
    link.receive(b"Resend: 1\nok\n", 0.1)
    link.tick(link.deadline or 0.2)
    assert sent(link, 0.2) == [b"M105"]
    link.receive(b"ok T:20.0 /0.0\n", 0.3)
    assert sent(link, 0.3) == [b"G1 X2", b"G1 X3"]


def refuse(link, number, now):
    link.tick(link.deadline or now)
    out = link.data_to_send(now)
    return out, link.receive(b"Resend: %d\nok\n" % number, now + 0.5)


@pytest.mark.parametrize("text", [b"M117 strange", b"M118 strange", b"M486 Astrange", b"M73 P1"])
def test_a_text_refused_repeatedly_is_left_out(text):
    frames = []
    link = HostLink(UNKNOWN, record_line=lambda frame, *_: frames.append(frame[1]))
    lines = iter([job_line(10, text), job_line(20, b"G1 X1")])
    link.feed(lambda: next(lines, None))
    for times in range(3):
        out, items = refuse(link, 1, float(times))
        assert text in out
    assert [item.text for item in items if isinstance(item, LinkNotice)] == [
        f"a line was left out because the firmware kept refusing it: {text.decode()}"
    ]
    assert link.data_to_send(9.0) == b"N1 M105*38\n"
    assert frames[-1] == b"N1 M105*38\n", "and by the next host too"
    link.receive(b"ok T:20.0 /0.0\n", 9.1)
    assert (link.place.lines, link.place.offset) == (1, 10)
    assert sent(link, 9.2) == [b"G1 X1"]


def test_a_line_left_out_does_not_move_the_place_of_the_next_host():
    logbook = Logbook()
    link = HostLink(MARLIN, record_line=logbook.note)
    lines = iter([job_line(10, b"M117 strange"), job_line(20, b"G1 X1"), job_line(30, b"G1 X2")])
    link.feed(lambda: next(lines, None))
    for times in range(3):
        out, _ = refuse(link, 1, 5.0 * times)
        assert out.count(b"\n") == 3
    link.hold()
    link.send(Ticket(b"M105"))
    link.tick(20.0)
    assert sent(link, 20.0) == [b"M105", b"G1 X1", b"G1 X2", b"M105"], "the first one instead of the text"
    assert logbook.snapshot().fed == JobPlace(3, 30), "moves must not be made twice"


@pytest.mark.parametrize("command", [b"G0000000004 P1", b"M0000000000113 S2"])
def test_leading_zeros_of_a_command_do_no_harm(command):
    link = HostLink(MARLIN)
    link.send(Ticket(check_command(command)))
    assert sent(link) == [command]
    assert link.deadline is not None
    assert [item.command for item in link.receive(b"ok\n", 1.0)] == [command]


def test_a_move_is_never_left_out():
    link = fed(b"G1 X1", dialect=UNKNOWN)
    for times in range(12):
        out, items = refuse(link, 1, float(times))
        assert not [item for item in items if isinstance(item, LinkNotice)]
        assert b"G1 X1" in out or link.error
    assert isinstance(link.error, ResendLoop)


def test_temperatures_of_an_autotune_are_not_oks():
    link = fed(b"M303 E0 S200 C8", b"G1 X1", dialect=UNKNOWN)
    sent(link)
    link.receive(b"ok T:151.09 @:64\n" * 9, 1.0)
    assert link.place.lines == 0
    link.receive(b"ok\n", 2.0)
    assert link.place.lines == 1


def test_urgent_commands_fill_the_receive_buffer_and_no_more():
    """The firmware is busy with one command, and its queue is full."""
    link = fed(*moves(9))
    sent(link)
    for _ in range(20):
        link.send(Ticket(b"M876 S0", urgent=True))
    out = b"".join(link.data_to_send(1.0 + 0.1 * at) for at in range(50))
    assert 60 < len(out) <= 127
    assert link.deadline == 30.0, "nothing is due before an answer comes"


def test_the_window_counts_long_line_numbers():
    link = fed(*(b"G1 " + b"X" * 14 for _ in range(9)))
    link._flight.next = link._flight.replay = 12_345_678
    assert len(link.data_to_send(0.0)) <= 127


def test_the_ok_for_the_empty_line_of_a_probe_acknowledges_no_line():
    link = fed(*moves(3), dialect=SMOOTHIE)
    sent(link)
    link.tick(30.0)
    assert link.data_to_send(30.0) == PROBE
    link.receive(b"ok\n", 30.1)
    assert link.place.lines == 0
    link.receive(b"rs N1\n", 30.1)
    link.tick(link.deadline or 31.0)
    assert sent(link, 31.0) == [b"G1 X1"]


# -- what is counted -----------------------------------------------------------------------------------------


def test_resend_requests_are_counted_by_their_reason():
    link = fed(*moves(9))
    link.data_to_send(0.0)
    link.receive(b"Error:checksum mismatch, Last Line: 0\nResend: 1\nok\n", 0.1)
    link.receive(b"Error:Line Number is not Last Line Number+1, Last Line: 0\nResend: 1\nok\n", 0.2)
    link.receive(b"Resend: 1\nok\n", 0.3)
    counters = link.counters
    assert (counters.resends, counters.bad_checksums, counters.wrong_numbers) == (3, 1, 1)


def test_moves_with_an_empty_planner_are_counted_if_reported():
    link = fed(*moves(9))
    link.data_to_send(0.0)
    link.receive(b"ok N1 P14 B3\nok N2 P13 B3\n", 0.1)
    assert (link.counters.planner_reports, link.counters.planner_empty) == (2, 1)
    link.receive(b"ok N3 P14 B3\nok\n", 0.2)
    assert (link.counters.planner_reports, link.counters.planner_empty) == (3, 2)


def test_a_command_that_moves_nothing_says_nothing_about_the_planner():
    """marlin-advok-motion.txt: `ok P15` for a cold extrusion and `ok P14` for a move, both with an empty planner."""
    link = fed(b"G1 F3000", b"G1 E5", b"G17", b"G1 X1", dialect=replace(MARLIN, window_bytes=1000))
    link.data_to_send(0.0)
    link.receive(b"ok N1 P15 B3\nok N2 P15 B3\nok N3 P15 B3\n", 0.1)
    assert (link.counters.planner_reports, link.counters.planner_empty) == (0, 0)
    link.receive(b"ok N4 P14 B3\n", 0.2)
    assert (link.counters.planner_reports, link.counters.planner_empty) == (1, 1)


def test_a_planner_that_was_never_seen_empty_is_not_taken_for_empty():
    """The host has reattached in the middle of a print."""
    link = fed(*moves(9))
    link.data_to_send(0.0)
    link.receive(b"ok N1 P1 B3\nok N2 P2 B3\nok N3 P1 B3\n", 0.1)
    assert (link.counters.planner_reports, link.counters.planner_empty) == (3, 0)


def test_reserved_numbers_are_used_by_commands():
    link, at = HostLink(Dialect("any", window_lines=4), permits=lambda *_: link.next_number in (3, 4)), 0.0
    lines = iter([job_line(n, b"G1 X%d" % n) for n in range(9)])
    link.reserve_numbers(3, 2)
    link.feed(lambda: next(lines, None))
    for command in (b"M117 a", b"M117 b", b"M117 c"):
        link.send(Ticket(command))
    sent = b""
    for _ in range(12):
        sent += link.data_to_send(at)
        link.receive(b"ok\n", at)
        at += 0.1
    commands = [line.partition(b" ")[2].rpartition(b"*")[0] for line in sent.splitlines()]
    assert commands[:6] == [b"G1 X0", b"G1 X1", b"M117 a", b"M117 b", b"G1 X2", b"G1 X3"]
    assert b"M117 c" not in commands
    assert commands[-1] == b"G1 X8"
