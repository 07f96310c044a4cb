"""Shelly devices of all generations.

By the vendor's API documentation: `GET /shelly` needs no password and returns the generation (`gen` from the second on,
`type` for the first). First generation: `/relay/0?turn=on` answers `{"ison": true, …}`, with basic
authentication. Later ones: `/rpc/Switch.Set?id=0&on=true` answers `{"was_on": false}`, `/rpc/Switch.GetStatus?id=0`
has `output`; with digest authentication (RFC 7616, SHA-256) for the user admin. An error is an HTTP status and
`{"code": -105, "message": "…"}`.
"""

import base64
import secrets
from collections.abc import Callable, Mapping
from http import HTTPStatus

from daemon.companions.power.config import DeviceConfig
from daemon.companions.power.devices import digest
from daemon.companions.power.devices.answers import excerpt, parse_object
from daemon.companions.power.devices.web import Web, WebReply
from daemon.companions.power.errors import DeviceError


class Shelly:
    """One relay of a Shelly."""

    def __init__(
        self, config: DeviceConfig, password: str, cnonce: Callable[[], str] = lambda: secrets.token_hex(8)
    ) -> None:
        """Prepare; `cnonce` returns client nonces, texts that cannot be guessed."""
        self._web = Web(config.address, config.timeout_s, config.name)
        self._channel = config.channel
        self._user, self._password = config.user or "admin", password
        self._cnonce = cnonce
        self._first_generation: bool | None = None  # None: not known yet
        self._challenge: Mapping[str, str] | None = None
        self._nonce_count = 0

    async def on(self) -> None:
        """Switch it on."""
        await self._turn(on=True)

    async def off(self) -> None:
        """Switch it off."""
        await self._turn(on=False)

    async def sense(self) -> bool | None:
        """Return the state that it reports."""
        if await self._is_first_generation():
            return self._state(await self._request(f"/relay/{self._channel}"), "ison")
        return self._state(await self._request(f"/rpc/Switch.GetStatus?id={self._channel}"), "output")

    async def close(self) -> None:
        """Close its connections."""
        self._web.close()

    async def _turn(self, *, on: bool) -> None:
        if await self._is_first_generation():
            await self._request(f"/relay/{self._channel}?turn={'on' if on else 'off'}")
        else:
            await self._request(f"/rpc/Switch.Set?id={self._channel}&on={'true' if on else 'false'}")

    async def _is_first_generation(self) -> bool:
        if self._first_generation is None:
            device = parse_object(self._web.check_body(await self._web.get("/shelly")), self._web.name)
            if "gen" not in device and "type" not in device:
                raise DeviceError(f"{self._web.name} does not say which Shelly it is: {excerpt(str(device))}")
            self._first_generation = "gen" not in device
        return self._first_generation

    def _state(self, body: bytes, key: str) -> bool:
        state = parse_object(body, self._web.name).get(key)
        if not isinstance(state, bool):
            raise DeviceError(f"{self._web.name} does not say whether it is on: {excerpt(body)}")
        return state

    async def _request(self, path: str) -> bytes:
        reply = await self._web.get(path, self._authorization(path))
        if reply.status == HTTPStatus.UNAUTHORIZED and self._take_challenge(reply):
            reply = await self._web.get(path, self._authorization(path))
        return self._web.check_body(reply)

    def _take_challenge(self, reply: WebReply) -> bool:
        """Take the challenge of a later Shelly; return whether the request is worth repeating."""
        if not self._password or self._first_generation:
            return False
        self._challenge = digest.parse_challenge(reply.headers.get("www-authenticate", ""))
        self._nonce_count = 0
        return self._challenge is not None

    def _authorization(self, path: str) -> dict[str, str]:
        if not self._password:
            return {}
        if self._first_generation:
            credentials = base64.b64encode(f"{self._user}:{self._password}".encode()).decode()
            return {"Authorization": f"Basic {credentials}"}
        if self._challenge is None:
            return {}
        self._nonce_count += 1
        uri = self._web.path + path
        header = digest.authorization(
            self._challenge, "GET", uri, self._user, self._password, self._cnonce(), self._nonce_count
        )
        return {"Authorization": header}
