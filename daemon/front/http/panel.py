"""What the printer's panel says and asks, where OctoPrint's clients look for it: its two plug-ins for that.

All of it is the printer's word: JSON, and never markup.
"""

from daemon.front.http.base import ApiHandler
from daemon.front.views.panel import LONGEST, PROMPT
from daemon.http.errors import Refused


class NotificationHandler(ApiHandler):
    """/api/plugin/action_command_notification."""

    def get(self) -> None:
        """Tell the last message, and when it came."""
        seen = self.service.connection.summary
        message = self.service.connection.message
        self.write({"notifications": [] if message is None else [{"timestamp": seen.message_at, "message": message}]})


class PromptHandler(ApiHandler):
    """/api/plugin/action_command_prompt."""

    def get(self) -> None:
        """Tell the question and its answers; empty where nothing is asked."""
        prompt = self.service.connection.prompt
        self.write({} if prompt is None else {"text": prompt.text, "choices": list(prompt.choices)})

    async def post(self) -> None:
        """Answer: `choice` counts from 0; `prompt`, where it is told, is the question that it answers."""
        _, data = self.command({"select": ["choice"]})
        prompt = self.service.connection.prompt
        if prompt is None:
            raise Refused(409, "No active prompt")
        about = data.get("prompt", prompt.text)
        if about not in (prompt.text, prompt.text[:LONGEST]):
            raise Refused(409, "The printer asks something else now: read it, then answer")
        choice = data["choice"]
        # a prompt without buttons is one to be acknowledged
        if isinstance(choice, bool) or not isinstance(choice, int) or not 0 <= choice < max(1, len(prompt.choices)):
            raise Refused(400, f"{str(choice)[:20]} is not a valid value for choice")
        await self.service.connection.answer_prompt(choice)
        self.service.events.plugin(PROMPT, {"action": "close"})
        self.no_content()
