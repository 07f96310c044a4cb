"""HistoryQuery: which prints of the history are wanted."""

from gcode.frozen import frozen


@frozen
class HistoryQuery:
    """The conditions on prints, all of which must hold.

    Attributes:
        states: the state is one of these; empty: any.
        path: of the file.
        text: part of the path.
        material: of the filament.
        since: begun at this Unix time (s) or later.
        until: begun before this Unix time (s).
        key: the idempotency key of the request.
    """

    states: tuple[str, ...] = ()
    path: str | None = None
    text: str | None = None
    material: str | None = None
    since: float | None = None
    until: float | None = None
    key: str | None = None

    def where(self, before: int | None = None) -> tuple[str, list[object]]:
        """Return the conditions as an SQL clause, and its values; `before`: only prints with a smaller number."""
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
