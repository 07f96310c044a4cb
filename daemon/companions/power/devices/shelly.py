"""Shelly, all generations.

By the vendor's API documentation: `GET /shelly` says without a password which it is (`gen` from the second on, `type`
with the first). First: `/relay/0?turn=on` answers `{"ison": true, …}`, basic authentication. Later ones:
`/rpc/Switch.Set?id=0&on=true` answers `{"was_on": false}`, `/rpc/Switch.GetStatus?id=0` has `output`; digest
authentication (RFC 7616, SHA-256) for the user admin; an error is a status and `{"code": -105, "message": "…"}`.
"""

import base64
import secrets
from collections.abc import Callable, Mapping
from http import HTTPStatus

from daemon.companions.power.config import DeviceConfig
from daemon.companions.power.devices import digest
from daemon.companions.power.devices.web import Web, WebReply
from daemon.companions.power.devices.words import excerpt, parsed
from daemon.companions.power.errors import DeviceError


class Shelly:
    """A switch of a Shelly."""

    def __init__(
        self, config: DeviceConfig, password: str, nonce: Callable[[], str] = lambda: secrets.token_hex(8)
    ) -> None:
        """Prepare; `nonce` gives texts that nobody can guess."""
        self._web = Web(config.address, config.timeout_s, config.name)
        self._channel = config.channel
        self._user, self._password = config.user or "admin", password
        self._nonce = nonce
        self._first: bool | None = None  # generation; None: not known yet
        self._asked: Mapping[str, str] | None = None
        self._count = 0

    async def on(self) -> None:
        """Switch it on."""
        await self._turn(on=True)

    async def off(self) -> None:
        """Switch it off."""
        await self._turn(on=False)

    async def sense(self) -> bool | None:
        """Return what it says."""
        if await self._is_first():
            return self._read(await self._ask(f"/relay/{self._channel}"), "ison")
        return self._read(await self._ask(f"/rpc/Switch.GetStatus?id={self._channel}"), "output")

    async def close(self) -> None:
        """Let go of the connections."""
        self._web.close()

    async def _turn(self, *, on: bool) -> None:
        if await self._is_first():
            await self._ask(f"/relay/{self._channel}?turn={'on' if on else 'off'}")
        else:
            await self._ask(f"/rpc/Switch.Set?id={self._channel}&on={'true' if on else 'false'}")

    async def _is_first(self) -> bool:
        if self._first is None:
            told = parsed(self._web.accepted_body(await self._web.get("/shelly")), self._web.who)
            if "gen" not in told and "type" not in told:
                raise DeviceError(f"{self._web.who} does not say which Shelly it is: {excerpt(str(told))}")
            self._first = "gen" not in told
        return self._first

    def _read(self, body: bytes, key: str) -> bool:
        state = parsed(body, self._web.who).get(key)
        if not isinstance(state, bool):
            raise DeviceError(f"{self._web.who} does not say whether it is on: {excerpt(body)}")
        return state

    async def _ask(self, path: str) -> bytes:
        reply = await self._web.get(path, self._proof(path))
        if reply.status == HTTPStatus.UNAUTHORIZED and self._is_new(reply):
            reply = await self._web.get(path, self._proof(path))
        return self._web.accepted_body(reply)

    def _is_new(self, reply: WebReply) -> bool:
        """Take the challenge of a later Shelly; tell whether it is worth another try."""
        if not self._password or self._first:
            return False
        self._asked, self._count = digest.challenge(reply.headers.get("www-authenticate", "")), 0
        return self._asked is not None

    def _proof(self, path: str) -> dict[str, str]:
        if not self._password:
            return {}
        if self._first:
            given = base64.b64encode(f"{self._user}:{self._password}".encode()).decode()
            return {"Authorization": f"Basic {given}"}
        if self._asked is None:
            return {}
        self._count += 1
        uri = self._web.path + path
        proof = digest.answer(self._asked, "GET", uri, self._user, self._password, self._nonce(), self._count)
        return {"Authorization": proof}
