"""The answer to each error. Each server has its own table of HTTP statuses; an error in no row is a bug."""

import errno
from collections.abc import Mapping
from http.client import responses

import tornado.web

from gcode.errors import NozzledError


class Refused(tornado.web.HTTPError):
    """A refusal by the API itself: an HTTP status, and a sentence for the client."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status)
        self.text = text


def answer(error: BaseException, statuses: Mapping[type[BaseException], int]) -> tuple[int, str] | None:
    """Return status and text for the client; None: a bug, whose text is only for the log."""
    if isinstance(error, Refused):
        return error.status_code, error.text
    if isinstance(error, tornado.web.HTTPError):
        return error.status_code, responses.get(error.status_code, "Unknown")
    if _is_disk_full(error):
        return 507, str(error) if isinstance(error, NozzledError) else "the disk is full"
    for kind in type(error).__mro__:
        if kind in statuses:
            return statuses[kind], str(error)
    return None


def _is_disk_full(error: BaseException | None) -> bool:
    """Tell whether a full disk caused an error."""
    while error is not None and not (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)):
        error = error.__cause__
    return error is not None
