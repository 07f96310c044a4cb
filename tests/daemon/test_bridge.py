"""Frames and messages of the bridge, those of other versions included."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gcode.bgcode  # noqa: F401 - an error of its own
from daemon import errors as service
from daemon.bridge import questions as ask
from daemon.bridge.desk import MAX_ANSWER, MAX_REFUSAL, NOT_UNDERSTOOD, answer
from daemon.bridge.events import JobChanged, error_of, error_pair, event_message, event_of
from daemon.bridge.frames import LENGTH, MAX_FRAME, Frames, frame
from daemon.bridge.messages import (
    AnswerMessage,
    EventMessage,
    FromFront,
    Hello,
    QuestionMessage,
    RefusalMessage,
    SnapshotMessage,
    decode,
    decode_known,
    encode,
)
from daemon.bridge.other_version import answer_of, decode_from_core
from daemon.bridge.snapshot import JobSummary, PrinterSummary, Snapshot
from daemon.bridge.words import JobProgress, JobState, Selection
from gcode import errors as gcode_errors
from gcode.errors import CommandError, NozzledError
from gcode.replies import Reading
from hal import errors as hal
from hal.printer import (
    ActionRequested,
    ConnectionState,
    Event,
    FirmwareSaid,
    LineRefused,
    PanelPrint,
    PanelPrintChanged,
    PositionRead,
    Prompt,
    StateChanged,
    StopEnded,
    TemperaturesRead,
)
from support.bridge import FakeDesk, question_message

pack = msgspec.msgpack.encode


# -- frames ------------------------------------------------------------------------------------------------


@given(messages=st.lists(st.binary(max_size=300), max_size=20), cuts=st.lists(st.integers(1, 40)))
def test_frames_are_read_however_they_are_split(messages, cuts):
    data, frames, read = b"".join(map(frame, messages)), Frames(), []
    sizes = iter(cuts)
    while data:
        size = next(sizes, len(data))
        frames.add(data[:size])
        data = data[size:]
        while (message := frames.next()) is not None:
            read.append(message)
    assert read == messages
    assert frames.waiting == 0


@given(st.integers(0, MAX_FRAME))
def test_a_frame_of_any_allowed_size_passes(size):
    frames = Frames()
    frames.add(frame(bytes(size))[:-1])
    assert frames.next() is None
    frames.add(b"\0")
    assert frames.next() == bytes(size)


@pytest.mark.parametrize("size", [101, 2**31, 2**32 - 1])
def test_an_oversized_frame_is_refused_by_its_length(size):
    frames = Frames(100)
    frames.add(size.to_bytes(LENGTH, "big"))
    with pytest.raises(ValueError, match=f"a message has {size} bytes; at most 100 are allowed"):
        frames.next()


# -- what happens --------------------------------------------------------------------------------------------

EVENTS = [
    StateChanged(ConnectionState.READY, ConnectionState.OFFLINE),
    TemperaturesRead({"tool0": Reading(21.5, 0.0), "bed": Reading(20.0, None)}),
    PositionRead({"X": 1.0, "E": -2.5}),
    ActionRequested("notification", "hello"),
    FirmwareSaid("echo:Unknown command", "warning"),
    LineRefused("Error:no", "G1 X1", 12),
    PanelPrintChanged(PanelPrint("a.g", 1, 2)),
    PanelPrintChanged(None),
    StopEnded(confirmed=False),
    JobChanged(JobState.PAUSED),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_is_read_back_unchanged(event):
    assert event_of(decode_from_core(encode(event_message(event)))) == event


def test_every_event_of_a_printer_is_tested():
    there = {kind.__name__ for kind in Event.__subclasses__() if kind.__module__ == "hal.printer"}
    assert {type(event).__name__ for event in EVENTS} >= there


def test_the_reason_of_a_change_keeps_its_class():
    crossed = event_of(
        decode_from_core(
            encode(event_message(StateChanged(ConnectionState.READY, ConnectionState.FAULT, hal.PortLost("gone"))))
        )
    )
    assert isinstance(crossed.error, hal.PortLost)
    assert str(crossed.error) == "gone"


# -- errors ---------------------------------------------------------------------------------------------------


def tree(root: type[NozzledError]) -> list[type[NozzledError]]:
    return [root, *(each for kind in root.__subclasses__() for each in tree(kind))]


TREES = {gcode_errors.__name__, hal.__name__, service.__name__}
DOCUMENTED = [kind for kind in tree(NozzledError) if kind.__module__ in TREES and kind is not service.TooManyAttempts]


@pytest.mark.parametrize("kind", DOCUMENTED, ids=lambda kind: kind.__name__)
def test_an_error_keeps_its_class(kind):
    crossed = error_of(*error_pair(kind("a sentence")))
    assert type(crossed) is kind
    assert str(crossed) == "a sentence"


def test_error_names_are_unique():
    names = [kind.__name__ for kind in tree(NozzledError) if kind.__module__ in TREES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ["TooManyAttempts", "FromTheFuture", "", "Exception", "object"])
def test_an_error_that_cannot_be_rebuilt_is_a_service_error(name):
    crossed = error_of(name, "a sentence")
    assert type(crossed) is service.ServiceError
    assert str(crossed) == "a sentence"


def test_a_field_keeps_its_name_on_the_bridge_although_another_field_is_not_understood():
    job = JobSummary(state=JobState.PAUSED, paused_position={"X": 1.0})
    plain = msgspec.to_builtins(SnapshotMessage(snapshot=Snapshot(job=job)))
    assert plain["snapshot"]["job"]["place"] == {"X": 1.0}
    plain["snapshot"]["job"]["state"] = "a state of another version"
    understood = decode_from_core(encode(plain)).snapshot.job
    assert (understood.state, understood.paused_position) == (JobState.PRINTING, {"X": 1.0})


# -- invalid values ------------------------------------------------------------------------------------------


def test_invalid_unicode_is_replaced():
    snapshot = Snapshot(printer=PrinterSummary(message="caf\udce9", fields={"a\ud800": "b\udfff"}), trouble="fine: é")
    decoded = decode_from_core(encode(SnapshotMessage(snapshot=snapshot))).snapshot
    assert (decoded.printer.message, decoded.printer.fields, decoded.trouble) == ("caf?", {"a?": "b?"}, "fine: é")
    refused = decode_from_core(encode(RefusalMessage(id=1, error="JobConflict", text="\udc80")))
    assert refused.text == "?"


def test_infinite_numbers_are_replaced():
    snapshot = Snapshot(job=JobSummary(id=10**30, progress=JobProgress(lines=-(10**30), completion=math.nan)))
    job = decode_from_core(encode(SnapshotMessage(snapshot=snapshot))).snapshot.job
    assert (job.id, job.progress.lines) == (2**63 - 1, -(2**63))
    assert math.isnan(job.progress.completion)


ANYTHING = st.recursive(
    st.text() | st.integers() | st.floats() | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(ANYTHING)
def test_every_value_can_be_encoded(value):
    decode(encode(value), object)


GARBAGE = {
    "nothing": b"",
    "no MessagePack": b"\xc1",
    "a list": pack([1]),
    "a number": pack(7),
    "no tag": pack({"id": 1}),
    "a tag that is no text": pack({"type": 5}),
    "cut": pack({"type": "asked", "id": 1, "question": [1, 2]})[:-1],
    "a field of another type": pack({"type": "asked", "id": "x", "question": None}),
    "no question": pack({"type": "asked", "id": 1}),
    "no UTF-8": b"\x82\xa4type\xa5hello\xa7version\xa3\xff\xff\xff",
    "too deep": b"\x91" * 60_000,
    "too deep a question": b"\x83\xa4type\xa5asked\xa2id\x01\xa8question" + b"\x91" * 60_000,
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
def test_garbage_always_raises_the_same_error(data):
    with pytest.raises(msgspec.DecodeError):
        decode_known(data, FromFront)


# -- another version ------------------------------------------------------------------------------------------


def snapshot_of(**changes):
    """Return a snapshot as a core of another version might tell it."""
    plain = msgspec.to_builtins(
        Snapshot(
            revision=7, job=JobSummary(state=JobState.PRINTING, active=True, selected=Selection("a.g", "a.g", 1, 2))
        )
    )
    for path, value in changes.items():
        where = plain
        *folders, name = path.split("__")
        for folder in folders:
            where = where[folder]
        where[name] = value
    return decode_from_core(pack({"type": "seen", "snapshot": plain, "mood": "good"})).snapshot


def test_unknown_fields_are_ignored():
    heaters = {"tool0": {"actual": 1.0, "target": 2.0, "power": 9}}
    snapshot = snapshot_of(colour="red", job__speed=3, job__selected__layers=4, printer__heaters=heaters)
    assert snapshot.revision == 7
    assert snapshot.job.selected == Selection("a.g", "a.g", 1, 2)
    assert snapshot.printer.heaters["tool0"].actual == 1.0


def test_missing_fields_have_their_default():
    snapshot = decode_from_core(pack({"type": "seen", "snapshot": {"job": {"active": True}}})).snapshot
    assert snapshot == Snapshot(job=JobSummary(active=True))


def test_an_unknown_state_counts_as_printing():
    snapshot = snapshot_of(job__state="dancing", printer__state="sleeping", printer__message="still here")
    assert (snapshot.job.state, snapshot.printer.state) == (JobState.PRINTING, ConnectionState.HANDSHAKING)
    assert (snapshot.revision, snapshot.printer.message, snapshot.job.selected.path) == (7, "still here", "a.g")


OF_ANOTHER_TYPE = {
    "job__selected": {"path": "a.g"},
    "job__progress": "half",
    "job__progress__left_origin": "better",
    "job__offsets": [1],
    "printer__heaters": "cold",
    "printer__position": "home",
    "printer": 3,
    "profile": "mk4",
}


@pytest.mark.parametrize(("field", "value"), OF_ANOTHER_TYPE.items(), ids=OF_ANOTHER_TYPE)
def test_a_field_of_another_type_counts_as_missing(field, value):
    snapshot = snapshot_of(**{field: value, "trouble": "hot"})
    assert (snapshot.revision, snapshot.trouble, snapshot.job.active) == (7, "hot", True)
    default = Snapshot()
    for name in field.split("__"):
        snapshot, default = getattr(snapshot, name), getattr(default, name)
    assert snapshot == default


def test_unknown_messages_and_events_are_ignored():
    assert decode_from_core(pack({"type": "sung", "song": "…"})) is None
    assert decode_known(pack({"type": "sung", "song": "…"}), FromFront) is None
    assert event_of(EventMessage(name="DoorOpened", payload=msgspec.Raw(pack({"door": 1})))) is None
    assert event_of(EventMessage(name="JobChanged", payload=msgspec.Raw(pack({"state": "dancing"})))) is None
    assert event_of(EventMessage(name="StateChanged", payload=msgspec.Raw(pack({"old": "ready"})))) is None
    assert event_of(EventMessage(name="StateChanged", payload=msgspec.Raw(pack([1])))) is None
    more = msgspec.Raw(pack({"text": "a", "severity": "info", "n": 1}))
    crossed = event_of(EventMessage(name="FirmwareSaid", payload=more))
    assert crossed == FirmwareSaid("a", "info")


def test_unknown_fields_of_a_message_are_ignored():
    assert decode_known(pack({"type": "hello", "version": "9", "mood": 1}), FromFront) == Hello(version="9")
    assert decode_known(pack({"type": "hello"}), FromFront) == Hello()
    message = decode_known(
        pack({"type": "asked", "id": 3, "question": {"ask": "start", "gently": True}, "for": "me"}), FromFront
    )
    desk = FakeDesk()
    assert isinstance(decode_from_core(answer(desk, message)), AnswerMessage)
    assert desk.questions == [ask.Start(checked_file=None)], "a front that names no checked file has none compared"


NO_QUESTIONS = [
    {"ask": "dance"}, {}, 5, None,
    {"ask": "send", "commands": "M105"}, {"ask": "send", "commands": [1]}, {"ask": "offset"},
]  # fmt: skip


@pytest.mark.parametrize("question", NO_QUESTIONS, ids=range(len(NO_QUESTIONS)))
def test_an_unreadable_question_is_refused(question):
    desk = FakeDesk()
    message = decode_known(pack({"type": "asked", "id": 3, "question": question}), FromFront)
    reply = decode_from_core(answer(desk, message))
    assert isinstance(reply, RefusalMessage)
    assert (reply.id, reply.error) == (3, "OtherVersion")
    assert reply.text.startswith("the core does not understand the question")
    assert not desk.questions


@pytest.mark.parametrize("name", ["OtherVersion", "ServiceError"])
def test_an_unknown_question_is_distinguished_from_a_failed_one(name):
    """The first cores had no class for this error."""
    refusal = RefusalMessage(id=1, error=name, text=f"{NOT_UNDERSTOOD}: Invalid value 'history'")
    with pytest.raises(service.OtherVersion, match="history"):
        answer_of(refusal, ask.AskConversation(since=0))
    with pytest.raises(service.JobConflict, match="not now"):
        answer_of(RefusalMessage(id=1, error="JobConflict", text="not now"), ask.AskConversation(since=0))


def test_an_unreadable_answer_is_an_error():
    with pytest.raises(service.ServiceError, match="its answer has another type"):
        answer_of(AnswerMessage(id=1, answer=msgspec.Raw(pack({"lines": 4}))), ask.AskConversation(since=0))


SAMPLES = {"limit": 5,
    "commands": ["M105"], "choice": 0, "since": 0.0, "file": None, "heater": "bed", "offset": 1.0, "preset": None,
    "path": "", "key": "k", "mark": "m", "after": 0,
    "values": {"name": "Cube", "extruders": 2, "heated_bed": False},
}  # fmt: skip


@pytest.mark.parametrize("kind", msgspec.inspect.type_info(ask.AnyQuestion).types, ids=lambda kind: kind.cls.__name__)
def test_every_question_can_be_sent_with_only_its_defaults(kind):
    question = kind.cls(**{each.name: SAMPLES[each.name] for each in kind.fields if each.required})
    crossed: QuestionMessage = decode(ask.encode_question(1, question), FromFront)
    assert decode(crossed.question, ask.AnyQuestion) == question


# -- what is too long ---------------------------------------------------------------------------------------------


def test_an_oversized_question_is_refused_before_it_is_sent():
    with pytest.raises(CommandError, match="at most 66560 are allowed"):
        ask.encode_question(1, ask.Send(commands=["x" * 70_000]))


def test_an_oversized_answer_becomes_a_refusal():
    desk = FakeDesk()
    desk.answers = lambda _: ask.ConversationLines(lines=["x" * MAX_ANSWER], until=1.0)
    reply = decode_from_core(answer(desk, question_message(1, ask.AskConversation(since=0))))
    assert isinstance(reply, RefusalMessage)
    assert "bytes; at most" in reply.text


def test_a_refusal_quotes_only_the_beginning():
    desk = FakeDesk()

    def refuse(_):
        raise CommandError("x" * 300_000)

    desk.answers = refuse
    reply = decode_from_core(answer(desk, question_message(1, ask.Start())))
    assert (reply.error, len(reply.text)) == ("CommandError", MAX_REFUSAL + 1)


def test_an_internal_error_is_described_only_in_the_log():
    desk, bugs = FakeDesk(), []

    def fail(_):
        raise KeyError("/etc/secret")

    desk.answers = fail
    reply = decode_from_core(answer(desk, question_message(1, ask.Start()), bugs.append))
    assert (reply.error, reply.text) == ("ServiceError", "an internal error; the log has more")
    assert [type(each) for each in bugs] == [KeyError]


def test_the_longest_snapshot_that_a_printer_can_cause_fits():
    text = "\U0001f525" * 250
    prompt, fields = Prompt(text, (text,) * 16, (text,) * 16), {f"{n}{text}": text for n in range(50)}
    printer = PrinterSummary(message=text, prompt=prompt, error=text, fields=fields)
    assert len(encode(SnapshotMessage(snapshot=Snapshot(printer=printer)))) < MAX_FRAME
