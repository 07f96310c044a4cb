"""Which error is which HTTP status: the only place. What is in no row is a fault of ours, and tells nothing."""

import errno
from http.client import responses

import tornado.web

from daemon import errors as service
from daemon.farm import errors as farm
from daemon.farm.carrier import errors as carrier
from gcode.errors import NozzledError

_STATUS: dict[type[BaseException], int] = {
    farm.BadWish: 400,
    farm.NoSuchJob: 404,
    farm.NoSuchCopy: 404,
    farm.UnknownFile: 404,
    farm.FarmConflict: 409,
    farm.WishReused: 422,
    farm.ListAway: 503,
    carrier.FarmUnreachable: 503,
    carrier.FarmRefused: 409,
    service.BadKeyName: 400,
    service.KeyNameTaken: 409,
    service.KeyRefused: 403,
    service.NoSuchKey: 404,
    service.NotPrintable: 415,
    service.TooManyAttempts: 429,
    service.UploadBroken: 400,
    service.StorageFull: 507,
    service.StoreError: 500,
}


class FarmRefusal(tornado.web.HTTPError):
    """A request that is refused by the API itself: status, and a sentence for the client."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status)
        self.text = text


def answer(error: BaseException) -> tuple[int, str] | None:
    """Return status and text for the client; None for an error that must not be told."""
    if isinstance(error, FarmRefusal):
        return error.status_code, error.text
    if isinstance(error, tornado.web.HTTPError):
        return error.status_code, responses.get(error.status_code, "Unknown")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return 507, "the disk is full"
    for kind in type(error).__mro__:
        if kind in _STATUS:
            return _STATUS[kind], str(error)
    return (500, str(error)) if isinstance(error, NozzledError) else None
