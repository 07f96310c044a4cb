"""Chatter: what a firmware says by itself, again and again, is no sign that the command in flight is alive."""

import re

OFTEN = 3
"""Times that the same kind of line comes between two answers before it counts as chatter."""

MOST_KINDS = 32
"""Kinds that are told apart; lines beyond them are signs of life."""

_VALUES = re.compile(r"[-+]?\d+(?:\.\d*)?")
_LONGEST = 60  # characters by which a kind is told


class Chatter:
    """Counts kinds of lines: the same text with other numbers is the same kind (M154's places, speeds of fans)."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}
        self._answers = 0

    def is_chatter(self, line: str, answers: int) -> bool:
        """Tell whether a line has come so often since the last answer that it comes by itself.

        Args:
            line: that has come.
            answers: that have come so far.
        """
        if answers != self._answers:
            self._answers = answers
            self._seen.clear()
        kind = _VALUES.sub("", line[: 2 * _LONGEST])[:_LONGEST]
        times = self._seen.get(kind, 0) + 1
        if times > 1 or len(self._seen) < MOST_KINDS:
            self._seen[kind] = times
        return times > OFTEN
