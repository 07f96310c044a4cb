"""A switch of Home Assistant, over its REST API.

By its developers' documentation (REST API): `POST /api/services/<domain>/turn_on` with `{"entity_id": "…"}` and
`Authorization: Bearer TOKEN` answers with the states that have changed; `GET /api/states/<entity_id>` has `state`,
which is on, off, unavailable or unknown. 404: no such entity; 401: the token is not valid.
"""

import json
from http import HTTPStatus

from daemon.companions.power.config import DeviceConfig
from daemon.companions.power.devices.answers import excerpt, parse_object
from daemon.companions.power.devices.web import Web
from daemon.companions.power.errors import DeviceError

_STATES = {"on": True, "off": False}


class HomeAssistant:
    """An entity that can be turned on and off."""

    def __init__(self, config: DeviceConfig, token: str) -> None:
        """Prepare.

        Raises:
            DeviceError: `entity` or `address` is not valid.
        """
        self._web = Web(config.address, config.timeout_s, config.name)
        domain, dot, name = config.entity.partition(".")
        if not (dot and domain.isidentifier() and name.isidentifier()):
            raise DeviceError(f"{config.name}: {excerpt(config.entity)!r} is not an entity such as switch.printer")
        self._entity, self._domain = config.entity, domain
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    async def on(self) -> None:
        """Switch it on."""
        await self._call("turn_on")

    async def off(self) -> None:
        """Switch it off."""
        await self._call("turn_off")

    async def sense(self) -> bool | None:
        """Return the state that Home Assistant reports."""
        reply = await self._web.get(f"/api/states/{self._entity}", self._headers)
        if reply.status == HTTPStatus.NOT_FOUND:
            raise DeviceError(f"{self._web.name}: Home Assistant has no {self._entity}")
        value = str(parse_object(self._web.check_body(reply), self._web.name).get("state"))
        state = _STATES.get(value)
        if state is None:
            raise DeviceError(f"{self._web.name}: Home Assistant says that {self._entity} is {excerpt(value)}")
        return state

    async def close(self) -> None:
        """Close its connections."""
        self._web.close()

    async def _call(self, service: str) -> None:
        url = f"{self._web.base}/api/services/{self._domain}/{service}"
        body = json.dumps({"entity_id": self._entity})
        self._web.check_body(await self._web.send("POST", url, self._headers, body))
