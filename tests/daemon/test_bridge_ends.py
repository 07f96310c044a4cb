"""Both ends of the bridge: the messages and their times, and ends that hang, flood or send garbage."""

import asyncio
import contextvars
import errno
import os
import socket
from types import SimpleNamespace
from unittest.mock import patch

import msgspec
import pytest
from structlog.testing import capture_logs

from daemon.bridge import core_end, front_end
from daemon.bridge import questions as ask
from daemon.bridge.core_end import MAX_UNREAD, READ_TIMEOUT, WAKE_COST_S, CoreEnd, socket_pair, user_of
from daemon.bridge.desk import MAX_OPEN
from daemon.bridge.events import JobChanged
from daemon.bridge.frames import LENGTH, MAX_QUESTION, Frames, frame
from daemon.bridge.front_end import (
    ANSWER_TIMEOUT,
    CORE_AWAY_TEXT,
    CORE_RETURN_TIMEOUT,
    HEARTBEAT_INTERVAL,
    RETRY_INTERVAL,
    FrontEnd,
    patience_of_client,
)
from daemon.bridge.messages import FromFront, Hello, decode
from daemon.bridge.snapshot import PrinterSummary
from daemon.bridge.words import JobState
from daemon.core import main
from daemon.core.main import keep_listening, listen
from daemon.errors import CoreAway, JobConflict, ServiceError
from gcode.errors import QueueFull
from hal.printer import ConnectionState, FirmwareSaid, StateChanged
from support import waiting
from support.bridge import PIECE, FakeDesk, connected, fake_front, question_message


@pytest.fixture
def desk():
    return FakeDesk()


async def both(desk):
    end, front = CoreEnd(desk), FrontEnd()
    connected(end, front)
    await front.wait_for_snapshot()
    return end, front


# -- snapshots and events --------------------------------------------------------------------------------------


async def test_a_new_front_gets_a_snapshot_at_once(desk):
    desk.state = JobState.PAUSED
    _, front = await both(desk)
    assert front.latest().job.state is JobState.PAUSED


async def test_an_answer_comes_after_the_change_that_it_caused(desk):
    _, front = await both(desk)

    def start(_):
        desk.state = JobState.STARTING

    desk.answers = start
    await front.ask(ask.Start())
    assert front.latest().job.state is JobState.STARTING


async def test_the_effect_of_a_question_is_sent_before_its_answer(desk):
    front = fake_front(CoreEnd(desk))

    def start(question):
        desk.state = JobState.STARTING if isinstance(question, ask.Start) else JobState.PAUSING

    desk.answers = start
    front.say(question_message(1, ask.Start()))
    await asyncio.sleep(1)
    front.say(question_message(2, ask.Pause()))
    await asyncio.sleep(1)
    order = [each.get("id") or each["snapshot"]["job"]["state"] for each in front.received]
    assert order == ["completed", "starting", 1, "pausing", 2]


async def test_a_late_answer_comes_after_the_change_that_it_caused(desk):
    _, front = await both(desk)

    async def later():
        await asyncio.sleep(2)
        desk.state = JobState.CANCELLED

    desk.answers = lambda _: later()
    await front.ask(ask.Disconnect())
    assert front.latest().job.state is JobState.CANCELLED


async def test_answers_in_any_order_find_their_questions(desk):
    _, front = await both(desk)

    async def later(question):
        await asyncio.sleep(5 - question.since)
        return ask.ConversationLines(lines=[f"{question.since:g}"], until=0.0)

    desk.answers = later
    talks = await asyncio.gather(*(front.ask(ask.AskConversation(since=float(n))) for n in range(5)))
    assert [talk.lines for talk in talks] == [["0"], ["1"], ["2"], ["3"], ["4"]]


async def test_a_refusal_is_raised_as_its_own_class(desk):
    _, front = await both(desk)

    async def later():
        raise JobConflict("not now")

    desk.answers = lambda _: later()
    with pytest.raises(JobConflict, match="not now"):
        await front.ask(ask.Connect())


async def test_a_question_that_comes_too_late_is_refused_but_a_stop_is_carried_out(desk):
    """The core stood still, and wakes: a print that was to be resumed minutes ago stays paused."""
    front = fake_front(CoreEnd(desk))
    now = asyncio.get_running_loop().time()
    stop = ask.Send(commands=["m112"])
    assert stop.is_never_too_late
    assert not ask.Send(commands=["M105"]).is_never_too_late
    front.pipe_end.write(frame(ask.encode_question(1, ask.Resume(), now - 1)) + frame(ask.encode_question(2, stop)))
    front.pipe_end.write(frame(ask.encode_question(3, ask.Resume(), now + 1)))
    await asyncio.sleep(1)
    assert desk.questions == [stop, ask.Resume()]
    [late] = front.messages("refused")
    assert (late["id"], late["error"]) == (1, "TooLate")


