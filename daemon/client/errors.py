"""What can go wrong between a client and the daemon.

NozzledError
└── ClientError              a request that has not succeeded
    ├── Unreachable          no answer: the line was lost, or it took too long; what was asked may have been done
    │   └── NeverSent        nobody there: the request was never sent
    ├── BadAnswer            something answers, but not as OctoPrint does ("<html>" of another server)
    ├── FileChanged          the file has become shorter while it was uploaded
    └── RequestRefused       an answer with a status from 300 on; has `status` and `text`
        ├── AccessDenied     401 or 403: no key, or one that may not do this; OctoPrint's 400 for the same
        ├── NotFound         404: no such file, or no such address
        └── Conflict         409: does not fit the printer's state ("start" while printing)
"""

from http import HTTPStatus

from gcode.errors import NozzledError


class ClientError(NozzledError):
    """A request that has not succeeded."""


class Unreachable(ClientError):
    """No answer came; what was asked may have been done."""


class NeverSent(Unreachable):
    """No connection could be made: nothing was sent."""


class BadAnswer(ClientError):
    """What answered does not speak OctoPrint's API."""


class FileChanged(ClientError):
    """The file has become shorter while it was uploaded."""


class RequestRefused(ClientError):
    """The server refused: `status` is HTTP's, `text` the server's own words."""

    def __init__(self, request: str, status: int, text: str) -> None:
        super().__init__(f"{request}: {status} {text}")
        self.status = status
        self.text = text


class AccessDenied(RequestRefused):
    """No key, or one that may not do this."""


class NotFound(RequestRefused):
    """There is no such file, or no such address."""


class Conflict(RequestRefused):
    """What was asked does not fit the printer's state."""


_NO_KEY = "CSRF validation failed"  # OctoPrint takes whoever has no valid key for a browser
_KINDS = {401: AccessDenied, 403: AccessDenied, 404: NotFound, 409: Conflict}


def refusal(request: str, status: int, text: str) -> RequestRefused:
    """Return the error that stands for this status."""
    if status == HTTPStatus.BAD_REQUEST and text == _NO_KEY:
        return AccessDenied(request, status, text)
    return _KINDS.get(status, RequestRefused)(request, status, text)
