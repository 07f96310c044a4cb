"""/api/macros: the configured buttons that send commands."""

from dataclasses import asdict
from typing import Any

from daemon.bridge.words import JobState
from daemon.config import Macro
from daemon.errors import JobConflict
from daemon.front.http.base import ApiHandler
from daemon.front.http.printer import publish_homing
from daemon.http.errors import Refused


class MacrosHandler(ApiHandler):
    """/api/macros."""

    def get(self) -> None:
        """List the macros, and the scripts that are sent around a print."""
        config = self.service.config
        self.write({"macros": [_as_json(each) for each in config.macros.buttons], "scripts": asdict(config.scripts)})

    async def post(self) -> None:
        """Send the commands of a macro, as if a user had typed them; if one is refused, none is sent."""
        _, data = self.command({"run": ["name"]})
        macro = next((each for each in self.service.config.macros.buttons if each.name == data["name"]), None)
        if macro is None:
            raise Refused(404, "no macro in [[macros.buttons]] of the configuration has this name")
        self.require_operational()
        jobs = self.service.jobs
        if jobs.active and jobs.state is not JobState.PAUSED and not macro.while_printing:
            raise JobConflict(f"{macro.name} cannot run during a print; to allow it, set while_printing = true")
        await self.service.connection.send(macro.commands)
        publish_homing(self.service, macro.commands)
        self.no_content()


def _as_json(macro: Macro) -> dict[str, Any]:
    return {"name": macro.name, "commands": macro.commands, "whilePrinting": macro.while_printing}