async def test_many_changes_are_few_snapshots(desk):
    """A print of a thousand lines in ten seconds."""
    desk.printing = True
    end = CoreEnd(desk)
    front = fake_front(end)
    for _ in range(1000):
        desk.tell(None)
        await asyncio.sleep(0.01)
    assert 10 / core_end.PRINT_INTERVAL <= len(front.messages("seen")) <= 10 / core_end.SNAPSHOT_INTERVAL + 2


async def test_many_changes_at_rest_are_few_snapshots_too(desk):
    """Somebody jogs, or a heater is reported all the time."""
    front = fake_front(CoreEnd(desk))
    for _ in range(1000):
        desk.tell(None)
        await asyncio.sleep(0.01)
    assert 0.9 * 10 / core_end.SNAPSHOT_INTERVAL <= len(front.messages("seen")) <= 10 / core_end.SNAPSHOT_INTERVAL + 2


async def test_snapshots_come_twice_a_second_in_a_silent_print_and_never_at_rest(desk):
    desk.printing = True
    front = fake_front(CoreEnd(desk))
    await asyncio.sleep(10)
    assert 18 <= len(front.messages("seen")) <= 22
    desk.printing = False
    await asyncio.sleep(1)
    front.received.clear()
    await asyncio.sleep(60)
    assert not front.received


async def test_an_event_comes_after_the_snapshot_with_its_change(desk):
    _, front = await both(desk)
    events = []
    front.subscribe(lambda event: events.append((event, front.latest().job.state)) if event else None)
    desk.state = JobState.PAUSING
    desk.tell(JobChanged(JobState.PAUSING))
    await asyncio.sleep(0)
    assert events == [(JobChanged(JobState.PAUSING), JobState.PAUSING)]


async def test_a_talkative_printer_causes_at_most_fifty_snapshots_a_second(desk):
    front = fake_front(CoreEnd(desk))
    for _ in range(5000):
        desk.tell(FirmwareSaid("echo:busy", "info"))
        await asyncio.sleep(0.001)
    events = front.messages("happened")
    assert 290 <= len(events) <= 310
    assert sum(each["dropped"] for each in events) + len(events) == pytest.approx(5000, abs=200)
    desk.tell(JobChanged(JobState.FAILED))
    await asyncio.sleep(0)
    assert front.messages("happened")[-1]["name"] == "JobChanged", "what counts is told all the same"
    await asyncio.sleep(3600)
    front.received.clear()
    for _ in range(5000):
        desk.tell(FirmwareSaid("echo:busy", "info"))
    await asyncio.sleep(0)
    assert len(front.messages("happened")) == core_end.MAX_EVENTS, "an hour of silence saves no more"


# -- a front that hangs, floods, says garbage ---------------------------------------------------------------------


async def test_dropped_snapshots_are_counted_and_the_newest_is_sent_later(desk):
    front = fake_front(CoreEnd(desk))
    await asyncio.sleep(0)
    core_pipe = front.pipe_end.other
    desk.snapshot_fields["printer"] = PrinterSummary(message="x" * 50_000)
    front.pipe_end.pause_reading()
    for _ in range(100):
        desk.tell(JobChanged(JobState.PRINTING))
    assert core_pipe.max_unread <= MAX_UNREAD + 60_000
    desk.snapshot_fields["printer"] = PrinterSummary(message="the newest")
    await asyncio.sleep(READ_TIMEOUT / 2)
    front.pipe_end.resume_reading()
    await asyncio.sleep(1)
    assert front.messages("seen")[-1]["snapshot"]["printer"]["message"] == "the newest"
    await asyncio.sleep(READ_TIMEOUT)
    assert not front.lost
    event_count = len(front.messages("happened"))
    desk.tell(JobChanged(JobState.COMPLETED))
    await asyncio.sleep(0)
    assert front.messages("happened")[-1]["dropped"] == 100 - event_count


async def test_a_front_that_does_not_read_is_cut_off_after_five_seconds(desk):
    front = fake_front(CoreEnd(desk))
    core_pipe = front.pipe_end.other
    front.pipe_end.pause_reading()
    desk.printing = True
    desk.snapshot_fields["printer"] = PrinterSummary(message="x" * 50_000)
    desk.tell(None)
    with capture_logs() as logs:
        while not core_pipe.paused:  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.1)
        unread = len(core_pipe.written)
        await asyncio.sleep(READ_TIMEOUT - 0.1)
        assert not front.lost
        assert len(core_pipe.written) == unread, "meanwhile it gets nothing, though the print goes on"
        await asyncio.sleep(0.2)
    assert front.lost
    assert not desk.listeners
    assert [each["reason"] for each in logs if each["event"] == "bridge.cut_off"] == ["the front does not read"]


