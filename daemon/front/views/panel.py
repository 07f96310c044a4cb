"""The printer's messages and prompts as clients see them."""

from typing import Any

from daemon.bridge.remote import RemoteConnection

NOTIFICATION = "action_command_notification"
PROMPT = "action_command_prompt"

MAX_PROMPT = 2000  # characters of a prompt that are sent to pages


def panel_as_json(connection: RemoteConnection) -> dict[str, Any]:
    """Return message and prompt, if any, for GET /api/printer."""
    panel: dict[str, Any] = {}
    if connection.message is not None:
        panel["message"] = connection.message
    if connection.prompt is not None:
        panel["prompt"] = {"text": connection.prompt.text, "choices": list(connection.prompt.choices)}
    return panel
