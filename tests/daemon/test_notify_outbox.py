"""The outbox: each notification once, one of a class a minute, three tries, bounded, over restarts."""

import asyncio
import errno
import json
from itertools import pairwise
from pathlib import Path
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from daemon.companions.notify.delivery import NoticeDelivery
from daemon.companions.notify.notices import CLASSES, NoticeClass, UserNotice
from daemon.companions.notify.outbox import INTERVAL, MAX_KEYS, MAX_WAITING, RETRY_PAUSES_S, NoticeOutbox
from daemon.companions.notify.targets import Target
from daemon.companions.notify.texts import title_of


def notice(key, kind="done"):
    return UserNotice(kind, key, "done", {"file": "a.gcode"})


def test_every_class_of_notices_is_described():
    assert tuple(CLASSES) == get_args(NoticeClass)


def test_a_notice_goes_to_every_target_once():
    box = NoticeOutbox()
    assert box.add(notice("a"), ["phone", "mail"], 0.0)
    assert not box.add(notice("a"), ["phone", "mail"], 0.0)
    message = box.find_due("phone", 0.0)
    assert box.find_due("mail", 0.0) is message
    assert box.record(message, "phone", None, 0.0, 5.0).text() == "sent"
    assert box.find_due("phone", 99.0) is None
    box.record(message, "mail", None, 0.0, 5.0)
    assert not box.messages
    assert not box.add(notice("a"), ["phone"], 1000.0)


def test_a_notice_without_targets_does_not_wait():
    box = NoticeOutbox()
    assert box.add(notice("a"), [], 0.0)
    assert not box.messages


def test_the_oldest_keys_are_forgotten_but_not_a_renewed_one():
    box = NoticeOutbox()
    box.note_keys(str(number) for number in range(MAX_KEYS))
    assert len(box.known_keys) == MAX_KEYS
    box.note_keys(["0", "new", "newer"])
    assert len(box.known_keys) == MAX_KEYS
    assert {"0", "3", "new", "newer"} <= box.known_keys
    assert not {"1", "2"} & box.known_keys


def test_a_class_is_reported_once_a_minute_with_the_number_left_out():
    box = NoticeOutbox()
    for number in range(4):
        box.add(notice(f"k{number}"), ["phone"], number * 1.0)
    box.add(notice("other", "failed"), ["phone"], 3.0)
    assert [each.notice.key for each in box.messages] == ["k0", "other"]
    assert box.next_release() == INTERVAL
    box.release(["phone"], INTERVAL - 0.1)
    assert len(box.messages) == 2
    box.release(["phone"], INTERVAL)
    assert [(each.notice.key, each.unsent_count) for each in box.messages] == [("k0", 0), ("other", 0), ("k3", 2)]
    assert not box.add(notice("k1"), ["phone"], 999.0)


def test_a_silent_target_is_tried_three_times():
    box = NoticeOutbox()
    box.add(notice("a"), ["phone"], 0.0)
    times, now = [], 0.0
    while (now := box.next_due("phone")) is not None:
        message = box.find_due("phone", now)
        times.append(now)
        result = box.record(message, "phone", "401", now, 0.0)
    assert times == [0.0, RETRY_PAUSES_S[0], sum(RETRY_PAUSES_S)]
    assert result.text() == "given up after 3 attempts: 401"
    assert [each.text() for each in box.results] == [result.text()]


def test_a_result_replaces_only_that_of_the_previous_attempt_of_its_notice():
    box = NoticeOutbox()
    first, second = (box.send(notice(key), ["phone"], 0.0) for key in "ab")
    box.record(first, "phone", "401", 0.0, 1.0)
    box.record(second, "phone", None, 0.0, 2.0)
    assert [each.text() for each in box.results] == ["401; trying again", "sent"]
    box.record(first, "phone", None, 10.0, 3.0)
    assert [each.text() for each in box.results] == ["sent", "sent at attempt 2"]


def test_a_full_queue_drops_the_oldest_message_that_is_not_urgent():
    box = NoticeOutbox()
    box.send(notice("fire", "fault"), ["phone"], 0.0)
    for number in range(MAX_WAITING + 3):
        box.send(notice(f"k{number}"), ["phone"], 0.0)
    assert len(box.messages) == MAX_WAITING
    assert box.drop_count == 4
    assert box.find_due("phone", 0.0).notice.key == "fire"


def test_waiting_and_reported_notices_survive_the_process():
    box = NoticeOutbox()
    box.add(notice("a"), ["phone", "mail"], 0.0)
    box.record(box.find_due("mail", 0.0), "mail", None, 0.0, 0.0)
    box.record(box.find_due("phone", 0.0), "phone", "503", 0.0, 0.0)
    box.add(notice("b"), ["phone", "mail"], 1.0)  # has to wait for its class
    again = NoticeOutbox()
    again.restore(json.loads(json.dumps(box.document())), ["phone", "mail"], 50.0)
    tries = [{name: tried for name, (tried, _) in each.waiting.items()} for each in again.messages]
    assert [each.notice.key for each in again.messages] == ["a", "b"]
    assert tries == [{"phone": 1}, {"phone": 0, "mail": 0}]
    assert not again.add(notice("b"), ["phone"], 51.0)


