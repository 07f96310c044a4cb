"""News: what the firmware says that its user should know."""

import asyncio
from collections.abc import Callable

from gcode.consequence import consequence
from gcode.dialect import Dialect
from gcode.outgoing import LinkNotice, RefusedLine
from gcode.replies import FirmwareError, HostAction, Reply, Text, UnknownCommand
from hal.printer import Event, FirmwareSaid, LineRefused

REASON_AGE = 2.0
"""Seconds within which a text counts as the reason for what the printer does next."""


class News:
    """Picks out what the user should know, and publishes it."""

    def __init__(self, publish: Callable[[Event], None]) -> None:
        """Prepare; `publish` tells the listeners."""
        self._publish = publish
        self._loop = asyncio.get_running_loop()
        self._last_text = ("", 0.0)  # the last text that had no consequence, and when it came

    def tell(self, item: RefusedLine | LinkNotice) -> None:
        """Tell what the link has found out."""
        if isinstance(item, RefusedLine):
            self._publish(LineRefused(item.text, item.command.decode("utf-8", "replace"), item.offset))
        else:
            self._publish(FirmwareSaid(item.text, "warning"))

    def note(self, reply: Reply, dialect: Dialect) -> None:
        """Take what the firmware says; much of it is of no concern."""
        match reply:
            case UnknownCommand():
                self._publish(FirmwareSaid(reply.line, "warning"))
            case FirmwareError() | Text():
                self._note_text(reply, dialect)
            case HostAction(name="pause" | "paused"):
                self._tell_reason()

    def _note_text(self, reply: FirmwareError | Text, dialect: Dialect) -> None:
        found = consequence(dialect, reply)
        if found != "none":
            self._publish(FirmwareSaid(reply.line, "error" if found == "halt" else "warning"))
            self._last_text = ("", 0.0)
        elif reply.line.strip():
            self._last_text = (reply.line, self._loop.time())

    def _tell_reason(self) -> None:
        """Publish what the printer said right before it paused, or asked for a pause: most often the reason."""
        (text, at), self._last_text = self._last_text, ("", 0.0)
        if text and self._loop.time() - at < REASON_AGE:
            self._publish(FirmwareSaid(text, "warning"))
