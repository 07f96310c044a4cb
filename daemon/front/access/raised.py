"""Stepping up: a key that may do less does what an admin may, for a quarter of an hour. In memory, bounded. Pure.

A browser keeps its own key for years, so that key should not be able to make others. Who shows an admin's key or code
besides gets another one for a while, which the page keeps in memory alone.
"""

import secrets
from dataclasses import replace

from daemon.front.access.keyring import digest
from daemon.front.access.scopes import Identity, Scope
from gcode.frozen import frozen

LIFETIME = 900.0  # s
MOST = 32  # at once; the oldest goes


@frozen
class _Raised:
    identity: Identity
    ends: float


class Raised:
    """The keys that have stepped up."""

    def __init__(self) -> None:
        self._open: dict[str, _Raised] = {}

    def begin(self, identity: Identity, now: float) -> str:
        """Return what whoever this is has to show from here on."""
        token = secrets.token_urlsafe(24)
        self._forget(now)
        while len(self._open) >= MOST:
            del self._open[next(iter(self._open))]
        base = identity.scope if identity.base is None else identity.base
        self._open[digest(token)] = _Raised(replace(identity, scope=Scope.ADMIN, base=base), now + LIFETIME)
        return token

    def find(self, sha256: str, now: float) -> Identity | None:
        """Return who shows this; None: it is none, or has ended."""
        found = self._open.get(sha256)
        return found.identity if found is not None and now < found.ends else None

    def end(self, of: str) -> None:
        """End what this key has been given: its digest."""
        self._open = {sha256: each for sha256, each in self._open.items() if each.identity.digest != of}

    def _forget(self, now: float) -> None:
        self._open = {sha256: each for sha256, each in self._open.items() if now < each.ends}