def test_urgent_messages_are_restored_however_much_waits():
    box = NoticeOutbox()
    kinds = ["fault", *(["done"] * (MAX_WAITING - 1))]
    for number, kind in enumerate(kinds):
        box.add(notice(str(number), kind), ["phone"], 61.0 * number)
    for number, kind in enumerate(("failed", "failed", "done"), 100):
        box.add(notice(str(number), kind), ["phone"], 61.0 * (len(kinds) - 1) + 1)
    again = NoticeOutbox()
    again.restore(json.loads(json.dumps(box.document())), ["phone"], 0.0)
    assert again.find_due("phone", 0.0).notice.kind == "fault"


async def test_the_picture_of_a_dropped_message_does_not_end_its_target(tmp_path):
    pictures, sent = asyncio.Event(), []

    async def picture():
        await pictures.wait()

    async def send(_target, notification):
        sent.append(notification.kind)

    delivery = NoticeDelivery(tmp_path, {"": send}, picture, lambda: "en", lambda: 0.0)
    delivery.set_targets([Target("phone", "x", "x://y")])
    delivery.add(notice("1"))
    await asyncio.sleep(1)
    message = delivery.outbox.messages.pop()  # to make room for newer ones
    # as after a delivery to another target: pictures of messages that no longer wait are dropped
    delivery._record(message, "mail", None)
    await asyncio.sleep(1)
    pictures.set()
    delivery.add(notice("2", "failed"))
    await asyncio.sleep(1)
    assert "failed" in sent
    delivery._target_tasks["phone"].cancel()


async def test_a_disk_that_has_become_read_only_does_not_prevent_a_start(tmp_path, monkeypatch):
    (tmp_path / "picture-1.jpg").write_bytes(b"")

    def read_only(*_args, **_kwargs):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", read_only)
    delivery = NoticeDelivery(tmp_path, {}, asyncio.sleep, lambda: "en", lambda: 0.0)
    await delivery.open()
    assert delivery.is_new


def test_messages_for_a_removed_target_are_dropped():
    box = NoticeOutbox()
    box.add(notice("a"), ["phone"], 0.0)
    box.keep_only(["mail"])
    assert not box.messages


def test_without_targets_the_held_notices_are_dropped_too():
    box = NoticeOutbox()
    for key in "ab":  # the second one has to wait for its class
        box.add(notice(key), ["phone"], 0.0)
    box.keep_only([])
    assert not box.messages
    assert box.next_release() is None


_NAMES = ("told", "waiting", "kind", "about", "targets", "key", "what", "unsaid")
_WORDS = st.sampled_from([*_NAMES, "done", "phone"]) | st.none() | st.integers() | st.text(max_size=5)
_VALUES = st.recursive(
    _WORDS,
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), each, max_size=8),
    max_leaves=12,
)
_ENTRIES = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(sorted(CLASSES)) | _VALUES,
        "what": st.sampled_from(["done", "disk", "runout"]) | _VALUES,
        "about": st.dictionaries(st.sampled_from(["file", "free", "printer"]), _VALUES) | _VALUES,
    },
    optional={
        "targets": st.dictionaries(st.sampled_from(["phone", "mail"]), _VALUES) | _VALUES,
        "key": _VALUES,
        "unsaid": _VALUES,
    },
)


@given(
    st.fixed_dictionaries({}, optional={"told": _VALUES, "waiting": st.lists(_ENTRIES | _VALUES, max_size=3) | _VALUES})
)
def test_any_content_of_the_file_is_survived(document):
    box = NoticeOutbox()
    box.restore(document, ["phone"], 0.0)
    assert all(title_of(each.notice, "en") for each in box.messages)
    assert box.add(notice("a fresh notice"), ["phone"], 0.0)
    again = NoticeOutbox()
    again.restore(json.loads(json.dumps(box.document())), ["phone"], 0.0)
    assert again.messages[-1].notice.key == "a fresh notice"


@given(st.lists(st.tuples(st.sampled_from(sorted(CLASSES)), st.integers(0, 9), st.floats(0, 30)), max_size=60))
def test_no_class_is_reported_more_than_once_a_minute(events):
    box, now, sent = NoticeOutbox(), 0.0, {}
    for kind, key, pause in events:
        now += pause
        box.release(["phone"], now)
        box.add(notice(f"{kind} {key}", kind), ["phone"], now)
        assert len(box.messages) <= MAX_WAITING
        while (message := box.find_due("phone", now)) is not None:
            sent.setdefault(message.notice.kind, []).append((now, message.notice.key))
            box.record(message, "phone", None, now, 0.0)
    for each in sent.values():
        keys = [key for _, key in each]
        assert len(keys) == len(set(keys))
        assert all(later - earlier >= INTERVAL for (earlier, _), (later, _) in pairwise(each))
