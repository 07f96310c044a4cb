"""NoticeOutbox: the waiting notices. Each is sent once, in at most three attempts; a class sends one per minute. Pure.

Times are those of a steady clock. The waiting notices and the keys of all notices are saved. After a restart, all
waiting notices are due at once.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from daemon.companions.notify.notices import CLASSES, URGENT, NoticeKind, UserNotice
from gcode.frozen import mutable

MAX_WAITING = 20
"""Waiting notices; an additional one replaces the oldest that is not urgent."""

INTERVAL = 60.0
"""Seconds between two notices of a class."""

RETRY_PAUSES_S = (10.0, 60.0)
"""Seconds before the second and the third attempt; after the third, the notice is given up for this target."""

MAX_KEYS = 500
MAX_RESULTS = 20


@mutable
class QueuedNotice:
    """A waiting notice.

    Attributes:
        number: identifies it, through all attempts.
        notice: the notice.
        unsent_count: number of earlier notices of its class that were not sent.
        waiting: by target that it has not reached: the number of attempts, and when the next one is due.
        last_results: by target that it has not reached, the result of the last attempt.
    """

    number: int
    notice: UserNotice
    unsent_count: int = 0
    waiting: dict[str, tuple[int, float]] = field(default_factory=dict)
    last_results: "dict[str, DeliveryResult]" = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """The result of an attempt at a target.

    Attributes:
        date: Unix time in s.
        tries: number of the attempt.
        reason: of a failure; None: it was sent.
        over: this attempt was the last.
    """

    target: str
    kind: str
    what: str
    date: int
    tries: int
    reason: str | None = None
    over: bool = True

    def text(self) -> str:
        """Return the result in words."""
        if self.reason is None:
            return "sent" if self.tries == 1 else f"sent at attempt {self.tries}"
        attempts = f"{self.tries} attempt" + ("" if self.tries == 1 else "s")
        return f"given up after {attempts}: {self.reason}" if self.over else f"{self.reason}; trying again"


class NoticeOutbox:
    """Waiting notices, the keys of those that were sent, and the last results."""

    def __init__(self) -> None:
        self.messages: list[QueuedNotice] = []
        self.results: deque[DeliveryResult] = deque(maxlen=MAX_RESULTS)
        self.drop_count = 0
        self._known_keys: dict[str, None] = {}
        # class → the newest notice that has to wait for the class, and how many it replaces
        self._held_notices: dict[NoticeKind, tuple[UserNotice, int]] = {}
        self._last_sent: dict[NoticeKind, float] = {}  # class → when a notice of it was last sent
        self._next_number = 1

    @property
    def known_keys(self) -> frozenset[str]:
        """The keys of notices that were sent, or need not be sent."""
        return frozenset(self._known_keys)

    def note_keys(self, keys: Iterable[str]) -> None:
        """Record that notices with these keys need not be sent."""
        for key in keys:
            self._known_keys.pop(key, None)
            self._known_keys[key] = None
        while len(self._known_keys) > MAX_KEYS:
            del self._known_keys[next(iter(self._known_keys))]

    def add(self, notice: UserNotice, targets: Iterable[str], now: float) -> bool:
        """Add a notice, unless its key was sent before; return whether it is new."""
        if notice.key in self._known_keys:
            return False
        self.note_keys([notice.key])
        kind = notice.kind
        if kind in self._held_notices or now - self._last_sent.get(kind, -INTERVAL) < INTERVAL:
            _, before = self._held_notices.get(kind, (notice, -1))
            self._held_notices[kind] = (notice, before + 1)
            return True
        self._send(notice, 0, targets, now)
        return True

    def send(self, notice: UserNotice, targets: Iterable[str], now: float) -> QueuedNotice:
        """Add a notice that a user has requested, even if its key was sent before."""
        return self._send(notice, 0, targets, now)

    def release(self, targets: Iterable[str], now: float) -> None:
        """Queue the held notices whose class may send again. Without targets they stay held."""
        targets = [*targets]
        if not targets:
            return
        for kind in [each for each in self._held_notices if now - self._last_sent.get(each, -INTERVAL) >= INTERVAL]:
            notice, unsent_count = self._held_notices.pop(kind)
            self._send(notice, unsent_count, targets, now)

    def _send(self, notice: UserNotice, unsent_count: int, targets: Iterable[str], now: float) -> QueuedNotice:
        message = QueuedNotice(self._next_number, notice, unsent_count, dict.fromkeys(targets, (0, now)))
        self._next_number += 1
        self._last_sent[notice.kind] = now
        if not message.waiting:
            return message
        if len(self.messages) >= MAX_WAITING:
            plain = [each for each in self.messages if each.notice.kind not in URGENT]
            self.messages.remove((plain or self.messages)[0])
            self.drop_count += 1
        self.messages.append(message)
        return message

    # -- the targets -------------------------------------------------------------------------------------------

    def find_due(self, target: str, now: float) -> QueuedNotice | None:
        """Return the notice to send to a target now."""
        due = [each for each in self.messages if target in each.waiting and each.waiting[target][1] <= now]
        return min(due, key=lambda each: (each.notice.kind not in URGENT, each.number), default=None)

    def next_due(self, target: str) -> float | None:
        """Return when the next notice for a target is due; None: there is none."""
        return min((each.waiting[target][1] for each in self.messages if target in each.waiting), default=None)

    def next_release(self) -> float | None:
        """Return when the next class may send again; None: no class waits."""
        return min((self._last_sent.get(kind, -INTERVAL) + INTERVAL for kind in self._held_notices), default=None)

    def record(self, message: QueuedNotice, target: str, reason: str | None, now: float, date: float) -> DeliveryResult:
        """Record an attempt (`reason` None: sent); drop a notice that has reached all targets."""
        tries = message.waiting.get(target, (0, 0.0))[0] + 1
        over = reason is None or tries > len(RETRY_PAUSES_S)
        if over:
            message.waiting.pop(target, None)
        elif target in message.waiting:
            message.waiting[target] = (tries, now + RETRY_PAUSES_S[tries - 1])
        if not message.waiting and message in self.messages:
            self.messages.remove(message)
        result = DeliveryResult(target, message.notice.kind, message.notice.what, int(date), tries, reason, over)
        if (previous := message.last_results.get(target)) is not None and previous in self.results:
            self.results.remove(previous)  # of the results of one notice at one target, only the last is shown
        message.last_results[target] = result
        self.results.append(result)
        return result

    def keep_only(self, targets: Iterable[str]) -> None:
        """Drop all other targets from the waiting notices. Notices without a target are dropped."""
        names = set(targets)
        if not names:
            self._held_notices.clear()
        for message in self.messages:
            message.waiting = {name: value for name, value in message.waiting.items() if name in names}
        self.messages = [each for each in self.messages if each.waiting]

    # -- for the next process -----------------------------------------------------------------------------------------

    def document(self) -> dict[str, Any]:
        """Return the JSON to save for the next process."""
        waiting = [_as_json(each.notice, {name: tries for name, (tries, _) in each.waiting.items()}, each.unsent_count)
                   for each in self.messages]  # fmt: skip
        held = [_as_json(notice, None, unsent_count) for notice, unsent_count in self._held_notices.values()]
        return {"told": [*self._known_keys], "waiting": waiting + held}

    def restore(self, document: Mapping[str, Any], targets: Iterable[str], now: float) -> None:
        """Restore the result of an earlier `document`; invalid entries are left out.

        If there are no targets (their file may have a mistake), each notice keeps its saved ones.
        """
        target_names = [*targets]
        self.note_keys(str(each) for each in _list(document.get("told")))
        for each in _list(document.get("waiting"))[-MAX_WAITING - len(CLASSES) :]:
            if (notice := _notice(each)) is None:
                continue
            tries = each.get("targets")
            if not target_names and tries is None:  # a held notice has no saved targets
                self._held_notices[notice.kind] = (notice, _count(each.get("unsaid")))
                continue
            saved = tries if isinstance(tries, dict) else {}
            message = self._send(notice, _count(each.get("unsaid")), target_names or saved, now)
            if isinstance(tries, dict):
                message.waiting = {
                    name: (min(_count(tries[name]), len(RETRY_PAUSES_S)), now)
                    for name in message.waiting
                    if name in tries
                }
        self._last_sent.clear()
        self.messages = [each for each in self.messages if each.waiting]


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _as_json(notice: UserNotice, targets: Mapping[str, int] | None, unsent_count: int) -> dict[str, Any]:
    return {
        "kind": notice.kind, "key": notice.key, "what": notice.what, "about": dict(notice.about),
        "targets": targets, "unsaid": unsent_count,
    }  # fmt: skip


def _notice(entry: object) -> UserNotice | None:
    from daemon.companions.notify.texts import title_of  # noqa: PLC0415 - whether there is a text for it

    if not isinstance(entry, dict) or not isinstance(entry.get("about"), dict):
        return None
    kind = entry.get("kind")
    if not isinstance(kind, str) or kind not in CLASSES:
        return None
    notice = UserNotice(kind, str(entry.get("key")), str(entry.get("what")), entry["about"])
    try:
        title_of(notice, "en")
    except (KeyError, ValueError):
        return None
    return notice
