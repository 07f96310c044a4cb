"""The keys of the farm's API. The list's database stores only their hashes.

A plain SHA-256 is enough: a key has 256 random bits, so nobody can find it by trial.
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

FIRST_KEY_NAME = "admin"
FIRST_KEY_FILE = "admin.key"
MAX_KEYS = 256
CACHE_PERIOD = 5.0
"""Seconds after which the keys are read again: another server on this database may have made or removed one."""

FREE_ATTEMPTS = 10  # wrong keys in a row that an address may send
REFILL_INTERVAL = 6.0  # until it may send one more
MAX_ADDRESSES = 1024  # of which wrong keys are counted

_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,64}")

log = logging.getLogger("nozzled.farm.http")


class FarmScope(IntEnum):
    """What a key allows; each scope includes those before it."""

    READ = 1
    CONTROL = 2
    ADMIN = 3

    @property
    def label(self) -> str:
        """Its name for users."""
        return self.name.lower()


class FarmKey(msgspec.Struct, frozen=True):
    """The facts about a key, without the key itself."""

    name: str
    scope: str
    created: float
    created_by: str = ""


class WrongKeys:
    """Counts the wrong keys that each address has sent lately."""

    def __init__(self) -> None:
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address → (wrong keys, s)

    def seconds_to_wait(self, address: str, now: float) -> float:
        """Return the seconds until the address may try another key; 0: it may try one now."""
        return max(0.0, (self._level(address, now) - (FREE_ATTEMPTS - 1)) * REFILL_INTERVAL)

    def add(self, address: str, now: float) -> None:
        """Count a wrong key."""
        self._levels[address] = (self._level(address, now) + 1, now)
        self._levels.move_to_end(address)
        while len(self._levels) > MAX_ADDRESSES:
            self._levels.popitem(last=False)

    def _level(self, address: str, now: float) -> float:
        level, when = self._levels.get(address, (0.0, now))
        return max(0.0, level - (now - when) / REFILL_INTERVAL)


class FarmKeys:
    """The keys in the list's database, with a short-lived cache."""

    def __init__(self, farm: FarmSeams) -> None:
        self._farm = farm
        self._keys: dict[str, FarmKey] = {}  # by hash
        self._read_at: float | None = None
        self._wrong_keys = WrongKeys()

    async def identify(self, key: str, address: str) -> tuple[FarmKey, FarmScope]:
        """Return the facts and the scope of a key.

        Raises:
            KeyRefused: the key is empty or wrong.
            TooManyAttempts: the address has sent too many wrong keys.
        """
        if not key:
            raise KeyRefused("requests need a key of the farm (X-Api-Key, or Authorization: Bearer)")
        now = asyncio.get_running_loop().time()
        if self._read_at is None or now - self._read_at > CACHE_PERIOD:
            await self.refresh()
        if (facts := self._keys.get(digest(key))) is not None:
            return facts, FarmScope[facts.scope.upper()]
        if wait := self._wrong_keys.seconds_to_wait(address, now):
            raise TooManyAttempts("too many wrong keys came from this address", wait)
        self._wrong_keys.add(address, now)
        raise KeyRefused("the farm does not know this key")

    async def refresh(self) -> None:
        """Read the keys from the database."""
        self._keys = await self._farm.jobs.call(_read)
        self._read_at = asyncio.get_running_loop().time()

    async def list_all(self) -> list[FarmKey]:
        """Return the facts about all keys, the oldest first."""
        await self.refresh()
        return list(self._keys.values())

    async def make(self, name: str, scope: FarmScope, by: str) -> str:
        """Make a key, and return it; only its hash is stored.

        Raises:
            BadKeyName: the name is not valid, or there are too many keys.
            KeyNameTaken: another key has this name.
        """
        if not _NAME.fullmatch(name) or not name.isprintable():
            raise BadKeyName("the name of a key must have 1 to 64 printable characters")
        key = secrets.token_urlsafe(32)
        await self._farm.jobs.call(lambda jobs: _add(jobs, key, FarmKey(name, scope.label, self._farm.wall(), by)))
        await self.refresh()
        return key

    async def drop(self, name: str, by: str) -> None:
        """Remove a key.

        Raises:
            NoSuchKey: no key has this name.
            FarmConflict: it is the last key that may manage keys.
        """
        await self._farm.jobs.call(lambda jobs: _drop(jobs, name, by))
        await self.refresh()

    async def ensure_one(self) -> Path | None:
        """Make the first key if there is none, and write it to a private file; return the file's path, or None."""
        if await self.list_all():
            return None
        path = self._farm.folder / FIRST_KEY_FILE
        key = secrets.token_urlsafe(32)
        # the file first: a key in the database that nobody can read would lock everybody out
        await asyncio.to_thread(write_private, path, key + "\n", replace=True)
        await self._farm.jobs.call(
            lambda jobs: _add(jobs, key, FarmKey(FIRST_KEY_NAME, FarmScope.ADMIN.label, self._farm.wall(), ""))
        )
        await self.refresh()
        log.info("the farm's first key is in %s", path)
        return path


def digest(key: str) -> str:
    """Return the hash under which a key is stored."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _read(jobs: JobList) -> dict[str, FarmKey]:
    with jobs.read() as tx:
        rows = tx.rows(sa.select(keys).order_by(keys.c.created, keys.c.name))
    return {row.hash: FarmKey(row.name, row.scope, row.created, row.created_by) for row in rows}


def _add(jobs: JobList, key: str, about: FarmKey) -> None:
    with jobs.write() as tx:
        names = [row.name for row in tx.rows(sa.select(keys.c.name))]
        if about.name in names:
            raise KeyNameTaken(f"there is a key {about.name!r} already")
        if len(names) >= MAX_KEYS:
            raise BadKeyName(f"there are {MAX_KEYS} keys: remove one first")
        tx.write(sa.insert(keys).values(hash=digest(key), **msgspec.structs.asdict(about)))
        tx.add_event(about.created_by, "made key", text=f"{about.name} ({about.scope})")


def _drop(jobs: JobList, name: str, by: str) -> None:
    with jobs.write() as tx:
        scopes = {row.name: row.scope for row in tx.rows(sa.select(keys))}
        if name not in scopes:
            raise NoSuchKey(f"there is no key {name!r}")
        admin = FarmScope.ADMIN.label
        if scopes[name] == admin and list(scopes.values()).count(admin) == 1:
            raise FarmConflict(f"{name!r} is the last key of scope admin: make another one first")
        tx.write(sa.delete(keys).where(keys.c.name == name))
        tx.add_event(by, "dropped key", text=name)
