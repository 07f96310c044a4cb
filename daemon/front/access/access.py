"""Access: who a request comes from, and whether it may be asked for at all. What the HTTP handlers ask, and no more."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import structlog

from daemon.errors import ConfigError, KeyRefused, TooManyAttempts
from daemon.front.access.app_keys import AppKeys
from daemon.front.access.attempts import Attempts
from daemon.front.access.keyring import Keyring, digest
from daemon.front.access.keys import Keys
from daemon.front.access.pairing import Pairing
from daemon.front.access.raised import Raised
from daemon.front.access.scopes import FIRST, LOCAL, Identity, Scope
from daemon.front.access.sessions import Session, Sessions
from daemon.front.access.signing import Signing
from daemon.front.access.strangers import Strangers

__all__ = ["FIRST", "LOCAL", "Access"]

LOOK = 1.0
"""Seconds between two looks at the files of keys: the command line changes them while the daemon runs."""

NOTE = 600.0
"""Seconds between two notes of when keys were last used."""

log = structlog.get_logger()


class Access:
    """The keys, and what is remembered of those who came."""

    def __init__(self, keys: Keys, folder: Path, wall: Callable[[], float]) -> None:
        self.keys = keys
        self.keyring = Keyring(folder, wall)
        self.sessions = Sessions()
        self.app_keys = AppKeys()
        self.pairing = Pairing()
        self.raised = Raised()
        self.signing = Signing()
        self._attempts = Attempts()
        self._strangers = Strangers()
        self._first = digest(keys.key)
        self._looked = self._noted = 0.0

    def begin(self) -> None:
        """Read what is kept of keys for the first time. Blocks; raises ConfigError: a file cannot be read."""
        self.keyring.begin()

    def load(self) -> None:
        """Read what is kept of keys. Blocks.

        Raises:
            ConfigError: a file cannot be read, or is none of ours.
        """
        self.keyring.load()
        with suppress(ConfigError):  # half written, or gone for a moment: the key that was read counts
            self.keys.reload()
        self._first = digest(self.keys.key)

    async def refresh(self) -> None:
        """Look at the files again if that was not just done; a file that cannot be read changes nothing."""
        now = _now()
        if now - self._looked < LOOK:
            return
        self._looked = now
        with suppress(ConfigError):
            await asyncio.to_thread(self.load)
            if now - self._noted >= NOTE:
                self._noted = now
                await asyncio.to_thread(self.keyring.note_uses)

    async def close(self) -> None:
        """Write down when keys were last used."""
        with suppress(ConfigError):
            await asyncio.to_thread(self.keyring.note_uses)

    def identify(self, key: str, address: str) -> Identity:
        """Return who comes with this key.

        Raises:
            KeyRefused: nobody.
            TooManyAttempts: nobody, and this address has shown too many wrong ones.
        """
        if (identity := self.identity_of(key)) is None:
            raise self._refusal(address)
        return identity

    def identity_of(self, key: str) -> Identity | None:
        """Return who comes with this key, None for nobody, and count nothing."""
        identity = self.keyring.identify(digest(key))
        if self.keys.accepts(key):
            return Identity(FIRST, Scope.ADMIN, self._first)
        if identity is None:
            raised = self.raised.find(digest(key), _now())
            return raised if raised is not None and self.still_valid(raised) else None
        return identity

    def signer(self, address: str) -> Identity | None:
        """Return whose key has had this address signed; None: nobody's, or it is good no more."""
        by = self.signing.signer(address, _now())
        if by is None:
            return None
        if self._first.startswith(by):
            return Identity(FIRST, Scope.ADMIN, self._first)
        for key in self.keyring.keys:
            if key.sha256.startswith(by):
                return Identity(key.name, Scope.named(key.scope), key.sha256)
        return None

    def _refusal(self, address: str) -> KeyRefused | TooManyAttempts:
        """Count a wrong key and return how it is refused; what the bucket lets through is a line of the log."""
        now = _now()
        if wait := self._attempts.wait(address, now):
            return TooManyAttempts("too many wrong API keys from this address, try again later", wait)
        log.warning("access.key_refused", address=address, wrong_keys=self._attempts.failed(address, now))
        return KeyRefused("this API key is not valid")

    def pair(self, code: str, address: str) -> Scope:
        """Return what a pairing code allows, which is used up by that; a wrong one counts as a wrong key.

        Raises:
            KeyRefused: the code is not valid.
            TooManyAttempts: nor is it, and this address has shown too many wrong ones.
        """
        now = _now()
        if wait := self._attempts.wait(address, now):
            raise TooManyAttempts("too many wrong codes or API keys from this address, try again later", wait)
        try:
            return self.pairing.use(code, now)
        except KeyRefused:
            log.warning("access.code_refused", address=address, wrong_keys=self._attempts.failed(address, now))
            raise

    def step_up(self, identity: Identity, secret: str, address: str, *, is_code: bool) -> str:
        """Return a key by which this one may do all for a while, for a code or a key of scope admin.

        Raises:
            KeyRefused: it is no good, or of another scope.
            TooManyAttempts: nor is it, and this address has shown too many wrong ones.
        """
        scope = self.pair(secret, address) if is_code else self.identify(secret, address).scope
        if scope < Scope.ADMIN:
            raise KeyRefused(
                "this needs a key or a pairing code of scope admin: `nozzled pair --scope admin` makes one"
            )
        return self.raised.begin(identity, _now())

    def bears(self, address: str, units: float) -> bool:
        """Count what somebody without a key has cost (`strangers`); tell whether that is not too much."""
        return self._strangers.spend(address, units, _now())

    def owes(self, network: str) -> bool:
        """Tell whether strangers of this network have used up what they may cost."""
        return self._strangers.owes(network, _now())

    def forgive(self, address: str, units: float) -> None:
        """Count no longer what somebody has cost who has shown a session since."""
        self._strangers.forgive(address, units, _now())

    def begin_session(self, identity: Identity) -> Session:
        """Open a session for the socket."""
        if identity.base is not None:  # a session lasts longer than what it was raised for
            identity = replace(identity, scope=identity.base, base=None)
        return self.sessions.begin(identity, _now())

    def find_session(self, given: str, user: str) -> Session | None:
        """Return an open session, whose key is still valid."""
        session = self.sessions.find(given, user, _now())
        return session if session is not None and self.still_valid(session.identity) else None

    def still_valid(self, identity: Identity) -> bool:
        """Tell whether the key that somebody came with has not been taken away."""
        return identity.digest in ("", self._first) or self.keyring.knows(identity.digest)


def _now() -> float:
    return asyncio.get_running_loop().time()
