"""What is looked for in the history."""

from gcode.frozen import frozen


@frozen
class HistoryQuery:
    """Which prints are meant: all of what is said has to hold.

    Attributes:
        states: one of them.
        text: a part of the name or the path.
        since: when they have begun, and `until` before when: dates in s.
    """

    states: tuple[str, ...] = ()
    path: str | None = None
    text: str | None = None
    material: str | None = None
    since: float | None = None
    until: float | None = None
    key: str | None = None

    def where(self, before: int | None = None) -> tuple[str, list[object]]:
        """Return the condition in SQL, with its values."""
        parts: list[tuple[str, list[object]]] = []
        if self.states:
            parts.append((f"state IN ({', '.join('?' for _ in self.states)})", [*self.states]))
        if self.text is not None:
            plain = self.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            parts.append(("path LIKE ? ESCAPE '\\'", [f"%{plain}%"]))
        for condition, value in (
            ("path = ?", self.path),
            ("material = ?", self.material),
            ("started >= ?", self.since),
            ("started < ?", self.until),
            ("key = ?", self.key),
            ("id < ?", before),
        ):
            if value is not None:
                parts.append((condition, [value]))
        if not parts:
            return "", []
        return f" WHERE {' AND '.join(part for part, _ in parts)}", [value for _, values in parts for value in values]
