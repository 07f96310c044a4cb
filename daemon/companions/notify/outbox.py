"""Outbox: what is on its way to people. Told once, one of a class a minute, three tries, bounded. Pure.

Times are of a clock that goes on while the process lives; after a restart all that waits is due at once, and what was
told is still known.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from daemon.companions.notify.notices import CLASSES, URGENT, UserNotice
from gcode.frozen import mutable

MOST = 20
"""Messages that wait; a further one takes the place of the oldest that is not urgent."""

EVERY = 60.0
"""Seconds between two messages of a class."""

PAUSES = (10.0, 60.0)
"""Seconds before a message is tried again; behind the last it is given up."""

REMEMBERED = 500
RESULTS = 20


@mutable
class QueuedNotice:
    """A notice on its way.

    Attributes:
        number: of this message, the same over all tries.
        notice: what is told.
        unsaid: how many of its class were not told before it.
        waiting: where it has still to go → how often that was tried, and when it is due.
    """

    number: int
    notice: UserNotice
    unsaid: int = 0
    waiting: dict[str, tuple[int, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a message at a target; `date` in s since 1970, `reason` of a failure."""

    target: str
    kind: str
    what: str
    date: int
    tries: int
    reason: str | None = None
    over: bool = True

    def text(self) -> str:
        """Say it."""
        tries = f"{self.tries} {'try' if self.tries == 1 else 'tries'}"
        if self.reason is None:
            return "sent" if self.tries == 1 else f"sent, after {tries}"
        return f"{tries}, then given up: {self.reason}" if self.over else f"{tries}: {self.reason}; it is tried again"


