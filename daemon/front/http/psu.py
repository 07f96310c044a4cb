"""/api/plugin/psucontrol: the printer's power, as in OctoPrint's plug-in PSU Control, so that apps show a switch."""

from daemon.errors import CompanionAway
from daemon.front.access.scopes import Scope
from daemon.front.companions import LOWEST_REFUSAL_STATUS
from daemon.front.http.base import ApiHandler

COMPANION = "power"
_COMMANDS: dict[str, tuple[str, ...]] = {"turnPSUOn": (), "turnPSUOff": (), "togglePSU": (), "getPSUState": ()}
_DO = {"turnPSUOn": "on", "turnPSUOff": "off", "togglePSU": "toggle"}


class PsuHandler(ApiHandler):
    """/api/plugin/psucontrol."""

    write_scope = Scope.READ  # getPSUState is a POST; the companion refuses the other commands of a key of scope read

    def get(self) -> None:
        """Show whether the printer has power; an unknown state counts as off."""
        companions = self.service.companions
        if companions.is_away(COMPANION):
            raise CompanionAway("whether the printer has power is unknown: the power companion does not run")
        self.write({"isPSUOn": (companions.state(COMPANION) or {}).get("on") is True})

    async def post(self) -> None:
        """Switch the power; with `force`, which the plug-in does not have, even during a print."""
        command, data = self.command(_COMMANDS)
        if command == "getPSUState":
            self.get()
            return
        parameters = {"force": True} if data.get("force") is True else {}
        scope = self.identity.scope.label if self.identity is not None else ""
        reply = await self.service.companions.ask(COMPANION, _DO[command], parameters, scope=scope)
        if reply.status >= LOWEST_REFUSAL_STATUS:
            self.set_status(reply.status)
            self.write_json(reply.body)
        else:
            self.no_content()
