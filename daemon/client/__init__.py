"""Clients of the HTTP API: `OctoPrintClient` for Python, `octoprint.mjs` for browsers and Node.

They use only the API, so they also work with OctoPrint. docs/clients.md shows both.
"""

from daemon.client.client import OctoPrintClient
from daemon.client.errors import AccessDenied, BadAnswer, ClientError, Conflict, NotFound, RequestRefused, Unreachable
from daemon.client.push import Message

__all__ = [
    "AccessDenied",
    "BadAnswer",
    "ClientError",
    "Conflict",
    "Message",
    "NotFound",
    "OctoPrintClient",
    "RequestRefused",
    "Unreachable",
]
