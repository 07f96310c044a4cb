"""What the printer's panel says and asks, as clients see it."""

from typing import Any

from daemon.bridge.remote import RemoteConnection

NOTIFICATION = "action_command_notification"


PROMPT = "action_command_prompt"


LONGEST = 2000  # characters of a question that pages are told


def panel_as_json(connection: RemoteConnection) -> dict[str, Any]:
    """Return message and prompt for GET /api/printer, as far as there are any."""
    panel: dict[str, Any] = {}
    if connection.message is not None:
        panel["message"] = connection.message
    if connection.prompt is not None:
        panel["prompt"] = {"text": connection.prompt.text, "choices": list(connection.prompt.choices)}
    return panel
