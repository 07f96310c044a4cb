"""UserTexts: publishes the texts of the firmware that the user should see."""

import asyncio
from collections.abc import Callable

from gcode.consequence import consequence
from gcode.dialect import Dialect
from gcode.outgoing import LinkNotice, RefusedLine
from gcode.replies import FirmwareError, HostAction, Reply, Text, UnknownCommand
from hal.printer import Event, FirmwareSaid, LineRefused

REASON_AGE_S = 2.0
"""Seconds after a text in which it may be the reason for a pause."""


class UserTexts:
    """Selects texts for the user, and publishes them."""

    def __init__(self, publish: Callable[[Event], None]) -> None:
        """Prepare; `publish` passes an event to the listeners."""
        self._publish = publish
        self._loop = asyncio.get_running_loop()
        self._last_text = ("", 0.0)  # the last text without a consequence, and when it came

    def publish(self, item: RefusedLine | LinkNotice) -> None:
        """Publish a notice or a refusal from the link."""
        if isinstance(item, RefusedLine):
            self._publish(LineRefused(item.text, item.command.decode("utf-8", "replace"), item.offset))
        else:
            self._publish(FirmwareSaid(item.text, "warning"))

    def note(self, reply: Reply, dialect: Dialect) -> None:
        """Publish a reply if the user should see it; most replies are of no concern."""
        match reply:
            case UnknownCommand():
                self._publish(FirmwareSaid(reply.line, "warning"))
            case FirmwareError() | Text():
                self._note_text(reply, dialect)
            case HostAction(name="pause" | "paused"):
                self._publish_reason()

    def _note_text(self, reply: FirmwareError | Text, dialect: Dialect) -> None:
        effect = consequence(dialect, reply)
        if effect != "none":
            self._publish(FirmwareSaid(reply.line, "error" if effect == "halt" else "warning"))
            self._last_text = ("", 0.0)
        elif reply.line.strip():
            self._last_text = (reply.line, self._loop.time())

    def _publish_reason(self) -> None:
        """Publish the last text before the printer paused or asked for a pause: most often it is the reason."""
        (text, at), self._last_text = self._last_text, ("", 0.0)
        if text and self._loop.time() - at < REASON_AGE_S:
            self._publish(FirmwareSaid(text, "warning"))
