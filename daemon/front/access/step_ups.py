"""StepUps: temporary keys of scope admin, for a quarter of an hour. In memory, bounded. Pure.

A browser stores its own key for years, so that key should not be able to create others. In exchange for a key or code
of scope admin, the browser gets a temporary key, which the page holds only in memory.
"""

import secrets
from dataclasses import replace

from daemon.front.access.keyring import digest
from daemon.front.access.scopes import Identity, Scope
from gcode.frozen import frozen

LIFETIME_S = 900.0
MAX_STEP_UPS = 32  # at once; the oldest is dropped


@frozen
class _StepUp:
    identity: Identity
    expires_at: float


class StepUps:
    """The temporary keys."""

    def __init__(self) -> None:
        self._step_ups: dict[str, _StepUp] = {}

    def begin(self, identity: Identity, now: float) -> str:
        """Return a temporary key for this identity."""
        token = secrets.token_urlsafe(24)
        self._drop_expired(now)
        while len(self._step_ups) >= MAX_STEP_UPS:
            del self._step_ups[next(iter(self._step_ups))]
        base = identity.scope if identity.base is None else identity.base
        self._step_ups[digest(token)] = _StepUp(replace(identity, scope=Scope.ADMIN, base=base), now + LIFETIME_S)
        return token

    def find(self, sha256: str, now: float) -> Identity | None:
        """Return the identity of a temporary key; None: there is no such key, or it has expired."""
        step_up = self._step_ups.get(sha256)
        return step_up.identity if step_up is not None and now < step_up.expires_at else None

    def end(self, base_digest: str) -> None:
        """End the temporary keys of the key with this digest."""
        self._step_ups = {
            sha256: each for sha256, each in self._step_ups.items() if each.identity.digest != base_digest
        }

    def _drop_expired(self, now: float) -> None:
        self._step_ups = {sha256: each for sha256, each in self._step_ups.items() if now < each.expires_at}