async def test_a_front_that_hangs_up_without_having_read_is_not_cut_off_afterwards(desk):
    front = fake_front(CoreEnd(desk))
    front.pipe_end.pause_reading()
    desk.snapshot_fields["printer"] = PrinterSummary(message="x" * 50_000)
    with capture_logs() as logs:
        while not front.pipe_end.other.paused:
            desk.tell(JobChanged(JobState.PRINTING))
        front.pipe_end.abort()
        await asyncio.sleep(2 * READ_TIMEOUT)
    assert [each["event"] for each in logs] == ["bridge.lost"]


async def test_a_front_that_asks_without_reading_gets_no_more_answers(desk):
    desk.answers = lambda _: ask.ConversationLines(lines=["x" * 100_000], until=0.0)
    front = fake_front(CoreEnd(desk))
    core_pipe = front.pipe_end.other
    front.pipe_end.pause_reading()
    front.say(*(question_message(n, ask.AskConversation(since=0)) for n in range(1000)))
    await asyncio.sleep(READ_TIMEOUT - 1)
    assert core_pipe.max_unread < MAX_UNREAD + 16 * 110_000
    assert 0 < len(desk.questions) < 40
    assert not core_pipe.reading, "and is not read either"
    front.pipe_end.resume_reading()
    await asyncio.sleep(30)
    assert [each["id"] for each in front.messages("answered")] == list(range(1000)), "and none was lost"


async def test_questions_of_a_front_that_does_not_read_take_no_memory(desk):
    front = fake_front(CoreEnd(desk))
    core_pipe = front.pipe_end.other
    front.pipe_end.pause_reading()
    desk.snapshot_fields["printer"] = PrinterSummary(message="x" * 50_000)
    while not core_pipe.paused:
        desk.tell(JobChanged(JobState.PRINTING))
    assert core_pipe.reading
    front.say(question_message(1, ask.Start()))
    await asyncio.sleep(0.1)
    assert not core_pipe.reading
    front.pipe_end.resume_reading()
    await asyncio.sleep(1)
    assert [each["id"] for each in front.messages("answered")] == [1]


async def test_late_answers_wait_for_a_front_that_does_not_read(desk):
    front = fake_front(CoreEnd(desk))
    front.pipe_end.pause_reading()
    done = asyncio.Event()

    async def later():
        await done.wait()

    desk.answers = lambda _: later()
    front.say(question_message(1, ask.Disconnect()))
    desk.snapshot_fields["printer"] = PrinterSummary(message="x" * 200_000)
    await asyncio.sleep(0.1)
    for _ in range(5):
        desk.tell(JobChanged(JobState.PRINTING))
    done.set()
    await asyncio.sleep(0.1)
    desk.state = JobState.CANCELLED
    front.pipe_end.resume_reading()
    await asyncio.sleep(0.1)
    assert [each["type"] for each in front.received[-2:]] == ["seen", "answered"]
    assert front.received[-2]["snapshot"]["job"]["state"] == "cancelled"


async def test_a_front_that_floods_gets_a_tenth_of_the_time(desk):
    """By the clock of this loop Python takes no time, so each turn costs no more than waking up does."""
    end = CoreEnd(desk)
    front = fake_front(end)
    front.say(*(question_message(n, ask.Start()) for n in range(50_000)))
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(0.1)
    assert end._front._frames.waiting <= PIECE, "the rest is not read: it takes no memory of the core"
    await asyncio.sleep(0.9)
    # 20 ms are at hand, then come 100 ms a second, and a turn costs 0.1 ms at least
    assert 15_000 < len(desk.questions) <= 16 * (200 + 1000) + 16
    before = len(desk.questions)
    await asyncio.sleep(1)
    assert 12_000 < len(desk.questions) - before <= 16 * 1000 + 16
    assert asyncio.get_running_loop().time() == began + 2
    await asyncio.sleep(3)
    assert len(front.messages("answered")) == 50_000, "and all have their answers in the end"


async def test_slow_answers_end_a_turn_of_the_loop_early(desk):
    loop, slow = asyncio.get_running_loop(), 0.0
    clock = loop.time
    loop.time = lambda: clock() + slow  # by which Python takes time

    def answer(_):
        nonlocal slow
        slow += 0.6 * core_end.MAX_TURN_S

    desk.answers = answer
    front = fake_front(CoreEnd(desk))
    front.say(*(question_message(n, ask.Start()) for n in range(10)))
    await asyncio.sleep(0)
    assert len(desk.questions) == 2
    await asyncio.sleep(1)
    assert [each["id"] for each in front.messages("answered")] == list(range(10))


async def test_questions_sent_one_by_one_get_the_same_share(desk):
    front = fake_front(CoreEnd(desk))
    loop = asyncio.get_running_loop()
    end = loop.time() + 0.5
    sent = 0
    while loop.time() < end:
        front.say(question_message(sent, ask.Start()))
        sent += 1
        while len(front.messages("answered")) < sent and loop.time() < end:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.0001)
        front.received = [each for each in front.received if each["type"] == "answered"][-sent:]
    assert 100 < sent < 200 + 500 + 10


