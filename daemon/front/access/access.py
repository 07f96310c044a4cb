"""Access: identifies clients by their keys. The interface of the package for the HTTP handlers."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import structlog

from daemon.errors import ConfigError, KeyRefused, TooManyAttempts
from daemon.front.access.anonymous import AnonymousCosts
from daemon.front.access.app_keys import AppKeys
from daemon.front.access.attempts import Attempts
from daemon.front.access.keyring import Keyring, digest
from daemon.front.access.keys import INVALID_KEY, Keys
from daemon.front.access.pairing import Pairing
from daemon.front.access.scopes import LOCAL, OWNER, Identity, Scope
from daemon.front.access.sessions import Session, Sessions
from daemon.front.access.signing import Signing
from daemon.front.access.step_ups import StepUps

__all__ = ["LOCAL", "OWNER", "Access"]

REFRESH_INTERVAL = 1.0  # s between two reads of the key files: the command line changes them while the daemon runs
NOTE_INTERVAL = 600.0  # s between two writes of when keys were last used

log = structlog.get_logger()


class Access:
    """The keys, sessions, codes and budgets."""

    def __init__(self, keys: Keys, folder: Path, wall: Callable[[], float]) -> None:
        self.keys = keys
        self.keyring = Keyring(folder, wall)
        self.sessions = Sessions()
        self.app_keys = AppKeys()
        self.pairing = Pairing()
        self.step_ups = StepUps()
        self.signing = Signing()
        self._attempts = Attempts()
        self._anonymous = AnonymousCosts()
        self._first_digest = digest(keys.key)
        self._refreshed_at = self._noted_at = 0.0

    def begin(self) -> None:
        """Read the key files for the first time. Blocks; raises ConfigError if one cannot be read."""
        self.keyring.begin()

    def load(self) -> None:
        """Read the key files. Blocks.

        Raises:
            ConfigError: a file cannot be read, or is not a list of keys.
        """
        with suppress(ConfigError):  # half written, or missing for a moment: the old key stays valid
            self.keys.reload()
        self._first_digest = digest(self.keys.key)
        self.keyring.load()

    async def refresh(self) -> None:
        """Read the key files again, at most once per REFRESH_INTERVAL; ignore a file that cannot be read."""
        now = _now()
        if now - self._refreshed_at < REFRESH_INTERVAL:
            return
        self._refreshed_at = now
        with suppress(ConfigError):
            await asyncio.to_thread(self.load)
            if now - self._noted_at >= NOTE_INTERVAL:
                self._noted_at = now
                await asyncio.to_thread(self.keyring.note_uses)

    async def close(self) -> None:
        """Store when keys were last used."""
        with suppress(ConfigError):
            await asyncio.to_thread(self.keyring.note_uses)

    def identify(self, key: str, address: str) -> Identity:
        """Return the identity of a key.

        Raises:
            KeyRefused: the key is not valid.
            TooManyAttempts: the key is not valid, and this address has sent too many wrong keys.
        """
        if (identity := self.identity_of(key)) is None:
            raise self._refusal(address)
        return identity

    def identity_of(self, key: str) -> Identity | None:
        """Return the identity of a key; None if it is not valid. A wrong key is not counted here."""
        identity = self.keyring.identify(digest(key))
        if self.keys.accepts(key):
            return Identity(OWNER, Scope.ADMIN, self._first_digest)
        if identity is None:
            stepped_up = self.step_ups.find(digest(key), _now())
            return stepped_up if stepped_up is not None and self.is_still_valid(stepped_up) else None
        return identity

    def identify_signer(self, address: str) -> Identity | None:
        """Return the identity of the key with which this URL was signed; None: no valid signature."""
        digits = self.signing.find_signer(address, _now())
        if digits is None:
            return None
        if self._first_digest.startswith(digits):
            return Identity(OWNER, Scope.ADMIN, self._first_digest)
        for key in self.keyring.keys:
            if key.sha256.startswith(digits):
                return Identity(key.name, Scope.named(key.scope), key.sha256)
        return None

    def _refusal(self, address: str) -> KeyRefused | TooManyAttempts:
        """Return the refusal of a wrong key, which is counted and logged unless the address has sent too many."""
        now = _now()
        if delay := self._attempts.delay(address, now):
            return TooManyAttempts("too many wrong API keys from this address, try again later", delay)
        log.warning("access.key_refused", address=address, wrong_keys=self._attempts.count_wrong_key(address, now))
        return KeyRefused(INVALID_KEY)

    def pair(self, code: str, address: str) -> Scope:
        """Use up a pairing code, and return its scope; a wrong code counts as a wrong key.

        Raises:
            KeyRefused: the code is not valid.
            TooManyAttempts: this address has sent too many wrong codes or keys; a valid code is refused as well.
        """
        now = _now()
        if delay := self._attempts.delay(address, now):
            raise TooManyAttempts("too many wrong codes or API keys from this address, try again later", delay)
        try:
            return self.pairing.use(code, now)
        except KeyRefused as error:
            wrong_keys = self._attempts.count_wrong_key(address, now)
            log.warning("access.code_refused", address=address, wrong_keys=wrong_keys, reason=str(error))
            raise

    def step_up(self, identity: Identity, secret: str, address: str, *, is_code: bool) -> str:
        """Return a temporary key of scope admin, in exchange for a code or key of that scope.

        Raises:
            KeyRefused: the code or key is not valid, or has another scope.
            TooManyAttempts: this address has sent too many wrong codes or keys; only a valid key is accepted then.
        """
        scope = self.pair(secret, address) if is_code else self.identify(secret, address).scope
        if scope < Scope.ADMIN:
            raise KeyRefused(
                "this needs a key or a pairing code of scope admin: `nozzled pair --scope admin` makes one"
            )
        return self.step_ups.begin(identity, _now())

    def spend_anonymous(self, address: str, units: float) -> bool:
        """Count the cost of a client without a key (`access.anonymous`); tell whether it is within the budget."""
        return self._anonymous.spend(address, units, _now())

    def has_overspent(self, address: str) -> bool:
        """Tell whether clients without a key have spent the budget of this address's network."""
        return self._anonymous.has_overspent(address, _now())

    def refund(self, address: str, units: float) -> None:
        """Give a cost back to the budget of this address's network: the client has shown a session after all."""
        self._anonymous.refund(address, units, _now())

    def begin_session(self, identity: Identity) -> Session:
        """Open a session for the push socket."""
        if identity.base is not None:  # a session outlives the step-up
            identity = replace(identity, scope=identity.base, base=None)
        return self.sessions.begin(identity, _now())

    def find_session(self, session_id: str, user: str) -> Session | None:
        """Return the open session with this id and user; None if there is none, or its key was revoked."""
        session = self.sessions.find(session_id, user, _now())
        return session if session is not None and self.is_still_valid(session.identity) else None

    def is_still_valid(self, identity: Identity) -> bool:
        """Tell whether the key of an identity has not been revoked."""
        return identity.digest in ("", self._first_digest) or self.keyring.knows(identity.digest)


def _now() -> float:
    return asyncio.get_running_loop().time()
