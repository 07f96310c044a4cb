"""Tasmota over HTTP.

By its documentation (Commands, "with web requests") and web server: `GET /cm?user=&password=&cmnd=Power1%20On` answers
`{"POWER":"ON"}`, or `{"POWER1":"ON"}` if there are several relays; without a value it only returns the state. A wrong
password is 401, or with an older firmware 200 and `{"WARNING":"Need user=<username>&password=<password>"}`; a relay
that does not exist is `{"Command":"Unknown"}`.
"""

from urllib.parse import quote

from daemon.companions.power.config import DeviceConfig
from daemon.companions.power.devices.answers import excerpt, parse_object
from daemon.companions.power.devices.web import Web
from daemon.companions.power.errors import DeviceError

_STATES = {"ON": True, "OFF": False}


class Tasmota:
    """One relay of a Tasmota device."""

    def __init__(self, config: DeviceConfig, password: str) -> None:
        """Prepare."""
        self._web = Web(config.address, config.timeout_s, config.name)
        self._relay = f"Power{config.channel or ''}"
        self._keys = ("POWER",) if config.channel == 0 else (f"POWER{config.channel}", "POWER")
        user = quote(config.user or "admin", safe="")
        self._credentials = f"user={user}&password={quote(password, safe='')}&" if password else ""

    async def on(self) -> None:
        """Switch it on."""
        await self._command("On")

    async def off(self) -> None:
        """Switch it off."""
        await self._command("Off")

    async def sense(self) -> bool | None:
        """Return the state that it reports."""
        return await self._command("")

    async def close(self) -> None:
        """Close its connections."""
        self._web.close()

    async def _command(self, value: str) -> bool:
        command = quote(f"{self._relay} {value}".strip())
        body = self._web.check_body(await self._web.get(f"/cm?{self._credentials}cmnd={command}"))
        answer = parse_object(body, self._web.name)
        for key in self._keys:
            state = _STATES.get(str(answer.get(key, "")).upper())
            if state is not None:
                return state
        if "WARNING" in answer:
            raise DeviceError(f"{self._web.name} answered {excerpt(str(answer['WARNING']))}: check password_file")
        raise DeviceError(f"{self._web.name} has no relay {self._relay}: it answered {excerpt(body)}")