async def test_bytes_sent_one_by_one_get_the_same_share(desk):
    """Reading costs the front its share even while no question is complete."""
    end = CoreEnd(desk)
    front = fake_front(end)
    message = frame(ask.encode_question(1, ask.UsePreset(preset="x" * 6_000)))
    loop = asyncio.get_running_loop()
    spent, real = [], end.allowance.spend
    end.allowance.spend = lambda seconds, now: spent.append(seconds) or real(seconds, now)
    began = loop.time()
    for byte in message[:-1]:
        front.pipe_end.write(bytes([byte]))
        await asyncio.sleep(0.0001)
    assert not desk.questions
    assert 0.5 < loop.time() - began < 1
    assert 0.05 < sum(spent) < 0.15, f"{len(spent)} times {WAKE_COST_S} s"


async def test_a_question_that_a_thread_works_on_costs_more(desk):
    end = CoreEnd(desk)
    spent, spend = [], end.allowance.spend
    end.allowance.spend = lambda seconds, now: spent.append(seconds) or spend(seconds, now)
    desk.answers = lambda _: asyncio.sleep(1)
    front = fake_front(end)
    front.say(question_message(1, ask.ListPorts()))
    await asyncio.sleep(2)
    assert front.messages("answered")
    assert sum(spent) == pytest.approx(core_end.THREAD_COST_S + WAKE_COST_S)


async def test_the_number_of_long_questions_is_limited_even_over_reconnects(desk):
    end = CoreEnd(desk)
    done = asyncio.Event()

    async def later():
        await done.wait()

    desk.answers = lambda _: later()
    front = fake_front(end)
    front.say(*(question_message(n, ask.Connect()) for n in range(MAX_OPEN - 2)))
    await asyncio.sleep(5)
    other = fake_front(end)
    other.say(*(question_message(n, ask.Connect()) for n in range(5)))
    await asyncio.sleep(5)
    assert front.lost
    refused = other.messages("refused")
    assert [each["id"] for each in refused] == [2, 3, 4]
    assert {each["error"] for each in refused} == {QueueFull.__name__}
    done.set()
    await asyncio.sleep(1)
    assert [each["id"] for each in other.messages("answered")] == [0, 1]
    other.say(question_message(9, ask.Connect()))
    await asyncio.sleep(1)
    assert other.messages("answered")[-1]["id"] == 9


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: core\r\n\r\n",
        (MAX_QUESTION + 1).to_bytes(LENGTH, "big"),
        (4).to_bytes(LENGTH, "big") + b"\xc1\xc1\xc1\xc1",
        (60_000).to_bytes(LENGTH, "big") + b"\x91" * 60_000,
        (0).to_bytes(LENGTH, "big"),
    ],
    ids=["HTTP", "too long", "no MessagePack", "too deep", "nothing"],
)
async def test_a_front_that_sends_garbage_is_cut_off_and_may_reconnect(desk, garbage):
    end = CoreEnd(desk)
    front = fake_front(end)
    with capture_logs() as logs:
        front.pipe_end.write(garbage)
        await asyncio.sleep(1)
    assert front.lost
    assert [each["reason"][:32] for each in logs if each["event"] == "bridge.cut_off"] == [
        "the front's message cannot be de"
    ]
    again = fake_front(end)
    again.say(question_message(1, ask.Start()))
    await asyncio.sleep(1)
    assert len(again.messages("answered")) == 1


async def test_half_a_frame_delays_nothing(desk):
    front = fake_front(CoreEnd(desk))
    front.pipe_end.write((50_000).to_bytes(LENGTH, "big") + b"\0" * 100)
    await asyncio.sleep(3600)
    desk.tell(JobChanged(JobState.PRINTING))
    await asyncio.sleep(1)
    assert not front.lost
    assert front.messages("happened")


async def test_the_longest_question_may_come_byte_by_byte(desk):
    front = fake_front(CoreEnd(desk))
    message = ask.encode_question(1, ask.UsePreset(preset="x" * 6_000))
    for byte in len(message).to_bytes(LENGTH, "big") + message:
        front.pipe_end.write(bytes([byte]))
    await asyncio.sleep(1)
    assert [question.preset[:1] for question in desk.questions] == ["x"]


async def test_frequent_reconnections_do_not_fill_the_log(desk):
    end = CoreEnd(desk)
    with capture_logs() as logs:
        for _ in range(200):
            fake_front(end).pipe_end.write(b"\xff" * 8)
            await asyncio.sleep(0.01)
    assert 0 < len(logs) <= 20


async def test_an_event_that_cannot_be_encoded_costs_only_the_connection(desk):
    end = CoreEnd(desk)
    front = fake_front(end)
    desk.tell(FirmwareSaid(object(), "info"))
    await asyncio.sleep(1)
    assert front.lost
    again = fake_front(end)
    desk.tell(FirmwareSaid("fine", "info"))
    await asyncio.sleep(1)
    assert (again.lost, len(again.messages("happened"))) == (False, 1)


