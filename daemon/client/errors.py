"""Errors of the client.

NozzledError
└── ClientError              a request failed
    ├── Unreachable          no answer: connection lost, or timeout; the request may have been carried out
    │   └── NeverSent        no connection: the request was never sent
    ├── BadAnswer            an answer that is not OctoPrint's API ("<html>" of another server)
    ├── FileChanged          the file was truncated during its upload, or changed during its download
    └── RequestRefused       an answer with a status from 300 on; has `status` and `text`
        ├── AccessDenied     401 or 403: no key, or one without the right to do this; OctoPrint's 400 for the same
        ├── NotFound         404: no such file, or no such address
        └── Conflict         409: does not fit the printer's state ("start" while printing)
"""

from http import HTTPStatus

from gcode.errors import NozzledError


class ClientError(NozzledError):
    """A request failed."""


class Unreachable(ClientError):
    """There was no answer; the request may have been carried out."""


class NeverSent(Unreachable):
    """No connection could be made: nothing was sent."""


class BadAnswer(ClientError):
    """The answer is not OctoPrint's API."""


class FileChanged(ClientError):
    """The file was truncated during its upload, or changed during its download."""


class RequestRefused(ClientError):
    """The server refused: `status` is HTTP's, `text` the server's own words."""

    def __init__(self, request: str, status: int, text: str) -> None:
        super().__init__(f"{request}: {status} {text}")
        self.status = status
        self.text = text


class AccessDenied(RequestRefused):
    """There is no key, or it has no right to do this."""


class NotFound(RequestRefused):
    """There is no such file, or no such address."""


class Conflict(RequestRefused):
    """The request does not fit the printer's state."""


_NO_KEY = "CSRF validation failed"  # OctoPrint treats clients without a valid key as browsers
_KINDS = {401: AccessDenied, 403: AccessDenied, 404: NotFound, 409: Conflict}


def refusal(request: str, status: int, text: str) -> RequestRefused:
    """Return the error for this status."""
    if status == HTTPStatus.BAD_REQUEST and text == _NO_KEY:
        return AccessDenied(request, status, text)
    return _KINDS.get(status, RequestRefused)(request, status, text)
