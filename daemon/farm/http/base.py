"""FarmHandler: the base of the farm's handlers. It checks the key, and decodes bodies and queries."""

import asyncio
import logging
import math
from collections.abc import Callable
from typing import TypeVar

import msgspec

from daemon.errors import KeyRefused
from daemon.farm.http.errors import STATUSES
from daemon.farm.http.keys import FarmKey, FarmKeys, FarmScope
from daemon.farm.http.seams import FarmSeams
from daemon.farm.list.job_list import JobList
from daemon.http.base import BaseHandler
from daemon.http.errors import Refused

MAX_WORD = 64
"""A text in the query has at most this many characters."""

MAX_DELAY = 10.0
"""An order must reach a printer within this many seconds of its request: after that, a user who got no answer may have
done something else."""

T = TypeVar("T")

log = logging.getLogger("nozzled.farm.http")


class FarmHandler(BaseHandler):
    """Base of all handlers: subclasses define `get`, `post`, … and raise errors, which become answers."""

    server = "nozzled-farm"
    statuses = STATUSES
    logger = log

    read_scope = FarmScope.READ
    write_scope = FarmScope.CONTROL
    """The scopes that GET and HEAD, and all other methods, require of the key."""

    is_public = False  # True: no key is needed
    key: FarmKey = FarmKey("", "", 0.0)

    def initialize(self, farm: FarmSeams) -> None:
        """Store the farm, and when the request arrived."""
        self.farm = farm
        self._arrived_at = asyncio.get_running_loop().time()

    async def prepare(self) -> None:
        """Check what the headers show, before a byte of the body is stored."""
        try:
            await self._check_key()
            self.admit()
        except Exception as error:  # noqa: BLE001 - the one funnel: `refuse` logs what is a bug
            self.refuse(error)

    async def _check_key(self) -> None:
        keys: FarmKeys = self.settings["farm_keys"]
        if self.is_public:
            return
        self.key, scope = await keys.identify(self.request_key(), self.request.remote_ip or "")
        needed = self.read_scope if self.request.method in ("GET", "HEAD") else self.write_scope
        if scope < needed:
            raise KeyRefused(f"the key {self.key.name!r} does not allow this: a key of scope {needed.label} is needed")
        self.check_content_length()
        if self.request.method not in ("GET", "HEAD"):
            self.require_in_time()

    def require_in_time(self) -> None:
        """Refuse a request that its client has given up on: if it were carried out now, it would surprise the user.

        Raises:
            Refused: the date in `Nozzled-Until` has passed, or the client has gone.
        """
        self.time_left(self.farm.wall())
        if self.has_client_gone():
            raise Refused(408, "the client has gone, so nothing was done")

    def require_no_delay(self) -> None:
        """Refuse an order that would reach a printer too late. Call it after the last `await`; raises Refused."""
        self.require_in_time()
        if asyncio.get_running_loop().time() - self._arrived_at > MAX_DELAY:
            raise Refused(408, "the server was held up and did nothing; check the state, then try again")

    def request_key(self) -> str:
        """Return the key in the request's headers; empty: there is none."""
        if "X-Api-Key" in self.request.headers:
            return self.request.headers["X-Api-Key"]
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""

    # -- the body ------------------------------------------------------------------------------------------

    def decode(self, kind: type[T]) -> T:
        """Return the body as this type.

        Raises:
            Refused: 415 for another content type, 400 for a body that is not JSON, or not of this type.
        """
        content_type = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if content_type != "application/json":
            raise Refused(415, "the content type must be application/json")
        try:
            return msgspec.json.decode(bytes(self.body), type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Refused(400, f"the body is not valid: {error}") from error

    def get_number(self, name: str, default: float, low: float, high: float) -> float:
        """Return a number from the query; raises Refused."""
        text = self.get_query_argument(name, "")
        if not text:
            return default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise Refused(400, f"{name} must be a number from {low:g} to {high:g}, not {text[:40]!r}")
        return value

    def get_integer(self, name: str, default: int, low: int, high: int) -> int:
        """Return a whole number from the query; raises Refused."""
        value = self.get_number(name, default, low, high)
        if value != int(value):
            raise Refused(400, f"{name} must be a whole number")
        return int(value)

    def get_short_text(self, name: str) -> str:
        """Return a short text from the query; raises Refused."""
        text = self.get_query_argument(name, "")
        if len(text) > MAX_WORD or not text.isprintable():
            raise Refused(400, f"{name} must be printable text of at most {MAX_WORD} characters")
        return text

    async def ask(self, function: Callable[[JobList], T]) -> T:
        """Return the result of a function of the list, called in its thread."""
        return await self.farm.jobs.call(function)

    # -- the answer ----------------------------------------------------------------------------------------

    def answer(self, value: object, status: int = 200) -> None:
        """Answer with JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.write(msgspec.json.encode(value))


class FarmNotFound(FarmHandler):
    """All addresses that do not exist."""

    def admit(self) -> None:
        """Refuse every method."""
        raise Refused(404, "Not Found")
