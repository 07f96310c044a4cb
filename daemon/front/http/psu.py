"""/api/plugin/psucontrol: the printer's power as OctoPrint's plug-in of that name has it; apps show a switch then."""

from daemon.errors import CompanionAway
from daemon.front.access.scopes import Scope
from daemon.front.http.base import ApiHandler

COMPANION = "power"
_COMMANDS: dict[str, tuple[str, ...]] = {"turnPSUOn": (), "turnPSUOff": (), "togglePSU": (), "getPSUState": ()}
_DO = {"turnPSUOn": "on", "turnPSUOff": "off", "togglePSU": "toggle"}
_NO = 300  # from this status on, an answer of the companion is no yes


class PsuHandler(ApiHandler):
    """/api/plugin/psucontrol."""

    writes = Scope.READ  # a key that may look may ask by POST, too; the companion refuses it the rest

    def get(self) -> None:
        """Tell whether the printer has power; what nobody knows counts as off, for these clients."""
        companions = self.service.companions
        if companions.away(COMPANION):
            raise CompanionAway("nobody knows: power is switched on, but does not run")
        self.write({"isPSUOn": (companions.state(COMPANION) or {}).get("on") is True})

    async def post(self) -> None:
        """Switch it; `force`, which is ours, also in a print."""
        command, data = self.command(_COMMANDS)
        if command == "getPSUState":
            self.get()
            return
        given = {"force": True} if data.get("force") is True else {}
        scope = self.identity.scope.label if self.identity is not None else ""
        reply = await self.service.companions.ask(COMPANION, _DO[command], given, scope=scope)
        if reply.status >= _NO:
            self.set_status(reply.status)
            self.write_json(reply.body)
        else:
            self.no_content()
