"""A probe finds out which line an unknown printer expects; two equal answers count."""

import pytest

from gcode.asking import PATIENCE, QUESTIONS, QUIET, Asking
from gcode.dialect import MARLIN, PRUSA, REPETIER
from gcode.errors import PrinterReset, PrinterSilent
from gcode.packing import RESET

QUESTION = RESET + b"\nN99999999 M105*23\n"
ANSWER = b"Error:Line Number is not Last Line Number+1, Last Line: %d\nResend: %d\nok\n"


def asked(asking: Asking, *answers: bytes) -> float:
    """Answer each question at once; return when the last was put."""
    now = 0.0
    for answer in answers:
        assert asking.data_to_send(now) == QUESTION
        asking.receive(answer, now + 0.01)
        assert asking.data_to_send(now + 0.02) == b""
        now = asking.deadline
    asking.data_to_send(now)
    return now


def test_two_answers_have_to_be_the_same():
    asking = Asking(MARLIN, 229, 0.0)
    asked(asking, ANSWER % (229, 230), ANSWER % (229, 230))
    assert asking.wanted == 230


def test_a_damaged_answer_is_no_answer():
    asking = Asking(MARLIN, 229, 0.0)
    asked(asking, b"Resend: 23\nok\n", ANSWER % (229, 230), ANSWER % (229, 230))
    assert asking.wanted == 230


def test_half_a_line_in_its_buffer_may_be_asked_for_before():
    asking = Asking(MARLIN, 229, 0.0)
    asked(asking, ANSWER % (228, 229) + ANSWER % (229, 230), ANSWER % (229, 230))
    assert asking.wanted == 230


def test_a_request_that_is_repeated_is_waited_for_no_longer():
    asking = Asking(REPETIER, 229, 0.0)
    for now in (0.0, QUIET + 0.01):
        assert asking.data_to_send(now).startswith(b"\nN")
        for again in range(2):
            asking.receive(b"Resend:230\r\nok\r\n", now + 0.01 + 0.2 * again)
    asking.data_to_send(asking.deadline)
    assert asking.wanted == 230


def test_a_busy_printer_answers_later():
    asking = Asking(MARLIN, 229, 0.0)
    asking.data_to_send(0.0)
    asking.receive(b"echo:busy: processing\n", PATIENCE - 1)
    assert asking.data_to_send(PATIENCE + 1) == b""


def test_a_board_that_restarts_has_forgotten_it():
    asking = Asking(MARLIN, 229, 0.0)
    asking.data_to_send(0.0)
    asking.receive(b"start\n", 0.1)
    assert isinstance(asking.error, PrinterReset)
    assert asking.done


@pytest.mark.parametrize("said", [b"", b"ok T:20 /0 B:20 /0\n"])
def test_one_that_does_not_say_is_given_up(said):
    asking, now = Asking(MARLIN, 229, 0.0), 0.0
    for _ in range(QUESTIONS):
        assert asking.data_to_send(now)
        asking.receive(said, now)
        now = asking.deadline
    asking.data_to_send(now)
    assert isinstance(asking.error, PrinterSilent)


def test_a_decoder_that_may_be_waiting_for_packed_lines_is_reset():
    asking = Asking(MARLIN, 229, 0.0)
    assert asking.data_to_send(0.0) == QUESTION, "one without a decoder answers"
    assert asking.data_to_send(PATIENCE) == RESET + QUESTION
    asking.receive(ANSWER % (229, 230), PATIENCE + 1)
    assert asking.data_to_send(asking.deadline) == QUESTION
    assert Asking(PRUSA, 229, 0.0).data_to_send(0.0) == RESET + QUESTION, "one without passes such bytes over"


def test_a_firmware_that_has_said_that_it_unpacks_nothing_is_asked_plainly():
    """The orders to a decoder would be lines that it executes."""

    def first(dialect, unpacks):
        return Asking(dialect, 229, 0.0, unpacks=unpacks).data_to_send(0.0)

    assert first(MARLIN, unpacks=False).startswith(b"\nN")
    assert all(first(MARLIN, unpacks=unpacks).startswith(RESET) for unpacks in (None, True))
    assert first(PRUSA, unpacks=False).startswith(RESET)  # it has no such capability, and answers when it is asked
