"""/api/connection: show, connect and disconnect the printer."""

from typing import Any

from daemon.front.access.companion_keys import key_name
from daemon.front.companions import LOWEST_REFUSAL_STATUS
from daemon.front.http.base import ApiHandler, is_true
from daemon.http.errors import Refused

PROFILE = "_default"  # OctoPrint's name of the one printer profile
POWER = "power"  # the companion
_BAUDRATES = (300, 10_000_000)
_MAX_DIGITS = 8

_COMMANDS: dict[str, tuple[str, ...]] = {"connect": (), "disconnect": (), "repair": (), "fake_ack": (), "seen": ()}


class ConnectionHandler(ApiHandler):
    """/api/connection."""

    async def get(self) -> None:
        """Show the connection, and the ports and baudrates to choose from; opens no port."""
        options = await self.service.connection.options()
        self.write(
            {
                "current": {
                    "state": self.status().connection_text,
                    "port": options.port,
                    "baudrate": options.baudrate,
                    "printerProfile": PROFILE,
                },
                "options": {
                    "ports": options.ports,
                    "baudrates": options.baudrates,
                    "printerProfiles": [{"id": PROFILE, "name": self.service.core.profile.name}],
                    "portPreference": options.port_preference,
                    "baudratePreference": options.baudrate_preference,
                    "printerProfilePreference": PROFILE,
                },
            }
        )

    async def post(self) -> None:
        """Connect in the background, or disconnect; `seen`: a user has read why the firmware halted.

        With `find`, connecting tries the usual baudrates; with `save`, the core remembers a printer that answers, for
        later starts, if none is configured.

        `repair` and `fake_ack` do nothing: the link recovers on its own.
        """
        command, data = self.command(_COMMANDS)
        if command == "connect":
            await self._connect(data)
        elif command == "disconnect":
            if self.service.connection.summary.connected:
                self.service.events.publish("Disconnecting", {})
            await self.service.connection.disconnect()
        if command in ("connect", "disconnect", "seen"):
            self.service.last_fault.dismiss()
        self.no_content()

    async def _connect(self, data: dict[str, Any]) -> None:
        port, baudrate = data.get("port"), data.get("baudrate")
        if port is not None and not isinstance(port, str):
            raise Refused(400, f"Invalid port: {port!r}")
        if data.get("printerProfile") not in (None, PROFILE):
            raise Refused(400, "Invalid printer profile")
        rate = None if baudrate in (None, 0, "AUTO") else _baudrate(baudrate)  # 0 and AUTO: as configured
        is_printing = self.service.jobs.active or self.service.connection.panel_print is not None
        if is_printing and self.service.connection.ready:
            # OctoPrint would drop the connection, and the print with it
            raise Refused(409, "a print is in progress; to abandon it, disconnect first")
        if await self._switch_power_on(port, rate):
            return
        find, save = is_true(data.get("find", False)), is_true(data.get("save", False))
        await self.service.connection.connect(port, rate, find=find, save=save)

    async def _switch_power_on(self, port: str | None, rate: int | None) -> bool:
        """Have the power companion switch the printer on, if so configured; tell whether it also connects."""
        companions, identity = self.service.companions, self.identity
        power = companions.state(POWER) or {}
        if power.get("connects") is not True or power.get("on") is not False or companions.is_away(POWER):
            return False
        if identity is None or identity.name == key_name(POWER):
            return False
        parameters = {"port": port, "baudrate": rate}
        reply = await companions.ask(POWER, "connect", parameters, scope=identity.scope.label)
        if reply.status >= LOWEST_REFUSAL_STATUS:
            text = reply.body.get("error") if isinstance(reply.body, dict) else None
            raise Refused(reply.status, str(text or "the power companion did not switch the printer on: see its log"))
        return True


def _baudrate(value: object) -> int:
    text = str(value)
    low, high = _BAUDRATES
    digits = text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS
    if isinstance(value, bool) or not digits or not low <= int(text) <= high:
        raise Refused(400, f"Invalid baudrate: {text[:20]}")
    return int(text)