async def test_a_dropped_event_still_brings_the_state_that_it_changed(desk):
    front = fake_front(CoreEnd(desk))
    for n in range(60):
        desk.tell(FirmwareSaid(str(n), "info"))
    desk.state = JobState.CANCELLED
    desk.tell(FirmwareSaid("one too many", "info"))
    await asyncio.sleep(0.2)
    assert len(front.messages("happened")) == 50
    assert front.messages("seen")[-1]["snapshot"]["job"]["state"] == "cancelled"


async def test_a_bug_in_the_snapshot_costs_only_the_connection(desk):
    end = CoreEnd(desk)
    front = fake_front(end)
    await asyncio.sleep(0)
    with patch.object(desk, "snapshot", side_effect=ZeroDivisionError), capture_logs() as logs:
        desk.tell(JobChanged(JobState.PRINTING))  # raises nothing: it is called in the middle of serving the wire
        await asyncio.sleep(0)
    assert front.lost
    assert {"bridge.question_failed", "bridge.cut_off"} <= {each["event"] for each in logs}
    assert fake_front(end).lost is False


# -- who may come ---------------------------------------------------------------------------------------------


async def test_a_second_front_replaces_the_first(desk):
    end = CoreEnd(desk)
    first = fake_front(end)
    second = fake_front(end)
    await asyncio.sleep(1)
    assert first.lost
    assert len(desk.listeners) == 1
    second.say(question_message(1, ask.Start()))
    await asyncio.sleep(1)
    assert second.messages("answered")
    assert not second.lost


async def test_a_command_of_a_lost_front_continues(desk):
    done = []

    async def later():
        await asyncio.sleep(3)
        done.append(True)

    desk.answers = lambda _: later()
    front = fake_front(CoreEnd(desk))
    front.say(question_message(1, ask.Disconnect()))
    await asyncio.sleep(0.1)
    front.pipe_end.abort()
    await asyncio.sleep(5)
    assert done


def test_the_kernel_identifies_the_process_of_a_connection():
    ours, theirs = socket_pair()
    assert user_of(ours) == os.geteuid()
    ours.close()
    theirs.close()


async def test_the_socket_is_private_and_removed_with_the_core(desk, tmp_path):
    path = tmp_path / "core.sock"
    path.write_text("left over")
    end, mask = CoreEnd(desk), os.umask(0o022)
    try:
        await end.listen(path)
        assert os.umask(0o022) == 0o022, "other files of the core are not made so private"
    finally:
        os.umask(mask)
    assert path.is_socket()
    assert path.stat().st_mode & 0o777 == 0o600
    end.close()
    assert not path.exists()


@pytest.mark.real_time
async def test_no_socket_of_the_core_can_block_its_loop(desk, tmp_path):
    """A front that does not read would stop the wire."""
    end, path = CoreEnd(desk), tmp_path / "core.sock"
    await end.listen(path)
    front = FrontEnd()
    front.keep_connected(path)
    await front.wait_for_snapshot()
    ours, theirs = socket_pair()
    for each in (end._listener, end._front._transport.get_extra_info("socket"), ours):
        assert each.gettimeout() == 0
    assert theirs.gettimeout() is None, "the other process sets its own"
    ours.close()
    theirs.close()
    await front.close()
    end.close()
    await asyncio.sleep(0.01)


async def test_a_core_that_ends_while_it_accepts_no_front_leaves_nothing_behind(desk, tmp_path):
    errors, loop = [], asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: errors.append(context))
    end = CoreEnd(desk)
    await end.listen(tmp_path / "core.sock")
    end._pause_accepting(core_end.ACCEPT_RETRY_DELAY)
    end.close()
    end.close()
    await asyncio.sleep(2 * core_end.ACCEPT_RETRY_DELAY)
    assert errors == []


async def test_a_socket_that_is_missing_or_cannot_be_created_is_created_later(desk, tmp_path, monkeypatch):
    monkeypatch.setattr(main, "SOCKET_CHECK_INTERVAL", 0.05)
    end, path = CoreEnd(desk), tmp_path / "run/core.sock"
    with capture_logs() as logs:
        await listen(end, path)
    assert [(each["event"], str(path) in each["reason"]) for each in logs] == [("bridge.no_socket", True)]
    keeping = asyncio.create_task(keep_listening(end, path))
    path.parent.mkdir()
    for _ in range(2):
        await asyncio.sleep(0.2)
        assert path.is_socket()
        front = FrontEnd()
        front.keep_connected(path)
        await front.wait_for_snapshot()
        await front.close()
        path.unlink()
    keeping.cancel()
    end.close()


@pytest.mark.real_time
async def test_a_folder_in_place_of_the_socket_makes_way(desk, tmp_path):
    (tmp_path / "core.sock").mkdir()
    end = CoreEnd(desk)
    await end.listen(tmp_path / "core.sock")
    assert (tmp_path / "core.sock").is_socket()
    end.close()


