"""Idempotency keys of requests that begin a print: a repeated request begins no second print. The core keeps the keys.

A key comes in the header `Idempotency-Key`, or as `job` in the body. With it we send the core a mark, a hash of the
request: the same key with a different request is refused.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from daemon.bridge.front_end import patience_of_client
from daemon.bridge.words import FileMark, KeyedPrint, Selection
from daemon.front.http.base import ApiHandler
from daemon.http.base import DEADLINE
from daemon.http.errors import Refused
from gcode.frozen import frozen

HEADER = "Idempotency-Key"
FIELD = "job"
MAX_KEY_LENGTH = 200  # characters


@frozen
class KeyedRequest:
    """A request for a print, with a key; `mark` is a hash of the request.

    `bed_clear`: the print begins only if a user has confirmed a clear bed, and nothing was printed since.
    `until`: after this Unix time, in s, the print no longer begins, however long its file was checked; None: no limit.
    """

    key: str
    mark: str
    bed_clear: bool = False
    until: float | None = None

    async def existing_print(self, handler: ApiHandler) -> KeyedPrint | None:
        """Return the print that this key has begun, after setting the answer's headers; None: it has begun none.

        Raises:
            Refused: the key belongs to another request, or its print was recorded and never began.
        """
        keyed_print = await handler.service.jobs.print_of_key(self.key)
        if keyed_print is None:
            await handler.service.queue.require_unused(self.key)
            return None
        if keyed_print.mark != self.mark:
            raise key_reused(f"job {keyed_print.job}")
        if keyed_print.ended and not keyed_print.began:
            text = f"the print of this {HEADER} (job {keyed_print.job}) was recorded and never began"
            raise Refused(409, f"{text}: {keyed_print.reason}. To print the file, send a new key")
        set_job_headers(handler, keyed_print, is_replay=True)
        return keyed_print

    async def begin(
        self, handler: ApiHandler, file: Selection | None = None, checked_file: FileMark | None = None
    ) -> KeyedPrint:
        """Print the file (None: the selected one), unless the key has begun a print; name the job in the headers.

        With `checked_file` only that very file is printed.
        """
        queue, count = handler.service.queue, None
        if self.bed_clear:
            await queue.load()
            if not queue.bed.clear:
                raise Refused(409, "nobody has said that the bed is clear")
            count = queue.bed.count  # the core compares it when the print begins
        begin = partial(handler.service.jobs.begin, file, self.key, self.mark, bed=count, checked_file=checked_file)
        keyed_print = await queue.begin_unless_used(self.key, partial(self._begin_in_time, handler, begin))
        set_job_headers(handler, keyed_print, is_replay=keyed_print.again)
        return keyed_print

    async def _begin_in_time(self, handler: ApiHandler, begin: Callable[[], Awaitable[KeyedPrint]]) -> KeyedPrint:
        """Begin the print before the deadline, or not at all; the core checks the deadline too."""
        if self.until is not None:
            left = self.until - handler.service.wall()
            if left <= 0:
                raise Refused(408, "the print could not begin in time and was dropped; try again")
            patience_of_client.set(left)
        return await begin()


def key_reused(what: str) -> Refused:
    """Return the refusal of a key that belongs to another request."""
    return Refused(422, f"this {HEADER} was already used for another request ({what}); send a new key")


def set_job_headers(handler: ApiHandler, keyed_print: KeyedPrint, *, is_replay: bool) -> None:
    """Set the headers that name the job, and say whether an earlier request began it."""
    handler.set_header("Nozzled-Job", str(keyed_print.job))
    if is_replay:
        handler.set_header("Idempotent-Replayed", "true")


def keyed_request(handler: ApiHandler, body: Mapping[str, Any], what: str) -> KeyedRequest | None:
    """Return the keyed request for a print; None if the request has no key.

    Args:
        handler: has the headers.
        body: of the request; the mark is computed from it and from `what`.
        what: the kind of request.

    Raises:
        Refused: the key is malformed, or header and body have different keys.
    """
    headers = handler.request.headers.get_list(HEADER)
    keys = {_unquoted(text) for text in headers}
    if (named := body.get(FIELD)) is not None:
        if not isinstance(named, str):
            raise Refused(400, f"{FIELD} must be a string: the idempotency key of this print")
        keys.add(named)
    if not keys:
        return None
    if len(keys) > 1:
        raise Refused(400, f"more than one key: {HEADER} and {FIELD} must be the same")
    key = keys.pop()
    if not (0 < len(key) <= MAX_KEY_LENGTH and key.isascii() and key.isprintable() and " " not in key):
        raise Refused(400, f"an idempotency key has 1 to {MAX_KEY_LENGTH} ASCII characters, and no spaces")
    unkeyed = {name: value for name, value in body.items() if name != FIELD}
    text = json.dumps([what, unkeyed], sort_keys=True)
    until = handler.request.headers.get(DEADLINE)  # a number: `prepare` has checked it
    mark = hashlib.sha1(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
    return KeyedRequest(key, mark, until=float(until) if until is not None else None)


def _unquoted(text: str) -> str:
    """Return the key of a header, without quotes: they are syntax (RFC 8941), not part of the key."""
    text = text.strip()
    quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return text[1:-1] if quoted else text
