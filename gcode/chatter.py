"""Chatter: lines that a firmware repeats unasked. They are no sign that the command in flight is being executed."""

import re

MAX_REPEATS = 3
"""How many lines of one kind may come between two answers before they count as chatter."""

MAX_KINDS = 32
"""How many kinds of lines are counted; lines of further kinds are signs of life."""

_VALUES = re.compile(r"[-+]?\d+(?:\.\d*)?")
_KIND_SIZE = 60  # characters of a line that make its kind


class Chatter:
    """Counts lines by kind: the same text with other numbers is the same kind (M154's positions, speeds of fans)."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._answers = 0

    def is_chatter(self, line: str, answers: int) -> bool:
        """Tell whether lines of this kind have come too often since the last answer to be signs of life.

        Args:
            line: the line that has come.
            answers: how many answers have come so far in the conversation.
        """
        if answers != self._answers:
            self._answers = answers
            self._counts.clear()
        kind = _VALUES.sub("", line[: 2 * _KIND_SIZE])[:_KIND_SIZE]
        count = self._counts.get(kind, 0) + 1
        if count > 1 or len(self._counts) < MAX_KINDS:
            self._counts[kind] = count
        return count > MAX_REPEATS