@pytest.mark.real_time
async def test_without_descriptors_fronts_wait_for_a_second_and_the_loop_does_not_spin(desk, tmp_path, monkeypatch):
    monkeypatch.setattr(core_end, "ACCEPT_RETRY_DELAY", 0.3)
    end, path, refusals = CoreEnd(desk), tmp_path / "core.sock", []
    await end.listen(path)
    end._accept()  # nobody is there: the front has hung up again
    listener = end._listener

    def full():
        refusals.append(1)
        raise OSError(errno.EMFILE, "Too many open files")

    end._loop.remove_reader(listener)
    end._listener = SimpleNamespace(accept=full, fileno=listener.fileno, close=listener.close)
    end._loop.add_reader(end._listener, end._accept)
    front = FrontEnd()
    front.keep_connected(path)
    with capture_logs() as logs:
        await asyncio.sleep(0.5)
    assert len(refusals) == 2
    assert {each["event"] for each in logs} == {"bridge.no_room"}
    end._listener.accept = listener.accept
    async with asyncio.timeout(waiting.TIMEOUT):
        await front.wait_for_snapshot()
    await front.close()
    end.close()
    await asyncio.sleep(0.01)


@pytest.mark.real_time
async def test_a_folder_in_place_of_the_socket_does_not_fail_the_end(desk, tmp_path):
    end = CoreEnd(desk)
    await end.listen(tmp_path / "core.sock")
    (tmp_path / "core.sock").unlink()
    (tmp_path / "core.sock").mkdir()
    end.close()


@pytest.mark.real_time
async def test_another_user_cannot_connect(desk, tmp_path):
    end = CoreEnd(desk)
    await end.listen(tmp_path / "core.sock")
    with patch.object(core_end, "user_of", return_value=os.geteuid() + 4711), capture_logs() as logs:
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "core.sock"))
        assert await reader.read() == b""
        writer.close()
    [refused] = [each for each in logs if each["event"] == "bridge.refused"]
    assert str(os.geteuid() + 4711) in refused["reason"]
    assert not desk.listeners
    end.close()


@pytest.mark.real_time
async def test_repeated_connections_are_accepted_at_a_limited_rate(desk, tmp_path):
    end = CoreEnd(desk)
    await end.listen(tmp_path / "core.sock")
    loop = asyncio.get_running_loop()
    began, accepted = loop.time(), []
    while loop.time() < began + 0.5:
        visitor = socket.socket(socket.AF_UNIX)
        visitor.setblocking(False)  # noqa: FBT003 - the standard library's own signature
        try:
            visitor.connect(str(tmp_path / "core.sock"))
            accepted.append(visitor)
        except BlockingIOError:
            visitor.close()
        await asyncio.sleep(0.001)
    assert desk.snapshots < 10 + 50 * (loop.time() - began) + 10
    for each in accepted:
        each.close()
    front = FrontEnd()
    front.keep_connected(tmp_path / "core.sock")
    async with asyncio.timeout(waiting.TIMEOUT):
        await front.wait_for_snapshot()
    await front.close()
    end.close()
    await asyncio.sleep(0.01)


# -- the front's end --------------------------------------------------------------------------------------------


async def test_the_front_has_no_state_before_it_meets_a_core():
    front = FrontEnd()
    assert front.latest().printer.state is ConnectionState.OFFLINE
    assert front.latest().printer.error == CORE_AWAY_TEXT
    with pytest.raises(CoreAway, match="is not running"):
        await front.ask(ask.Start())


async def test_the_last_snapshot_of_a_missing_core_is_shown_for_five_seconds(desk):
    desk.snapshot_fields["printer"] = PrinterSummary(state=ConnectionState.READY)
    desk.state = JobState.PRINTING
    end, front = await both(desk)
    changes = []
    front.subscribe(changes.append)
    end._front.cut_off()
    await asyncio.sleep(CORE_RETURN_TIMEOUT - 0.1)
    assert front.latest().job.state is JobState.PRINTING
    assert front.latest().printer.state is ConnectionState.READY
    assert not changes
    with capture_logs() as logs:
        await asyncio.sleep(0.2)
    assert front.latest().job.state is None
    assert (front.latest().printer.state, front.latest().printer.error) == (ConnectionState.OFFLINE, CORE_AWAY_TEXT)
    assert changes == [None]
    assert [each["event"] for each in logs] == ["core.away"]


async def test_a_core_that_never_appears_is_reported(tmp_path):
    end = FrontEnd()
    end.keep_connected(tmp_path / "nozzled-core.sock")
    with capture_logs() as logs:
        await asyncio.sleep(CORE_RETURN_TIMEOUT + 0.1)
    await end.close()
    assert [each["event"] for each in logs] == ["core.away"]


