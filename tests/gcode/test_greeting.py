import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcode.greeting import HELLO, MAX_BANNER, QUERY, Greeting
from gcode.replies import MAX_LINE


def test_the_hello_has_exactly_these_bytes():
    assert HELLO == b"\nN0 M110 N0*125\n"


def test_hello_is_sent_at_once_and_every_two_seconds():
    greeting, sent = Greeting(100.0), []
    for at in (100.0, 101.0, 101.9, 102.0, 104.0, 106.0):
        greeting.tick(at)
        sent.append((at, greeting.data_to_send(at)))
    assert [at for at, data in sent if data.startswith(HELLO)] == [100.0, 102.0, 104.0, 106.0]
    assert not greeting.done
    assert not greeting.has_heard


@pytest.mark.parametrize("answer", [b"ok\n", b"wait\n", b"ok T:20 /0\r\n", b"ok FIRMWARE\n"])
def test_an_answer_and_a_short_silence_end_the_greeting(answer):
    greeting = Greeting(0.0)
    greeting.data_to_send(0.0)
    greeting.receive(answer, 0.1)
    assert not greeting.done
    assert greeting.deadline == pytest.approx(0.15)
    greeting.tick(0.14)
    assert not greeting.done
    greeting.tick(greeting.deadline)
    assert greeting.done
    assert greeting.deadline is None
    assert greeting.data_to_send(9.0) == b""


def test_the_answer_to_a_second_hello_is_waited_for():
    greeting = Greeting(0.0)
    greeting.data_to_send(0.0)
    greeting.receive(b"ok\n", 0.1)
    greeting.receive(b"ok\n", 0.14)
    greeting.tick(0.15)
    assert not greeting.done
    greeting.tick(0.19)
    assert greeting.done


def test_a_booting_board_is_greeted_after_its_banner():
    greeting = Greeting(0.0)
    greeting.data_to_send(0.0)
    greeting.receive(b"\xf0\x00start\n", 1.0)
    greeting.receive(b"PowerUp\nMarlin 2.0\necho:M301\n", 1.02)
    greeting.tick(1.2)
    assert greeting.data_to_send(1.2) == b""
    greeting.tick(greeting.deadline)
    assert greeting.data_to_send(1.3) == HELLO


def test_a_start_after_an_answer_restarts_the_greeting():
    """The `ok` was for a hello before the reset."""
    greeting = Greeting(0.0)
    greeting.data_to_send(0.0)
    greeting.receive(b"ok\nstart\n", 0.1)
    greeting.tick(1.0)
    assert not greeting.done
    assert greeting.data_to_send(1.0) == HELLO


def test_the_banner_starts_at_the_last_start_and_is_bounded():
    greeting = Greeting(0.0)
    greeting.receive(b"left over\nstart\nPowerUp\nT:20 /0\nMarlin 2.0\n" + b"x" * 900 + b"\nok\n", 0.1)
    assert greeting.banner == ["start", "PowerUp", "Marlin 2.0", "x" * 200]
    greeting.receive(b"echo:more\n" * 100, 0.2)
    assert len(greeting.banner) == MAX_BANNER


def test_the_ok_for_a_cut_hello_is_no_answer():
    greeting = Greeting(0.0)
    greeting.data_to_send(0.0)
    greeting.receive(b'start\necho:Marlin\necho:Unknown command: "125"\nok\n', 0.1)
    greeting.tick(0.5)
    assert not greeting.done
    assert greeting.data_to_send(0.5) == HELLO
    greeting.receive(b"ok\n", 0.6)
    greeting.tick(greeting.deadline)
    assert greeting.done


def test_a_firmware_that_does_not_know_the_hello_answers_it():
    greeting = Greeting(0.0)
    greeting.data_to_send(0.0)
    greeting.receive(b'echo:Unknown command: "N0 M110 N0*125"\nok\n', 0.1)
    greeting.tick(0.2)
    assert greeting.done


def test_teacup_says_ok_after_its_start():
    greeting = Greeting(0.0)
    greeting.receive(b"start\nok\n", 0.1)
    greeting.tick(0.2)
    assert greeting.done


def test_other_text_is_no_answer():
    greeting = Greeting(0.0)
    greeting.data_to_send(0.0)
    greeting.receive(b"echo:hello\n", 0.1)
    assert greeting.has_heard
    greeting.tick(5.0)
    assert not greeting.done


@given(st.lists(st.binary(max_size=50), max_size=10))
def test_any_bytes_are_accepted(pieces):
    greeting = Greeting(0.0)
    for at, piece in enumerate(pieces):
        greeting.receive(piece, float(at))
        greeting.tick(float(at))
        greeting.data_to_send(float(at))


def test_a_line_without_end_is_bounded():
    greeting = Greeting(0.0)
    for _ in range(50):
        greeting.receive(b"x" * 1000, 0.0)
    assert len(greeting._partial) <= MAX_LINE


def test_the_late_answer_to_an_earlier_hello_is_waited_for():
    """If it counted as the answer to the next line, every answer of the session would be shifted by one."""
    greeting = Greeting(0.0)
    greeting.data_to_send(0.0)
    greeting.receive(b"start\n", 0.1)
    greeting.tick(0.4)
    assert greeting.data_to_send(0.4)
    greeting.receive(b"ok\n", 0.41)
    greeting.tick(0.6)
    assert not greeting.done
    greeting.receive(b"ok\n", 0.7)
    greeting.tick(0.8)
    assert greeting.done


def test_the_third_hello_comes_with_a_temperature_query():
    greeting = Greeting(0.0)
    messages = [greeting.data_to_send(at) for at in (0.0, 2.0, 4.0, 6.0) if not greeting.tick(at)]
    assert messages == [HELLO, HELLO, HELLO + QUERY, HELLO + QUERY]
    greeting.receive(b"ok T:21.0 /0.0\n", 6.1)
    greeting.tick(6.6)
    assert greeting.done


def test_the_greeting_restarts_when_the_board_boots():
    greeting = Greeting(0.0)
    for at in (0.0, 2.0, 4.0):
        greeting.tick(at)
        greeting.data_to_send(at)
    greeting.receive(b"start\n", 5.0)
    greeting.tick(5.25)
    assert greeting.data_to_send(5.25) == HELLO


@pytest.mark.parametrize("word", [b"echo:busy: processing\n", b"T:59.1 /200.0 B:60.0 /60.0 @:127 B@:0 W:?\n"])
def test_a_printer_busy_for_the_previous_host_is_not_greeted(word):
    greeting = Greeting(0.0)
    messages = [greeting.data_to_send(0.0)]
    for at in range(1, 60):
        greeting.receive(word, float(at))
        greeting.tick(float(at))
        messages.append(greeting.data_to_send(float(at)))
    assert [data for data in messages if data] == [HELLO]
    assert greeting.busy_at == 59.0
    greeting.tick(61.0)
    assert greeting.data_to_send(61.0) == HELLO, "it is free, and has not answered"
