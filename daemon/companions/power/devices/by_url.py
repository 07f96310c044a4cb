"""Any switch with one URL for on, one for off, and optionally one that returns its state."""

import base64
import json

from daemon.companions.power.config import DeviceConfig
from daemon.companions.power.devices.answers import excerpt, read_state, value_at
from daemon.companions.power.devices.web import Web
from daemon.companions.power.errors import DeviceError


class UrlSwitch:
    """A switch that URLs control."""

    def __init__(self, config: DeviceConfig, password: str) -> None:
        """Prepare."""
        self._config = config
        self._web = Web("", config.timeout_s, config.name)
        credentials = base64.b64encode(f"{config.user}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {credentials}"} if config.user else {}

    async def on(self) -> None:
        """Switch it on."""
        await self._send(self._config.on_url, self._config.on_body)

    async def off(self) -> None:
        """Switch it off."""
        await self._send(self._config.off_url, self._config.off_body)

    async def sense(self) -> bool | None:
        """Return the state that its state_url returns."""
        config = self._config
        if not config.state_url:
            return None
        body = self._web.check_body(await self._web.send("GET", config.state_url, self._headers))
        text: str | None = body.decode("utf-8", "replace")
        if config.state_key:
            try:
                text = value_at(json.loads(body), config.state_key)
            except (ValueError, RecursionError):
                text = None
        state = read_state(text, config.state_on, config.state_off) if text is not None else None
        if state is None:
            states = f"{config.state_on} nor {config.state_off}"
            raise DeviceError(f"{config.name} answered neither {states}: {excerpt(body) or 'no text'}")
        return state

    async def close(self) -> None:
        """Close its connections."""
        self._web.close()

    async def _send(self, url: str, body: str) -> None:
        headers = dict(self._headers)
        if body:
            headers["Content-Type"] = "application/json" if body.startswith("{") else "text/plain; charset=utf-8"
        method = self._config.method
        self._web.check_body(await self._web.send(method, url, headers, body if body or method != "GET" else None))
