"""Who may use the farm's API. Only hashes of keys are kept, in the list's database.

A key is 256 random bits: its plain SHA-256 cannot be searched for.
"""

import asyncio
import hashlib
import logging
import re
import secrets
from collections import OrderedDict
from enum import IntEnum
from pathlib import Path

import msgspec
import sqlalchemy as sa

from daemon.errors import BadKeyName, KeyNameTaken, KeyRefused, NoSuchKey, TooManyAttempts
from daemon.farm.errors import FarmConflict
from daemon.farm.http.seams import FarmSeams
from daemon.farm.list.job_list import JobList
from daemon.farm.list.schema import keys
from daemon.private_file import write_private

FIRST = "admin"
FILE = "admin.key"
MAX_KEYS = 256
FRESH = 5.0
"""Seconds for which the keys that were read are good: another server of this list may have made or dropped one."""

FREE = 10
REFILL = 6.0
MAX_ADDRESSES = 1024
"""Wrong keys that an address may show in a row, seconds until it may show one more, addresses that are remembered."""

_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,64}")

log = logging.getLogger("nozzled.farm.http")


class FarmScope(IntEnum):
    """What a key allows; each allows what those before it do."""

    READ = 1
    CONTROL = 2
    ADMIN = 3

    @property
    def label(self) -> str:
        """Its name for users."""
        return self.name.lower()


class FarmKey(msgspec.Struct, frozen=True):
    """What is known of a key."""

    name: str
    scope: str
    created: float
    created_by: str = ""


class WrongKeys:
    """How many wrong keys each address has shown lately; the time is passed in."""

    def __init__(self) -> None:
        self._shown: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address → (how many, when)

    def wait(self, address: str, now: float) -> float:
        """Return for how many seconds one more is one too many; 0: it is not."""
        return max(0.0, (self._now(address, now) - (FREE - 1)) * REFILL)

    def add(self, address: str, now: float) -> None:
        """Count one."""
        self._shown[address] = (self._now(address, now) + 1, now)
        self._shown.move_to_end(address)
        while len(self._shown) > MAX_ADDRESSES:
            self._shown.popitem(last=False)

    def _now(self, address: str, now: float) -> float:
        shown, when = self._shown.get(address, (0.0, now))
        return max(0.0, shown - (now - when) / REFILL)


class FarmKeys:
    """The keys, as the list has them."""

    def __init__(self, farm: FarmSeams) -> None:
        self._farm = farm
        self._known: dict[str, FarmKey] = {}  # by hash
        self._read_at: float | None = None
        self._wrong = WrongKeys()

    async def identify(self, key: str, address: str) -> tuple[FarmKey, FarmScope]:
        """Return whose key this is.

        Raises:
            KeyRefused: none was given, or it is wrong.
            TooManyAttempts: the address has shown too many wrong ones.
        """
        if not key:
            raise KeyRefused("a key of the farm is needed (X-Api-Key, or Authorization: Bearer)")
        now = asyncio.get_running_loop().time()
        if self._read_at is None or now - self._read_at > FRESH:
            await self.refresh()
        if (found := self._known.get(digest(key))) is not None:
            return found, FarmScope[found.scope.upper()]
        if wait := self._wrong.wait(address, now):
            raise TooManyAttempts("too many wrong keys came from this address", wait)
        self._wrong.add(address, now)
        raise KeyRefused("the farm does not know this key")

    async def refresh(self) -> None:
        """Read the keys."""
        self._known = await self._farm.jobs.call(_read)
        self._read_at = asyncio.get_running_loop().time()

    async def all(self) -> list[FarmKey]:
        """Return the keys, in the order in which they were made."""
        await self.refresh()
        return list(self._known.values())

    async def make(self, name: str, scope: FarmScope, by: str) -> str:
        """Make a key, and return it: it can be seen this once.

        Raises:
            BadKeyName: no key can be called so, or there are too many.
            KeyNameTaken: one is called so.
        """
        if not _NAME.fullmatch(name) or not name.isprintable():
            raise BadKeyName("the name of a key has 1 to 64 characters that can be shown")
        key = secrets.token_urlsafe(32)
        await self._farm.jobs.call(lambda jobs: _add(jobs, key, FarmKey(name, scope.label, self._farm.wall(), by)))
        await self.refresh()
        return key

    async def drop(self, name: str, by: str) -> None:
        """Have a key be none any more.

        Raises:
            NoSuchKey: none is called so.
            FarmConflict: it is the last one that may manage keys.
        """
        await self._farm.jobs.call(lambda jobs: _drop(jobs, name, by))
        await self.refresh()

    async def have_one(self) -> Path | None:
        """Make the first key where there is none, and write it for the owner's eyes; return where."""
        if await self.all():
            return None
        path = self._farm.folder / FILE
        key = secrets.token_urlsafe(32)
        # the file first: a key that nobody has ever seen would lock everybody out
        await asyncio.to_thread(write_private, path, key + "\n", replace=True)
        await self._farm.jobs.call(
            lambda jobs: _add(jobs, key, FarmKey(FIRST, FarmScope.ADMIN.label, self._farm.wall(), ""))
        )
        await self.refresh()
        log.info("the farm's first key is in %s", path)
        return path


def digest(key: str) -> str:
    """Return the hash by which a key is known."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _read(jobs: JobList) -> dict[str, FarmKey]:
    with jobs.read() as tx:
        found = tx.rows(sa.select(keys).order_by(keys.c.created, keys.c.name))
    return {row.hash: FarmKey(row.name, row.scope, row.created, row.created_by) for row in found}


def _add(jobs: JobList, key: str, about: FarmKey) -> None:
    with jobs.write() as tx:
        names = [row.name for row in tx.rows(sa.select(keys.c.name))]
        if about.name in names:
            raise KeyNameTaken(f"there is a key {about.name!r} already")
        if len(names) >= MAX_KEYS:
            raise BadKeyName(f"there are {MAX_KEYS} keys: drop one first")
        tx.write(sa.insert(keys).values(hash=digest(key), **msgspec.structs.asdict(about)))
        tx.event(about.created_by, "made key", text=f"{about.name} ({about.scope})")


def _drop(jobs: JobList, name: str, by: str) -> None:
    with jobs.write() as tx:
        found = {row.name: row.scope for row in tx.rows(sa.select(keys))}
        if name not in found:
            raise NoSuchKey(f"there is no key {name!r}")
        admin = FarmScope.ADMIN.label
        if found[name] == admin and list(found.values()).count(admin) == 1:
            raise FarmConflict(f"{name!r} is the last key of scope admin: make another one first")
        tx.write(sa.delete(keys).where(keys.c.name == name))
        tx.event(by, "dropped key", text=name)
