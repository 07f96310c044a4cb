"""The printer's messages and prompts, at the addresses of OctoPrint's two plug-ins for them.

The texts come from the printer: they are sent as JSON, never as markup.
"""

from daemon.front.http.base import ApiHandler
from daemon.front.views.panel import MAX_PROMPT, PROMPT
from daemon.http.errors import Refused


class NotificationHandler(ApiHandler):
    """/api/plugin/action_command_notification."""

    def get(self) -> None:
        """Show the last message, and when it came."""
        at = self.service.connection.summary.message_at
        message = self.service.connection.message
        self.write({"notifications": [] if message is None else [{"timestamp": at, "message": message}]})


class PromptHandler(ApiHandler):
    """/api/plugin/action_command_prompt."""

    def get(self) -> None:
        """Show the prompt and its choices; empty if there is none."""
        prompt = self.service.connection.prompt
        self.write({} if prompt is None else {"text": prompt.text, "choices": list(prompt.choices)})

    async def post(self) -> None:
        """Answer with a choice, counted from 0; `prompt`, if given, is the text of the prompt that it answers."""
        _, data = self.command({"select": ["choice"]})
        prompt = self.service.connection.prompt
        if prompt is None:
            raise Refused(409, "No active prompt")
        answered = data.get("prompt", prompt.text)
        if answered not in (prompt.text, prompt.text[:MAX_PROMPT]):
            raise Refused(409, "The printer now shows another prompt: read it, then answer")
        choice = data["choice"]
        # a prompt without choices is acknowledged with 0
        if isinstance(choice, bool) or not isinstance(choice, int) or not 0 <= choice < max(1, len(prompt.choices)):
            raise Refused(400, f"{str(choice)[:20]} is not a valid value for choice")
        await self.service.connection.answer_prompt(choice)
        self.service.events.publish_plugin(PROMPT, {"action": "close"})
        self.no_content()
