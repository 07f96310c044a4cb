"""Tasmota over HTTP.

By its documentation (Commands, "with web requests") and web server: `GET /cm?user=&password=&cmnd=Power1%20On` answers
`{"POWER":"ON"}`, or `{"POWER1":"ON"}` where there are several relays; without a value it only tells. A wrong password
is 401, with an older firmware 200 and `{"WARNING":"Need user=<username>&password=<password>"}`; a relay that is not
there is `{"Command":"Unknown"}`.
"""

from urllib.parse import quote

from daemon.companions.power.config import DeviceConfig
from daemon.companions.power.devices.web import Web
from daemon.companions.power.devices.words import excerpt, parsed
from daemon.companions.power.errors import DeviceError

_STATES = {"ON": True, "OFF": False}


class Tasmota:
    """A relay of a device with Tasmota."""

    def __init__(self, config: DeviceConfig, password: str) -> None:
        """Prepare."""
        self._web = Web(config.address, config.timeout_s, config.name)
        self._relay = f"Power{config.channel or ''}"
        self._keys = ("POWER",) if config.channel == 0 else (f"POWER{config.channel}", "POWER")
        user = quote(config.user or "admin", safe="")
        self._proof = f"user={user}&password={quote(password, safe='')}&" if password else ""

    async def on(self) -> None:
        """Switch it on."""
        await self._tell("On")

    async def off(self) -> None:
        """Switch it off."""
        await self._tell("Off")

    async def sense(self) -> bool | None:
        """Return what it says."""
        return await self._tell("")

    async def close(self) -> None:
        """Let go of the connections."""
        self._web.close()

    async def _tell(self, value: str) -> bool:
        command = quote(f"{self._relay} {value}".strip())
        body = self._web.accepted_body(await self._web.get(f"/cm?{self._proof}cmnd={command}"))
        told = parsed(body, self._web.who)
        for key in self._keys:
            state = _STATES.get(str(told.get(key, "")).upper())
            if state is not None:
                return state
        if "WARNING" in told:
            raise DeviceError(f"{self._web.who} says {excerpt(str(told['WARNING']))}: see password_file")
        raise DeviceError(f"{self._web.who} has no relay {self._relay}: it says {excerpt(body)}")