class NoticeOutbox:
    """Holds what waits, what was told, and how it went."""

    def __init__(self) -> None:
        self.messages: list[QueuedNotice] = []
        self.results: deque[Delivery] = deque(maxlen=RESULTS)
        self.dropped = 0
        self._told: dict[str, None] = {}
        self._held: dict[
            str, tuple[UserNotice, int]
        ] = {}  # class → the newest that may not go yet, and how many before it
        self._last: dict[str, float] = {}  # class → when one went
        self._next = 1

    @property
    def told(self) -> frozenset[str]:
        """The keys of what was told."""
        return frozenset(self._told)

    def note(self, keys: Iterable[str]) -> None:
        """Take these for told."""
        for key in keys:
            self._told.pop(key, None)
            self._told[key] = None
        while len(self._told) > REMEMBERED:
            del self._told[next(iter(self._told))]

    def add(self, notice: UserNotice, targets: Iterable[str], now: float) -> bool:
        """Take a notice in, unless its key was told; return whether it is news."""
        if notice.key in self._told:
            return False
        self.note([notice.key])
        kind = notice.kind
        if kind in self._held or now - self._last.get(kind, -EVERY) < EVERY:
            _, before = self._held.get(kind, (notice, -1))
            self._held[kind] = (notice, before + 1)
            return True
        self._send(notice, 0, targets, now)
        return True

    def send(self, notice: UserNotice, targets: Iterable[str], now: float) -> QueuedNotice:
        """Take a notice in that somebody asks for, whatever was told before."""
        return self._send(notice, 0, targets, now)

    def release(self, targets: Iterable[str], now: float) -> None:
        """Let those go that had to wait for their class."""
        for kind in [each for each in self._held if now - self._last.get(each, -EVERY) >= EVERY]:
            notice, unsaid = self._held.pop(kind)
            self._send(notice, unsaid, targets, now)

    def _send(self, notice: UserNotice, unsaid: int, targets: Iterable[str], now: float) -> QueuedNotice:
        message = QueuedNotice(self._next, notice, unsaid, dict.fromkeys(targets, (0, now)))
        self._next += 1
        self._last[notice.kind] = now
        if not message.waiting:
            return message
        if len(self.messages) >= MOST:
            plain = [each for each in self.messages if each.notice.kind not in URGENT]
            self.messages.remove((plain or self.messages)[0])
            self.dropped += 1
        self.messages.append(message)
        return message

    # -- the targets -------------------------------------------------------------------------------------------

    def due(self, target: str, now: float) -> QueuedNotice | None:
        """Return what is to be sent to a target now."""
        found = [each for each in self.messages if target in each.waiting and each.waiting[target][1] <= now]
        return min(found, key=lambda each: (each.notice.kind not in URGENT, each.number), default=None)

    def next_due(self, target: str) -> float | None:
        """Return when there is something to do for a target."""
        return min((each.waiting[target][1] for each in self.messages if target in each.waiting), default=None)

    def next_release(self) -> float | None:
        """Return when one goes that has to wait for its class."""
        return min((self._last.get(kind, -EVERY) + EVERY for kind in self._held), default=None)

    def went(self, message: QueuedNotice, target: str, reason: str | None, now: float, date: float) -> Delivery:
        """Note how a try went: `reason` says why not; `date` is for people. What has gone everywhere is forgotten."""
        tries = message.waiting.get(target, (0, 0.0))[0] + 1
        over = reason is None or tries > len(PAUSES)
        if over:
            message.waiting.pop(target, None)
        elif target in message.waiting:
            message.waiting[target] = (tries, now + PAUSES[tries - 1])
        if not message.waiting and message in self.messages:
            self.messages.remove(message)
        result = Delivery(target, message.notice.kind, message.notice.what, int(date), tries, reason, over)
        if self.results and not self.results[-1].over and self.results[-1].target == target:
            self.results.pop()  # what was said of the last try
        self.results.append(result)
        return result

    def keep_only(self, targets: Iterable[str]) -> None:
        """Forget what was to go to targets that are there no longer."""
        known = set(targets)
        for message in self.messages:
            message.waiting = {name: value for name, value in message.waiting.items() if name in known}
        self.messages = [each for each in self.messages if each.waiting]

    # -- over restarts -----------------------------------------------------------------------------------------

    def document(self) -> dict[str, Any]:
        """Return what has to outlive this process, as JSON has it."""
        waiting = [_as_json(each.notice, {name: tries for name, (tries, _) in each.waiting.items()}, each.unsaid)
                   for each in self.messages]  # fmt: skip
        held = [_as_json(notice, None, unsaid) for notice, unsaid in self._held.values()]
        return {"told": [*self._told], "waiting": waiting + held}

    def restore(self, document: Mapping[str, Any], targets: Iterable[str], now: float) -> None:
        """Take in what `document` has returned once; what makes no sense is left out."""
        self.note(str(each) for each in _list(document.get("told")))
        for each in _list(document.get("waiting"))[-MOST:]:
            if (notice := _notice(each)) is None:
                continue
            tried = each.get("targets")
            message = self._send(notice, _count(each.get("unsaid")), targets, now)
            if isinstance(tried, dict):
                message.waiting = {
                    name: (min(_count(tried[name]), len(PAUSES)), now) for name in message.waiting if name in tried
                }
        self._last.clear()
        self.messages = [each for each in self.messages if each.waiting]


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _as_json(notice: UserNotice, targets: Mapping[str, int] | None, unsaid: int) -> dict[str, Any]:
    return {
        "kind": notice.kind, "key": notice.key, "what": notice.what, "about": dict(notice.about),
        "targets": targets, "unsaid": unsaid,
    }  # fmt: skip


def _notice(kept: object) -> UserNotice | None:
    from daemon.companions.notify.texts import title_of  # noqa: PLC0415 - whether there is a text for it

    if not isinstance(kept, dict) or kept.get("kind") not in CLASSES or not isinstance(kept.get("about"), dict):
        return None
    notice = UserNotice(kept["kind"], str(kept.get("key")), str(kept.get("what")), kept["about"])
    try:
        title_of(notice, "en")
    except (KeyError, ValueError):
        return None
    return notice