async def test_a_core_that_returns_in_time_is_not_reported_away(desk):
    desk.state = JobState.PRINTING
    end, front = await both(desk)
    end._front.cut_off()
    await asyncio.sleep(CORE_RETURN_TIMEOUT - 0.1)
    connected(end, front)
    await asyncio.sleep(10)
    assert front.latest().job.state is JobState.PRINTING
    end._front.cut_off()
    await asyncio.sleep(CORE_RETURN_TIMEOUT + 0.1)
    connected(end, front)
    await asyncio.sleep(1)
    assert front.latest().job.state is JobState.PRINTING


async def test_a_core_that_is_lost_a_second_time_is_reported_away_too(desk):
    desk.snapshot_fields["printer"] = PrinterSummary(state=ConnectionState.READY)
    end, front = await both(desk)
    end._front.cut_off()
    await asyncio.sleep(1)
    connected(end, front)
    await asyncio.sleep(1)
    end._front.cut_off()
    await asyncio.sleep(CORE_RETURN_TIMEOUT + 0.1)
    assert front.latest().printer.state is ConnectionState.OFFLINE


async def test_questions_fail_when_the_core_disappears(desk):
    end, front = await both(desk)
    desk.answers = lambda _: asyncio.sleep(100)
    asking = asyncio.gather(*(front.ask(ask.Connect()) for _ in range(3)), return_exceptions=True)
    await asyncio.sleep(1)
    end._front.cut_off()
    began = asyncio.get_running_loop().time()
    assert [type(each) for each in await asking] == [CoreAway] * 3
    assert asyncio.get_running_loop().time() - began < 0.1
    assert not front._open_questions


async def test_an_unanswered_question_times_out(desk):
    _, front = await both(desk)
    desk.answers = lambda _: asyncio.sleep(1000)
    began = asyncio.get_running_loop().time()
    with pytest.raises(CoreAway, match="has not answered within 30 s"):
        await front.ask(ask.Disconnect())
    assert asyncio.get_running_loop().time() - began == pytest.approx(ANSWER_TIMEOUT, abs=0.1)
    assert not front._open_questions


@pytest.mark.parametrize(
    ("patience", "lasts"), [(None, ANSWER_TIMEOUT), (2.0, 2.0), (99.0, ANSWER_TIMEOUT), (-1.0, 0.0)]
)
async def test_a_question_expires_when_its_client_has_given_up_and_a_stop_never_does(patience, lasts):
    front, loop = FrontEnd(), asyncio.get_running_loop()
    sent = Frames()
    front.on_connected(SimpleNamespace(write=sent.add, get_write_buffer_size=lambda: 0))
    began = loop.time()
    asking = contextvars.copy_context()
    asking.run(patience_of_client.set, patience)
    for question in (ask.Resume(), ask.Send(commands=["M117 x", "M112"])):
        with pytest.raises(CoreAway, match="has not answered"):
            await loop.create_task(front.ask(question), context=asking)
    assert loop.time() - began == pytest.approx(2 * lasts)
    resume, stop = (decode(sent.next(), FromFront) for _ in range(2))
    assert (resume.before, stop.before) == (began + lasts, None)


async def test_a_core_that_hangs_is_asked_no_more_than_memory_can_hold_and_a_stop_goes_out(desk):
    end, front = CoreEnd(desk), FrontEnd()
    core_line, front_line = connected(end, front)
    await front.wait_for_snapshot()
    core_line.pause_reading()
    asking = [asyncio.ensure_future(front.ask(ask.UsePreset(preset="x" * 60_000))) for _ in range(1000)]
    stop = asyncio.ensure_future(front.ask(ask.Send(commands=["M112"])))
    await asyncio.sleep(1)
    assert len(front_line.written) < front_end.MAX_UNREAD + 100_000
    assert isinstance(asking[-1].exception(), CoreAway)
    assert "does not read" in str(asking[-1].exception())
    core_line.resume_reading()
    await stop
    assert isinstance(desk.questions[-1], ask.Send)
    await asyncio.wait(asking)
    assert await front.ask(ask.Start()) is None
    for each in asking:
        each.exception()


async def test_a_cancelled_question_leaves_nothing_behind(desk):
    errors = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    _, front = await both(desk)
    desk.answers = lambda _: asyncio.sleep(10)
    asking = asyncio.create_task(front.ask(ask.Disconnect()))
    await asyncio.sleep(1)
    asking.cancel()
    await asyncio.sleep(20)
    assert not front._open_questions
    assert not errors, "its late answer would cost the connection"
    desk.answers = lambda _: None
    assert await front.ask(ask.Start()) is None


async def test_an_answer_of_another_version_is_an_error_and_the_connection_stays(desk):
    _, front = await both(desk)
    desk.answers = lambda _: {"lines": 4}
    with pytest.raises(ServiceError, match="of another version"):
        await front.ask(ask.AskConversation(since=0))
    desk.answers = lambda _: None
    await front.ask(ask.Start())


