"""What the printer's panel says and asks, where OctoPrint's clients look for it: its two plug-ins for that.

All of it is the printer's word: JSON, and never markup.
"""

import asyncio
from typing import TYPE_CHECKING, Any

import structlog

from daemon.core.connection.connection import Connection
from daemon.front.http.base import ApiHandler
from daemon.front.http.errors import Refused
from gcode.errors import NozzledError
from hal.printer import ActionRequested, Commanded, Event

if TYPE_CHECKING:
    from daemon.app import Service

NOTIFICATION = "action_command_notification"
PROMPT = "action_command_prompt"

_answering: set[asyncio.Task[None]] = set()  # the loop alone does not keep them

log = structlog.get_logger()


class Clock:
    """Remembers when the printer had its last message for the user."""

    def __init__(self, service: "Service") -> None:
        self._wall = service.wall
        self.told: int | None = None  # date, in s; None before the first
        service.connection.subscribe(self._on_printer)

    def _on_printer(self, event: Event) -> None:
        if isinstance(event, ActionRequested) and event.name == "notification":
            self.told = int(self._wall())


class NotificationHandler(ApiHandler):
    """/api/plugin/action_command_notification."""

    def initialize(self, service: "Service", clock: Clock) -> None:  # type: ignore[override]  # Tornado passes what the route says
        """Take what knows the time besides."""
        super().initialize(service)
        self.clock = clock

    def get(self) -> None:
        """Tell the last message, and when it came."""
        message = self.service.connection.message
        self.write({"notifications": [] if message is None else [{"timestamp": self.clock.told, "message": message}]})


class PromptHandler(ApiHandler):
    """/api/plugin/action_command_prompt."""

    def get(self) -> None:
        """Tell the question and its answers; empty where nothing is asked."""
        prompt = self.service.connection.prompt
        self.write({} if prompt is None else {"text": prompt.text, "choices": list(prompt.choices)})

    def post(self) -> None:
        """Answer: `choice` counts from 0."""
        _, data = self.command({"select": ["choice"]})
        prompt, printer = self.service.connection.prompt, self.service.connection.printer
        if prompt is None or printer is None:
            raise Refused(409, "No active prompt")
        choice = data["choice"]
        # a prompt without buttons is one to be acknowledged
        if isinstance(choice, bool) or not isinstance(choice, int) or not 0 <= choice < max(1, len(prompt.choices)):
            raise Refused(400, f"{str(choice)[:20]} is not a valid value for choice")
        _answer(printer, choice)
        self.service.events.plugin(PROMPT, {"action": "close"})
        self.no_content()


def _answer(printer: Commanded, choice: int) -> None:
    """Begin to answer; the request does not wait for the printer."""
    task = asyncio.create_task(_send(printer, choice))
    _answering.add(task)
    task.add_done_callback(_answering.discard)


async def _send(printer: Commanded, choice: int) -> None:
    try:
        await printer.answer_prompt(choice)
    except NozzledError as error:
        log.warning("printer.not_answered", choice=choice, reason=str(error))


def shown(connection: Connection) -> dict[str, Any]:
    """Return message and prompt for GET /api/printer, as far as there are any."""
    panel: dict[str, Any] = {}
    if connection.message is not None:
        panel["message"] = connection.message
    if connection.prompt is not None:
        panel["prompt"] = {"text": connection.prompt.text, "choices": list(connection.prompt.choices)}
    return panel
