"""PushSnapshot: the state at one moment, encoded as JSON once for all subscribers.

To this, each subscriber's own part is appended: the temperatures and lines since its last message.
"""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from daemon.front.push.statuses import Moment

MAX_LINES = 300  # of the conversation with the printer that are stored for slow readers
MAX_AGE_S = 0.5  # a snapshot is reused for this long if nothing happens


class PushedLines:
    """The latest lines of the conversation with the printer, shared by all subscribers."""

    def __init__(self, since: float) -> None:
        """Begin at this time, by the loop's clock."""
        self.count = 0
        self.until = since
        self._last: deque[str] = deque(maxlen=MAX_LINES)

    def add(self, lines: Sequence[str], until: float) -> None:
        """Append the lines that were exchanged until this time."""
        self._last.extend(lines)
        self.count += len(lines)
        self.until = until

    @property
    def last(self) -> list[str]:
        """The stored lines, oldest first."""
        return [*self._last]


class PushSnapshot:
    """The state at one moment; `line_count` is the number of lines until then."""

    def __init__(self, state: dict[str, Any], lines: PushedLines, history: Callable[[], str]) -> None:
        """Encode the state.

        Args:
            state: the part that is the same for all subscribers.
            lines: the latest lines.
            history: returns the past temperatures as JSON.
        """
        self.status: dict[str, Any] = state["state"]
        self._common = {name: value for name, value in state.items() if name != "state"}
        self._state = json.dumps(self._common)[1:-1]
        self.line_count = lines.count
        self._lines = lines.last
        self._history = history
        self._encoded: dict[int, str] = {}  # number of lines that a subscriber has been sent → the lines since, as JSON
        self._temperatures: str | None = None

    def current(self, temperatures: Sequence[str], number: int | None, status: Mapping[str, Any] | None = None) -> str:
        """Return the message `current` for a subscriber.

        Args:
            temperatures: the reports since its last message, as JSON.
            number: the number of lines that it has been sent; None: it wants no lines.
            status: the status to send; None: that of the snapshot.
        """
        lines = "[]" if number is None else self._since(number)
        return _message("current", self._state, f"[{', '.join(temperatures)}]", lines, status or self.status)

    def message_of(self, moment: Moment) -> str:
        """Return the message `current` for an earlier state: its status and file, everything else as it is now."""
        state = {**self._common, **moment.about}
        if state["job"]["file"] == self._common["job"]["file"]:
            state["job"] = self._common["job"]  # has more fields
        return _message("current", json.dumps(state)[1:-1], "[]", "[]", moment.status)

    def first(self) -> str:
        """Return the message `history` for a new subscriber."""
        if self._temperatures is None:
            self._temperatures = self._history()
        return _message("history", self._state, self._temperatures, "[]", self.status)

    def _since(self, number: int) -> str:
        if number not in self._encoded:
            missed = self.line_count - number
            self._encoded[number] = json.dumps(self._lines[-missed:] if missed > 0 else [])
        return self._encoded[number]


def _message(kind: str, state: str, temperatures: str, lines: str, status: Mapping[str, Any]) -> str:
    body = f'{{"state": {json.dumps(status)}, {state}'
    return f'{{"{kind}": {body}, "temps": {temperatures}, "logs": {lines}, "messages": []}}}}'


class SnapshotCache:
    """Makes one snapshot for all subscribers that need one at the same time."""

    def __init__(self, make: Callable[[], Awaitable[PushSnapshot]]) -> None:
        self._make = make
        self._revision = 0
        self._task: asyncio.Task[PushSnapshot] | None = None
        self._key = (-1, 0.0)  # revision and time of the newest snapshot

    def invalidate(self) -> None:
        """Make a new snapshot for the next caller: something has happened."""
        self._revision += 1

    async def get(self) -> PushSnapshot:
        """Return a snapshot of the current state."""
        now = asyncio.get_running_loop().time()
        revision, made_at = self._key
        if self._task is None or _has_failed(self._task) or revision != self._revision or now - made_at >= MAX_AGE_S:
            self._key = (self._revision, now)
            self._task = asyncio.ensure_future(self._make())
            self._task.add_done_callback(_has_failed)  # reads the error, of which asyncio would warn otherwise
        return await asyncio.shield(self._task)  # a cancelled caller must not cancel the task for the others

    def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()


def _has_failed(task: "asyncio.Task[PushSnapshot]") -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
