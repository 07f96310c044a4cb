"""A printer is probed for its next line until two answers agree."""

import pytest

from gcode.dialect import MARLIN, PRUSA, REPETIER
from gcode.errors import PrinterReset, PrinterSilent
from gcode.line_probe import MAX_PROBES, PROBE_TIMEOUT, RESEND_QUIET_S, LineProbe
from gcode.packing import RESET

PROBE = RESET + b" P1\nN99999999 M105*23\n"
ANSWER = b"Error:Line Number is not Last Line Number+1, Last Line: %d\nResend: %d\nok\n"


def answer(probe: LineProbe, *answers: bytes) -> float:
    """Answer each probe at once; return when the last one was sent."""
    now = 0.0
    for answer in answers:
        assert probe.data_to_send(now) == PROBE
        probe.receive(answer, now + 0.01)
        assert probe.data_to_send(now + 0.02) == b""
        now = probe.deadline
    probe.data_to_send(now)
    return now


def test_two_equal_answers_are_needed():
    probe = LineProbe(MARLIN, 229, 0.0)
    answer(probe, ANSWER % (229, 230), ANSWER % (229, 230))
    assert probe.number == 230


def test_a_damaged_answer_is_no_answer():
    probe = LineProbe(MARLIN, 229, 0.0)
    answer(probe, b"Resend: 23\nok\n", ANSWER % (229, 230), ANSWER % (229, 230))
    assert probe.number == 230


def test_a_half_line_in_the_buffer_may_be_requested_first():
    probe = LineProbe(MARLIN, 229, 0.0)
    answer(probe, ANSWER % (228, 229) + ANSWER % (229, 230), ANSWER % (229, 230))
    assert probe.number == 230


def test_a_repeated_request_does_not_extend_the_wait():
    probe = LineProbe(REPETIER, 229, 0.0)
    for now in (0.0, RESEND_QUIET_S + 0.01):
        assert probe.data_to_send(now).startswith(b" P1\nN")
        for again in range(2):
            probe.receive(b"Resend:230\r\nok\r\n", now + 0.01 + 0.2 * again)
    probe.data_to_send(probe.deadline)
    assert probe.number == 230


def test_a_busy_printer_answers_later():
    probe = LineProbe(MARLIN, 229, 0.0)
    probe.data_to_send(0.0)
    probe.receive(b"echo:busy: processing\n", PROBE_TIMEOUT - 1)
    assert probe.data_to_send(PROBE_TIMEOUT + 1) == b""


def test_a_restarted_board_has_forgotten_its_number():
    probe = LineProbe(MARLIN, 229, 0.0)
    probe.data_to_send(0.0)
    probe.receive(b"start\n", 0.1)
    assert isinstance(probe.error, PrinterReset)
    assert probe.done


@pytest.mark.parametrize("data", [b"", b"ok T:20 /0 B:20 /0\n"])
def test_a_silent_board_is_given_up(data):
    probe, now = LineProbe(MARLIN, 229, 0.0), 0.0
    for _ in range(MAX_PROBES):
        assert probe.data_to_send(now)
        probe.receive(data, now)
        now = probe.deadline
    probe.data_to_send(now)
    assert isinstance(probe.error, PrinterSilent)


def test_a_decoder_that_may_be_waiting_for_packed_lines_is_reset():
    probe = LineProbe(MARLIN, 229, 0.0)
    assert probe.data_to_send(0.0) == PROBE, "one without a decoder answers"
    assert probe.data_to_send(PROBE_TIMEOUT) == RESET + PROBE
    probe.receive(ANSWER % (229, 230), PROBE_TIMEOUT + 1)
    assert probe.data_to_send(probe.deadline) == PROBE
    assert LineProbe(PRUSA, 229, 0.0).data_to_send(0.0) == RESET + PROBE, "one without passes such bytes over"


def test_a_firmware_without_a_decoder_is_probed_in_plain_text():
    """The orders to a decoder would be lines that it executes."""

    def first(dialect, unpacks):
        return LineProbe(dialect, 229, 0.0, unpacks=unpacks).data_to_send(0.0)

    assert first(MARLIN, unpacks=False).startswith(b" P1\nN")
    assert all(first(MARLIN, unpacks=unpacks).startswith(RESET) for unpacks in (None, True))
    assert first(PRUSA, unpacks=False).startswith(RESET)  # it has no such capability, and answers the probe
