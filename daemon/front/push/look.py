"""Looks: what there is to tell at a moment, as JSON, made once for all who are told of it.

What a subscriber is told for itself, the temperatures and lines since it was told last, is put behind it.
"""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from daemon.front.push.statuses import Moment

KEPT = 300
"""Lines of the conversation with the printer that are kept for who reads slowly."""

FRESH = 0.5
"""Seconds that a look counts, where nothing has happened meanwhile."""


class ToldLines:
    """The last lines, each asked for once, whoever wants them."""

    def __init__(self, since: float) -> None:
        """Begin at this time of the loop."""
        self.count = 0
        self.until = since
        self._last: deque[str] = deque(maxlen=KEPT)

    def add(self, lines: Sequence[str], until: float) -> None:
        """Take what was said until this time."""
        self._last.extend(lines)
        self.count += len(lines)
        self.until = until

    @property
    def last(self) -> list[str]:
        """Those that are kept, the newest at the end."""
        return [*self._last]


class Look:
    """What there is to tell; `said` is how many lines there were until then."""

    def __init__(self, state: dict[str, Any], lines: ToldLines, history: Callable[[], str]) -> None:
        """Encode it.

        Args:
            state: the same for everybody.
            lines: of the conversation with the printer.
            history: makes the last temperatures.
        """
        self.status: dict[str, Any] = state["state"]
        self._about = {name: value for name, value in state.items() if name != "state"}
        self._state = json.dumps(self._about)[1:-1]
        self.said = lines.count
        self._lines = lines.last
        self._history = history
        self._told: dict[int, str] = {}
        self._temperatures: str | None = None

    def current(self, temperatures: Sequence[str], number: int | None, status: Mapping[str, Any] | None = None) -> str:
        """Return the message for one who has had so many lines; None: it wants none.

        Args:
            temperatures: reports that it has not had, as JSON.
            number: of lines that it has had.
            status: what is told of the state, where that is another one than it is now.
        """
        lines = "[]" if number is None else self._since(number)
        return _message("current", self._state, f"[{', '.join(temperatures)}]", lines, status or self.status)

    def passed(self, moment: Moment) -> str:
        """Return the message about a state that has passed, with the file of then; all else is as it is now."""
        about = {**self._about, **moment.about}
        if about["job"]["file"] == self._about["job"]["file"]:
            about["job"] = self._about["job"]  # which knows more
        return _message("current", json.dumps(about)[1:-1], "[]", "[]", moment.status)

    def first(self) -> str:
        """Return the message for one who has had nothing yet."""
        if self._temperatures is None:
            self._temperatures = self._history()
        return _message("history", self._state, self._temperatures, "[]", self.status)

    def _since(self, number: int) -> str:
        if number not in self._told:
            self._told[number] = json.dumps(self._lines[-(self.said - number) :] if number < self.said else [])
        return self._told[number]


def _message(kind: str, about: str, temperatures: str, lines: str, status: Mapping[str, Any]) -> str:
    told = f'{{"state": {json.dumps(status)}, {about}'
    return f'{{"{kind}": {told}, "temps": {temperatures}, "logs": {lines}, "messages": []}}}}'


class Looks:
    """Makes a look for all who ask at the same time."""

    def __init__(self, make: Callable[[], Awaitable[Look]]) -> None:
        self._make = make
        self._revision = 0
        self._task: asyncio.Task[Look] | None = None
        self._of = (-1, 0.0)  # revision and time of the newest look

    def outdate(self) -> None:
        """Say that something has happened: who asks from now on is told of it."""
        self._revision += 1

    async def newest(self) -> Look:
        """Return what there is to tell now."""
        now = asyncio.get_running_loop().time()
        revision, made = self._of
        if self._task is None or _failed(self._task) or revision != self._revision or now - made >= FRESH:
            self._of = (self._revision, now)
            self._task = asyncio.ensure_future(self._make())
            self._task.add_done_callback(_failed)
        return await asyncio.shield(self._task)  # who is cancelled does not take it from the others

    def close(self) -> None:
        """Make none any more."""
        if self._task is not None:
            self._task.cancel()


def _failed(task: "asyncio.Task[Look]") -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