@pytest.mark.parametrize(
    "garbage", [b"\xff" * 8, (3).to_bytes(LENGTH, "big") + b"\xc1\xc1\xc1"], ids=["length", "content"]
)
async def test_a_core_that_sends_garbage_is_disconnected(desk, garbage):
    end, front = CoreEnd(desk), FrontEnd()
    ended = []
    core_pipe, _ = connected(end, front, lambda: ended.append(True))
    await front.wait_for_snapshot()
    with capture_logs() as logs:
        core_pipe.write(garbage)
        await asyncio.sleep(0.1)
    assert ended
    assert "core.not_understood" in [each["event"] for each in logs]


async def test_a_failing_listener_does_not_affect_the_others(desk):
    _, front = await both(desk)
    events = []

    def fails(_event):
        raise KeyError("a bug")

    front.subscribe(fails)
    front.subscribe(events.append)
    with capture_logs() as logs:
        desk.tell(StateChanged(ConnectionState.READY, ConnectionState.OFFLINE))
        await asyncio.sleep(0.1)
    assert events[-1] == StateChanged(ConnectionState.READY, ConnectionState.OFFLINE)
    assert "bridge.listener_failed" in {each["event"] for each in logs}
    assert await front.ask(ask.Start()) is None


async def test_the_front_sends_hello_regularly_and_to_each_core(desk):
    hellos = []
    end = CoreEnd(desk, lambda: hellos.append(asyncio.get_running_loop().time()))
    front = FrontEnd()
    connected(end, front)
    await asyncio.sleep(10)
    assert not hellos, "the front does not work yet"
    with capture_logs() as logs:
        front.say_hello()
        await asyncio.sleep(2 * HEARTBEAT_INTERVAL + 0.5)
    assert len(hellos) == 3
    assert [each["event"] for each in logs] == ["bridge.connected"], "which is news only once"
    end._front.cut_off()
    await asyncio.sleep(0.1)
    connected(end, front)
    await asyncio.sleep(0.1)
    assert len(hellos) == 4
    await asyncio.sleep(2 * HEARTBEAT_INTERVAL + 0.5)
    assert len(hellos) == 6, "no more often than before"
    with capture_logs() as logs:
        await front.close()
        await asyncio.sleep(20)
    assert len(hellos) == 6
    assert not desk.listeners, "the core has noticed"
    assert front._beat_timer.cancelled()
    assert [each["event"] for each in logs] == ["bridge.lost"], "the core is not away"


async def test_a_change_without_an_event_is_told_too(desk):
    """Such as a position, or a new temperature target."""
    _, front = await both(desk)
    changes = []
    front.subscribe(lambda event: changes.append((event, front.latest().printer.message)))
    desk.snapshot_fields["printer"] = PrinterSummary(message="it moves")
    desk.tell(None)
    await asyncio.sleep(1)
    assert changes == [(None, "it moves")]


@pytest.mark.real_time
async def test_the_front_connects_once_to_a_core_that_stays_and_seldom_to_one_that_hangs_up(tmp_path):
    path, connections, hangs_up = tmp_path / "core.sock", [], False

    async def serve(_, writer):
        connections.append(writer)
        if hangs_up:
            writer.close()

    server = await asyncio.start_unix_server(serve, path)
    front = FrontEnd()
    front.keep_connected(path)
    await asyncio.sleep(5 * RETRY_INTERVAL)
    assert len(connections) == 1
    hangs_up = True
    connections[0].close()
    await asyncio.sleep(10 * RETRY_INTERVAL)
    assert 2 <= len(connections) <= 12
    await front.close()
    server.close()


@pytest.mark.real_time
async def test_the_front_reconnects_by_itself(desk, tmp_path):
    path = tmp_path / "core.sock"
    front = FrontEnd()
    front.keep_connected(path)
    await asyncio.sleep(0.1)
    for _ in range(2):
        end = CoreEnd(desk)
        before = desk.snapshots
        await end.listen(path)
        async with asyncio.timeout(waiting.TIMEOUT):
            while not desk.listeners:  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0.01)
            await front.wait_for_snapshot()
        await front.ask(ask.Start())
        assert front.latest().revision > before
        end.close()
        async with asyncio.timeout(waiting.TIMEOUT):
            while desk.listeners:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
        with pytest.raises(CoreAway):
            await front.ask(ask.Start())
    await front.close()
    await asyncio.sleep(0.01)


async def test_hello_of_any_version_is_understood(desk):
    hellos = []
    front = fake_front(CoreEnd(desk, lambda: hellos.append(1)))
    front.say(Hello(version="99.0"))
    front.pipe_end.write(len(raw := msgspec.msgpack.encode({"type": "waved"})).to_bytes(LENGTH, "big") + raw)
    await asyncio.sleep(0.1)
    assert hellos == [1]
    assert not front.lost
