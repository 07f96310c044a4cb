"""/api/macros: buttons that send commands, as the configuration has them."""

from dataclasses import asdict
from typing import Any

from daemon.bridge.words import JobState
from daemon.config import Macro
from daemon.errors import JobConflict
from daemon.front.http.base import ApiHandler
from daemon.front.http.printer import tell_homing
from daemon.http.errors import Refused


class MacrosHandler(ApiHandler):
    """/api/macros."""

    def get(self) -> None:
        """List them, and the scripts that are sent around a print."""
        config = self.service.config
        self.write({"macros": [_as_json(each) for each in config.macros.buttons], "scripts": asdict(config.scripts)})

    async def post(self) -> None:
        """Send the commands of one, all or none, as if a person had typed them."""
        _, data = self.command({"run": ["name"]})
        found = [each for each in self.service.config.macros.buttons if each.name == data["name"]]
        if not found:
            raise Refused(404, "there is no macro of this name in the configuration, [[macros.buttons]]")
        self.require_operational()
        jobs = self.service.jobs
        if jobs.active and jobs.state is not JobState.PAUSED and not found[0].while_printing:
            raise JobConflict(f"{found[0].name} may not run during a print; while_printing = true would allow it")
        await self.service.connection.send(found[0].commands)
        tell_homing(self.service, found[0].commands)
        self.no_content()


def _as_json(macro: Macro) -> dict[str, Any]:
    return {"name": macro.name, "commands": macro.commands, "whilePrinting": macro.while_printing}
