"""The idempotency key of a request that begins a print: asked again, it begins nothing. The core knows, we pass it on.

It comes in the header `Idempotency-Key`, or as `job` in the body. What it belongs to is told by a mark, a hash of what
was asked for: the same key with another body is refused.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from daemon.bridge.front_end import patience_of_client
from daemon.bridge.words import KeyedPrint, Selection
from daemon.front.http.base import ApiHandler
from daemon.http.base import UNTIL
from daemon.http.errors import Refused
from gcode.frozen import frozen

HEADER = "Idempotency-Key"
FIELD = "job"
LONGEST = 200  # characters


@frozen
class Wish:
    """A print that is asked for with a key; `mark` tells what is asked for.

    `bed_clear`: it begins only if somebody has said that the bed is clear, and nothing has come onto it since.
    `until`: a date, in s, behind which it does not begin, however long its file was looked at; None: there is none.
    """

    key: str
    mark: str
    bed_clear: bool = False
    until: float | None = None

    async def begun_print(self, handler: ApiHandler) -> KeyedPrint | None:
        """Return the print that it has begun already, and tell so; None: none yet.

        Raises:
            Refused: the key was used for something else, or its print was recorded and never began.
        """
        begun = await handler.service.jobs.of_key(self.key)
        if begun is None:
            await handler.service.queue.require_unused(self.key)
            return None
        if begun.mark != self.mark:
            raise reused(f"job {begun.job}")
        if begun.ended and not begun.began:
            text = f"the print of this {HEADER} (job {begun.job}) was recorded and never began: {begun.reason}"
            raise Refused(409, f"{text}. Send another key to print it")
        tell(handler, begun, again=True)
        return begun

    async def begin(self, handler: ApiHandler, file: Selection | None = None) -> KeyedPrint:
        """Have the file, None: the selected one, printed, unless it was asked for before; tell which job it is."""
        queue, count = handler.service.queue, None
        if self.bed_clear:
            await queue.look()
            if not queue.bed.clear:
                raise Refused(409, "nobody has said that the bed is clear")
            count = queue.bed.count  # the core compares it as the print begins
        begin = partial(handler.service.jobs.begin, file, self.key, self.mark, bed=count)
        begun = await queue.unless_used(self.key, partial(self._in_time, handler, begin))
        tell(handler, begun, again=begun.again)
        return begun

    async def _in_time(self, handler: ApiHandler, begin: Callable[[], Awaitable[KeyedPrint]]) -> KeyedPrint:
        """Begin, unless whoever asked has given up by now, or has by the time that the core comes to it."""
        if self.until is not None:
            left = self.until - handler.service.wall()
            if left <= 0:
                raise Refused(408, "the print could not begin in time, and does not begin any more; try again")
            patience_of_client.set(left)
        return await begin()


def reused(what: str) -> Refused:
    """Return the refusal of a key that belongs to something else."""
    return Refused(422, f"this {HEADER} was used for another request before ({what}); send another one")


def tell(handler: ApiHandler, begun: KeyedPrint, *, again: bool) -> None:
    """Tell in the headers which job it is, and whether it had begun before."""
    handler.set_header("Nozzled-Job", str(begun.job))
    if again:
        handler.set_header("Idempotent-Replayed", "true")


def wish(handler: ApiHandler, body: Mapping[str, Any], what: str) -> Wish | None:
    """Return the key of a request and the mark of what it asks for; None where it comes without.

    Args:
        handler: has the headers.
        body: what is asked for.
        what: the place that it is asked at.

    Raises:
        Refused: it is no key, or header and body differ.
    """
    given = handler.request.headers.get_list(HEADER)
    keys = {_plain(text) for text in given}
    if (named := body.get(FIELD)) is not None:
        if not isinstance(named, str):
            raise Refused(400, f"{FIELD} must be a text: the key by which this print is known again")
        keys.add(named)
    if not keys:
        return None
    if len(keys) > 1:
        raise Refused(400, f"there is more than one key: {HEADER} and {FIELD} have to be the same")
    key = keys.pop()
    if not (0 < len(key) <= LONGEST and key.isascii() and key.isprintable() and " " not in key):
        raise Refused(400, f"an idempotency key has 1 to {LONGEST} ASCII characters, and no blanks")
    asked = {name: value for name, value in body.items() if name != FIELD}
    text = json.dumps([what, asked], sort_keys=True)
    until = handler.request.headers.get(UNTIL)  # a date: it was looked at before the handler began
    mark = hashlib.sha1(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
    return Wish(key, mark, until=float(until) if until is not None else None)


def _plain(text: str) -> str:
    """Return the key of a header; quotes around it are its syntax (RFC 8941), not its text."""
    text = text.strip()
    quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return text[1:-1] if quoted else text
